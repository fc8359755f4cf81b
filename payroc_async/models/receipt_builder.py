"""Makes a receipt of a payment or a refund: what is on it, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from payroc_async.errors import ConfigurationError

from .card import Card
from .emv import CardholderVerification, EmvData, read_emv_tags
from .enums import EntryMethod, Outcome, TransactionStatus, TransactionType
from .receipt import Copy, Receipt, ReceiptConversion
from .receipt_sums import Printable, ReceiptSum, authorized_of, balances_of, parts_of, total_of
from .retrieved_orders import DccOffer

__all__ = ["make_receipt"]

ENTRY_METHODS = {
    EntryMethod.ICC: "Chip",
    EntryMethod.KEYED: "Keyed",
    EntryMethod.SWIPED: "Swiped",
    EntryMethod.SWIPED_FALLBACK: "Swiped, chip not read",
    EntryMethod.CONTACTLESS_ICC: "Contactless",
    EntryMethod.CONTACTLESS_MSR: "Contactless, magnetic stripe",
}
SIGNED_FOR = (EntryMethod.KEYED, EntryMethod.SWIPED, EntryMethod.SWIPED_FALLBACK)
"""Without a chip to say how the cardholder is verified, these are signed for."""


def make_receipt(
    transaction: Printable,
    *,
    merchant: Sequence[str],
    copy: Copy,
    date_time: datetime | None,
) -> Receipt:
    """The receipt of a payment or a refund: see ``Payment.receipt``.

    Raises:
        ConfigurationError: An argument is wrong.
    """
    _check(merchant, copy, date_time)
    order, card, result = transaction.order, transaction.card, transaction.transaction_result
    took = transaction.outcome in (Outcome.APPROVED, Outcome.PARTIALLY_APPROVED)
    reversed_ = took and not transaction.in_effect
    emv = read_emv_tags(card.emv_tags)
    total = total_of(transaction)
    authorized, remaining = authorized_of(transaction, total)
    return Receipt(
        copy=copy,
        merchant=tuple(merchant),
        title=f"{_end(transaction)} {_title(transaction)}" if reversed_ else _title(transaction),
        outcome=transaction.outcome,
        reversed=reversed_,
        date_time=date_time or order.date_time,
        processing_terminal_id=transaction.processing_terminal_id,
        operator=transaction.operator,
        order_id=order.order_id,
        transaction_id=transaction._resource_id,
        refunded_payment_id=transaction._refunded_payment_id,
        sums=tuple(parts_of(order.breakdown, total)),
        total=total,
        authorized=None if reversed_ else authorized,
        remaining=None if reversed_ else remaining,
        balances=balances_of(card) if copy == "customer" else (),
        card_brand=card.type,
        card_number=masked(card.card_number),
        entry_method=_entry_method(card),
        approval_code=result.approval_code if took else None,
        response=_response(transaction) if copy == "merchant" else None,
        emv=emv,
        verification=emv.verification,
        signature_needed=took and not reversed_ and _is_signed_for(transaction, emv),
        signature_captured=bool(card.cardholder_signature),
        conversion=_conversion(transaction) if took and not reversed_ else None,
    )


def _check(merchant: Sequence[str], copy: Copy, date_time: datetime | None) -> None:
    if not isinstance(merchant, list | tuple) or not all(isinstance(it, str) for it in merchant):
        raise ConfigurationError("merchant", "must be a list of strings, one for each line")
    if copy not in ("customer", "merchant"):
        raise ConfigurationError("copy", "must be 'customer' or 'merchant'")
    if date_time is not None and not isinstance(date_time, datetime):
        raise ConfigurationError("date_time", "must be a datetime")


def _title(transaction: Printable) -> str:
    titles = {
        TransactionType.SALE: "SALE",
        TransactionType.REFUND: "REFUND",
        TransactionType.PRE_AUTHORIZATION: "PRE-AUTHORIZATION",
        TransactionType.PRE_AUTHORIZATION_COMPLETION: "COMPLETION",
    }
    if transaction._is_refund:
        return "REFUND"
    if transaction.uncaptured:
        return "PRE-AUTHORIZATION"  # its type may say sale
    kind = transaction.transaction_result.type
    return titles.get(kind, "PAYMENT") if kind is not None else "PAYMENT"


def _end(transaction: Printable) -> str:
    expired = transaction.transaction_result.status == TransactionStatus.EXPIRED
    return "EXPIRED" if expired else "VOID"


def masked(card_number: str | None) -> str:
    """The number as schemes want it on paper: its last four digits alone.

    Fewer than four characters before them would mean that they are not the end of a number.
    """
    number = card_number or ""
    last = number[-4:]
    shown = last if len(number) >= 8 and last.isascii() and last.isdigit() else "****"
    return f"**** **** **** {shown}"


def _entry_method(card: Card) -> str | None:
    if card.entry_method is None:
        return None
    return ENTRY_METHODS.get(card.entry_method, str(card.entry_method))


def _response(transaction: Printable) -> str:
    result = transaction.transaction_result
    return f"{result.response_code} {result.response_message or ''}".strip()


def _is_signed_for(transaction: Printable, emv: EmvData) -> bool:
    if emv.verification is not None:
        return emv.verification in (
            CardholderVerification.SIGNATURE,
            CardholderVerification.PIN_AND_SIGNATURE,
        )
    return transaction.card.entry_method in SIGNED_FOR and _title(transaction) != "REFUND"


def _conversion(transaction: Printable) -> ReceiptConversion | None:
    offer = transaction.order.dcc_offer
    if offer is None or offer.accepted is not True:
        return None
    given = transaction.transaction_result.authorized_amount
    asked = total_of(transaction)
    whole = transaction.outcome is Outcome.APPROVED and given in (None, asked.minor_units)
    return ReceiptConversion(
        amount=_converted(offer) if whole and offer.fx_amount is not None else None,
        from_currency=asked.currency,
        to_currency=offer.fx_currency,
        rate=offer.fx_rate,
        markup=offer.markup,
        markup_text=offer.markup_text,
        provider=offer.provider,
        source=offer.source,
    )


def _converted(offer: DccOffer) -> ReceiptSum:
    digits = offer.fx_currency_exponent
    return ReceiptSum(
        label="TRANSACTION AMOUNT",
        minor_units=offer.fx_amount,
        currency=offer.fx_currency,
        digits=digits if digits is not None and 0 <= digits <= 4 else None,
    )
