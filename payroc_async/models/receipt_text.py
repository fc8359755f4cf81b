"""A receipt as a printer prints it: lines of a fixed width."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from .emv import CardholderVerification
from .enums import Outcome
from .receipt import Receipt, ReceiptConversion
from .receipt_sums import ReceiptSum, short

__all__ = ["render"]

RESULTS = {
    Outcome.APPROVED: "APPROVED",
    Outcome.PARTIALLY_APPROVED: "PARTIALLY APPROVED",
    # All three are the same to the customer; no receipt says before others that a card is stolen.
    Outcome.DECLINED: "DECLINED",
    Outcome.REFERRED: "DECLINED",
    Outcome.PICK_UP: "DECLINED",
    Outcome.DEFERRED: "RECEIVED, NOT YET APPROVED",
    Outcome.UNKNOWN: "RESULT UNKNOWN",
}
VERIFIED = {
    CardholderVerification.NOTHING: "NO SIGNATURE REQUIRED",
    CardholderVerification.PIN: "PIN VERIFIED",
    CardholderVerification.PIN_AND_SIGNATURE: "PIN VERIFIED",
    CardholderVerification.FAILED: "CARDHOLDER NOT VERIFIED",
}


def render(receipt: Receipt, width: int) -> str:
    """The receipt's lines; none is wider than ``width`` columns."""
    parts = (_head, _card, _sums, _result, _chip, _conversion, _foot)
    blocks = ["\n".join(part(receipt, width)) for part in parts]
    return f"\n{'-' * width}\n".join(block for block in blocks if block)


def _head(receipt: Receipt, width: int) -> Iterator[str]:
    for line in receipt.merchant:
        yield from _centered(line, width) if _clean(line) else ("",)
    if receipt.merchant:
        yield ""
    yield from _centered(receipt.title, width)
    yield from _centered(f"{receipt.copy.upper()} COPY", width)
    yield ""
    if receipt.date_time is not None:
        # The name of a zone may be anything; its offset is short and says the same.
        moment = receipt.date_time.isoformat(sep=" ", timespec="seconds")
        yield from _pair("Date", moment.replace("+00:00", " UTC"), width)
    if receipt.processing_terminal_id:
        yield from _pair("Terminal", receipt.processing_terminal_id, width)
    if receipt.operator:
        yield from _pair("Operator", receipt.operator, width)
    if receipt.order_id:
        yield from _pair("Order", receipt.order_id, width)
    yield from _pair("Refund" if receipt.refund else "Payment", receipt.transaction_id, width)
    if receipt.refunded_payment_id:
        yield from _pair("Of payment", receipt.refunded_payment_id, width)


def _card(receipt: Receipt, width: int) -> Iterator[str]:
    if receipt.card_brand:
        yield from _pair("Card", receipt.card_brand, width)
    yield from _pair("Number", receipt.card_number, width)
    if receipt.entry_method:
        yield from _pair("Entry", receipt.entry_method, width)
    if receipt.emv.application:
        yield from _pair("Application", receipt.emv.application, width)
    if receipt.emv.aid:
        yield from _pair("AID", receipt.emv.aid, width)


def _sums(receipt: Receipt, width: int) -> Iterator[str]:
    for each in receipt.sums:
        yield from _sum(each, width)
    total = receipt.total.label if receipt.approved else "AMOUNT"
    yield from _pair(total, str(receipt.total), width)
    if receipt.authorized is not None:
        yield from _sum(receipt.authorized, width)
    elif receipt.outcome is Outcome.PARTIALLY_APPROVED and not receipt.reversed:
        yield from _pair("AUTHORIZED", "A PART, NOT KNOWN", width)
    if receipt.remaining is not None:
        yield from _sum(receipt.remaining, width)


def _result(receipt: Receipt, width: int) -> Iterator[str]:
    result = "REVERSED" if receipt.reversed else RESULTS[receipt.outcome]
    yield from _centered(result, width)
    if result in ("DECLINED", "REVERSED"):
        yield from _centered("NOT REFUNDED" if receipt.refund else "NOT CHARGED", width)
    if receipt.approval_code:
        yield from _pair("Approval code", receipt.approval_code, width)
    if receipt.response:
        yield from _pair("Response", receipt.response, width)
    if receipt.approved and receipt.verification in VERIFIED:
        yield from _centered(VERIFIED[receipt.verification], width)
    for each in receipt.balances:
        yield from _sum(each, width)


