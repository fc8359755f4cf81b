"""One opened journal for all sessions of a process that are given it."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Coroutine
from types import TracebackType
from typing import Any, Self

from payroc_async.errors import JournalError

from .entries import Entry, EntryState, Query

__all__ = ["SharedJournal"]

PURGED_AT_ONCE = 50
"""Entries that are deleted in the first transaction."""
PURGES_FOR = 0.02
"""Seconds that each may take: the sales wait behind it."""


class SharedJournal(ABC):
    """Opens a journal for the first that wants it, and closes it with the last.

    So that there is one owner's lock, and one connection that commits in groups, whatever the
    number of sessions.
    """

    def __init__(self) -> None:
        self._users = 0
        self._started = False
        self._home: tuple[asyncio.AbstractEventLoop, int] | None = None  # loop and process
        self._opening = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self.on_held_again: Callable[[SharedJournal], Coroutine[Any, Any, None]] | None = None
        """Called when the owner's lock, which others may have found free, is held again."""
        self._looking: set[asyncio.Task[None]] = set()

    def _held_again(self) -> None:
        if self.on_held_again is not None:
            looking = asyncio.create_task(self.on_held_again(self), name="payroc journal leases")
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)

    async def taken(self, entries: Collection[Entry]) -> set[str]:
        """The keys of those of these entries that another owner has taken over."""
        return set()

    @abstractmethod
    async def _start(self) -> None:
        """Open it. Where that fails or is canceled, what was opened is closed again."""

    @abstractmethod
    def _refuse(self) -> None:
        """Take nothing more: it is about to be closed."""

    @abstractmethod
    async def _stop(self) -> None:
        """Close it, also where that is canceled."""

    async def open(self) -> None:
        """Open the journal, and take the lock by which others see that this owner lives.

        May be called any number of times, by any number of sessions of one event loop: the first
        call opens, and each wants one ``aclose``.

        Raises:
            JournalError: It can't be opened, was made by a newer version, or is open in another
                event loop or in the parent of this process.

        Cancellation:
            What was opened is closed again.
        """
        home = asyncio.get_running_loop(), os.getpid()
        if self._home is not None and self._home != home:
            raise JournalError(
                f"{self!r} is open in another event loop or process: give each its own journal "
                "object; they may be of one file or database"
            )
        if self._home is None:
            self._home, self._opening = home, asyncio.Lock()
        try:
            while not await self._opened():
                pass
        finally:
            if not self._started:
                self._home = None

    async def _opened(self) -> bool:
        """Whether it is open; not if it was being closed just now."""
        if self._closing is not None:
            await asyncio.wait((self._closing,))
        async with self._opening:
            if self._closing is not None:
                return False
            if not self._started:
                await self._start()
                self._started = True
            self._users += 1
        return True

    async def aclose(self) -> None:
        """Close the journal once all who have opened it have closed it. More calls do nothing.

        Cancellation:
            It is closed all the same.
        """
        if self._users == 1:
            self._refuse()
            self._closing = asyncio.create_task(self._close(), name="payroc journal close")
        self._users = max(self._users - 1, 0)
        if not self._users and self._closing is not None:
            await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            await self._stop()
            for looking in self._looking:
                looking.cancel()
        finally:
            self._started, self._home, self._closing = False, None, None

    async def _purge(self, delete: Callable[[int], Awaitable[int]]) -> int:
        """How many entries were deleted, so many at once as hold up the sales for a moment only.

        Half of the time is theirs alone.
        """
        gone, limit, clock = 0, PURGED_AT_ONCE, asyncio.get_running_loop().time
        while True:
            started = clock()
            portion = await delete(limit)
            if not portion:
                return gone
            gone += portion
            taken = clock() - started
            limit = min(2 * limit, 1000) if taken < PURGES_FOR else max(limit // 2, 10)
            await asyncio.sleep(taken)

    @abstractmethod
    async def find(self, query: Query) -> list[Entry]:
        """As ``Journal.find``."""

    async def entries(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        scope: str | None = None,
    ) -> list[Entry]:
        """As ``Journal.entries``."""
        return await self.find(Query(states=states, gateway=gateway, scope=scope))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
