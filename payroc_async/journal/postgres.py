"""The journal in PostgreSQL: any number of machines, on the server that is there already.

Two connections: one holds the owner's lock and does nothing else, one does the work. What is asked
of it meanwhile goes into one transaction, and into one round trip where it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from attrs import evolve

from payroc_async.config import check_seconds
from payroc_async.errors import ConfigurationError, JournalError, LeaseLost
from payroc_async.secret import concealed, refusing_unseen
from payroc_async.wording import a_type

from .entries import NOBODY, UNFINISHED, Entry, EntryKind, EntryState, Intent
from .location import as_libpq_takes_it
from .pg_jobs import Job
from .pg_schema import (
    ADOPTED,
    ALIVE,
    CLAIM,
    FOREIGN_OWNERS,
    INSERT,
    KNOWN,
    PURGE,
    RESOLVE,
    SELECT,
    STILL_OWN,
    TAKE,
    WRITE,
)
from .rules import (
    check_older_than,
    check_outcome,
    check_same_request,
    check_window,
    forgets_body,
    listed,
    to_be_resolved,
)

if TYPE_CHECKING:
    from .pg_server import Connection, Row
    from .pg_work import OwnerLock, Worker

__all__ = ["PostgresJournal"]

PURGED_AT_ONCE = 5000


class PostgresJournal:
    """A journal in a PostgreSQL database, for the processes of any number of machines.

    Everything is on disk when a call returns (``synchronous_commit=on``), and on a synchronous
    standby if there is one. The owner's lock is a session's: behind PgBouncer this needs its
    session mode, for in transaction mode a lock belongs to nobody. PostgreSQL 12 or newer. On
    Windows, psycopg needs asyncio's selector event loop.

    The tables are made when they are missing; ``docs/postgres.md`` has the SQL for a user who may
    not.

    Args:
        dsn: A libpq connection string, or a URL, its scheme in any case. Of several hosts, the one
            that is no standby is used. Its password is never shown.
        schema: The schema of the tables, which exists; by default the first of the search path.
        patience: Seconds within which the server has to answer, or to be back where a connection
            was lost.

    Raises:
        ConfigurationError: The connection string can't be read, psycopg is not installed, or the
            time is not a positive number.
    """

    @refusing_unseen(ConfigurationError)
    def __init__(self, dsn: str, *, schema: str | None = None, patience: float = 5.0) -> None:
        dsn = concealed(dsn)
        check_seconds("patience", patience)
        if schema == "":
            raise ConfigurationError("schema", "must not be empty")
        try:
            from .pg_server import Server
        except ImportError as error:
            raise ConfigurationError(
                "dsn",
                f'PostgresJournal needs psycopg: pip install "payroc-async[postgres]" ({error})',
            ) from error
        if not isinstance(dsn, str):
            raise ConfigurationError("dsn", f"must be a string, not {a_type(dsn)}")
        self._server = Server(as_libpq_takes_it(dsn), schema, patience)
        self._schema = schema
        self._lock: OwnerLock | None = None
        self._worker: Worker | None = None
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, '_server', 'unfinished')}>"

    async def open(self) -> None:
        """Connect, bring the tables about, and take the owner's lock.

        Raises:
            JournalError: It is open already, the server can't be reached or refuses the user, or
                the tables can't be made or are of a newer version.

        Cancellation:
            What was opened is closed again.
        """
        from .pg_work import OwnerLock, Worker

        if self._worker is not None:
            raise JournalError(f"journal in PostgreSQL ({self._server}): it is open already")
        self._lock = OwnerLock(self._server)
        self._worker = Worker(self._server, self._lock)
        try:
            await self._lock.open(self._schema)
            await self._worker.open()
        except BaseException as error:
            await self.aclose()
            if isinstance(error, Exception):
                raise self._server.told(error) from error
            raise

    async def aclose(self) -> None:
        """Finish what was asked for, let go of the lock, and disconnect. Safe to call twice.

        Cancellation:
            It is closed all the same.
        """
        if self._worker is None:
            return
        if self._closing is None:
            self._worker.refuse()
            self._closing = asyncio.create_task(self._close(), name="payroc journal close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        assert self._worker is not None
        assert self._lock is not None
        try:
            await self._worker.aclose()
        finally:
            await self._lock.aclose()
            self._worker = self._lock = self._closing = None

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """As ``Journal.begin``."""
        lock, worker = await self._owning()
        digest = sha256(intent.body).digest()
        values = (
            *(intent.idempotency_key, intent.kind, intent.gateway, intent.serial_number),
            *(intent.body, digest, lock.owner),
        )

        def judge(rows: list[Row]) -> Entry | None:
            return _entry(rows[0], alive=True) if rows else None

        async def take(connection: Connection) -> Entry:
            while not (rows := await _rows(connection, KNOWN, intent.idempotency_key)):
                if rows := await _rows(connection, INSERT, *values):  # it was purged just now
                    return _entry(rows[0], alive=True)
            (known,) = await self._read(connection, rows)
            check_same_request(known, intent, same_body=rows[0][-1] == digest)
            self._check_free(known)
            check_window(known, window)
            new = known.instruction_id is None
            if new and known.state is EntryState.INTENT and known.owner == str(lock.owner):
                return known  # asked for again
            return await self._take(connection, known, intent.body if new else None)

        return await worker.do(Job(statement=INSERT, values=values, judge=judge, work=take))

    async def adopt(self, kind: EntryKind, gateway: str, instruction_id: str) -> Entry | None:
        """As ``Journal.adopt``."""
        _, worker = await self._owning()

        async def take(connection: Connection) -> Entry | None:
            rows = await _rows(connection, ADOPTED, kind, gateway, instruction_id)
            for found in await self._read(connection, rows):
                self._check_free(found)
                return await self._take(connection, found, None)
            return None

        return await worker.do(Job(work=take))

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
        await self._open_worker().do(_write(entry, state, instruction_id, resource_id, release))

    async def resolve(
        self, idempotency_key: str, state: EntryState, *, resource_id: str | None = None
    ) -> Entry:
        """As ``SQLiteJournal.resolve``."""
        check_outcome(state, resource_id)
        lock, worker = await self._owning()

        async def close(connection: Connection) -> Entry:
            rows = await _rows(connection, KNOWN, idempotency_key)
            if not rows:
                raise JournalError(f"there is no entry {idempotency_key}")
            (known,) = await self._read(connection, rows)
            owner = rows[0][11]
            driven = owner == lock.owner or bool(await _alive(connection, {owner} - {0}))
            if to_be_resolved(known, state, resource_id, driven=driven):
                rows = await _rows(connection, RESOLVE, state.value, resource_id, idempotency_key)
            return _entry(rows[0], alive=False)

        return await worker.do(Job(work=close))

    async def claim(self, gateway: str, *, limit: int = 100) -> list[Entry]:
        """As ``Journal.claim``."""
        lock, worker = await self._owning()
        own = lock.owner
        taken: list[Entry] = []

        async def take(connection: Connection) -> list[Entry]:
            nonlocal taken
            if taken:  # by a commit that is in doubt
                keys = [entry.idempotency_key for entry in taken]
                held = set(await _rows(connection, STILL_OWN, own, keys))
                if kept := [_ for _ in taken if (_.idempotency_key, _.fence) in held]:
                    return kept
            owners = {owner for (owner,) in await _rows(connection, FOREIGN_OWNERS, gateway, own)}
            dead = owners - await _alive(connection, owners)
            rows = await _rows(connection, CLAIM, gateway, [*dead, 0], limit, own)
            taken = [
                evolve(entry, owner=str(own), fence=entry.fence + 1)
                for entry in (_entry(row, alive=True) for row in rows)
            ]
            return taken

        def let_go(entries: list[Entry]) -> list[Job[Any]]:
            return [_write(entry, entry.state, release=True) for entry in entries]

        return await worker.do(Job(work=take, forsaken=let_go))

    async def get(self, idempotency_key: str) -> Entry | None:
        """As ``Journal.get``."""
        found = await self._select("idempotency_key = %s", idempotency_key)
        return found[0] if found else None

    async def entries(
        self, *, states: Collection[EntryState] | None = None, gateway: str | None = None
    ) -> list[Entry]:
        """As ``Journal.entries``."""
        wanted = "true" if states is None else f"state IN ({listed(frozenset(states))})"
        if states is not None and not states:
            wanted = "false"
        return await self._select(f"{wanted} AND gateway = coalesce(%s, gateway)", gateway)

    async def purge(self, older_than: float) -> int:
        """As ``Journal.purge``."""
        check_older_than(older_than)
        worker = self._open_worker()

        async def delete(connection: Connection) -> int:
            return len(await _rows(connection, PURGE, float(older_than), PURGED_AT_ONCE))

        gone = last = await worker.do(Job(work=delete))
        while last == PURGED_AT_ONCE:
            last = await worker.do(Job(work=delete))
            gone += last
        return gone

    # Reading and taking ----------

    def _open_worker(self) -> Worker:
        if self._worker is None:
            raise JournalError(f"journal in PostgreSQL ({self._server}): it is not open")
        return self._worker

    async def _owning(self) -> tuple[OwnerLock, Worker]:
        """The lock, once it is held, and the worker."""
        worker = self._open_worker()
        assert self._lock is not None
        lock = self._lock
        await lock.held()
        return lock, worker

    async def _select(self, where: str, *values: Any) -> list[Entry]:
        statement = SELECT.format(where).encode()

        async def read(connection: Connection) -> list[Entry]:
            return await self._read(connection, await _rows(connection, statement, *values))

        return await self._open_worker().do(Job(work=read))

    async def _read(self, connection: Connection, rows: list[Row]) -> list[Entry]:
        own = self._lock.owner if self._lock is not None else 0
        owners = {row[11] for row in rows if row[6] in UNFINISHED} - {0, own}
        alive = {own, *(await _alive(connection, owners))} - {0}
        return [_entry(row, alive=row[6] in UNFINISHED and row[11] in alive) for row in rows]

    def _check_free(self, entry: Entry) -> None:
        own = self._lock is not None and entry.owner == str(self._lock.owner)
        if entry.running and not own:
            raise LeaseLost(entry.idempotency_key)

    async def _take(self, connection: Connection, known: Entry, body: bytes | None) -> Entry:
        assert self._lock is not None
        state = None if body is None else EntryState.INTENT.value
        (row,) = await _rows(connection, TAKE, self._lock.owner, state, body, known.idempotency_key)
        (entry,) = await self._read(connection, [row])
        return entry


async def _rows(connection: Connection, statement: bytes, *values: Any) -> list[Row]:
    return await (await connection.execute(statement, values)).fetchall()


async def _alive(connection: Connection, owners: set[int]) -> set[int]:
    """Which of these owners live. Those that do not can't come back before the transaction ends."""
    return {owner for (owner,) in await _rows(connection, ALIVE, list(owners))} if owners else set()


def _write(
    entry: Entry,
    state: EntryState,
    instruction_id: str | None = None,
    resource_id: str | None = None,
    release: bool = False,
) -> Job[bool]:
    def judge(rows: list[Row]) -> bool:
        if not rows:
            raise LeaseLost(entry.idempotency_key)
        return True

    owner = int(entry.owner or 0)
    values = (
        *(state.value, instruction_id, resource_id),
        *(forgets_body(entry, state, instruction_id), 0 if release else owner),
        *(entry.idempotency_key, entry.fence, owner),
    )
    return Job(statement=WRITE, values=values, judge=judge)


def _entry(row: Row, *, alive: bool) -> Entry:
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
        age=row[10],
        owner=str(row[11] or NOBODY),
        fence=row[12],
        running=alive,
    )
