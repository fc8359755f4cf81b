"""A receipt, as data: what card schemes require to be on it, and nothing that they forbid.

Of the card there are the brand and the last four digits. The expiry date is never on a receipt, and
neither is the cardholder's name: no scheme asks for it on a printed receipt, the signature is
compared with the card itself, and the merchant's copies lie in drawers for years.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from payroc_async.errors import ConfigurationError

from .amount import in_words
from .card import Card
from .emv import CardholderVerification, EmvData, read_emv_tags
from .enums import EntryMethod, Outcome, TransactionStatus, TransactionType
from .orders import DccOffer, RetrievedBreakdown
from .payment import Payment
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

MOST_FRACTION_DIGITS = 6


@frozen(kw_only=True, eq=False, repr=False)
class ReceiptSum(Model):
    """A sum on a receipt, with what it is for. Source: contract section 5.

    Attributes:
        minor_units: In the currency's smallest unit.
        digits: How many there are after the point, where the gateway says so; else ISO 4217 does.
    """

    label: str
    minor_units: int
    currency: str
    digits: int | None = None

    def __str__(self) -> str:
        return in_words(self.minor_units, self.currency, digits=self.digits)


@frozen(kw_only=True, eq=False, repr=False)
class ReceiptConversion(Model):
    """The currency conversion that the cardholder chose. Source: contract section 5.

    Attributes:
        amount: What is charged, in the card's currency; None if only a part of the amount was
            authorized, for which the gateway gives no converted sum.
        rate: From the order's currency to the card's.
        markup: In percent.
    """

    amount: ReceiptSum | None
    from_currency: str
    to_currency: str
    rate: float
    markup: float
    markup_text: str | None
    provider: str | None
    source: str | None


@frozen(kw_only=True, eq=False, repr=False)
class Receipt(Model):
    """What a receipt says; ``text()`` is what a printer prints. Source: contract section 5.

    Attributes:
        title: What was done, such as ``SALE``, ``REFUND`` or ``VOID SALE``.
        outcome: What became of it.
        reversed: Whether it was approved and later voided.
        date_time: None if neither the caller nor the gateway gave one.
        transaction_id: The payment's or the refund's id.
        refunded_payment_id: On a refund's receipt, the payment that is given back.
        sums: What the total is made of.
        total: What was asked for.
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
    processing_terminal_id: str
    operator: str | None
    order_id: str
    transaction_id: str
    refunded_payment_id: str | None
    sums: tuple[ReceiptSum, ...]
    total: ReceiptSum
    authorized: ReceiptSum | None
    remaining: ReceiptSum | None
    balances: tuple[ReceiptSum, ...] = field(repr=False)
    card_brand: str
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
    reversed_ = took and result.status == TransactionStatus.REVERSAL
    emv = read_emv_tags(card.emv_tags)
    authorized, remaining = _authorized(transaction)
    return Receipt(
        copy=copy,
        merchant=tuple(merchant),
        title=f"VOID {_title(transaction)}" if reversed_ else _title(transaction),
        outcome=transaction.outcome,
        reversed=reversed_,
        date_time=date_time or order.date_time,
        processing_terminal_id=transaction.processing_terminal_id,
        operator=transaction.operator,
        order_id=order.order_id,
        transaction_id=_id(transaction),
        refunded_payment_id=refund.payment.payment_id if refund and refund.payment else None,
        sums=tuple(_sums(order.breakdown, order.amount, order.currency)),
        total=ReceiptSum(label="TOTAL", minor_units=order.amount, currency=order.currency),
        authorized=None if reversed_ else authorized,
        remaining=None if reversed_ else remaining,
        balances=_balances(card) if copy == "customer" else (),
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
    kind = transaction.transaction_result.type
    return titles.get(kind, "PAYMENT") if kind is not None else "PAYMENT"


def _id(transaction: Transaction) -> str:
    if isinstance(transaction, Payment):
        return transaction.payment_id
    assert isinstance(transaction, Refund)
    return transaction.refund_id


def masked(card_number: str) -> str:
    """The number as schemes want it on paper: its last four digits alone.

    Fewer than four characters before them would mean that they are not the end of a number.
    """
    last = card_number[-4:]
    shown = last if len(card_number) >= 8 and last.isascii() and last.isdigit() else "****"
    return f"**** **** **** {shown}"


def _sums(breakdown: RetrievedBreakdown | None, total: int, currency: str) -> Iterator[ReceiptSum]:
    if breakdown is None:
        return
    fee, surcharge = breakdown.convenience_fee, breakdown.surcharge
    parts: list[tuple[str, int | None]] = [
        ("Tip", None),
        ("Surcharge", surcharge.amount if surcharge and not surcharge.bypass else None),
        *((f"{tax.name} {short(tax.rate)}%", tax.amount) for tax in breakdown.taxes),
        ("Convenience fee", fee.amount if fee else None),
        ("Duty", breakdown.duty_amount),
        ("Freight", breakdown.freight_amount),
        ("Cashback", breakdown.cashback_amount),
    ]
    choice = breakdown.dual_pricing and breakdown.dual_pricing.choice_rate
    if choice and choice.applied:
        parts.insert(2, (f"Choice rate {short(choice.rate)}%", choice.amount))
    parts[0] = _tip(breakdown, total, [amount for _, amount in parts[1:]])
    added = [(label, amount) for label, amount in parts if amount]
    if not added and breakdown.subtotal == total:
        return
    yield ReceiptSum(label="Subtotal", minor_units=breakdown.subtotal, currency=currency)
    for label, amount in added:
        yield ReceiptSum(label=label, minor_units=amount, currency=currency)


def _tip(
    breakdown: RetrievedBreakdown, total: int, others: list[int | None]
) -> tuple[str, int | None]:
    """The tip's line. One that is given as a percentage alone is what is left of the total."""
    tip, surcharge = breakdown.tip, breakdown.surcharge
    if tip is None or tip.amount is not None or not tip.percentage:
        return "Tip", tip.amount if tip else None
    unknown = any(tax.amount is None for tax in breakdown.taxes) or (
        surcharge is not None and not surcharge.bypass and surcharge.amount is None
    )
    left = total - breakdown.subtotal - sum(amount or 0 for amount in others)
    return f"Tip {short(tip.percentage)}%", None if unknown or left < 0 else left


def short(number: float) -> str:
    """A rate as people write it: 6.25, 5, 0.92."""
    text = f"{number:.{MOST_FRACTION_DIGITS}f}".rstrip("0").rstrip(".")
    return text if len(text) <= 16 and (text != "0" or not number) else f"{number:.6g}"


def _authorized(transaction: Transaction) -> tuple[ReceiptSum | None, ReceiptSum | None]:
    """What was authorized and what is left to pay, where that is worth a line."""
    order, result = transaction.order, transaction.transaction_result
    partial = transaction.outcome is Outcome.PARTIALLY_APPROVED
    currency = result.currency or order.currency
    given = result.authorized_amount
    if given is None or not (partial or transaction.approved):
        return None, None
    same = currency == order.currency
    if not partial and same and given == order.amount:
        return None, None
    authorized = ReceiptSum(label="AUTHORIZED", minor_units=given, currency=currency)
    if not partial or not same or given > order.amount:
        return authorized, None
    left = order.amount - given
    return authorized, ReceiptSum(label="STILL TO PAY", minor_units=left, currency=currency)


def _balances(card: Card) -> tuple[ReceiptSum, ...]:
    names = {"cash": "Cash", "foodStamp": "Food stamp"}
    return tuple(
        ReceiptSum(
            label=f"{names.get(it.benefit_category, it.benefit_category)} balance",
            minor_units=it.amount,
            currency=it.currency,
        )
        for it in card.balances
    )


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
    whole = transaction.outcome is Outcome.APPROVED and given in (None, transaction.order.amount)
    return ReceiptConversion(
        amount=_converted(offer) if whole else None,
        from_currency=transaction.order.currency,
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
