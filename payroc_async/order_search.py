"""Finds the payment or refund of a submission whose instruction id is unknown, by its order.

Only the relevant part of the journal is read, in portions, however long its history is.
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
"""The result of a search."""
SEARCHED: dict[str, tuple[Kind[Any, Any], Callable[[], type[Any]]]] = {
    "payment": (PAYMENT, lambda: models.PaymentFilters),
    "refund": (REFUND, lambda: models.RefundFilters),
}
"""The resources that can be searched by order id, with their filters. Signatures have no order."""

CLOCKS_APART = timedelta(minutes=10)
"""The tolerated difference between the journal's and the gateway's clocks in a search."""
RIVALS_KEPT = 600.0
"""Seconds to remember an entry's order after the journal has dropped it."""


class OrderSearch:
    """Searches for the payments and refunds of old entries without an instruction id.

    Args:
        writer: The session's journal writer.
        payments: The gateway's payments to search.
    """

    def __init__(self, writer: JournalWriter, payments: Payments) -> None:
        self._writer = writer
        self._payments = payments
        self._rivals: dict[str, tuple[float, Entry]] = {}
        """Entries with a known order, by key, and the time of the read."""
        self._reading = asyncio.Lock()
        self._read_at = 0.0  # when the last read began

    async def read_rivals(self) -> None:
        """Load the entries that may have made a payment or refund, with their orders.

        Orders that were read before are kept, because the journal drops an order with its body.

        Raises:
            JournalError: The journal can't be read.
        """
        now = self._read_at = time.monotonic()
        kept = {key: one for key, one in self._rivals.items() if now - one[0] < RIVALS_KEPT}
        async for entry in self._writer.with_orders():
            kept[entry.idempotency_key] = now, entry
        self._rivals = kept

    async def find(self, entry: Entry) -> list[Found]:
        """Return the payments or refunds of the entry's order that belong to no other entry.

        Raises:
            ResponseFormatError: One of the matches is malformed: it may be the entry's.
            PayrocError: The gateway or the journal can't be read, or a running sale on the device
                may have made the payment.
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
        # Read the journal after the search: the order may have been sold again meanwhile. Read the
        # owners of payments last: a sale that was running may have received its payment since.
        answered = time.monotonic()
        async with self._reading:  # one read serves all entries whose search was answered before it
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
            raise PayrocError(
                f"another instruction, running on its device, may have made the {entry.kind}"
            )
        return found

    def may_be_anothers(self, entry: Entry, found: list[Found]) -> bool:
        """Whether another entry of unknown outcome may have made one of these."""
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
    """Whether an answer lacks its identifying fields or its outcome."""
    code = found.transaction_result.response_code
    return None in (found.order.amount, found.order.currency) or not code.strip(PADDING)


def id_of(found: Found) -> str:
    """Return the id of a payment or refund."""
    return found.payment_id if isinstance(found, models.Payment) else found.refund_id


def _bare(order: models.RetrievedOrder) -> int | None:
    """Return an order's amount without additions by the cardholder or the gateway."""
    parts = order.breakdown
    if parts is None or order.amount is None:
        return order.amount
    fees = (parts.tip, parts.surcharge, parts.convenience_fee)
    added = sum(fee.amount or 0 for fee in fees if fee is not None)
    return order.amount - added - (parts.cashback_amount or 0)


@frozen(eq=False, repr=False)
class _Order(Model):
    """The fields that identify a payment or refund without its id."""

    processing_terminal_id: str
    order_id: str
    amount: int
    bare: int | None
    currency: str

    @property
    def name(self) -> tuple[str, str]:
        """The fields to search by."""
        return self.processing_terminal_id, self.order_id

    def fits(self, found: Found) -> bool:
        """Whether the match may belong to the entry. A match without the fields may."""
        order = found.order
        if isinstance(found, models.Refund) and found.payment is not None:
            return False  # a refund of a payment, which device instructions never make
        same = order.amount in (None, self.amount) or self.bare == _bare(order)
        return same and order.currency in (None, self.currency)

    @classmethod
    def of(cls, entry: Entry) -> _Order:
        # Parse it like an answer: a request that was sent once is not validated again.
        request: Any = decode(entry.body or b"")
        order = structure(request["order"], models.RetrievedOrder)
        return cls(
            request["processingTerminalId"],
            order.order_id or "",
            order.amount or 0,
            _bare(order),
            order.currency or "",
        )
