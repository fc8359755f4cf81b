"""The journal's rules, on each store: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve

from payroc_async import ConfigurationError, DeviceBusyError, JournalError, LeaseLost
from payroc_async.journal import (
    Entry,
    EntryState,
    Journal,
)
from payroc_async.journal.postgres import pg_schema
from payroc_async.journal.sqlite import sqlite_schema
from tests.harness.journal_process import GATEWAY, JournalProcess, intent, journal_of

DAY = 86_400.0
STATES = {state: state.value for state in EntryState}
ENDED = (EntryState.COMPLETED, EntryState.FAILED, EntryState.CANCELED)


@define(eq=False)
class Store:
    """Where several journals are, and what their engine says of it.

    Args:
        place: What a journal there is made with.
        execute: Runs a statement; its placeholder is a question mark.
    """

    place: dict[str, Any]
    execute: Callable[..., Any]

    @property
    def table(self) -> str:
        return "payroc_journal" if "dsn" in self.place else "entries"

    def age(self, key: str, seconds: float) -> None:
        """Have an entry begun and changed that much earlier."""
        shift = "make_interval(secs => ?)" if "dsn" in self.place else "?"
        self.execute(
            f"UPDATE {self.table} SET begun = begun - {shift}, changed = changed - {shift} "
            "WHERE idempotency_key = ?",
            (seconds, seconds, key),
        )


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Store:
    path = tmp_path / "sales.db"

    def execute(statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return Store({"path": str(path)}, execute)


@pytest.fixture
def postgres_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    server = request.getfixturevalue("postgres")
    with server.schema() as schema:

        def execute(statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
            statement = statement.replace("?", "%s").replace("payroc_", f"{schema}.payroc_")
            rows: list[Any] = server.execute(statement, values)
            return rows

        yield Store({"dsn": server.dsn(), "schema": schema}, execute)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


Factory = Callable[..., Awaitable[Any]]


@pytest.fixture
async def opened() -> AsyncIterator[Factory]:
    """Opens journals at a store, and closes them at the end."""
    journals: list[Journal] = []

    async def open_one(store: Store, **options: Any) -> Journal:
        journal = journal_of({**store.place, **options})
        await journal.open()
        journals.append(journal)
        return journal

    yield open_one
    for journal in journals:
        await journal.aclose()


@pytest.fixture
async def started() -> AsyncIterator[Callable[..., Awaitable[JournalProcess]]]:
    """Starts processes with a journal, and kills them at the end."""
    processes: list[JournalProcess] = []

    async def start(store: Store) -> JournalProcess:
        processes.append(await JournalProcess.start(store.place))
        return processes[-1]

    yield start
    for process in processes:
        await process.kill()


async def leave(store: Store, *keys: str, state: EntryState = EntryState.INTENT) -> None:
    """Entries of an owner that is dead."""
    journal = journal_of(store.place)
    await journal.open()
    entries = await asyncio.gather(*(journal.begin(intent(key), window=DAY) for key in keys))
    if state is not EntryState.INTENT:
        for entry in entries:
            key = entry.idempotency_key
            await journal.write(entry, state, instruction_id=f"id of {key}")
    await journal.aclose()


async def found(journal: Journal, key: str = "k") -> Entry:
    entry = await journal.get(key)
    assert entry is not None
    return entry


# Beginning ----------


async def test_begin_enters_what_is_about_to_be_submitted(store: Store, opened: Factory) -> None:
    """It has all of the intent, is young, owned and running, and is read as it was given."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    assert (entry.state, entry.fence, entry.running) == (EntryState.INTENT, 1, True)
    assert (entry.kind, entry.gateway, entry.serial_number) == ("payment", GATEWAY, "device of k")
    assert entry.body == b"body of k"
    assert (entry.instruction_id, entry.resource_id) == (None, None)
    assert -1 < entry.age < 5
    assert entry.begun == entry.changed
    again = await found(journal)
    assert again.age >= entry.age
    assert again == evolve(entry, age=again.age)


