"""Ending what processes have left unfinished that died: each by its state, and by its age.

Source: design of the journal: the same bytes under the same key tell what became of a submission;
after a while a repeated one would start a prompt before a customer who has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from attrs import frozen

from . import models
from .cancellation import wait_all
from .codec import decode, structure
from .errors import (
    JournalError,
    LeaseLost,
    OutcomeUnknownError,
    PayrocError,
    ResponseFormatError,
)
from .instructions.handle import InstructionHandle
from .journal import Entry, EntryState
from .journal.writer import EntryWriter, JournalWriter
from .kinds import PAYMENT, REFUND, Kind
from .logs import get_logger
from .models.shared import Model
from .payments import Payments
from .resources import pages_of
from .scalars import PADDING

__all__ = ["OnFound", "Recovered", "Recovery", "RecoveryAction"]

logger = get_logger(__name__)

OnFound = Literal["finish", "cancel"]
"""What is done with an unfinished instruction: see it to its end, or cancel it."""
RecoveryAction = Literal["resumed", "canceled", "resubmitted", "searched", "left"]
"""What was done with one.

``resumed``: its status was asked on; ``canceled``: its cancellation was asked for; ``resubmitted``:
the same bytes were sent under the same key, which tells; ``searched``: a payment or a refund was
looked for by its order id; ``left``: nothing, for too long a time has passed.
"""

Found: TypeAlias = "models.Payment | models.Refund"
"""What a search finds."""
_SEARCHED: dict[str, tuple[Kind[Any, Any], Callable[[], type[Any]]]] = {
    "payment": (PAYMENT, lambda: models.PaymentFilters),
    "refund": (REFUND, lambda: models.RefundFilters),
}
"""What can be searched for by its order id, and its filters' class. A signature has no order."""

RESUBMIT_WITHIN = 120.0
"""Seconds for which the customer is taken to be still there."""
CLOCKS_APART = timedelta(minutes=10)
"""How far the journal's clock and the gateway's may be apart, where payments are searched."""


@frozen(kw_only=True, eq=False, repr=False)
class Recovered(Model):
    """What was found unfinished, what was done, and what is known now.

    Attributes:
        entry: What was found, as it was: ``entry.state``, ``.serial_number``, ``.age``.
        action: What was done.
        state: How it stands in the journal now, unless that could not be written. An unfinished
            state means that a later recovery will find it again.
        resource: The payment, refund or signature that came of it.
        error: Why there is none: an ``InstructionError``, or another ``PayrocError``.
    """

    entry: Entry
    action: RecoveryAction
    state: EntryState
    resource: models.Payment | models.Refund | models.Signature | None = None
    error: Exception | None = None


