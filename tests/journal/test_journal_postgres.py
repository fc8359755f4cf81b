"""What is PostgreSQL's own about the journal: lost connections, restarts, users, settings."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from attrs import evolve

from payroc_async import ConfigurationError, JournalError
from payroc_async.journal import Entry, EntryState, PostgresJournal, journal_at
from payroc_async.journal.postgres.pg_schema import MIGRATIONS
from payroc_async.journal.postgres.pg_server import Server
from payroc_async.journal.postgres.pg_work import Worker
from tests.harness.journal_process import GATEWAY, JournalProcess, intent
from tests.harness.postgres import PostgresServer
from tests.harness.programs import ROOT, marked_blocks
from tests.harness.step_canceller import until

DAY = 86_400.0
SECRET = "correct/horse battery"  # and a slash, which a URL must not have as it is
QUOTED = "correct%2Fhorse%20battery"


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[str]:
    with postgres.schema() as schema:
        yield schema


@pytest.fixture(autouse=True)
def all_disconnect(postgres: PostgresServer) -> Iterator[None]:
    """No test leaves a connection behind."""
    yield
    deadline = time.monotonic() + 5
    while postgres.clients():
        assert time.monotonic() < deadline, "a journal has not disconnected"
        time.sleep(0.01)


@asynccontextmanager
async def journal_in(
    server: PostgresServer, schema: str, **options: Any
) -> AsyncIterator[PostgresJournal]:
    journal = PostgresJournal(server.dsn(), schema=schema, **options)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


def pid_of_lock(server: PostgresServer, owner: str, *, numbers: int = 1) -> int | None:
    """The server's process that holds an owner's lock, of one number or two."""
    rows = server.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s "
        "AND objsubid = %s AND mode = 'ExclusiveLock' AND granted",
        (int(owner), numbers),
    )
    return rows[0][0] if rows else None


def pid_of_work(server: PostgresServer, owner: str) -> int:
    pid = pid_of_lock(server, owner, numbers=2)
    assert pid is not None
    return pid


async def leave(server: PostgresServer, schema: str, *keys: str) -> None:
    async with journal_in(server, schema) as journal:
        await asyncio.gather(*(journal.begin(intent(key), window=DAY) for key in keys))


# Lost connections ----------


async def test_a_restart_while_it_idles_is_noticed_and_the_lock_taken_again(
    postgres: PostgresServer, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After a restart the same owner is locked again, what it drives is its own, and it goes on."""
    async with (
        journal_in(postgres, schema) as journal,
        journal_in(postgres, schema) as other,
    ):
        entry = await journal.begin(intent("k"), window=DAY)
        await asyncio.to_thread(postgres.restart)
        await until(lambda: pid_of_lock(postgres, entry.owner))
        assert await other.claim(GATEWAY) == []
        await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
        assert (await journal.begin(intent("l"), window=DAY)).owner == entry.owner
    assert "the lock of owner" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_a_restart_amidst_begins_loses_and_doubles_none(
    postgres: PostgresServer, schema: str
) -> None:
    """Anyone who begins while the server restarts waits for it, and is entered once."""
    async with journal_in(postgres, schema, patience=20) as journal:
        restart = asyncio.create_task(asyncio.to_thread(postgres.restart))
        begun: list[asyncio.Task[Entry]] = []
        while not restart.done() or len(begun) < 50:
            keys = [f"{len(begun)}-{number}" for number in range(10)]
            begun += [asyncio.create_task(journal.begin(intent(k), window=DAY)) for k in keys]
            await asyncio.sleep(0.005)
        entries = await asyncio.gather(*begun)
        await restart
        assert {entry.fence for entry in entries} == {1}
        assert len(await journal.entries()) == len(begun)