async def test_begin_again_is_the_same_entry(store: Store, opened: Factory) -> None:
    """Asked for twice by the same owner, as after a failure, it is one entry under one fence."""
    journal = await opened(store)
    first = await journal.begin(intent("k"), window=DAY)
    again = await journal.begin(intent("k"), window=DAY)
    assert (again.owner, again.fence) == (first.owner, 1)
    await journal.write(first, EntryState.SUBMITTED)


async def test_begin_takes_over_from_the_dead(store: Store, opened: Factory) -> None:
    """A key of a dead owner is taken over under a new fence, with the body it had."""
    await leave(store, "k")
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    assert (entry.fence, entry.running, entry.state) == (2, True, EntryState.INTENT)
    assert entry.body == b"body of k"


@pytest.mark.parametrize("state", list(STATES), ids=str)
async def test_begin_keeps_the_id_that_is_known(
    store: Store, opened: Factory, state: EntryState
) -> None:
    """What has an id need not be submitted again: state and id stay, in whatever state it is."""
    await leave(store, "k", state=EntryState.SUBMITTED)
    journal = await opened(store)
    store.execute(f"UPDATE {store.table} SET state = ?", (state.value,))
    entry = await journal.begin(intent("k"), window=0)
    assert (entry.state, entry.instruction_id, entry.body) == (state, "id of k", None)
    assert (await found(journal)).owner == entry.owner


