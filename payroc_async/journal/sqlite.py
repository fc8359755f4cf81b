"""The journal in an SQLite file: one machine, any number of processes, nothing to install.

One thread holds the connection. What is asked of it meanwhile goes into one transaction, so that a
crowd of sales shares the wait for the disk.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import orjson
from attrs import define, evolve, field

from payroc_async.errors import ConfigurationError, JournalError, LeaseLost, PayrocError

from .entries import NOBODY, UNFINISHED, Entry, EntryKind, EntryState, Intent
from .locks import OwnerLock, forget_dead_owners, is_alive
from .rules import (
    IN_ENDED,
    IN_OPEN,
    IN_UNFINISHED,
    check_older_than,
    check_outcome,
    check_same_request,
    check_window,
    forgets_body,
    listed,
    to_be_resolved,
)

__all__ = ["SQLiteJournal"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

VERSION = 1
APPLICATION = 0x50617972
"""Marks the file as a journal of ours."""
TURN = 0.03
"""Seconds for which SQLite waits for a lock by itself: it looks ever more seldom, so that a writer
that waits long would be passed over by those that come. Then it is asked anew."""
CROWD = 8
"""Writes in one transaction from which on the next may wait for more of them."""
GATHER = 0.005
"""Seconds that a crowd waits to become a larger one: a commit costs the same for any number."""
# One value's fault, or one statement's; not the file's.
REFUSED = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError),
    *(sqlite3.ProgrammingError, UnicodeError, OverflowError),
)
# Below, several connections in WAL mode may damage the file when the log is reset.
SOUND_WAL = (3, 51, 3)

SCHEMA = """
CREATE TABLE entries (
    idempotency_key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    gateway TEXT NOT NULL,
    serial_number TEXT NOT NULL,
    digest TEXT NOT NULL,
    body BLOB,
    instruction_id TEXT,
    state TEXT NOT NULL,
    resource_id TEXT,
    begun REAL NOT NULL,
    changed REAL NOT NULL,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL
);
CREATE INDEX open_entries ON entries (owner)
    WHERE state IN ('intent', 'submitted', 'canceling', 'unknown');
"""
COLUMNS = (
    "idempotency_key, kind, gateway, serial_number, body, instruction_id, state, resource_id, "
    "begun, changed, owner, fence"
)


# A crowd's rows in one statement: each statement lets go of the interpreter and waits for it again,
# beside a loop that has other things to do.
AT_ONCE = sqlite3.sqlite_version_info >= (3, 38)
"""Whether SQLite surely reads JSON, and updates from it."""
INSERT = f"""
INSERT INTO entries ({COLUMNS}, digest) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING
"""
INSERT_ALL = f"""
INSERT INTO entries ({COLUMNS}, digest)
SELECT value->>0, value->>1, value->>2, value->>3, CAST(value->>4 AS BLOB), NULL, 'intent', NULL,
    value->>5, value->>5, value->>6, 1, value->>7
FROM json_each(?) WHERE true ON CONFLICT DO NOTHING
"""
WRITE = """
UPDATE entries SET state = ?, instruction_id = coalesce(?, instruction_id),
    resource_id = coalesce(?, resource_id), body = CASE WHEN ? THEN NULL ELSE body END,
    owner = ?, changed = ?
