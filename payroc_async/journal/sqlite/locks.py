"""Which owners live: each holds an OS file lock, which the system releases when it dies.

SQLite takes the lock, on an empty file of the owner's own, for it knows how to on every system. It
is of the process, so that a child that is forked does not keep it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["OwnerLock", "forget_dead_owners", "is_alive"]

NO_JOURNAL = "PRAGMA journal_mode = MEMORY"
"""Without a second file for each lock, which a killed process would leave."""


class OwnerLock:
    """The lock of a new owner, held until it is released or the process ends.

    Args:
        folder: Where the owners' files are.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            self.owner = uuid4().hex
            self._path = folder / self.owner
            self._path.touch(mode=0o600, exist_ok=False)
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
            with suppress(sqlite3.OperationalError):
                self._connection.execute(NO_JOURNAL)
                self._connection.execute("BEGIN EXCLUSIVE")
                if self._path.exists():
                    return
            # Somebody who tidies up has taken it for a dead owner's, just before it was locked.
            self._connection.close()

    def release(self) -> None:
        """Release it: from here on, what is still owned may be claimed."""
        self._connection.close()
        # After it, for Windows keeps a file that is open; the name never comes again.
        self._path.unlink(missing_ok=True)


def is_alive(folder: Path, owner: str) -> bool:
    """Whether the owner's process lives. Where that can't be known it is taken to."""
    path = folder / owner
    if not path.exists():
        return False
    try:
        with closing(_connect(path)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return path.exists()  # locked, or it can't be opened; unless it has gone meanwhile
    return False


def forget_dead_owners(folder: Path, but: set[str]) -> None:
    """Delete the files of owners that are dead, but for those that still own something."""
    for path in folder.iterdir():
        if path.name in but:
            continue
        # Locked while it is deleted: it may be that of an owner who is about to lock it.
        with (
            suppress(sqlite3.Error, OSError),
            closing(_connect(path)) as connection,
        ):
            connection.execute(NO_JOURNAL)
            connection.execute("BEGIN EXCLUSIVE")
            path.unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    """To a file that is there already."""
    uri = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
