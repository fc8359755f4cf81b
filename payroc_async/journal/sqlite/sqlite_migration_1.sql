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
