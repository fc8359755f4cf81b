"""A model's fields: their names on the wire, their types, what is done to them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, get_args, get_origin

import attrs

from .answer_ids import ID_FIELDS
from .scalars import PADDING

__all__ = ["camel_case", "is_optional", "is_tuple", "polisher", "without_none"]


def camel_case(name: str) -> str:
    """Its name on the wire."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def is_optional(cls: Any) -> bool:
    """Whether None is among what it may be."""
    return get_origin(cls) is UnionType and type(None) in get_args(cls)


def without_none(cls: Any) -> Any:
    """The type without None."""
    if not is_optional(cls):
        return cls
    return next(kind for kind in get_args(cls) if kind is not type(None))


def is_tuple(cls: Any) -> bool:
    """Whether it is a tuple's type: a list on the wire."""
    origin: Any = get_origin(cls)
    return origin is tuple


def polisher(field: attrs.Attribute[Any]) -> Callable[[Any], Any] | None:
    """What is done to a field once it is read: an id loses its padding, a sum its sign."""
    if camel_case(field.name) in ID_FIELDS:
        return lambda text: text.strip(PADDING)
    polish: Callable[[Any], Any] | None = field.converter  # type: ignore[assignment]
    return polish
