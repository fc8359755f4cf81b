"""Waits that survive a cancellation, and interruptions of a task other than cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeVar

import anyio

__all__ = ["CancellationGuard", "wait_all", "wait_through_cancellation"]

T = TypeVar("T")


async def wait_through_cancellation(
    awaited: asyncio.Future[Any],
    *,
    until: asyncio.Future[Any] | None = None,
    grace: float,
    on_cancel: Callable[[], object],
    on_left: Callable[[], object] | None = None,
) -> None:
    """Wait until ``awaited`` is done, and shield it from a cancellation of the waiter.

    The result is not read: read it from the future.

    Args:
        awaited: The future to wait for.
        until: The future to wait for instead while the waiter is not canceled.
        grace: Seconds to keep waiting after the waiter was canceled.
        on_cancel: Called once, at the waiter's first cancellation.
        on_left: Called once, when a canceled waiter stops waiting.

    Raises:
        asyncio.CancelledError: The waiter was canceled, and ``awaited`` is done or the grace is
            over.

    Cancellation:
        Any number of cancellations from any source: the wait ends with ``awaited`` or the grace.
    """
    first = until or awaited
    # Does the same as asyncio.wait for one future, at half the cost.
    waiter = first.get_loop().create_future()
    wake = partial(_wake, waiter)
    first.add_done_callback(wake)
    try:
        await waiter
        return
    except asyncio.CancelledError as error:
        cancelled = error
    finally:
        first.remove_done_callback(wake)
    on_cancel()
    try:
        await wait_all((awaited,), grace)
    finally:
        if on_left is not None:
            on_left()
    raise cancelled


def _wake(waiter: asyncio.Future[None], _: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def wait_all(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until all are done or the time is over. Re-raise a cancellation after the wait.

    Raises:
        asyncio.CancelledError: The waiter was canceled meanwhile.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    cancelled: asyncio.CancelledError | None = None
    # The shield stops anyio's scopes, which cancel again at every step, but not a native
    # task.cancel(), which the loop catches. The last error caught is re-raised: inside the shield
    # only native cancellations arrive, and an anyio scope must not mistake one for its own.
    with anyio.CancelScope(shield=True):
        while (left := deadline - loop.time()) > 0:
            pending = [future for future in futures if not future.done()]
            if not pending:
                break
            try:
                await asyncio.wait(pending, timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


def _ignore() -> None:
    pass


class CancellationGuard:
    """Interrupts one task, and distinguishes its interruptions from external cancellations.

    Args:
        task: The task. It calls ``settle`` after every await that may be interrupted.
        on_external: Called on an external cancellation, such as that by ``asyncio.run`` of all
            remaining tasks. The task should then end soon, as canceled.
    """

    def __init__(self, task: asyncio.Task[None], on_external: Callable[[], object]) -> None:
        self._task = task
        self._on_external = on_external
        self._interrupting = False
        self._killed = False
        self._external = 0

    @property
    def canceled_externally(self) -> bool:
        """Whether the task was canceled externally."""
        return self._external > 0

    def interrupt(self) -> None:
        """Interrupt the task's present await."""
        if not self._interrupting:
            self._interrupting = True
            self._task.cancel()

    def kill(self) -> None:
        """End the task at once, without finishing its work."""
        self._killed = True
        self._task.cancel()

    def release(self) -> None:
        """Drop references after the task has ended, to avoid reference cycles."""
        self._on_external = _ignore

    def settle(self) -> bool:
        """Process a cancellation, or an interruption that was not delivered.

        Returns:
            Whether the task continues; False if it was killed.
        """
        if self._killed:
            return False
        if self._interrupting:
            self._interrupting = False
            self._task.uncancel()
        # Two simultaneous cancellations arrive as one CancelledError: only the count shows both.
        if self._task.cancelling() > self._external:
            self._external = self._task.cancelling()
            self._on_external()
        return True

    async def run_to_completion(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run an idempotent step to completion, repeating it if the task is canceled."""
        while True:
            try:
                return await step()
            except asyncio.CancelledError:
                if not self.settle():
                    raise
