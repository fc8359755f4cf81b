"""Waiting that outlasts cancellation, from whichever side and however often it comes.

P3 and P4 stand on this: each test looks at what a caller outside sees afterwards, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from unittest import mock

import anyio
import anyio.lowlevel
import pytest

from payroc_async.tasks import Patience, Steps, outlast, settle

from .conftest import UNIT

LONG = 10.0
"""Seconds; a grace that no test waits for."""


class Work:
    """A task that goes on until it is told to end, and a waiter that outlasts it."""

    def __init__(self, grace: float = LONG) -> None:
        self.gate = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name="work")
        self.grace = grace
        self.on_cancel_calls = 0
        self.was_cancelled = False

    async def _run(self) -> str:
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return "done"

    def on_cancel(self) -> None:
        self.on_cancel_calls += 1

    async def wait(self, until: asyncio.Future[Any] | None = None) -> None:
        await outlast(self.task, until=until, grace=self.grace, on_cancel=self.on_cancel)

    async def end(self) -> None:
        self.gate.set()
        await asyncio.wait((self.task,))


@pytest.fixture
async def work() -> AsyncIterator[Work]:
    work = Work()
    yield work
    await work.end()


def end_soon(work: Work) -> None:
    asyncio.get_running_loop().call_later(UNIT, work.gate.set)


async def steps(n: int = 3) -> None:
    """Let everything run that can."""
    for _ in range(n):
        await asyncio.sleep(0)


# outlast ----------


async def test_p4_the_wait_ends_with_the_task(work: Work) -> None:
    """Uncancelled, it returns when the task is done, and never calls on_cancel."""
    end_soon(work)
    await work.wait()
    assert work.task.result() == "done"
    assert work.on_cancel_calls == 0


async def test_the_wait_does_not_raise_the_tasks_error() -> None:
    """The task's own failure, or its cancellation, is not the waiter's."""

    async def fail() -> None:
        raise ValueError("its own")

    for task in (asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(LONG))):
        asyncio.get_running_loop().call_soon(task.cancel)
        await outlast(task, grace=LONG, on_cancel=pytest.fail)
        assert task.done()
        assert task.cancelled() or task.exception() is not None


async def test_the_wait_may_end_earlier_than_the_task(work: Work) -> None:
    """With `until` it returns when that is done, the task going on."""
    until = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(UNIT, until.set_result, None)
    await work.wait(until)
    assert not work.task.done()


@pytest.mark.parametrize("times", [1, 2, 3, 20])
async def test_p4_cancelled_many_times_it_waits_for_the_task(work: Work, times: int) -> None:
    """However often the waiter is cancelled, it ends with the task, cancelled; the task is not."""
    waiter = asyncio.create_task(work.wait())
    await steps()
    for _ in range(times):
        waiter.cancel()
        await steps()
        assert not waiter.done()
    assert work.on_cancel_calls == 1
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert work.task.result() == "done"
    assert waiter.cancelling() == times


async def test_p4_cancelled_twice_in_one_breath_it_waits_for_the_task(work: Work) -> None:
    """Two cancellations before the waiter runs at all again are outlasted too."""
    waiter = asyncio.create_task(work.wait())
    await steps()
    waiter.cancel()
    waiter.cancel()
    await steps()
    assert not waiter.done()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert work.on_cancel_calls == 1


async def test_p4_cancelled_while_waiting_for_until_it_waits_for_the_task(work: Work) -> None:
    """Once it is cancelled, `until` no longer counts: the task must have ended."""
    until = asyncio.get_running_loop().create_future()
    waiter = asyncio.create_task(work.wait(until))
    await steps()
    waiter.cancel()
    await steps()
    until.set_result(None)
    await steps()
    assert not waiter.done()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()


async def test_p4_cancelled_as_the_task_ends_it_is_still_cancelled(work: Work) -> None:
    """A cancellation that meets the task's end is not lost."""
    waiter = asyncio.create_task(work.wait())
    await steps()
    work.gate.set()
    waiter.cancel()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()


async def test_p4_a_waiter_cancelled_before_it_began(work: Work) -> None:
    """Cancelled before its first step, it never waits: nothing was begun."""
    waiter = asyncio.create_task(work.wait())
    waiter.cancel()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert not work.task.done()


