"""Connects the examples to the gateway of the environment, or to a simulator."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from payroc_async import Order, PaymentInstructionRequest, PayrocSession
from payroc_async.simulator import Simulator

__all__ = ["TERMINAL", "new_sale", "sessions"]

TERMINAL = os.environ.get("PAYROC_TERMINAL", "1234001")
"""The processing terminal: the merchant's configuration at Payroc."""


@asynccontextmanager
async def sessions(
    script: Callable[[Simulator], object],
) -> AsyncIterator[Callable[..., PayrocSession]]:
    """Yield a function that builds a session, from ``PAYROC_API_KEY`` or with a simulator.

    The function takes the other keywords of ``PayrocSession``, such as ``journal``.

    Args:
        script: Scripts the simulator's devices; called only with a simulator. May be a coroutine
            function.
    """
    if os.environ.get("PAYROC_API_KEY"):
        yield PayrocSession.from_env
        return
    async with Simulator() as gateway:
        scripted = script(gateway)
        if inspect.isawaitable(scripted):
            await scripted
        print("PAYROC_API_KEY is not set: these sales run on a simulator, no money moves")
        yield partial(PayrocSession, gateway.api_key, environment=gateway.environment)


def new_sale(order_id: str, amount: int) -> PaymentInstructionRequest:
    """Return a sale of ``amount`` cents at the terminal in ``PAYROC_TERMINAL``."""
    return PaymentInstructionRequest(
        processing_terminal_id=TERMINAL,
        order=Order(order_id=order_id, amount=amount, currency="USD"),
    )
