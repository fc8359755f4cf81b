"""The journal in an SQLite file: one machine, any number of processes, nothing to install."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from attrs import evolve

from payroc_async.config import check_seconds
from payroc_async.errors import ConfigurationError, JournalError, LeaseLost
from payroc_async.journal.entries import (
    NO_OWNER,
    UNFINISHED,
    Entry,
    EntryKind,
    EntryState,
    Intent,
    Query,
)
from payroc_async.journal.location import check_file, refused_path
from payroc_async.journal.rules import (
    check_device,
    check_older_than,
    check_outcome,
    check_same_request,
    check_window,
    conditions,
    entry_of,
    forgets_body,
    new_entry,
    to_be_resolved,
)
from payroc_async.journal.sharing import SharedJournal
from payroc_async.secret import refusing_unseen

from .locks import OwnerLock, forget_dead_owners, is_alive
from .sqlite_jobs import Job
from .sqlite_schema import (
    BEGIN_AGAIN,
    DIGEST,
    FIND,
    IN_OPEN,
    IN_UNFINISHED,
    INSERT,
    INSERT_ALL,
    LEFT_BY,
    OTHER_OWNERS,
    OWNING,
    PURGE,
    RELEASE,
    RESOLVE,
    TAKE,
    WRITE,
    WRITE_ALL,
    migrate,
)
from .sqlite_work import BUSY_WAIT, Worker

__all__ = ["SQLiteJournal"]


class SQLiteJournal(SharedJournal):
    """A journal in an SQLite file, for all processes of one machine.

    Everything is on disk when a call returns (``synchronous=FULL``). The file is made with access
    for its user alone; beside it lies a folder with a lock file for each owner. Both belong on a
    local disk: network file systems do not lock reliably.

    Args:
        path: The file; made if it is missing, in a folder that exists. A symbolic link is followed
            if it leads to a file that exists.
        busy_timeout: Seconds to wait for another process's transaction.

    Raises:
        ConfigurationError: The path is blank, ``:memory:`` or may be meant for a server, or the
            time is not a positive number.
    """

    @refusing_unseen(ConfigurationError)
    def __init__(self, path: str | os.PathLike[str], *, busy_timeout: float = 5.0) -> None:
        refused = refused_path(path, "path")
        if refused is not None:
            raise refused
        check_seconds("busy_timeout", busy_timeout)
        super().__init__()
        self._path = Path(path)
        self._busy_timeout = busy_timeout
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, '_path', 'unfinished')}>"

    async def _start(self) -> None:
        self._worker = Worker(self._path, self._busy_timeout)
        try:
            await self._worker.open(partial(self._connect, self._worker))
        except BaseException:
            await self._stop()
            raise

    def _refuse(self) -> None:
        if self._worker is not None:
            self._worker.refuse()

    async def _stop(self) -> None:
        """Finish what was asked for, release the lock, and close."""
        if self._worker is not None:
            await self._worker.aclose()
            self._worker = None

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """As ``Journal.begin``."""
        worker = self._open_worker()
        now, digest = time.time(), sha256(intent.body).hexdigest()
        values = (
            *(intent.idempotency_key, intent.kind, intent.gateway, intent.serial_number),
            *(intent.body, now, self._owner, intent.scope, digest),
        )
        work = partial(self._begin, intent, values, window)
        device = (intent.gateway, intent.scope, intent.serial_number)
        job = Job(work, INSERT_ALL, intent.idempotency_key, device, values)
        known = await worker.do(job)
        return known or new_entry(intent, now, self._owner)

    async def adopt(
        self, kind: EntryKind, gateway: str, instruction_id: str, *, scope: str = ""
    ) -> Entry | None:
        """As ``Journal.adopt``."""

        def work(db: sqlite3.Connection) -> Entry | None:
            now = time.time()
            found = self._select(
                db,
                f"{IN_OPEN} AND kind = ? AND gateway = ? AND scope = ? AND instruction_id = ?",
                (kind, gateway, scope, instruction_id),
                now,
            )
            if not found:
                return None
            self._check_free(found[0])
            self._take(db, found[:1], now)
            return self._found(db, found[0].idempotency_key, now)

        return await self._open_worker().do(Job(work))

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
        # A release that is asked for again finds no one's entry, under the same fence.
        values = (
            *(state.value, instruction_id, resource_id),
            int(forgets_body(entry, state, instruction_id)),
            *(NO_OWNER if release else entry.owner, time.time()),
            *(entry.idempotency_key, entry.fence, entry.owner),
        )
        await self._open_worker().do(
            Job(partial(_write, values), WRITE_ALL, entry.idempotency_key, values=values)
        )

    async def resolve(
        self, idempotency_key: str, state: EntryState, *, resource_id: str | None = None
    ) -> Entry:
        """The entry that had no outcome, with the one that a person has found out.

        Anyone who drove it last is fenced off. Doing it again changes nothing.

        Args:
            idempotency_key: The entry's key.
            state: ``COMPLETED``, ``FAILED`` or ``CANCELED``.
            resource_id: The id of what came of it, with ``COMPLETED``.

        Raises:
            ConfigurationError: The state is no outcome, or the id does not go with it.
            JournalError: There is no such entry, or it has another outcome. LeaseLost if a living
                process drives it.

        Cancellation:
            It may be written or not.
        """
        check_outcome(state, resource_id)

        def work(db: sqlite3.Connection) -> Entry:
            now = time.time()
            known = self._find(db, idempotency_key, now)
            if known is None:
                raise JournalError(f"there is no entry {idempotency_key}")
            driven = self._is_alive(known.owner)
            if to_be_resolved(known, state, resource_id, driven=driven):
                db.execute(RESOLVE, (state.value, resource_id, now, idempotency_key))
            return self._found(db, idempotency_key, now)

        return await self._open_worker().do(Job(work))

    async def claim(
        self, gateway: str, *, scope: str = "", but: Collection[str] = (), limit: int = 100
    ) -> list[Entry]:
        """As ``Journal.claim``."""
        left_alone = orjson.dumps(list(but)).decode()

        def work(db: sqlite3.Connection) -> list[Entry]:
            now = time.time()
            others = db.execute(OTHER_OWNERS, (gateway, scope, self._owner)).fetchall()
            dead = [owner for (owner,) in others if not self._is_alive(owner)]
            if not dead:
                return []
            values = (gateway, scope, orjson.dumps(dead).decode(), left_alone, limit)
            found = [_entry(row, now, alive=True) for row in db.execute(LEFT_BY, values).fetchall()]
            self._take(db, found, now)
            return [evolve(entry, owner=self._owner, fence=entry.fence + 1) for entry in found]

        def release_claims(entries: list[Entry]) -> Callable[[sqlite3.Connection], object]:
            return lambda db: db.executemany(
                RELEASE,
                [(entry.idempotency_key, entry.fence) for entry in entries],
            )

        return await self._open_worker().do(Job(work, undo=release_claims))

    async def get(self, idempotency_key: str) -> Entry | None:
        """As ``Journal.get``."""
        return await self._open_worker().do(
            Job(lambda db: self._find(db, idempotency_key, time.time()))
        )

    async def find(self, query: Query) -> list[Entry]:
        """As ``Journal.find``."""
        found, values = conditions(query, IN_OPEN)
        if query.resource_ids is not None:
            found.append("resource_id IN (SELECT value FROM json_each(?))")
            values.append(orjson.dumps(list(query.resource_ids)).decode())
        if query.after is not None:
            found.append("+idempotency_key > ?")  # not by the index of all keys
            values.append(query.after)
        order = "begun, idempotency_key" if query.after is None else "+idempotency_key"
        where, last = " AND ".join(found), -1 if query.limit is None else query.limit
        where, values = f"{where} ORDER BY {order} LIMIT ?", [*values, last]
        return await self._open_worker().do(
            Job(lambda db: self._select(db, where, tuple(values), time.time(), order=""))
        )

    async def purge(self, older_than: float, *, scope: str | None = None) -> int:
        """As ``Journal.purge``. The lock files of dead owners go with them."""
        check_older_than(older_than)

        def delete(limit: int, db: sqlite3.Connection) -> int:
            values = (time.time() - older_than, scope, scope, limit)
            return db.execute(PURGE, values).rowcount

        def tidy_up(db: sqlite3.Connection) -> None:
            forget_dead_owners(self._owners, {owner for (owner,) in db.execute(OWNING)})

        gone = await self._purge(lambda limit: self._open_worker().do(Job(partial(delete, limit))))
        await self._open_worker().do(Job(tidy_up))
        return gone

    def _open_worker(self) -> Worker:
        if self._worker is None:
            raise JournalError(f"{self._path}: this journal is not open")
        return self._worker

    # In the thread ----------

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Entry | None:
        found = self._select(db, "idempotency_key = ?", (key,), now)
        return found[0] if found else None

    def _found(self, db: sqlite3.Connection, key: str, now: float) -> Entry:
        found = self._find(db, key, now)
        assert found is not None
        return found

    def _select(
        self,
        db: sqlite3.Connection,
        where: str,
        values: tuple[Any, ...],
        now: float,
        *,
        order: str = "ORDER BY begun",
    ) -> list[Entry]:
        alive: dict[str, bool] = {}
        found = []
        rows = db.execute(f"{FIND} {where} {order}", values)
        for row in rows.fetchall():
            state, owner = row[6], row[10]
            if state in UNFINISHED and owner not in alive:
                alive[owner] = self._is_alive(owner)
            found.append(_entry(row, now, alive=state in UNFINISHED and alive[owner]))
        return found

    def _is_alive(self, owner: str) -> bool:
        return owner != NO_OWNER and (owner == self._owner or is_alive(self._owners, owner))

    def _check_free(self, entry: Entry) -> None:
        if entry.running and entry.owner != self._owner:
            raise LeaseLost(entry.idempotency_key)

    def _take(self, db: sqlite3.Connection, entries: list[Entry], now: float) -> None:
        db.executemany(
            TAKE,
            [(self._owner, now, entry.idempotency_key) for entry in entries],
        )

    def _begin(
        self, intent: Intent, values: tuple[Any, ...], window: float, db: sqlite3.Connection
    ) -> Entry | None:
        """What is known of a key; None if it is entered now."""
        *_, begun, owner, _, digest = values
        if db.execute(INSERT, (*_row(intent, begun, owner), digest)).rowcount:
            return None
        now = time.time()
        known = self._find(db, intent.idempotency_key, now)
        if known is None:
            self._check_device(db, intent, now)
        assert known is not None  # what keeps a new entry out is its device
        (known_digest,) = db.execute(DIGEST, (intent.idempotency_key,)).fetchone()
        check_same_request(known, intent, same_body=known_digest == digest)
        self._check_free(known)
        check_window(known, window)
        own, new = known.owner == self._owner, known.instruction_id is None
        if own and new and known.state is EntryState.INTENT:
            return known  # asked for again
        if new:
            self._check_device(db, intent, now)
            db.execute(BEGIN_AGAIN, (EntryState.INTENT.value, intent.body, known.idempotency_key))
        self._take(db, [known], now)
        return self._found(db, intent.idempotency_key, now)

    def _check_device(self, db: sqlite3.Connection, intent: Intent, now: float) -> None:
        where = f"{IN_UNFINISHED} AND gateway = ? AND scope = ? AND serial_number = ?"
        device = (intent.gateway, intent.scope, intent.serial_number)
        check_device(self._select(db, where, device, now), intent.idempotency_key)

    def _connect(self, worker: Worker) -> tuple[OwnerLock, sqlite3.Connection]:
        check_file(self._path)
        with suppress(FileExistsError):
            # Never opened if it is there: closing it again would undo SQLite's own locks on it.
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # Beside the file itself: who comes by another path must find the same owners, and so must
        # this process when it has changed its folder.
        real = self._path.resolve()
        self._owners = real.with_name(f"{real.name}-owners")
        db = sqlite3.connect(real, isolation_level=None, timeout=BUSY_WAIT)
        try:
            worker.retry_while_busy(lambda: migrate(db))
            lock = OwnerLock(self._owners)
        except BaseException:
            db.close()
            raise
        self._owner = lock.owner
        return lock, db


def _write(values: tuple[Any, ...], db: sqlite3.Connection) -> None:
    if not db.execute(WRITE, values).rowcount:
        raise LeaseLost(values[-3])


def _row(intent: Intent, now: float, owner: str) -> tuple[Any, ...]:
    names = (intent.idempotency_key, intent.kind, intent.gateway, intent.serial_number)
    rest = (now, now, owner, 1, intent.scope)
    return (*names, intent.body, None, EntryState.INTENT.value, None, *rest)


def _entry(row: tuple[Any, ...], now: float, *, alive: bool) -> Entry:
    *stored, owner, fence, scope = row
    return entry_of(stored, now - row[8], owner, fence, scope, running=alive)
