"""A receipt, as data: what card schemes require to be on it, and nothing that they forbid.

Of the card there are the brand and the last four digits. The expiry date is never on a receipt, and
neither is the cardholder's name: no scheme asks for it on a printed receipt, the signature is
compared with the card itself, and the merchant's copies lie in drawers for years.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from payroc_async.errors import ConfigurationError

from .card import Card
from .emv import CardholderVerification, EmvData, read_emv_tags
from .enums import EntryMethod, Outcome, TransactionStatus, TransactionType
from .orders import DccOffer
from .payment import Payment
from .receipt_sums import (
    ReceiptSum,
    authorized_of,
    balances_of,
    parts_of,
    total_of,
)
from .refund import Refund
from .shared import Model

if TYPE_CHECKING:
    from .transaction import Transaction

__all__ = ["Copy", "Receipt", "ReceiptConversion", "ReceiptSum", "make_receipt"]

Copy = Literal["customer", "merchant"]
"""Whose copy of a receipt it is."""

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
        from .receipt_text import render  # it needs this module

        if isinstance(width, bool) or not isinstance(width, int) or width < 24:
            raise ConfigurationError("width", "must be an int of at least 24 columns")
        return render(self, width)


def make_receipt(
    transaction: Transaction,
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
    refund = transaction if isinstance(transaction, Refund) else None
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
        transaction_id=_id(transaction),
        refunded_payment_id=refund.payment.payment_id if refund and refund.payment else None,
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


def _title(transaction: Transaction) -> str:
    titles = {
        TransactionType.SALE: "SALE",
        TransactionType.REFUND: "REFUND",
        TransactionType.PRE_AUTHORIZATION: "PRE-AUTHORIZATION",
        TransactionType.PRE_AUTHORIZATION_COMPLETION: "COMPLETION",
    }
    if isinstance(transaction, Refund):
        return "REFUND"
    if isinstance(transaction, Payment) and transaction.uncaptured:
        return "PRE-AUTHORIZATION"  # its type may say sale
    kind = transaction.transaction_result.type
    return titles.get(kind, "PAYMENT") if kind is not None else "PAYMENT"


def _end(transaction: Transaction) -> str:
    expired = transaction.transaction_result.status == TransactionStatus.EXPIRED
    return "EXPIRED" if expired else "VOID"


def _id(transaction: Transaction) -> str:
    if isinstance(transaction, Payment):
        return transaction.payment_id
    assert isinstance(transaction, Refund)
    return transaction.refund_id


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


def _response(transaction: Transaction) -> str:
    result = transaction.transaction_result
    return f"{result.response_code} {result.response_message or ''}".strip()


def _is_signed_for(transaction: Transaction, emv: EmvData) -> bool:
    if emv.verification is not None:
        return emv.verification in (
            CardholderVerification.SIGNATURE,
            CardholderVerification.PIN_AND_SIGNATURE,
        )
    return transaction.card.entry_method in SIGNED_FOR and _title(transaction) != "REFUND"


def _conversion(transaction: Transaction) -> ReceiptConversion | None:
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
