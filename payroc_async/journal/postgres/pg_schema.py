"""The tables of a journal in PostgreSQL, and what is asked of them: the texts are in ``.sql``."""

from __future__ import annotations

from payroc_async.journal.entries import OPEN, UNFINISHED
from payroc_async.journal.rules import listed
from payroc_async.journal.sql_files import read_migrations, read_statements

__all__ = [
    "ADOPTED",
    "ALIVE",
    "CLAIM",
    "END_SESSION",
    "FIND",
    "INSERT",
    "IN_OPEN",
    "KNOWN",
    "LOCK",
    "LOCK_MIGRATION",
    "LOCK_WORK",
    "MIGRATIONS",
    "NEXT_OWNER",
    "ON_DEVICE",
    "OTHER_OWNERS",
    "PURGE",
    "RESOLVE",
    "SCHEMA",
    "SESSION",
    "SET_UP",
    "STILL_OWN",
    "TABLES",
    "TAKE",
    "TAKEN",
    "TRY_LOCK",
    "VERSION",
    "VERSION_THERE",
    "WRITE",
]

VERSION = 2
COLUMNS = """
    idempotency_key, kind, gateway, serial_number, body, instruction_id, state, resource_id,
    extract(epoch FROM begun)::float8 AS begun_at,
    extract(epoch FROM changed)::float8 AS changed_at,
    extract(epoch FROM clock_timestamp() - begun)::float8 AS age, owner, fence, scope
"""
# As the indexes have it.
IN_OPEN = f"state IN ({listed(OPEN)})"
IN_UNFINISHED_ALONE = f"state IN ({listed(UNFINISHED)})"
LOCK_OF = "('payroc_journal'::regclass::oid::bigint << 32) | {}::bigint"
SHARED = {
    "columns": COLUMNS,
    "in_ended": f"state NOT IN ({listed(OPEN)})",
    "in_open": IN_OPEN,
    "in_unfinished": f"{IN_OPEN} AND {IN_UNFINISHED_ALONE}",
    "in_unfinished_alone": IN_UNFINISHED_ALONE,
    "lock_of_o": LOCK_OF.format("o"),
    "lock_of_owner": LOCK_OF.format("%s"),
}
MIGRATIONS = read_migrations("payroc_async.journal.postgres", "pg_migration_", VERSION, SHARED)
"""What leads from each version to the next."""
_texts = read_statements("payroc_async.journal.postgres", "pg_statements.sql", SHARED)

FIND = _texts["find"]
ADOPTED = _texts["adopted"].encode()
ALIVE = _texts["alive"].encode()
CLAIM = _texts["claim"].encode()
END_SESSION = _texts["end_session"].encode()
INSERT = _texts["insert"].encode()
KNOWN = _texts["known"].encode()
LOCK = _texts["lock"].encode()
LOCK_MIGRATION = _texts["lock_migration"].encode()
LOCK_WORK = _texts["lock_work"].encode()
NEXT_OWNER = _texts["next_owner"].encode()
ON_DEVICE = _texts["on_device"].encode()
OTHER_OWNERS = _texts["other_owners"].encode()
PURGE = _texts["purge"].encode()
RESOLVE = _texts["resolve"].encode()
SCHEMA = _texts["schema"].encode()
SESSION = _texts["session"].encode()
SET_UP = _texts["set_up"].encode()
STILL_OWN = _texts["still_own"].encode()
TABLES = _texts["tables"].encode()
TAKE = _texts["take"].encode()
TAKEN = _texts["taken"].encode()
TRY_LOCK = _texts["try_lock"].encode()
VERSION_THERE = _texts["version"].encode()
WRITE = _texts["write"].encode()
