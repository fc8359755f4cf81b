-- A process of the last version that lives goes on: it names the columns that it knows. What it
-- enters, and what is there already, does not hold its device: two may be unfinished on one.
ALTER TABLE payroc_journal ADD COLUMN scope text NOT NULL DEFAULT '';
ALTER TABLE payroc_journal ADD COLUMN holds_device boolean NOT NULL DEFAULT false;
DROP INDEX IF EXISTS payroc_journal_open;
CREATE INDEX payroc_journal_owners ON payroc_journal (gateway, scope, owner)
    WHERE {in_open};
CREATE INDEX payroc_journal_devices ON payroc_journal (gateway, scope, serial_number)
    WHERE {in_open};
CREATE UNIQUE INDEX payroc_journal_busy ON payroc_journal (gateway, scope, serial_number)
    WHERE holds_device AND {in_unfinished_alone};
CREATE INDEX payroc_journal_instructions ON payroc_journal (instruction_id)
    WHERE {in_open};
CREATE INDEX payroc_journal_resources ON payroc_journal (resource_id)
    WHERE resource_id IS NOT NULL;
CREATE INDEX payroc_journal_ended ON payroc_journal (changed)
    WHERE {in_ended};
UPDATE payroc_journal_version SET version = 2;