def _chip(receipt: Receipt, width: int) -> Iterator[str]:
    emv = receipt.emv
    lines = {
        emv.cryptogram_type or "Cryptogram": emv.cryptogram,
        "TVR": emv.tvr,
        "TSI": emv.tsi,
        "ARC": emv.arc,
        "ATC": emv.atc,
    }
    for label, value in lines.items():
        if value:
            yield from _pair(label, value, width)


def _conversion(receipt: Receipt, width: int) -> Iterator[str]:
    chosen = receipt.conversion
    if chosen is None:
        return
    yield from _centered("CURRENCY CONVERSION", width)
    if chosen.rate is not None:
        currencies = chosen.from_currency and chosen.to_currency
        label = f"Rate {chosen.from_currency} to {chosen.to_currency}" if currencies else "Rate"
        yield from _pair(label, short(chosen.rate), width)
    if chosen.markup is not None:
        yield from _pair("Mark-up", f"{short(chosen.markup)}%", width)
    if chosen.markup_text:
        yield from _wrapped(chosen.markup_text, width)
    if chosen.amount is not None:
        yield from _sum(chosen.amount, width)
    by = [f"by {chosen.provider}"] if chosen.provider else []
    of = [f"at the rates of {chosen.source}"] if chosen.source else []
    if by or of:
        yield from _wrapped(f"Converted {' '.join(by + of)}.", width)
    if not receipt.refund:
        yield from _wrapped(_choice(chosen), width)


def _choice(chosen: ReceiptConversion) -> str:
    # Card schemes require that the receipt says so: offered, chosen, and final.
    shop, card = (
        chosen.from_currency or "the shop's currency",
        chosen.to_currency or "my card's currency",
    )
    return (
        f"I was offered to pay in {shop}, and chose to pay in "
        f"{card} at this rate and mark-up. My choice is final."
    )


def _foot(receipt: Receipt, width: int) -> Iterator[str]:
    if receipt.copy == "customer":
        yield from _centered("PLEASE KEEP THIS RECEIPT", width)
        return
    if not receipt.signature_needed:
        return
    if receipt.signature_captured:
        yield from _centered("SIGNED ON THE DEVICE", width)
        return
    yield from ("", "", "X" + "_" * (width - 1))
    yield from _centered("Signature", width)
    if not receipt.refund:
        sum_ = "total" if receipt.authorized is None else "authorized amount"
        agreed = f"I agree to pay the above {sum_} as my agreement with the card issuer says."
        yield from _wrapped(agreed, width)


def _sum(each: ReceiptSum, width: int) -> Iterator[str]:
    yield from _pair(each.label, str(each), width)


def _pair(label: str, value: str, width: int) -> Iterator[str]:
    """Label on the left, value on the right; on lines of their own if they are too long for one."""
    label, value = _clean(label), _clean(value)
    room = width - columns(label) - columns(value)
    if room >= 1:
        yield f"{label}{' ' * room}{value}".rstrip()
        return
    yield from _wrapped(label, width)
    for line in _wrapped(value, width):
        yield " " * (width - columns(line)) + line


def _centered(text: str, width: int) -> Iterator[str]:
    for line in _wrapped(text, width):
        yield " " * ((width - columns(line)) // 2) + line


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Its words on as many lines as they need; only a word wider than a line is broken."""
    line = ""
    for word in _clean(text).split():
        longer = f"{line} {word}" if line else word
        if columns(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        *full, line = _broken(word, width)
        yield from full
    if line:
        yield line


def _broken(word: str, width: int) -> list[str]:
    pieces = [""]
    for character in word:
        if columns(pieces[-1]) + columns(character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _clean(text: str) -> str:
    """Without what would steer a printer, and with single spaces."""
    seen = "".join(" " if unicodedata.category(it)[0] == "C" else it for it in text)
    return " ".join(seen.split())


def columns(text: str) -> int:
    """How wide it is on paper: East Asian characters take two columns, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(it) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(it) in "WF"
        else 1
        for it in text
    )
