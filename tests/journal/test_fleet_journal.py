"""The journal of a fleet, on each store: scopes, one journal for many sessions, one device."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from payroc_async import (
    ConfigurationError,
    DeviceBusyError,
    JournalError,
    LeaseLost,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    Recovery,
    RefundInstructionRequest,
    RefundOrder,
    SignatureInstructionRequest,
)
from payroc_async.journal import EntryState, Journal, Query, SQLiteJournal
from payroc_async.journal.reader import JournalReader
from payroc_async.journal.sqlite.sqlite_jobs import Job
from payroc_async.simulator import Simulator, problem
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.journal_process import GATEWAY, JournalProcess, intent, journal_of
from tests.harness.step_canceller import until

from .test_journal import DAY, Factory, Store, leave, opened, postgres_store, sqlite_store, store

__all__ = ["opened", "postgres_store", "sqlite_store", "store"]

REFUND = RefundInstructionRequest(
    processing_terminal_id="1234001",
    order=RefundOrder(order_id="OrderRef6543", description="cold", amount=4999, currency="USD"),
)


SESSIONS = int(os.environ.get("PAYROC_TEST_SESSIONS", "200"))
"""On one journal: with one each, 50 exhaust a server as it is installed. 1,000 take a minute."""


@pytest.fixture
async def process(store: Store) -> AsyncIterator[JournalProcess]:
    started = await JournalProcess.start(store.place)
    yield started
    await started.kill()


def session_of(gateway: Simulator, journal: Journal, **options: Any) -> PayrocSession:
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=QUICK,
        retries=EAGER,
        journal=journal,
        **options,
    )


# Scopes ----------


async def test_what_belongs_to_a_scope_is_seen_by_it_alone(store: Store, opened: Factory) -> None:
    """Claimed, adopted, listed and purged is what belongs to the scope, and nothing else."""
    journal = await opened(store)
    for scope in ("", "A", "B"):
        entry = await journal.begin(intent(f"in {scope}", scope=scope), window=DAY)
        await journal.write(entry, EntryState.SUBMITTED, instruction_id="i", release=True)
        entry = await journal.begin(intent(f"ended {scope}", scope=scope), window=DAY)
        await journal.write(entry, EntryState.COMPLETED, instruction_id="j", resource_id="r")
    other = await opened(store)
    assert [entry.idempotency_key for entry in await other.claim(GATEWAY, scope="A")] == ["in A"]
    assert await other.claim(GATEWAY, scope="C") == []
    adopted = await other.adopt("payment", GATEWAY, "i", scope="B")
    assert (adopted.idempotency_key, adopted.scope) == ("in B", "B")
    assert await other.adopt("payment", GATEWAY, "i", scope="C") is None
    listed = await other.entries(scope="A")
    assert {entry.idempotency_key for entry in listed} == {"in A", "ended A"}
    assert await other.purge(0, scope="A") == 1
    assert {
        entry.idempotency_key for entry in await other.entries(states=[EntryState.COMPLETED])
    } == {
        "ended ",
        "ended B",
    }
    assert await other.purge(0) == 2


async def test_a_key_of_another_scope_is_refused(store: Store, opened: Factory) -> None:
    """A key names one request of one merchant."""
    journal = await opened(store)
    await journal.begin(intent("k", scope="A"), window=DAY)
    with pytest.raises(ConfigurationError, match="another request"):
        await journal.begin(intent("k", scope="B"), window=DAY)


async def test_a_device_of_another_scope_is_another_device(store: Store, opened: Factory) -> None:
    """What one merchant has unfinished does not keep another from its devices."""
    journal = await opened(store)
    for scope in ("", "A"):
        await journal.begin(intent(f"k{scope}", scope=scope, serial_number="1"), window=DAY)
    await journal.begin(intent("k2", gateway="other", serial_number="1"), window=DAY)


@pytest.mark.parametrize("code", [401, 403, 404])
@pytest.mark.parametrize("same_scope", [False, True])
async def test_what_another_merchant_s_key_is_refused_closes_nothing(
    gateway: Simulator, tmp_path: Path, code: int, same_scope: bool
) -> None:
    """Merchant B's recovery, with a scope of its own or not, leaves A's sale for A to end."""
    gateway.device(SERIAL).approves(after=0.5)
    path = tmp_path / "sales.db"
    scopes = ("", "") if same_scope else ("A", "B")
    async with session_of(gateway, SQLiteJournal(path), scope=scopes[0]) as session:
        await session.start_sale(SERIAL, sale(), on_cancel="detach")
    for kind in ("status", "cancel", "payment"):
        gateway.faults.add(kind, problem(code, "x"), times=None)
    async with session_of(gateway, SQLiteJournal(path), scope=scopes[1]) as session:
        found = [one async for one in session.recover(timeout=4 * UNIT)]
        assert [type(one.error) for one in found] == [OutcomeUnknownError] * same_scope
    gateway.faults.clear()
    async with session_of(gateway, SQLiteJournal(path), scope=scopes[0]) as session:
        (ended,) = [one async for one in session.recover()]
        assert (ended.state, type(ended.resource)) == (EntryState.COMPLETED, Payment)


async def test_a_scope_is_checked(gateway: Simulator, tmp_path: Path) -> None:
    """It is a printable name; the text of a wrong one is not shown, for it may be a key."""
    for wrong in (7, None, "secret\n", " secret", "secret" * 50):
        with pytest.raises(ConfigurationError) as raised:
            session_of(gateway, SQLiteJournal(tmp_path / "x"), scope=wrong)
        assert raised.value.field == "scope"
        assert "secret" not in str(raised.value)
    variables = {
        "PAYROC_API_KEY": "key",
        "PAYROC_ENVIRONMENT": "uat",
        "PAYROC_JOURNAL": str(tmp_path / "sales.db"),
        "PAYROC_SCOPE": "store 7",
    }
    session = PayrocSession.from_env(variables)
    writer: Any = session._writer
    assert writer._scope == "store 7"
    writer = PayrocSession.from_env(variables, scope="store 8")._writer
    assert writer._scope == "store 8"


# Migration ----------

OLD_SQLITE = """
CREATE TABLE entries (idempotency_key TEXT PRIMARY KEY, kind TEXT NOT NULL, gateway TEXT NOT NULL,
    serial_number TEXT NOT NULL, digest TEXT NOT NULL, body BLOB, instruction_id TEXT,
    state TEXT NOT NULL, resource_id TEXT, begun REAL NOT NULL, changed REAL NOT NULL,
    owner TEXT NOT NULL, fence INTEGER NOT NULL);
