"""Ending what processes have left unfinished that died: each by its state, and by its age.

Source: design of the journal: the same bytes under the same key tell what became of a submission;
after a while a repeated one would start a prompt before a customer who has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal

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
from .kinds import PAYMENT
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
the same bytes were sent under the same key, which tells; ``searched``: a payment was looked for by
its order id; ``left``: nothing, for too long a time has passed.
"""

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
        """End an intent that is old: the payment is looked for before anything is sent again."""
        found = await self._search(entry) if entry.kind == "payment" else []
        shared = self._may_be_anothers(entry, found)
        unclear = any(map(_is_unclear, found))
        if len(found) == 1 and not shared and not unclear:
            await record.write(EntryState.COMPLETED, resource_id=found[0].payment_id)
            return Recovered(entry=entry, action="searched", state=record.state, resource=found[0])
        reason = "no payment is found, and the customer may have left"
        if found:
            ids = ", ".join(payment.payment_id for payment in found)
            others = "another sale of unknown outcome" if shared else "several payments"
            if unclear and not shared and len(found) == 1:
                others = "one whose amount or outcome can't be read"
            reason = f"which payment is its own can't be told, for {others} may be: {ids}"
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

    async def _search(self, entry: Entry) -> list[models.Payment]:
        """The payments that may have come of it: of its order, and of no entry that has ended.

        Raises:
            ResponseFormatError: A payment is there that can't be read: it may be the one.
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
        # Only now: the order may have been sold anew while the search was answered.
        now = await self._writer.all()
        others = {one.resource_id for one in now if one.kind == entry.kind}
        found = [payment for payment in found if payment.payment_id not in others]
        # Those whose order was known remain as they were, for that is dropped with the body.
        latest = {one.idempotency_key: one for one in now}
        latest |= {one.idempotency_key: one for one in self._known if one.body is not None}
        self._known = list(latest.values())
        if found and any(_is_under_way(one, entry) for one in self._known):
            raise PayrocError("another sale, under way on its device, may have made the payment")
        return found

    def _may_be_anothers(self, entry: Entry, found: list[models.Payment]) -> bool:
        """Whether a sale whose outcome is not known either may have made one of these payments."""
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


def _is_unclear(payment: models.Payment) -> bool:
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


def _unknown(entry: Entry, reason: str) -> OutcomeUnknownError:
    error = OutcomeUnknownError(
        serial_number=entry.serial_number,
        idempotency_key=entry.idempotency_key,
        instruction_id=entry.instruction_id,
        kind=entry.kind,
    )
    error.__cause__ = PayrocError(reason)
    return error