async def test_begin_gives_a_refused_request_its_body_back(store: Store, opened: Factory) -> None:
    """What ended without an id, and lost its body, is an intent with a body when begun again."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, EntryState.FAILED)
    assert (await found(journal)).body is None
    again = await journal.begin(intent("k"), window=DAY)
    assert (again.state, again.body, again.fence) == (EntryState.INTENT, b"body of k", 2)
    with pytest.raises(LeaseLost):
        await journal.write(entry, EntryState.COMPLETED)


async def test_begin_leaves_alone_what_somebody_alive_drives(store: Store, opened: Factory) -> None:
    """A key that another living owner drives is refused, and stays as it was."""
    one, other = await opened(store), await opened(store)
    entry = await one.begin(intent("k"), window=DAY)
    with pytest.raises(LeaseLost) as caught:
        await other.begin(intent("k"), window=DAY)
    assert caught.value.idempotency_key == "k"
    await one.write(entry, EntryState.SUBMITTED, instruction_id="i")
    with pytest.raises(LeaseLost):
        await other.begin(intent("k"), window=DAY)
    assert (await found(other)).fence == 1


async def test_begin_after_its_end_needs_nobody_s_leave(store: Store, opened: Factory) -> None:
    """What has ended is no one's: a living owner of it does not matter."""
    one, other = await opened(store), await opened(store)
    entry = await one.begin(intent("k"), window=DAY)
    await one.write(entry, EntryState.COMPLETED, instruction_id="i", resource_id="r")
    again = await other.begin(intent("k"), window=DAY)
    assert (again.state, again.instruction_id, again.resource_id) == (
        *(EntryState.COMPLETED, "i", "r"),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"another"},
        {"serial_number": "2"},
        {"gateway": "https://other.example/v1"},
        {"kind": "refund"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_begin_refuses_a_key_of_another_request(
    store: Store, opened: Factory, change: dict[str, Any]
) -> None:
    """A key that was used for another request is refused, also where its body is long gone."""
    await leave(store, "k", state=EntryState.COMPLETED)
    journal = await opened(store)
    with pytest.raises(ConfigurationError, match="another request") as caught:
        await journal.begin(evolve(intent("k"), **change), window=DAY)
    assert caught.value.field == "idempotency_key"
    assert (await found(journal)).fence == 1


async def test_begin_refuses_what_the_gateway_may_have_forgotten(
    store: Store, opened: Factory
) -> None:
    """An intent older than the window is not begun again: not the dead's, nor one's own."""
    await leave(store, "k")
    journal = await opened(store)
    await journal.begin(intent("own"), window=DAY)
    for key in ("k", "own"):
        store.age(key, 100)
        with pytest.raises(ConfigurationError, match="trusted to know"):
            await journal.begin(intent(key), window=99)
        assert (await journal.begin(intent(key), window=200)).age > 100


async def test_begin_refuses_what_was_begun_in_the_future(store: Store, opened: Factory) -> None:
    """A clock was set back: how old the key is no one knows, unless it is one's own, held still."""
    await leave(store, "dead")
    journal = await opened(store)
    own = await journal.begin(intent("own"), window=DAY)
    known = await journal.begin(intent("known"), window=DAY)
    await journal.write(known, EntryState.SUBMITTED, instruction_id="i", release=True)
    for key in ("dead", "own", "known"):
        store.age(key, -100)
    with pytest.raises(ConfigurationError, match="a clock was set back"):
        await journal.begin(intent("dead"), window=DAY)
    again = await journal.begin(intent("own"), window=DAY)
    assert (again.owner, again.fence) == (own.owner, own.fence)
    assert (await journal.begin(intent("known"), window=DAY)).instruction_id == "i"
    # Ended, it is no longer held.
    await journal.write(again, EntryState.FAILED)
    with pytest.raises(ConfigurationError, match="as failed"):
        await journal.begin(intent("own"), window=DAY)


# Writing ----------


async def test_write_keeps_the_ids(store: Store, opened: Factory) -> None:
    """Ids that a write does not name stay as they are, and each write is dated."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
    await journal.write(entry, EntryState.CANCELING)
    await journal.write(entry, EntryState.COMPLETED, resource_id="r")
    last = await found(journal)
    assert (last.state, last.instruction_id, last.resource_id) == (EntryState.COMPLETED, "i", "r")
    assert last.changed > last.begun == entry.begun
    assert not last.running
    assert not last.unfinished


@pytest.mark.parametrize(
    ("state", "instruction_id", "kept"),
    [
        (EntryState.SUBMITTED, "i", False),
        (EntryState.CANCELING, None, True),
        (EntryState.UNKNOWN, None, True),
        *((state, None, False) for state in ENDED),
    ],
)
async def test_write_drops_the_body_when_it_is_not_needed(
    store: Store, opened: Factory, state: EntryState, instruction_id: str | None, kept: bool
) -> None:
    """The body is kept for as long as it may have to be sent again, and no longer."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, state, instruction_id=instruction_id)
    assert (await found(journal)).body == (b"body of k" if kept else None)


async def test_write_is_refused_once_another_has_taken_over(store: Store, opened: Factory) -> None:
    """A write under an old fence changes nothing, not even by the owner that it once had."""
    journal = await opened(store)
    old = await journal.begin(intent("k"), window=DAY)
    await journal.write(old, EntryState.SUBMITTED, instruction_id="i", release=True)
    other = await opened(store)
    (new,) = await other.claim(GATEWAY)
    for release in (False, True):
        with pytest.raises(LeaseLost):
            await journal.write(old, EntryState.FAILED, release=release)
    await other.write(new, EntryState.SUBMITTED, release=True)
    with pytest.raises(LeaseLost):
        await journal.write(old, EntryState.FAILED)
    assert (await found(other)).state is EntryState.SUBMITTED


async def test_write_is_refused_to_who_is_not_the_owner(store: Store, opened: Factory) -> None:
    """The right fence alone does not do."""
    one, other = await opened(store), await opened(store)
    entry = await one.begin(intent("k"), window=DAY)
    stranger = await other.begin(intent("l"), window=DAY)
    with pytest.raises(LeaseLost):
        await other.write(evolve(entry, owner=stranger.owner), EntryState.FAILED)
    with pytest.raises(LeaseLost):
        await other.write(evolve(entry, idempotency_key="none"), EntryState.FAILED)


async def test_write_again_is_the_same(store: Store, opened: Factory) -> None:
    """A write that is repeated has the effect of one, also one that lets go."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    for release in (False, False, True, True):
        await journal.write(entry, EntryState.CANCELING, instruction_id="i", release=release)
    last = await found(journal)
    assert (last.owner, last.fence, last.running) == ("", 1, False)
    assert (last.state, last.instruction_id) == (EntryState.CANCELING, "i")


# Claiming and adopting ----------


async def test_claim_takes_only_what_the_dead_have_left_unfinished(
    store: Store, opened: Factory
) -> None:
    """Neither what has ended or is unknown, nor a living owner's, its own, or another gateway's."""
    journal, living = await opened(store), await opened(store)
    await journal.begin(intent("own"), window=DAY)
    await living.begin(intent("living"), window=DAY)
    released = await living.begin(intent("released"), window=DAY)
    await living.write(released, EntryState.CANCELING, release=True)
    await leave(store, "dead", "elsewhere")
    for state in EntryState:
        await leave(store, state.value, state=state)
    store.execute(
        f"UPDATE {store.table} SET gateway = ? WHERE idempotency_key = ?", ("other", "elsewhere")
    )
    claimed = await journal.claim(GATEWAY)
    assert [entry.idempotency_key for entry in claimed] == [
        *("released", "dead", "intent", "submitted", "canceling"),
    ]
    assert await journal.claim(GATEWAY) == []
    assert await living.claim(GATEWAY) == []
    assert [entry.idempotency_key for entry in await journal.claim("other")] == ["elsewhere"]


async def test_claim_gives_what_it_found_under_a_new_fence(store: Store, opened: Factory) -> None:
    """A claimed entry is as it was left, but for owner and fence, and is the claimer's to write."""
    await leave(store, "k")
    journal = await opened(store)
    left = await found(journal)
    assert not left.running
    (entry,) = await journal.claim(GATEWAY)
    own = (await journal.begin(intent("l"), window=DAY)).owner
    assert (entry.owner, entry.fence, entry.running) == (own, 2, True)
    assert (entry.state, entry.body, entry.begun, entry.changed) == (
        *(left.state, left.body, left.begun, left.changed),
    )
    await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
    after = await found(journal)
    assert (after.owner, after.fence, after.running) == (own, 2, True)


async def test_claim_takes_the_oldest_first_and_no_more_than_asked(
    store: Store, opened: Factory
) -> None:
    """In the order they were begun in, by portions."""
    keys = [f"{number:02}" for number in range(10)]
    random.shuffle(keys)
    for key in keys:
        await leave(store, key)
    for place, key in enumerate(sorted(keys)):
        store.age(key, 1000 * (10 - place))  # more than a slow machine takes to leave them
    journal = await opened(store)
    portions = [await journal.claim(GATEWAY, limit=4) for _ in range(4)]
    assert [len(portion) for portion in portions] == [4, 4, 2, 0]
    assert [entry.idempotency_key for portion in portions for entry in portion] == sorted(keys)


async def test_each_entry_is_claimed_once_however_many_race(store: Store, opened: Factory) -> None:
    """Of 300 entries that dead owners left, each goes to one of four racing claimers."""
    await asyncio.gather(*(leave(store, *(f"{n}-{m}" for m in range(50))) for n in range(6)))
    journals = [await opened(store) for _ in range(4)]

    async def claim_all(journal: Journal) -> list[Entry]:
        claimed: list[Entry] = []
        while some := await journal.claim(GATEWAY, limit=7):
            claimed += some
        return claimed

    # Two claims of one journal at once are two callers as well.
    claimed = await asyncio.gather(*(claim_all(journal) for journal in journals * 2))
    everything = [entry for some in claimed for entry in some]
    assert len(everything) == 300
    assert {entry.fence for entry in everything} == {2}
    assert len({entry.idempotency_key for entry in everything}) == 300
    owners = {entry.idempotency_key: entry.owner for entry in await journals[0].entries()}
    assert owners == {entry.idempotency_key: entry.owner for entry in everything}


async def test_a_claim_that_nobody_waits_for_leaves_nothing_behind(
    store: Store, opened: Factory
) -> None:
    """What a canceled claim has taken may be claimed again at once, by anybody."""
    await leave(store, "k", "l")
    one, other = await opened(store), await opened(store)
    claim = asyncio.create_task(one.claim(GATEWAY))
    await asyncio.sleep(0)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    claimed: list[Entry] = []
    async with asyncio.timeout(5):
        while not claimed:
            claimed = await other.claim(GATEWAY)
    assert {entry.idempotency_key for entry in claimed} == {"k", "l"}


async def test_adopt_takes_over_by_the_gateway_s_id(store: Store, opened: Factory) -> None:
    """An id leads to its entry, from anyone who is dead or has let go, and from oneself."""
    await leave(store, "k", state=EntryState.SUBMITTED)
    journal = await opened(store)
    entry = await journal.adopt("payment", GATEWAY, "id of k")
    assert entry is not None
    assert (entry.idempotency_key, entry.fence, entry.running) == ("k", 2, True)
    assert entry.state is EntryState.SUBMITTED
    again = await journal.adopt("payment", GATEWAY, "id of k")
    assert again is not None
    with pytest.raises(LeaseLost):
        await journal.write(entry, EntryState.FAILED)
    await journal.write(again, EntryState.UNKNOWN)
    unknown = await journal.adopt("payment", GATEWAY, "id of k")
    assert unknown is not None
    assert unknown.state is EntryState.UNKNOWN


async def test_adopt_finds_only_what_it_is_asked_for(store: Store, opened: Factory) -> None:
    """Nothing of another kind, gateway or id, nor what has an outcome."""
    await leave(store, "k", state=EntryState.SUBMITTED)
    await leave(store, "ended", state=EntryState.COMPLETED)
    journal = await opened(store)
    assert await journal.adopt("refund", GATEWAY, "id of k") is None
    assert await journal.adopt("payment", "other", "id of k") is None
    assert await journal.adopt("payment", GATEWAY, "id") is None
    assert await journal.adopt("payment", GATEWAY, "id of ended") is None
    assert (await found(journal)).fence == 1


async def test_adopt_leaves_alone_what_somebody_alive_drives(store: Store, opened: Factory) -> None:
    """A living owner's entry is not adopted by another."""
    one, other = await opened(store), await opened(store)
    entry = await one.begin(intent("k"), window=DAY)
    await one.write(entry, EntryState.SUBMITTED, instruction_id="i")
    with pytest.raises(LeaseLost):
        await other.adopt("payment", GATEWAY, "i")
    await one.write(entry, EntryState.CANCELING)


# Closing what is unknown ----------


async def resolve(journal: Any, *args: Any, **options: Any) -> Entry:
    """Beyond what a session asks of any journal: both stores can."""
    entry: Entry = await journal.resolve("k", *args, **options)
    return entry


@pytest.mark.parametrize("state", ENDED)
async def test_resolve_writes_what_a_person_found_out(
    store: Store, opened: Factory, state: EntryState
) -> None:
    """It ends as was said, keeps no body, and the owner before can write nothing any more."""
    journal = await opened(store)
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, EntryState.UNKNOWN, release=True)
    resource_id = "r" if state is EntryState.COMPLETED else None
    other = await opened(store)
    ended = await resolve(other, state, resource_id=resource_id)
    assert ended == evolve(await found(journal), age=ended.age)
    assert (ended.state, ended.resource_id, ended.body) == (state, resource_id, None)
    assert (ended.owner, ended.fence) == ("", 2)
    with pytest.raises(LeaseLost):
        await journal.write(entry, EntryState.UNKNOWN)
    again = await resolve(other, state, resource_id=resource_id)
    assert again == evolve(ended, age=again.age)
    contrary = EntryState.FAILED if state is EntryState.CANCELED else EntryState.CANCELED
    with pytest.raises(JournalError, match=f"is {state.value}: only one that has no outcome"):
        await resolve(other, contrary)