@pytest.mark.parametrize("times", [1, 5])
async def test_p3_the_grace_bounds_the_wait(work: Work, times: int) -> None:
    """When the grace is over the CancelledError goes on, and the task goes on as well."""
    work.grace = 3 * UNIT
    loop = asyncio.get_running_loop()
    waiter = asyncio.create_task(work.wait())
    await steps()
    started = loop.time()
    for _ in range(times):
        waiter.cancel()
        await steps()
    await asyncio.wait((waiter,), timeout=LONG)
    assert waiter.cancelled()
    assert loop.time() - started >= work.grace - UNIT / 10
    assert not work.task.done()
    assert not work.was_cancelled


async def test_p3_more_cancellations_do_not_renew_the_grace(work: Work) -> None:
    """The grace counts from the first cancellation, however long they go on."""
    work.grace = 3 * UNIT
    loop = asyncio.get_running_loop()
    waiter = asyncio.create_task(work.wait())
    await steps()
    started = loop.time()
    while not waiter.done():
        waiter.cancel()
        await asyncio.sleep(UNIT / 4)
        assert loop.time() - started < LONG
    assert waiter.cancelled()


async def test_p4_what_on_cancel_does_may_end_the_task(work: Work) -> None:
    """on_cancel runs at once, in the waiter, so that nothing comes in between."""

    def end() -> None:
        assert asyncio.current_task() is waiter
        work.gate.set()

    waiter = asyncio.create_task(outlast(work.task, grace=LONG, on_cancel=end))
    await steps()
    waiter.cancel()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert work.task.result() == "done"


async def test_p4_asyncio_timeout_outside_works(work: Work) -> None:
    """asyncio.timeout turns its own cancellation into TimeoutError, and the task is free again."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(3 * UNIT, work.gate.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(UNIT):
            await work.wait()
    assert work.task.done()
    assert work.on_cancel_calls == 1
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_p4_wait_for_outside_works(work: Work) -> None:
    """asyncio.wait_for gives TimeoutError, after the task has ended."""
    asyncio.get_running_loop().call_later(3 * UNIT, work.gate.set)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(work.wait(), UNIT)
    assert work.task.result() == "done"


async def test_p4_a_cancelled_task_under_asyncio_timeout_is_cancelled(work: Work) -> None:
    """Cancelled from outside before the timeout passes, it is cancelled and no TimeoutError."""

    async def waiting() -> None:
        async with asyncio.timeout(2 * UNIT):
            await work.wait()

    waiter = asyncio.create_task(waiting())
    await steps()
    waiter.cancel()
    asyncio.get_running_loop().call_later(4 * UNIT, work.gate.set)
    await asyncio.wait((waiter,))
    assert waiter.cancelled()


async def test_p4_a_task_groups_sibling_fails(work: Work) -> None:
    """A TaskGroup raises the sibling's error alone, after the waiter has outlasted its task."""

    async def fail() -> None:
        await asyncio.sleep(UNIT)
        asyncio.get_running_loop().call_later(UNIT, work.gate.set)
        raise ValueError("the sibling")

    waiter = None

    async def both() -> None:
        nonlocal waiter
        async with asyncio.TaskGroup() as group:
            waiter = group.create_task(work.wait())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [str(error) for error in caught.value.exceptions] == ["the sibling"]
    assert waiter is not None
    assert waiter.cancelled()
    assert work.task.result() == "done"


async def test_p4_anyio_scopes_outside_work(work: Work) -> None:
    """The scope of anyio's move_on_after catches its own cancellation, after the task has ended."""
    asyncio.get_running_loop().call_later(3 * UNIT, work.gate.set)
    with anyio.move_on_after(UNIT) as scope:
        await work.wait()
        pytest.fail("the cancellation was swallowed")
    assert scope.cancelled_caught
    assert work.task.done()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await anyio.lowlevel.checkpoint()


async def test_p4_anyio_fail_after_outside_works(work: Work) -> None:
    """A fail_after of anyio's raises TimeoutError, after the task has ended."""
    asyncio.get_running_loop().call_later(3 * UNIT, work.gate.set)
    with pytest.raises(TimeoutError), anyio.fail_after(UNIT):
        await work.wait()
    assert work.task.done()


