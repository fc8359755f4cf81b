"""Recovery that runs by itself, for as long as its session lives."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from payroc_async import (
    ConfigurationError,
    DeviceBusyError,
    JournalError,
    Outcome,
    PayrocSession,
    Recovered,
    Recovery,
    RetryPolicy,
)
from payroc_async.journal import Entry, EntryState, SQLiteJournal
from payroc_async.simulator import Simulator, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import until

from .test_recovery import SIGNATURE, entries, leave

OTHER, THIRD = "1850010869", "1850010870"
OFTEN = 2 * UNIT


def session_of(gateway: Simulator, journal: Any, **options: Any) -> PayrocSession:
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=QUICK,
        retries=EAGER,
        journal=SQLiteJournal(journal) if isinstance(journal, Path) else journal,
        **options,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


async def detached(gateway: Simulator, path: Path, serial: str) -> str:
    """A sale that a process has left running; its key."""
    key = str(uuid4())
    async with session_of(gateway, path) as session:
        await session.start_sale(serial, sale(), idempotency_key=key, on_cancel="detach")
    return key


async def states(path: Path) -> dict[str, EntryState]:
    return {entry.serial_number: entry.state for entry in await entries(path)}


async def test_what_is_left_is_recovered_while_the_session_lives(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On opening and later, beside the session's own sales; the callback and the log hear of it."""
    caplog.set_level(logging.INFO, "payroc_async")
    for serial in (SERIAL, OTHER):
        gateway.device(serial).approves(after=UNIT)
    found: list[Recovered] = []
    keys = [await detached(gateway, path, SERIAL)]
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery) as session:
        await until(lambda: len(found) == 1)
        keys.append(await detached(gateway, path, OTHER))
        assert (await session.run_sale(THIRD, sale())).approved
        await until(lambda: len(found) == 2)
        assert await session.unfinished() == []
    assert [one.entry.idempotency_key for one in found] == keys
    for one in found:
        assert (one.action, one.state) == ("resumed", EntryState.COMPLETED)
        assert getattr(one.resource, "outcome", None) is Outcome.APPROVED
    logged = [record for record in caplog.records if record.getMessage().startswith("recovered: ")]
    assert [getattr(record, "idempotency_key", None) for record in logged] == keys
    assert "on device 1850010868 was submitted" in logged[0].getMessage()


async def test_a_stuck_sale_holds_up_nothing(gateway: Simulator, path: Path) -> None:
    """It is driven on while later ones are found, and released when the session closes."""
    gateway.device(SERIAL).never_finishes()
    gateway.device(OTHER).approves(after=UNIT)
    await detached(gateway, path, SERIAL)
    recovery = Recovery(interval=OFTEN)
    async with session_of(gateway, path, recovery=recovery) as session:
        await until(lambda: gateway.requests_of("status"))
        with pytest.raises(DeviceBusyError):
            await session.run_sale(SERIAL, sale())
        await detached(gateway, path, OTHER)
        async with asyncio.timeout(10):
            while (await states(path))[OTHER] is not EntryState.COMPLETED:
                await asyncio.sleep(UNIT)
    assert (await states(path))[SERIAL] is EntryState.SUBMITTED
    assert gateway.requests_of("cancel") == []
    assert [entry.running for entry in await entries(path) if entry.unfinished] == [False]


async def test_what_is_old_is_searched_for_beside_a_stuck_sale(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A payment is looked for once the others had time to end, not only once they have ended."""
    monkeypatch.setattr("payroc_async.recovery.OTHERS_END", 4 * UNIT)
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(OTHER, sale())
    await detached(gateway, path, SERIAL)
    await leave(gateway, path, age=200, serial_number=OTHER)
    found: list[Recovered] = []
    recovery = Recovery(interval=60, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: found)
    assert found[0].resource is not None
    assert getattr(found[0].resource, "payment_id", None) == payment.payment_id


async def test_what_is_left_as_it_is_is_not_looked_at_in_every_round(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs a search: again only after a while, and meanwhile anybody may claim it."""
    for _ in range(2):
        async with session_of(gateway, path.with_name("none.db")) as session:
            await session.run_sale(SERIAL, sale())  # either may be its own
    await leave(gateway, path, age=200)
    found: list[Recovered] = []
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: found)
        await asyncio.sleep(10 * OFTEN)
        assert [(one.action, one.state) for one in found] == [("left", EntryState.INTENT)]
        assert [entry.running for entry in await entries(path)] == [False]
    assert len(gateway.requests_of("search")) == 1
    monkeypatch.setattr("payroc_async.recovery.LEFT_FOR", OFTEN)
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: len(found) >= 3)


