"""Checks of the simulator's arguments, as strict as the SDK's own.

A mistake in a test must fail where it is made: if the simulator accepted an invalid value, the test
could pass and prove nothing. Each check returns the value, or raises ``ConfigurationError`` with
the argument's name and the error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Generic, NoReturn, TypeVar, overload

import orjson

from payroc_async.callbacks import check_callback
from payroc_async.errors import ConfigurationError
from payroc_async.models.field_checks import LARGEST
from payroc_async.wording import show

__all__ = [
    "OMIT",
    "Setting",
    "calendar_day",
    "choice",
    "flag",
    "function",
    "header",
    "headers",
    "host",
    "http_status",
    "iso_date",
    "json_mapping",
    "json_value",
    "optional",
    "payload",
    "refuse_type",
    "seconds",
    "serial",
    "tender",
    "text",
    "whole",
]

T = TypeVar("T")

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header name. Source: RFC 9110, section 5.6.2."""
WITHOUT_BODY = (204, 304)
LONGEST = 1e9
"""Seconds, about thirty years. For an endless wait there are separate methods."""


class Omit:
    """The type of `OMIT`."""

    def __repr__(self) -> str:
        return "OMIT"


OMIT: Final = Omit()
"""As ``expires_in``: authorize omits the field from its answer."""


def refuse_type(name: str, wanted: str, value: object) -> NoReturn:
    """Refuse a value of another type.

    Raises:
        ConfigurationError: Always. The text points out a function that was not called.
    """
    called = getattr(value, "__name__", None)
    given = show(value)
    if called is not None and callable(value):
        kind = "class" if isinstance(value, type) else "function"
        given = f"the {kind} {called}: call it, {called}(…)"
    raise ConfigurationError(name, f"must be {wanted}, not {given}")


def seconds(name: str, value: Any) -> float:
    """Check a time of at least zero seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse_type(name, "a number of seconds", value)
    if not 0 <= value <= LONGEST:
        raise ConfigurationError(
            name, f"must be a number of seconds from 0 to {LONGEST:g}, is {show(value)}"
        )
    return float(value)


def whole(name: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """Check an int that JSON can hold, such as an amount in the currency's smallest unit."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse_type(name, "a whole number (an amount: in the currency's smallest unit)", value)
    if not least <= value <= most:
        bounds = f"at least {least}" if value < least else f"at most {most}"
        raise ConfigurationError(name, f"must be {bounds}, is {show(value)}")
    return value


def flag(name: str, value: Any) -> bool:
    """Check a bool."""
    if not isinstance(value, bool):
        refuse_type(name, "True or False", value)
    return value


def text(name: str, value: Any) -> str:
    """Check a string that is not blank and can be encoded."""
    if not isinstance(value, str):
        refuse_type(name, "a string", value)
    if not value.strip():
        raise ConfigurationError(name, "must not be blank")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(name, "holds a lone surrogate: it is not valid text") from None
    return value


def serial(name: str, value: Any) -> str:
    """Check a device's serial number."""
    number = text(name, value)
    if number != number.strip() or not number.isprintable():
        raise ConfigurationError(name, f"must be a serial number without blanks, is {number!r}")
    return number


def host(name: str, value: Any) -> str:
    """Check a host name or address."""
    found = text(name, value)
    if found.split() != [found] or not found.isprintable():
        raise ConfigurationError(name, f"must be a name or an address, is {show(value)}")
    return found


def choice(name: str, value: Any, words: Sequence[str]) -> str:
    """Check one of these words."""
    if not isinstance(value, str):
        refuse_type(name, f"one of {', '.join(words)}", value)
    if value not in words:
        raise ConfigurationError(name, f"must be one of {', '.join(words)}, is {value!r}")
    return value


def header(name: str, value: Any) -> str:
    """Check a header value."""
    if not isinstance(value, str):
        refuse_type(name, "a string", value)
    if not value.isascii() or not value.replace("\t", " ").isprintable():
        raise ConfigurationError(name, "must be printable ASCII, because it is sent as a header")
    return value


def headers(name: str, value: Any) -> dict[str, str]:
    """Check headers by name; None for none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        refuse_type(name, "a mapping of names to strings", value)
    for one, its in value.items():
        if not isinstance(one, str) or not TOKEN.fullmatch(one):
            raise ConfigurationError(name, f"{one!r} is not the name of a header")
        header(name, its)
    return dict(value)


def http_status(name: str, value: Any, body: bytes = b"") -> int:
    """Check an answer's status against its body."""
    code = whole(name, value, 200, 599)
    if body and code in WITHOUT_BODY:
        raise ConfigurationError(name, f"must be a status that allows a body: {code} has none")
    return code


def payload(name: str, value: Any) -> bytes:
    """Check an answer's body."""
    if not isinstance(value, bytes):
        refuse_type(name, "bytes", value)
    return value


def function(name: str, value: Any) -> Callable[..., Any]:
    """Check a plain function, not a coroutine function."""
    if not callable(value):
        refuse_type(name, "a function", value)
    check_callback(name, value)
    return value  # type: ignore[no-any-return]


def json_value(name: str, value: T) -> T:
    """Check a value that can be sent as JSON."""
    try:
        orjson.dumps(value)
    except (TypeError, ValueError) as error:  # orjson's error is a TypeError
        raise ConfigurationError(name, f"can't be sent as JSON: {error}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(name, f"can't be sent as JSON: it is {value}")
    return value


def json_mapping(name: str, value: Any) -> dict[str, Any]:
    """Check a mapping that can be sent as JSON."""
    if not isinstance(value, Mapping):
        refuse_type(name, "a mapping", value)
    return json_value(name, dict(value))


def tender(name: str, value: Any) -> str:
    """Check a kind of tender of a device."""
    return choice(name, value, ("creditDebit", "ebt"))


def calendar_day(name: str, value: Any) -> date:
    """Check a date without a time."""
    if isinstance(value, datetime) or not isinstance(value, date):
        refuse_type(name, "a date", value)
    return value


def iso_date(name: str, value: Any) -> str:
    """Check a date in the API's format."""
    if not isinstance(value, str):
        refuse_type(name, "a string, such as '2026-05-01'", value)
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ConfigurationError(name, f"must be as '2026-05-01', is {value!r}") from None


def optional(check: Callable[[str, Any], T]) -> Callable[[str, Any], T | None]:
    """Return the same check for an optional value."""
    return lambda name, value: None if value is None else check(name, value)


class Setting(Generic[T]):
    """A descriptor that validates each assignment; the object stores it in a slot ``_name``.

    Args:
        check: Receives the attribute's name and the value; returns the value to store.
    """

    def __init__(self, check: Callable[[str, Any], T]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = getattr(instance, f"_{self._name}")
        return value

    def __set__(self, instance: object, value: T) -> None:
        setattr(instance, f"_{self._name}", self._check(self._name, value))
