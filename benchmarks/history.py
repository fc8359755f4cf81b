"""The cost of a long journal history: ``python -m benchmarks.history [--entries N] [--quick]``.

A journal in SQLite and one in PostgreSQL (a server of its own on this machine) get a million ended
entries, submissions of unknown outcome, and sales that a killed process has left. Sales run without
recovery, then beside a recovery that ends all of these and purges a part of the history. Measured:
the longest stall of the event loop, the sales' durations, and how much memory is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from attrs import define, field

from payroc_async import Environment, Order, PaymentInstructionRequest, PayrocSession, Recovery
from payroc_async.journal import EntryState, Intent, PostgresJournal, SQLiteJournal
from payroc_async.wire.converter import encode

from .heap import memory

OUTPUT = Path("build", "benchmarks", "history.json")
DAY = 86_400.0
ENDED_DAYS = 100
"""Days over which the ended entries are spread."""
RETENTION = 95 * DAY
STALE, LEFT, TILLS = 50, 200, 50
GATEWAY = """
import asyncio, sys
from payroc_async.simulator import Simulator
async def main():
    async with Simulator(approves_after=0.05) as gateway:
        print(gateway.environment.api_url, gateway.environment.identity_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""
SQLITE_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
INSERT INTO entries (idempotency_key, kind, gateway, serial_number, digest, instruction_id, state,
    resource_id, begun, changed, owner, fence)
SELECT lower(hex(randomblob(16))), 'payment', ?2, printf('%010d', i % 5000), hex(randomblob(32)),
    lower(hex(randomblob(16))), 'completed', upper(hex(randomblob(5))),
    ?3 - ?4 * (1.0 - 1.0 * i / ?1), ?3 - ?4 * (1.0 - 1.0 * i / ?1), '', 1 FROM n
"""
POSTGRES_FILL = """
INSERT INTO {0}payroc_journal (idempotency_key, kind, gateway, serial_number, digest,
    instruction_id, state, resource_id, begun, changed, owner, fence)
SELECT gen_random_uuid(), 'payment', '{2}', lpad((i % 5000)::text, 10, '0'),
    decode(md5(i::text), 'hex'), md5(random()::text), 'completed',
    upper(left(md5(random()::text), 10)), at, at, 0, 1
FROM (SELECT i, now() - make_interval(secs => {4} * (1.0 - 1.0 * i / {1})) AS at
    FROM generate_series(1, {1}) AS i) AS numbers
"""


@define(eq=False)
class Store:
    """Where a journal is.

    Args:
        new_journal: Makes it, not opened.
        fill: Enters that many ended entries of a gateway.
        age: Makes an entry older by ten minutes, by its key.
    """

    new_journal: Callable[[], SQLiteJournal | PostgresJournal]
    fill: Callable[[int, str], None]
    age: Callable[[str], None]


def sqlite_store(folder: str) -> Store:
    path = Path(folder, "history.db")

    def execute(statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(statement, values)

    return Store(
        lambda: SQLiteJournal(path),
        lambda count, gateway: execute(
            SQLITE_FILL, count, gateway, time.time() - 60, ENDED_DAYS * DAY
        ),
        lambda key: execute(
            "UPDATE entries SET begun = begun - 600 WHERE idempotency_key = ?", key
        ),
    )


def postgres_store(server: Any) -> Store:
    def fill(count: int, gateway: str) -> None:
        server.execute(POSTGRES_FILL.format("", count, gateway, 0, ENDED_DAYS * DAY))
        server.execute("ANALYZE")

    def age(key: str) -> None:
        server.execute(
            "UPDATE payroc_journal SET begun = begun - interval '600 s' "
            f"WHERE idempotency_key = '{key}'"
        )

    return Store(lambda: PostgresJournal(server.dsn()), fill, age)


@contextmanager
def simulator() -> Iterator[Environment]:
    """A gateway in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        api_url, identity_url = process.stdout.readline().split()
        yield Environment(api_url=api_url, identity_url=identity_url)
    finally:
        process.stdin.close()
        process.wait()


def request(order: str) -> PaymentInstructionRequest:
    return PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(order_id=order, amount=4999, currency="USD"),
    )


@define
class Watch:
    """How late the event loop is, and the most memory, while it runs.

    ``own`` leaves out what other programs take of the processors: a stall is at most as long as the
    processor time that this process has used meanwhile, in all of its threads. The collector's
    part, which any program has that holds many objects, is apart.
    """

    stalls: list[float] = field(factory=list)
    own: list[float] = field(factory=list)
    collected: list[float] = field(factory=lambda: [0.0])
    most: int = 0
    _collecting: float = 0.0

    def collect(self, phase: str, info: dict[str, int]) -> None:
        """For ``gc.callbacks``."""
        if phase == "start":
            self._collecting = time.process_time()
        else:
            self.collected.append(time.process_time() - self._collecting)

    async def run(self) -> None:
        while True:
            before, used = time.perf_counter(), time.process_time()
            collections = len(self.collected)
            await asyncio.sleep(0.002)
            used = time.process_time() - used - sum(self.collected[collections:])
            late = time.perf_counter() - before - 0.002
            self.stalls.append(late)
            self.own.append(min(late, used))
            if len(self.stalls) % 10 == 0:
                self.most = max(self.most, memory())


