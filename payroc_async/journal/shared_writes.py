"""What the sessions of a process have in common that use one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from payroc_async.errors import JournalError, LeaseLost
from payroc_async.logs import get_logger

from .entries import Entry, Journal
from .sharing import SharedJournal

__all__ = ["SharedWrites", "shared_writes"]

logger = get_logger(__name__)

Write = Callable[[], Awaitable[None]]
OnTaken = Callable[[LeaseLost], object]


class SharedWrites:
    """The deferred writes to a journal, and which entries are driven in this process.

    They outlive a session: its owner's lock is held on for the others, so that an entry which it
    could not release would stay owned by a living process that does not drive it.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.deferred: dict[str, Write] = {}
        self.withdrawing: set[str] = set()  # keys whose withdrawal is deferred
        self.flushing: dict[str, asyncio.Future[None]] = {}  # deferred writes in flight, by key
        self._driven: dict[str, list[object]] = {}  # which sessions are about to drive a key, or do
        self._claimed: dict[str, object] = {}  # which session has claimed a key
        self._release_if_failed: dict[str, Write] = {}
        self._watched: dict[str, tuple[Entry, OnTaken]] = {}

    def enter(self) -> None:
        """A session begins to use the journal."""
        loop = asyncio.get_running_loop()
        if self.loop is not loop:  # what an earlier loop has left in flight never ends
            self.loop = loop
            for left in (self.flushing, self._driven, self._claimed, self._release_if_failed):
                left.clear()
            self._watched.clear()

    def leave(self, session: object) -> None:
        """A session has ended."""
        self._claimed = {key: by for key, by in self._claimed.items() if by is not session}
        for key in [key for key, by in self._driven.items() if session in by]:
            while session in self._driven.get(key, ()):
                self.ended(session, key)

    def expect(self, session: object, key: str) -> None:
        """A session is about to drive a key: from here on no recovery of this process does."""
        self._driven.setdefault(key, []).append(session)

    def check(self, session: object, key: str) -> None:
        """Refuse a key that is driven already: the sessions share an owner, the journal lets them.

        Raises:
            LeaseLost: Another session drives it, or a recovery has claimed it.
        """
        others = [by for by in self._driven.get(key, ()) if by is not session]
        if key in self._claimed or others:
            raise LeaseLost(key)

    def begun(self, key: str) -> None:
        """The journal has let the session have the key."""
        self._release_if_failed.pop(key, None)

    def ended(self, session: object, key: str) -> None:
        """A session drives a key no more, or never did: then what a claim took is released."""
        by = self._driven.get(key, [])
        if session in by:
            by.remove(session)
        if not by:
            self._watched.pop(key, None)
            self._driven.pop(key, None)
            release = self._release_if_failed.pop(key, None)
            if release is not None:
                self.deferred.setdefault(key, release)

    def claimed(self, session: object, key: str, release: Write) -> bool:
        """Whether a recovery may drive what it has claimed; not if a session is about to."""
        if key in self._driven:
            self._release_if_failed[key] = release
            return False
        self._claimed[key] = session
        return True

    def unclaimed(self, key: str) -> None:
        """A recovery drives a key no more."""
        self._watched.pop(key, None)
        self._claimed.pop(key, None)

    def watch(self, entry: Entry, on_taken: OnTaken) -> None:
        """Call this if another process is found to have taken an entry that is driven here."""
        self._watched[entry.idempotency_key] = entry, on_taken

    async def find_taken(self, journal: SharedJournal) -> None:
        """Stop driving what others have taken over while the owner's lock was lost.

        Two processes would ask for its status otherwise, until this one writes its end.
        """
        watched = dict(self._watched)
        if not watched:
            return
        try:
            taken = await journal.taken([entry for entry, _ in watched.values()])
        except JournalError as error:
            logger.warning("what others have taken over meanwhile is not known: %s", error)
            return
        for key in taken:
            if self._watched.get(key) is watched[key]:
                watched[key][1](LeaseLost(key))

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
    shared = _shared.get(journal)
    if shared is None:
        shared = _shared[journal] = SharedWrites()
        if isinstance(journal, SharedJournal):
            journal.on_held_again = shared.find_taken
    return shared