WHERE idempotency_key = ? AND fence = ? AND owner IN (?, '')
"""
_places = itertools.count()
WRITE_ALL = "{} FROM json_each(?) {}".format(
    *re.split("(?=WHERE)", re.sub(r"\?", lambda _: f"value->>{next(_places)}", WRITE))
)


class SQLiteJournal:
    """A journal in an SQLite file, for all processes of one machine.

    Everything is on disk when a call returns (``synchronous=FULL``). The file is made with access
    for its user alone; beside it lies a folder with a lock file for each owner. Both belong on a
    local disk: network file systems do not lock reliably.

    Args:
        path: The file; made if it is missing, in a folder that exists.
        busy_timeout: Seconds to wait for another process's transaction.

    Raises:
        ConfigurationError: The path is empty, or the time is not a positive number.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 5.0) -> None:
        if not os.fspath(path):
            raise ConfigurationError("path", "must not be empty")
        if isinstance(busy_timeout, bool) or not busy_timeout > 0:
            raise ConfigurationError("busy_timeout", "must be a positive number of seconds")
        self._path = Path(path)
        self._busy_timeout = busy_timeout
        self._queue: SimpleQueue[list[_Job[Any]] | None] = SimpleQueue()
        self._waiting: list[_Job[Any]] = []
        self._busy = False
        """Whether the thread has a group, or is about to be given one."""
        self._crowded = False
        self._thread: threading.Thread | None = None
        self._closing = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path}>"

    async def open(self) -> None:
        """Open the file, bring its tables about, and lock the owner's own file.

        Raises:
            JournalError: It is open already, can't be opened, is another program's, or was made by
                a newer version.

        Cancellation:
            What was opened is closed again.
        """
        if self._thread is not None:
            raise JournalError(f"{self._path}: this journal is open already")
        self._loop = asyncio.get_running_loop()
        self._queue = SimpleQueue()
        self._closing = self._busy = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        opened: asyncio.Future[None] = self._loop.create_future()
        # A daemon, lest a journal that nobody closed keep the interpreter from ending.
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name="payroc journal", daemon=True
        )
        self._thread.start()
        try:
            await opened
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Finish what was asked for, let go of the lock, and close. Safe to call twice.

        Cancellation:
            It is closed all the same.
        """
        if self._thread is None:
            return
        self._closing = True
        if not self._busy:
            self._queue.put(None)
        await asyncio.wait((self._ended,))
        self._thread = None

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """As ``Journal.begin``."""
        self._check_open()
        now, digest = time.time(), sha256(intent.body).hexdigest()
        values = (
            *(intent.idempotency_key, intent.kind, intent.gateway, intent.serial_number),
            *(intent.body.decode(errors="surrogateescape"), now, self._owner, digest),
        )
        work = partial(self._begin, intent, values, window)
        known = await self._do(_Job(work, INSERT_ALL, intent.idempotency_key, values))
        return known or _entry(_row(intent, now, self._owner), now, alive=True)

    async def adopt(self, kind: EntryKind, gateway: str, instruction_id: str) -> Entry | None:
        """As ``Journal.adopt``."""

        def work(db: sqlite3.Connection) -> Entry | None:
            now = time.time()
            found = self._select(
                db,
                f"{IN_OPEN} AND kind = ? AND gateway = ? AND instruction_id = ?",
                (kind, gateway, instruction_id),
                now,
            )
            if not found:
                return None
            self._check_free(found[0])
            self._take(db, found[:1], now)
            return self._found(db, found[0].idempotency_key, now)

        return await self._do(_Job(work))

    async def write(
        self,
        entry: Entry,
        state: EntryState,
        *,
        instruction_id: str | None = None,
        resource_id: str | None = None,
        release: bool = False,
    ) -> None:
        """As ``Journal.write``."""
        # A release that is asked for again finds nobody's entry, under the same fence.
        values = (
            *(state.value, instruction_id, resource_id),
            forgets_body(entry, state, instruction_id),
            *(NOBODY if release else entry.owner, time.time()),
            *(entry.idempotency_key, entry.fence, entry.owner),
        )
        await self._do(_Job(partial(_write, values), WRITE_ALL, entry.idempotency_key, values))

    async def resolve(
        self, idempotency_key: str, state: EntryState, *, resource_id: str | None = None
    ) -> Entry:
        """The entry whose outcome was unknown, with the one that a person has found out.

        Whoever drove it last is fenced off. Doing it again changes nothing.

        Args:
            idempotency_key: The entry's key.
            state: ``COMPLETED``, ``FAILED`` or ``CANCELED``.
            resource_id: The id of what came of it, with ``COMPLETED``.

        Raises:
            ConfigurationError: The state is no outcome, or the id does not go with it.
            JournalError: There is no such entry, or it is not unknown. LeaseLost if a process that
                lives has taken it up again.

        Cancellation:
            It may be written or not.
        """
        check_outcome(state, resource_id)

        def work(db: sqlite3.Connection) -> Entry:
            now = time.time()
            known = self._find(db, idempotency_key, now)
            if known is None:
                raise JournalError(f"there is no entry {idempotency_key}")
            driven = known.owner != NOBODY and (
                known.owner == self._owner or is_alive(self._owners, known.owner)
            )
            if to_be_resolved(known, state, resource_id, driven=driven):
                db.execute(
                    "UPDATE entries SET state = ?, resource_id = ?, body = NULL, owner = '', "
                    "fence = fence + 1, changed = ? WHERE idempotency_key = ?",
                    (state.value, resource_id, now, idempotency_key),
                )
            return self._found(db, idempotency_key, now)

        return await self._do(_Job(work))

    async def claim(self, gateway: str, *, limit: int = 100) -> list[Entry]:
        """As ``Journal.claim``."""

        def work(db: sqlite3.Connection) -> list[Entry]:
            now = time.time()
            found = self._select(db, f"{IN_UNFINISHED} AND gateway = ?", (gateway,), now)
            dead = [entry for entry in found if not entry.running][:limit]
            self._take(db, dead, now)
            return [
                evolve(entry, owner=self._owner, fence=entry.fence + 1, running=True)
                for entry in dead
            ]

        def let_go(entries: list[Entry]) -> Work:
            return lambda db: db.executemany(
                "UPDATE entries SET owner = '' WHERE idempotency_key = ? AND fence = ?",
                [(entry.idempotency_key, entry.fence) for entry in entries],
            )

        return await self._do(_Job(work, forsaken=let_go))

    async def get(self, idempotency_key: str) -> Entry | None:
        """As ``Journal.get``."""
        return await self._do(_Job(lambda db: self._find(db, idempotency_key, time.time())))

    async def entries(
        self, *, states: Collection[EntryState] | None = None, gateway: str | None = None
    ) -> list[Entry]:
        """As ``Journal.entries``."""
        wanted = "1" if states is None else f"state IN ({listed(frozenset(states))})"
        where = f"{wanted} AND (? IS NULL OR gateway = ?)"
        return await self._do(
            _Job(lambda db: self._select(db, where, (gateway, gateway), time.time()))
        )

    async def purge(self, older_than: float) -> int:
        """As ``Journal.purge``. The lock files of dead owners go with them."""
        check_older_than(older_than)

        def work(db: sqlite3.Connection) -> int:
            gone = db.execute(
                f"DELETE FROM entries WHERE {IN_ENDED} AND changed < ?", (time.time() - older_than,)
            ).rowcount
            owning = db.execute(f"SELECT DISTINCT owner FROM entries WHERE {IN_UNFINISHED}")
            forget_dead_owners(self._owners, {owner for (owner,) in owning})
            return gone

        return await self._do(_Job(work))

    # Reading and taking, in the thread ----------

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Entry | None:
        found = self._select(db, "idempotency_key = ?", (key,), now)
        return found[0] if found else None

    def _found(self, db: sqlite3.Connection, key: str, now: float) -> Entry:
        found = self._find(db, key, now)
        assert found is not None
        return found

    def _select(
        self, db: sqlite3.Connection, where: str, values: tuple[Any, ...], now: float
    ) -> list[Entry]:
        alive: dict[str, bool] = {NOBODY: False, self._owner: True}
        found = []
        rows = db.execute(f"SELECT {COLUMNS} FROM entries WHERE {where} ORDER BY begun", values)
        for row in rows.fetchall():
            state, owner = row[6], row[10]
            if state in UNFINISHED and owner not in alive:
                alive[owner] = is_alive(self._owners, owner)
            found.append(_entry(row, now, alive=state in UNFINISHED and alive[owner]))
        return found

    def _check_free(self, entry: Entry) -> None:
        if entry.running and entry.owner != self._owner:
            raise LeaseLost(entry.idempotency_key)

    def _take(self, db: sqlite3.Connection, entries: list[Entry], now: float) -> None:
        db.executemany(
            "UPDATE entries SET owner = ?, fence = fence + 1, changed = ? "
            "WHERE idempotency_key = ?",
            [(self._owner, now, entry.idempotency_key) for entry in entries],
        )

    def _begin(
        self, intent: Intent, values: tuple[Any, ...], window: float, db: sqlite3.Connection
    ) -> Entry | None:
        """What is known of a key; None if it is entered now."""
        *_, begun, owner, digest = values
        if db.execute(INSERT, (*_row(intent, begun, owner), digest)).rowcount:
            return None
        now = time.time()
        known = self._found(db, intent.idempotency_key, now)
        (known_digest,) = db.execute(
            "SELECT digest FROM entries WHERE idempotency_key = ?", (intent.idempotency_key,)
        ).fetchone()
        check_same_request(known, intent, same_body=known_digest == digest)
        self._check_free(known)
        check_window(known, window)
        own, new = known.owner == self._owner, known.instruction_id is None
        if own and new and known.state is EntryState.INTENT:
            return known  # asked for again
        if new:
            db.execute(
                "UPDATE entries SET state = ?, body = ? WHERE idempotency_key = ?",
                (EntryState.INTENT.value, intent.body, known.idempotency_key),
            )
        self._take(db, [known], now)
        return self._found(db, intent.idempotency_key, now)

    # The way to the thread and back ----------

    def _check_open(self) -> None:
        if self._thread is None or self._closing or self._ended.done():
            raise JournalError(f"{self._path}: this journal is not open")

    def _do(self, job: _Job[T]) -> asyncio.Future[T]:
        """What a job's work gives, once the transaction that it was part of is on disk."""
        self._check_open()
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
            self._loop.call_later(GATHER, self._hand_over)
        else:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        group, self._waiting = self._waiting, []
        self._queue.put(group)

    def _settle(self, results: list[_Result]) -> None:
        for job, result, error in results:
            if job.done.done():  # its waiter was cancelled
                if job.forsaken is not None and error is None:
                    undo = _Job(job.forsaken(result))
                    undo.done = job.done
                    self._waiting.append(undo)
            elif error is None:
                job.done.set_result(result)
            else:
                job.done.set_exception(error)
        self._busy, self._crowded = False, len(results) >= CROWD
        self._go_on()
        if self._closing and not self._busy:
            self._queue.put(None)

    # The thread ----------

    def _serve(self, opened: asyncio.Future[None]) -> None:
        try:
            lock, db = self._open()
        except Exception as error:
            self._tell(_finish, opened, _told(self._path, error))
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

    def _open(self) -> tuple[OwnerLock, sqlite3.Connection]:
        with suppress(FileExistsError):
            # Never opened if it is there: closing it again would undo SQLite's own locks on it.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # Beside the file itself: who comes by another path must find the same owners, and so must
        # this process when it has changed its folder.
        real = self._path.resolve()
        self._owners = real.with_name(f"{real.name}-owners")
        db = sqlite3.connect(real, isolation_level=None, timeout=TURN)
        try:
            self._patiently(lambda: _bring_about(db))
            lock = OwnerLock(self._owners)
        except BaseException:
            db.close()
            raise
        self._owner = lock.owner
        return lock, db

    def _commit(self, db: sqlite3.Connection, group: list[_Job[Any]]) -> list[_Result]:
        """Do a group of works in one transaction: all of it is on disk, or nothing of it."""

        def transact() -> list[_Result]:
            with _transaction(db):
                results = _do_at_once(db, group) if AT_ONCE else {}
                for job in group:
                    if job in results:
                        continue
                    try:
                        results[job] = job.work(db), None
                    except (PayrocError, *REFUSED) as error:
                        # It has changed nothing: each looks before it writes.
                        results[job] = None, _told(self._path, error)
            return [(job, *result) for job, result in results.items()]

        try:
            return self._patiently(transact)
        except Exception as error:
            return [(job, None, _told(self._path, error)) for job in group]

    def _patiently(self, transact: Callable[[], T]) -> T:
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
        with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback, *args)


