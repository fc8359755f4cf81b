"""The tables of the journal in SQLite, and what is said to them."""

from __future__ import annotations

import itertools
import re
import sqlite3

from payroc_async.errors import JournalError
from payroc_async.journal.rules import IN_ENDED, IN_OPEN, IN_UNFINISHED

from .sqlite_work import transaction

__all__ = [
    "COLUMNS",
    "INSERT",
    "INSERT_ALL",
    "LEFT",
    "OTHER_OWNERS",
    "PURGE",
    "VERSION",
    "WRITE",
    "WRITE_ALL",
    "migrate",
]

VERSION = 2
APPLICATION = 0x50617972
"""Marks the file as a journal of ours."""
# Below, several connections in WAL mode may damage the file when the log is reset.
SOUND_WAL = (3, 51, 3)

FIRST = """
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
"""
# A process of the last version that lives goes on: it names the columns that it knows.
SECOND = f"""
ALTER TABLE entries ADD COLUMN scope TEXT NOT NULL DEFAULT '';
DROP INDEX IF EXISTS open_entries;
CREATE INDEX open_owners ON entries (gateway, scope, owner) WHERE {IN_OPEN};
CREATE INDEX open_devices ON entries (gateway, scope, serial_number) WHERE {IN_OPEN};
CREATE INDEX open_instructions ON entries (instruction_id) WHERE {IN_OPEN};
CREATE INDEX resources ON entries (resource_id) WHERE resource_id IS NOT NULL;
CREATE INDEX ended_entries ON entries (changed) WHERE {IN_ENDED};
"""
MIGRATIONS = (FIRST, SECOND)
"""What leads from each version to the next."""
COLUMNS = (
    "idempotency_key, kind, gateway, serial_number, body, instruction_id, state, resource_id, "
    "begun, changed, owner, fence, scope"
)

# One writer at a time: nothing can be entered between the look at the device and the insertion.
FREE = f"""
NOT EXISTS (
    SELECT 1 FROM entries AS other
    WHERE {{gateway}} = other.gateway AND {{scope}} = other.scope
        AND {{device}} = other.serial_number AND {IN_UNFINISHED}
)
"""
# A crowd's rows in one statement: each statement releases the interpreter and waits for it again,
# beside a loop that has other things to do.
INSERT = f"""
INSERT INTO entries ({COLUMNS}, digest)
SELECT * FROM (
    SELECT ?, ?, ? AS gateway, ? AS device, ?, ?, ?, ?, ?, ?, ?, ?, ? AS scope, ?
) AS new
WHERE {FREE.format(gateway="new.gateway", scope="new.scope", device="new.device")}
ON CONFLICT DO NOTHING
"""
INSERT_ALL = f"""
INSERT INTO entries ({COLUMNS}, digest)
SELECT value->>0, value->>1, value->>2, value->>3, CAST(value->>4 AS BLOB), NULL, 'intent', NULL,
    value->>5, value->>5, value->>6, 1, value->>7, value->>8
FROM json_each(?)
WHERE {FREE.format(gateway="value->>2", scope="value->>7", device="value->>3")}
ON CONFLICT DO NOTHING
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
OTHER_OWNERS = f"""
SELECT DISTINCT owner FROM entries
WHERE {IN_UNFINISHED} AND gateway = ? AND scope = ? AND owner <> ?
"""
LEFT = f"""
SELECT {COLUMNS} FROM entries
WHERE {IN_UNFINISHED} AND gateway = ? AND scope = ? AND owner IN (SELECT value FROM json_each(?))
    AND idempotency_key NOT IN (SELECT value FROM json_each(?))
ORDER BY begun LIMIT ?
"""
PURGE = f"""
DELETE FROM entries WHERE idempotency_key IN (
    SELECT idempotency_key FROM entries
    WHERE {IN_ENDED} AND changed < ? AND (? IS NULL OR scope = ?) ORDER BY changed LIMIT ?
)
"""


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
