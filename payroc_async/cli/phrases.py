"""The format of counts, times and durations in all commands."""

from __future__ import annotations

from datetime import datetime

__all__ = ["counted", "duration_in_words", "moment_in_words"]


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 sale``, ``2 sales``, ``1,000 sales``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def moment_in_words(moment: datetime | None) -> str | None:
    """Return a time to the second: ``2026-05-01 14:30:05 UTC``; None for None.

    A time without a time zone is written without one.
    """
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S %Z}".rstrip()


def duration_in_words(seconds: float) -> str:
    """Return a duration: ``250 ms``, or from one second on ``1.2 s``."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{seconds:.1f} s"
