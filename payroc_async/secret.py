"""Values that must not show: API keys, tokens, passwords, bodies. Pure.

Error trackers and loggers keep the ``repr`` of every local variable of a traceback's frames. A
value of these types is used as any other string, and shows ``***`` there.
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
    """A string whose ``repr`` is blind. ``str()`` and formatting give its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        # Those who shorten long strings for display take the repr of a slice.
        return Secret(super().__getitem__(key))


class SecretBytes(bytes):
    """Bytes whose ``repr`` is blind."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def concealed(value: T) -> T | Secret:
    """A string as a ``Secret``; anything else as it is."""
    return Secret(value) if isinstance(value, str) else value


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error and all that is chained to it: causes, contexts, members of groups."""
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
    """The error, and all that is chained to it, without the frames that they passed through.

    For an error that comes from code which holds secrets in plain local variables: an HTTP
    library, a decoder, a database driver. The error keeps its text and its cause; ``raise`` adds
    the frames from there on. A context that ``from None`` has hidden is dropped.
    """
    for link in chain_of(error):
        link.__traceback__ = None
        if link.__suppress_context__:
            link.__context__ = None
    return error


def refusing_unseen(refusal: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for what refuses its arguments: no frame of the refusal shows one of them.

    Args:
        refusal: The error that it refuses them with.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except refusal as error:
                del args, kwargs  # a key may stand in the place of any of them
                raise forget_frames(error)  # noqa: B904 - the same error

        return call

    return decorate
