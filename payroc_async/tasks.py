"""Waiting that outlasts cancellation, and steps that survive it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

__all__ = ["Patience", "Steps", "outlast", "settle"]

T = TypeVar("T")


async def outlast(
    task: asyncio.Future[Any],
    *,
    until: asyncio.Future[Any] | None = None,
    grace: float,
    on_cancel: Callable[[], object],
    on_left: Callable[[], object] | None = None,
) -> None:
    """Wait until ``task`` is done; a cancellation of the waiter does not reach it.

    The task is not awaited for its result: read that from it.

    Args:
        task: What to wait for.
        until: What to wait for instead, as long as the waiter is not cancelled.
        grace: Seconds to go on waiting after the waiter was cancelled.
        on_cancel: Called once, when the waiter is cancelled for the first time.
        on_left: Called once, when a waiter that was cancelled waits no longer.

    Raises:
        asyncio.CancelledError: The waiter was cancelled, and the task has ended or the grace is
            over.

    Cancellation:
        Any number of times, from any side: the wait ends with the task or with the grace.
    """
    awaited = until or task
    # As asyncio.wait does for any number of tasks, at half its price.
    waiter = awaited.get_loop().create_future()
    wake = partial(_wake, waiter)
    awaited.add_done_callback(wake)
    try:
        await waiter
        return
    except asyncio.CancelledError as error:
        cancelled = error
    finally:
        awaited.remove_done_callback(wake)
    on_cancel()
    try:
        await settle((task,), grace)
    finally:
        if on_left is not None:
            on_left()
    raise cancelled


def _wake(waiter: asyncio.Future[None], _: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def settle(tasks: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until all are done, or the seconds over; whoever cancels the waiter waits as well.

    Raises:
        asyncio.CancelledError: The waiter was cancelled meanwhile.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    cancelled: asyncio.CancelledError | None = None
    # The shield stops anyio's scopes, which cancel again at every step, but not a native
    # task.cancel(): that is what the loop is for. The last one caught goes on: inside the shield
    # only native ones arrive, and an anyio scope must not take a native one for its own.
    with anyio.CancelScope(shield=True):
        while (left := deadline - loop.time()) > 0:
            pending = [task for task in tasks if not task.done()]
            if not pending:
                break
            try:
                await asyncio.wait(pending, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


class Steps:
    """Does the steps of one task, and knows which of them a cancellation may break off.

    Args:
        on_stranger: Called when somebody else cancels the task, as ``asyncio.run`` does to all that
            are left. The task should then come to its end soon, and end as cancelled.
    """

    def __init__(self, on_stranger: Callable[[], object]) -> None:
        self._on_stranger: Callable[[], object] | None = on_stranger
        self._interruptible = False
        self._interrupting = False
        self._aborting = False
        self._strangers = 0

    @property
    def cancelled_by_stranger(self) -> bool:
        """Whether somebody else has cancelled the task."""
        return self._strangers > 0

    def belong_to(self, task: asyncio.Task[None]) -> None:
        """Say whose steps these are, before its first one."""
        self._task = task

    def ended(self) -> None:
        """Say that the task is done: nobody is called any more.

        Whoever owns the steps and is called by them would be garbage that only the collector finds,
        with all that it holds.
        """
        self._on_stranger = None

    def interrupt(self) -> None:
        """Break off the present step, if it may be."""
        if self._interruptible and not self._interrupting:
            self._interrupting = True
            self._task.cancel()

    def abort(self) -> None:
        """End the task now, whatever it leaves undone."""
        self._aborting = True
        self._task.cancel()

    @property
    def interruptible(self) -> Self:
        """Around what ``interrupt`` may break off; then it goes on behind it as if it were done."""
        return self

    def __enter__(self) -> None:
        self._interruptible = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self._interruptible = False
        goes_on = isinstance(error, asyncio.CancelledError) and self._goes_on()
        # A step that swallowed it, as a timeout may that struck together with it.
        self._settle_interruption()
        return goes_on

    async def insist(self, step: Callable[[], Awaitable[T]]) -> T:
        """Do what must not be left half done: whoever cancels the task, it is done again.

        The step must be one that can be repeated: a POST under its key, a GET, a DELETE.
        """
        while True:
            try:
                return await step()
            except asyncio.CancelledError:
                if not self._goes_on():
                    raise

    def _goes_on(self) -> bool:
        if self._aborting:
            return False
        self._settle_interruption()
        # Two cancellations at once arrive as one CancelledError: only the count tells.
        if self._task.cancelling() > self._strangers:
            self._strangers = self._task.cancelling()
            if self._on_stranger is not None:
                self._on_stranger()
        return True

    def _settle_interruption(self) -> None:
        if self._interrupting:
            self._interrupting = False
            self._task.uncancel()


class Patience:
    """One limit for any number of waits, with one timer for all: ``with patience: await …``.

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
        # More cancellations than there were and than this one: somebody else wants it cancelled.
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
