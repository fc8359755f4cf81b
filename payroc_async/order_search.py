"""Which payment or refund came of a submission without a known instruction: the order shows it.

The journal is asked for what matters alone, in portions, however long its history is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from attrs import frozen

from payroc_async.api.payments import Payments
from payroc_async.api.resources import pages_of
from payroc_async.journal.writer import JournalWriter
from payroc_async.models.shared import Model
from payroc_async.wire.converter import decode, structure
from payroc_async.wire.scalars import PADDING

from . import models
from .errors import PayrocError, ResponseFormatError
from .journal import Entry
from .kinds import PAYMENT, REFUND, Kind

__all__ = ["SEARCHED", "OrderSearch", "id_of", "is_unclear"]

Found: TypeAlias = "models.Payment | models.Refund"
"""What a search finds."""
SEARCHED: dict[str, tuple[Kind[Any, Any], Callable[[], type[Any]]]] = {
    "payment": (PAYMENT, lambda: models.PaymentFilters),
    "refund": (REFUND, lambda: models.RefundFilters),
}
"""What can be searched for by its order id, and its filters' class. A signature has no order."""

CLOCKS_APART = timedelta(minutes=10)
"""How far the journal's clock and the gateway's may be apart, where something is searched."""
RIVALS_KEPT = 600.0
"""Seconds for which an entry's order is remembered, though the journal has dropped it."""


class OrderSearch:
    """Looks for the payments and refunds of entries that are old and have no id.

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
        """Read which sales may have made a payment or refund: those whose order the journal knows.

        Those whose order was known remain, for the order is dropped with the body.

        Raises:
            JournalError: The journal can't be read.
        """
        now = self._read_at = time.monotonic()
        kept = {key: one for key, one in self._rivals.items() if now - one[0] < RIVALS_KEPT}
        async for entry in self._writer.with_orders():
            kept[entry.idempotency_key] = now, entry
        self._rivals = kept

    async def find(self, entry: Entry) -> list[Found]:
        """The payments or refunds that may have come of it: of its order, and no other entry's.

        Raises:
            ResponseFormatError: One is there that can't be read: it may be the one.
            PayrocError: The gateway or the journal can't be read, or a sale that is under way on
                the device may have made it.
        """
        wanted = _Order.of(entry)
        kind, filters_of = SEARCHED[entry.kind]
        filters = filters_of()(
            processing_terminal_id=wanted.processing_terminal_id,
            order_id=wanted.order_id,
            date_from=entry.begun - CLOCKS_APART,
        )
        found: list[Found] = []
        async for page in pages_of(self._payments, kind, filters):
            if page.skipped:
                raise ResponseFormatError(f"the search found a {entry.kind} without an id")
            found += [one for one in page.data if wanted.fits(one)]
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
        others = await self._writer.owned(entry.kind, [id_of(one) for one in found])
        found = [one for one in found if id_of(one) not in others]
        if found and under_way:
            raise PayrocError(f"another, under way on its device, may have made the {entry.kind}")
        return found

    def may_be_anothers(self, entry: Entry, found: list[Found]) -> bool:
        """Whether another entry whose outcome is not known either may have made one of these."""
        if not found:
            return False
        wanted = _Order.of(entry)
        rivals = [
            _Order.of(one)
            for _, one in self._rivals.values()
            if one.kind == entry.kind and one.idempotency_key != entry.idempotency_key
        ]
        return any(rival.name == wanted.name and any(map(rival.fits, found)) for rival in rivals)


def is_unclear(found: Found) -> bool:
    """Whether an answer does not say what it is known by, or its outcome."""
    code = found.transaction_result.response_code
    return None in (found.order.amount, found.order.currency) or not code.strip(PADDING)


def id_of(found: Found) -> str:
    """The id of a payment or a refund."""
    return found.payment_id if isinstance(found, models.Payment) else found.refund_id


def _bare(order: models.RetrievedOrder) -> int | None:
    """An order's amount without what the cardholder or the gateway may add to it."""
    parts = order.breakdown
    if parts is None or order.amount is None:
        return order.amount
    fees = (parts.tip, parts.surcharge, parts.convenience_fee)
    added = sum(fee.amount or 0 for fee in fees if fee is not None)
    return order.amount - added - (parts.cashback_amount or 0)


@frozen(eq=False, repr=False)
class _Order(Model):
    """What a payment or a refund is known by where its id is not."""

    processing_terminal_id: str
    order_id: str
    amount: int
    bare: int | None
    currency: str

    @property
    def name(self) -> tuple[str, str]:
        """What it is searched by."""
        return self.processing_terminal_id, self.order_id

    def fits(self, found: Found) -> bool:
        """Whether what goes by its name may be its own. One that does not say may be."""
        order = found.order
        if isinstance(found, models.Refund) and found.payment is not None:
            return False  # it refunds a payment, which no instruction of a device does
        same = order.amount in (None, self.amount) or self.bare == _bare(order)
        return same and order.currency in (None, self.currency)

    @classmethod
    def of(cls, entry: Entry) -> _Order:
        # Read as an answer is: what was sent once is not checked again.
        request: Any = decode(entry.body or b"")
        order = structure(request["order"], models.RetrievedOrder)
        return cls(
            request["processingTerminalId"],
            order.order_id or "",
            order.amount or 0,
            _bare(order),
            order.currency or "",
        )
