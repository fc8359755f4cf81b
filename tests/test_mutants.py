"""What mutation testing found that no other test would have noticed if it broke."""

from __future__ import annotations

import asyncio

from payroc_async.tasks import Steps

from .conftest import UNIT

LONG = 10.0
"""Seconds; a wait that no test waits for."""


async def steps(n: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(n):
        await asyncio.sleep(0)


async def test_p4_a_second_interruption_is_heard_after_a_step_that_swallowed_the_first() -> None:
    """A step that ends on its own in spite of an interruption leaves the next one interruptible."""
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

    async def body() -> None:
        await steps_.interruptibly(stubborn)
        await steps_.interruptibly(obedient)

    steps_ = Steps(on_stranger=lambda: None)
    task = asyncio.create_task(body(), name="stepper")
    steps_.belong_to(task)
    await steps()
    steps_.interrupt()
    await steps()
    assert begun == 1
    assert task.cancelling() == 0
    steps_.interrupt()
    await asyncio.wait((task,), timeout=50 * UNIT)
    ended = task.done()
    steps_.abort()
    await asyncio.wait((task,))
    assert ended
    assert not task.cancelled()
