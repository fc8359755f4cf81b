"""One timeout for any number of waits: each has all of its time, and P4 holds through it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from unittest import mock

import pytest

from payroc_async.shared_timeout import SharedAlarm, SharedTimeout
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


class Clock:
    """As much of a loop as an alarm needs; its time is the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *given: object) -> None:
        self.timers.append((when, partial(callback, *given)))

    def call_soon(self, callback: Callable[[], object]) -> None:
        callback()

    def pass_to(self, then: float, *, standing: bool = False) -> None:
        """Let the time pass; or stand still, and find that it has passed."""
        while True:
            due = sorted(when for when, _ in self.timers if when <= then)
            if not due:
                break
            self.now = then if standing else max(self.now, due[0])
            ready = [call for when, call in self.timers if when <= self.now]
            self.timers = [one for one in self.timers if one[0] > self.now]
            for call in ready:
                call()
        self.now = then


def alarms_of(seconds: float) -> tuple[SharedAlarm, Clock, Any, list[str]]:
    clock: Any = Clock()
    rung: list[str] = []
    return SharedAlarm(seconds), clock, clock, rung


def test_an_alarm_rings_once_after_its_seconds() -> None:
    """Set anew it waits anew, stopped it does not ring."""
    alarm, clock, loop, rung = alarms_of(60.0)
    first, second, third = (partial(rung.append, name) for name in ("1", "2", "3"))
    alarm.set(first, loop)
    alarm.set(second, loop)
    clock.pass_to(30.0)
    alarm.set(third, loop)
    alarm.set(first, loop)
    alarm.stop(second)
    clock.pass_to(89.0)
    assert rung == []
    clock.pass_to(90.0)
    assert sorted(rung) == ["1", "3"]
    clock.pass_to(900.0)
    assert len(rung) == 2


def test_time_in_which_the_process_stood_still_does_not_count() -> None:
    """What came meanwhile waits to be read: an alarm has the rest of its seconds for that."""
    alarm, clock, loop, rung = alarms_of(60.0)
    alarm.set(partial(rung.append, "late"), loop)
    clock.pass_to(20.0)
    clock.pass_to(300.0, standing=True)
    assert rung == []
    clock.pass_to(315.0)
    assert rung == []
    clock.pass_to(361.0)
    assert rung == ["late"]


def test_a_loop_that_always_lags_has_an_end() -> None:
    """One standstill is forgiven in each delay, and no more."""
    alarm, clock, loop, rung = alarms_of(60.0)
    alarm.set(partial(rung.append, "late"), loop)
    for then in range(50, 400, 50):
        clock.pass_to(float(then), standing=True)
    assert rung == ["late"]
