"""Processes that are killed or stopped in the middle of sales, and those that recover them.

``nox -s kill`` does the same for as long as one likes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from payroc_async import InstructionError, LeaseLost
from payroc_async.journal import EntryState, journal_at
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, sale
from tests.harness.crash_harness import (
    POINTS,
    TIMEOUTS,
    Job,
    Round,
    Tally,
    kill_round,
    place_in,
    session_for,
    until,
)

LEASE_LOST = 7


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a journal is that belongs to one test."""
    if request.param == "sqlite":
        yield str(tmp_path / "sales.db")
        return
    server = request.getfixturevalue("postgres")
    server.settled()
    with server.schema() as schema:
        yield place_in(server, schema)


@pytest.mark.parametrize("recoverers", [1, 2], ids=["one recoverer", "two that race"])
async def test_a_process_killed_at_any_point_loses_doubles_and_leaves_nothing(
    place: str, recoverers: int
) -> None:
    """Every sale ends once, with its true outcome, wherever its process and a recoverer died."""
    tally = Tally()
    await kill_round(place, tally, seed=recoverers, recoverers=recoverers)
    assert tally.good(), tally
    # The one point at which a process may be quicker than its end is "at any time".
    assert tally.sales == len(POINTS)
    assert tally.kills >= tally.sales - len(tally.survived)
    assert all("at any time" in one for one in tally.survived), tally.survived


def sell_many(job: Job, sales: int) -> None:
    """Start as many sales, and be there."""

    async def main() -> None:
        async with session_for(job) as session:
            await asyncio.gather(*(session.run_sale(f"device{n}", sale()) for n in range(sales)))

    asyncio.run(main())


async def test_two_recoverers_share_three_hundred_open_sales(place: str) -> None:
    """Each is claimed by one of them, and ends with its payment."""
    # Held for long: so many that ask again and again would keep a slow machine busy.
    async with Simulator(hold=5.0) as gateway:
        for n in range(300):
            gateway.device(f"device{n}").never_finishes()
        one = Round(gateway, place, Tally(), random.Random(1))
        process = await asyncio.to_thread(one.start, sell_many, one.job, 300)
        assert await until(lambda: len(gateway.in_progress) == 300)
        process.kill()
        assert await until(lambda: process.exitcode is not None)
        for instruction in gateway.in_progress:
            gateway._state.change(instruction, "completed")
        await asyncio.gather(one.recover(), one.recover())
        await one.check()
        assert one.tally.good(), one.tally
        assert len(one.told) == len(gateway.instructions) == len(gateway.payments) == 300


def sell_and_stop(job: Job) -> None:
    """Start a sale, be stopped, and cancel it when continued; the exit code says how that went."""

    async def main() -> None:
        async with session_for(job) as session:
            handle = await session.start_sale(job.serial_number, sale())
            # Stopped in the middle of a write it would keep all others from writing.
            while (await session.unfinished())[0].state is EntryState.INTENT:
                pass
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                await handle.cancel()
            except InstructionError as error:
                if isinstance(error.__cause__, LeaseLost):
                    os._exit(LEASE_LOST)
                raise

    asyncio.run(main())


def is_stopped(pid: int) -> bool:
    """Whether the system has stopped it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_stopped_process_keeps_its_sales_and_a_robbed_one_touches_nothing(
    place: str, rob: Callable[[], None]
) -> None:
    """Continued after another has taken its sale, it is refused and sends no DELETE."""
    async with Simulator(hold=TIMEOUTS.hold) as gateway:
        gateway.device(SERIAL).approves(after=1.0)
        one = Round(gateway, place, Tally(), random.Random(1))
        job = Job(
            place=place,
            api_key=gateway.api_key,
            environment=gateway.environment,
            serial_number=SERIAL,
        )
        process = await asyncio.to_thread(one.start, sell_and_stop, job)
        pid = process.pid
        assert pid is not None
        try:
            assert await until(lambda: process.exitcode is not None or is_stopped(pid))
            # It is not dead: no one may have what it drives.
            await one.recover()
            assert one.told == []
            await asyncio.to_thread(rob)
            await one.recover()
            assert [told[1] for told in one.told] == ["completed"]
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await until(lambda: process.exitcode is not None)
        assert process.exitcode == LEASE_LOST
        assert gateway.requests_of("cancel") == []
        await one.check()
        assert one.tally.good(), one.tally
        journal = journal_at(place)
        await journal.open()
        (entry,) = await journal.entries()
        await journal.aclose()
        assert entry.state is EntryState.COMPLETED
        assert list(gateway.payments) == [entry.resource_id]


@pytest.fixture
def rob(request: pytest.FixtureRequest, place: str) -> Callable[[], None]:
    """Makes a living owner look dead, as nothing should."""

    def tear_off_the_locks() -> None:
        for path in Path(f"{place}-owners").iterdir():
            path.unlink()

    def break_off_the_connections() -> None:
        server = request.getfixturevalue("postgres")
        for pid in server.clients():
            server.terminate(pid)

    return break_off_the_connections if "://" in place else tear_off_the_locks