async def test_resolve_leaves_alone_what_may_end_by_itself(store: Store, opened: Factory) -> None:
    """What somebody who lives drives: unfinished, or unknown and driven anew."""
    journal, other = await opened(store), await opened(store)
    with pytest.raises(JournalError, match="there is no entry k"):
        await resolve(other, EntryState.FAILED)
    entry = await journal.begin(intent("k"), window=DAY)
    await journal.write(entry, EntryState.SUBMITTED, instruction_id="i")
    with pytest.raises(LeaseLost):
        await resolve(other, EntryState.FAILED)
    await journal.write(entry, EntryState.UNKNOWN, release=True)
    assert await journal.adopt("payment", GATEWAY, "i") is not None
    for stranger in (other, journal):
        with pytest.raises(LeaseLost):
            await resolve(stranger, EntryState.FAILED)
    assert (await found(journal)).state is EntryState.UNKNOWN
    await journal.aclose()
    assert (await resolve(other, EntryState.FAILED)).state is EntryState.FAILED


async def test_resolve_frees_the_device_of_a_dead_process(store: Store, opened: Factory) -> None:
    """What a process has left unfinished, a person who knows how it ended can close."""
    journal = await opened(store)
    await journal.begin(intent("k"), window=DAY)
    await journal.aclose()
    other = await opened(store)
    with pytest.raises(DeviceBusyError):
        await other.begin(intent("new", serial_number="device of k"), window=DAY)
    assert (await resolve(other, EntryState.CANCELED)).state is EntryState.CANCELED
    assert (await other.begin(intent("new", serial_number="device of k"), window=DAY)).fence == 1


