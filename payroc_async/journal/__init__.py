"""The journal: what was started and how it ended, on disk, so that no sale dies with its process.

``SQLiteJournal`` is for one machine with any number of processes, and needs nothing installed.
``PostgresJournal`` (extra ``postgres``) is for any number of machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .entries import Entry, EntryKind, EntryState, Intent, Journal

if TYPE_CHECKING:
    from .postgres import PostgresJournal
    from .sqlite import SQLiteJournal

__all__ = [
    "Entry",
    "EntryKind",
    "EntryState",
    "Intent",
    "Journal",
    "PostgresJournal",
    "SQLiteJournal",
    "journal_at",
]


def journal_at(place: str) -> SQLiteJournal | PostgresJournal:
    """The journal that a setting names, not yet opened.

    Args:
        place: A ``postgresql://`` URL, or the path of an SQLite file.

    Raises:
        ConfigurationError: It is empty, or psycopg is not installed.
    """
    if place.startswith(("postgresql://", "postgres://")):
        from .postgres import PostgresJournal

        return PostgresJournal(place)
    from .sqlite import SQLiteJournal

    return SQLiteJournal(place)


def __getattr__(name: str) -> Any:
    # Who has no journal loads neither engine.
    if name == "SQLiteJournal":
        from .sqlite import SQLiteJournal

        return SQLiteJournal
    if name == "PostgresJournal":
        from .postgres import PostgresJournal

        return PostgresJournal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