async def test_a_restart_amidst_claims_strands_and_doubles_none(
    postgres: PostgresServer, schema: str
) -> None:
    """Anyone who has an entry in the end was given it, and no one else under that fence."""
    await leave(postgres, schema, *(str(number) for number in range(300)))
    async with (
        journal_in(postgres, schema, patience=20) as one,
        journal_in(postgres, schema, patience=20) as other,
    ):
        given: list[Entry] = []

        async def claim(journal: PostgresJournal) -> None:
            while some := await journal.claim(GATEWAY, limit=7):
                given.extend(some)

        restart = asyncio.create_task(asyncio.to_thread(postgres.restart))
        while not restart.done():
            await asyncio.gather(claim(one), claim(other))
        await restart
        await asyncio.gather(claim(one), claim(other))
        fences = [(entry.idempotency_key, entry.fence) for entry in given]
        assert len(set(fences)) == len(fences)
        owners = {(entry.idempotency_key, entry.fence): entry.owner for entry in given}
        last = await one.entries()
        assert len(last) == 300
        for entry in last:
            assert owners[entry.idempotency_key, entry.fence] == entry.owner


async def test_losing_the_work_connection_loses_no_write(
    postgres: PostgresServer, schema: str
) -> None:
    """Writes and begins go on while their connection is broken off again and again."""
    async with journal_in(postgres, schema) as journal:
        entry = await journal.begin(intent("k"), window=DAY)
        for number in range(5):
            work = asyncio.gather(
                journal.write(entry, EntryState.SUBMITTED, instruction_id=str(number)),
                *(journal.begin(intent(f"{number}-{n}"), window=DAY) for n in range(20)),
            )
            await asyncio.sleep(0)
            pid = pid_of_work(postgres, entry.owner)
            await asyncio.to_thread(postgres.terminate, pid)
            await work
            await journal.get("k")
        assert (await journal.get("k") or entry).instruction_id == "4"
        assert len(await journal.entries()) == 101