async def sell(session: PayrocSession, seconds: float, busy: Callable[[], bool]) -> list[float]:
    """The durations of sales on all tills, for so long, and while it is busy."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    async def till(n: int) -> None:
        await asyncio.sleep(n * 0.02)  # customers do not come all at once
        while time.monotonic() < end or busy():
            started = time.perf_counter()
            await session.run_sale(f"till-{n}", request(uuid4().hex[:24]))
            taken.append(time.perf_counter() - started)
            await asyncio.sleep(0.2)

    await asyncio.gather(*[asyncio.create_task(till(n)) for n in range(TILLS)])
    return taken


async def leave(store: Store, environment: Environment) -> None:
    """What a process leaves that is killed: intents, of which the old ones have been paid."""
    orders = [uuid4().hex[:24] for _ in range(STALE)]
    async with PayrocSession("simulator-key", environment=environment) as session:
        await asyncio.gather(
            *[session.run_sale(f"stale-{n}", request(one)) for n, one in enumerate(orders)]
        )
    async with store.new_journal() as journal:
        for n in range(STALE + LEFT):
            key, stale = str(uuid4()), n < STALE
            await journal.begin(
                Intent(
                    idempotency_key=key,
                    kind="payment",
                    gateway=environment.api_url,
                    serial_number=f"stale-{n}" if stale else f"left-{n}",
                    body=encode(request(orders[n] if stale else uuid4().hex[:24])),
                ),
                window=DAY,
            )
            if stale:
                await asyncio.to_thread(store.age, key)


async def phase(
    store: Store,
    environment: Environment,
    seconds: float,
    recovery: Recovery | None,
    found: set[str],
) -> dict[str, Any]:
    """Sales for so long, beside a recovery if there is one."""
    gc.collect()
    before, watch = memory(), Watch()
    wanted = STALE + LEFT if recovery is not None else 0
    async with PayrocSession(
        "simulator-key", environment=environment, journal=store.new_journal(), recovery=recovery
    ) as session:
        await session.run_sale("first", request("first"))
        watching = asyncio.create_task(watch.run())
        gc.callbacks.append(watch.collect)
        started = time.monotonic()
        taken = sorted(await sell(session, seconds, lambda: len(found) < wanted))
        watching.cancel()
        gc.callbacks.remove(watch.collect)
    watch.stalls.sort()
    watch.own.sort()
    return {
        "seconds": time.monotonic() - started,
        "sales": len(taken),
        "sale_ms_p50": taken[len(taken) // 2] * 1000,
        "sale_ms_p99": taken[int(len(taken) * 0.99)] * 1000,
        "sale_ms_max": taken[-1] * 1000,
        "stall_ms_p999": watch.stalls[int(len(watch.stalls) * 0.999)] * 1000,
        "stall_ms_max": watch.stalls[-1] * 1000,
        "own_stall_ms_p999": watch.own[int(len(watch.own) * 0.999)] * 1000,
        "own_stall_ms_max": watch.own[-1] * 1000,
        "collector_ms_max": max(watch.collected) * 1000,
        "memory_mb": (watch.most - before) / 2**20,
    }


async def measure(store: Store, entries: int, seconds: float) -> list[dict[str, Any]]:
    """Without a recovery, then with one that has all of that to end and to purge."""
    with simulator() as environment:
        async with store.new_journal():
            pass
        await asyncio.to_thread(store.fill, entries, environment.api_url)
        alone = await phase(store, environment, seconds, None, set())
        await leave(store, environment)
        found: set[str] = set()
        recovery = Recovery(
            interval=1.0,
            retention=RETENTION,
            on_recovered=lambda one: (
                found.add(one.entry.idempotency_key)
                if one.state is EntryState.COMPLETED
                else print("left open:", one.action, one.error)
            ),
        )
        beside = await phase(store, environment, seconds, recovery, found)
        async with store.new_journal() as journal:
            started = time.monotonic()
            beside["purged_later"] = await journal.purge(RETENTION)
            beside["purge_s"] = time.monotonic() - started
    return [{"recovery": False, **alone}, {"recovery": True, "recovered": len(found), **beside}]


def main() -> None:
    """The command."""
    from tests.harness.postgres import MISSING, server_in

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="Ended entries.")
    parser.add_argument("--quick", action="store_true", help="Fewer entries, a shorter run.")
    options = parser.parse_args()
    entries, seconds = (20_000, 3.0) if options.quick else (options.entries, 20.0)
    results: list[dict[str, Any]] = []

    def run(name: str, store: Store) -> None:
        for row in asyncio.run(measure(store, entries, seconds)):
            results.append({"journal": name, "entries": entries, **row})
            print(orjson.dumps(results[-1]).decode())

    with tempfile.TemporaryDirectory() as folder:
        run("sqlite", sqlite_store(folder))
        if MISSING:
            print(MISSING)
        else:
            with server_in(Path(folder), durable=True) as server:
                run("postgres", postgres_store(server))
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    print(f"results: {OUTPUT}")


if __name__ == "__main__":
    main()
