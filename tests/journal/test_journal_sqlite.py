"""What is SQLite's own about the journal: the file, its folder, and what can be wrong with them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from payroc_async import ConfigurationError, JournalError, LeaseLost
from payroc_async.journal import Entry, EntryState, SQLiteJournal
from payroc_async.journal.sqlite.locks import OwnerLock, forget_dead_owners, is_alive
from tests.harness.journal_process import GATEWAY, JournalProcess, intent

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


@asynccontextmanager
async def journal_at(path: Path | str, **options: Any) -> AsyncIterator[SQLiteJournal]:
    journal = SQLiteJournal(path, **options)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


def bytes_beside(path: Path) -> bytes:
    """All that is in the file and those that SQLite has made beside it."""
    return b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*") if one.is_file())


async def test_a_body_that_is_dropped_is_gone_from_the_file(path: Path) -> None:
    """Once the id is known no byte of the body is to be found, while the journal is still open."""
    async with journal_at(path) as journal:
        entry = await journal.begin(intent("k", body="a telling text"), window=DAY)
        assert b"a telling text" in bytes_beside(path)
        await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
        if sqlite3.sqlite_version_info < (3, 51, 3):  # above, the log has it until it is reset
            assert b"a telling text" not in bytes_beside(path)
    assert b"a telling text" not in bytes_beside(path)


async def test_the_files_are_for_their_user_alone(path: Path) -> None:
    """The file has 0600 and the owners' folder 0700, whatever the umask; the lock file 0600."""
    before = os.umask(0)
    try:
        async with journal_at(path):
            owners = path.with_name("sales.db-owners")
            modes = [stat.S_IMODE(one.stat().st_mode) for one in (path, owners, *owners.iterdir())]
            assert modes == [0o600, 0o700, 0o600]
    finally:
        os.umask(before)
    assert list(owners.iterdir()) == []


async def test_another_program_s_database_is_left_alone(path: Path) -> None:
    """A database that is no journal is refused, and not a table is added."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(JournalError, match="another program's"):
        await SQLiteJournal(path).open()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """What can't be read says so, each time, and stays as it is."""
    no_database = b"no database at all, but long enough to be taken for one" * 100
    path.write_bytes(no_database)  # noqa: ASYNC240
    journal = SQLiteJournal(path)
    for _ in range(2):
        with pytest.raises(JournalError, match=r"sales\.db: file is not a database"):
            await journal.open()
    assert bytes_beside(path) == no_database


async def test_a_file_that_is_damaged_meanwhile_is_an_error(path: Path) -> None:
    """Whatever page is damaged, a call raises a JournalError, and closing works."""
    async with journal_at(path) as journal:
        entry = await journal.begin(intent("k"), window=DAY)
        with path.open("r+b") as file:
            file.write(b"\xff" * 4096)
        with pytest.raises(JournalError, match=r"malformed|not a database"):
            await journal.write(entry, EntryState.SUBMITTED)


async def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """It is not made: a mistyped path should show."""
    with pytest.raises(JournalError, match="No such file"):
        await SQLiteJournal(tmp_path / "missing" / "sales.db").open()


async def test_a_locked_file_is_waited_for_and_then_an_error(path: Path) -> None:
    """Nothing is begun while another holds the file; afterwards it goes on."""
    async with journal_at(path, busy_timeout=0.05) as journal:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match="locked"):
                await journal.begin(intent("k"), window=DAY)
            other.execute("ROLLBACK")
        assert (await journal.begin(intent("k"), window=DAY)).fence == 1


async def test_a_full_disk_fails_the_begin_and_no_more(path: Path) -> None:
    """Without room nothing is begun; with room the same process goes on, with what it had."""
    process = await JournalProcess.start({"path": str(path)})
    try:
        await process.ask("begin", "before")
        await process.ask("limit", 4096)
        name, text = await process.ask("begin", *(str(number) for number in range(100)))
        assert name == "JournalError"
        assert str(path) in text
        await process.ask("limit", 0)
        await process.ask("begin", "after")
        await process.ask("submit", "before")
    finally:
        await process.kill()
    async with journal_at(path) as journal:
        states = {entry.idempotency_key: entry.state for entry in await journal.entries()}
    assert states["before"] is EntryState.SUBMITTED
    assert states["after"] is EntryState.INTENT