@pytest.mark.parametrize("state", [EntryState.INTENT, EntryState.CANCELING])
@pytest.mark.parametrize("sent", [True, False], ids=["sent", "never sent"])
async def test_j5_an_old_intent_blocks_no_device_and_starts_no_sale(
    gateway: Simulator, path: Path, state: EntryState, sent: bool
) -> None:
    """Nothing is found, and no person is there: it is sent again only to be canceled at once."""
    gateway.device(SERIAL).never_finishes()
    key = await leave(gateway, path, state, age=3600)
    if sent:
        async with session_of(gateway, path.with_name("none.db")) as session:
            await session.payment_instructions.submit(SERIAL, sale(), idempotency_key=key)
    found: list[Recovered] = []
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery) as session:
        await until(lambda: found)
        assert [(one.action, one.state) for one in found] == [("canceled", EntryState.CANCELED)]
        (old,) = gateway.instructions.values()
        assert (old.idempotency_key, old.status) == (key, "canceled")
        gateway.device(SERIAL).approves()
        assert (await session.run_sale(SERIAL, sale())).approved


async def test_what_an_old_intent_has_led_to_is_learned_though_no_search_shows_it(
    gateway: Simulator, path: Path
) -> None:
    """A signature can't be searched for: its key shows that it was taken."""
    key = await leave(gateway, path, request=SIGNATURE, kind="signature", age=3600)
    async with session_of(gateway, path.with_name("none.db")) as session:
        made = await session.capture_signature(SERIAL, SIGNATURE, idempotency_key=key)
    found: list[Recovered] = []
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: found)
    assert (found[0].state, found[0].resource) == (EntryState.COMPLETED, made)
    assert len(gateway.instructions) == 1


@pytest.mark.parametrize("on_found", ["finish", "cancel"])
async def test_each_is_canceled_by_its_bound_or_at_once(
    gateway: Simulator, path: Path, on_found: Any
) -> None:
    """A cardholder who has left does not keep the device."""
    gateway.device(SERIAL).never_finishes()
    await detached(gateway, path, SERIAL)
    found: list[Recovered] = []
    timeout = 4 * UNIT if on_found == "finish" else None
    recovery = Recovery(
        interval=OFTEN, on_found=on_found, timeout=timeout, on_recovered=found.append
    )
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: found)
    assert found[0].state is EntryState.CANCELED
    assert (await states(path))[SERIAL] is EntryState.CANCELED


async def test_recover_has_a_bound_as_well(gateway: Simulator, path: Path) -> None:
    """For scripts: a stuck sale is canceled, and the loop ends."""
    gateway.device(SERIAL).never_finishes()
    await detached(gateway, path, SERIAL)
    async with session_of(gateway, path) as session:
        (found,) = [one async for one in session.recover(timeout=4 * UNIT)]
        assert (found.action, found.state) == ("resumed", EntryState.CANCELED)
        wrongs: list[Any] = [0, -1, True, "1", float("inf")]
        for wrong in wrongs:
            with pytest.raises(ConfigurationError, match="timeout"):
                session.recover(timeout=wrong)


class Unreadable(SQLiteJournal):
    """One that can't be read now and then."""

    broken = False
    claims = 0

    async def claim(self, *args: Any, **options: Any) -> list[Entry]:
        self.claims += 1
        if self.broken:
            raise JournalError("the server is away")
        return await super().claim(*args, **options)


