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
-- beside a loop that has other things to do.
INSERT INTO entries ({columns}, digest)
SELECT value->>0, value->>1, value->>2, value->>3, CAST(value->>4 AS BLOB), NULL, 'intent', NULL,
    value->>5, value->>5, value->>6, 1, value->>7, value->>8
FROM json_each(?)
WHERE NOT EXISTS (
    SELECT 1 FROM entries AS other
    WHERE value->>2 = other.gateway AND value->>7 = other.scope
        AND value->>3 = other.serial_number AND {in_unfinished}
)
ON CONFLICT DO NOTHING

-- write --
UPDATE entries SET state = ?, instruction_id = coalesce(?, instruction_id),
    resource_id = coalesce(?, resource_id), body = CASE WHEN ? THEN NULL ELSE body END,
    owner = ?, changed = ?
WHERE idempotency_key = ? AND fence = ? AND owner IN (?, '')

-- write_all --
UPDATE entries SET state = value->>0, instruction_id = coalesce(value->>1, instruction_id),
    resource_id = coalesce(value->>2, resource_id),
    body = CASE WHEN value->>3 THEN NULL ELSE body END, owner = value->>4, changed = value->>5
FROM json_each(?)
WHERE idempotency_key = value->>6 AND fence = value->>7 AND owner IN (value->>8, '')

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