CREATE INDEX open_entries ON entries (owner)
    WHERE state IN ('intent', 'submitted', 'canceling', 'unknown');
PRAGMA application_id = 0x50617972;
PRAGMA user_version = 1;
"""
OLD_POSTGRES = """
CREATE TABLE payroc_journal (idempotency_key text PRIMARY KEY, kind text NOT NULL,
    gateway text NOT NULL, serial_number text NOT NULL, digest bytea NOT NULL, body bytea,
    instruction_id text, state text NOT NULL, resource_id text, begun timestamptz NOT NULL,
    changed timestamptz NOT NULL, owner bigint NOT NULL, fence bigint NOT NULL);
CREATE INDEX payroc_journal_open ON payroc_journal (owner)
    WHERE state IN ('intent', 'submitted', 'canceling', 'unknown');
CREATE SEQUENCE payroc_journal_owner MAXVALUE 2147483647;
CREATE TABLE payroc_journal_version (version integer NOT NULL);
INSERT INTO payroc_journal_version VALUES (1);
"""
OLD_ENTRIES = [
    # Two on one device, which that version let in; one of each end.
    ("one", "payment", "1", b"body of one", None, "intent", None),
    ("two", "payment", "1", None, "i2", "submitted", None),
    ("three", "refund", "1", None, "i3", "completed", "r3"),
    ("four", "payment", "2", b"body of four", None, "unknown", None),
]
OLD_INSERT = """
INSERT INTO {} (idempotency_key, kind, gateway, serial_number, digest, body, instruction_id, state,
    resource_id, begun, changed, owner, fence) VALUES (?,?,?,?,?,?,?,?,?,{},{},{},3)
