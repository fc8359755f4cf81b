"""One contender in a process of its own, which does one job after the other.

``python -m benchmarks.worker NAME URL LOOP SOURCE`` reads jobs as lines of JSON and answers each
with one: so contenders take turns without sharing a heap, a loop or an import. ``Worker`` is the
other end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson

from .contenders import Contender, Sdk, make
from .heap import collecting, memory, peak
from .loops import run

__all__ = ["Gateway", "Job", "Worker"]

Job = dict[str, Any]
ROOT = Path(__file__).parents[1]
TICK = 0.01
"""Seconds between two looks at the loop's lag."""


def tell(url: str, path: str, content: object = None) -> None:
    """Ask something of the gateway, and wait for its answer."""
    request = urllib.request.Request(url + path, orjson.dumps(content), method="POST")
    urllib.request.urlopen(request).close()


@asynccontextmanager
async def opened(contender: Contender, url: str) -> AsyncIterator[Contender]:
    await contender.open(url)
    try:
        yield contender
    finally:
        await contender.close()


async def tills(contender: Contender, devices: int, sales: int) -> None:
    """Sales one after the other on every device, on all at once."""

    async def till(n: int) -> None:
        for _ in range(sales):
            await contender.sell(n)

    await asyncio.gather(*[asyncio.create_task(till(n)) for n in range(devices)])


# Jobs ----------


