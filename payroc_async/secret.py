"""Types for secrets: API keys, tokens, passwords, bodies. Pure.

Error trackers and loggers store the ``repr`` of all local variables in a traceback. A value of
these types works like any other string, but its ``repr`` is ``***``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import ParamSpec, SupportsIndex, TypeVar

__all__ = ["Secret", "SecretBytes", "chain_of", "concealed", "forget_frames", "refusing_unseen"]

P = ParamSpec("P")
T = TypeVar("T")
ErrorT = TypeVar("ErrorT", bound=BaseException)


class Secret(str):
    """A string with a masked ``repr``. ``str()`` and formatting return the text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        # Tools that shorten long strings take the repr of a slice.
        return Secret(super().__getitem__(key))


class SecretBytes(bytes):
    """Bytes with a masked ``repr``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def concealed(value: T) -> T | Secret:
    """Convert a string to a ``Secret``; return other values unchanged."""
    return Secret(value) if isinstance(value, str) else value


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all chained errors: causes, contexts, members of groups."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions


def forget_frames(error: ErrorT) -> ErrorT:
    """Remove the tracebacks of the error and of all chained errors, and return it.

    Use it for errors from code that holds secrets in plain local variables: an HTTP library, a
    decoder, a database driver. The error keeps its text and cause; ``raise`` adds new frames. A
    context hidden by ``from None`` is dropped.
    """
    for link in chain_of(error):
        link.__traceback__ = None
        if link.__suppress_context__:
            link.__context__ = None
    return error


def refusing_unseen(refusal: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for functions that refuse arguments: no frame of the refusal shows one.

    Args:
        refusal: The error's class.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except refusal as error:
                del args, kwargs  # any argument may be a key by mistake
                raise forget_frames(error)  # noqa: B904 - the same error

        return call

    return decorate
