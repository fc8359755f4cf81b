"""Waiting that outlasts cancellation, and steps that survive it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

__all__ = ["Steps", "outlast"]

T = TypeVar("T")


async def outlast(
    task: asyncio.Future[Any],
    *,
    until: asyncio.Future[Any] | None = None,
    grace: float,
    on_cancel: Callable[[], object],
) -> None:
    """Wait until ``task`` is done; a cancellation of the waiter does not reach it.

    The task is not awaited for its result: read that from it.

    Args:
        task: What to wait for.
        until: What to wait for instead, as long as the waiter is not cancelled.
        grace: Seconds to go on waiting after the waiter was cancelled.
        on_cancel: Called once, when the waiter is cancelled for the first time.

    Raises:
        asyncio.CancelledError: The waiter was cancelled, and the task has ended or the grace is
            over.

    Cancellation:
        Any number of times, from any side: the wait ends with the task or with the grace.
    """
    try:
        await asyncio.wait((until or task,))
    except asyncio.CancelledError as error:
        cancelled = error
    else:
        return
    on_cancel()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    # The shield stops anyio's scopes, which cancel again at every step, but not a second native
    # task.cancel(): that is what the loop is for. The last one caught goes on: inside the shield
    # only native ones arrive, and an anyio scope must not take a native one for its own.
    with anyio.CancelScope(shield=True):
        while not task.done() and (left := deadline - loop.time()) > 0:
            try:
                await asyncio.wait((task,), timeout=left)
            except asyncio.CancelledError as error:
                cancelled = error
    raise cancelled


class Steps:
    """Does the steps of one task, and knows which of them a cancellation may break off.

    Args:
        on_stranger: Called when somebody else cancels the task, as ``asyncio.run`` does to all that
            are left. The task should then come to its end soon, and end as cancelled.
    """

    def __init__(self, on_stranger: Callable[[], object]) -> None:
        self._on_stranger = on_stranger
        self._interruptible = False
        self._interrupting = False
        self._aborting = False
        self.cancelled_by_stranger = False

    def belong_to(self, task: asyncio.Task[None]) -> None:
        """Say whose steps these are, before its first one."""
        self._task = task

    def interrupt(self) -> None:
        """Break off the present step, if it may be."""
        if self._interruptible and not self._interrupting:
            self._interrupting = True
            self._task.cancel()

    def abort(self) -> None:
        """End the task now, whatever it leaves undone."""
        self._aborting = True
        self._task.cancel()

    async def interruptibly(self, step: Callable[[], Awaitable[object]]) -> None:
        """Do what ``interrupt`` may break off; then it returns as if it were done."""
        self._interruptible = True
        try:
            await step()
        except asyncio.CancelledError:
            self._interruptible = False
            if not self._goes_on():
                raise
        finally:
            self._interruptible = False

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
        if self._interrupting:
            self._interrupting = False
            self._task.uncancel()
        else:
            self.cancelled_by_stranger = True
            self._on_stranger()
        return True