async def test_p3_the_grace_holds_under_an_anyio_scope(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a scope that stays cancelled, the wait is not a busy loop and ends with the grace."""
    waits = 0
    real = asyncio.wait

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal waits
        waits += 1
        return await real(*args, **kwargs)

    monkeypatch.setattr(asyncio, "wait", counted)
    work.grace = 4 * UNIT
    loop = asyncio.get_running_loop()
    started = loop.time()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await work.wait()
    assert waits <= 4
    assert scope.cancelled_caught
    assert loop.time() - started >= work.grace - UNIT / 10
    assert not work.task.done()


async def test_p4_an_anyio_task_groups_sibling_fails(work: Work) -> None:
    """An anyio task group raises the sibling's error alone, after the wait."""

    async def fail() -> None:
        await anyio.sleep(UNIT)
        asyncio.get_running_loop().call_later(UNIT, work.gate.set)
        raise ValueError("the sibling")

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(work.wait)
            group.start_soon(fail)

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [str(error) for error in caught.value.exceptions] == ["the sibling"]
    assert work.task.done()


@pytest.mark.parametrize("pause", [0, 1, 5])
@pytest.mark.parametrize("order", ["native anyio", "anyio native", "native anyio native"])
async def test_p4_a_native_cancellation_wins_over_an_anyio_scope(
    work: Work, order: str, pause: int
) -> None:
    """Cancelled natively and by a scope, in any order, the scope does not swallow it."""
    scope = anyio.CancelScope()

    async def waiting() -> None:
        with scope:
            await work.wait()
        pytest.fail("the native cancellation was swallowed")

    waiter = asyncio.create_task(waiting())
    await steps()
    for which in order.split():
        if which == "native":
            waiter.cancel()
        else:
            scope.cancel()
        await steps(pause)
    await steps()
    assert not waiter.done()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert waiter.cancelling() == order.split().count("native")
    assert work.on_cancel_calls == 1


async def test_p4_a_native_cancellation_during_the_grace_wins(work: Work) -> None:
    """The scope comes first and the native one while the grace runs: it is still cancelled."""
    work.grace = 4 * UNIT
    scope = anyio.CancelScope()

    async def waiting() -> None:
        with scope:
            await work.wait()
        pytest.fail("the native cancellation was swallowed")

    waiter = asyncio.create_task(waiting())
    await steps()
    scope.cancel()
    await asyncio.sleep(UNIT)
    waiter.cancel()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()


async def test_p4_asyncio_timeout_inside_an_anyio_scope(work: Work) -> None:
    """An inner asyncio.timeout still gives its TimeoutError within an uncancelled scope."""
    asyncio.get_running_loop().call_later(3 * UNIT, work.gate.set)
    with anyio.CancelScope() as scope:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(UNIT):
                await work.wait()
        await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught


async def test_p4_the_message_of_the_cancellation_goes_on(work: Work) -> None:
    """The CancelledError that goes on is the last that arrived, not one made up."""
    seen: list[tuple[Any, ...]] = []

    async def waiting() -> None:
        try:
            await work.wait()
        except asyncio.CancelledError as error:
            seen.append(error.args)
            raise

    waiter = asyncio.create_task(waiting())
    await steps()
    waiter.cancel("a message")
    await steps()
    waiter.cancel("another")
    await steps()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert seen == [("another",)]


# settle ----------


async def test_settle_waits_for_all_and_raises_none_of_their_errors(work: Work) -> None:
    """It returns when all are done, however they ended."""
    cancelled = asyncio.create_task(asyncio.sleep(LONG))
    asyncio.get_running_loop().call_soon(cancelled.cancel)
    end_soon(work)
    await settle((work.task, cancelled), LONG)
    assert work.task.result() == "done"
    assert cancelled.cancelled()
    await settle((), LONG)


async def test_settle_is_bounded(work: Work) -> None:
    """When the seconds are over it returns, and what is not done goes on."""
    await settle((work.task,), UNIT)
    assert not work.task.done()


@pytest.mark.parametrize("times", [1, 3])
async def test_p4_settle_outlasts_cancellation(work: Work, times: int) -> None:
    """A cancelled waiter waits as well, and then is cancelled; what it waits for is not."""
    waiter = asyncio.create_task(settle((work.task,), LONG))
    await steps()
    for _ in range(times):
        waiter.cancel()
        await steps()
    assert not waiter.done()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert work.task.result() == "done"


# Steps ----------


class Stepper:
    """A task that does its steps in `Steps`."""

    made: ClassVar[list[Stepper]] = []

    def __init__(self, body: Callable[[Steps], Awaitable[Any]]) -> None:
        self.strangers = 0
        self.steps = Steps(on_stranger=self._stranger)

        async def run() -> None:
            await body(self.steps)

        self.task = asyncio.create_task(run(), name="stepper")
        self.steps.belong_to(self.task)
        self.made.append(self)

    def _stranger(self) -> None:
        self.strangers += 1

    async def ended(self) -> None:
        await asyncio.wait((self.task,), timeout=LONG)
        assert self.task.done()


@pytest.fixture(autouse=True)
async def no_stepper_is_left() -> AsyncIterator[None]:
    """A task that insists would keep the loop from closing after a test that failed."""
    yield
    while Stepper.made:
        stepper = Stepper.made.pop()
        stepper.steps.abort()
        await stepper.ended()


async def interruptibly(steps_: Steps, step: Callable[[], Awaitable[object]]) -> None:
    with steps_.interruptible:
        await step()


class Gate:
    """A step that waits to be opened, and counts how often it was begun."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> str:
        self.begun += 1
        await self.event.wait()
        return "through"


async def test_steps_return_what_the_step_does() -> None:
    """Undisturbed, `insist` gives the step's value and both let its errors through."""

    async def fail() -> None:
        raise ValueError("its own")

    steps_ = Steps(on_stranger=pytest.fail)
    task = asyncio.current_task()
    assert task is not None
    steps_.belong_to(task)
    gate = Gate()
    gate.event.set()
    assert await steps_.insist(gate) == "through"
    await interruptibly(steps_, gate)
    assert gate.begun == 2
    with pytest.raises(ValueError, match="its own"):
        await steps_.insist(fail)
    with pytest.raises(ValueError, match="its own"):
        await interruptibly(steps_, fail)


@pytest.mark.parametrize("times", [1, 2, 10])
async def test_an_interruptible_step_is_broken_off_once(times: int) -> None:
    """`interrupt` ends the present step, however often it is called, and the task goes on."""
    first, second = Gate(), Gate()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await steps_.insist(second)

    stepper = Stepper(body)
    await steps()
    for _ in range(times):
        stepper.steps.interrupt()
    await steps(5)
    assert (first.begun, second.begun) == (1, 1)
    assert stepper.task.cancelling() == 0
    second.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None
    assert stepper.strangers == 0
    assert not stepper.steps.cancelled_by_stranger


async def test_a_step_that_is_insisted_on_is_not_interrupted() -> None:
    """`interrupt` does nothing to a step that must not be left half done."""
    gate = Gate()
    stepper = Stepper(lambda steps_: steps_.insist(gate))
    await steps()
    stepper.steps.interrupt()
    await steps(5)
    assert gate.begun == 1
    gate.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None


async def test_between_steps_there_is_nothing_to_interrupt() -> None:
    """`interrupt` after an interruptible step does not break off the next thing."""
    first, between = Gate(), asyncio.Event()
    first.event.set()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await between.wait()

    stepper = Stepper(body)
    await steps(5)
    stepper.steps.interrupt()
    await steps(5)
    assert not stepper.task.done()
    between.set()
    await stepper.ended()
    assert stepper.task.exception() is None


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_p3_a_strangers_cancellation_does_not_end_what_is_insisted_on(times: int) -> None:
    """Cancelled by somebody else, the step is done again, and the stranger is told of each time."""
    gate = Gate()
    stepper = Stepper(lambda steps_: steps_.insist(gate))
    await steps()
    for _ in range(times):
        stepper.task.cancel()
        await steps(5)
        assert not stepper.task.done()
    assert gate.begun == times + 1
    assert stepper.strangers == times
    assert stepper.steps.cancelled_by_stranger
    gate.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None


async def test_p3_a_strangers_cancellation_ends_an_interruptible_step_as_if_done() -> None:
    """The task goes on to its next step, and knows that it should end soon."""
    first, second = Gate(), Gate()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await steps_.insist(second)

    stepper = Stepper(body)
    await steps()
    stepper.task.cancel()
    await steps(5)
    assert stepper.steps.cancelled_by_stranger
    assert stepper.strangers == 1
    assert second.begun == 1
    second.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None


async def test_p3_interrupted_from_within_on_stranger() -> None:
    """on_stranger may ask for an interruption: the step has ended already, none is left over."""
    first, second = Gate(), Gate()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await interruptibly(steps_, second)

    stepper = Stepper(body)
    stepper.steps._on_stranger = stepper.steps.interrupt
    await steps()
    stepper.task.cancel()
    await steps(5)
    assert second.begun == 1
    assert not stepper.task.done()
    second.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None


@pytest.mark.parametrize("how", [Steps.insist, interruptibly])
async def test_abort_ends_the_task_now(how: Callable[..., Awaitable[object]]) -> None:
    """`abort` ends the present step and the task, whichever kind of step it is."""
    gate = Gate()
    stepper = Stepper(lambda steps_: how(steps_, gate))
    await steps()
    stepper.steps.abort()
    await stepper.ended()
    assert stepper.task.cancelled()
    assert stepper.strangers == 0


async def test_abort_wins_over_an_interruption() -> None:
    """Interrupted and aborted in one breath, the task ends."""
    first, second = Gate(), Gate()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await steps_.insist(second)

    stepper = Stepper(body)
    await steps()
    stepper.steps.interrupt()
    stepper.steps.abort()
    await stepper.ended()
    assert stepper.task.cancelled()
    assert second.begun == 0


async def test_an_interruption_as_the_step_ends_leaves_nothing_behind() -> None:
    """Interrupted in the moment that the step ends, the next step is not the one broken off."""
    first, second = Gate(), Gate()

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, first)
        await steps_.insist(second)

    stepper = Stepper(body)
    await steps()
    first.event.set()
    stepper.steps.interrupt()
    await steps(5)
    assert second.begun == 1
    assert not stepper.steps.cancelled_by_stranger
    second.event.set()
    await stepper.ended()
    assert stepper.task.exception() is None
    assert stepper.task.cancelling() == 0


