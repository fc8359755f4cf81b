"""The day's totals by currency, and the open pre-authorizations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime, time
from typing import Any

from attrs import define, field

from payroc_async import Outcome, Payment, PayrocSession, Transaction, TransactionStatus
from payroc_async.cli.phrases import counted
from payroc_async.models.amount import in_words

__all__ = ["Sums", "bounds_of", "find_uncaptured", "size_of"]


def size_of(transaction: Transaction) -> int | None:
    """Return the authorized amount in the smallest unit; None if unknown."""
    amount = transaction.transaction_result.authorized_amount
    if amount is None and transaction.outcome is Outcome.APPROVED:
        return transaction.order.amount
    return amount


@define
class Sums:
    """Counts and totals by currency.

    Attributes:
        undecided: How many the processor has received but not decided.
        unknown: How many have an amount or currency that the gateway does not state.
    """

    counts: dict[str, int] = field(factory=dict)
    amounts: dict[str, int] = field(factory=dict)
    undecided: int = 0
    unknown: int = 0

    def add(self, transaction: Transaction) -> None:
        """Count a transaction that moves money. Declined and reversed ones do not count."""
        if transaction.outcome is Outcome.DEFERRED:
            self.undecided += 1
        if not transaction.in_effect:
            return
        amount = size_of(transaction)
        currency = transaction.transaction_result.currency or transaction.order.currency
        if amount is None or currency is None:
            self.unknown += 1
            return
        self.counts[currency] = self.counts.get(currency, 0) + 1
        self.amounts[currency] = self.amounts.get(currency, 0) + amount

    def members(self) -> dict[str, Any]:
        """Return the totals for JSON, in the smallest unit."""
        currencies = [
            {"currency": currency, "count": self.counts[currency], "amount": amount}
            for currency, amount in sorted(self.amounts.items())
        ]
        return {
            "currencies": currencies,
            "undecided": self.undecided,
            "unknown": self.unknown,
        }

    def words(self, noun: str) -> str:
        """Return the totals in words: ``2 payments, 69.99 USD``."""
        parts = [
            f"{counted(self.counts[currency], noun)}, {in_words(amount, currency)}"
            for currency, amount in sorted(self.amounts.items())
        ] or [counted(0, noun)]
        if self.undecided:
            parts.append(f"{counted(self.undecided, noun)} not decided yet")
        if self.unknown:
            parts.append(f"{counted(self.unknown, noun)} of unknown amount")
        return "; ".join(parts)


def bounds_of(day: date) -> tuple[datetime, datetime]:
    """Return the first and last moment of a day, in this machine's time zone."""
    first, last = (datetime.combine(day, end).astimezone() for end in (time.min, time.max))
    return first, last


async def find_uncaptured(session: PayrocSession, processing_terminal_id: str) -> list[Payment]:
    """Return the terminal's open pre-authorizations. Source: contract section 10."""
    found: AsyncIterator[Payment] = session.payments.search(
        processing_terminal_id=processing_terminal_id,
        status=TransactionStatus.PENDING,
        settlement_state="unsettled",
        limit=100,
    )
    return [payment async for payment in found if payment.uncaptured]