@define(eq=False)
class _Job(Generic[T]):
    """Something to be done in a transaction.

    Args:
        work: Does it. It looks before it writes: where it raises, it has changed nothing.
        statement: What does the same for many at once, and gives None, if it can be done so.
        key: The entry's that the statement is about.
        values: This one's for the statement.
        forsaken: Undoes what nobody waits for any more.
    """

    work: Callable[[sqlite3.Connection], T]
    statement: str = ""
    key: str = ""
    values: tuple[Any, ...] = ()
    forsaken: Callable[[T], Work] | None = None
    done: asyncio.Future[T] = field(init=False)


_Result = tuple[_Job[Any], Any, Exception | None]


def _finish(future: asyncio.Future[None], error: Exception | None = None) -> None:
    if future.done():
        return  # its waiter was cancelled
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _write(values: tuple[Any, ...], db: sqlite3.Connection) -> None:
    if not db.execute(WRITE, values).rowcount:
        raise LeaseLost(values[-3])


def _do_at_once(
    db: sqlite3.Connection, group: list[_Job[Any]]
) -> dict[_Job[Any], tuple[Any, Exception | None]]:
    """What came of the jobs of a crowd that one statement could do; the others are to be done."""
    results: dict[_Job[Any], tuple[Any, Exception | None]] = {}
    crowd = [job for job in group if job.statement]
    if len({job.key for job in crowd}) < len(crowd):
        return results  # two about the same entry: their order counts
    for statement in (INSERT_ALL, WRITE_ALL):
        jobs = [job for job in crowd if job.statement is statement]
        if len(jobs) < 2:
            continue
        with suppress(orjson.JSONEncodeError):  # a text that is none; it is refused by itself
            rows = orjson.dumps([job.values for job in jobs]).decode()
            # If one of them is another case, each looks for itself; what is done is done again.
            if db.execute(statement, (rows,)).rowcount == len(jobs):
                results.update(dict.fromkeys(jobs, (None, None)))
    return results


