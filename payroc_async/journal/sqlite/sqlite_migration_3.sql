-- Conditions that cost a write less, and one index less. A process of the last version that lives
-- goes on: it finds the same without these indexes, more slowly.
DROP INDEX open_owners;
DROP INDEX open_devices;
DROP INDEX open_instructions;
DROP INDEX ended_entries;
CREATE INDEX open_devices ON entries (gateway, scope, serial_number, owner) WHERE {in_open};
CREATE INDEX open_instructions ON entries (instruction_id)
    WHERE {in_open} AND instruction_id IS NOT NULL;
CREATE INDEX ended_entries ON entries (changed) WHERE {in_ended};
