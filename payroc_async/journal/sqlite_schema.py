"""The tables of the journal in SQLite, and what is said to them."""

from __future__ import annotations

import itertools
import re
import sqlite3

from payroc_async.errors import JournalError

from .sqlite_work import transaction

__all__ = ["COLUMNS", "INSERT", "INSERT_ALL", "VERSION", "WRITE", "WRITE_ALL", "bring_about"]

VERSION = 1
APPLICATION = 0x50617972
"""Marks the file as a journal of ours."""
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


def bring_about(db: sqlite3.Connection) -> None:
    """Set the connection up, and make the tables if they are not there."""
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
        if not tables:
            for statement in filter(str.strip, SCHEMA.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
