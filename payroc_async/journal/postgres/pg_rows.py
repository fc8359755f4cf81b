"""What the rows of a journal in PostgreSQL say, and how one is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payroc_async.errors import LeaseLost
from payroc_async.journal.entries import NO_OWNER, UNFINISHED, Entry, EntryState
from payroc_async.journal.rules import entry_of, forgets_body

from .pg_jobs import Job
from .pg_schema import ALIVE, WRITE

if TYPE_CHECKING:
    from .pg_server import Connection, Row

__all__ = ["alive_among", "entry_of_row", "rows_of", "write_job"]

CONNECTED_AGAIN = 3.0
"""Seconds after a restart of the server within which the processes that live hold their locks."""


async def rows_of(connection: Connection, statement: bytes, *values: Any) -> list[Row]:
    """What a statement gives, or changes and returns."""
    return await (await connection.execute(statement, values)).fetchall()


async def alive_among(connection: Connection, owners: set[int]) -> set[int]:
    """Which of these owners live. Those that do not can't come back before the transaction ends."""
    if not owners:
        return set()
    rows = await rows_of(connection, ALIVE, list(owners), CONNECTED_AGAIN)
    return {owner for (owner,) in rows}


def write_job(
    entry: Entry,
    state: EntryState,
    instruction_id: str | None = None,
    resource_id: str | None = None,
    release: bool = False,
) -> Job[bool]:
    """The job that writes how far an entry has come, if it is still its owner's."""

    def parse_rows(rows: list[Row]) -> bool:
        if not rows:
            raise LeaseLost(entry.idempotency_key)
        return True

    owner = int(entry.owner or 0)
    values = (
        *(state.value, instruction_id, resource_id),
        *(forgets_body(entry, state, instruction_id), 0 if release else owner),
        state in UNFINISHED,
        *(entry.idempotency_key, entry.fence, owner),
    )
    return Job(statement=WRITE, values=values, parse_rows=parse_rows)


def entry_of_row(row: Row, *, alive: bool) -> Entry:
    """The entry that a row holds."""
    age, owner, fence, scope = row[10:14]
    return entry_of(row[:10], age, str(owner or NO_OWNER), fence, scope, running=alive)
