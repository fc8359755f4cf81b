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