"""


def make_old(store: Store, request: pytest.FixtureRequest) -> None:
    """A journal as version 1 has left it, by the SQL of that version."""
    if "dsn" in store.place:
        server, schema = request.getfixturevalue("postgres"), store.place["schema"]
        server.execute(f"SET search_path = {schema}; {OLD_POSTGRES}")
        now, nobody = "now() - interval '5 s'", "0"
    else:
        with closing(sqlite3.connect(store.place["path"])) as db:
            db.executescript(OLD_SQLITE)
        now, nobody = "strftime('%s', 'now') - 5.0", "''"
    for key, kind, serial, body, instruction, state, resource in OLD_ENTRIES:
        digest: Any = b"d" if "dsn" in store.place else "d"
        store.execute(
            OLD_INSERT.format(store.table, now, now, nobody),
            (key, kind, GATEWAY, serial, digest, body, instruction, state, resource),
        )


async def test_a_journal_of_version_1_is_brought_up_to_date(
    store: Store, opened: Factory, request: pytest.FixtureRequest
) -> None:
    """Nothing of it is lost, also not the second of two on a device; and the guard holds."""
    make_old(store, request)
    journals = await asyncio.gather(*(opened(store) for _ in range(3)))  # once, by whom it may be
    journal = journals[0]
    found = {entry.idempotency_key: entry for entry in await journal.entries()}
    assert [
        (
            e.idempotency_key,
            e.kind,
            e.serial_number,
            e.body,
            e.instruction_id,
            e.state,
            e.resource_id,
        )
        for e in (found[key] for key, *_ in OLD_ENTRIES)
    ] == OLD_ENTRIES
    assert {entry.scope for entry in found.values()} == {""}
    with pytest.raises(DeviceBusyError):
        await journal.begin(intent("new", serial_number="1"), window=DAY)
    claimed = {entry.idempotency_key: entry for entry in await journal.claim(GATEWAY)}
    assert set(claimed) == {"one", "two"}
    await journal.write(claimed["one"], EntryState.SUBMITTED, instruction_id="i1")
    for key in ("one", "two"):
        await journal.write(claimed[key], EntryState.COMPLETED, resource_id=f"r of {key}")
    assert (await journal.begin(intent("new", serial_number="1"), window=DAY)).fence == 1
    with pytest.raises(DeviceBusyError):
        await journals[1].begin(intent("newer", serial_number="1"), window=DAY)


async def test_what_a_process_of_version_1_enters_beside_is_guarded_too(
    store: Store, opened: Factory
) -> None:
    """While versions are mixed, one that lives on enters as it did: the new one sees the device."""
    journal = await opened(store)
    now, nobody = ("now()", "0") if "dsn" in store.place else ("strftime('%s', 'now')", "''")
    digest: Any = b"d" if "dsn" in store.place else "d"
    insert = OLD_INSERT.format(store.table, now, now, nobody)
    for key in ("old", "older"):
        store.execute(insert, (key, "payment", GATEWAY, "1", digest, b"x", None, "intent", None))
    with pytest.raises(DeviceBusyError):
        await journal.begin(intent("new", serial_number="1"), window=DAY)
    assert len(await journal.claim(GATEWAY)) == 2


# A long history ----------


class Spy:
    """What a journal in SQLite says to its file, to be explained by SQLite afterwards."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def plans(self, path: Path) -> dict[str, str]:
        with closing(sqlite3.connect(path)) as db:
            return {
                statement: " / ".join(
                    str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")
                )
                for statement in self.statements
            }


async def exercise(journal: Any) -> None:
    """Everything that a session asks of its journal, but for reading all of it."""
    for number in range(10):  # a crowd, and one alone
        await asyncio.gather(
            *(journal.begin(intent(f"{number} {n}"), window=DAY) for n in range(1 + number % 2))
        )
    entry = await journal.begin(intent("known"), window=DAY)
    await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
    await journal.adopt("payment", GATEWAY, "i")
    await journal.claim(GATEWAY, but=["x"])
    reader = JournalReader(journal, GATEWAY, "")
    await reader.unfinished()
    await reader.unfinished("1")
    assert [entry async for entry in reader.with_orders()]
    await reader.owned("payment", ["r"])
    await reader.purge(DAY)


