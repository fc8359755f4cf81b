"""Where a journal is: the one parser of what a setting, an argument or a command line names.

What may be meant for a database server may hold a password. Such text is never taken for a path,
and no error shows it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote

from payroc_async.errors import ConfigurationError, JournalError
from payroc_async.wording import a_type

__all__ = [
    "as_libpq_takes_it",
    "check_file",
    "is_path",
    "refused_dsn",
    "refused_location",
    "refused_path",
]

POSTGRES = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)

WRITTEN_AS_PATH = re.compile(r"[/\\]|\.{1,2}[/\\]|[A-Z]:[/\\]", re.IGNORECASE)
"""An absolute path, one that starts at the current folder, or one with a drive letter."""
IN_A_URL_OR_KEY_WORDS = re.compile(r"[=:@?;]")
"""In a bare name, any of these may be a part of a URL, of key words or of ``user:password``."""
NEVER_IN_A_PATH = re.compile(
    r"[A-Z][A-Z0-9+.-]+:[/\\]|:[^/\\]*@|//[^/\\]*@|(?:password|passwd|pwd)['\"]?\s*[=:\s]",
    re.IGNORECASE,
)
"""A scheme, credentials before a host, or the word password with its value."""

KINDS = "must be the path of an SQLite file, or a postgresql:// URL"
NO_PATH = (
    f"{KINDS}. What was given looks like a URL of another kind, or like key=value words, and may "
    "hold a password: it is not shown. A URL has no driver (not postgresql+psycopg://); a file "
    "whose name has one of = : @ ? ; needs ./ or an absolute path before it"
)


def refused_location(place: object) -> ConfigurationError | None:
    """Why a journal can't be there; None if it can.

    The error is returned and not raised: a tracker of errors shows the variables of every frame
    that an error has passed, and here they hold the place.

    Args:
        place: A ``postgresql://`` URL, its scheme in any case, or the path of an SQLite file.
    """
    if not isinstance(place, str):
        return ConfigurationError("journal", f"{KINDS}, not {a_type(place)}")
    return refused_path(place, "journal") if is_path(place) else None


def refused_path(path: object, field: str) -> ConfigurationError | None:
    """Why an SQLite file can't be there; None if it can. The error does not show the path.

    Args:
        path: The path.
        field: What the caller calls it.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        return ConfigurationError(field, f"must be a path, not {a_type(path)}")
    reason = _refusal(text)
    return None if reason is None else ConfigurationError(field, reason)


def refused_dsn(dsn: object) -> ConfigurationError | None:
    """Why this is no connection string; None if libpq may read it. The error does not show it.

    Args:
        dsn: Key words, or a URL.
    """
    if not isinstance(dsn, str):
        return ConfigurationError("dsn", f"must be a string, not {a_type(dsn)}")
    if not dsn.strip():  # libpq would take the server of the machine or of PGHOST
        return ConfigurationError("dsn", "must not be blank: it must be a URL or key=value words")
    # libpq reads as far as a NUL, and would connect with what stands before it.
    if "\0" in dsn or any("\ud800" <= one <= "\udfff" for one in dsn):
        return ConfigurationError("dsn", "holds NUL or half a surrogate pair: it is not shown")
    return None


def as_libpq_takes_it(dsn: str) -> str:
    """A URL with its scheme in lower case and without blanks around it; key words as they are."""
    if is_path(dsn):
        return dsn
    scheme, separator, rest = dsn.strip().partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def is_path(place: str) -> bool:
    """Whether a place that is not refused is a file's, and so may be shown."""
    return POSTGRES.match(place.strip()) is None


def check_file(path: Path) -> None:
    """Checks that a journal can be at this path, or be made there.

    Raises:
        JournalError: Something else is there, or a symbolic link that leads nowhere: following it
            would make a new, empty journal at a place that the user has not chosen.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        if path.is_symlink():
            raise JournalError(
                f"{path} is a symbolic link to a file that is not there or can't be reached: "
                "correct the link, or mount what it leads to"
            ) from None
        return  # missing, or unreachable: opening it says why
    if not stat.S_ISREG(mode):
        raise JournalError(f"{path} is not a regular file: name a file, or one to be made")


def _refusal(text: str) -> str | None:
    """Why this is no path; None if it is one. The reason does not show the text."""
    if not text.strip():
        return f"must not be empty: it {KINDS}"
    if text.strip().lower() == ":memory:":
        return f"{KINDS}. A journal in memory (:memory:) would be lost with its process"
    plain = _decoded(text)
    bare = WRITTEN_AS_PATH.match(text) is None
    if NEVER_IN_A_PATH.search(plain) or (bare and IN_A_URL_OR_KEY_WORDS.search(plain)):
        return NO_PATH
    if text[-1] in "/\\":
        return f"{KINDS}. What was given ends as a folder: name the file in it"
    if text != text.strip() or text[0] in "'\"" or not text.isprintable():
        return f"{KINDS}, without quotes, blanks or line breaks around it"
    return None


def _decoded(text: str) -> str:
    """The text without percent-encoding, however often it was encoded."""
    for _ in range(len(text)):
        before, text = text, unquote(text)
        if text == before:
            break
    return text