class Recovery:
    """Ends unfinished instructions, each in a task of its own.

    Args:
        writer: The session's use of its journal.
        take_up: Runs the instruction of a record; as keyword ``cancel`` if it is to be cancelled.
        payments: Where to search.
        check_open: Raises SessionClosedError when the session is closed.
        on_found: What to do with each.
        resubmit: Whether to submit also what is older than two minutes.
        grace: Seconds to wait for what is under way when the caller has had enough.
        running: Where it is found while it runs, to be stopped when the session closes.
    """

    def __init__(
        self,
        writer: JournalWriter,
        take_up: Callable[..., InstructionHandle[Any, Any]],
        payments: Payments,
        check_open: Callable[[], object],
        *,
        on_found: OnFound,
        resubmit: bool,
        grace: float,
        running: set[Recovery],
    ) -> None:
        self._writer = writer
        self._take_up = take_up
        self._payments = payments
        self._check_open = check_open
        self._cancel = on_found == "cancel"
        self._resubmit = resubmit
        self._grace = grace
        self._running = running
        self._tasks: set[asyncio.Task[Recovered]] = set()
        self._waiting: list[Entry] = []

    async def run(self) -> AsyncGenerator[Recovered, None]:
        """Everything that was found, as each comes to its end."""
        self._check_open()  # it may have been made earlier, or in another loop
        self._running.add(self)
        try:
            found = await self._writer.claim()
            self._waiting = [entry for entry in found if _is_stale(entry)]
            self._start(self._drive, [entry for entry in found if not _is_stale(entry)])
            while self._tasks or self._waiting:
                if not self._tasks:
                    self._check_open()
                    # Last, when the others' outcomes are known: a payment is of one sale alone.
                    self._known = await self._writer.all()
                    self._start(self._look, self._waiting)
                    self._waiting = []
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                self._tasks -= done
                for task in done:
                    if not task.cancelled():
                        yield task.result()
        finally:
            self._running.discard(self)
            await self.stop()
        self._check_open()

    def _start(
        self, end: Callable[[Entry, EntryWriter], Awaitable[Recovered]], entries: list[Entry]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = {
            loop.create_task(self._end(end, entry), name=f"payroc recovery {entry.idempotency_key}")
            for entry in entries
        }

    async def stop(self) -> None:
        """Let go of what has not ended: it stays in the journal for the next recovery."""
        for entry in self._waiting:
            EntryWriter(self._writer, entry).defer_release()
        self._waiting = []
        for task in self._tasks:
            task.cancel()
        try:
            await wait_all(self._tasks, self._grace)
        finally:
            with suppress(JournalError):
                await self._writer.flush()

    async def _end(
        self, end: Callable[[Entry, EntryWriter], Awaitable[Recovered]], entry: Entry
    ) -> Recovered:
        record = EntryWriter(self._writer, entry)
        try:
            return await end(entry, record)
        except PayrocError as error:
            # Such as a search that the gateway did not answer.
            with suppress(LeaseLost):
                await record.release()
            return Recovered(entry=entry, action="left", state=record.state, error=error)
        except asyncio.CancelledError:
            record.defer_release()
            raise

    async def _look(self, entry: Entry, record: EntryWriter) -> Recovered:
        """End an intent that is old: what came of it is searched before anything is sent again."""
        found = await self._search(entry) if entry.kind in _SEARCHED else []
        shared = self._may_be_anothers(entry, found)
        unclear = any(map(_is_unclear, found))
        if len(found) == 1 and not shared and not unclear:
            await record.write(EntryState.COMPLETED, resource_id=_id_of(found[0]))
            return Recovered(entry=entry, action="searched", state=record.state, resource=found[0])
        noun, run = entry.kind, "sale" if entry.kind == "payment" else entry.kind
        reason = f"no {noun} is found, and the customer may have left"
        if found:
            ids = ", ".join(map(_id_of, found))
            others = f"another {run} of unknown outcome" if shared else f"several {noun}s"
            if unclear and not shared and len(found) == 1:
                others = "one whose amount or outcome can't be read"
            reason = f"which {noun} is its own can't be told, for {others} may be: {ids}"
        if entry.age > self._writer.window:
            told = "begun longer ago than the gateway is trusted to know its key"
            return await self._give_up(entry, record, f"{told}; {reason}")
        # With a clock that was set back nobody knows whether it is within the window. And where a
        # payment may be its own, sending it again may have the customer pay twice.
        if self._resubmit and not found and entry.age >= 0:
            return await self._drive(entry, record)
        await record.release()
        error = _unknown(entry, reason)
        logger.warning("not submitted again: %s", error, extra=record.log_fields())
        return Recovered(entry=entry, action="left", state=record.state, error=error)

    async def _drive(self, entry: Entry, record: EntryWriter) -> Recovered:
        """Go on where the process that died has ended."""
        cancel = self._cancel or entry.state is EntryState.CANCELING
        handle = self._take_up(record, cancel=cancel)
        resource, error = None, None
        try:
            resource = await handle.result()
        except PayrocError as raised:
            error = raised
        action: RecoveryAction = "resumed" if entry.instruction_id else "resubmitted"
        return Recovered(
            entry=entry,
            action="canceled" if cancel else action,
            state=record.state,
            resource=resource,
            error=error,
        )

    async def _give_up(self, entry: Entry, record: EntryWriter, reason: str) -> Recovered:
        await record.write(EntryState.UNKNOWN, release=True)
        error = _unknown(entry, reason)
        logger.error("%s", error, extra=record.log_fields())
        return Recovered(entry=entry, action="searched", state=record.state, error=error)

    async def _search(self, entry: Entry) -> list[Found]:
        """The payments or refunds that may have come of it: of its order, and no other entry's.

        Raises:
            ResponseFormatError: One is there that can't be read: it may be the one.
        """
        wanted = _Order.of(entry)
        kind, filters_of = _SEARCHED[entry.kind]
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
        # Only now: the order may have been sold anew while the search was answered.
        now = await self._writer.all()
        others = {one.resource_id for one in now if one.kind == entry.kind}
        found = [one for one in found if _id_of(one) not in others]
        # Those whose order was known remain as they were, for that is dropped with the body.
        latest = {one.idempotency_key: one for one in now}
        latest |= {one.idempotency_key: one for one in self._known if one.body is not None}
        self._known = list(latest.values())
        if found and any(_is_under_way(one, entry) for one in self._known):
            raise PayrocError(f"another, under way on its device, may have made the {entry.kind}")
        return found

    def _may_be_anothers(self, entry: Entry, found: list[Found]) -> bool:
        """Whether another entry whose outcome is not known either may have made one of these."""
        if not found:
            return False
        wanted = _Order.of(entry)
        rivals = [
            _Order.of(one)
            for one in self._known
            if one.kind == entry.kind
            and one.body is not None
            and one.idempotency_key != entry.idempotency_key
        ]
        return any(rival.name == wanted.name and any(map(rival.fits, found)) for rival in rivals)


def _is_under_way(one: Entry, entry: Entry) -> bool:
    """Whether it is another sale on the device, whose order is no longer known, nor its payment."""
    same = (one.kind, one.serial_number) == (entry.kind, entry.serial_number)
    return same and one.unfinished and one.instruction_id is not None


def _is_stale(entry: Entry) -> bool:
    """Whether its customer may have left. A clock that was set back says nothing of that."""
    return entry.instruction_id is None and not 0 <= entry.age <= RESUBMIT_WITHIN


def _is_unclear(found: Found) -> bool:
    """Whether an answer does not say what it is known by, or its outcome."""
    code = found.transaction_result.response_code
    return None in (found.order.amount, found.order.currency) or not code.strip(PADDING)


def _id_of(found: Found) -> str:
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


def _unknown(entry: Entry, reason: str) -> OutcomeUnknownError:
    error = OutcomeUnknownError(
        serial_number=entry.serial_number,
        idempotency_key=entry.idempotency_key,
        instruction_id=entry.instruction_id,
        kind=entry.kind,
    )
    error.__cause__ = PayrocError(reason)
    return error
