"""A session lives in one event loop of one process: whether a call comes from there (P12)."""

from __future__ import annotations

import os
import threading
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from .errors import WrongEventLoopError

__all__ = ["GuardedGenerator", "LoopGuard"]

T = TypeVar("T")

_pid = os.getpid()
"""The process's id, cached: asking for it is a system call, and each call would pay for one."""


def _forget_parent() -> None:
    global _pid
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_parent)


class LoopGuard:
    """Remembers the event loop and the process that a session was opened in."""

    __slots__ = ("_home_pid", "_loop", "_name")

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None
        self._home_pid = 0
        self._name = ""

    def open(self) -> None:
        """Remember the running loop and this process."""
        self._loop = get_running_loop()
        self._home_pid = _pid
        self._name = _name_of(self._loop)  # now: its thread is this one

    def check(self) -> None:
        """Refuse a call from elsewhere. Before ``open`` nothing is refused.

        Raises:
            WrongEventLoopError: Another loop runs, or none, the session's own is closed, or this
                process was forked after ``open``.
        """
        try:
            here = get_running_loop() is self._loop and _pid == self._home_pid
        except RuntimeError:  # no running loop
            here = False
        if not here and self._loop is not None:
            self._refuse(self._loop)

    def _refuse(self, loop: AbstractEventLoop) -> NoReturn:
        used_in: str | None = None
        with suppress(RuntimeError):
            used_in = _name_of(get_running_loop())
        raise WrongEventLoopError(
            session_loop=self._name,
            running_loop=used_in,
            loop_closed=loop.is_closed(),
            parent_pid=self._home_pid if _pid != self._home_pid else None,
        )


class GuardedGenerator(AsyncGenerator[T, None]):
    """An async generator of the running loop, which no other loop can end.

    An error within a generator is the end of it: its own loop would take what was refused elsewhere
    for an end of what there is.
    """

    __slots__ = ("_check", "_generator")

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        guard = LoopGuard()
        guard.open()
        self._check = guard.check

    def __anext__(self) -> Coroutine[Any, Any, T]:
        """The next value."""
        self._check()
        return self._generator.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        """The next value."""
        self._check()
        return self._generator.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        """Raise an error where the generator waits."""
        self._check()
        return self._generator.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End the generator."""
        self._check()
        return self._generator.aclose()


def _name_of(loop: AbstractEventLoop) -> str:
    """What tells the running loop from others: their ``repr`` is the same."""
    return f"{type(loop).__name__} at {id(loop):#x}, thread {threading.current_thread().name}"
