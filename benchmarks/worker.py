"""One contender in its own process, which does one job after the other.

``python -m benchmarks.worker NAME URL LOOP SOURCE`` reads jobs as lines of JSON and answers each
with one: so contenders take turns without sharing a heap, a loop or an import. ``Worker`` is the
other end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import orjson

from .contenders import Contender, Sdk, make
from .loops import run

__all__ = ["Gateway", "Job", "Worker"]

Job = dict[str, Any]
ROOT = Path(__file__).parents[1]


def memory() -> int:
    """Bytes of memory in use now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak()


def peak() -> int:
    """Peak memory in use so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def tell(url: str, path: str, content: object = None) -> None:
    """Send a control request to the gateway, and wait for its answer."""
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
    """Run sales on all devices concurrently, one after the other on each."""

    async def till(n: int) -> None:
        for _ in range(sales):
            await contender.sell(n)

    await asyncio.gather(*[asyncio.create_task(till(n)) for n in range(devices)])


# Jobs ----------


async def cost(contender: Contender, url: str, job: Job) -> Job:
    """Processor and wall time of a sale, in ms; ``warm``: once the connections are made.

    ``collector`` is the garbage collector's part: "on", "off", or "frozen" (all that is there
    before the sales is left out of it, as by ``gc.freeze()``).
    """
    devices, sales = job["devices"], job["sales"]
    if job.get("warm", True):
        # Python specializes hot code: the first thousand sales cost more.
        await tills(contender, devices, max(1, 1000 // devices))
    gc.collect()
    collector = job.get("collector", "on")
    if collector == "off":
        gc.disable()
    elif collector == "frozen":
        gc.freeze()
    wall, processor = time.perf_counter(), time.process_time()
    await tills(contender, devices, sales)
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    gc.enable()
    gc.unfreeze()
    sales *= devices
    return {"processor": processor / sales * 1000, "wall": wall / sales * 1000}


async def held(contender: Contender, url: str, job: Job) -> Job:
    """Memory of a sale in flight, in KB: while all wait for their devices, and at the most.

    And the objects of a waiting one that the garbage collector has to look at, again and again.
    """
    devices = job["devices"]
    loop = asyncio.get_running_loop()
    warm = [asyncio.create_task(contender.sell(n)) for n in range(2)]
    await loop.run_in_executor(None, tell, url, "/_held/2")
    await loop.run_in_executor(None, tell, url, "/_release")
    await asyncio.gather(*warm)
    gc.collect()
    before, tracked = memory(), len(gc.get_objects())
    tasks = [asyncio.create_task(contender.sell(n)) for n in range(devices)]
    await loop.run_in_executor(None, tell, url, f"/_held/{devices}")
    gc.collect()
    waiting, tracked = memory(), len(gc.get_objects()) - tracked
    await loop.run_in_executor(None, tell, url, "/_release")
    await asyncio.gather(*tasks)
    return {
        "held": (waiting - before) / devices / 1024,
        "peak": (peak() - before) / devices / 1024,
        "tracked": tracked / devices,
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
            line = sys.stdin.buffer.readline()  # blocks the loop between jobs, when no task runs


# The other end ----------


class Process:
    """A process of the benchmarks' own; it ends when its standard input does."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
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
        """Stop the process, and wait for its end."""
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
    """The gateway in its own process."""

    def __init__(self) -> None:
        super().__init__("benchmarks.gateway")
        self.url = self.read()


class Worker(Process):
    """A contender in its own process.

    Args:
        name: Which contender.
        gateway: Where it sells.
        fast: Whether it runs on uvloop.
        source: A folder with another version of the SDK, to take it from.
    """

    def __init__(
        self, name: str, gateway: Gateway, *, fast: bool = False, source: Path | None = None
    ) -> None:
        loop = "uvloop" if fast else "asyncio"
        super().__init__("benchmarks.worker", name, gateway.url, loop, str(source or ROOT))
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
