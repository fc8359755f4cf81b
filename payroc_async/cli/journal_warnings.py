"""Warnings about a journal that can't be written while a command runs."""

from __future__ import annotations

from collections.abc import Callable

from payroc_async import PayrocSession
from payroc_async.journal.writer import JournalWriter

__all__ = ["report_journal_failures"]


def report_journal_failures(session: PayrocSession, say: Callable[[str], object]) -> None:
    """Pass each warning to ``say``: the sale continues, but the journal misses a write."""
    if isinstance(session._writer, JournalWriter):
        session._writer.on_failure = say
