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
from typing import Any, Generic, TypeVar

import orjson
from attrs import define, field

from payroc_async.errors import JournalError, PayrocError

from .locks import OwnerLock

__all__ = ["BUSY_WAIT", "Job", "Worker", "transaction"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

BUSY_WAIT = 0.03
"""Seconds for which SQLite waits for a lock by itself: it looks ever more seldom, so that a writer
that waits long would be passed over by those that come. Then it is asked anew."""
BATCH_MIN = 8
"""Writes in one transaction from which on the next may wait for more of them."""
BATCH_DELAY = 0.005
"""Seconds that a crowd waits to become a larger one: a commit costs the same for any number."""
# One value's fault, or one statement's; not the file's.
REFUSED = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError),
    *(sqlite3.ProgrammingError, UnicodeError, OverflowError),
)
AT_ONCE = sqlite3.sqlite_version_info >= (3, 38)
"""Whether SQLite surely reads JSON, and updates from it."""


@define(eq=False)
class Job(Generic[T]):
    """Something to be done in a transaction.

    Args:
        work: Does it. It looks before it writes: where it raises, it has changed nothing.
        statement: What does the same for many at once, and gives None, if it can be done so.
        key: The entry's that the statement is about.
        device: The device that it needs for itself, if it does: gateway, scope, serial number.
        values: This one's for the statement.
        undo: Undoes what no one waits for any more.
    """

    work: Callable[[sqlite3.Connection], T]
    statement: str = ""
    key: str = ""
    device: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    undo: Callable[[T], Work] | None = None
    done: asyncio.Future[T] = field(init=False)


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
        job.done = self._loop.create_future()
        self._waiting.append(job)
        self._go_on()
        return job.done

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
                results = _do_at_once(db, group) if AT_ONCE else {}
                for job in group:
                    if job in results:
                        continue
                    try:
                        results[job] = job.work(db), None
                    except (PayrocError, *REFUSED) as error:
                        # It has changed nothing: each looks before it writes.
                        results[job] = None, _as_journal_error(self._path, error)
            return [(job, *result) for job, result in results.items()]

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


def _do_at_once(
    db: sqlite3.Connection, group: list[Job[Any]]
) -> dict[Job[Any], tuple[Any, Exception | None]]:
    """What came of the jobs of a crowd that one statement could do; the others are to be done."""
    results: dict[Job[Any], tuple[Any, Exception | None]] = {}
    crowd = [job for job in group if job.statement]
    if len({job.key for job in crowd}) < len(crowd):
        return results  # two about the same entry: their order counts
    devices = [job.device for job in crowd if job.device]
    if len(set(devices)) < len(devices):
        return results  # the second is to see the first
    for statement in {job.statement for job in crowd}:
        jobs = [job for job in crowd if job.statement is statement]
        if len(jobs) < 2:
            continue
        # A text that is none, or a row that can't be: it is refused by itself.
        with suppress(orjson.JSONEncodeError, sqlite3.IntegrityError):
            rows = orjson.dumps([job.values for job in jobs]).decode()
            # If one of them is another case, each looks for itself; what is done is done again.
            if db.execute(statement, (rows,)).rowcount == len(jobs):
                results.update(dict.fromkeys(jobs, (None, None)))
    return results


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