async def test_a_journal_that_fails_ends_neither_recovery_nor_what_it_drives(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, running recoveries continue, and later ones are found once it can be read."""
    gateway.device(SERIAL).approves(after=0.5)
    gateway.device(OTHER).approves(after=UNIT)
    await detached(gateway, path, SERIAL)
    journal, found = Unreadable(path), list[Recovered]()
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, journal, recovery=recovery):
        await until(lambda: gateway.requests_of("status"))
        journal.broken, journal.claims = True, 0
        await until(lambda: journal.claims > 2)
        assert not found
        await until(lambda: len(found) == 1)
        journal.claims = 0
        await until(lambda: journal.claims > 2)
        journal.broken = False
        await detached(gateway, path, OTHER)
        await until(lambda: len(found) == 2)
    assert [one.state for one in found] == [EntryState.COMPLETED] * 2
    assert len(gateway.requests_of("cancel")) == 0
    assert "the server is away" in caplog.text


async def test_what_a_callback_raises_stops_nothing(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged by its name, and the next one is recovered all the same."""
    for serial in (SERIAL, OTHER):
        gateway.device(serial).approves(after=UNIT)
        await detached(gateway, path, serial)
    seen: list[Recovered] = []

    def fail(found: Recovered) -> None:
        seen.append(found)
        raise RuntimeError("mine")

    async with session_of(gateway, path, recovery=Recovery(interval=OFTEN, on_recovered=fail)):
        await until(lambda: len(seen) == 2)
    assert caplog.text.count("on_recovered failed") == 2


async def test_it_does_not_take_what_a_caller_of_the_session_runs_again(
    gateway: Simulator, path: Path
) -> None:
    """A caller that runs its key again joins the recovery, or is left its instruction."""
    gateway.device(SERIAL).approves(after=0.5)
    for turn in range(4):
        key = await detached(gateway, path, SERIAL)
        async with session_of(gateway, path, recovery=Recovery(interval=OFTEN)) as session:
            for _ in range(turn):
                await asyncio.sleep(UNIT / 4)
            payment = await session.run_sale(SERIAL, sale(), idempotency_key=key)
            assert payment.approved
    assert len(gateway.instructions) == 4
    assert len(await entries(path)) == 4


async def test_it_ends_with_the_session(gateway: Simulator, path: Path) -> None:
    """Closing waits for nothing, and no task is left."""
    before = asyncio.all_tasks()
    session = session_of(gateway, path, recovery=Recovery(retention=600_000.0))
    async with session:
        names = {task.get_name() for task in asyncio.all_tasks() - before}
        assert {"payroc recovery", "payroc journal purge"} <= names
    assert asyncio.all_tasks() == before


async def test_what_ended_long_ago_is_deleted(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the retention of the session, in its scope, now and again; what has no outcome stays."""
    monkeypatch.setattr("payroc_async.automatic_recovery.PURGE_EVERY", OFTEN)
    async with session_of(gateway, path, scope="A") as session:
        await session.run_sale(SERIAL, sale())
    async with session_of(gateway, path, scope="B") as session:
        await session.run_sale(SERIAL, sale())
    await leave(gateway, path, EntryState.UNKNOWN)

    def age() -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET changed = changed - 700000")

    await asyncio.to_thread(age)
    recovery = Recovery(interval=60, retention=600_000)
    async with session_of(gateway, path, scope="A", recovery=recovery) as session:
        payment = await session.run_sale(SERIAL, sale())
        async with asyncio.timeout(10):
            while len(await entries(path)) > 3:
                await asyncio.sleep(UNIT)
        left = {(entry.scope, entry.state) for entry in await entries(path)}
        assert left == {
            ("A", EntryState.COMPLETED),
            ("B", EntryState.COMPLETED),
            ("", EntryState.UNKNOWN),
        }
        assert payment.payment_id in {entry.resource_id for entry in await entries(path)}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"interval": 0}, "interval"),
        ({"interval": "15"}, "interval"),
        ({"on_found": "wait"}, "on_found"),
        ({"resubmit": 1}, "resubmit"),
        ({"timeout": 0}, "timeout"),
        ({"retention": -1}, "retention"),
        ({"on_recovered": 7}, "on_recovered"),
    ],
)
def test_its_values_are_checked(options: dict[str, Any], field: str) -> None:
    """Each by its name, before a session is built."""
    with pytest.raises(ConfigurationError) as raised:
        Recovery(**options)
    assert raised.value.field == field


def test_an_async_callback_is_refused() -> None:
    """Nothing would await it."""

    async def later(found: Recovered) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError, match="on_recovered"):
        Recovery(on_recovered=later)


def test_it_needs_a_journal_and_may_not_forget_a_key_too_soon(path: Path) -> None:
    """A purged key that is run again would be submitted as a new one."""
    wanted: list[tuple[dict[str, Any], str]] = [
        ({"recovery": Recovery()}, "recovery"),
        ({"recovery": True, "journal": SQLiteJournal(path)}, "recovery"),
        ({"recovery": Recovery(retention=3600), "journal": SQLiteJournal(path)}, "retention"),
    ]
    for options, field in wanted:
        with pytest.raises(ConfigurationError) as raised:
            PayrocSession("key", environment="uat", **options)
        assert raised.value.field == field
    PayrocSession(
        "key",
        environment="uat",
        journal=SQLiteJournal(path),
        retries=RetryPolicy(idempotency_window=3600),
        recovery=Recovery(retention=3600),
    )


async def test_a_gateway_that_is_away_is_asked_again(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round could not learn, a later one does."""
    monkeypatch.setattr("payroc_async.recovery.LEFT_FOR", OFTEN)
    gateway.device(SERIAL).approves(after=UNIT)
    await detached(gateway, path, SERIAL)
    gateway.faults.add("status", status(503), times=None)
    found: list[Recovered] = []
    recovery = Recovery(interval=OFTEN, on_recovered=found.append)
    async with session_of(gateway, path, recovery=recovery):
        await until(lambda: found)
        assert found[0].state in (EntryState.SUBMITTED, EntryState.CANCELING)
        gateway.faults.clear()
        await until(lambda: found[-1].state is EntryState.COMPLETED)
