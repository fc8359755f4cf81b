"""Cancels a sale at any step of the event loop, and checks what P3, P4 and P5 say about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

from attrs import define, field

from payroc_async import (
    Canceled,
    Completed,
    Event,
    Failed,
    InstructionCanceledError,
    InstructionFailedError,
    Payment,
    ResultReceived,
    Submitted,
)
from payroc_async.simulator import Simulator
from payroc_async.simulator.faults import Exchange, FaultAction
from payroc_async.simulator.replies import Answer
from tests.conftest import UNIT

T = TypeVar("T")

TICK = 0.001
"""Seconds without any step after which the loop counts as idle, which is then a step too."""

BEFORE = "before the first step"
TOKEN = "waiting for the token"
CONNECT = "connecting"
SUBMIT = "submit in flight"
BETWEEN = "between two requests"
POLL = "held poll"
DELETE = "cancelling"
LINK = "following the link"
ENDED = "the instruction has ended"


def phase(gateway: Simulator, events: list[Event], *, has_token: bool) -> str:
    """Where a sale stands, from what the gateway has seen and the caller was informed.

    The gateway's records must begin with the sale; ``has_token`` is about that moment.
    """
    told = {type(event) for event in events}
    open_kinds = {one.kind for one in gateway.open_requests}
    seen = {one.kind for one in gateway.requests}
    if told & {ResultReceived, Failed, Canceled}:
        return ENDED
    if Completed in told:
        return LINK
    if "cancel" in seen:
        return DELETE
    if Submitted in told:
        return POLL if "status" in open_kinds else BETWEEN
    if "submit" in seen:
        return SUBMIT
    fetched = has_token or ("authorize" in seen and "authorize" not in open_kinds)
    return CONNECT if fetched else TOKEN


async def until(condition: Callable[[], object], patience: float = 5.0) -> None:
    """Wait for a condition in small steps.

    Raises:
        AssertionError: It has not come true in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not condition():
        assert loop.time() < deadline, "the condition has not come true"
        await asyncio.sleep(TICK)


def gate(opens: asyncio.Event) -> FaultAction:
    """A fault: the request takes effect when the gate opens. Exact, where a delay is not."""

    async def run(exchange: Exchange) -> Answer:
        await opens.wait()
        return await exchange.proceed()

    return FaultAction("gate", run)


@define
class Script:
    """Calls back after chosen steps of the loop; a step is one callback that the loop runs.

    The steps of both sides count, for the gateway runs in the same loop. So does a moment in which
    the loop has nothing to do, for then no step will come.
    """

    actions: dict[int, Callable[[], None]]
    on_idle: Callable[[], object] = lambda: None
    """Called in each such moment, after its step."""
    count: int = 0
    _idle: bool = False
    _ticking: bool = False
    _timer: asyncio.TimerHandle | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count from here on; an action for step 0 runs at once."""
        run_handle = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            run_handle(handle)
            if self._ticking:
                self._ticking = False
            else:
                self._idle = False
                self._step()

        self._act()
        with mock.patch.object(asyncio.Handle, "_run", run):
            self._tick()
            self._ticking = False
            try:
                yield
            finally:
                assert self._timer is not None
                self._timer.cancel()
                # The callback in which this runs is still to be counted.
                self.actions.clear()

    def _tick(self) -> None:
        self._ticking = True
        if self._idle:
            self._step()
            self.on_idle()
        self._idle = True
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _step(self) -> None:
        self.count += 1
        self._act()

    def _act(self) -> None:
        action = self.actions.pop(self.count, None)
        if action is not None:
            action()


class Heard(logging.Handler):
    """Keeps what the package logs at WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    def at(self, level: int) -> list[str]:
        """The texts logged at a level."""
        return [record.getMessage() for record in self.records if record.levelno == level]


@contextmanager
def listening() -> Iterator[Heard]:
    """What the package logs meanwhile, of WARNING and above."""
    heard = Heard()
    logger = logging.getLogger("payroc_async")
    logger.addHandler(heard)
    try:
        yield heard
    finally:
        logger.removeHandler(heard)


def is_own(task: asyncio.Task[Any]) -> bool:
    """Whether a task belongs to the session as such, or to the gateway's server."""
    if task.get_name() == "payroc token":
        return True
    name = getattr(task.get_coro(), "__qualname__", "")
    return name.split(".")[0] in ("RequestHandler", "BaseRunner", "Simulator")


