"""The thread that holds the connection to the journal's file.

One transaction at a time: what is asked of it meanwhile goes into the next, so that a crowd of
sales shares the wait for the disk, and the thread is woken once for all of them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from payroc_async.errors import JournalError, PayrocError

from .locks import OwnerLock
from .sqlite_jobs import REFUSED, Job, do_at_once

__all__ = ["BUSY_WAIT", "Worker", "transaction"]

T = TypeVar("T")

BUSY_WAIT = 0.03
"""Seconds for which SQLite waits for a lock by itself: it looks ever more seldom, so that a writer
that waits long would be passed over by those that come. Then it is asked anew."""
BATCH_MIN = 8
"""Writes in one transaction from which on the next may wait for more of them."""
BATCH_DELAY = 0.005
"""Seconds that a crowd waits to become a larger one: a commit costs the same for any number."""
Result = tuple[Job[Any], Any, Exception | None]


class Worker:
    """The thread.

    Args:
        path: The journal's file, for messages.
        busy_timeout: Seconds to wait for another process's transaction.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self._path = path
        self._busy_timeout = busy_timeout
        self._queue: SimpleQueue[list[Job[Any]] | None] = SimpleQueue()
        self._waiting: list[Job[Any]] = []
        self._busy = False
        """Whether the thread has a group, or is about to be given one."""
        self._crowded = False
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def open(self, connect: Callable[[], tuple[OwnerLock, sqlite3.Connection]]) -> None:
        """Start the thread, which connects; what that raises is raised here."""
        opened: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a journal that was not closed must not keep the interpreter from ending.
        self._thread = threading.Thread(
            target=self._serve, args=(connect, opened), name="payroc journal", daemon=True
        )
        self._thread.start()
        await opened

    def refuse(self) -> None:
        """Take nothing any more: it is about to be closed."""
        self._closing = True

    async def aclose(self) -> None:
        """Finish what was asked for and end the thread, also if this is canceled."""
        self.refuse()
        if not self._busy:
            self._queue.put(None)
        await asyncio.wait((self._ended,))

    def check_open(self) -> None:
        """Refuse what would never be done."""
        if self._closing or self._ended.done():
            raise JournalError(f"{self._path}: this journal is not open")

    def do(self, job: Job[T]) -> asyncio.Future[T]:
        """What a job's work gives, once the transaction that it was part of is on disk."""
        self.check_open()
        done = job.done = self._loop.create_future()
        self._waiting.append(job)
        if not self._busy:
            self._go_on()
        return done

    def _go_on(self) -> None:
        """One group at a time: what comes meanwhile is the next, and the thread is woken once."""
        if self._busy or not self._waiting:
            return
        self._busy = True
        if self._crowded:
            self._loop.call_later(BATCH_DELAY, self._hand_over)
        else:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        group, self._waiting = self._waiting, []
        self._queue.put(group)

    def _settle(self, results: list[Result]) -> None:
        for job, result, error in results:
            if job.done.done():  # its waiter was canceled
                if job.undo is not None and error is None:
                    undo = Job(job.undo(result))
                    undo.done = job.done
                    self._waiting.append(undo)
            elif error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)
        self._busy, self._crowded = False, len(results) >= BATCH_MIN
        self._go_on()
        if self._closing and not self._busy:
            self._queue.put(None)

    # The thread ----------

    def _serve(
        self,
        connect: Callable[[], tuple[OwnerLock, sqlite3.Connection]],
        opened: asyncio.Future[None],
    ) -> None:
        try:
            lock, db = connect()
        except Exception as error:
            self._tell(_finish, opened, _as_journal_error(self._path, error))
            self._tell(_finish, self._ended)
            return
        self._tell(_finish, opened)
        try:
            while (group := self._queue.get()) is not None:
                self._tell(self._settle, self._commit(db, group))
        finally:
            # First the connection: what is claimed once the lock is gone must be readable.
            with suppress(sqlite3.Error):
                db.close()
            lock.release()
            self._tell(_finish, self._ended)

    def _commit(self, db: sqlite3.Connection, group: list[Job[Any]]) -> list[Result]:
        """Do a group of works in one transaction: all of it is on disk, or nothing of it."""

        def transact() -> list[Result]:
            with transaction(db):
                done = set(do_at_once(db, group))
                results: list[Result] = [(job, None, None) for job in done]
                for job in group if len(done) < len(group) else ():
                    if job in done:
                        continue
                    try:
                        results.append((job, job.work(db), None))
                    except (PayrocError, *REFUSED) as error:
                        # It has changed nothing: each looks before it writes.
                        results.append((job, None, _as_journal_error(self._path, error)))
            return results

        try:
            return self.retry_while_busy(transact)
        except Exception as error:
            return [(job, None, _as_journal_error(self._path, error)) for job in group]

    def retry_while_busy(self, transact: Callable[[], T]) -> T:
        """What a transaction gives, however often another process was quicker, for a while."""
        deadline = time.monotonic() + self._busy_timeout
        while True:
            try:
                return transact()
            except sqlite3.OperationalError as error:
                busy = (error.sqlite_errorcode & 0xFF) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: no one is left to tell
            self._loop.call_soon_threadsafe(callback, *args)


def _finish(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return  # its waiter was canceled
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _as_journal_error(path: Path, error: Exception) -> Exception:
    """What the caller is informed: one of our errors, never with what was to be written."""
    if isinstance(error, PayrocError):
        return error
    told = JournalError(f"{path}: {error}")
    told.may_be_written = False  # what SQLite refuses, it rolls back
    told.__cause__ = error
    return told


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of it, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