@pytest.mark.parametrize(
    ("state", "resource_id", "field"),
    [
        (EntryState.UNKNOWN, None, "state"),
        (EntryState.SUBMITTED, None, "state"),
        (EntryState.COMPLETED, None, "resource_id"),
        (EntryState.COMPLETED, "", "resource_id"),
        (EntryState.FAILED, "r", "resource_id"),
    ],
)
async def test_resolve_refuses_what_is_no_outcome(
    store: Store, opened: Factory, state: EntryState, resource_id: str | None, field: str
) -> None:
    """What a person says is an end, with the id of what came of it, or without one."""
    journal = await opened(store)
    with pytest.raises(ConfigurationError) as caught:
        await resolve(journal, state, resource_id=resource_id)
    assert caught.value.field == field


# Reading and purging ----------


async def test_entries_are_read_by_state_and_gateway(store: Store, opened: Factory) -> None:
    """All by default, the oldest first; by state, by gateway, by both, or none."""
    for state in EntryState:
        await leave(store, state.value, state=state)
    journal = await opened(store)
    other = await journal.begin(intent("other", gateway="other"), window=DAY)
    store.age("other", 1000)

    async def keys(**filters: Any) -> list[str]:
        return [entry.idempotency_key for entry in await journal.entries(**filters)]

    assert await keys() == ["other", *(state.value for state in EntryState)]
    assert await keys(states=ENDED) == ["completed", "failed", "canceled"]
    assert await keys(gateway="other") == [other.idempotency_key]
    assert await keys(states=[EntryState.INTENT], gateway=GATEWAY) == ["intent"]
    assert await keys(states=[]) == []
    assert await journal.get("none") is None


