"""What a session asks of its journal: never the whole history, and in portions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import Any

from .entries import OPEN, UNFINISHED, Entry, EntryKind, Journal, Query

__all__ = ["JournalReader"]

PORTION = 500
"""Entries that are read at once: the event loop has other things to do between two portions."""


class JournalReader:
    """A session's questions to its journal.

    Args:
        journal: The journal.
        gateway: The API's base URL.
        scope: The merchant.
    """

    def __init__(self, journal: Journal, gateway: str, scope: str) -> None:
        self._journal = journal
        self._gateway = gateway
        self._scope = scope

    def _query(self, **wanted: Any) -> Query:
        return Query(gateway=self._gateway, scope=self._scope, **wanted)

    async def unfinished(self, serial_number: str | None = None) -> list[Entry]:
        """The unfinished entries of this gateway and scope, of one device or of all."""
        query = self._query(states=UNFINISHED, serial_number=serial_number)
        return await self._journal.find(query)

    async def with_orders(self) -> AsyncGenerator[Entry, None]:
        """The entries of this gateway and scope whose bodies are kept, in portions."""
        after = ""
        while True:
            query = self._query(states=OPEN, with_body=True, after=after, limit=PORTION)
            found = await self._journal.find(query)
            for entry in found:
                yield entry
            if len(found) < PORTION:
                return
            after = found[-1].idempotency_key

    async def owned(self, kind: EntryKind, resource_ids: Collection[str]) -> set[str]:
        """Which of these payments, refunds or signatures an entry of the scope has."""
        found = await self._journal.find(self._query(resource_ids=resource_ids))
        return {entry.resource_id for entry in found if entry.kind == kind and entry.resource_id}

    async def purge(self, older_than: float) -> int:
        """How many entries of the scope were deleted that ended so many seconds ago."""
        return await self._journal.purge(older_than, scope=self._scope)
