"""Functions that the caller gives: which are plain and which are async, and how one is called."""

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
# Types can't say "no coroutine". They can list what callbacks return otherwise, by accident or
# because another library's function does: `set.add`, `loop.call_soon`, `asyncio.create_task` …
OnEvent = Callable[[Event], _Ignored]
"""A plain function, called inline with each event. What it returns is ignored, what it raises is
logged. It is no coroutine function: nothing would await it."""


def check_callback(name: str, value: object) -> None:
    """Refuse what can't be called, and what does nothing until it is awaited or iterated.

    Args:
        name: The parameter, for the error.
        value: What the caller gave; None is no callback.

    Raises:
        ConfigurationError: It is not callable, or a coroutine or generator function in any form
            that shows before the call.
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
            f"must be a plain function, not {found}; start a task in it if you need to await",
        )


def check_async_callback(name: str, value: object) -> None:
    """Refuse a callable that is seen to be no coroutine function.

    Raises:
        ConfigurationError: It is a plain function, in any form, a class or a generator function.
    """
    innermost = value
    with suppress(Exception):  # as below: it may fail when it is looked at
        innermost = inspect.unwrap(cast(Callable[..., Any], value))
    found = _deferred(innermost) if callable(value) else None
    if found not in (_COROUTINE_FUNCTION, _AWAITABLE_CLASS):
        said = found or ("a plain one" if callable(value) else a_type(value))
        raise ConfigurationError(
            name, f'must be an async function, not {said}; define it with "async def"'
        )


class Listener:
    """A caller's function. Nothing that it does ends the sale that it hears of.

    Args:
        callback: The function, checked before.
        name: What the caller calls it.
    """

    __slots__ = ("_callback", "_name", "_warned")

    def __init__(self, callback: Callable[[Any], object], name: str = "on_event") -> None:
        self._callback = callback
        self._name = name
        self._warned = False

    def deliver(self, event: object, extra: Callable[[], Mapping[str, object]]) -> None:
        """Call the function. What it raises is logged, ``SystemExit`` and its like included.

        Args:
            event: What happened.
            extra: Gives the fields that a log record carries.
        """
        try:
            returned: object = self._callback(event)
            if returned is not None:
                # Several calls in a lambda come back as a tuple or a list.
                for one in returned if isinstance(returned, tuple | list) else (returned,):
                    self._discard(one, extra)
        except BaseException:
            logger.exception("%s failed", self._name, extra=extra())

    def _discard(self, returned: object, extra: Callable[[], Mapping[str, object]]) -> None:
        """Close what would need to be awaited or iterated, and log that once."""
        if asyncio.isfuture(returned):
            return  # a task runs by itself
        # The abstract types: an HTTP client's request or a compiled coroutine is one as well.
        if isinstance(returned, Coroutine | Generator):
            returned.close()
        elif not (inspect.isawaitable(returned) or inspect.isasyncgen(returned)):
            return
        if not self._warned:
            self._warned = True
            logger.error(
                "%s returned %s, which nothing awaits: what it would do is lost; give a plain "
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
"""How many wrappers of a callable are looked into: one may lead to itself."""


def _deferred(value: Any) -> str | None:
    """What a callable is whose call only makes something to await or to iterate; None if plain."""
    for _ in range(_DEEPEST):
        found = _kind_of(value)
        if found is not None:
            return found
        if isinstance(value, _PLAIN):
            return None
        value = _inner(value)
    return None


def _kind_of(value: Any) -> str | None:
    """The same, without a look at what it calls.

    An object that fails when it is looked at, such as a proxy of what is not there yet, shows none.
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
    """The functions of which `functools.singledispatch` chooses one by the event's type."""
    owner = getattr(getattr(value, "register", None), "__self__", None)  # of a method, its maker
    registry = getattr(getattr(owner, "dispatcher", value), "registry", None)
    return registry.values() if isinstance(registry, types.MappingProxyType) else ()


def _is_generator_coroutine(value: Any) -> bool:
    """Whether ``types.coroutine`` has made it awaitable."""
    code = getattr(value, "__code__", None)
    flags = code.co_flags if isinstance(code, types.CodeType) else 0
    return bool(flags & inspect.CO_ITERABLE_COROUTINE)


def _inner(value: Any) -> Any:
    """The callable that a call of this one calls."""
    if isinstance(value, functools.partial):
        return value.func
    if isinstance(value, types.MethodType | staticmethod):
        return value.__func__
    if isinstance(value, functools._lru_cache_wrapper):
        return value.__wrapped__
    if isinstance(value, type) and type(value).__call__ is type.__call__:
        return value.__new__
    return type(value).__call__
