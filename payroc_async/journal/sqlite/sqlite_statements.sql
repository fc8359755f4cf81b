-- insert --
-- One writer at a time: nothing can be entered between the look at the device and the insertion.
INSERT INTO entries ({columns}, digest)
SELECT * FROM (
    SELECT ?, ?, ? AS gateway, ? AS device, ?, ?, ?, ?, ?, ?, ?, ?, ? AS scope, ?
) AS new
WHERE NOT EXISTS (
    SELECT 1 FROM entries AS other
    WHERE new.gateway = other.gateway AND new.scope = other.scope
        AND new.device = other.serial_number AND {in_unfinished}
)
ON CONFLICT DO NOTHING

-- insert_all --
-- A crowd's rows in one statement: each statement releases the interpreter and waits for it again,
-- beside a loop that has other things to do. A row of empty texts fills the statement up.
-- It begins with its verb, or Python would not count the rows.
INSERT INTO entries ({columns}, digest)
WITH new (key, kind, gateway, device, body, begun, owner, scope, digest) AS (VALUES {rows})
SELECT key, kind, gateway, device, body, NULL, 'intent', NULL, begun, begun, owner, 1, scope, digest
FROM new
WHERE key <> '' AND NOT EXISTS (
    SELECT 1 FROM entries AS other
    WHERE new.gateway = other.gateway AND new.scope = other.scope
        AND new.device = other.serial_number AND {in_unfinished}
)
ON CONFLICT DO NOTHING

-- write --
UPDATE entries SET state = ?, instruction_id = coalesce(?, instruction_id),
    resource_id = coalesce(?, resource_id), body = CASE WHEN ? THEN NULL ELSE body END,
    owner = ?, changed = ?
WHERE idempotency_key = ? AND fence = ? AND owner IN (?, '')

-- write_all --
-- An empty id is one that is not given.
UPDATE entries SET state = new.state,
    instruction_id = coalesce(nullif(new.instruction_id, ''), entries.instruction_id),
    resource_id = coalesce(nullif(new.resource_id, ''), entries.resource_id),
    body = CASE WHEN forgets_body THEN NULL ELSE body END,
    owner = new.owner, changed = new.changed
FROM (
    WITH new (state, instruction_id, resource_id, forgets_body, owner, changed, key, fence, writer)
        AS (VALUES {rows})
    SELECT * FROM new
) AS new
WHERE idempotency_key = key AND entries.fence = new.fence AND entries.owner IN (writer, '')

-- take --
UPDATE entries SET owner = ?, fence = fence + 1, changed = ? WHERE idempotency_key = ?

-- begin_again --
UPDATE entries SET state = ?, body = ? WHERE idempotency_key = ?

-- release --
UPDATE entries SET owner = '' WHERE idempotency_key = ? AND fence = ?

-- resolve --
UPDATE entries SET state = ?, resource_id = ?, body = NULL, owner = '', fence = fence + 1,
    changed = ?
WHERE idempotency_key = ?

-- digest --
SELECT digest FROM entries WHERE idempotency_key = ?

-- find --
-- The conditions and the order come after it.
SELECT {columns} FROM entries WHERE

-- owning --
SELECT DISTINCT owner FROM entries WHERE {in_unfinished}

-- other_owners --
SELECT DISTINCT owner FROM entries
WHERE {in_unfinished} AND gateway = ? AND scope = ? AND owner <> ?

-- left_by --
SELECT {columns} FROM entries
WHERE {in_unfinished} AND gateway = ? AND scope = ? AND owner IN (SELECT value FROM json_each(?))
    AND idempotency_key NOT IN (SELECT value FROM json_each(?))
ORDER BY begun LIMIT ?

-- purge --
DELETE FROM entries WHERE idempotency_key IN (
    SELECT idempotency_key FROM entries
    WHERE {in_ended} AND changed < ? AND (? IS NULL OR scope = ?) ORDER BY changed LIMIT ?
)
