"""Numeric ids, as settlement has them. Source: contract section 11."""

from __future__ import annotations

from payroc_async.errors import ConfigurationError
from payroc_async.wording import a_type, show

__all__ = ["check_number"]


def check_number(field_name: str, value: object) -> str:
    """Format the id as a path segment.

    Raises:
        ConfigurationError: The id is not an int, or is negative.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(field_name, f"must be an int, not {a_type(value)}")
    if value < 0:
        raise ConfigurationError(field_name, f"must not be negative, is {show(value)}")
    return str(value)
