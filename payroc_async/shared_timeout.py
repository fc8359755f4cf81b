"""Timeouts and alarms for many waits, with one shared timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["SharedAlarm", "SharedTimeout"]


class SharedTimeout:
    """A timeout shared by many waits, with one timer for all: ``with limit: await …``.

    Like ``asyncio.timeout``, which needs one timer per wait, but cheaper for many concurrent waits.
    A task may have only one such wait at a time. All waits belong to one loop.

    Args:
        seconds: The timeout of each wait.

    Raises:
        TimeoutError: The wait took longer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # Oldest first: all waits have the same timeout.
        self._waits: dict[asyncio.Task[Any], tuple[float, int]] = {}
        self._expired: dict[asyncio.Task[Any], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        deadline = loop.time() + self.seconds
        self._waits[task] = (deadline, task.cancelling())
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._look)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._waits.pop(task, None) is not None:
            return
        # There are more cancellations than this timeout's: the task was canceled externally, too.
        alone = task.uncancel() <= self._expired.pop(task)
        if alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look(self) -> None:
        self._timer = None
        while self._waits:
            task, (deadline, cancelling) = next(iter(self._waits.items()))
            loop = task.get_loop()
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._look)
                return
            del self._waits[task]
            self._expired[task] = cancelling
            task.cancel()


class SharedAlarm:
    """A delay shared by many alarms, with one timer for all.

    Time during which the process stood still (stopped, suspended, loop blocked) does not count:
    answers that arrived meanwhile are still unread. This is granted once per delay, so that a loop
    that always lags still gets its alarms.

    Args:
        seconds: The delay of each alarm.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # Oldest first: all alarms have the same delay.
        self._alarms: dict[Callable[[], object], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = self._forgives_from = 0.0

    def set(self, ring: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        """Call ``ring`` once, after the delay. Setting it again restarts the delay."""
        self._alarms.pop(ring, None)
        deadline = self._alarms[ring] = loop.time() + self.seconds
        # a timer of an earlier loop would never fire
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._wait(deadline, loop)

    def stop(self, ring: Callable[[], object]) -> None:
        """Cancel the alarm."""
        self._alarms.pop(ring, None)

    def _wait(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        self._due = min(deadline, loop.time() + self.seconds / 4)  # to detect a standstill
        self._timer = loop.call_at(self._due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        late = now - self._due
        if late > min(1.0, self.seconds / 4) and now >= self._forgives_from:
            self._forgives_from = now + self.seconds
            self._alarms = {ring: deadline + late for ring, deadline in self._alarms.items()}
        while self._alarms:
            ring, deadline = next(iter(self._alarms.items()))
            if deadline > loop.time():
                self._wait(deadline, loop)
                return
            del self._alarms[ring]
            loop.call_soon(ring)
