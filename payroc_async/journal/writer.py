"""How a session writes its journal, and what it does while the journal can't be written.

Before anything is sent a failing journal stops the sale. Afterwards it stops nothing: the sale goes
on, an error is logged, and the write is deferred until it succeeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import partial

from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.errors import ConfigurationError, DeviceBusyError, JournalError, LeaseLost
from payroc_async.logs import get_logger
from payroc_async.shared_timeout import SharedTimeout
from payroc_async.wire.converter import order_id_in

from .entries import OPEN, Entry, EntryKind, EntryState, Intent, Journal
from .null_writer import NO_ENTRY, NullEntry, NullWriter
from .reader import JournalReader
from .shared_writes import shared_writes

__all__ = ["NO_ENTRY", "EntryWriter", "JournalWriter", "NullEntry", "NullWriter"]

logger = get_logger(__name__)

CLAIMED_AT_ONCE = 100  # as `Journal.claim` does
_DEFINITE = (LeaseLost, ConfigurationError, DeviceBusyError)  # it has no effect, and never will


class JournalWriter(JournalReader):
    """A session's use of its journal.

    Args:
        journal: The journal; opened and closed here, and shared with other sessions.
        gateway: The API's base URL: what others have begun elsewhere is not this session's.
        timeouts: ``timeouts.journal`` bounds each write.
        retries: ``retries.idempotency_window`` bounds how old a key may be.
        scope: The merchant: what belongs to others is not this session's either.
    """

    journaled = True

    def __init__(
        self,
        journal: Journal,
        gateway: str,
        timeouts: Timeouts,
        retries: RetryPolicy,
        scope: str = "",
    ) -> None:
        super().__init__(journal, gateway, scope)
        self._limit = SharedTimeout(timeouts.journal)
        # A journal that does not answer must not use up the grace of a cancellation.
        self._short_limit = SharedTimeout(min(timeouts.journal, timeouts.cancel_grace / 4))
        self.window = retries.idempotency_window
        self._shared = shared_writes(journal)
        self.on_failure: Callable[[str], object] | None = None
        """Called with the text of each logged error."""
        self._is_open = False

    async def open(self) -> None:
        """Open the journal."""
        # The timers of an earlier loop would never ring.
        self._limit = SharedTimeout(self._limit.seconds)
        self._short_limit = SharedTimeout(self._short_limit.seconds)
        await self._journal.open()
        self._shared.enter()
        self._is_open = True

    async def close(self) -> None:
        """Try the deferred writes once more, and close the journal."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            await self.flush()
        except JournalError as error:
            self._failed(f"the session is closed with deferred writes that failed: {error}")
        finally:
            self._shared.leave(self)  # who uses the journal next tries them again
            await self._journal.aclose()

    async def begin(
        self, kind: EntryKind, serial_number: str, body: bytes, idempotency_key: str
    ) -> EntryWriter:
        """The entry of an instruction that is about to be submitted (J1). May be repeated.

        Raises:
            JournalError: The intent could not be committed: do not submit. LeaseLost if another
                process or session runs the instruction.
            DeviceBusyError: Another instruction is unfinished on the device.
            ConfigurationError: The key can't be used for this request.
        """
        intent = Intent(
            idempotency_key=idempotency_key,
            kind=kind,
            gateway=self._gateway,
            scope=self._scope,
            serial_number=serial_number,
            body=body,
        )
        self._shared.check(self, idempotency_key)
        entry = EntryWriter(self, await self._begin(intent))
        self._shared.begun(idempotency_key)
        return entry

    async def _begin(self, intent: Intent) -> Entry:
        shared, key = self._shared, intent.idempotency_key
        if shared.flushing:
            # Or a withdrawal would overtake this intent, and an end that is being written would
            # leave the device busy.
            await asyncio.wait(list(shared.flushing.values()))
        withdrawal = None
        if key in shared.withdrawing:  # the instruction is wanted again
            withdrawal = shared.deferred.get(key)
            shared.drop(key)
        try:
            if shared.deferred:
                await self.flush()
            return await self._enter(intent)
        except BaseException:
            if withdrawal is not None:  # nothing was entered anew: the old intent goes all the same
                shared.defer(key, withdrawal)
                shared.withdrawing.add(key)
            raise

    async def _enter(self, intent: Intent) -> Entry:
        try:
            with self._limit:
                return await self._journal.begin(intent, window=self.window)
        except _DEFINITE:
            raise
        except TimeoutError as error:
            self._defer_withdrawal(intent)
            raise self._too_slow() from error
        except BaseException as error:
            if getattr(error, "may_be_written", True):
                self._defer_withdrawal(intent)
            raise

    async def is_withdrawn(self, idempotency_key: str) -> bool:
        """Whether no intent can be left of a ``begin`` that failed; the withdrawal is tried now."""
        if idempotency_key in self._shared.withdrawing:
            with suppress(JournalError):
                await self.flush()
        return idempotency_key not in self._shared.withdrawing

    async def adopt(self, kind: EntryKind, instruction_id: str) -> EntryWriter | NullEntry:
        """The entry of an instruction that is resumed by its id, if there is one.

        Raises:
            LeaseLost: Another process runs the instruction.
        """
        try:
            with self._limit:
                entry = await self._adopt(kind, instruction_id)
        except LeaseLost:
            raise
        except (JournalError, TimeoutError) as error:
            logger.error("the journal could not be read, %s goes on: %s", instruction_id, error)
            return NO_ENTRY
        return NO_ENTRY if entry is None else EntryWriter(self, entry)

    async def _adopt(self, kind: EntryKind, instruction_id: str) -> Entry | None:
        # Sessions of one process share an owner: the journal lets any of them have it.
        found = await self._journal.find(self._query(states=OPEN, instruction_id=instruction_id))
        keys = [entry.idempotency_key for entry in found if entry.kind == kind]
        entry = None
        for key in keys:
            self._shared.check(self, key)
        for key in keys:
            self._shared.expect(self, key)
        try:
            entry = await self._journal.adopt(
                kind, self._gateway, instruction_id, scope=self._scope
            )
        finally:
            for key in keys:
                if entry is None or key != entry.idempotency_key:
                    self._shared.ended(self, key)
        if entry is not None:
            self._shared.begun(entry.idempotency_key)
        return entry

    def expect(self, idempotency_key: str) -> None:
        """The session is about to drive that entry: its recovery leaves it alone."""
        self._shared.expect(self, idempotency_key)

    def ended(self, idempotency_key: str, *, claimed: bool) -> None:
        """The session drives that entry no more, whatever was written."""
        if claimed:
            self._shared.unclaimed(idempotency_key)
        else:
            self._shared.ended(self, idempotency_key)

    async def claim(self, but: Collection[str] = ()) -> list[Entry]:
        """Every unfinished entry of the scope, but for these, whose owner is dead, now its own.

        Raises:
            JournalError: The journal could not be read; nothing stays claimed.
        """
        await self.flush()
        claimed: list[Entry] = []
        try:
            while True:
                batch = await self._journal.claim(self._gateway, scope=self._scope, but=but)
                claimed += [entry for entry in batch if self._may_drive(entry)]
                if len(batch) < CLAIMED_AT_ONCE:
                    return claimed
        except BaseException:
            for entry in claimed:
                self.defer_release(entry)
            raise

    def _may_drive(self, entry: Entry) -> bool:
        release = partial(self._journal.write, entry, entry.state, release=True)
        return self._shared.claimed(self, entry.idempotency_key, release)

    async def flush(self) -> None:
        """Try the deferred writes again.

        Raises:
            JournalError: One of them failed again.
        """
        shared = self._shared
        for key, write in list(shared.deferred.items()):
            if key in shared.flushing or shared.deferred.get(key) is not write:
                continue
            underway = shared.flushing[key] = asyncio.get_running_loop().create_future()
            try:
                with self._limit:
                    await write()
            except _DEFINITE as error:
                fields = {"idempotency_key": key}
                logger.warning("a deferred write is dropped: %s", error, extra=fields)
            except TimeoutError as error:
                raise self._too_slow() from error
            except JournalError:
                raise
            except Exception as error:
                raise JournalError(f"the journal failed: {error!r}") from error
            finally:
                del shared.flushing[key]
                underway.set_result(None)
            if shared.deferred.get(key) is write:
                shared.drop(key)

    async def write(
        self,
        entry: Entry,
        state: EntryState,
        instruction_id: str | None,
        resource_id: str | None = None,
        *,
        release: bool = False,
    ) -> bool:
        """Write an entry; False if that failed, in which case the write is deferred.

        Raises:
            LeaseLost: Another process has taken the instruction over.
        """
        patience = self._short_limit if state is EntryState.CANCELING else self._limit
        try:
            with patience:
                await self._journal.write(
                    entry,
                    state,
                    instruction_id=instruction_id,
                    resource_id=resource_id,
                    release=release,
                )
        except LeaseLost:
            self._shared.drop(entry.idempotency_key)
            raise
        except Exception as error:  # whatever a journal of the caller's own may raise
            self.defer(entry, state, instruction_id, resource_id, release=release)
            reason = str(error) or f"no answer in {patience.seconds:g} s"
            self._failed(
                f"the journal could not record that the {entry.kind} instruction {instruction_id} "
                f"on device {entry.serial_number} is {state.value}; the sale goes on: {reason}",
                serial_number=entry.serial_number,
                idempotency_key=entry.idempotency_key,
                instruction_id=instruction_id,
                order_id=order_id_in(entry.body),
            )
            return False
        if self._shared.deferred:
            self._shared.drop(entry.idempotency_key)
        return True

    def defer(
        self,
        entry: Entry,
        state: EntryState,
        instruction_id: str | None,
        resource_id: str | None = None,
        *,
        release: bool,
    ) -> None:
        """Write with the next intent that is begun, or when the session closes."""
        write = partial(
            self._journal.write,
            entry,
            state,
            instruction_id=instruction_id,
            resource_id=resource_id,
            release=release,
        )
        self._shared.defer(entry.idempotency_key, write)

    def defer_release(self, entry: Entry) -> None:
        """Release a claimed entry as it was found, where there is no time to wait for that."""
        self._shared.unclaimed(entry.idempotency_key)
        self.defer(entry, entry.state, entry.instruction_id, release=True)

    def _defer_withdrawal(self, intent: Intent) -> None:
        """The intent may be on disk all the same: recovery must not find and submit it."""

        async def withdraw() -> None:
            known = await self._journal.get(intent.idempotency_key)
            if known is not None and not known.unfinished:
                return  # withdrawn by an attempt whose answer was lost
            entry = await self._journal.begin(intent, window=self.window)
            earlier = entry.fence > 1  # then an earlier call may have submitted it
            state = EntryState.CANCELING if earlier else EntryState.CANCELED
            await self._journal.write(entry, state, release=earlier)

        self._shared.defer(intent.idempotency_key, withdraw)
        self._shared.withdrawing.add(intent.idempotency_key)

    def _failed(self, text: str, **fields: str | None) -> None:
        logger.error("%s", text, extra=fields)
        if self.on_failure is not None:
            self.on_failure(text)

    def _too_slow(self) -> JournalError:
        return JournalError(f"the journal did not answer in {self._limit.seconds:g} s")


