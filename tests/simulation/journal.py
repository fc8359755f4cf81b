"""A journal in memory that follows the protocol: owners, fences, and a disk that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve

from payroc_async.errors import JournalError, LeaseLost
from payroc_async.journal import Entry, EntryKind, EntryState, Intent, Query

__all__ = ["Disk", "MemoryJournal"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = (EntryState.INTENT, EntryState.SUBMITTED, EntryState.CANCELING)


@define
class Disk:
    """What survives a process: the entries, and which owners live."""

    entries: dict[str, Entry]
    alive: set[str]


class MemoryJournal:
    """One process's journal on a disk.

    Args:
        disk: The disk.
        owner: The process.
        chance: Whether a write fails, and whether it is on disk all the same.
        rate: How often a write fails.
    """

    def __init__(self, disk: Disk, owner: str, chance: random.Random, rate: float) -> None:
        self._disk, self._owner, self._chance, self.rate = disk, owner, chance, rate
        disk.alive.add(owner)

    async def _step(self) -> bool:
        """Take a while; True if the disk fails though it has written."""
        await asyncio.sleep(self._chance.choice((0.001, 0.01, 0.1)))
        if self._owner not in self._disk.alive:
            await asyncio.Event().wait()  # a killed process does nothing any more
        if self._chance.random() >= self.rate:
            return False
        if self._chance.random() < 0.5:
            raise JournalError("the disk is full")
        return True

    async def open(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Release the owner's lock."""
        self._disk.alive.discard(self._owner)

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """The entry of an intent, now this owner's."""
        in_doubt = await self._step()
        known = self._disk.entries.get(intent.idempotency_key)
        if known is not None and known.owner != self._owner and known.owner in self._disk.alive:
            raise LeaseLost(intent.idempotency_key)
        if known is None:
            entry = Entry(
                idempotency_key=intent.idempotency_key,
                kind=intent.kind,
                gateway=intent.gateway,
                serial_number=intent.serial_number,
                body=intent.body,
                instruction_id=None,
                state=EntryState.INTENT,
                resource_id=None,
                begun=EPOCH,
                changed=EPOCH,
                age=1.0,
                owner=self._owner,
                fence=1,
            )
        else:
            state = known.state if known.instruction_id else EntryState.INTENT
            fence = known.fence + (known.owner != self._owner)
            entry = evolve(known, state=state, owner=self._owner, fence=fence, body=intent.body)
        self._disk.entries[intent.idempotency_key] = entry
        if in_doubt:
            raise JournalError("the answer was lost")
        return entry

    async def adopt(
        self, kind: EntryKind, gateway: str, instruction_id: str, *, scope: str = ""
    ) -> Entry | None:
        """No instruction is resumed by its id alone here."""
        return None

    async def write(
        self,
        entry: Entry,
        state: EntryState,
        *,
        instruction_id: str | None = None,
        resource_id: str | None = None,
        release: bool = False,
    ) -> None:
        """Write how far an entry has come, unless another owner has it."""
        in_doubt = await self._step()
        known = self._disk.entries[entry.idempotency_key]
        if (known.owner, known.fence) != (entry.owner, entry.fence):
            raise LeaseLost(entry.idempotency_key)
        self._disk.entries[entry.idempotency_key] = evolve(
            known,
            state=state,
            instruction_id=instruction_id or known.instruction_id,
            resource_id=resource_id or known.resource_id,
            owner="" if release else known.owner,
        )
        if in_doubt:
            raise JournalError("the answer was lost")

    async def claim(
        self, gateway: str, *, scope: str = "", but: Collection[str] = (), limit: int = 100
    ) -> list[Entry]:
        """Unfinished entries whose owner is dead, now this owner's."""
        claimed = []
        for key, known in list(self._disk.entries.items()):
            if key not in but and known.state in OPEN and known.owner not in self._disk.alive:
                entry = evolve(known, owner=self._owner, fence=known.fence + 1)
                self._disk.entries[key] = entry
                claimed.append(entry)
        return claimed

    async def get(self, idempotency_key: str) -> Entry | None:
        """The entry under a key."""
        await self._step()
        return self._disk.entries.get(idempotency_key)

    async def find(self, query: Query) -> list[Entry]:
        """Every entry."""
        return list(self._disk.entries.values())

    async def entries(self, **_: Any) -> list[Entry]:
        """Every entry."""
        return list(self._disk.entries.values())

    async def purge(self, older_than: float, *, scope: str | None = None) -> int:
        """Nothing is old."""
        return 0
