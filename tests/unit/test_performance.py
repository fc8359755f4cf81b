"""What speed rests on and can be counted, and that the benchmarks run; nothing here is timed."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from benchmarks import scale
from benchmarks.heap import collecting
from benchmarks.rounds import Plan
from benchmarks.worker import Gateway, Worker
from payroc_async import PayrocSession
from payroc_async.simulator import Simulator
from payroc_async.wire.converter import encode
from tests.conftest import SERIAL, sale


async def test_a_sale_leaves_nothing_to_the_garbage_collector(
    gateway: Simulator, session: PayrocSession
) -> None:
    """No cycle holds an ended sale: its memory is free at once."""
    gateway.device(SERIAL).approves()
    await session.run_sale(SERIAL, sale())
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await session.run_sale(SERIAL, sale())
        gc.collect()
        left = {type(one).__name__ for one in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left & {
        "InstructionRunner",
        "CancellationGuard",
        "Payment",
        "Task",
        "coroutine",
        "Raw",
    }


def test_a_request_holds_no_more_than_its_bytes() -> None:
    """Not the buffer that they were written in."""
    request = sale()
    encode(request)  # makes what writes such requests, once
    tracemalloc.start()
    try:
        body = encode(request)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) < 200
    assert held < 2000


@pytest.mark.parametrize("name", ["payroc_async", "models", "transport", "aiohttp", "floor"])
def test_the_benchmarks_run(name: str) -> None:
    """Each contender gets its sales done, also with looks, refusals and times of their own."""
    with Gateway() as gateway, Worker(name, gateway) as worker:
        shapes = (
            {"together": 3},
            {"after": [0.0, 0.01]},
            {"together": 3, "looks": 2},
            {"together": 3, "refusals": 2},
        )
        for shape in shapes:
            assert worker.do("cost", shape, devices=3, sales=2, warm_up=3)["processor"] > 0
        held = worker.do("held", {"together": 0}, devices=3, count=True)
        assert held["peak"] > 0
        assert held["objects"] > 3
        paced = worker.do("pace", {"after": [0.0, 0.01]}, devices=3, every=0.05, seconds=0.1)
        assert len(paced["added"]) == 3 * 2
        assert min(paced["added"]) > 0
        assert paced["processor"] > 0


def test_the_collector_is_set_for_a_while_and_measured() -> None:
    """Python's own settings are back afterwards."""
    usual = gc.get_threshold()
    with collecting("frozen 50000 20 100") as pauses:
        assert gc.get_threshold() == (50_000, 20, 100)
        assert gc.get_freeze_count() > 0
        gc.collect()
        assert len(pauses) == 1
    assert (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()) == (usual, 0, True)
    with collecting("off") as pauses:
        assert not gc.isenabled()
    assert gc.isenabled()
    assert pauses == []


def test_the_collectors_settings_run_beside_the_bare_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a process of its own; the bare loop's row is what the others are compared with."""
    monkeypatch.setattr(scale, "SETTINGS", ("usual", "frozen 50000 20 100"))
    with Gateway() as gateway:
        rows = scale.collector(
            gateway, Plan(quick=True, devices=[1, 3], rounds=1, many=3, soak=1, sales=6)
        )
    assert [(row["name"], row["how"]) for row in rows] == [
        ("aiohttp", "usual"),
        ("payroc_async", "usual"),
        ("payroc_async", "frozen 50000 20 100"),
    ]
    assert rows[0]["ratio"] == 1.0
    assert all(row["processor"]["median"] > 0 for row in rows)
    assert rows[2]["collected"]["median"] <= rows[1]["collected"]["median"]


def test_a_percentile_is_the_median_of_the_rounds_own() -> None:
    """One bad round among three does not count."""
    rounds = [{"lags": [n * 1.0 for n in range(1000)]}, {"lags": [5.0] * 10}, {"lags": [900.0]}]
    assert scale.percentiles(rounds, "lags") == {
        "p50": 500.0,
        "p99": 900.0,
        "p99.9": 900.0,
        "p100": 900.0,
    }
