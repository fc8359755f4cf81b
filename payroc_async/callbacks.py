"""The caller's callbacks: checks that they are plain or async functions, and safe calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import types
from collections.abc import Callable, Collection, Coroutine, Generator, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

from .errors import ConfigurationError
from .events import Event
from .logs import get_logger
from .wording import a_type

__all__ = ["Listener", "OnEvent", "check_async_callback", "check_callback"]

logger = get_logger(__name__)

_Ignored = (
    None | complex | Collection[Any] | Event
    | asyncio.Handle | asyncio.Future[Any] | concurrent.futures.Future[Any]
)  # fmt: skip
# A type can't exclude coroutines. It can list other return values that callbacks have by accident
# or through other libraries: `set.add`, `loop.call_soon`, `asyncio.create_task` …
OnEvent = Callable[[Event], _Ignored]
"""A plain function, called inline with each event. Its return value is ignored; its exceptions are
logged. A coroutine function is refused: nothing would await it."""


def check_callback(name: str, value: object) -> None:
    """Refuse values that are not callable, and functions that must be awaited or iterated.

    Args:
        name: The parameter, for the error.
        value: The caller's value; None for no callback.

    Raises:
        ConfigurationError: The value is not callable, or is recognizable as a coroutine or
            generator function.
    """
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(
            name,
            f"must be a plain function, not {a_type(value)}: pass the function, do not call it",
        )
    found = _deferred(value)
    if found is not None:
        raise ConfigurationError(
            name,
            f"must be a plain function, not {found}; to await something, start a task in it",
        )


def check_async_callback(name: str, value: object) -> None:
    """Refuse a callable that is recognizably not a coroutine function.

    Raises:
        ConfigurationError: The value is a plain function, a class or a generator function.
    """
    innermost = value
    with suppress(Exception):  # reading an attribute may fail, as below
        innermost = inspect.unwrap(cast(Callable[..., Any], value))
    found = _deferred(innermost) if callable(value) else None
    if found not in (_COROUTINE_FUNCTION, _AWAITABLE_CLASS):
        said = found or ("a plain one" if callable(value) else a_type(value))
        raise ConfigurationError(
            name, f'must be an async function, not {said}; define it with "async def"'
        )


class Listener:
    """A caller's callback. Its exceptions never end the sale that it observes.

    Args:
        callback: The function, already checked.
        name: The parameter's name.
    """

    __slots__ = ("_callback", "_name", "_warned")

    def __init__(self, callback: Callable[[Any], object], name: str = "on_event") -> None:
        self._callback = callback
        self._name = name
        self._warned = False

    def deliver(self, event: object, extra: Callable[[], Mapping[str, object]]) -> None:
        """Call the function, and log its exceptions, ``SystemExit`` and its like included.

        Args:
            event: The event.
            extra: Returns the fields for a log record.
        """
        try:
            returned: object = self._callback(event)
            if returned is not None:
                # A lambda with several calls returns a tuple or a list.
                for one in returned if isinstance(returned, tuple | list) else (returned,):
                    self._discard(one, extra)
        except BaseException:
            logger.exception("%s failed", self._name, extra=extra())

    def _discard(self, returned: object, extra: Callable[[], Mapping[str, object]]) -> None:
        """Close a returned awaitable or iterator, and log that once."""
        if asyncio.isfuture(returned):
            return  # a task runs by itself
        # Check the abstract types: an HTTP client's request or a compiled coroutine matches, too.
        if isinstance(returned, Coroutine | Generator):
            returned.close()
        elif not (inspect.isawaitable(returned) or inspect.isasyncgen(returned)):
            return
        if not self._warned:
            self._warned = True
            logger.error(
                "%s returned %s, which is never awaited, so it has no effect; pass a plain "
                "function that starts a task",
                self._name,
                a_type(returned),
                extra=extra(),
            )


_COROUTINE_FUNCTION = "a coroutine function"
_AWAITABLE_CLASS = "an awaitable class"
_PLAIN = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)
_DEEPEST = 50
"""How many wrappers of a callable are unwrapped: one may wrap itself."""


def _deferred(value: Any) -> str | None:
    """Return the kind of a callable whose result must be awaited or iterated; None if plain."""
    for _ in range(_DEEPEST):
        found = _kind_of(value)
        if found is not None:
            return found
        if isinstance(value, _PLAIN):
            return None
        value = _inner(value)
    return None


def _kind_of(value: Any) -> str | None:
    """Return the same without unwrapping.

    Return None if reading the object's attributes fails, as for a proxy without its object.
    """
    with suppress(Exception):
        if inspect.iscoroutinefunction(value) or _is_generator_coroutine(value):
            return _COROUTINE_FUNCTION
        if inspect.isasyncgenfunction(value):
            return "an async generator function"
        if inspect.isgeneratorfunction(value):
            return "a generator function"
        if isinstance(value, type) and hasattr(value, "__await__"):
            return _AWAITABLE_CLASS
        return next(filter(None, map(_deferred, _dispatched(value))), None)
    return None


def _dispatched(value: Any) -> Iterable[Any]:
    """Return the functions that `functools.singledispatch` dispatches to."""
    owner = getattr(getattr(value, "register", None), "__self__", None)  # a method's own dispatcher
    registry = getattr(getattr(owner, "dispatcher", value), "registry", None)
    return registry.values() if isinstance(registry, types.MappingProxyType) else ()


def _is_generator_coroutine(value: Any) -> bool:
    """Whether ``types.coroutine`` made the function awaitable."""
    code = getattr(value, "__code__", None)
    flags = code.co_flags if isinstance(code, types.CodeType) else 0
    return bool(flags & inspect.CO_ITERABLE_COROUTINE)


def _inner(value: Any) -> Any:
    """Return the callable that this one wraps."""
    if isinstance(value, functools.partial):
        return value.func
    if isinstance(value, types.MethodType | staticmethod):
        return value.__func__
    if isinstance(value, functools._lru_cache_wrapper):
        return value.__wrapped__
    if isinstance(value, type) and type(value).__call__ is type.__call__:
        return value.__new__
    return type(value).__call__