async def test_a_file_that_may_not_be_written_is_refused() -> None:
    """Before anything is sent: opening fails, for anyone who is not root."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is for its user alone
        path = f"{folder}/sales.db"
        async with journal_at(path) as journal:
            await journal.begin(intent("k"), window=DAY)
        os.chmod(path, 0o444)
        os.chmod(folder, 0o755)
        nobody = 65534 if os.geteuid() == 0 else 0
        process = await JournalProcess.start({"path": path}, user=nobody)
        await process.kill()
        name, text = process.opened
        assert name == "JournalError"
        assert "readonly" in text or "Permission denied" in text


async def test_a_relative_path_leads_to_the_same_file_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owners stay alive after a change of folder."""
    monkeypatch.chdir(tmp_path)
    async with journal_at("sales.db") as one, journal_at("sales.db") as other:
        await one.begin(intent("k"), window=DAY)
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        assert await other.claim(GATEWAY) == []
        assert (await other.get("k")) is not None
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_link_leads_to_the_same_owners(tmp_path: Path, path: Path) -> None:
    """Who opens the file by another name sees who lives."""
    async with journal_at(path) as one:
        await one.begin(intent("k"), window=DAY)
        link = tmp_path / "link.db"
        link.symlink_to(path)
        async with journal_at(link) as other:
            assert await other.claim(GATEWAY) == []
            with pytest.raises(LeaseLost):
                await other.begin(intent("k"), window=DAY)


async def test_purge_deletes_dead_owners_files_that_nothing_needs(path: Path) -> None:
    """The files of the living stay, and those of the dead that still own something."""
    owners = path.with_name("sales.db-owners")
    for key in ("k", None):
        process = await JournalProcess.start({"path": str(path)})
        if key is not None:
            await process.ask("begin", key)
        await process.kill()
    assert len(list(owners.iterdir())) == 2
    async with journal_at(path) as journal:
        await journal.purge(0)
        entry = await journal.get("k")
        assert entry is not None
        assert not entry.running
        assert len(list(owners.iterdir())) == 2  # this one's own, and the one of k
        assert {one.name for one in owners.iterdir()} > {entry.owner}


def test_an_owner_s_file_is_not_deleted_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who locks its file while another tidies up either keeps the file or takes another name."""
    deleted = Path.unlink
    locks: list[OwnerLock] = []

    def lock_first(self: Path, missing_ok: bool = False) -> None:
        if not locks:
            locks.append(OwnerLock.__new__(OwnerLock))
            monkeypatch.setattr("payroc_async.journal.sqlite.locks.uuid4", FixedNames(self.name))
            monkeypatch.setattr(Path, "touch", lambda *args, **options: None)
            locks[0].__init__(self.parent)  # type: ignore[misc]
        deleted(self, missing_ok)

    (tmp_path / "first").write_bytes(b"")
    monkeypatch.setattr(Path, "unlink", lock_first)
    forget_dead_owners(tmp_path, set())
    (lock,) = locks
    assert lock.owner != "first" or is_alive(tmp_path, lock.owner)
    monkeypatch.undo()
    lock.release()


class FixedNames:
    """Gives an owner's name that is there already, and then others."""

    def __init__(self, first: str) -> None:
        self._names = iter([first, "second", "third"])

    def __call__(self) -> Any:
        self.hex = next(self._names)
        return self


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"path": ""}, "path"),
        ({"path": "a", "busy_timeout": 0}, "busy_timeout"),
        ({"path": "a", "busy_timeout": True}, "busy_timeout"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], field: str) -> None:
    """What can't be meant is refused when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        SQLiteJournal(**arguments)
    assert caught.value.field == field


async def test_a_journal_that_nobody_closes_is_no_hang(path: Path) -> None:
    """A loop that ends with the journal open leaves a thread that is reported nothing more."""
    journal = SQLiteJournal(path)

    async def main() -> Entry:
        await journal.open()
        return await journal.begin(intent("k"), window=DAY)

    entry = await asyncio.to_thread(asyncio.run, main())
    assert entry.fence == 1
    assert journal._worker is not None
    journal._worker._queue.put(None)
    await asyncio.to_thread(journal._worker._thread.join, 5)
    async with journal_at(path) as other:
        assert len(await other.claim(GATEWAY)) == 1
