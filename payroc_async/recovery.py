"""Recovery of instructions left unfinished by crashed processes, by their state and age.

Source: design of the journal. Resubmitting the same bytes under the same key shows the outcome of a
submission. After some time, it could start a prompt when the customer has left.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from attrs import frozen

from payroc_async.api.payments import Payments
from payroc_async.instructions.handle import InstructionHandle
from payroc_async.journal.entries import UNFINISHED
from payroc_async.journal.writer import EntryWriter, JournalWriter
from payroc_async.models.shared import Model

from . import models
from .cancellation import wait_all
from .config import check_seconds
from .errors import (
    ConfigurationError,
    JournalError,
    LeaseLost,
    OutcomeUnknownError,
    PayrocError,
    SessionClosedError,
)
from .journal import Entry, EntryState
from .logs import get_logger
from .order_search import SEARCHED, OrderSearch, id_of, is_unclear
from .wording import show

__all__ = ["OnFound", "Recovered", "RecoveryAction", "RecoveryRun", "TakeUp", "check_recovery"]

logger = get_logger(__name__)

OnFound = Literal["finish", "cancel"]
"""What to do with an unfinished instruction: finish it or cancel it."""
RecoveryAction = Literal["resumed", "canceled", "resubmitted", "searched", "left"]
"""What was done with a recovered instruction.

