"""The journal of a command: from ``--journal``, or else from ``PAYROC_JOURNAL``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from payroc_async import ConfigurationError, JournalError
from payroc_async.journal import journal_at
from payroc_async.journal.location import is_path, refused_location

from .settings import variables

if TYPE_CHECKING:
    from payroc_async.journal import PostgresJournal, SQLiteJournal

    AnyJournal = SQLiteJournal | PostgresJournal

__all__ = ["existing_journal", "journal_named", "journal_path", "new_or_existing_journal"]


def journal_named(given: str | None) -> str | None:
    """Return the value of ``--journal``, or else of the variable; None if neither is set."""
    return variables().get("PAYROC_JOURNAL") or None if given is None else given


def journal_path(place: str) -> Path | None:
    """Return the journal's file, which may be shown; None if the location is not a file."""
    return Path(place) if is_path(place) and refused_location(place) is None else None


def new_or_existing_journal(place: str) -> AnyJournal:
    """Return the journal at this location, not yet opened.

    Raises:
        ConfigurationError: The location is invalid. The text does not show it.
    """
    try:
        return journal_at(place)
    except ConfigurationError as error:
        raise ConfigurationError("journal", error.reason) from error


def existing_journal(given: str | None) -> AnyJournal:
    """Return the configured journal, not yet opened. A file must exist, as opening would create it.

    Raises:
        ConfigurationError: No journal is configured, or the location is invalid.
        JournalError: The file does not exist.
    """
    place = journal_named(given)
    if place is None:
        raise ConfigurationError("journal", "is not given, nor is PAYROC_JOURNAL set")
    journal = new_or_existing_journal(place)
    path = journal_path(place)
    if path is not None:
        try:
            os.stat(path)
        except OSError as error:
            raise JournalError(f"there is no journal {path}: {error.strerror}") from error
    return journal
