"""What SQLite does for a crowd in one statement is what it does for each alone."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from payroc_async import DeviceBusyError, LeaseLost
from payroc_async.journal import Entry, EntryState, SQLiteJournal
from payroc_async.journal.sqlite import sqlite_jobs, sqlite_schema
from payroc_async.journal.sqlite.sqlite_jobs import Job
from tests.harness.journal_process import GATEWAY, intent

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


async def begin(journal: SQLiteJournal, keys: list[str]) -> list[Entry]:
    return await asyncio.gather(*(journal.begin(intent(key), window=DAY) for key in keys))


def content(entry: Entry) -> tuple[Any, ...]:
    return (
        *(entry.kind, entry.serial_number, entry.instruction_id, entry.resource_id),
        *(entry.state, entry.body, entry.fence, entry.scope, entry.running),
    )


@pytest.mark.parametrize("many", [2, 3, 64, 65, 1100])
async def test_a_crowd_of_any_size_is_written_as_each_alone(path: Path, many: int) -> None:
    """More than one statement takes, or one that is filled up: none is left out or added."""
    keys = [f"{n:04}" for n in range(many)]
    async with SQLiteJournal(path) as journal:
        begun = {entry.idempotency_key: content(entry) for entry in await begin(journal, keys)}
        entries = await journal.entries()
        assert {entry.idempotency_key: content(entry) for entry in entries} == begun
        assert {entry.body for entry in entries} == {intent(key).body for key in keys}
        write, submitted = journal.write, EntryState.SUBMITTED
        await asyncio.gather(
            *(write(e, submitted, instruction_id=f"i{e.idempotency_key}") for e in entries)
        )
        assert {e.body for e in await journal.entries()} == {None}
        await asyncio.gather(*(write(entry, EntryState.CANCELING) for entry in entries))
        await asyncio.gather(
            *(write(e, EntryState.COMPLETED, resource_id=f"p{e.idempotency_key}") for e in entries)
        )
        ended = {e.idempotency_key: e for e in await journal.entries()}
        assert sorted(ended) == keys
        for key, entry in ended.items():
            assert (entry.instruction_id, entry.resource_id) == (f"i{key}", f"p{key}")
            assert (entry.state, entry.running) == (EntryState.COMPLETED, False)


async def test_a_crowd_leaves_null_what_it_was_not_given(path: Path) -> None:
    """An empty text stands for it on the way, and is not stored: the indexes are on NULL."""
    async with SQLiteJournal(path) as journal:
        entries = await begin(journal, ["1", "2", "3"])
        await asyncio.gather(*(journal.write(entry, EntryState.FAILED) for entry in entries))
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT instruction_id, resource_id, typeof(body) FROM entries")
        assert found.fetchall() == [(None, None, "null")] * 3


async def test_one_of_a_crowd_that_is_refused_is_refused_alone(path: Path) -> None:
    """A busy device, and a lease that is lost: the others of the same transaction are written."""
    async with SQLiteJournal(path) as journal, SQLiteJournal(path) as other:
        (held,) = await begin(other, ["held"])
        device = held.serial_number
        begins = [journal.begin(intent(key), window=DAY) for key in ("1", "2")]
        busy = journal.begin(intent("busy", serial_number=device), window=DAY)
        *entries, refused = await asyncio.gather(*begins, busy, return_exceptions=True)
        assert isinstance(refused, DeviceBusyError)
        stale = evolve(held, fence=held.fence + 1)
        *done, lost = await asyncio.gather(
            *(journal.write(e, EntryState.FAILED) for e in entries if isinstance(e, Entry)),
            journal.write(stale, EntryState.FAILED),
            return_exceptions=True,
        )
        assert done == [None, None]
        assert isinstance(lost, LeaseLost)
        states = {entry.idempotency_key: entry.state for entry in await journal.entries()}
        assert states == {"held": EntryState.INTENT, "1": EntryState.FAILED, "2": EntryState.FAILED}


async def test_a_crowd_is_one_statement(path: Path) -> None:
    """And each size is prepared once: a power of two."""
    said: list[str] = []
    async with SQLiteJournal(path) as journal:
        worker: Any = journal._worker
        await worker.do(Job(lambda db: db.set_trace_callback(said.append)))
        await begin(journal, [str(n) for n in range(100)])
        await worker.do(Job(lambda db: db.set_trace_callback(None)))
    inserts = [text for text in said if text.lstrip().startswith("INSERT INTO entries")]
    assert len(inserts) == 1
    assert sqlite_jobs._for_rows(sqlite_schema.INSERT_ALL, 128, 9).count("(?") == 128


def make_version_2(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        for migration in sqlite_schema.MIGRATIONS[:2]:
            db.executescript(migration)
        db.execute(f"PRAGMA application_id = {sqlite_schema.APPLICATION}")
        db.execute("PRAGMA user_version = 2")
        db.execute(
            "INSERT INTO entries (idempotency_key, kind, gateway, serial_number, digest, body,"
            f" state, begun, changed, owner, fence) VALUES ('left', 'payment', '{GATEWAY}', '1',"
            " 'd', 'x', 'intent', 1.0, 1.0, 'gone', 1)"
        )
        db.commit()


async def test_a_file_of_version_2_is_brought_up_to_date(path: Path) -> None:
    """What is unfinished in it holds its device and is claimed."""
    make_version_2(path)
    async with SQLiteJournal(path) as journal:
        with pytest.raises(DeviceBusyError):
            await journal.begin(intent("new", serial_number="1"), window=DAY)
        (claimed,) = await journal.claim(GATEWAY)
        assert (claimed.idempotency_key, claimed.fence) == ("left", 2)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)


async def test_no_index_has_in_its_condition_what_fills_a_table(path: Path) -> None:
    """For IN, SQLite would fill and empty a table of states for each row and index."""
    async with SQLiteJournal(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        texts = [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE type = 'index'")]
    conditions = [text for text in texts if text and "state" in text]
    assert len(conditions) == 3
    assert not [text for text in conditions if re.search(r"\bIN\b", text)]
