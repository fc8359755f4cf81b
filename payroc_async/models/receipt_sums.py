"""The sums on a receipt. Source: contract section 5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from attrs import frozen

from .amount import in_words
from .card import Card
from .enums import Outcome
from .retrieved_orders import RetrievedBreakdown, RetrievedOrder
from .shared import Model
from .transaction_result import TransactionResult

__all__ = [
    "Printable",
    "ReceiptSum",
    "authorized_of",
    "balances_of",
    "parts_of",
    "short",
    "total_of",
]

MOST_FRACTION_DIGITS = 6


@frozen(kw_only=True, eq=False, repr=False)
class ReceiptSum(Model):
    """A sum on a receipt, with what it is for. Source: contract section 5.

    Attributes:
        minor_units: In the currency's smallest unit; None, as ``currency``, if it is not known.
        digits: How many there are after the point, where the gateway says so; else ISO 4217 does.
    """

    label: str
    minor_units: int | None
    currency: str | None
    digits: int | None = None

    def __str__(self) -> str:
        return in_words(self.minor_units, self.currency, digits=self.digits)


class Printable(Protocol):
    """What a receipt is made of: a payment or a refund."""

    _is_refund: ClassVar[bool]

    @property
    def processing_terminal_id(self) -> str | None: ...
    @property
    def operator(self) -> str | None: ...
    @property
    def order(self) -> RetrievedOrder: ...
    @property
    def card(self) -> Card: ...
    @property
    def transaction_result(self) -> TransactionResult: ...
    @property
    def _resource_id(self) -> str: ...
    @property
    def _refunded_payment_id(self) -> str | None: ...
    @property
    def uncaptured(self) -> bool: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def approved(self) -> bool: ...
    @property
    def in_effect(self) -> bool: ...


def total_of(transaction: Printable) -> ReceiptSum:
    """What was asked for, or, where that is not known, all that was approved."""
    order, result = transaction.order, transaction.transaction_result
    amount, given = order.amount, result.authorized_amount
    currency = order.currency or result.currency
    if amount is None and transaction.approved and currency == (result.currency or currency):
        amount = given
    return ReceiptSum(label="TOTAL", minor_units=amount, currency=currency)


def parts_of(breakdown: RetrievedBreakdown | None, total: ReceiptSum) -> Iterator[ReceiptSum]:
    """What the total is made of; nothing where it is one sum."""
    if breakdown is None:
        return
    fee, surcharge = breakdown.convenience_fee, breakdown.surcharge
    parts: list[tuple[str, int | None]] = [
        ("Tip", None),
        ("Surcharge", surcharge.amount if surcharge and not surcharge.bypass else None),
        *((_rated(tax.name or "Tax", tax.rate), tax.amount) for tax in breakdown.taxes),
        ("Convenience fee", fee.amount if fee else None),
        ("Duty", breakdown.duty_amount),
        ("Freight", breakdown.freight_amount),
        ("Cashback", breakdown.cashback_amount),
    ]
    choice = breakdown.dual_pricing and breakdown.dual_pricing.choice_rate
    if choice and choice.applied:
        parts.insert(2, (_rated("Choice rate", choice.rate), choice.amount))
    parts[0] = _tip(breakdown, total.minor_units, [amount for _, amount in parts[1:]])
    added = [(label, amount) for label, amount in parts if amount]
    if not added and breakdown.subtotal == total.minor_units:
        return
    if breakdown.subtotal is not None:
        added.insert(0, ("Subtotal", breakdown.subtotal))
    for label, amount in added:
        yield ReceiptSum(label=label, minor_units=amount, currency=total.currency)


def _rated(label: str, rate: float | None) -> str:
    return label if rate is None else f"{label} {short(rate)}%"


def _tip(
    breakdown: RetrievedBreakdown, total: int | None, others: list[int | None]
) -> tuple[str, int | None]:
    """The tip's line. One that is given as a percentage alone is what is left of the total."""
    tip, surcharge = breakdown.tip, breakdown.surcharge
    if tip is None or tip.amount is not None or not tip.percentage:
        return "Tip", tip.amount if tip else None
    if total is None or breakdown.subtotal is None:
        return "Tip", None
    unknown = any(tax.amount is None for tax in breakdown.taxes) or (
        surcharge is not None and not surcharge.bypass and surcharge.amount is None
    )
    left = total - breakdown.subtotal - sum(amount or 0 for amount in others)
    return _rated("Tip", tip.percentage), None if unknown or left < 0 else left


def short(number: float) -> str:
    """A rate as people write it: 6.25, 5, 0.92."""
    text = f"{number:.{MOST_FRACTION_DIGITS}f}".rstrip("0").rstrip(".")
    return text if len(text) <= 16 and (text != "0" or not number) else f"{number:.6g}"


def authorized_of(
    transaction: Printable, total: ReceiptSum
) -> tuple[ReceiptSum | None, ReceiptSum | None]:
    """What was authorized and what is left to pay, where that is worth a line."""
    result, asked = transaction.transaction_result, total.minor_units
    partial = transaction.outcome is Outcome.PARTIALLY_APPROVED
    currency = result.currency or total.currency
    given = result.authorized_amount
    if given is None or not (partial or transaction.approved):
        return None, None
    same = currency == total.currency
    if not partial and same and given == asked:
        return None, None
    authorized = ReceiptSum(label="AUTHORIZED", minor_units=given, currency=currency)
    if not partial or not same or asked is None or given > asked:
        return authorized, None
    left = asked - given
    return authorized, ReceiptSum(label="STILL TO PAY", minor_units=left, currency=currency)


def balances_of(card: Card) -> tuple[ReceiptSum, ...]:
    """What is left on the card, where the gateway says how much."""
    names = {"cash": "Cash", "foodStamp": "Food stamp", None: "Card"}
    return tuple(
        ReceiptSum(
            label=f"{names.get(it.benefit_category, it.benefit_category)} balance",
            minor_units=it.amount,
            currency=it.currency,
        )
        for it in card.balances
        if it.amount is not None
    )