async def test_a_commit_in_doubt_is_repeated(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not known whether a commit took effect, the repetition gives the same."""
    await leave(postgres, schema, "dead")
    succeed = Worker._succeed
    lost: list[Any] = []

    def lose_first(self: Worker, job: Any, result: Any) -> None:
        if job not in lost:
            lost.append(job)
            raise ConnectionResetError("lost after the commit")
        succeed(self, job, result)

    monkeypatch.setattr(Worker, "_succeed", lose_first)
    async with journal_in(postgres, schema) as journal:
        (claimed,) = await journal.claim(GATEWAY)
        assert (claimed.idempotency_key, claimed.fence) == ("dead", 2)
        entry = await journal.begin(intent("k"), window=DAY)
        assert entry.fence == 1
        await journal.write(entry, EntryState.SUBMITTED, instruction_id="i", release=True)
        adopted = await journal.adopt("payment", GATEWAY, "i")
        assert adopted is not None
        await journal.write(adopted, EntryState.COMPLETED)
        assert await journal.claim(GATEWAY) == []
    assert len(lost) == 6


async def test_what_is_begun_waits_for_the_lock(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the lock is lost nothing is begun, which others would take for a dead owner's."""
    async with (
        journal_in(postgres, schema, patience=0.5) as journal,
        journal_in(postgres, schema) as other,
    ):
        entry = await journal.begin(intent("k"), window=DAY)
        held = asyncio.Event()
        connect = Server.connect

        async def connect_later(self: Server) -> Any:
            await held.wait()
            return await connect(self)

        monkeypatch.setattr(Server, "connect", connect_later)
        pid = pid_of_lock(postgres, entry.owner)
        assert pid is not None
        await asyncio.to_thread(postgres.terminate, pid)
        await until(lambda: journal._lock is not None and not journal._lock._held.is_set())
        with pytest.raises(JournalError, match=r"no answer within 0\.5 s"):
            await journal.begin(intent("l"), window=DAY)
        # What is under way goes on, unless it is taken over.
        await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
        held.set()
        assert (await journal.begin(intent("l"), window=DAY)).fence == 1
        assert await other.claim(GATEWAY) == []


async def test_who_is_stopped_and_loses_its_lock_is_refused_afterwards(
    postgres: PostgresServer, schema: str
) -> None:
    """A stopped process whose connection is broken off is taken over; continued, it can't write."""
    process = await JournalProcess.start({"dsn": postgres.dsn(), "schema": schema})
    try:
        owner = await process.ask("begin", "k")
        process.send_signal(signal.SIGSTOP)
        async with journal_in(postgres, schema) as journal:
            pid = pid_of_lock(postgres, owner)
            assert pid is not None
            postgres.terminate(pid)
            (entry,) = await journal.claim(GATEWAY)
            await process.tell("submit", "k")
            process.send_signal(signal.SIGCONT)
            assert (await process.answer())[0] == "LeaseLost"
            await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
            await until(lambda: pid_of_lock(postgres, owner))  # it lives, and is locked again
    finally:
        await process.kill()


async def test_a_server_that_is_gone_is_an_error_in_time(
    postgres: PostgresServer, schema: str
) -> None:
    """Each call fails within the patience and says why; closing works; it all works afterwards."""
    journal = PostgresJournal(postgres.dsn(password=QUOTED), schema=schema, patience=0.3)
    await journal.open()
    entry = await journal.begin(intent("k"), window=DAY)
    await asyncio.to_thread(postgres.stop)
    try:
        async with asyncio.timeout(5):
            for call in (
                journal.write(entry, EntryState.SUBMITTED),
                journal.begin(intent("l"), window=DAY),
                journal.claim(GATEWAY),
                journal.get("k"),
            ):
                with pytest.raises(JournalError, match=r"refused|no answer") as caught:
                    await call
                assert SECRET not in str(caught.value)
            closing = PostgresJournal(postgres.dsn(password=QUOTED), patience=0.3)
            with pytest.raises(JournalError, match="refused"):
                await closing.open()
            await closing.aclose()
    finally:
        await asyncio.to_thread(postgres.start)
    await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
    await asyncio.to_thread(postgres.stop)
    try:
        async with asyncio.timeout(5):
            await journal.aclose()
    finally:
        await asyncio.to_thread(postgres.start)


async def test_a_server_that_does_not_answer_is_an_error_in_time(
    postgres: PostgresServer, schema: str
) -> None:
    """It is given up after the patience; what it does of that later undoes nothing newer."""
    async with journal_in(postgres, schema, patience=0.3) as journal:
        entry = await journal.begin(intent("k"), window=DAY)
        pid = pid_of_work(postgres, entry.owner)
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(5):
                with pytest.raises(JournalError, match=r"no answer within 0\.3 s"):
                    await journal.write(entry, EntryState.SUBMITTED)
        finally:
            resumed = asyncio.get_running_loop().call_later(0.1, os.kill, pid, signal.SIGCONT)
        await journal.write(entry, EntryState.CANCELING)
        assert resumed.when() <= asyncio.get_running_loop().time()
        await until(lambda: pid not in postgres.clients())
        assert (await journal.get("k") or entry).state is EntryState.CANCELING


async def test_a_loss_that_the_server_has_not_noticed_is_not_waited_for(
    postgres: PostgresServer, schema: str
) -> None:
    """The server is asked to end the old session, which holds the lock that the new one needs."""
    async with journal_in(postgres, schema, patience=1.0) as journal:
        worker = journal._worker
        assert worker is not None
        lost, worker._connection = worker._connection, None
        assert lost is not None
        try:
            assert await journal.get("k") is None
            with pytest.raises(psycopg.OperationalError):
                await lost.execute(b"SELECT 1")
        finally:
            await lost.close()


async def test_a_row_that_another_has_locked_holds_up_no_other(
    postgres: PostgresServer, schema: str
) -> None:
    """Who waits for a lock fails alone; those of its group are entered meanwhile."""
    await leave(postgres, schema, "locked")
    async with journal_in(postgres, schema, patience=0.5) as journal:
        with psycopg.connect(postgres.dsn()) as connection:
            connection.execute(f"SELECT 1 FROM {schema}.payroc_journal FOR UPDATE".encode())
            results = await asyncio.gather(
                *(journal.begin(intent(key), window=DAY) for key in ("k", "locked", "l")),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [Entry, JournalError, Entry]
            assert await journal.claim(GATEWAY) == []
        assert len(await journal.claim(GATEWAY)) == 1


async def test_a_forgotten_journal_is_no_hang(postgres: PostgresServer, schema: str) -> None:
    """Tasks that the loop cancels at its end disconnect, and tell who waits."""
    journal = PostgresJournal(postgres.dsn(), schema=schema)
    await journal.open()
    assert journal._worker is not None
    assert journal._worker._task is not None
    journal._worker._task.cancel()
    await until(journal._worker._task.done)
    with pytest.raises(JournalError, match="not open"):
        await journal.get("k")
    await journal.aclose()


# Locks, users, settings ----------


async def test_two_journals_in_one_database_do_not_know_each_other(
    postgres: PostgresServer, schema: str
) -> None:
    """An owner's number in one schema says nothing of the same number in another."""
    with postgres.schema() as elsewhere:
        await leave(postgres, schema, "k")
        async with (
            journal_in(postgres, elsewhere) as same_number,
            journal_in(postgres, schema) as journal,
        ):
            alive = await same_number.begin(intent("k"), window=DAY)
            (entry,) = await journal.claim(GATEWAY)
            assert (alive.owner, entry.fence) == ("1", 2)
            kept = await same_number.get("k")
            assert kept is not None
            assert kept == evolve(alive, age=kept.age)


async def test_a_number_that_comes_again_is_not_shared(
    postgres: PostgresServer, schema: str
) -> None:
    """Where the sequence was set back, a living owner's number is passed over."""
    async with journal_in(postgres, schema) as one:
        postgres.execute(f"ALTER SEQUENCE {schema}.payroc_journal_owner RESTART")
        async with journal_in(postgres, schema) as other:
            owners = [(await j.begin(intent(str(id(j))), window=DAY)).owner for j in (one, other)]
            assert owners == ["1", "2"]


@pytest.fixture
def user(postgres: PostgresServer, schema: str) -> Iterator[str]:
    """A user who may not create tables, and whose password the server asks for."""
    postgres.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO guarded")
    yield "guarded"
    postgres.execute("DROP OWNED BY guarded")
    postgres.execute("DROP ROLE guarded")


async def test_who_may_not_create_tables_uses_those_that_are_there(
    postgres: PostgresServer, schema: str, user: str
) -> None:
    """It is reported where the SQL is; with its tables and rights everything works."""
    journal = PostgresJournal(postgres.dsn(user, QUOTED), schema=schema)
    with pytest.raises(JournalError, match=r"may not make them .*docs/postgres\.md"):
        await journal.open()
    page = marked_blocks((ROOT / "docs" / "postgres.md").read_text())
    assert (page["sql: tables"], page["sql: migration"]) == MIGRATIONS
    rights = re.sub(r"\bpayroc(?=[.; ])", schema, page["sql: rights"])
    rights = re.sub("TO till;", f"TO {user};", rights).replace("tills", "postgres")
    postgres.execute(f"SET search_path = {schema}; {''.join(MIGRATIONS)} {rights}")
    await journal.open()
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, EntryState.COMPLETED, instruction_id="i")
    assert len(await journal.entries()) == await journal.purge(0) == 1
    assert await journal.claim(GATEWAY) == []
    await journal.aclose()


async def test_the_password_is_shown_nowhere(
    postgres: PostgresServer, schema: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by the repr nor by what is raised or logged, with a right password or a wrong one."""
    caplog.set_level(logging.DEBUG)
    wrong = "wr0ng-passw0rd"
    journal = PostgresJournal(postgres.dsn(user, wrong), schema=schema)
    with pytest.raises(JournalError, match="authentication failed") as caught:
        await journal.open()
    shown = f"{journal!r} {caught.value} {caught.value.__cause__!r} {caplog.text}"
    assert wrong not in shown
    assert postgres.dsn(user).partition("@")[2].split(":")[0] in repr(journal)


@pytest.mark.parametrize(
    "dsn",
    [
        f"host=127.0.0.1 password={SECRET}",  # a space that is not quoted
        f"postgresql://till:{SECRET}@127.0.0.1/tills",
        "postgresql://till:correct/horse@127.0.0.1/tills",
        "postgresql://till:1234/horse@127.0.0.1/tills",
        "postgresql://till:horse@127.0.0.1:port/tills",
    ],
)
async def test_a_connection_string_that_can_t_be_read_is_not_shown(dsn: str) -> None:
    """An error about it says what to do without a word of it."""
    with pytest.raises(ConfigurationError) as caught:
        PostgresJournal(dsn)
    assert caught.value.field == "dsn"
    assert "horse" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"patience": 0}, "patience"),
        ({"patience": True}, "patience"),
        ({"patience": float("inf")}, "patience"),
        ({"patience": "5"}, "patience"),
        ({"schema": ""}, "schema"),
    ],
)
async def test_options_are_checked(options: dict[str, Any], field: str) -> None:
    """What can't be meant is refused when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        PostgresJournal("postgresql://till@127.0.0.1/tills", **options)
    assert caught.value.field == field


async def test_without_psycopg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that names a database says what to install."""
    monkeypatch.delitem(sys.modules, "payroc_async.journal.postgres.pg_server")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=re.escape("payroc-async[postgres]")):
        journal_at("postgresql://till@127.0.0.1/tills")


async def test_a_schema_that_is_not_there_is_named(postgres: PostgresServer) -> None:
    """It is for the database's owner to make."""
    journal = PostgresJournal(postgres.dsn(), schema="missing")
    with pytest.raises(JournalError, match="no schema 'missing'"):
        await journal.open()


async def test_a_schema_s_name_is_quoted(postgres: PostgresServer) -> None:
    """Any name that the server takes will do."""
    name = 'Till "1"; x'
    quoted = '"Till ""1""; x"'
    postgres.execute(f"CREATE SCHEMA {quoted}")
    try:
        async with journal_in(postgres, name) as journal:
            assert (await journal.begin(intent("k"), window=DAY)).fence == 1
    finally:
        postgres.execute(f"DROP SCHEMA {quoted} CASCADE")


async def test_the_connection_does_not_depend_on_the_user_s_defaults(
    postgres: PostgresServer,
) -> None:
    """Commits are synchronous and the isolation is as the code needs it, whatever is set."""
    wrong = (
        "-c synchronous_commit=off -c default_transaction_isolation=serializable "
        "-c statement_timeout=1h -c idle_session_timeout=1h -c TimeZone=Asia/Tokyo"
    )
    dsn = f"{postgres.dsn()}?options={wrong.replace(' ', '%20').replace('=', '%3D')}"
    server = Server(dsn, None, 5.0)
    connection = await server.connect()
    try:
        for name, value in {
            "synchronous_commit": "on",
            "transaction_isolation": "read committed",
            "statement_timeout": "5s",
            "lock_timeout": "1s",
            "idle_in_transaction_session_timeout": "5s",
            "idle_session_timeout": "0",
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": "25000",
        }.items():
            row = await (await connection.execute(f"SHOW {name}".encode())).fetchone()
            assert row == (value,), name
    finally:
        await connection.close()
    stronger = Server(f"{postgres.dsn()}?options=-csynchronous_commit%3Dremote_apply", None, 5.0)
    connection = await stronger.connect()
    try:
        row = await (await connection.execute(b"SHOW synchronous_commit")).fetchone()
        assert row == ("remote_apply",)
    finally:
        await connection.close()


async def test_times_are_the_server_s(postgres: PostgresServer, schema: str) -> None:
    """No clock of this machine's counts, nor the time zone of the database."""
    dsn = f"{postgres.dsn()}?options=-cTimeZone%3DAsia/Tokyo"
    journal = PostgresJournal(dsn, schema=schema)
    await journal.open()
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.aclose()
    ((epoch,),) = postgres.execute(
        f"SELECT extract(epoch FROM begun)::float8 FROM {schema}.payroc_journal"
    )
    assert entry.begun.timestamp() == pytest.approx(epoch, abs=1e-5)
    assert entry.begun.utcoffset() is not None


async def test_a_value_with_a_null_byte_fails_alone(postgres: PostgresServer, schema: str) -> None:
    """What a text can't hold here is its caller's error, not that of the group."""
    async with journal_in(postgres, schema) as journal:
        results = await asyncio.gather(
            *(journal.begin(intent(key), window=DAY) for key in ("k", "\0", "l")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [Entry, JournalError, Entry]


async def test_purge_goes_by_portions(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many entries are deleted in several transactions, and all are counted."""
    monkeypatch.setattr("payroc_async.journal.sharing.PURGED_AT_ONCE", 10)
    async with journal_in(postgres, schema) as journal:
        entries = await asyncio.gather(
            *(journal.begin(intent(str(number)), window=DAY) for number in range(25))
        )
        await asyncio.gather(*(journal.write(one, EntryState.FAILED) for one in entries))
        assert await journal.purge(0) == 25
        assert await journal.entries() == []
