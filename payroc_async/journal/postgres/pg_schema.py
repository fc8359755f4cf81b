"""The tables of a journal in PostgreSQL, and what is asked of them."""

from __future__ import annotations

from payroc_async.journal.entries import UNFINISHED
from payroc_async.journal.rules import IN_ENDED, IN_OPEN, IN_UNFINISHED, listed

__all__ = [
    "ADOPTED",
    "ALIVE",
    "CLAIM",
    "END_SESSION",
    "INSERT",
    "KNOWN",
    "LOCK",
    "LOCK_WORK",
    "MIGRATIONS",
    "NEXT_OWNER",
    "ON_DEVICE",
    "OTHER_OWNERS",
    "PURGE",
    "RESOLVE",
    "SELECT",
    "STILL_OWN",
    "TAKE",
    "TAKEN",
    "TRY_LOCK",
    "VERSION",
    "WRITE",
]

VERSION = 2
IN_UNFINISHED_ALONE = f"state IN ({listed(UNFINISHED)})"

FIRST = """
CREATE TABLE payroc_journal (
    idempotency_key text PRIMARY KEY,
    kind text NOT NULL,
    gateway text NOT NULL,
    serial_number text NOT NULL,
    digest bytea NOT NULL,
    body bytea,
    instruction_id text,
    state text NOT NULL,
    resource_id text,
    begun timestamptz NOT NULL,
    changed timestamptz NOT NULL,
    owner bigint NOT NULL,
    fence bigint NOT NULL
);
CREATE SEQUENCE payroc_journal_owner MAXVALUE 2147483647;
CREATE TABLE payroc_journal_version (version integer NOT NULL);
INSERT INTO payroc_journal_version VALUES (1);
"""
# A process of the last version that lives goes on: it names the columns that it knows. What it
# enters, and what is there already, does not hold its device: two may be unfinished on one.
SECOND = f"""
ALTER TABLE payroc_journal ADD COLUMN scope text NOT NULL DEFAULT '';
ALTER TABLE payroc_journal ADD COLUMN holds_device boolean NOT NULL DEFAULT false;
DROP INDEX IF EXISTS payroc_journal_open;
CREATE INDEX payroc_journal_owners ON payroc_journal (gateway, scope, owner)
    WHERE {IN_OPEN};
CREATE INDEX payroc_journal_devices ON payroc_journal (gateway, scope, serial_number)
    WHERE {IN_OPEN};
CREATE UNIQUE INDEX payroc_journal_busy ON payroc_journal (gateway, scope, serial_number)
    WHERE holds_device AND {IN_UNFINISHED_ALONE};
CREATE INDEX payroc_journal_instructions ON payroc_journal (instruction_id)
    WHERE {IN_OPEN};
CREATE INDEX payroc_journal_resources ON payroc_journal (resource_id)
    WHERE resource_id IS NOT NULL;
CREATE INDEX payroc_journal_ended ON payroc_journal (changed)
    WHERE {IN_ENDED};
UPDATE payroc_journal_version SET version = 2;
"""
MIGRATIONS = (FIRST, SECOND)
"""What leads from each version to the next."""
COLUMNS = """
    idempotency_key, kind, gateway, serial_number, body, instruction_id, state, resource_id,
    extract(epoch FROM begun)::float8 AS begun_at,
    extract(epoch FROM changed)::float8 AS changed_at,
    extract(epoch FROM clock_timestamp() - begun)::float8 AS age, owner, fence, scope
"""
# The table is part of the key, for several journals in one database do not know each other.
LOCK_OF = "('payroc_journal'::regclass::oid::bigint << 32) | {}::bigint"

NEXT_OWNER = b"SELECT nextval('payroc_journal_owner')"
TRY_LOCK = f"SELECT pg_try_advisory_lock({LOCK_OF.format('%s')})".encode()
LOCK = f"SELECT pg_advisory_lock({LOCK_OF.format('%s')})".encode()
# In the space of two numbers. The server may yet do what it was sent on a connection that is lost:
# the next one waits until that has ended, so that no old write comes after a new one.
LOCK_WORK = b"""
SELECT pg_advisory_lock(('payroc_journal'::regclass::oid::bigint - 2147483648)::int, %s::int)
"""
END_SESSION = b"""
SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND pid = %s AND objid = %s::bigint::oid AND granted
"""
# Shared, so that those who ask at once do not take each other for the owner; and until the end of
# the transaction, so that an owner that comes back does so before or after it. A restart ends every
# connection: until its clients had time to connect again, no one passes for dead.
ALIVE = f"""
SELECT o FROM unnest(%s::bigint[]) AS o
WHERE CASE WHEN clock_timestamp() < pg_postmaster_start_time() + make_interval(secs => %s) THEN true
    ELSE NOT pg_try_advisory_xact_lock_shared({LOCK_OF.format("o")}) END
""".encode()