def tasks_left(before: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """The tasks that were not there before, the session's own and the server's aside."""
    return {task for task in asyncio.all_tasks() - before if not is_own(task)}


@define
class Ending:
    """How a canceled call ended."""

    task: asyncio.Task[Any]
    events: list[Event]
    phases: list[str] = field(factory=list)
    """Where the sale stood at each cancellation that the task took."""
    begun: bool = False
    """Whether the call was made at all: a task may be canceled before its first step."""
    told_in_time: bool = False
    """Whether ``ResultReceived`` had been reported when the caller went on."""
    statuses: list[str] = field(factory=list)
    """The gateway's instructions when the caller went on."""


async def cancel_at(
    steps: tuple[int, ...],
    call: Callable[[Callable[[Event], None]], Awaitable[object]],
    gateway: Simulator,
    events: list[Event] | None = None,
    has_token: bool = True,
    also: Callable[[], object] = lambda: None,
    on_idle: Callable[[], object] = lambda: None,
) -> Ending:
    """Make a call in a task of its own, and cancel it after each of these steps of the loop.

    Args:
        steps: When to cancel, counted from the task's creation; once for each entry.
        call: Makes the call, with what to give as ``on_event``.
        gateway: The gateway, its records begun with the sale.
        events: Where the events go, of a sale that was started before.
        has_token: Whether the session had a token when the records began.
        also: What else to do at each cancellation.
        on_idle: What to do when the loop has nothing to do.
    """
    told: list[Event] = [] if events is None else events

    async def caller() -> object:
        ending.begun = True
        try:
            return await call(told.append)
        finally:
            # Synchronously, so that nothing can be fixed between the end and this look at it.
            ending.told_in_time = any(isinstance(event, ResultReceived) for event in told)
            ending.statuses = [one.status for one in gateway.instructions.values()]

    def cancel() -> None:
        where = phase(gateway, told, has_token=has_token) if ending.begun else BEFORE
        if ending.task.cancel():
            ending.phases.append(where)
        also()

    actions: dict[int, Callable[[], None]] = {}
    for step in steps:
        earlier = actions.get(step)
        actions[step] = cancel if earlier is None else _both(earlier, cancel)
    script = Script(actions, on_idle)
    ending = Ending(asyncio.create_task(caller()), told)
    with script.running():
        await asyncio.wait((ending.task,))
    return ending


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def act() -> None:
        first()
        second()

    return act


def check_ending(ending: Ending, gateway: Simulator, heard: Heard) -> None:
    """P3, P4, P5 and P1 at the moment in which the caller went on."""
    task = ending.task
    # P4: a cancellation that was taken is never swallowed, nor turned into anything else.
    assert task.cancelled() == (bool(ending.phases))
    # P1.
    assert len(gateway.instructions) <= 1
    # P3, without a moment's delay.
    assert "inProgress" not in ending.statuses
    # P5.
    payments = list(gateway.payments)
    if payments:
        settled = [event for event in ending.events if isinstance(event, ResultReceived)]
        assert [getattr(event.resource, "payment_id", None) for event in settled] == payments
        assert ending.told_in_time
        if task.cancelled():
            (warning,) = heard.at(logging.WARNING)
            assert payments[0] in warning
    if not task.cancelled() and task.exception() is None and isinstance(task.result(), Payment):
        assert task.result().payment_id in payments
    if not payments or not task.cancelled():
        assert heard.at(logging.WARNING) == []
    assert heard.at(logging.ERROR) == []
    if not task.cancelled() and task.exception() is not None:
        assert isinstance(task.exception(), InstructionFailedError | InstructionCanceledError)


async def settle(gateway: Simulator, before: set[asyncio.Task[Any]]) -> None:
    """Let the server notice closed connections; nothing may be left then."""
    for _ in range(20):
        if not gateway.open_requests and not tasks_left(before):
            break
        await asyncio.sleep(0)
    await until(lambda: not gateway.open_requests and not tasks_left(before), 10 * UNIT)
    assert gateway.in_progress == []
    assert gateway.violations == []


async def sweep(
    run: Callable[[tuple[int, ...]], Awaitable[list[str]]],
    distance: int | None = None,
    *,
    enough: Callable[[list[str]], bool] = lambda phases: False,
) -> list[list[str]]:
    """Run a call and cancel it, for every step until it ends by itself.

    Args:
        run: Makes the call, cancels it after the steps it is given, checks how it ended, and says
            where the sale stood at each cancellation that the call took.
        distance: Cancel a second time so many steps after the first; None for once.
        enough: Says of the phases so far, of the first cancellations, that later steps show
            nothing new; for calls that never end.

    Returns:
        Where the sale stood, of each run.
    """
    runs: list[list[str]] = []
    while True:
        first = len(runs)
        phases = await run((first,) if distance is None else (first, first + distance))
        if not phases:
            return runs
        runs.append(phases)
        if enough([phases[0] for phases in runs]):
            return runs