class EntryWriter:
    """Writes one instruction's entry in the journal. Each write may be repeated.

    Args:
        writer: The session's.
        entry: The entry as this session took it.
    """

    def __init__(self, writer: JournalWriter, entry: Entry) -> None:
        self._writer = writer
        self.entry = entry
        self.state = entry.state  # as written last, or deferred
        self._instruction_id = entry.instruction_id
        self.instruction_id = entry.instruction_id
        self.serial_number = entry.serial_number
        self.idempotency_key = entry.idempotency_key
        self.inherited = entry.fence > 1

    def write(
        self,
        state: EntryState,
        instruction_id: str | None = None,
        *,
        resource_id: str | None = None,
        release: bool = False,
    ) -> Awaitable[bool]:
        """Write how far the instruction has come; False if the write is deferred.

        Raises:
            LeaseLost: Another process has taken the instruction over.
        """
        self.state = state
        self._instruction_id = instruction_id or self._instruction_id
        # No coroutine of its own around the writer's: thousands of these are in flight.
        return self._writer.write(
            self.entry, state, self._instruction_id, resource_id, release=release
        )

    def release(self) -> Awaitable[bool]:
        """Let another process claim the entry as it is."""
        return self.write(self.state, release=True)

    def defer_release(self) -> None:
        """Release the entry where there is no time to wait for that."""
        self._writer.defer(self.entry, self.state, self._instruction_id, release=True)

    def watch(self, on_taken: Callable[[LeaseLost], object]) -> None:
        """Call this if another process is found to have taken the instruction over."""
        self._writer._shared.watch(self.entry, on_taken)

    def log_fields(self) -> dict[str, str | None]:
        """What names the instruction in a log record."""
        return {
            "serial_number": self.serial_number,
            "idempotency_key": self.idempotency_key,
            "instruction_id": self._instruction_id,
            "order_id": order_id_in(self.entry.body),
        }