async def test_running_says_whether_the_owner_lives(store: Store, opened: Factory) -> None:
    """Read by another: true while the owner is open, false once it is closed, or has ended it."""
    journal, reader = await opened(store), await opened(store)
    for key in ("k", "ended", "unknown"):
        await journal.begin(intent(key), window=DAY)
    await journal.write(await found(journal, "ended"), EntryState.FAILED)
    await journal.write(await found(journal, "unknown"), EntryState.UNKNOWN)

    async def running() -> list[str]:
        return [entry.idempotency_key for entry in await reader.entries() if entry.running]

    assert await running() == ["k"]
    await journal.aclose()
    assert await running() == []


async def test_purge_keeps_what_has_no_outcome(store: Store, opened: Factory) -> None:
    """Only what ended longer ago goes: neither the young nor the unfinished nor the unknown."""
    for state in EntryState:
        await leave(store, state.value, state=state)
        store.age(state.value, 1000)
    await leave(store, "young", state=EntryState.COMPLETED)
    journal = await opened(store)
    assert await journal.purge(2000) == 0
    assert await journal.purge(float("inf")) == 0
    assert await journal.purge(500) == 3
    assert {entry.idempotency_key for entry in await journal.entries()} == {
        *("young", "intent", "submitted", "canceling", "unknown"),
    }
    assert await journal.purge(0) == 1
    for wrong in (-1, float("nan"), True, "1"):
        with pytest.raises(ConfigurationError, match="older_than"):
            await journal.purge(wrong)


