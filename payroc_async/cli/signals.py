"""Ctrl-C and SIGTERM: cancel the running task once, and give it the time to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["on_signal"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signal(
    first: Callable[[], object], again: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Call ``first`` in the loop on the first signal, and ``again`` on each further one."""
    loop = asyncio.get_running_loop()
    came = 0

    def arrived() -> None:
        nonlocal came
        came += 1
        (first if came == 1 else again)()

    try:
        for number in SIGNALS:
            loop.add_signal_handler(number, arrived)
    except NotImplementedError:
        # Windows: an ordinary handler, which runs between two turns of the loop.
        before = [
            (number, signal.signal(number, lambda *_: loop.call_soon_threadsafe(arrived)))
            for number in SIGNALS
        ]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
        return
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
