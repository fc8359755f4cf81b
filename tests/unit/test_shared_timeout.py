"""One timeout for any number of waits: each has all of its time, and P4 holds through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from unittest import mock

import pytest

from payroc_async.shared_timeout import SharedTimeout
from tests.conftest import UNIT

LONG = 10.0
"""Seconds; a limit that no test waits for."""


async def wait_with(limit: SharedTimeout, what: Awaitable[object]) -> object:
    with limit:
        return await what


async def test_a_wait_ends_at_the_limit() -> None:
    """What takes longer is a TimeoutError, and its task is as if it had never been canceled."""
    limit = SharedTimeout(UNIT)
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await wait_with(limit, asyncio.Event().wait())
        assert task.cancelling() == 0
    assert await wait_with(limit, asyncio.sleep(0, "in time")) == "in time"
    await asyncio.sleep(2 * UNIT)  # nothing strikes later


async def test_each_wait_has_all_of_its_time() -> None:
    """Waits that begin one after the other end so, though they share a timer."""
    loop = asyncio.get_running_loop()
    limit = SharedTimeout(5 * UNIT)
    ends: list[float] = []

    async def wait() -> None:
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await wait_with(limit, asyncio.Event().wait())
        ends.append(loop.time() - begun)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            await wait_with(limit, asyncio.sleep(0))  # one that is over in between
            group.create_task(wait())
            await asyncio.sleep(UNIT)
    resolution = 0.001
    assert len(ends) == 3
    assert all(taken > 5 * UNIT - resolution for taken in ends)


async def test_a_crowd_shares_one_timer() -> None:
    """However many wait at once."""
    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "call_at", wraps=loop.call_at) as made:
        limit = SharedTimeout(LONG)
        never = [asyncio.create_task(wait_with(limit, asyncio.Event().wait())) for _ in range(9)]
        await asyncio.sleep(0)
    assert made.call_count == 1
    for task in never:
        task.cancel()
    await asyncio.wait(never)


@pytest.mark.parametrize("first", ["the caller", "the limit"])
async def test_a_callers_cancellation_passes_the_limit(first: str) -> None:
    """P4: a canceled task raises CancelledError, even if the time runs out in the same moment."""
    limit = SharedTimeout(UNIT)
    gate = asyncio.Event()
    task = asyncio.create_task(wait_with(limit, gate.wait()))
    await asyncio.sleep(0)
    limit._waits[task] = (0.0, 0)  # it is over
    for end in (task.cancel, limit._look)[:: 1 if first == "the caller" else -1]:
        end()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_passes_the_limit() -> None:
    """What the awaited raises is raised, be it late."""
    limit = SharedTimeout(UNIT)

    async def fail_late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("late") from None

    with pytest.raises(ValueError, match="late"):
        await wait_with(limit, fail_late())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
