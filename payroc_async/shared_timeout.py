"""Timeouts and alarms for any number of waits, with one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

__all__ = ["SharedAlarm", "SharedTimeout"]


class SharedTimeout:
    """One limit for any number of waits, with one timer for all: ``with limit: await …``.

    As ``asyncio.timeout``, which makes a timer for each wait; here a crowd of them begins and ends
    at any time. A task waits with it for one thing at a time. All of them belong to one loop.

    Args:
        seconds: How long a wait may take.

    Raises:
        TimeoutError: It took longer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # The oldest first: they all have the same time.
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
        # More cancellations than there were and than this one: somebody else wants it canceled.
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
    """One delay for any number of alarms, with one timer for all of them.

    Time in which the process stood still (stopped, suspended, its loop blocked) does not count: the
    answers that came meanwhile wait to be read. Once in each delay, for a loop that always lags.

    Args:
        seconds: How long after it was set an alarm rings.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # The oldest first: they all have the same delay.
        self._alarms: dict[Callable[[], object], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = self._forgives_from = 0.0

    def set(self, ring: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        """Call ``ring`` once, after the seconds. Set again, it waits for them anew."""
        self._alarms.pop(ring, None)
        deadline = self._alarms[ring] = loop.time() + self.seconds
        if self._timer is None or self._loop is not loop:  # an earlier loop's would never ring
            self._loop = loop
            self._wait(deadline, loop)

    def stop(self, ring: Callable[[], object]) -> None:
        """Do not call it."""
        self._alarms.pop(ring, None)

    def _wait(self, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        self._due = min(deadline, loop.time() + self.seconds / 4)  # to notice a standstill
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