def _told(path: Path, error: Exception) -> Exception:
    """What the caller is told: one of our errors, never with what was to be written."""
    if isinstance(error, PayrocError):
        return error
    told = JournalError(f"{path}: {error}")
    told.__cause__ = error
    return told


def _row(intent: Intent, now: float, owner: str) -> tuple[Any, ...]:
    names = (intent.idempotency_key, intent.kind, intent.gateway, intent.serial_number)
    return (*names, intent.body, None, EntryState.INTENT.value, None, now, now, owner, 1)


def _entry(row: tuple[Any, ...], now: float, *, alive: bool) -> Entry:
    return Entry(
        idempotency_key=row[0],
        kind=row[1],
        gateway=row[2],
        serial_number=row[3],
        body=row[4],
        instruction_id=row[5],
        state=EntryState(row[6]),
        resource_id=row[7],
        begun=datetime.fromtimestamp(row[8], UTC),
        changed=datetime.fromtimestamp(row[9], UTC),
        age=now - row[8],
        owner=row[10],
        fence=row[11],
        running=alive,
    )


def _bring_about(db: sqlite3.Connection) -> None:
    mode = "wal" if sqlite3.sqlite_version_info >= SOUND_WAL else "truncate"
    if db.execute("PRAGMA journal_mode").fetchone()[0] != mode:
        db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # a body that is dropped is gone from the file
    with _transaction(db):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise JournalError("the file is another program's database")
        if version > VERSION:
            raise JournalError(
                f"the journal is of version {version}, made by a newer payroc_async; this one "
                f"knows version {VERSION}"
            )
        if not tables:
            for statement in filter(str.strip, SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
