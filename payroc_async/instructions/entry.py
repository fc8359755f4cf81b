"""One instruction's entry in the journal: what stands in it, and what is still to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

from payroc_async.cancellation import CancellationGuard
from payroc_async.errors import LeaseLost
from payroc_async.journal import EntryState
from payroc_async.journal.writer import NO_ENTRY, EntryWriter, NullEntry
from payroc_async.logs import get_logger

from . import lifecycle
from .lifecycle import Durable, Existence, Phase, Seen, State
from .live import LiveInstruction

__all__ = ["InstructionEntry"]

logger = get_logger(__name__)

durable = cache(lifecycle.durable)  # asked several times for each of few states

_STATES = {
    Durable.INTENT: EntryState.INTENT,
    Durable.SUBMITTED: EntryState.SUBMITTED,
    Durable.CANCELING: EntryState.CANCELING,
    Durable.COMPLETED: EntryState.COMPLETED,
    Durable.FAILED: EntryState.FAILED,
    Durable.CANCELED: EntryState.CANCELED,
}
_LEVELS = {state: level for level, state in _STATES.items()} | {EntryState.UNKNOWN: Durable.INTENT}


class InstructionEntry:
    """Writes what the lifecycle wants durable. A session without a journal has nothing to write.

    Args:
        live: The instruction.
        entry: Its entry, if another process has begun it.
        guard: The task's, to write to completion however often it is canceled.
        feed: Takes a step of the state.
    """

    def __init__(
        self,
        live: LiveInstruction[Any, Any],
        entry: EntryWriter | None,
        guard: CancellationGuard,
        feed: Callable[[Seen], object],
    ) -> None:
        self._live = live
        self._writer = live.services.writer
        self._entry: EntryWriter | NullEntry | None = entry
        self._guard = guard
        self._complete = guard.run_to_completion
        self._feed = feed
        self._written = Durable.NOTHING
        self._has_id_written = live.identity.instruction_id is not None
        self._writing: asyncio.Task[bool] | None = None
        self._claimed = self._begun = entry is not None
        if entry is None and live.identity.idempotency_key is not None:
            self._writer.expect(live.identity.idempotency_key)
        if not self._writer.journaled:
            self._drop()
        elif entry is not None:
            self._written = _LEVELS[entry.state]
            self._watch(entry)

    def _drop(self) -> None:
        """There is nothing to write, or any more."""
        self._entry, self._written, self._has_id_written = NO_ENTRY, Durable.CANCELED, True

    async def begin(self) -> Seen:
        """Make the intent durable (J1), and show what stood in the entry before.

        Raises:
            PayrocError: The intent could not be written.
        """
        identity, entry = self._live.identity, self._entry
        self._begun = True
        if entry is None:
            assert identity.serial_number is not None
            assert identity.idempotency_key is not None
            kind, serial, body = identity.kind, identity.serial_number, identity.body
            key = identity.idempotency_key
            entry = await self._complete(lambda: self._writer.begin(kind, serial, body, key))
            assert entry is not None
            self._entry = entry
            self._written = max(self._written, _LEVELS[entry.state])
            self._watch(entry)
        if entry.instruction_id is not None:
            self._live.identify(entry.instruction_id)
            self._has_id_written = True
            return Seen.IN_PROGRESS
        return Seen.INHERITED if entry.inherited else Seen.RECORDED

    @property
    def may_stand(self) -> bool:
        """Whether something may be on disk that another process would go on with."""
        return self._begun and self._entry is not NO_ENTRY

    def is_behind(self, state: State) -> bool:
        """Whether the state wants something durable that is not."""
        if self._entry is NO_ENTRY:
            return False
        known = state.existence is Existence.KNOWN
        return (
            self._writing is not None
            or durable(state) > self._written
            or (known and (self._entry is None or not self._has_id_written))
        )

    async def make_durable(self, state: State) -> None:
        """Write one thing that the state wants durable."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await self._complete(lambda: asyncio.wait((writing,)))
        elif self._entry is None and state.existence is Existence.KNOWN:
            await self._adopt()
        else:
            await self._write(max(durable(state), self._written))

    async def _adopt(self) -> None:
        """Take over the entry of an instruction that is resumed by its id."""
        identity = self._live.identity
        assert identity.instruction_id is not None
        instruction_id = identity.instruction_id
        try:
            entry = await self._complete(lambda: self._writer.adopt(identity.kind, instruction_id))
        except LeaseLost as error:
            self._live.failure = error
            self._feed(Seen.LEASE_LOST)
            return
        if entry is NO_ENTRY:
            self._drop()
            return
        self._entry, self._written = entry, _LEVELS[entry.state]
        self._watch(entry)
        identity.serial_number = entry.serial_number
        identity.idempotency_key = entry.idempotency_key

    async def _write(self, need: Durable, **details: Any) -> bool:
        """Write the entry; False if that failed, in which case the write is deferred."""
        assert self._entry is not None
        entry, identity = self._entry, self._live.identity
        self._written = max(self._written, need)  # a journal that fails stops nothing any more
        self._has_id_written = self._live.state.existence is Existence.KNOWN
        while True:  # as `run_to_completion`, without its coroutine: each sale writes twice
            try:
                return await entry.write(_STATES[need], identity.instruction_id, **details)
            except LeaseLost as error:
                self._lost(error)
                return True
            except asyncio.CancelledError:
                if not self._guard.settle():
                    raise

    def _lost(self, error: LeaseLost) -> None:
        fields = self._live.identity.log_fields()
        logger.warning("lease lost; outcome not recorded by this process: %s", error, extra=fields)
        self._live.failure = error
        self._drop()
        self._feed(Seen.LEASE_LOST)

    def _watch(self, entry: EntryWriter | NullEntry) -> None:
        """Stop at once where another process is found to drive it: the next write may be far."""
        if isinstance(entry, EntryWriter):
            entry.watch(self._taken)

    def _taken(self, error: LeaseLost) -> None:
        if self._live.state.phase < Phase.READ:  # else its end is known: read it, and report it
            self._lost(error)

    def write_wish(self) -> None:
        """J3: write the wish at once, beside the request in flight, and also without an id."""
        if self._entry is not None and self._written < Durable.CANCELING and self._writing is None:
            writing = self._write(Durable.CANCELING)
            self._writing = asyncio.get_running_loop().create_task(writing)

    async def close(self, state: State) -> bool:
        """Make the end durable before it is reported (J4); False if that failed."""
        if self._writing is not None:
            await self.make_durable(state)
        if self._entry is None:
            key = self._live.identity.idempotency_key
            return key is None or await self._complete(lambda: self._writer.is_withdrawn(key))
        if self._entry is NO_ENTRY:
            return True
        need, resource, kind = durable(state), self._live.resource, self._live.kind
        ended = need > Durable.CANCELING
        return await self._write(
            need if ended else max(need, self._written),
            resource_id=None if resource is None else kind.resource_id(resource),
            release=not ended,
        )

    def defer_release(self) -> None:
        """Let another process claim the entry, where there is no time to write that."""
        if self._entry is not None:
            self._entry.defer_release()

    def ended(self) -> None:
        """This session drives the entry no more: the process's other sessions may."""
        key = self._live.identity.idempotency_key
        if key is not None:
            self._writer.ended(key, claimed=self._claimed)
