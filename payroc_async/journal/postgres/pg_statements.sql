-- next_owner --
SELECT nextval('payroc_journal_owner')

-- try_lock --
-- The table is part of each lock, for several journals in one database do not know each other.
SELECT pg_try_advisory_lock({lock_of_owner})

-- lock --
SELECT pg_advisory_lock({lock_of_owner})

-- lock_work --
-- In the space of two numbers. The server may yet do what it was sent on a connection that is lost:
-- the next one waits until that has ended, so that no old write comes after a new one.
SELECT pg_advisory_lock(('payroc_journal'::regclass::oid::bigint - 2147483648)::int, %s::int)

-- lock_migration --
-- In the space of two numbers; the owners' locks are in that of one.
SELECT pg_advisory_xact_lock(1348565356, 1)

-- end_session --
SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND pid = %s AND objid = %s::bigint::oid AND granted

-- session --
SELECT pg_backend_pid()

-- set_up --
-- What an older server does not know is left out. remote_apply is stronger than on.
SELECT set_config(name, value, false)
FROM unnest(%s::text[], %s::text[]) AS wanted (name, value) JOIN pg_catalog.pg_settings USING (name)
WHERE (name, setting) <> ('synchronous_commit', 'remote_apply')

-- schema --
SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s

-- tables --
-- By a query: the names that to_regclass looks up are cached until the transaction has ended.
SELECT 1 FROM pg_catalog.pg_class
WHERE relname = 'payroc_journal_version' AND pg_catalog.pg_table_is_visible(oid)

-- version --
SELECT max(version) FROM payroc_journal_version

-- alive --
-- Shared, so that those who ask at once do not take each other for the owner; and until the end of
-- the transaction, so that an owner that comes back does so before or after it. A restart ends every
-- connection: until its clients had time to connect again, no owner counts as dead.
SELECT o FROM unnest(%s::bigint[]) AS o
WHERE CASE WHEN clock_timestamp() < pg_postmaster_start_time() + make_interval(secs => %s) THEN true
    ELSE NOT pg_try_advisory_xact_lock_shared({lock_of_o}) END

-- insert --
-- Two that begin at once on one device both see it free: the unique index lets one of them in.
INSERT INTO payroc_journal (idempotency_key, kind, gateway, scope, serial_number, body, digest,
    state, begun, changed, owner, fence, holds_device)
SELECT key, kind, gateway, scope, device, body, digest, 'intent', now, now, owner, 1, true
FROM (SELECT %s::text AS key, %s::text AS kind, %s::text AS gateway, %s::text AS scope,
    %s::text AS device, %s::bytea AS body, %s::bytea AS digest, %s::bigint AS owner,
    clock_timestamp() AS now) AS intent
WHERE NOT EXISTS (
    SELECT 1 FROM payroc_journal AS other
    WHERE {in_unfinished} AND other.gateway = intent.gateway AND other.scope = intent.scope
        AND other.serial_number = intent.device
)
ON CONFLICT DO NOTHING RETURNING {columns}

-- find --
-- The conditions and the order come after it.
SELECT {columns} FROM payroc_journal WHERE

-- known --
SELECT {columns}, digest FROM payroc_journal WHERE idempotency_key = %s FOR UPDATE

-- on_device --
SELECT {columns} FROM payroc_journal
WHERE {in_unfinished} AND gateway = %s AND scope = %s AND serial_number = %s
ORDER BY begun

-- adopted --
SELECT {columns} FROM payroc_journal
WHERE {in_open} AND kind = %s AND gateway = %s AND scope = %s AND instruction_id = %s
ORDER BY begun, idempotency_key LIMIT 1 FOR UPDATE

-- take --
UPDATE payroc_journal SET owner = %s, fence = fence + 1, changed = clock_timestamp(),
    state = coalesce(%s, state), body = coalesce(%s, body),
    holds_device = holds_device OR %s
WHERE idempotency_key = %s RETURNING {columns}

-- write --
-- A release that is asked for again finds no one's entry, under the same fence.
UPDATE payroc_journal SET state = %s, instruction_id = coalesce(%s, instruction_id),
    resource_id = coalesce(%s, resource_id), body = CASE WHEN %s THEN NULL ELSE body END,
    owner = %s, changed = clock_timestamp(), holds_device = holds_device AND %s
WHERE idempotency_key = %s AND fence = %s AND owner IN (%s, 0) RETURNING 1

-- resolve --
UPDATE payroc_journal SET state = %s, resource_id = %s, body = NULL, owner = 0, fence = fence + 1,
    changed = clock_timestamp()
WHERE idempotency_key = %s RETURNING {columns}

-- other_owners --
SELECT DISTINCT owner FROM payroc_journal
WHERE {in_unfinished} AND gateway = %s AND scope = %s AND owner <> %s

-- claim --
WITH found AS MATERIALIZED (
    SELECT {columns} FROM payroc_journal
    WHERE {in_unfinished} AND gateway = %s AND scope = %s AND owner = ANY (%s)
        AND idempotency_key <> ALL (%s)
    ORDER BY begun, idempotency_key LIMIT %s FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE payroc_journal AS journal
    SET owner = %s, fence = journal.fence + 1, changed = clock_timestamp()
    FROM found WHERE journal.idempotency_key = found.idempotency_key
)
SELECT * FROM found ORDER BY begun_at, idempotency_key

-- taken --
-- Own are also those that were released, until another process takes them.
SELECT key FROM unnest(%s::text[], %s::bigint[]) AS driven (key, at) WHERE NOT EXISTS (
    SELECT 1 FROM payroc_journal
    WHERE idempotency_key = driven.key AND fence = driven.at AND owner IN (%s, 0)
)

-- still_own --
SELECT idempotency_key, fence FROM payroc_journal WHERE owner = %s AND idempotency_key = ANY (%s)

-- purge --
-- In portions, for the sales wait behind each.
DELETE FROM payroc_journal WHERE idempotency_key IN (
    SELECT idempotency_key FROM payroc_journal
    WHERE {in_ended} AND changed < statement_timestamp() - make_interval(secs => %s)
        AND (%s::text IS NULL OR scope = %s) ORDER BY changed LIMIT %s
) RETURNING 1
