"""What a session has its journal remember, and what it does while the journal can't be written.

Before anything is sent a failing journal stops the sale. Afterwards it stops nothing: the sale goes
on, an error is logged, and what could not be written is owed and written when it can be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from .codec import order_id_in
from .config import RetryPolicy, Timeouts
from .errors import ConfigurationError, JournalError, LeaseLost
from .journal import Entry, EntryKind, EntryState, Intent, Journal
from .journal.entries import UNFINISHED
from .logs import get_logger
from .tasks import Patience

__all__ = ["Record", "Records"]

logger = get_logger(__name__)

_DEFINITE = (LeaseLost, ConfigurationError)
"""What a journal raises that was written to no effect, and would raise again."""


class Records:
    """A session's use of its journal.

    Args:
        journal: The journal; opened and closed here.
        gateway: The API's base URL: what others have begun elsewhere is not this session's.
        timeouts: ``timeouts.journal`` bounds each write.
        retries: ``retries.idempotency_window`` bounds how old a key may be.
    """

    def __init__(
        self, journal: Journal, gateway: str, timeouts: Timeouts, retries: RetryPolicy
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._patience = Patience(timeouts.journal)
        # A cancellation is not to wait for a journal that does not answer, with the grace running.
        self._haste = Patience(min(timeouts.journal, timeouts.cancel_grace / 4))
        self.window = retries.idempotency_window
        self._owed: dict[str, Callable[[], Awaitable[None]]] = {}
        self._withdrawn: set[str] = set()
        """Keys of which a withdrawal is owed."""
        self._settling: dict[str, asyncio.Future[None]] = {}
        """Those that are being written: sales that begin at once settle at once."""

    async def open(self) -> None:
        """Open the journal."""
        # Those of an earlier loop would look at its waits, if at all.
        self._patience, self._haste = (
            Patience(patience.seconds) for patience in (self._patience, self._haste)
        )
        await self._journal.open()

    async def close(self) -> None:
        """Write what is owed, if that can be done now, and close the journal."""
        try:
            await self.settle()
        except JournalError as error:
            logger.error("the journal is closed without what could not be written: %s", error)
        finally:
            await self._journal.aclose()

    async def begin(
        self, kind: EntryKind, serial_number: str, body: bytes, idempotency_key: str
    ) -> Record:
        """The record of what is about to be submitted. May be repeated.

        Raises:
            JournalError: It could not be committed: do not send it. LeaseLost if another process
                drives it.
            ConfigurationError: The key can't be used for it.
        """
        intent = Intent(
            idempotency_key=idempotency_key,
            kind=kind,
            gateway=self._gateway,
            serial_number=serial_number,
            body=body,
        )
        if underway := self._settling.get(idempotency_key):
            await asyncio.wait((underway,))  # or it would be withdrawn when it is sent already
        withdrawal = None
        if idempotency_key in self._withdrawn:  # it is wanted again
            withdrawal = self._owed.get(idempotency_key)
            self._no_longer_owed(idempotency_key)
        try:
            if self._owed:
                await self.settle()
            entry = await self._enter(intent)
        except BaseException:
            if withdrawal is not None:  # it is not entered anew: what was is still to be withdrawn
                self._owed[idempotency_key] = withdrawal
                self._withdrawn.add(idempotency_key)
            raise
        return Record(self, entry)

    async def _enter(self, intent: Intent) -> Entry:
        try:
            with self._patience:
                return await self._journal.begin(intent, window=self.window)
        except _DEFINITE:
            raise
        except TimeoutError as error:
            self._owe_withdrawal(intent)
            raise self._too_slow() from error
        except BaseException:
            self._owe_withdrawal(intent)
            raise

    async def adopt(self, kind: EntryKind, instruction_id: str) -> Record | None:
        """The record of an instruction that is resumed by its id; None if there is none.

        Raises:
            LeaseLost: Another process drives it.
        """
        try:
            with self._patience:
                entry = await self._journal.adopt(kind, self._gateway, instruction_id)
        except LeaseLost:
            raise
        except (JournalError, TimeoutError) as error:
            logger.error("the journal could not be read, %s goes on: %s", instruction_id, error)
            return None
        return None if entry is None else Record(self, entry)

    async def claim(self) -> list[Entry]:
        """Every unfinished entry whose owner is dead, now this session's.

        Raises:
            JournalError: The journal could not be read; nothing stays claimed.
        """
        await self.settle()
        claimed: list[Entry] = []
        try:
            while batch := await self._journal.claim(self._gateway):
                claimed += batch
        except BaseException:
            for entry in claimed:
                Record(self, entry).owe_release()
            raise
        return claimed

    async def unfinished(self) -> list[Entry]:
        """The unfinished entries of this gateway."""
        return await self._journal.entries(states=UNFINISHED, gateway=self._gateway)

    async def all(self) -> list[Entry]:
        """Every entry of this gateway."""
        return await self._journal.entries(gateway=self._gateway)

    async def settle(self) -> None:
        """Write what is owed.

        Raises:
            JournalError: It can't be done yet.
        """
        for key, write in list(self._owed.items()):
            if key in self._settling or self._owed.get(key) is not write:
                continue
            underway = self._settling[key] = asyncio.get_running_loop().create_future()
            try:
                with self._patience:
                    await write()
            except _DEFINITE as error:
                fields = {"idempotency_key": key}
                logger.warning("not written any more: %s", error, extra=fields)
            except TimeoutError as error:
                raise self._too_slow() from error
            except JournalError:
                raise
            except Exception as error:
                raise JournalError(f"the journal failed: {error!r}") from error
            finally:
                del self._settling[key]
                underway.set_result(None)
            if self._owed.get(key) is write:
                self._no_longer_owed(key)

    async def write(
        self,
        entry: Entry,
        state: EntryState,
        instruction_id: str | None,
        resource_id: str | None = None,
        *,
        release: bool = False,
    ) -> None:
        """Write it, or owe it.

        Raises:
            LeaseLost: Another process has taken it over.
        """
        patience = self._haste if state is EntryState.CANCELING else self._patience
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
            self._no_longer_owed(entry.idempotency_key)
            raise
        except Exception as error:  # whatever a journal of the caller's own may raise
            self.owe(entry, state, instruction_id, resource_id, release=release)
            logger.error(
                "the journal could not be told that the %s instruction %s on device %s is %s, "
                "which goes on without: %s",
                entry.kind,
                instruction_id,
                entry.serial_number,
                state.value,
                str(error) or f"no answer in {patience.seconds:g} s",
                extra={
                    "serial_number": entry.serial_number,
                    "idempotency_key": entry.idempotency_key,
                    "instruction_id": instruction_id,
                    "order_id": order_id_in(entry.body),
                },
            )
        else:
            if self._owed:
                self._no_longer_owed(entry.idempotency_key)

    def owe(
        self,
        entry: Entry,
        state: EntryState,
        instruction_id: str | None,
        resource_id: str | None = None,
        *,
        release: bool,
    ) -> None:
        """Have it written with the next that is begun, or when the session closes."""
        self._owed[entry.idempotency_key] = partial(
            self._journal.write,
            entry,
            state,
            instruction_id=instruction_id,
            resource_id=resource_id,
            release=release,
        )

    def _owe_withdrawal(self, intent: Intent) -> None:
        """It may be on disk all the same, and is not sent: nobody may find it and send it."""

        async def withdraw() -> None:
            known = await self._journal.get(intent.idempotency_key)
            if known is not None and not known.unfinished:
                return  # by a try whose answer was lost; begun anew it would be recovered, and sent
            entry = await self._journal.begin(intent, window=self.window)
            state, release = Record(self, entry).unsent(wanted=False)
            await self._journal.write(entry, state, release=release)

        self._owed[intent.idempotency_key] = withdraw
        self._withdrawn.add(intent.idempotency_key)

    def _no_longer_owed(self, key: str) -> None:
        self._owed.pop(key, None)
        self._withdrawn.discard(key)

    def _too_slow(self) -> JournalError:
        return JournalError(f"the journal did not answer in {self._patience.seconds:g} s")


class Record:
    """One instruction's line in the journal. Each write may be repeated.

    Args:
        records: The session's.
        entry: The line as this session took it.
    """

    def __init__(self, records: Records, entry: Entry) -> None:
        self._records = records
        self.entry = entry
        self.state = entry.state
        """As it was written last, or is owed."""
        self._instruction_id = entry.instruction_id

    def submitted(self, instruction_id: str) -> Awaitable[None]:
        """The gateway has accepted it."""
        self._instruction_id = instruction_id
        return self._write(EntryState.SUBMITTED)

    def canceling(self) -> Awaitable[None]:
        """It is about to be cancelled."""
        return self._write(EntryState.CANCELING)

    def ended(self, state: EntryState, resource_id: str | None = None) -> Awaitable[None]:
        """How it ended."""
        # Nobody drives what is unknown: who has found out its outcome may write that.
        return self._write(state, resource_id, release=state is EntryState.UNKNOWN)

    def nothing_sent(self, *, wanted: bool) -> Awaitable[None]:
        """This session has sent nothing, or was refused; ``wanted`` if it is wanted still."""
        state, release = self.unsent(wanted=wanted)
        return self._write(state, release=release)

    def let_go(self) -> Awaitable[None]:
        """It goes on, or may: whoever recovers may have it."""
        return self._write(self.state, release=True)

    def owe_release(self) -> None:
        """Let go of it, where there is no time to wait for that."""
        self._owe(self.state, release=True)

    def owe_unsent(self) -> None:
        """Nothing was sent and nobody wants it, and there is no time to wait for that either."""
        state, release = self.unsent(wanted=False)
        self._owe(state, release=release)

    def _owe(self, state: EntryState, *, release: bool) -> None:
        self._records.owe(self.entry, state, self._instruction_id, release=release)

    def log_fields(self) -> dict[str, str | None]:
        """What names the instruction in a log record."""
        return {
            "serial_number": self.entry.serial_number,
            "idempotency_key": self.entry.idempotency_key,
            "instruction_id": self._instruction_id,
            "order_id": order_id_in(self.entry.body),
        }

    def unsent(self, *, wanted: bool) -> tuple[EntryState, bool]:
        """What to write where this session has sent nothing, and whether to let go of it.

        An entry that has changed hands may have been sent by an earlier owner.
        """
        if self.entry.fence == 1:
            return (EntryState.FAILED if wanted else EntryState.CANCELED), False
        if self.entry.instruction_id is not None:
            return self.entry.state, True
        return (EntryState.INTENT if wanted else EntryState.CANCELING), True

    def _write(
        self, state: EntryState, resource_id: str | None = None, *, release: bool = False
    ) -> Awaitable[None]:
        # No coroutine of its own around that of the records: there is a crowd of these.
        self.state = state
        return self._records.write(
            self.entry, state, self._instruction_id, resource_id, release=release
        )
