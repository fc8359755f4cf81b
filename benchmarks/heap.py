"""A process's memory, and how its garbage is collected."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["collecting", "memory", "peak"]


def memory() -> int:
    """Bytes of memory in use now."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak()


def peak() -> int:
    """The most bytes of memory in use so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def collecting(how: str) -> Iterator[list[float]]:
    """Collect garbage like this, as a program decides once its session is open.

    Args:
        how: "on" (as Python does), "off", or words of which "frozen" leaves all that is there
            out of it, and three numbers are the thresholds: "frozen 50000 20 100".

    Yields:
        The processor's milliseconds of each collection, measured unless ``how`` is "on".
    """
    pauses: list[float] = []
    began = 0.0

    def seen(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.process_time()
        else:
            pauses.append((time.process_time() - began) * 1000)

    usual = gc.get_threshold()
    if numbers := [int(word) for word in how.split() if word.isdecimal()]:
        gc.set_threshold(*numbers)
    if "frozen" in how:
        gc.collect()
        gc.freeze()
    if how == "off":
        gc.disable()
    if how != "on":
        gc.callbacks.append(seen)
    try:
        yield pauses
    finally:
        if how != "on":
            gc.callbacks.remove(seen)
        gc.enable()
        gc.unfreeze()
        gc.set_threshold(*usual)