async def test_purge_does_not_make_the_living_look_dead(store: Store, opened: Factory) -> None:
    """Owners that own nothing yet stay alive through another's purge."""
    one, other = await opened(store), await opened(store)
    await other.purge(0)
    await one.begin(intent("k"), window=DAY)
    assert await other.claim(GATEWAY) == []


# Many at once ----------


async def test_many_begins_share_a_commit(store: Store, opened: Factory) -> None:
    """A crowd is entered at once, in the order it came in, each with its own outcome."""
    await leave(store, "taken")
    journal, living = await opened(store), await opened(store)
    await living.begin(intent("living"), window=DAY)
    keys = [f"{number:03}" for number in range(200)]
    intents = [intent(key) for key in keys]
    intents[50:50] = [intent("living"), intent("taken", body="another"), intent("taken")]
    results = await asyncio.gather(
        *(journal.begin(one, window=DAY) for one in intents), return_exceptions=True
    )
    kinds = [type(result) for result in results[50:53]]
    assert kinds == [LeaseLost, ConfigurationError, Entry]
    begun = [entry.idempotency_key for entry in await journal.entries()]
    assert begun == ["taken", "living", *keys]


async def test_what_can_t_be_stored_fails_alone(store: Store, opened: Factory) -> None:
    """A value that the engine refuses does not fail those that are committed with it."""
    journal = await opened(store)
    wrong = evolve(intent("wrong"), serial_number="\ud800")
    results = await asyncio.gather(
        *(journal.begin(one, window=DAY) for one in (intent("k"), wrong, intent("l"))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Entry, JournalError, Entry]
    assert len(await journal.entries()) == 2


async def test_a_waiter_that_is_cancelled_disturbs_no_other(store: Store, opened: Factory) -> None:
    """Anyone who is canceled, the others of its group are entered, and it may be begun again."""
    journal = await opened(store)
    tasks = [
        asyncio.create_task(journal.begin(intent(str(number)), window=DAY)) for number in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Entry) for result in results] == [False, True] * 10
    again = await asyncio.gather(
        *(journal.begin(intent(str(number)), window=DAY) for number in range(20))
    )
    assert {entry.fence for entry in again} == {1}


# Opening and closing ----------


async def test_a_journal_that_is_not_open_says_so(store: Store, opened: Factory) -> None:
    """Before it is opened and after it is closed every method raises, and none hangs."""
    journal = journal_of(store.place)
    for _ in range(2):
        with pytest.raises(JournalError, match="not open"):
            await journal.begin(intent("k"), window=DAY)
        with pytest.raises(JournalError, match="not open"):
            await journal.claim(GATEWAY)
        with pytest.raises(JournalError, match="not open"):
            await journal.get("k")
        await journal.aclose()
        await journal.open()
        await asyncio.gather(journal.aclose(), journal.aclose())