async def test_no_question_reads_the_history_in_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own plan of every statement searches by an index: none scans the entries."""
    path, spy = tmp_path / "x.db", Spy()
    async with SQLiteJournal(path) as journal:
        await leave(Store({"path": str(path)}, lambda *_: None), "left")
        worker: Any = journal._worker
        await worker.do(Job(lambda db: db.set_trace_callback(spy.statements.append)))
        await exercise(journal)
        await worker.do(Job(lambda db: db.set_trace_callback(None)))
    plans = {
        statement: plan
        for statement, plan in (await asyncio.to_thread(spy.plans, path)).items()
        if plan
    }
    assert len(plans) > 10
    scanning = {s: p for s, p in plans.items() if re.search(r"SCAN (entries|other)(?! USING)", p)}
    assert scanning == {}


async def test_no_question_reads_the_history_in_postgres(
    postgres_store: Store, opened: Factory, postgres: Any
) -> None:
    """With a history so long that a plan without an index shows, the server reads few rows."""
    journal = await opened(postgres_store)
    schema = postgres_store.place["schema"]
    postgres.execute(
        f"INSERT INTO {schema}.payroc_journal (idempotency_key, kind, gateway, serial_number,"
        " digest, instruction_id, state, resource_id, begun, changed, owner, fence)"
        f" SELECT 'old ' || i, 'payment', '{GATEWAY}', '1', '', 'i ' || i,"
        " 'completed', 'r ' || i, now(), now(), 7, 1"
        " FROM generate_series(1, 50000) AS i"
    )
    postgres.execute(f"ANALYZE {schema}.payroc_journal")
    await leave(postgres_store, "left")
    read = (
        "SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_all_tables "
        f"WHERE schemaname = '{schema}' AND relname = 'payroc_journal'"
    )
    await journal.aclose()
    await asyncio.sleep(0)
    before = postgres.execute(read)[0]
    journal = await opened(postgres_store)
    await exercise(journal)
    await journal.aclose()  # a session's numbers are there once it has ended
    async with asyncio.timeout(20):
        while (after := postgres.execute(read)[0])[1] == before[1]:
            await asyncio.sleep(0.05)
    assert after[0] - before[0] == 0
    assert 0 < after[1] - before[1] < 2000


async def test_what_is_asked_in_portions_is_whole(store: Store, opened: Factory) -> None:
    """Every portion goes on after the last one, none is left out, and none comes twice."""
    journal = await opened(store)
    keys = [f"{n:03}" for n in range(25)]
    await asyncio.gather(*(journal.begin(intent(key), window=DAY) for key in keys))
    await journal.write(await journal.get("007"), EntryState.SUBMITTED, instruction_id="i")
    found: list[str] = []
    while True:
        after = found[-1] if found else ""
        portion = await journal.find(
            Query(states=[EntryState.INTENT], with_body=True, after=after, limit=10)
        )
        found += [entry.idempotency_key for entry in portion]
        if len(portion) < 10:
            break
    assert found == [key for key in keys if key != "007"]


async def test_a_query_asks_for_all_that_it_names(store: Store, opened: Factory) -> None:
    """Each part of it narrows what is found."""
    journal = await opened(store)
    for number, device in enumerate(["1", "2", "3"]):
        entry = await journal.begin(
            intent(f"k{number}", serial_number=device, scope=device), window=DAY
        )
        await journal.write(
            entry,
            EntryState.COMPLETED if number else EntryState.SUBMITTED,
            instruction_id=f"i{number}",
            resource_id=f"r{number}" if number else None,
        )

    async def keys(**wanted: Any) -> list[str]:
        return [entry.idempotency_key for entry in await journal.find(Query(**wanted))]

    assert await keys() == ["k0", "k1", "k2"]
    assert await keys(limit=2) == ["k0", "k1"]
    assert await keys(serial_number="2") == ["k1"]
    assert await keys(scope="3", gateway=GATEWAY) == ["k2"]
    assert await keys(gateway="other") == []
    assert await keys(instruction_id="i0") == ["k0"]
    assert await keys(resource_ids=["r1", "r2", "x"]) == ["k1", "k2"]
    assert await keys(resource_ids=[]) == []
    assert await keys(states=[]) == []
    assert await keys(states=[EntryState.SUBMITTED], with_body=True) == []


async def test_purge_deletes_in_portions(
    store: Store, opened: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is, sales come between two portions."""
    monkeypatch.setattr("payroc_async.journal.sharing.PURGED_AT_ONCE", 3)
    monkeypatch.setattr("payroc_async.journal.sharing.PURGES_FOR", 0.0)
    journal = await opened(store)
    for number in range(30):
        entry = await journal.begin(intent(str(number)), window=DAY)
        await journal.write(entry, EntryState.FAILED)
    await journal.begin(intent("open"), window=DAY)
    purging = asyncio.create_task(journal.purge(0))
    turns = 0
    while not purging.done():
        assert await journal.get("open")
        turns += 1
    assert await purging == 30
    assert turns > 2
    assert [entry.idempotency_key for entry in await journal.entries()] == ["open"]