# Two that begin at once on one device both see it free: the unique index lets one of them in.
INSERT = f"""
INSERT INTO payroc_journal (idempotency_key, kind, gateway, scope, serial_number, body, digest,
    state, begun, changed, owner, fence, holds_device)
SELECT key, kind, gateway, scope, device, body, digest, 'intent', now, now, owner, 1, true
FROM (SELECT %s::text AS key, %s::text AS kind, %s::text AS gateway, %s::text AS scope,
    %s::text AS device, %s::bytea AS body, %s::bytea AS digest, %s::bigint AS owner,
    clock_timestamp() AS now) AS intent
WHERE NOT EXISTS (
    SELECT 1 FROM payroc_journal AS other
    WHERE {IN_UNFINISHED} AND other.gateway = intent.gateway AND other.scope = intent.scope
        AND other.serial_number = intent.device
)
ON CONFLICT DO NOTHING RETURNING {COLUMNS}
""".encode()
SELECT = f"SELECT {COLUMNS} FROM payroc_journal WHERE {{}}"
KNOWN = (
    f"SELECT {COLUMNS}, digest FROM payroc_journal WHERE idempotency_key = %s FOR UPDATE"
).encode()
ON_DEVICE = f"""
SELECT {COLUMNS} FROM payroc_journal
WHERE {IN_UNFINISHED} AND gateway = %s AND scope = %s AND serial_number = %s
ORDER BY begun
""".encode()
ADOPTED = f"""
SELECT {COLUMNS} FROM payroc_journal
WHERE {IN_OPEN} AND kind = %s AND gateway = %s AND scope = %s AND instruction_id = %s
ORDER BY begun, idempotency_key LIMIT 1 FOR UPDATE
""".encode()
TAKE = f"""
UPDATE payroc_journal SET owner = %s, fence = fence + 1, changed = clock_timestamp(),
    state = coalesce(%s, state), body = coalesce(%s, body),
    holds_device = holds_device OR %s
WHERE idempotency_key = %s RETURNING {COLUMNS}
""".encode()
# A release that is asked for again finds no one's entry, under the same fence.
WRITE = b"""
UPDATE payroc_journal SET state = %s, instruction_id = coalesce(%s, instruction_id),
    resource_id = coalesce(%s, resource_id), body = CASE WHEN %s THEN NULL ELSE body END,
    owner = %s, changed = clock_timestamp(), holds_device = holds_device AND %s
WHERE idempotency_key = %s AND fence = %s AND owner IN (%s, 0) RETURNING 1
"""
RESOLVE = f"""
UPDATE payroc_journal SET state = %s, resource_id = %s, body = NULL, owner = 0, fence = fence + 1,
    changed = clock_timestamp()
WHERE idempotency_key = %s RETURNING {COLUMNS}
""".encode()
OTHER_OWNERS = f"""
SELECT DISTINCT owner FROM payroc_journal
WHERE {IN_UNFINISHED} AND gateway = %s AND scope = %s AND owner <> %s
""".encode()
CLAIM = f"""
WITH found AS MATERIALIZED (
    SELECT {COLUMNS} FROM payroc_journal
    WHERE {IN_UNFINISHED} AND gateway = %s AND scope = %s AND owner = ANY (%s)
        AND idempotency_key <> ALL (%s)
    ORDER BY begun, idempotency_key LIMIT %s FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE payroc_journal AS journal
    SET owner = %s, fence = journal.fence + 1, changed = clock_timestamp()
    FROM found WHERE journal.idempotency_key = found.idempotency_key
)
SELECT * FROM found ORDER BY begun_at, idempotency_key
""".encode()
# Own are also those that were released, until somebody takes them.
TAKEN = b"""
SELECT key FROM unnest(%s::text[], %s::bigint[]) AS driven (key, at) WHERE NOT EXISTS (
    SELECT 1 FROM payroc_journal
    WHERE idempotency_key = driven.key AND fence = driven.at AND owner IN (%s, 0)
)
"""
STILL_OWN = (
    b"SELECT idempotency_key, fence FROM payroc_journal WHERE owner = %s "
    b"AND idempotency_key = ANY (%s)"
)
# In portions, for the sales wait behind each.
PURGE = f"""
DELETE FROM payroc_journal WHERE idempotency_key IN (
    SELECT idempotency_key FROM payroc_journal
    WHERE {IN_ENDED} AND changed < statement_timestamp() - make_interval(secs => %s)
        AND (%s::text IS NULL OR scope = %s) ORDER BY changed LIMIT %s
) RETURNING 1
""".encode()