async def test_what_is_asked_of_a_closing_journal_does_not_hang(
    store: Store, opened: Factory
) -> None:
    """Asked for before, it is done; after, it is refused at once."""
    journal = await opened(store)
    before = asyncio.create_task(journal.begin(intent("before"), window=DAY))
    await asyncio.sleep(0)
    closing = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    with pytest.raises(JournalError, match="not open"):
        async with asyncio.timeout(5):
            await journal.begin(intent("after"), window=DAY)
    await closing
    assert (await before).fence == 1
    assert [entry.idempotency_key for entry in await (await opened(store)).entries()] == ["before"]


async def test_a_journal_opens_again_after_it_was_closed(store: Store, opened: Factory) -> None:
    """Each time it is a new owner, and finds what the last one left."""
    journal = await opened(store)
    first = await journal.begin(intent("k"), window=DAY)
    await journal.aclose()
    await journal.open()
    (entry,) = await journal.claim(GATEWAY)
    assert entry.owner != first.owner


async def test_a_closing_that_is_cancelled_closes_all_the_same(
    store: Store, opened: Factory
) -> None:
    """The lock is released, anyone who cancels."""
    journal, other = await opened(store), await opened(store)
    await journal.begin(intent("k"), window=DAY)
    closing = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    claimed: list[Entry] = []
    async with asyncio.timeout(5):
        while not claimed:
            claimed = await other.claim(GATEWAY)
    await journal.aclose()


async def test_a_newer_version_is_refused(store: Store, opened: Factory) -> None:
    """It is left alone, and the error says why; what failed to open opens once it can."""
    await leave(store, "k")
    change, version = (
        ("UPDATE payroc_journal_version SET version = {}", pg_schema.VERSION)
        if "dsn" in store.place
        else ("PRAGMA user_version = {}", sqlite_schema.VERSION)
    )
    store.execute(change.format(99))
    journal = journal_of(store.place)
    for _ in range(2):
        with pytest.raises(JournalError, match="version 99, made by a newer payroc_async"):
            await journal.open()
    store.execute(change.format(version))
    await journal.open()
    assert len(await journal.claim(GATEWAY)) == 1
    await journal.aclose()


async def test_journals_that_open_at_once_make_one_store(store: Store, opened: Factory) -> None:
    """Tables are made once, and every owner is another."""
    journals = await asyncio.gather(*(opened(store) for _ in range(5)))
    entries = [
        await journal.begin(intent(str(number)), window=DAY)
        for number, journal in enumerate(journals)
    ]
    assert len({entry.owner for entry in entries}) == 5


async def test_both_are_journals(store: Store) -> None:
    """Each has what the protocol asks for, and says where it is."""
    journal = journal_of(store.place)
    assert isinstance(journal, Journal)
    place = store.place.get("path") or store.place["schema"]
    assert place in repr(journal)


# Processes ----------


async def test_a_killed_process_frees_its_entries_and_a_stopped_one_does_not(
    store: Store, opened: Factory, started: Callable[..., Awaitable[JournalProcess]]
) -> None:
    """SIGSTOP leaves it alive, SIGKILL does not; a child that it has forked keeps nothing alive."""
    journal = await opened(store)
    process = await started(store)
    await process.ask("begin", "k", "l")
    child = await process.ask("fork")
    try:
        process.send_signal(signal.SIGSTOP)
        assert await journal.claim(GATEWAY) == []
        with pytest.raises(LeaseLost):
            await journal.begin(intent("k"), window=DAY)
        await process.kill()
        claimed: list[Entry] = []
        async with asyncio.timeout(10):
            while not claimed:
                claimed = await journal.claim(GATEWAY)
        assert {entry.idempotency_key for entry in claimed} == {"k", "l"}
    finally:
        os.kill(child, signal.SIGKILL)
