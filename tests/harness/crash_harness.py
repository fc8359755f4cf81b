"""Kills processes in the middle of sales, has others recover them, and counts what went wrong.

``nox -s kill`` goes round all points at which a process can be killed, on both stores, and prints
the counts. The gateway runs in this process, for it knows what is true.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import aiohttp
from attrs import define, field, frozen

from payroc_async import Environment, PayrocSession, RetryPolicy, Timeouts
from payroc_async.journal import Entry, EntryState, Intent, Journal, journal_at
from payroc_async.simulator import FaultAction, Simulator
from payroc_async.simulator.faults import Exchange
from payroc_async.simulator.replies import Answer
from tests.conftest import sale

from .postgres import MISSING, PostgresServer, server_in

__all__ = ["POINTS", "Tally", "kill_round", "main", "place_in"]

TIMEOUTS = Timeouts(
    connect=10, request=10, hold=0.3, hold_margin=5, poll_interval=0.01, token=10, cancel_grace=10
)
RETRIES = RetryPolicy(initial=0.01, maximum=0.05)
PACE = 0.05
"""Seconds that a cardholder takes."""

# Where a process is killed: at what is written in the journal or sent, by its name; those that
# are canceled are canceled by their caller while they are polled.
SELF = [
    "before begin",
    "after begin",
    "sending POST",
    "answered POST",
    "before submitted",
    "after submitted",
    "answered GET",
    "before completed",
    "after completed",
]
CANCELED = [
    "before canceling",
    "after canceling",
    "sending DELETE",
    "answered DELETE",
    "before canceled",
    "after canceled",
]
BY_PARENT = ["POST took effect", "DELETE took effect", "in a held GET", "at any time"]
POINTS = SELF + CANCELED + BY_PARENT
RECOVERY_POINTS = ["after claim", "answered GET", "before completed", "in a held GET"]


@frozen(kw_only=True)
class Job:
    """What a process is to do, and where it dies."""

    place: str
    api_key: str
    environment: Environment
    serial_number: str = ""
    point: str = ""
    cancel: bool = False


def die() -> None:
    """Be killed, as by ``kill -9``: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyJournal:
    """A journal in which its process dies before or after one of its steps."""

    def __init__(self, journal: Journal, job: Job) -> None:
        self._journal = journal
        self._job = job
        self.open = journal.open
        self.aclose = journal.aclose
        self.adopt = journal.adopt
        self.get = journal.get
        self.find = journal.find
        self.entries = journal.entries
        self.purge = journal.purge

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        if self._job.point == f"before {name}":
            die()
        yield
        if self._job.point == f"after {name}":
            die()

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """As the journal's."""
        with self._step("begin"):
            return await self._journal.begin(intent, window=window)

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        """As the journal's."""
        with self._step(state.value):
            await self._journal.write(entry, state, **ids)

    async def claim(self, gateway: str, **options: Any) -> list[Entry]:
        """As the journal's."""
        claimed = await self._journal.claim(gateway, **options)
        if claimed and self._job.point == "after claim":
            die()
        return claimed


@asynccontextmanager
async def deadly_http(job: Job) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections over which a request is the last thing that its process does."""

    def dies(doing: str) -> Callable[..., Any]:
        async def step(_: object, context: Any, params: Any) -> None:
            if job.point == f"{doing} {params.method}" and not params.url.path.endswith(
                "authorize"
            ):
                die()

        return step

    tracing = aiohttp.TraceConfig()
    tracing.on_request_chunk_sent.append(dies("sending"))
    tracing.on_request_headers_sent.append(
        dies("sending") if job.point == "sending DELETE" else dies("never")
    )
    tracing.on_request_end.append(dies("answered"))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), trace_configs=[tracing]
    ) as http:
        yield http


@asynccontextmanager
async def session_for(job: Job) -> AsyncIterator[PayrocSession]:
    """A session that dies where the job says."""
    async with (
        deadly_http(job) as http,
        PayrocSession(
            job.api_key,
            environment=job.environment,
            timeouts=TIMEOUTS,
            retries=RETRIES,
            journal=DeadlyJournal(journal_at(job.place), job),
            http_session=http,
        ) as session,
    ):
        yield session


def sell(job: Job) -> None:
    """The process that runs a sale, and cancels it if it is to."""

    async def main() -> None:
        async with session_for(job) as session:
            handle = await session.start_sale(job.serial_number, sale())
            if job.cancel:
                await handle.cancel()
            else:
                await handle.result()

    asyncio.run(main())


def recover(job: Job, told: Connection) -> None:
    """The process that recovers, and reports each that it has ended."""

    async def main() -> None:
        async with session_for(job) as session:
            async for found in session.recover():
                resource = getattr(found.resource, "payment_id", None)
                error = type(found.error).__name__ if found.error else None
                told.send((found.entry.serial_number, found.state.value, resource, error))

    asyncio.run(main())


@define
class Tally:
    """What came of it all. Everything but the first three is to be nothing."""

    kills: int = 0
    sales: int = 0
    recovered: int = 0
    lost: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    left_running: list[str] = field(factory=list)
    claimed_twice: list[str] = field(factory=list)
    survived: list[str] = field(factory=list)
    points: Counter[str] = field(factory=Counter)

    def good(self) -> bool:
        """Whether nothing went wrong."""
        wrong = (self.lost, self.doubled, self.left_running, self.claimed_twice)
        return not any(wrong)

    def __str__(self) -> str:
        counts = (
            f"{self.kills} kills of {self.sales} sales, {self.recovered} recovered: "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, "
            f"{len(self.left_running)} left running, {len(self.claimed_twice)} claimed twice"
        )
        wrong = [*self.lost, *self.doubled, *self.left_running, *self.claimed_twice]
        return "\n".join([counts, *wrong])


def forking() -> ForkServerContext:
    """Processes that have imported all before they are forked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.harness.crash_harness", "payroc_async.journal.sqlite.sqlite_journal", "psycopg"]
    )
    return context


