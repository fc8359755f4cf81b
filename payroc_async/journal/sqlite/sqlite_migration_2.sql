-- A process of the last version that lives goes on: it names the columns that it knows.
ALTER TABLE entries ADD COLUMN scope TEXT NOT NULL DEFAULT '';
DROP INDEX IF EXISTS open_entries;
CREATE INDEX open_owners ON entries (gateway, scope, owner)
    WHERE state IN ('canceling', 'intent', 'submitted', 'unknown');
CREATE INDEX open_devices ON entries (gateway, scope, serial_number)
    WHERE state IN ('canceling', 'intent', 'submitted', 'unknown');
CREATE INDEX open_instructions ON entries (instruction_id)
    WHERE state IN ('canceling', 'intent', 'submitted', 'unknown');
CREATE INDEX resources ON entries (resource_id) WHERE resource_id IS NOT NULL;
CREATE INDEX ended_entries ON entries (changed)
    WHERE state NOT IN ('canceling', 'intent', 'submitted', 'unknown');
