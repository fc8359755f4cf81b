"""The journal: what was started and how it ended, on disk, so that no sale dies with its process.

``SQLiteJournal`` is for one machine with any number of processes, and needs nothing installed.
``PostgresJournal`` (extra ``postgres``) is for any number of machines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payroc_async.errors import ConfigurationError
from payroc_async.secret import refusing_unseen

from .entries import Entry, EntryKind, EntryState, Intent, Journal, Query
from .location import is_path, refused_location

if TYPE_CHECKING:
    from payroc_async.journal.postgres.postgres_journal import PostgresJournal
    from payroc_async.journal.sqlite.sqlite_journal import SQLiteJournal

__all__ = [
    "Entry",
    "EntryKind",
    "EntryState",
    "Intent",
    "Journal",
    "PostgresJournal",
    "Query",
    "SQLiteJournal",
    "journal_at",
]


@refusing_unseen(ConfigurationError)
def journal_at(place: str) -> SQLiteJournal | PostgresJournal:
    """The journal that a setting names, not yet opened.

    Args:
        place: A ``postgresql://`` URL, its scheme in any case, or the path of an SQLite file. What
            looks like another URL or like ``key=value`` words is neither, for it may hold a
            password. A file whose name has one of ``= : @ ? ;`` needs ``./`` or an absolute path
            before it.

    Returns:
        A ``PostgresJournal`` or an ``SQLiteJournal``.

    Raises:
        ConfigurationError: It is neither, it is blank or ``:memory:``, or psycopg is not installed.
            The text does not show the place.
    """
    refused = refused_location(place)
    if refused is not None:
        raise refused
    if is_path(place):
        from payroc_async.journal.sqlite.sqlite_journal import SQLiteJournal

        return SQLiteJournal(place)
    from payroc_async.journal.postgres.postgres_journal import PostgresJournal

    return PostgresJournal(place)


def __getattr__(name: str) -> Any:
    # Who has no journal loads neither engine.
    if name == "SQLiteJournal":
        from payroc_async.journal.sqlite.sqlite_journal import SQLiteJournal

        return SQLiteJournal
    if name == "PostgresJournal":
        from payroc_async.journal.postgres.postgres_journal import PostgresJournal

        return PostgresJournal
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