def took_effect(kind: str) -> FaultAction:
    """A fault: the request does its work, and is never answered."""

    async def run(exchange: Exchange) -> Answer:
        await exchange.proceed()
        return await exchange.hang()

    return FaultAction(kind, run)


async def until(condition: Callable[[], object], patience: float = 30.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


async def ended(process: ForkServerProcess) -> int | None:
    """The exit code; None if it did not end in time, and was killed for it."""
    if await until(lambda: process.exitcode is not None):
        return process.exitcode
    process.kill()
    return None


class Round:
    """One store, one gateway: processes killed at each point, and what recoverers make of it."""

    def __init__(self, gateway: Simulator, place: str, tally: Tally, rng: random.Random) -> None:
        self.gateway = gateway
        self.tally = tally
        self.rng = rng
        self.context = forking()
        self.job = Job(place=place, api_key=gateway.api_key, environment=gateway.environment)
        self.told: list[tuple[str, str, str | None, str | None]] = []

    def start(self, target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
        process = self.context.Process(target=target, args=arguments, daemon=True)
        process.start()
        return process

    def _requests(self, kind: str, serial_number: str) -> list[Any]:
        ids = {i.id for i in self.gateway.instructions.values() if i.serial_number == serial_number}
        return [one for one in self.gateway.requests_of(kind) if one.instruction_id in ids]

    async def kill_seller(self, serial_number: str, point: str) -> None:
        """Run a sale in a process that is killed at that point."""
        cancel = point in CANCELED or point == "DELETE took effect"
        device = self.gateway.device(serial_number)
        if point == "before canceling":
            # No one knows that it was to be canceled: it is seen to the end.
            device.approves(after=4 * PACE)
        elif cancel and "canceled" not in point and self.rng.random() < 0.3:
            device.completes_on_cancel()
        elif cancel:
            device.never_finishes()
        elif self.rng.random() < 0.3:
            device.declines(after=PACE)
        else:
            device.approves(after=PACE)
        if point == "POST took effect":
            self.gateway.faults.add("submit", took_effect("a"), serial_number=serial_number)
        if point == "DELETE took effect":
            self.gateway.faults.add("cancel", took_effect("b"), serial_number=serial_number)
        job = Job(
            place=self.job.place,
            api_key=self.job.api_key,
            environment=self.job.environment,
            serial_number=serial_number,
            point=point,
            cancel=cancel,
        )
        process = await asyncio.to_thread(self.start, sell, job)
        seen = {
            "POST took effect": lambda: self._requests("submit", serial_number),
            "DELETE took effect": lambda: self._requests("cancel", serial_number),
            "in a held GET": lambda: self._requests("status", serial_number),
        }
        if point in seen:
            await until(lambda: seen[point]() or process.exitcode is not None)
            process.kill()
        elif point == "at any time":
            await asyncio.sleep(self.rng.uniform(0.0, 0.3))
            process.kill()
        self.tally.sales += 1
        self.tally.points[point] += 1
        if await ended(process) == -signal.SIGKILL:
            self.tally.kills += 1
        else:
            self.tally.survived.append(f"{serial_number}, {point}: exit code {process.exitcode}")

    async def recover(self, point: str = "") -> None:
        """Recover in a process of its own, which may be killed in turn."""
        job = Job(
            place=self.job.place,
            api_key=self.job.api_key,
            environment=self.job.environment,
            point=point,
        )
        receiving, sending = self.context.Pipe(duplex=False)
        before = len(self.gateway.requests_of("status"))
        process = await asyncio.to_thread(self.start, recover, job, sending)
        sending.close()
        if point == "in a held GET":
            await until(
                lambda: (
                    len(self.gateway.requests_of("status")) > before or process.exitcode is not None
                )
            )
            process.kill()
        code = await ended(process)
        if point and code == -signal.SIGKILL:
            self.tally.kills += 1
            self.tally.points[f"recoverer {point}"] += 1
        elif code != 0:
            self.tally.lost.append(f"a recoverer ended with exit code {code}")
        while receiving.poll():
            try:
                self.told.append(receiving.recv())
            except EOFError:
                break
        receiving.close()

    async def check(self) -> None:
        """Hold the journal and what was reported against what the gateway knows."""
        tally = self.tally
        journal = journal_at(self.job.place)
        await journal.open()
        entries = {entry.serial_number: entry for entry in await journal.entries()}
        await journal.aclose()
        tally.recovered += len(self.told)
        for serial, times in Counter(one[0] for one in self.told).items():
            if times > 1:
                tally.claimed_twice.append(f"{serial} was reported {times} times: {self.told}")
        instructions: dict[str, list[Any]] = {}
        for instruction in self.gateway.instructions.values():
            instructions.setdefault(instruction.serial_number, []).append(instruction)
        for serial, made in instructions.items():
            if len(made) > 1:
                tally.doubled.append(f"{serial}: {len(made)} instructions")
            if serial not in entries:
                tally.lost.append(f"{serial}: nothing in the journal")
        tally.left_running += [f"{one.serial_number}" for one in self.gateway.in_progress]
        payments = {
            one.serial_number: one.resource_id for one in self.gateway.instructions.values()
        }
        for serial, entry in entries.items():
            told = [one for one in self.told if one[0] == serial]
            truth = payments.get(serial)
            if entry.state not in (EntryState.COMPLETED, EntryState.CANCELED):
                tally.lost.append(f"{serial}: {entry.state}, reported {told}")
            elif entry.resource_id != truth or (entry.state is EntryState.COMPLETED) != bool(truth):
                tally.lost.append(f"{serial}: {entry.state} {entry.resource_id}, truly {truth}")
            elif told and told[0][2] != truth:
                tally.lost.append(f"{serial}: reported {told}, truly {truth}")


async def kill_round(
    place: str, tally: Tally, *, seed: int, points: list[str] | None = None, recoverers: int = 2
) -> None:
    """Kill a process at each of the points, and recover what they leave by as many as race.

    Args:
        place: The journal; everything in it is this round's.
        tally: Where to count.
        seed: What is left to chance.
        points: Where to kill; everywhere by default.
        recoverers: How many recover at once, after one that is itself killed.
    """
    rng = random.Random(seed)
    async with Simulator(hold=TIMEOUTS.hold) as gateway:
        one = Round(gateway, place, tally, rng)
        crowd = [
            one.kill_seller(f"{n}-{point.replace(' ', '-')}", point)
            for n, point in enumerate(points or POINTS)
        ]
        # The one that recovers meanwhile finds only what is dead, whatever lives beside it.
        await asyncio.gather(*crowd, one.recover() if rng.random() < 0.5 else asyncio.sleep(0))
        await one.recover(rng.choice(RECOVERY_POINTS))
        await asyncio.gather(*(one.recover() for _ in range(recoverers)))
        await one.check()
        if gateway.violations:
            tally.lost.append(f"violations: {gateway.violations}")


@contextmanager
def stores(wanted: str) -> Iterator[dict[str, Callable[[], str]]]:
    """For each store that is to be had, what gives a new place for a journal in it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        made = itertools.count()
        found: dict[str, Callable[[], str]] = {}
        if wanted != "postgres":
            found["sqlite"] = lambda: str(Path(folder, f"{next(made)}.db"))
        if wanted != "sqlite" and MISSING:
            print(MISSING)
        elif wanted != "sqlite":
            server = stack.enter_context(server_in(Path(folder)))
            found["postgres"] = lambda: place_in(server, stack.enter_context(server.schema()))
        yield found


def place_in(server: PostgresServer, schema: str) -> str:
    """What names a journal in this schema."""
    return f"{server.dsn()}?options=-csearch_path%3D{schema}"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="nox -s kill --", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=["both", "sqlite", "postgres"], default="both")
    options = parser.parse_args()
    good = True
    with stores(options.store) as places:
        for store, place in places.items():
            tally, rounds = Tally(), 0
            while tally.kills < options.kills / len(places):
                asyncio.run(
                    kill_round(
                        place(), tally, seed=options.seed + rounds, recoverers=1 + rounds % 2
                    )
                )
                rounds += 1
            print(f"{store}, {rounds} rounds: {tally}")
            print(*(f"  {point}: {times}" for point, times in tally.points.items()), sep="\n")
            if tally.survived:
                print(f"  not killed, having ended before: {len(tally.survived)}")
            good = good and tally.good()
    return 0 if good else 1
