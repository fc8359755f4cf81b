"""What a process does whose lock was lost for a while: to others it was dead, and it was not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from payroc_async import LeaseLost, OutcomeUnknownError, PayrocSession, Recovery
from payroc_async.journal import EntryState, PostgresJournal
from payroc_async.simulator import Simulator, hang_after
from tests.conftest import EAGER, QUICK, SERIAL, sale
from tests.harness.journal_process import GATEWAY, intent
from tests.harness.postgres import PostgresServer
from tests.harness.step_canceller import until

from .test_journal import DAY

CONSTANT = "payroc_async.journal.postgres.pg_rows.CONNECTED_AGAIN"
KEY = "0b6d7ad0-9d5a-4f1e-8c5e-6f4b5d1f8f10"
# As another process's claim does, in the moment in which the lock is free.
TAKE = "UPDATE {}.payroc_journal SET owner = 4711, fence = fence + 1 WHERE idempotency_key = %s"


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[str]:
    with postgres.schema() as name:
        yield name


def journal_in(server: PostgresServer, schema: str) -> PostgresJournal:
    return PostgresJournal(server.dsn(), schema=schema)


def session_of(gateway: Simulator, journal: PostgresJournal, **options: Any) -> PayrocSession:
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=QUICK,
        retries=EAGER,
        journal=journal,
        **options,
    )


def lose_lock(server: PostgresServer, journal: PostgresJournal) -> None:
    """Break the lock's connection off."""
    assert journal._lock is not None
    rows = server.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND objsubid = 1 "
        "AND mode = 'ExclusiveLock' AND granted",
        (journal._lock.owner,),
    )
    server.terminate(rows[0][0])


async def taken_over(server: PostgresServer, schema: str, journal: PostgresJournal) -> None:
    """Another process takes the sale, and this one's lock is lost."""
    await asyncio.to_thread(server.execute, TAKE.format(schema), (KEY,))
    await asyncio.to_thread(lose_lock, server, journal)


# After a restart of the server ----------


async def test_after_a_restart_no_one_is_taken_for_dead_who_had_no_time_to_connect(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner's lock is free for a moment: it is not claimed, nor is its key or its id taken."""
    away = journal_in(postgres, schema)
    await away.open()
    entry = await away.begin(intent("k"), window=DAY)
    await away.write(entry, EntryState.SUBMITTED, instruction_id="i")
    await away.aclose()  # as one that is not connected again yet
    async with journal_in(postgres, schema) as other:
        monkeypatch.setattr(CONSTANT, 1e6)  # the server has just started
        assert await other.claim(GATEWAY) == []
        with pytest.raises(LeaseLost):
            await other.begin(intent("k"), window=DAY)
        with pytest.raises(LeaseLost):
            await other.adopt("payment", GATEWAY, "i")
        (found,) = await other.entries()
        assert found.running
        monkeypatch.setattr(CONSTANT, 0.0)
        (claimed,) = await other.claim(GATEWAY)
    assert claimed.idempotency_key == "k"


async def test_the_time_after_a_restart_is_counted_from_it(
    postgres: PostgresServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process left that has died is claimed once the time has passed, and not before."""
    async with journal_in(postgres, schema) as dead:
        await dead.begin(intent("k"), window=DAY)
    monkeypatch.setattr(CONSTANT, 2.0)
    stopping = time.monotonic()
    await asyncio.to_thread(postgres.restart)
    async with journal_in(postgres, schema) as other:
        while not await other.claim(GATEWAY):
            await asyncio.sleep(0.1)
    assert time.monotonic() - stopping > 2.0


# Taken over meanwhile ----------


async def test_p2_who_was_taken_for_dead_asks_no_more(
    postgres: PostgresServer, schema: str, gateway: Simulator
) -> None:
    """Once it is connected again it sees that another drives its sale: it ends its request."""
    gateway.device(SERIAL).never_finishes()
    journal = journal_in(postgres, schema)
    async with session_of(gateway, journal) as session:
        sold = asyncio.create_task(session.run_sale(SERIAL, sale(), idempotency_key=KEY))
        await until(lambda: gateway.requests_of("status"))
        await taken_over(postgres, schema, journal)
        async with asyncio.timeout(10):
            with pytest.raises(OutcomeUnknownError) as caught:
                await sold
        assert isinstance(caught.value.__cause__, LeaseLost)
        assert caught.value.may_have_taken_effect
        asked = len(gateway.requests_of("status"))
    assert gateway.requests_of("cancel") == []  # it is the other's
    assert len(gateway.requests_of("status")) == asked


async def test_what_was_taken_over_is_claimed_again_at_once_when_its_new_driver_dies(
    postgres: PostgresServer, schema: str, gateway: Simulator
) -> None:
    """A recovery that was robbed of a sale does not leave it alone for a minute."""
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, journal_in(postgres, schema)) as session:
        await session.start_sale(SERIAL, sale(), idempotency_key=KEY, on_cancel="detach")
    journal = journal_in(postgres, schema)
    recovery = Recovery(interval=0.1)
    async with session_of(gateway, journal, recovery=recovery) as session:
        await until(lambda: gateway.requests_of("status") and gateway.in_progress)
        async with asyncio.timeout(10):
            while (await journal.entries())[0].fence < 2:
                await asyncio.sleep(0.01)
        await taken_over(postgres, schema, journal)  # by one that is dead, as it were
        async with asyncio.timeout(10):
            while (await journal.entries())[0].fence < 4:
                await asyncio.sleep(0.01)


async def test_who_was_not_taken_for_dead_goes_on(
    postgres: PostgresServer, schema: str, gateway: Simulator
) -> None:
    """A lock that was lost and is held again costs no sale."""
    gateway.device(SERIAL).approves(after=1.0)
    journal = journal_in(postgres, schema)
    async with session_of(gateway, journal) as session:
        sold = asyncio.create_task(session.run_sale(SERIAL, sale(), idempotency_key=KEY))
        await until(lambda: gateway.requests_of("status"))
        await asyncio.to_thread(lose_lock, postgres, journal)
        assert (await sold).approved
    async with journal:
        (entry,) = await journal.entries()
    assert (entry.state, entry.fence) == (EntryState.COMPLETED, 1)


async def test_its_caller_is_not_led_to_believe_that_nothing_was_sent(
    postgres: PostgresServer, schema: str, gateway: Simulator
) -> None:
    """Taken over while its submission has no answer: the other sends it too, under the same key."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("submit", hang_after())
    journal = journal_in(postgres, schema)
    async with session_of(gateway, journal) as session:
        sold = asyncio.create_task(session.run_sale(SERIAL, sale(), idempotency_key=KEY))
        await until(lambda: gateway.instructions)
        await taken_over(postgres, schema, journal)
        async with asyncio.timeout(10):
            with pytest.raises(OutcomeUnknownError) as caught:
                await sold
    error = caught.value
    assert isinstance(error.__cause__, LeaseLost)
    assert (error.request_sent, error.may_have_taken_effect) == (True, True)
    assert len(gateway.instructions) == 1