async def test_an_interruption_of_a_step_that_can_not_be_stopped_is_kept_for_no_other() -> None:
    """A step that ends on its own in spite of the interruption does not leave it to the next."""
    second = Gate()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async def body(steps_: Steps) -> None:
        await interruptibly(steps_, stubborn)
        await steps_.insist(second)

    stepper = Stepper(body)
    await steps()
    stepper.steps.interrupt()
    await steps(5)
    stepper.task.cancel()
    await steps(5)
    assert stepper.steps.cancelled_by_stranger
    assert stepper.strangers == 1
    second.event.set()
    await stepper.ended()


# Patience ----------


async def wait_with(patience: Patience, what: Awaitable[object]) -> object:
    with patience:
        return await what


async def test_patience_ends_a_wait() -> None:
    """What takes longer is a TimeoutError, and its task is as if nobody had cancelled it."""
    patience = Patience(UNIT)
    task = asyncio.current_task()
    assert task is not None
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await wait_with(patience, asyncio.Event().wait())
        assert task.cancelling() == 0
    assert await wait_with(patience, asyncio.sleep(0, "in time")) == "in time"
    await asyncio.sleep(2 * UNIT)  # nothing strikes later


async def test_each_wait_has_all_of_its_time() -> None:
    """Waits that begin one after the other end so, though they share a timer."""
    loop = asyncio.get_running_loop()
    patience = Patience(5 * UNIT)
    ends: list[float] = []

    async def wait() -> None:
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await wait_with(patience, asyncio.Event().wait())
        ends.append(loop.time() - begun)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            await wait_with(patience, asyncio.sleep(0))  # one that is over in between
            group.create_task(wait())
            await asyncio.sleep(UNIT)
    resolution = 0.001
    assert len(ends) == 3
    assert all(taken > 5 * UNIT - resolution for taken in ends)


