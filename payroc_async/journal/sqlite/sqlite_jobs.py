"""What a journal in SQLite asks to be done in a transaction: each by itself, or a crowd at once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Generic, TypeVar

from attrs import define, field

__all__ = ["REFUSED", "Job", "Work", "do_at_once"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]

# One value's fault, or one statement's; not the file's.
REFUSED = (
    *(sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError),
    *(sqlite3.ProgrammingError, UnicodeError, OverflowError),
)
AT_ONCE = sqlite3.sqlite_version_info >= (3, 33)
"""Whether SQLite updates from the rows of a statement, and takes so many values."""
MOST_ROWS = 512
"""Rows in one statement at most: SQLite takes 32,766 values."""


@define(eq=False)
class Job(Generic[T]):
    """Something to be done in a transaction.

    Args:
        work: Does it. It looks before it writes: where it raises, it has changed nothing.
        statement: What does the same for many at once, and gives None, if it can be done so.
        key: The entry's that the statement is about.
        device: The device that it needs for itself, if it does: gateway, scope, serial number.
        values: This one's for the statement.
        undo: Undoes what no one waits for any more.
    """

    work: Callable[[sqlite3.Connection], T]
    statement: str = ""
    key: str = ""
    device: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    undo: Callable[[T], Work] | None = None
    done: asyncio.Future[T] = field(init=False)


def do_at_once(db: sqlite3.Connection, group: Sequence[Job[Any]]) -> list[Job[Any]]:
    """Those of a group that one statement has done for all; the others are to be done."""
    done: list[Job[Any]] = []
    crowd = [job for job in group if job.statement] if AT_ONCE else []
    if len({job.key for job in crowd}) < len(crowd):
        return done  # two about the same entry: their order counts
    devices = [job.device for job in crowd if job.device]
    if len(set(devices)) < len(devices):
        return done  # the second is to see the first
    for statement in {job.statement for job in crowd}:
        jobs = [job for job in crowd if job.statement is statement]
        for start in range(0, len(jobs), MOST_ROWS):
            portion = jobs[start : start + MOST_ROWS]
            # A value that can't be, or a row: it is refused by itself.
            with suppress(*REFUSED):
                # If one of them is another case, each looks for itself; what is done is done again.
                if len(portion) > 1 and _count(db, statement, portion) == len(portion):
                    done += portion
    return done


def _count(db: sqlite3.Connection, statement: str, jobs: Sequence[Job[Any]]) -> int:
    """How many rows were written. Few sizes, so that each is prepared once and kept."""
    # An empty text for None, on which Python's module spends ten times as much as on a text.
    values = ["" if value is None else value for job in jobs for value in job.values]
    width = len(jobs[0].values)
    rows = 1 << (len(jobs) - 1).bit_length()
    values += [""] * (width * (rows - len(jobs)))
    return db.execute(_for_rows(statement, rows, width), values).rowcount


@cache
def _for_rows(statement: str, rows: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.replace("{rows}", ", ".join([row] * rows))
