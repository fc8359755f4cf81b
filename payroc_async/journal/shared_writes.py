"""What the sessions of a process have in common that use one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from payroc_async.errors import LeaseLost

from .entries import Journal

__all__ = ["SharedWrites", "shared_writes"]

Write = Callable[[], Awaitable[None]]


class SharedWrites:
    """The deferred writes to a journal, and which entries are driven in this process.

    They outlive a session: its owner's lock is held on for the others, so that an entry which it
    could not release would stay owned by a living process that does not drive it.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.sessions = 0
        self.deferred: dict[str, Write] = {}
        self.withdrawing: set[str] = set()  # keys whose withdrawal is deferred
        self.flushing: dict[str, asyncio.Future[None]] = {}  # deferred writes in flight, by key
        self._begun: dict[str, object] = {}  # which session has begun or resumed a key
        self._recovering: dict[str, object] = {}  # which session has claimed a key
        self._release_if_failed: dict[str, Write] = {}

    def enter(self) -> None:
        """A session begins to use the journal."""
        loop = asyncio.get_running_loop()
        if self.loop is not loop:  # what an earlier loop has left in flight never ends
            self.__init__()  # type: ignore[misc]
            self.loop = loop
        self.sessions += 1

    def leave(self, session: object) -> bool:
        """A session has ended; whether it was the last."""
        self.sessions -= 1
        for driven in (self._begun, self._recovering):
            for key in [key for key, by in driven.items() if by is session]:
                del driven[key]
        return self.sessions <= 0

    def begin(self, session: object, key: str) -> bool:
        """Note that a session is about to drive a key; whether it does so only now.

        Raises:
            LeaseLost: Another session drives it, or a recovery has claimed it.
        """
        if key in self._recovering or self._begun.get(key, session) is not session:
            raise LeaseLost(key)
        new = key not in self._begun
        self._begun[key] = session
        return new

    def begun(self, key: str) -> None:
        """The journal has let the session have the key."""
        self._release_if_failed.pop(key, None)

    def not_begun(self, key: str) -> None:
        """The journal has refused the key, or failed: what a claim took meanwhile is released."""
        self._begun.pop(key, None)
        release = self._release_if_failed.pop(key, None)
        if release is not None:
            self.deferred.setdefault(key, release)

    def claimed(self, session: object, key: str, release: Write) -> bool:
        """Whether a recovery may drive what it has claimed; not if a session has just begun it."""
        if key in self._begun:
            self._release_if_failed[key] = release
            return False
        self._recovering[key] = session
        return True

    def ended(self, session: object, key: str) -> None:
        """A session does not drive a key any more."""
        for driven in (self._begun, self._recovering):
            if driven.get(key) is session:
                del driven[key]

    def defer(self, key: str, write: Write) -> None:
        """Have a write tried again with the next that any session does."""
        self.deferred[key] = write

    def drop(self, key: str) -> None:
        """Forget the deferred write of a key."""
        self.deferred.pop(key, None)
        self.withdrawing.discard(key)


_shared: WeakKeyDictionary[Journal, SharedWrites] = WeakKeyDictionary()


def shared_writes(journal: Journal) -> SharedWrites:
    """What all sessions have in common that are given this journal."""
    return _shared.setdefault(journal, SharedWrites())