# One device ----------


async def test_p11_the_journal_refuses_a_device_on_which_another_is_unfinished(
    store: Store, opened: Factory, process: JournalProcess
) -> None:
    """Of this process or another, alive or dead: it says since when, by which key, and whether."""
    journal = await opened(store)
    other = await opened(store)
    first = await journal.begin(intent("first", serial_number="1"), window=DAY)
    for asker in (journal, other):
        with pytest.raises(DeviceBusyError) as raised:
            await asker.begin(intent("second", serial_number="1"), window=DAY)
        busy = raised.value
        assert (busy.serial_number, busy.idempotency_key) == ("1", "first")
        assert busy.since == first.begun
        assert busy.running is True
        assert "live process" in str(busy)
    assert await journal.get("second") is None
    await journal.aclose()
    with pytest.raises(DeviceBusyError) as raised:
        await other.begin(intent("second", serial_number="1"), window=DAY)
    assert raised.value.running is False
    assert "journal close first" in str(raised.value)
    (left,) = await other.claim(GATEWAY)
    await other.write(left, EntryState.FAILED)
    assert (await other.begin(intent("second", serial_number="1"), window=DAY)).fence == 1


@pytest.mark.parametrize("state", [EntryState.SUBMITTED, EntryState.CANCELING])
async def test_p11_a_device_stays_busy_in_every_unfinished_state(
    store: Store, opened: Factory, state: EntryState
) -> None:
    """Also released; and what is unknown, for a person to look at, does not keep it."""
    journal = await opened(store)
    entry = await journal.begin(intent("first", serial_number="1"), window=DAY)
    await journal.write(entry, state, instruction_id="i", release=True)
    with pytest.raises(DeviceBusyError) as raised:
        await journal.begin(intent("second", serial_number="1"), window=DAY)
    assert raised.value.running is False
    await journal.write(entry, EntryState.UNKNOWN)
    second = await journal.begin(intent("second", serial_number="1"), window=DAY)
    # Taken up again by a person, it is written as any other: nothing of it is lost.
    adopted = await journal.adopt("payment", GATEWAY, "i")
    await journal.write(adopted, EntryState.CANCELING)
    await journal.write(second, EntryState.COMPLETED, resource_id="r")
    with pytest.raises(DeviceBusyError):
        await journal.begin(intent("third", serial_number="1"), window=DAY)
    await journal.write(adopted, EntryState.CANCELED)
    await journal.begin(intent("third", serial_number="1"), window=DAY)


async def test_p11_an_old_key_needs_its_device_free_as_well(store: Store, opened: Factory) -> None:
    """Run again under its key without an id, it would prompt: not beside another instruction."""
    journal = await opened(store)
    entry = await journal.begin(intent("first", serial_number="1"), window=DAY)
    await journal.write(entry, EntryState.FAILED)
    second = await journal.begin(intent("second", serial_number="1"), window=DAY)
    with pytest.raises(DeviceBusyError) as raised:
        await journal.begin(intent("first", serial_number="1"), window=DAY)
    assert raised.value.idempotency_key == "second"
    await journal.write(second, EntryState.COMPLETED, instruction_id="i", resource_id="r")
    again = await journal.begin(intent("first", serial_number="1"), window=DAY)
    assert (again.state, again.fence) == (EntryState.INTENT, 2)
    with pytest.raises(DeviceBusyError):
        await journal.begin(intent("third", serial_number="1"), window=DAY)
    # Its own id is known: it is asked for, and nothing is prompted.
    assert (await journal.begin(intent("second", serial_number="1"), window=DAY)).instruction_id


