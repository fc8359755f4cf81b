"""The rights that docs/postgres.md grants: enough for all that a journal does, and each needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from attrs import define

from payroc_async import JournalError
from payroc_async.journal import EntryState, PostgresJournal
from payroc_async.journal.postgres.pg_schema import MIGRATIONS
from tests.harness.journal_process import GATEWAY, intent
from tests.harness.postgres import PostgresServer
from tests.harness.programs import ROOT, marked_blocks

DAY = 86_400.0
GRANTS = [
    line
    for line in marked_blocks((ROOT / "docs" / "postgres.md").read_text(encoding="utf-8"))[
        "sql: rights"
    ].splitlines()
    if line
]


@define
class Guarded:
    """A database in which the public has no rights, and a user with none but those granted."""

    server: PostgresServer
    name: str

    def execute(self, statement: str) -> None:
        """As the owner of the tables, in that database."""
        with psycopg.connect(self.server.dsn(database=self.name), autocommit=True) as connection:
            connection.execute(statement.encode())

    def grant(self, grants: list[str]) -> None:
        text = "\n".join(grants)
        text = re.sub(r"\btills\b", self.name, text)
        self.execute(re.sub(r"TO till;", f"TO {self.name};", text))

    def journal(self) -> PostgresJournal:
        dsn = self.server.dsn(self.name, database=self.name)
        return PostgresJournal(dsn, schema="payroc", patience=2.0)


@pytest.fixture
def guarded(postgres: PostgresServer) -> Iterator[Guarded]:
    found = Guarded(postgres, f"tills_{uuid4().hex}")
    postgres.execute(f"CREATE ROLE {found.name} LOGIN CONNECTION LIMIT 5")
    postgres.execute(f"CREATE DATABASE {found.name}")
    found.execute(
        f"REVOKE ALL ON DATABASE {found.name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        f"CREATE SCHEMA payroc; SET search_path = payroc; {''.join(MIGRATIONS)}"
    )
    yield found
    postgres.execute(f"DROP DATABASE {found.name} WITH (FORCE)")
    postgres.execute(f"DROP ROLE {found.name}")


async def test_the_documented_rights_are_enough(guarded: Guarded) -> None:
    """For every call of two journals, of two connections each, and one lost."""
    guarded.grant(GRANTS)
    await use(guarded)


@pytest.mark.parametrize("missing", range(len(GRANTS)), ids=lambda n: GRANTS[n].split(" ON ")[1])
async def test_each_documented_right_is_needed(guarded: Guarded, missing: int) -> None:
    """Without it the server refuses, and its words are shown."""
    guarded.grant([*GRANTS[:missing], *GRANTS[missing + 1 :]])
    with pytest.raises(JournalError, match=r"permission denied|not for this user|tables are miss"):
        await use(guarded)


@pytest.mark.parametrize("right", ["SELECT", "INSERT", "UPDATE", "DELETE"])
async def test_each_right_on_the_entries_is_needed(guarded: Guarded, right: str) -> None:
    """Also of the four on one table."""
    grants = [re.sub(rf"\b{right}, |, {right}\b", "", one) for one in GRANTS]
    # The one that is granted on its own, of the version, stays.
    assert sum(one != two for one, two in zip(grants, GRANTS, strict=True)) == 1
    guarded.grant(grants)
    with pytest.raises(JournalError, match="permission denied"):
        await use(guarded)


async def use(guarded: Guarded) -> None:
    """All that the processes of a fleet do with their journal."""
    one, other = guarded.journal(), guarded.journal()
    try:
        await one.open()
        await one.begin(intent("k"), window=DAY)
        await one.begin(intent("k"), window=DAY)  # asked for again
        entry = await one.begin(intent("l"), window=DAY)
        await one.write(entry, EntryState.SUBMITTED, instruction_id="i")
        await other.open()
        assert await other.claim(GATEWAY) == []
        await lose_the_work_connection(other)
        await one.aclose()
        claimed = await other.claim(GATEWAY)
        assert [found.idempotency_key for found in claimed] == ["k", "l"]
        for found in claimed:
            await other.write(found, EntryState.COMPLETED, resource_id=found.idempotency_key)
        assert len(await other.entries()) == await other.purge(0) == 2
    finally:
        await one.aclose()
        await other.aclose()


async def lose_the_work_connection(journal: PostgresJournal) -> None:
    """Without the server's notice, so that the next one has the old session ended."""
    worker = journal._worker
    assert worker is not None
    lost, worker._connection = worker._connection, None
    assert lost is not None
    assert await journal.get("k") is not None
    await lost.close()
