"""Waits that outlast cancellation, and one task's interruptions distinguished from cancellations.

P3 and P4 stand on this: each test looks at what a caller outside sees afterwards, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from payroc_async.cancellation import CancellationGuard, wait_all, wait_through_cancellation
from tests.conftest import UNIT

LONG = 10.0
"""Seconds; a grace that no test waits for."""


class Work:
    """A task that goes on until it is asked to end, and a waiter that outlasts it."""

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
        await wait_through_cancellation(
            self.task, until=until, grace=self.grace, on_cancel=self.on_cancel
        )

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


# wait_through_cancellation ----------


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
        await wait_through_cancellation(task, grace=LONG, on_cancel=pytest.fail)
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
    """However often the waiter is canceled, it ends with the task, canceled; the task is not."""
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
    """Once it is canceled, `until` no longer counts: the task must have ended."""
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

    waiter = asyncio.create_task(wait_through_cancellation(work.task, grace=LONG, on_cancel=end))
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
    """Cancelled from outside before the timeout passes, it is canceled and no TimeoutError."""

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
    """In a scope that stays canceled, the wait is not a busy loop and ends with the grace."""
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
    """The scope comes first and the native one while the grace runs: it is still canceled."""
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


# wait_all ----------


async def test_wait_all_waits_for_all_and_raises_none_of_their_errors(work: Work) -> None:
    """It returns when all are done, however they ended."""
    cancelled = asyncio.create_task(asyncio.sleep(LONG))
    asyncio.get_running_loop().call_soon(cancelled.cancel)
    end_soon(work)
    await wait_all((work.task, cancelled), LONG)
    assert work.task.result() == "done"
    assert cancelled.cancelled()
    await wait_all((), LONG)


async def test_wait_all_is_bounded(work: Work) -> None:
    """When the seconds are over it returns, and what is not done goes on."""
    await wait_all((work.task,), UNIT)
    assert not work.task.done()


@pytest.mark.parametrize("times", [1, 3])
async def test_p4_wait_all_outlasts_cancellation(work: Work, times: int) -> None:
    """A canceled waiter waits as well, and then is canceled; what it waits for is not."""
    waiter = asyncio.create_task(wait_all((work.task,), LONG))
    await steps()
    for _ in range(times):
        waiter.cancel()
        await steps()
    assert not waiter.done()
    work.gate.set()
    await asyncio.wait((waiter,))
    assert waiter.cancelled()
    assert work.task.result() == "done"


# CancellationGuard ----------


class Guarded:
    """A task under a `CancellationGuard`. All of them are ended after the test."""

    made: ClassVar[list[Guarded]] = []

    def __init__(self, body: Callable[[CancellationGuard], Awaitable[Any]]) -> None:
        self.external = 0

        async def run() -> None:
            await body(self.guard)

        self.task = asyncio.create_task(run(), name="guarded")
        self.guard = CancellationGuard(self.task, self._on_external)
        self.made.append(self)

    def _on_external(self) -> None:
        self.external += 1

    async def ended(self) -> None:
        await asyncio.wait((self.task,), timeout=LONG)
        assert self.task.done()


@pytest.fixture(autouse=True)
async def no_guarded_task_is_left() -> AsyncIterator[None]:
    """A task that repeats its step would keep the loop from closing after a failed test."""
    yield
    while Guarded.made:
        guarded = Guarded.made.pop()
        guarded.guard.kill()
        await guarded.ended()


async def interruptibly(guard: CancellationGuard, step: Callable[[], Awaitable[object]]) -> None:
    """Await a step that may be interrupted, in the way of the class docstring: settle after it."""
    try:
        await step()
    except asyncio.CancelledError:
        if not guard.settle():
            raise
    finally:
        guard.settle()


class Gate:
    """A step that waits to be opened, and counts how often it was begun."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.begun = 0

    async def __call__(self) -> str:
        self.begun += 1
        await self.event.wait()
        return "through"


async def test_a_guarded_step_returns_its_value_and_raises_its_error() -> None:
    """Undisturbed, `run_to_completion` returns the step's value; its errors are raised."""

    async def fail() -> None:
        raise ValueError("its own")

    task = asyncio.current_task()
    assert task is not None
    guard = CancellationGuard(task, pytest.fail)
    gate = Gate()
    gate.event.set()
    assert await guard.run_to_completion(gate) == "through"
    await interruptibly(guard, gate)
    assert gate.begun == 2
    with pytest.raises(ValueError, match="its own"):
        await guard.run_to_completion(fail)
    with pytest.raises(ValueError, match="its own"):
        await interruptibly(guard, fail)


