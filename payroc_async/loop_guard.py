"""Checks that a session is used only in its own event loop and process (P12)."""

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
"""The process's id, cached: each look-up would cost a system call."""


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
        self._name = _name_of(self._loop)  # now, in the loop's own thread

    def check(self) -> None:
        """Refuse a call from another loop or process. Before ``open``, all calls are allowed.

        Raises:
            WrongEventLoopError: Another loop or none is running, the session's loop is closed, or
                this process was forked after ``open``.
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
    """An async generator bound to the running loop: a call from another loop does not end it.

    An exception inside a generator ends it. If a refused call from another loop raised inside, the
    generator's own loop would mistake that for the end of the data.
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
        """Throw an exception into the generator."""
        self._check()
        return self._generator.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        """End the generator."""
        self._check()
        return self._generator.aclose()


def _name_of(loop: AbstractEventLoop) -> str:
    """Describe the running loop. Its ``repr`` alone does not distinguish it from others."""
    return f"{type(loop).__name__} at {id(loop):#x}, thread {threading.current_thread().name}"
