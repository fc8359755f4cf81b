"""Settings that may be changed at any time. Each assignment is validated."""

from __future__ import annotations

from typing import Any, cast, get_args

from payroc_async.errors import ConfigurationError

from . import arguments
from .arguments import OMIT, Setting
from .lists import ListSpelling
from .state import PreAuthorizations

__all__ = ["Settings"]


def _json_or_omit(name: str, value: Any) -> object:
    return value if value is OMIT else arguments.json_value(name, value)


def _spelling(name: str, value: Any) -> ListSpelling:
    return cast(ListSpelling, arguments.choice(name, value, get_args(ListSpelling)))


def _pre_authorizations(name: str, value: Any) -> PreAuthorizations:
    return cast(PreAuthorizations, arguments.choice(name, value, get_args(PreAuthorizations)))


def _used_key_status(name: str, value: Any) -> int:
    if arguments.whole(name, value) not in (400, 409):
        raise ConfigurationError(name, f"must be 400 or 409, is {value}")
    return int(value)


class Settings:
    """The settings of a simulator; `Simulator` describes them.

    Uses slots: assigning a misspelled attribute raises instead of doing nothing.
    """

    __slots__ = (
        *("__weakref__", "_api_key", "_expires_in", "_hold", "_list_spelling"),
        *("_pre_authorizations", "_strict_devices", "_token_lifetime", "_used_key_status"),
    )

    hold = Setting[float](arguments.seconds)
    token_lifetime = Setting[float](arguments.seconds)
    expires_in = Setting[object](_json_or_omit)
    api_key = Setting[str](arguments.header)
    strict_devices = Setting[bool](arguments.flag)
    list_spelling = Setting[ListSpelling](_spelling)
    pre_authorizations = Setting[PreAuthorizations](_pre_authorizations)
    used_key_status = Setting[int](_used_key_status)
