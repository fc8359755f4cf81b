"""The tables of a journal in SQLite, and what is asked of them: the texts are in ``.sql``."""

from __future__ import annotations

import sqlite3

from payroc_async.errors import JournalError
from payroc_async.journal.entries import OPEN, UNFINISHED, EntryState
from payroc_async.journal.sql_files import read_migrations, read_statements

from .sqlite_work import transaction

__all__ = [
    "BEGIN_AGAIN",
    "DIGEST",
    "FIND",
    "INSERT",
    "INSERT_ALL",
    "IN_OPEN",
    "IN_UNFINISHED",
    "LEFT_BY",
    "OTHER_OWNERS",
    "OWNING",
    "PURGE",
    "RELEASE",
    "RESOLVE",
    "TAKE",
    "VERSION",
    "WRITE",
    "WRITE_ALL",
    "migrate",
]

VERSION = 3
APPLICATION = 0x50617972
"""Marks the file as a journal of ours."""
# Below, several connections in WAL mode may damage the file when the log is reset.
SOUND_WAL = (3, 51, 3)

COLUMNS = (
    "idempotency_key, kind, gateway, serial_number, body, instruction_id, state, resource_id, "
    "begun, changed, owner, fence, scope"
)


def _any_of(states: frozenset[EntryState]) -> str:
    """That the state is one of these. For each row that it writes, SQLite fills a table with what
    ``IN`` compares in the condition of an index, as often as there are indexes.
    """
    each = [f"state = '{state.value}'" for state in sorted(states)]
    return f"({' OR '.join(each)})"


# The indexes are on exactly these words: SQLite compares them one by one.
IN_OPEN = _any_of(OPEN)
IN_UNFINISHED = f"{IN_OPEN} AND {_any_of(UNFINISHED)}"  # the index is on the first
SHARED = {
    "columns": COLUMNS,
    "in_ended": f"NOT {IN_OPEN}",
    "in_open": IN_OPEN,
    "in_unfinished": IN_UNFINISHED,
    "rows": "{rows}",  # as many as there are: `sqlite_jobs`
}
MIGRATIONS = read_migrations("payroc_async.journal.sqlite", "sqlite_migration_", VERSION, SHARED)
"""What leads from each version to the next."""
_texts = read_statements("payroc_async.journal.sqlite", "sqlite_statements.sql", SHARED)

BEGIN_AGAIN = _texts["begin_again"]
DIGEST = _texts["digest"]
FIND = _texts["find"]
INSERT = _texts["insert"]
INSERT_ALL = _texts["insert_all"]
LEFT_BY = _texts["left_by"]
OTHER_OWNERS = _texts["other_owners"]
OWNING = _texts["owning"]
PURGE = _texts["purge"]
RELEASE = _texts["release"]
RESOLVE = _texts["resolve"]
TAKE = _texts["take"]
WRITE = _texts["write"]
WRITE_ALL = _texts["write_all"]


def migrate(db: sqlite3.Connection) -> None:
    """Set the connection up, make the tables if they are not there, and bring them up to date."""
    mode = "wal" if sqlite3.sqlite_version_info >= SOUND_WAL else "truncate"
    if db.execute("PRAGMA journal_mode").fetchone()[0] != mode:
        db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")  # a body that is dropped is gone from the file
    with transaction(db):
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
        for migration in MIGRATIONS[version:]:
            for statement in filter(str.strip, migration.split(";")):
                db.execute(statement)
        if version < VERSION:
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