``resumed``: it was polled again; ``canceled``: its cancellation was requested; ``resubmitted``:
the same bytes were sent under the same key, which shows its outcome; ``searched``: its payment or
refund was searched for by order id; ``left``: nothing, because too much time has passed.
"""

TakeUp = Callable[..., InstructionHandle[Any, Any]]
"""Runs the instruction of an ``EntryWriter``; the keyword ``cancel`` says whether to cancel it."""

RESUBMIT_WITHIN = 120.0
"""Seconds for which the customer is assumed to be still there."""
LOOK_AGAIN = 2.0
"""Seconds between two polls of the journal while a recovery runs instructions."""
STARTED_AT_ONCE = 10
"""How many instructions to start in one turn of the event loop."""
OTHERS_END = 10.0
"""Seconds within which instructions claimed together end, unless a cardholder takes long."""
LEFT_FOR = 60.0
"""Seconds before an entry that was left unchanged is tried again."""


def check_recovery(on_found: object, resubmit: object, timeout: object) -> None:
    """Refuse invalid options of a recovery.

    Raises:
        ConfigurationError: An argument is wrong; the error names it.
    """
    if on_found not in ("finish", "cancel"):
        raise ConfigurationError("on_found", f'must be "finish" or "cancel", not {show(on_found)}')
    if not isinstance(resubmit, bool):
        raise ConfigurationError("resubmit", f"must be True or False, not {show(resubmit)}")
    if timeout is not None:
        check_seconds("timeout", timeout)


@frozen(kw_only=True, eq=False, repr=False)
class Recovered(Model):
    """A recovered instruction: the entry, the action, and the result.

    Attributes:
        entry: The entry as it was found: ``entry.state``, ``.serial_number``, ``.age``.
        action: What was done.
        state: The entry's state in the journal now, unless it could not be written. If unfinished,
            a later recovery will find the entry again.
        resource: The payment, refund or signature.
        error: Why there is no resource: an ``InstructionError``, or another ``PayrocError``.
    """

    entry: Entry
    action: RecoveryAction
    state: EntryState
    resource: models.Payment | models.Refund | models.Signature | None = None
    error: Exception | None = None


class RecoveryRun:
    """Recovers unfinished instructions, each in its own task.

    Args:
        writer: The session's journal writer.
        take_up: Runs the instruction of a journal entry.
        payments: The gateway's payments to search.
        check_open: Raises SessionClosedError when the session is closed.
        on_found: What to do with each instruction.
        resubmit: Whether to resubmit instructions older than two minutes, too.
        grace: Seconds to wait for running instructions when the caller stops the iteration.
        running: The set of running recoveries, which the session stops when it closes.
        every: Seconds between two polls of the journal, forever; None ends with the last
            instruction.
    """

    def __init__(
        self,
        writer: JournalWriter,
        take_up: TakeUp,
        payments: Payments,
        check_open: Callable[[], object],
        *,
        on_found: OnFound,
        resubmit: bool,
        grace: float,
        running: set[RecoveryRun],
        every: float | None = None,
    ) -> None:
        self._writer = writer
        self._take_up = take_up
        self._search = OrderSearch(writer, payments)
        self._check_open = check_open
        self._cancel = on_found == "cancel"
        self._resubmit = resubmit
        self._grace = grace
        self._running = running
        self._every = every
        self._tasks: set[asyncio.Task[Recovered]] = set()
        self._waiting: dict[str, tuple[float, Entry]] = {}
        """Claimed entries that are not started yet, by key, with the time of the claim."""
        self._left: dict[str, float] = {}
        """When to try entries again that were left unchanged, by key."""
        self._driven: set[str] = set()
        self._next_look = 0.0

    async def run(self) -> AsyncGenerator[Recovered, None]:
        """Yield each recovered instruction when it ends.

        Entries that are orphaned later are claimed meanwhile: a sale that does not end does not
        delay them.
        """
        self._check_open()  # create it here: __init__ may run earlier or in another loop
        loop = asyncio.get_running_loop()
        self._running.add(self)
        try:
            await self._claim(loop.time())
            while self._tasks or self._waiting or self._every is not None:
                await self._start_looking(loop.time())
                wait = max(self._next_look - loop.time(), 0.0)
                if self._tasks:
                    done, self._tasks = await asyncio.wait(
                        self._tasks, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        if not task.cancelled():
                            yield task.result()
                else:
                    await asyncio.sleep(wait)
                if loop.time() >= self._next_look:
                    await self._claim(loop.time())
        finally:
            self._running.discard(self)
            await self.stop()
        self._check_open()

    async def _claim(self, now: float) -> None:
        """Claim orphaned entries, except those that were left unchanged just now."""
        self._check_open()
        every = LOOK_AGAIN if self._every is None else self._every
        # Jitter: sessions that were opened together must not keep polling together.
        self._next_look = now + every * random.uniform(0.9, 1.1)
        self._left = {key: until for key, until in self._left.items() if until > now}
        try:
            found = await self._writer.claim(self._left)
        except JournalError as error:
            if not (self._tasks or self._waiting):
                raise
            logger.error("the journal can't be read; running recoveries continue: %s", error)
            return
        try:
            self._check_open()  # the session may have begun to close
        except SessionClosedError:
            for entry in found:
                self._writer.defer_release(entry)
            raise
        self._waiting |= {entry.idempotency_key: (now, entry) for entry in found}
        for number, entry in enumerate(entry for entry in found if not _is_stale(entry)):
            if number % STARTED_AT_ONCE == STARTED_AT_ONCE - 1:
                await asyncio.sleep(0)  # many entries must not block the event loop
            if self._waiting.pop(entry.idempotency_key, None) is not None:
                self._start_driving(entry)

    async def _start_looking(self, now: float) -> None:
        """Search for the payments of old entries, once the others' outcomes are known.

        A payment belongs to one sale. A sale that does not end for a while is taken to have none.
        """
        old = [entry for since, entry in self._waiting.values() if now - since >= OTHERS_END]
        ready = old if self._tasks else [entry for _, entry in self._waiting.values()]
        if not ready:
            if self._waiting:
                latest = min(since for since, _ in self._waiting.values()) + OTHERS_END
                self._next_look = min(self._next_look, max(latest, now))
            return
        try:
            await self._search.read_rivals()
        except JournalError as error:
            if not self._tasks:
                raise
            logger.error("the journal can't be read; running recoveries continue: %s", error)
            return
        for number, entry in enumerate(ready):
            if number % STARTED_AT_ONCE == STARTED_AT_ONCE - 1:
                await asyncio.sleep(0)
            if self._waiting.pop(entry.idempotency_key, None) is not None:
                record = EntryWriter(self._writer, entry)
                self._start(partial(self._look, entry, record), entry, record)

    def _start_driving(self, entry: Entry) -> None:
        """Start an instruction at once, so that a caller who runs its key again joins it."""
        record = EntryWriter(self._writer, entry)
        self._start(self._drive(entry, record), entry, record)

    def _start(
        self, end: Callable[[], Awaitable[Recovered]], entry: Entry, record: EntryWriter
    ) -> None:
        name = f"payroc recovery {entry.idempotency_key}"
        task = asyncio.get_running_loop().create_task(self._end(end, entry, record), name=name)
        self._tasks.add(task)

    async def stop(self) -> None:
        """Release the unfinished entries, which stay in the journal for the next recovery."""
        for _, entry in self._waiting.values():
            self._writer.defer_release(entry)
        self._waiting = {}
        try:
            await asyncio.sleep(0)  # a task that has not started would release nothing
        finally:
            for task in self._tasks:
                task.cancel()
        try:
            await wait_all(self._tasks, self._grace)
        finally:
            with suppress(JournalError):
                await self._writer.flush()

    async def _end(
        self, end: Callable[[], Awaitable[Recovered]], entry: Entry, record: EntryWriter
    ) -> Recovered:
        # before the entry may be released and claimed
        self._left[entry.idempotency_key] = self._again()
        try:
            found = await end()
        except PayrocError as error:
            # For example, the gateway did not answer a search.
            with suppress(LeaseLost):
                await record.release()
            found = Recovered(entry=entry, action="left", state=record.state, error=error)
        except asyncio.CancelledError:
            record.defer_release()
            raise
        finally:
            if entry.idempotency_key not in self._driven:  # a running instruction ends by itself
                self._writer.ended(entry.idempotency_key, claimed=True)
            self._driven.discard(entry.idempotency_key)
        taken_over = found.error is not None and isinstance(found.error.__cause__, LeaseLost)
        if found.state not in UNFINISHED or taken_over:  # who has it now may die in its turn
            self._left.pop(entry.idempotency_key, None)
        return found

    def _again(self) -> float:
        """Return when to try an unchanged entry again: a try costs a search and rarely helps."""
        never = self._every is None
        return math.inf if never else asyncio.get_running_loop().time() + LEFT_FOR

    async def _look(self, entry: Entry, record: EntryWriter) -> Recovered:
        """Recover an old intent: search for its payment before any resubmission."""
        found = await self._search.find(entry) if entry.kind in SEARCHED else []
        shared = self._search.may_be_anothers(entry, found)
        unclear = any(map(is_unclear, found))
        if len(found) == 1 and not shared and not unclear:
            await record.write(EntryState.COMPLETED, resource_id=id_of(found[0]))
            return Recovered(entry=entry, action="searched", state=record.state, resource=found[0])
        reason = _why_not_known(entry, found, shared=shared, unclear=unclear)
        if entry.age > self._writer.window:
            told = "begun before the idempotency window, so the gateway may have forgotten its key"
            return await self._give_up(entry, record, f"{told}; {reason}")
        # With a clock that was set back no one knows whether it is within the window. And where a
        # payment may be its own, sending it again may have the customer pay twice.
        if not found and entry.age >= 0:
            if self._resubmit:
                return await self._drive(entry, record)()
            if self._every is not None:
                # No one is there to decide, and its device stays busy until it has ended. J5.
                logger.warning(
                    "sent again under its key, to be canceled at once: %s",
                    _unknown(entry, reason),
                    extra=record.log_fields(),
                )
                return await self._drive(entry, record, cancel=True)()
        await record.release()
        error = _unknown(entry, reason)
        logger.warning("not submitted again: %s", error, extra=record.log_fields())
        return Recovered(entry=entry, action="left", state=record.state, error=error)

    def _drive(
        self, entry: Entry, record: EntryWriter, *, cancel: bool = False
    ) -> Callable[[], Awaitable[Recovered]]:
        """Go on where the process that died has ended; what is returned waits for the end."""
        cancel = cancel or self._cancel or entry.state is EntryState.CANCELING
        handle = self._take_up(record, cancel=cancel)
        self._driven.add(entry.idempotency_key)
        return partial(self._follow, entry, record, handle, cancel)

    async def _follow(
        self, entry: Entry, record: EntryWriter, handle: InstructionHandle[Any, Any], cancel: bool
    ) -> Recovered:
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


def _is_stale(entry: Entry) -> bool:
    """Whether the customer may have left. A clock that was set back does not show that."""
    return entry.instruction_id is None and not 0 <= entry.age <= RESUBMIT_WITHIN


def _why_not_known(
    entry: Entry, found: Sequence[models.Payment | models.Refund], *, shared: bool, unclear: bool
) -> str:
    """Why what a search has found does not say what became of an entry."""
    noun, run = entry.kind, "sale" if entry.kind == "payment" else entry.kind
    if not found:
        return f"no {noun} is found, and the customer may have left"
    ids = ", ".join(map(id_of, found))
    others = f"another {run} of unknown outcome" if shared else f"several {noun}s"
    if unclear and not shared and len(found) == 1:
        others = "one whose amount or outcome can't be read"
    return f"which {noun} is its own can't be known, for {others} may be: {ids}"


def _unknown(entry: Entry, reason: str) -> OutcomeUnknownError:
    error = OutcomeUnknownError(
        serial_number=entry.serial_number,
        idempotency_key=entry.idempotency_key,
        instruction_id=entry.instruction_id,
        kind=entry.kind,
    )
    error.__cause__ = PayrocError(reason)
    return error
