"""A receipt, as data: what card schemes require to be on it, and nothing that they forbid.

Of the card there are the brand and the last four digits. The expiry date is never on a receipt, and
neither is the cardholder's name: no scheme asks for it on a printed receipt, the signature is
compared with the card itself, and the merchant's copies lie in drawers for years.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from attrs import field, frozen

from payroc_async.errors import ConfigurationError

from .emv import CardholderVerification, EmvData
from .enums import Outcome
from .receipt_sums import ReceiptSum, short
from .shared import Model

__all__ = ["Copy", "Receipt", "ReceiptConversion", "ReceiptSum"]

Copy = Literal["customer", "merchant"]
"""Whose copy of a receipt it is."""

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


@frozen(kw_only=True, eq=False, repr=False)
class ReceiptConversion(Model):
    """The currency conversion that the cardholder chose; None is what the gateway did not say.

    Source: contract section 5.

    Attributes:
        amount: What is charged, in the card's currency; None, too, if only a part of the amount was
            authorized, for which the gateway gives no converted sum.
        rate: From the order's currency to the card's.
        markup: In percent.
    """

    amount: ReceiptSum | None
    from_currency: str | None
    to_currency: str | None
    rate: float | None
    markup: float | None
    markup_text: str | None
    provider: str | None
    source: str | None


@frozen(kw_only=True, eq=False, repr=False)
class Receipt(Model):
    """What a receipt says; ``text()`` is what a printer prints. Source: contract section 5.

    Attributes:
        title: What was done, such as ``SALE``, ``REFUND`` or ``VOID SALE``.
        outcome: What became of it.
        reversed: Whether it was approved, and later voided or expired.
        date_time: None if neither the caller nor the gateway gave one.
        transaction_id: The payment's or the refund's id.
        refunded_payment_id: On a refund's receipt, the payment that is given back.
        sums: What the total is made of.
        total: What was asked for; where the gateway does not say, all that was approved.
        authorized: What was authorized, if that is not what was asked for; None if it is not known.
        remaining: What is left to pay after a partial approval.
        balances: What is left on the card, which EBT requires; on the customer's copy alone.
        card_number: The last four digits, the others masked.
        entry_method: In plain words.
        approval_code: None if nothing was approved.
        response: The processor's code and message; on the merchant's copy alone, for it may tell
            more about the card than its holder should read on paper.
        signature_needed: Whether the cardholder is to sign.
        signature_captured: Whether the device took the signature.
    """

    copy: Copy
    merchant: tuple[str, ...]
    title: str
    outcome: Outcome
    reversed: bool
    date_time: datetime | None
    processing_terminal_id: str | None
    operator: str | None
    order_id: str | None
    transaction_id: str
    refunded_payment_id: str | None
    sums: tuple[ReceiptSum, ...]
    total: ReceiptSum
    authorized: ReceiptSum | None
    remaining: ReceiptSum | None
    balances: tuple[ReceiptSum, ...] = field(repr=False)
    card_brand: str | None
    card_number: str = field(repr=False)
    entry_method: str | None
    approval_code: str | None
    response: str | None
    emv: EmvData
    verification: CardholderVerification | None
    signature_needed: bool
    signature_captured: bool
    conversion: ReceiptConversion | None

    @property
    def approved(self) -> bool:
        """Whether money is taken or given back: all of it, or a part."""
        return not self.reversed and self.outcome in (
            Outcome.APPROVED,
            Outcome.PARTIALLY_APPROVED,
        )

    @property
    def refund(self) -> bool:
        """Whether it is about money that is given back."""
        return self.title.endswith("REFUND")

    def text(self, width: int = 42) -> str:
        """The receipt as lines of at most ``width`` columns, without a newline at the end.

        It is plain text: no control characters, also where the gateway or the merchant gave some.
        No number is cut in two, unless it alone is wider than the paper.

        Args:
            width: Columns of the printer: 32 (58 mm paper), 42 (80 mm), or another from 24 up.

        Raises:
            ConfigurationError: The width is wrong.
        """
        if isinstance(width, bool) or not isinstance(width, int) or width < 24:
            raise ConfigurationError("width", "must be an int of at least 24 columns")
        return render(self, width)


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