@pytest.mark.parametrize("times", [1, 2, 10])
async def test_an_interruptible_step_is_interrupted_once(times: int) -> None:
    """`interrupt` ends the present step, however often it is called, and the task goes on."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    for _ in range(times):
        guarded.guard.interrupt()
    await steps(5)
    assert (first.begun, second.begun) == (1, 1)
    assert guarded.task.cancelling() == 0
    second.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None
    assert guarded.external == 0
    assert not guarded.guard.canceled_externally


async def test_a_step_run_to_completion_is_repeated_after_an_interruption() -> None:
    """An interruption that strikes a step which must be completed is no external cancellation."""
    gate = Gate()
    results: list[str] = []

    async def body(guard: CancellationGuard) -> None:
        results.append(await guard.run_to_completion(gate))

    guarded = Guarded(body)
    await steps()
    guarded.guard.interrupt()
    await steps(5)
    assert gate.begun == 2
    assert guarded.task.cancelling() == 0
    gate.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None
    assert results == ["through"]
    assert not guarded.guard.canceled_externally


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_p3_an_external_cancellation_does_not_end_a_step_run_to_completion(
    times: int,
) -> None:
    """Canceled from outside, the step is repeated, and `on_external` is called each time."""
    gate = Gate()
    guarded = Guarded(lambda guard: guard.run_to_completion(gate))
    await steps()
    for _ in range(times):
        guarded.task.cancel()
        await steps(5)
        assert not guarded.task.done()
    assert gate.begun == times + 1
    assert guarded.external == times
    assert guarded.guard.canceled_externally
    gate.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None


async def test_p3_an_external_cancellation_ends_an_interruptible_step_as_if_done() -> None:
    """The task goes on to its next step, and knows that it should end soon."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    guarded.task.cancel()
    await steps(5)
    assert guarded.guard.canceled_externally
    assert guarded.external == 1
    assert second.begun == 1
    second.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None


@pytest.mark.parametrize("order", ["interrupt cancel", "cancel interrupt"])
async def test_p3_an_interruption_does_not_hide_an_external_cancellation(order: str) -> None:
    """Both before the task runs arrive as one CancelledError: the cancellation is still counted."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    strike: dict[str, Callable[[], object]] = {
        "interrupt": guarded.guard.interrupt,
        "cancel": guarded.task.cancel,
    }
    for which in order.split():
        strike[which]()
    await steps(5)
    assert guarded.external == 1
    assert guarded.guard.canceled_externally
    assert guarded.task.cancelling() == 1
    assert second.begun == 1
    second.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None


async def test_p3_interrupted_from_within_on_external() -> None:
    """`on_external` may interrupt: a step run to completion is repeated, and nothing is left."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)

    def interrupt() -> None:
        guarded.guard.interrupt()

    guarded.guard = CancellationGuard(guarded.task, interrupt)
    await steps()
    guarded.task.cancel()
    await steps(5)
    assert not guarded.task.done()
    second.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None
    assert guarded.task.cancelling() == 1
    assert guarded.guard.canceled_externally


@pytest.mark.parametrize("how", [CancellationGuard.run_to_completion, interruptibly])
async def test_kill_ends_the_task_now(how: Callable[..., Awaitable[object]]) -> None:
    """`kill` ends the present step and the task, whichever kind of step it is."""
    gate = Gate()
    guarded = Guarded(lambda guard: how(guard, gate))
    await steps()
    guarded.guard.kill()
    await guarded.ended()
    assert guarded.task.cancelled()
    assert guarded.external == 0


async def test_kill_wins_over_an_interruption() -> None:
    """Interrupted and killed before it runs again, the task ends."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    guarded.guard.interrupt()
    guarded.guard.kill()
    await guarded.ended()
    assert guarded.task.cancelled()
    assert second.begun == 0


async def test_an_interruption_as_the_step_ends_leaves_nothing_behind() -> None:
    """Interrupted in the moment that the step ends, the next step is not interrupted."""
    first, second = Gate(), Gate()

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, first)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    first.event.set()
    guarded.guard.interrupt()
    await steps(5)
    assert second.begun == 1
    assert not guarded.guard.canceled_externally
    second.event.set()
    await guarded.ended()
    assert guarded.task.exception() is None
    assert guarded.task.cancelling() == 0


async def test_an_interruption_that_a_step_swallowed_is_not_kept_for_the_next() -> None:
    """A step that ends in spite of the interruption does not leave it to the next step."""
    second = Gate()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async def body(guard: CancellationGuard) -> None:
        await interruptibly(guard, stubborn)
        await guard.run_to_completion(second)

    guarded = Guarded(body)
    await steps()
    guarded.guard.interrupt()
    await steps(5)
    guarded.task.cancel()
    await steps(5)
    assert guarded.guard.canceled_externally
    assert guarded.external == 1
    second.event.set()
    await guarded.ended()


async def test_a_second_interruption_arrives_after_a_step_that_swallowed_the_first() -> None:
    """A step that ends in spite of an interruption leaves the next step interruptible."""
    begun = 0

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async def obedient() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(LONG)

    async def body(guard: CancellationGuard) -> None:
        for step in (stubborn, obedient):
            await interruptibly(guard, step)

    guarded = Guarded(body)
    await steps()
    guarded.guard.interrupt()
    await steps(5)
    assert begun == 1
    guarded.guard.interrupt()
    await guarded.ended()
    assert not guarded.task.cancelled()
    assert begun == 1
