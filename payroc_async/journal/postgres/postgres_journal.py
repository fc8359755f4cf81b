"""The journal in PostgreSQL: any number of machines, on the server that is there already.

Two connections: one holds the owner's lock and does nothing else, one does the work. What is asked
of it meanwhile goes into one transaction, and into one round trip where it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from attrs import evolve

from payroc_async.config import check_seconds
from payroc_async.errors import ConfigurationError, JournalError, LeaseLost
from payroc_async.journal.entries import (
    UNFINISHED,
    Entry,
    EntryKind,
    EntryState,
    Intent,
    Query,
)
from payroc_async.journal.location import as_libpq_takes_it, refused_dsn
from payroc_async.journal.rules import (
    check_device,
    check_older_than,
    check_outcome,
    check_same_request,
    check_window,
    conditions,
    to_be_resolved,
)
from payroc_async.journal.sharing import SharedJournal
from payroc_async.secret import concealed, refusing_unseen
from payroc_async.wording import a_type

from .pg_jobs import Job
from .pg_rows import alive_among, entry_of_row, rows_of, write_job
from .pg_schema import (
    ADOPTED,
    CLAIM,
    FIND,
    IN_OPEN,
    INSERT,
    KNOWN,
    ON_DEVICE,
    OTHER_OWNERS,
    PURGE,
    RESOLVE,
    STILL_OWN,
    TAKE,
    TAKEN,
)

if TYPE_CHECKING:
    from .pg_server import Connection, Row
    from .pg_work import OwnerLock, Worker

__all__ = ["PostgresJournal"]

LONGEST_AGE = 1e11
"""Seconds: beyond it the server has no dates."""


class PostgresJournal(SharedJournal):
    """A journal in a PostgreSQL database, for the processes of any number of machines.

    Everything is on disk when a call returns (``synchronous_commit=on``), and on a synchronous
    standby if there is one. The owner's lock is a session's: behind PgBouncer this needs its
    session mode, and ``open`` refuses the others. PostgreSQL 12 or newer. On Windows, psycopg needs
    asyncio's selector event loop.

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
        if schema is not None and not isinstance(schema, str):
            raise ConfigurationError("schema", f"must be a string, not {a_type(schema)}")
        if schema is not None and (not schema.strip() or "\0" in schema):
            raise ConfigurationError("schema", "must be a name, not blank and without NUL")
        try:
            from .pg_server import Server
        except ImportError as error:
            raise ConfigurationError(
                "dsn",
                f'PostgresJournal needs psycopg: pip install "payroc-async[postgres]" ({error})',
            ) from error
        refused = refused_dsn(dsn)
        if refused is not None:
            raise refused
        self._server = Server(as_libpq_takes_it(dsn), schema, patience)
        super().__init__()
        self._schema = schema
        self._lock: OwnerLock | None = None
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {getattr(self, '_server', 'unfinished')}>"

    async def _start(self) -> None:
        from .pg_work import OwnerLock, Worker

        self._lock = OwnerLock(self._server, self._held_again)
        self._worker = Worker(self._server, self._lock)
        try:
            await self._lock.open(self._schema)
            await self._worker.open()
        except BaseException as error:
            await asyncio.shield(asyncio.create_task(self._stop(), name="payroc journal close"))
            if isinstance(error, Exception):
                raise self._server.as_journal_error(error) from error
            raise

    def _refuse(self) -> None:
        if self._worker is not None:
            self._worker.refuse()

    async def _stop(self) -> None:
        """Finish what was asked for, release the lock, and disconnect."""
        assert self._worker is not None
        assert self._lock is not None
        try:
            await self._worker.aclose()
        finally:
            await self._lock.aclose()
            self._worker = self._lock = None

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """As ``Journal.begin``."""
        from psycopg import errors

        lock, worker = await self._owning()
        digest = sha256(intent.body).digest()
        values = (
            *(intent.idempotency_key, intent.kind, intent.gateway, intent.scope),
            *(intent.serial_number, intent.body, digest, lock.owner),
        )

        def parse_rows(rows: list[Row]) -> Entry | None:
            return entry_of_row(rows[0], alive=True) if rows else None

        async def take(connection: Connection) -> Entry:
            while not (rows := await rows_of(connection, KNOWN, intent.idempotency_key)):
                await self._check_device(connection, intent)
                if rows := await rows_of(connection, INSERT, *values):  # it has ended just now
                    return entry_of_row(rows[0], alive=True)
            (known,) = await self._read(connection, rows)
            check_same_request(known, intent, same_body=rows[0][-1] == digest)
            self._check_free(known)
            check_window(known, window)
            new = known.instruction_id is None
            if new and known.state is EntryState.INTENT and known.owner == str(lock.owner):
                return known  # asked for again
            if not new:
                return await self._take(connection, known, None)
            await self._check_device(connection, intent)
            try:
                async with connection.transaction():  # a savepoint
                    return await self._take(connection, known, intent.body)
            except errors.UniqueViolation:
                await self._check_device(connection, intent)  # another was quicker
                raise

        return await worker.do(
            Job(statement=INSERT, values=values, parse_rows=parse_rows, work=take)
        )

    async def adopt(
        self, kind: EntryKind, gateway: str, instruction_id: str, *, scope: str = ""
    ) -> Entry | None:
        """As ``Journal.adopt``."""
        _, worker = await self._owning()

        async def take(connection: Connection) -> Entry | None:
            rows = await rows_of(connection, ADOPTED, kind, gateway, scope, instruction_id)
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
        await self._open_worker().do(write_job(entry, state, instruction_id, resource_id, release))

    async def resolve(
        self, idempotency_key: str, state: EntryState, *, resource_id: str | None = None
    ) -> Entry:
        """As ``SQLiteJournal.resolve``."""
        check_outcome(state, resource_id)
        lock, worker = await self._owning()

        async def close(connection: Connection) -> Entry:
            rows = await rows_of(connection, KNOWN, idempotency_key)
            if not rows:
                raise JournalError(f"there is no entry {idempotency_key}")
            (known,) = await self._read(connection, rows)
            owner = rows[0][11]
            driven = owner == lock.owner or bool(await alive_among(connection, {owner} - {0}))
            if to_be_resolved(known, state, resource_id, driven=driven):
                rows = await rows_of(connection, RESOLVE, state.value, resource_id, idempotency_key)
            return entry_of_row(rows[0], alive=False)

        return await worker.do(Job(work=close))

    async def claim(
        self, gateway: str, *, scope: str = "", but: Collection[str] = (), limit: int = 100
    ) -> list[Entry]:
        """As ``Journal.claim``."""
        lock, worker = await self._owning()
        own = lock.owner
        taken: list[Entry] = []

        def parse_rows(rows: list[Row]) -> list[Entry] | None:
            return None if rows else []  # mostly there is nothing, and no other work waits for it

        async def take(connection: Connection) -> list[Entry]:
            nonlocal taken
            if taken:  # by a commit that is in doubt
                keys = [entry.idempotency_key for entry in taken]
                held = set(await rows_of(connection, STILL_OWN, own, keys))
                if kept := [_ for _ in taken if (_.idempotency_key, _.fence) in held]:
                    return kept
            others = await rows_of(connection, OTHER_OWNERS, gateway, scope, own)
            owners = {owner for (owner,) in others}
            dead = owners - await alive_among(connection, owners - {0})
            if not dead:
                return []
            values = (gateway, scope, list(dead), list(but), limit, own)
            rows = await rows_of(connection, CLAIM, *values)
            taken = [
                evolve(entry, owner=str(own), fence=entry.fence + 1)
                for entry in (entry_of_row(row, alive=True) for row in rows)
            ]
            return taken

        def release_claims(entries: list[Entry]) -> list[Job[Any]]:
            return [write_job(entry, entry.state, release=True) for entry in entries]

        job = Job(
            statement=OTHER_OWNERS,
            values=(gateway, scope, own),
            parse_rows=parse_rows,
            work=take,
            undo=release_claims,
        )
        return await worker.do(job)

    async def taken(self, entries: Collection[Entry]) -> set[str]:
        """As ``SharedJournal.taken``."""
        lock, worker = await self._owning()
        keys = [entry.idempotency_key for entry in entries]
        fences = [entry.fence for entry in entries]

        async def read(connection: Connection) -> set[str]:
            return {key for (key,) in await rows_of(connection, TAKEN, keys, fences, lock.owner)}

        return await worker.do(Job(work=read))

    async def get(self, idempotency_key: str) -> Entry | None:
        """As ``Journal.get``."""
        found = await self._select("idempotency_key = %s", idempotency_key)
        return found[0] if found else None

    async def find(self, query: Query) -> list[Entry]:
        """As ``Journal.find``."""
        found, values = conditions(query, IN_OPEN)
        if query.resource_ids is not None:
            found.append("resource_id = ANY (?)")
            values.append(list(query.resource_ids))
        order = "begun, idempotency_key"
        if query.after is not None:
            order = 'idempotency_key COLLATE "C"'  # not by the index of all keys
            found.append(f"{order} > ?")
            values.append(query.after)
        where = f"{' AND '.join(found)} ORDER BY {order} LIMIT ?".replace("?", "%s")
        return await self._select(where, *values, query.limit)

    async def purge(self, older_than: float, *, scope: str | None = None) -> int:
        """As ``Journal.purge``."""
        check_older_than(older_than)
        worker = self._open_worker()
        values = (min(float(older_than), LONGEST_AGE), scope, scope)

        async def delete(limit: int, connection: Connection) -> int:
            return len(await rows_of(connection, PURGE, *values, limit))

        return await self._purge(lambda limit: worker.do(Job(work=partial(delete, limit))))

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
        statement = f"{FIND} {where}".encode()

        async def read(connection: Connection) -> list[Entry]:
            return await self._read(connection, await rows_of(connection, statement, *values))

        return await self._open_worker().do(Job(work=read))

    async def _read(self, connection: Connection, rows: list[Row]) -> list[Entry]:
        own = self._lock.owner if self._lock is not None else 0
        owners = {row[11] for row in rows if row[6] in UNFINISHED} - {0, own}
        alive = {own, *(await alive_among(connection, owners))} - {0}
        return [entry_of_row(row, alive=row[6] in UNFINISHED and row[11] in alive) for row in rows]

    def _check_free(self, entry: Entry) -> None:
        own = self._lock is not None and entry.owner == str(self._lock.owner)
        if entry.running and not own:
            raise LeaseLost(entry.idempotency_key)

    async def _check_device(self, connection: Connection, intent: Intent) -> None:
        device = (intent.gateway, intent.scope, intent.serial_number)
        unfinished = await self._read(connection, await rows_of(connection, ON_DEVICE, *device))
        check_device(unfinished, intent.idempotency_key)

    async def _take(self, connection: Connection, known: Entry, body: bytes | None) -> Entry:
        assert self._lock is not None
        new = body is not None
        state = EntryState.INTENT.value if new else None
        values = (self._lock.owner, state, body, new, known.idempotency_key)
        (row,) = await rows_of(connection, TAKE, *values)
        (entry,) = await self._read(connection, [row])
        return entry