async def cost(contender: Contender, url: str, job: Job) -> Job:
    """Processor and wall time of a sale, in ms; ``warm``: once the connections are made.

    ``collector`` is how garbage is collected, the warm-up included: see ``collecting``.
    """
    devices, sales = job["devices"], job["sales"]
    with collecting(job.get("collector", "on")) as pauses:
        if job.get("warm", True):
            # Python compiles for what it meets often: the first thousand sales cost more.
            await tills(contender, devices, max(1, job.get("warm_up", 3000) // devices))
        if gc.isenabled():
            gc.collect()
        pauses.clear()
        before = memory()
        wall, processor = time.perf_counter(), time.process_time()
        await tills(contender, devices, sales)
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
    sales *= devices
    return {
        "processor": processor / sales * 1000,
        "wall": wall / sales * 1000,
        "collected": sum(pauses) / sales,
        "pause": max(pauses, default=0.0),
        "grown": (memory() - before) / 1024 / 1024,
    }


async def held(contender: Contender, url: str, job: Job) -> Job:
    """Memory of a sale in flight, in KB: while all wait for their devices, and at the most."""
    devices = job["devices"]
    loop = asyncio.get_running_loop()
    warm = [asyncio.create_task(contender.sell(n)) for n in range(2)]
    await loop.run_in_executor(None, tell, url, "/_held/2")
    await loop.run_in_executor(None, tell, url, "/_release")
    await asyncio.gather(*warm)
    gc.collect()
    count = len(gc.get_objects()) if job.get("count") else 0
    before = memory()
    tasks = [asyncio.create_task(contender.sell(n)) for n in range(devices)]
    await loop.run_in_executor(None, tell, url, f"/_held/{devices}")
    gc.collect()
    waiting = memory()
    if count:
        count = len(gc.get_objects()) - count
    await loop.run_in_executor(None, tell, url, "/_release")
    await asyncio.gather(*tasks)
    return {
        "held": (waiting - before) / devices / 1024,
        "peak": (peak() - before) / devices / 1024,
        "objects": count / devices,
    }


async def latency(contender: Contender, url: str, job: Job) -> Job:
    """Milliseconds from each change of status at the gateway to the awaited payment."""
    taken: list[float] = []

    async def till(n: int) -> None:
        await asyncio.sleep(n / job["devices"] * job["spread"])
        for _ in range(job["sales"]):
            changed = await contender.sell(n)
            taken.append((time.monotonic() - changed) * 1000)

    tasks = [asyncio.create_task(till(n)) for n in range(job["devices"])]
    await asyncio.gather(*tasks)
    return {"latencies": taken[job["devices"] :]}  # the first of each opens its connection


async def pace(contender: Contender, url: str, job: Job) -> Job:
    """Lag of the loop and added latency, ms, where each device sells ``every`` so many seconds.

    The first round of sales is not counted: it opens the connections.
    """
    loop = asyncio.get_running_loop()
    every, devices = job["every"], job["devices"]
    counted = loop.time() + every
    end = counted + job["seconds"]
    lags: list[float] = []
    added: list[float] = []

    async def till(n: int) -> None:
        due = counted - every + n / devices * every
        while due < end:
            await asyncio.sleep(due - loop.time())
            changed = await contender.sell(n)
            if due >= counted:
                added.append((time.monotonic() - changed) * 1000)
            due += every

    async def watch() -> float:
        await asyncio.sleep(counted - loop.time())
        processor = time.process_time()
        while (due := loop.time() + TICK) < end:
            await asyncio.sleep(TICK)
            lags.append((loop.time() - due) * 1000)
        return time.process_time() - processor

    with collecting(job.get("collector", "on")):
        tasks = [asyncio.create_task(till(n)) for n in range(devices)]
        processor = await watch()
        await asyncio.gather(*tasks)
    return {"lags": lags, "added": added, "processor": processor / len(added) * 1000}


async def duration(contender: Contender, url: str, job: Job) -> Job:
    """Milliseconds of each sale, from its call to the payment, with so many at once."""
    taken: list[float] = []

    async def till(n: int) -> None:
        await contender.sell(n)  # opens its connection
        for _ in range(job["sales"]):
            began = time.perf_counter()
            await contender.sell(n)
            taken.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*[asyncio.create_task(till(n)) for n in range(job["devices"])])
    return {"durations": taken}


async def recovery(contender: Contender, url: str, job: Job) -> Job:
    """Milliseconds that it takes to recover so many sales that a dead process has left open."""
    assert isinstance(contender, Sdk)
    await leave(contender, url, job["sales"])
    wall, processor = time.perf_counter(), time.process_time()
    found = [found async for found in contender.session.recover()]
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    assert sum(one.resource is not None for one in found) == job["sales"]
    return {"processor": processor * 1000, "wall": wall * 1000}


async def leave(contender: Sdk, url: str, sales: int) -> None:
    """Submit so many sales, and leave them in the journal as a process does that dies."""
    from payroc_async.journal import EntryState, Intent, journal_at

    journal = journal_at(contender.place)
    await journal.open()

    async def one(n: int) -> None:
        made = await contender.session.payment_instructions.submit(
            f"device{n}", contender.request(n)
        )
        intent = Intent(
            idempotency_key=str(uuid4()),
            kind="payment",
            gateway=f"{url}/v1",
            serial_number=f"device{n}",
            body=b"{}",
        )
        entry = await journal.begin(intent, window=3600.0)
        await journal.write(entry, EntryState.SUBMITTED, instruction_id=made.instruction_id)

    await asyncio.gather(*[one(n) for n in range(sales)])
    await journal.aclose()


async def soak(contender: Contender, url: str, job: Job) -> Job:
    """Memory after the first thousand sales, and along the way to the last; in MB."""
    sold, course = 0, []

    async def till(n: int) -> None:
        nonlocal sold
        while sold < job["sales"]:
            sold += 1
            await contender.sell(n)
            if sold % job["every"] == 0:
                course.append((sold, memory() / 1024 / 1024, len(gc.get_objects())))

    tasks = [asyncio.create_task(till(n)) for n in range(job["devices"])]
    await asyncio.gather(*tasks)
    return {"course": course}


async def start(contender: Contender, url: str, job: Job) -> Job:
    """Milliseconds of a first sale with the opening before it, and of a second one."""
    began = time.perf_counter()
    async with opened(contender, url):
        await contender.sell(0)
        first = time.perf_counter() - began
        began = time.perf_counter()
        await contender.sell(0)
        return {"cold": first * 1000, "warm": (time.perf_counter() - began) * 1000}


JOBS = {
    "cost": cost,
    "duration": duration,
    "held": held,
    "latency": latency,
    "pace": pace,
    "recovery": recovery,
    "soak": soak,
}


async def work(name: str, url: str) -> None:
    print("{}", flush=True)
    line = sys.stdin.buffer.readline()
    if line and orjson.loads(line)["job"] == "start":
        print(orjson.dumps(await start(make(name), url, {})).decode(), flush=True)
        return
    async with opened(make(name), url) as contender:
        while line:
            job = orjson.loads(line)
            result = await JOBS[job["job"]](contender, url, job)
            print(orjson.dumps(result).decode(), flush=True)
            line = (
                sys.stdin.buffer.readline()
            )  # the loop stands still between jobs: no one is in it


# The other end ----------


class Process:
    """A process of the benchmarks' own; it ends when its standard input does."""

    def __init__(self, *arguments: str, under: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process of the benchmarks has ended")
        return line.strip()

    def write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Let it go, and wait until it has."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class Gateway(Process):
    """The gateway, in a process of its own."""

    def __init__(self) -> None:
        super().__init__("benchmarks.gateway")
        self.url = self.read()


class Worker(Process):
    """A contender, in a process of its own.

    Args:
        name: Which contender.
        gateway: Where it sells.
        fast: Whether it runs on uvloop.
        source: A folder with another version of the SDK, to take it from.
        under: The command that it runs under, such as valgrind's.
    """

    def __init__(
        self,
        name: str,
        gateway: Gateway,
        *,
        fast: bool = False,
        source: Path | None = None,
        under: Sequence[str] = (),
    ) -> None:
        loop = "uvloop" if fast else "asyncio"
        place = str(source or ROOT)
        super().__init__("benchmarks.worker", name, gateway.url, loop, place, under=under)
        self.name = name
        self._url = gateway.url
        self.read()

    def do(self, job: str, shape: Job, **options: object) -> Job:
        """The job's result, with the gateway's sales in this shape."""
        tell(self._url, "/_shape", shape)
        self.write(orjson.dumps({"job": job, **options}).decode())
        result: Job = orjson.loads(self.read())
        return result


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[4])  # nothing of the SDK is imported yet
    run(work(sys.argv[1], sys.argv[2]), fast=sys.argv[3] == "uvloop")
