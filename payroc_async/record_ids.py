"""Records that are named by numbers, as those of settlement are. Source: contract section 11."""

from __future__ import annotations

from .errors import ConfigurationError
from .wording import a_type, show

__all__ = ["LARGEST", "record_id"]

LARGEST = 2**63 - 1  # what a signed 64-bit integer holds; orjson writes hardly more


def record_id(name: str, value: object) -> int:
    """The id of a record that is named by a number, as those of settlement are.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(name, f"must be an int, not {a_type(value)}")
    if not 0 <= value <= LARGEST:
        raise ConfigurationError(
            name, f"must be from 0 to {LARGEST}, as the gateway gave it, is {show(value)}"
        )
    return value
