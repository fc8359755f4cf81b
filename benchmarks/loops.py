"""The event loop to run on, uvloop's where it is asked for and there."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["has", "new_loop", "run"]

T = TypeVar("T")


def has(package: str) -> bool:
    """Whether it is installed; all of the extra ``bench`` may be missing."""
    return importlib.util.find_spec(package) is not None


def new_loop(fast: bool) -> asyncio.AbstractEventLoop:
    """A loop of uvloop's, or of asyncio's."""
    if fast and has("uvloop"):
        loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
        return loop
    return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, T], *, fast: bool) -> T:
    """What ``main`` returns, run on such a loop."""
    with asyncio.Runner(loop_factory=lambda: new_loop(fast)) as runner:
        return runner.run(main)