async def test_patience_makes_one_timer_for_a_crowd() -> None:
    """However many wait at once."""
    loop = asyncio.get_running_loop()
    with mock.patch.object(loop, "call_at", wraps=loop.call_at) as made:
        patience = Patience(LONG)
        never = [asyncio.create_task(wait_with(patience, asyncio.Event().wait())) for _ in range(9)]
        await asyncio.sleep(0)
    assert made.call_count == 1
    for task in never:
        task.cancel()
    await asyncio.wait(never)


@pytest.mark.parametrize("first", ["the caller", "the patience"])
async def test_a_callers_cancellation_comes_through_patience(first: str) -> None:
    """P4: who cancels the task gets a CancelledError, also where the time is over just then."""
    patience = Patience(UNIT)
    gate = asyncio.Event()
    task = asyncio.create_task(wait_with(patience, gate.wait()))
    await asyncio.sleep(0)
    patience._waits[task] = (0.0, 0)  # it is over
    for end in (task.cancel, patience._look)[:: 1 if first == "the caller" else -1]:
        end()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_an_error_comes_through_patience() -> None:
    """What the awaited raises is raised, be it late."""
    patience = Patience(UNIT)

    async def fail_late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("late") from None

    with pytest.raises(ValueError, match="late"):
        await wait_with(patience, fail_late())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
