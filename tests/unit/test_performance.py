"""What speed rests on and can be counted, and that the benchmarks run; nothing here is timed."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

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
            assert worker.do("cost", shape, devices=3, sales=2)["processor"] > 0
        assert worker.do("held", {"together": 0}, devices=3)["peak"] > 0
