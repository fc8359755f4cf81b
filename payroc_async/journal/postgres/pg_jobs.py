"""What a journal in PostgreSQL asks to be done in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from .pg_server import Connection, Row

__all__ = ["Job"]

T = TypeVar("T")


@define(eq=False, kw_only=True)
class Job(Generic[T]):
    """Something to be done in a transaction, once or, where a commit is in doubt, again.

    Args:
        statement: What is sent along with that of others, if it can be.
        values: The statement's.
        parse_rows: What comes of the statement's rows; None where ``work`` has to tell.
        work: What takes more than one statement. It looks before it writes: if it raises an error
            of ours, it has changed nothing.
        undo: Undoes what no one waits for any more.
    """

    statement: bytes | None = None
    values: Sequence[Any] = field(default=(), repr=False)
    parse_rows: Callable[[list[Row]], T | None] | None = None
    work: Callable[[Connection], Awaitable[T]] | None = None
    undo: Callable[[T], Sequence[Job[Any]]] | None = None
    done: asyncio.Future[T] = field(init=False, repr=False)
    deadline: float = field(init=False, default=0.0)