async def test_p11_of_many_who_begin_at_once_one_has_the_device(
    store: Store, opened: Factory
) -> None:
    """In one journal's group, and in several journals' transactions: each device once."""
    journals = [await opened(store) for _ in range(4)]
    for turn in range(10):
        begun = await asyncio.gather(
            *(
                journal.begin(
                    intent(f"{turn} {number} {device} {place}", serial_number=f"{turn} {device}"),
                    window=DAY,
                )
                for device in range(5)
                for number in range(3)
                for place, journal in enumerate(journals)
            ),
            return_exceptions=True,
        )
        entered = [one.serial_number for one in begun if not isinstance(one, BaseException)]
        refused = {type(one) for one in begun if isinstance(one, BaseException)}
        assert sorted(entered) == [f"{turn} {device}" for device in range(5)]
        assert refused == {DeviceBusyError}


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("kind", ["sale", "refund", "signature"])
async def test_p11_one_device_one_instruction_in_all_sessions(
    gateway: Simulator, tmp_path: Path, kind: str, together: bool
) -> None:
    """A double click that lands on two workers: the second is refused, whatever its kind."""
    gateway.device(SERIAL).approves(after=0.5)
    one, two = (session_of(gateway, SQLiteJournal(tmp_path / "x.db")) for _ in range(2))
    async with one, two:
        first = asyncio.create_task(one.run_sale(SERIAL, sale()))
        if not together:
            await until(lambda: gateway.requests_of("submit"))
        second: Any = {
            "sale": lambda: two.run_sale(SERIAL, sale()),
            "refund": lambda: two.run_refund(SERIAL, REFUND),
            "signature": lambda: two.capture_signature(
                SERIAL, SignatureInstructionRequest(processing_terminal_id="1234001")
            ),
        }[kind]
        ends = await asyncio.gather(first, second(), return_exceptions=True)
    assert [type(end) for end in ends].count(DeviceBusyError) == 1
    assert len(gateway.requests_of("submit")) == 1


# One journal for many sessions ----------


async def test_a_journal_serves_any_number_of_sessions(
    gateway: Simulator, store: Store, tmp_path: Path
) -> None:
    """One owner, opened by the first and closed by the last, anyone who that is."""
    journal = journal_of(store.place)
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(session_of(gateway, journal, scope=f"store {n}"))
            for n in range(3)
        ]
        payments = await asyncio.gather(
            *(one.run_sale(f"185001086{n}", sale()) for n, one in enumerate(sessions))
        )
        assert all(isinstance(payment, Payment) for payment in payments)
        await sessions[0].aclose()
        await sessions[1].run_sale(SERIAL, sale())
        entries = await journal.entries()
        assert len({entry.owner for entry in entries}) == 1
        assert sorted(entry.scope for entry in entries) == [
            *("store 0", "store 1", "store 1", "store 2"),
        ]
    with pytest.raises(JournalError, match="not open"):
        await journal.entries()


async def test_a_journal_that_its_user_opens_stays_open(gateway: Simulator, store: Store) -> None:
    """Sessions come and go; it is closed where its user closes it, and can be opened again."""
    journal: Any = journal_of(store.place)
    for _ in range(2):
        async with journal:
            for _ in range(2):
                async with session_of(gateway, journal) as session:
                    await session.run_sale(SERIAL, sale())
            assert await journal.entries()
        await journal.aclose()  # once more is no harm
    assert len({entry.owner for entry in await listed(store)}) == 2


async def listed(store: Store) -> list[Any]:
    journal: Any = journal_of(store.place)
    async with journal:
        found: list[Any] = await journal.entries()
        return found


