"""Which payment came of a submission whose instruction was never known: the order shows it.

The journal is asked for what matters alone, in portions, however long its history is.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

from attrs import frozen

from . import models
from .codec import decode, structure
from .errors import PayrocError, ResponseFormatError
from .journal import Entry
from .journal.writer import JournalWriter
from .kinds import PAYMENT
from .models.shared import Model
from .payments import Payments
from .resources import pages_of
from .scalars import PADDING

__all__ = ["PaymentSearch", "is_unclear"]

CLOCKS_APART = timedelta(minutes=10)
"""How far the journal's clock and the gateway's may be apart, where payments are searched."""
RIVALS_KEPT = 600.0
"""Seconds for which an entry's order is remembered, though the journal has dropped it."""


class PaymentSearch:
    """Looks for the payments of entries that are old and have no id.

    Args:
        writer: The session's use of its journal.
        payments: Where to search.
    """

    def __init__(self, writer: JournalWriter, payments: Payments) -> None:
        self._writer = writer
        self._payments = payments
        self._rivals: dict[str, tuple[float, Entry]] = {}
        """Entries whose order is known, by key, and when it was read."""
        self._reading = asyncio.Lock()
        self._read_at = 0.0  # when the last reading began

    async def read_rivals(self) -> None:
        """Read which sales may have made a payment: those whose order the journal knows.

        Those whose order was known remain, for the order is dropped with the body.

        Raises:
            JournalError: The journal can't be read.
        """
        now = self._read_at = time.monotonic()
        kept = {key: one for key, one in self._rivals.items() if now - one[0] < RIVALS_KEPT}
        async for entry in self._writer.with_orders():
            kept[entry.idempotency_key] = now, entry
        self._rivals = kept

    async def find(self, entry: Entry) -> list[models.Payment]:
        """The payments that may have come of it: of its order, and of no entry that has ended.

        Raises:
            ResponseFormatError: A payment is there that can't be read: it may be the one.
            PayrocError: The gateway or the journal can't be read, or a sale that is under way on
                the device may have made the payment.
        """
        wanted = _Order.of(entry)
        filters = models.PaymentFilters(
            processing_terminal_id=wanted.processing_terminal_id,
            order_id=wanted.order_id,
            date_from=min(wanted.date_time or entry.begun, entry.begun) - CLOCKS_APART,
        )
        found: list[models.Payment] = []
        async for page in pages_of(self._payments, PAYMENT, filters):
            if page.skipped:
                raise ResponseFormatError("the search found a payment without an id")
            found += [payment for payment in page.data if wanted.fits(payment)]
        if not found:
            return []
        # Only now: the order may have been sold anew while the search was answered. And the owners
        # of payments last: what was under way before may have got its payment since.
        answered = time.monotonic()
        async with self._reading:  # one reading serves all whose search was answered before it
            if self._read_at <= answered:
                await self.read_rivals()
        under_way = [
            one
            for one in await self._writer.unfinished(entry.serial_number)
            if one.kind == entry.kind
            and one.instruction_id is not None
            and one.idempotency_key not in self._rivals
        ]
        others = await self._writer.owned(entry.kind, [payment.payment_id for payment in found])
        found = [payment for payment in found if payment.payment_id not in others]
        if found and under_way:
            raise PayrocError("another sale, under way on its device, may have made the payment")
        return found

    def may_be_anothers(self, entry: Entry, found: list[models.Payment]) -> bool:
        """Whether a sale whose outcome is not known either may have made one of these payments."""
        if not found:
            return False
        wanted = _Order.of(entry)
        rivals = [
            _Order.of(one)
            for _, one in self._rivals.values()
            if one.kind == entry.kind and one.idempotency_key != entry.idempotency_key
        ]
        return any(rival.name == wanted.name and any(map(rival.fits, found)) for rival in rivals)


def is_unclear(payment: models.Payment) -> bool:
    """Whether an answer does not say what a payment is known by, or its outcome."""
    code = payment.transaction_result.response_code
    return None in (payment.order.amount, payment.order.currency) or not code.strip(PADDING)


def _bare(order: models.Order | models.RetrievedOrder) -> int | None:
    """An order's amount without what the cardholder or the gateway may add to it."""
    parts = order.breakdown
    if parts is None or order.amount is None:
        return order.amount
    fees = (parts.tip, parts.surcharge, getattr(parts, "convenience_fee", None))
    added = sum(fee.amount or 0 for fee in fees if fee is not None)
    return order.amount - added - (parts.cashback_amount or 0)


@frozen(eq=False, repr=False)
class _Order(Model):
    """What a payment is known by where its id is not."""

    processing_terminal_id: str
    order_id: str
    amount: int
    bare: int | None
    currency: str
    date_time: datetime | None

    @property
    def name(self) -> tuple[str, str]:
        """What it is searched by."""
        return self.processing_terminal_id, self.order_id

    def fits(self, payment: models.Payment) -> bool:
        """Whether a payment that goes by its name may be its own. One that does not say may be."""
        order = payment.order
        same = order.amount in (None, self.amount) or self.bare == _bare(order)
        return same and order.currency in (None, self.currency)

    @classmethod
    def of(cls, entry: Entry) -> _Order:
        request = structure(decode(entry.body or b""), models.PaymentInstructionRequest)
        order = request.order
        return cls(
            request.processing_terminal_id,
            order.order_id,
            order.amount,
            _bare(order),
            order.currency,
            order.date_time,
        )
