"""Which journal a command is about: what ``--journal`` names, or else ``PAYROC_JOURNAL``."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from payroc_async import ConfigurationError, JournalError
from payroc_async.journal import journal_at

from .settings import variables

if TYPE_CHECKING:
    from payroc_async.journal import PostgresJournal, SQLiteJournal

    AnyJournal = SQLiteJournal | PostgresJournal

__all__ = ["existing_journal", "is_path", "journal_named", "new_or_existing_journal"]

SERVER = ("postgresql://", "postgres://")
# What was meant for a server may hold a password: it is taken for no path, and never shown.
NO_PATH = re.compile(r"[a-z][a-z0-9+.-]+:/|.*\bpassword\s*=", re.IGNORECASE | re.DOTALL)


def journal_named(given: str | None) -> str | None:
    """What ``--journal`` or else the variable says; None if neither is there."""
    return variables().get("PAYROC_JOURNAL") or None if given is None else given


def is_path(place: str) -> bool:
    """Whether it is a file's, and so may be shown."""
    return not place.startswith(SERVER) and not NO_PATH.match(place)


def new_or_existing_journal(place: str) -> AnyJournal:
    """The journal at that place, not yet opened.

    Raises:
        ConfigurationError: It can't be a journal's place.
    """
    if not place or not (is_path(place) or place.startswith(SERVER)):
        raise ConfigurationError(
            "journal", "must be the path of an SQLite file, or a postgresql:// URL"
        )
    try:
        return journal_at(place)
    except ConfigurationError as error:
        raise ConfigurationError("journal", error.reason) from error


def existing_journal(given: str | None) -> AnyJournal:
    """The journal that is named, not yet opened; a file must be there, for opening would make it.

    Raises:
        ConfigurationError: None is named, or it can't be a journal's place.
        JournalError: There is no such file.
    """
    place = journal_named(given)
    if place is None:
        raise ConfigurationError("journal", "is not given, nor is PAYROC_JOURNAL set")
    journal = new_or_existing_journal(place)
    if is_path(place):
        try:
            os.stat(place)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise JournalError(f"there is no journal {place}: {reason}") from error
    return journal