async def test_a_journal_is_opened_and_closed_at_once_by_many(store: Store) -> None:
    """However the openings, closings and cancellations fall, who has it open can use it."""
    journal: Any = journal_of(store.place)

    async def use(number: int) -> None:
        async with journal:
            await journal.get(str(number))
            if number % 3:
                await asyncio.sleep(0)

    for turn in range(10):
        tasks = [asyncio.create_task(use(number)) for number in range(8)]
        for _ in range(turn):
            await asyncio.sleep(0)
        tasks[turn % 8].cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [
            end for end in ends if end is not None and type(end) is not asyncio.CancelledError
        ] == []
    with pytest.raises(JournalError, match="not open"):
        await journal.get("k")


def test_a_journal_that_is_open_in_another_loop_is_refused(tmp_path: Path) -> None:
    """A journal lives in one loop: the error says so, and the first loop goes on."""
    journal = SQLiteJournal(tmp_path / "x.db")

    async def main() -> None:
        async with journal:

            async def elsewhere() -> None:
                with pytest.raises(JournalError, match="another event loop"):
                    await journal.open()

            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
            assert await journal.entries() == []

    asyncio.run(main())
    asyncio.run(main())


async def test_sessions_of_one_journal_do_not_drive_one_instruction(
    gateway: Simulator, tmp_path: Path
) -> None:
    """They share an owner: a key or an id that one of them drives is refused to the others."""
    gateway.device(SERIAL).approves(after=0.5)
    key, journal = str(uuid4()), SQLiteJournal(tmp_path / "x.db")
    async with session_of(gateway, journal) as one, session_of(gateway, journal) as two:
        handle = await one.start_sale(SERIAL, sale(), idempotency_key=key)
        with pytest.raises(LeaseLost):
            await two.run_sale(SERIAL, sale(), idempotency_key=key)
        resumed = two.resume_sale(handle.instruction_id or "")
        with pytest.raises(OutcomeUnknownError) as raised:
            await resumed.result()
        assert isinstance(raised.value.__cause__, LeaseLost)
        assert [found async for found in two.recover()] == []
        payment = await handle.result()
        (entry,) = await journal.entries()
        assert (entry.state, entry.resource_id) == (EntryState.COMPLETED, payment.payment_id)
        # Once it has ended, the key gives the same payment to any of them.
        again = await two.run_sale(SERIAL, sale(), idempotency_key=key)
        assert again.payment_id == payment.payment_id
    assert len(gateway.requests_of("submit")) == 1


class Failing(SQLiteJournal):
    """One that can't be written from some moment on."""

    broken = False

    async def write(self, *args: Any, **options: Any) -> None:
        if self.broken:
            raise JournalError("the disk is full")
        await super().write(*args, **options)


async def test_what_a_closed_session_could_not_write_the_others_write(
    gateway: Simulator, tmp_path: Path
) -> None:
    """The owner lives on: unwritten, the entry would belong to a process that does not drive it."""
    gateway.device(SERIAL).approves(after=UNIT)
    journal = Failing(tmp_path / "x.db")
    async with session_of(gateway, journal) as one:
        async with session_of(gateway, journal) as two:
            await two.start_sale(SERIAL, sale(), on_cancel="detach")
            journal.broken = True
        journal.broken = False
        (found,) = [found async for found in one.recover()]
        assert (found.action, found.state) == ("resumed", EntryState.COMPLETED)


async def test_many_sessions_share_one_journal_on_a_default_server(
    gateway: Simulator, postgres: Any
) -> None:
    """Each with a sale, all at once: two connections, where the server allows a hundred."""
    with postgres.schema() as schema:
        journal = journal_of({"dsn": postgres.dsn(), "schema": schema})
        async with AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(
                    PayrocSession(
                        gateway.api_key,
                        environment=gateway.environment,
                        journal=journal,
                        scope=f"store {n}",
                        recovery=Recovery(),
                    )
                )
                for n in range(SESSIONS)
            ]
            count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'payroc%'"
            assert postgres.execute(count) == [(2,)]
            sales = (one.run_sale(f"{n:010}", sale()) for n, one in enumerate(sessions))
            ends = await asyncio.gather(*sales, return_exceptions=True)
            assert [end for end in ends if not isinstance(end, Payment)] == []
            entries = await journal.entries()
    assert len({entry.scope for entry in entries}) == len(entries) == SESSIONS


__all__ += ["leave"]
