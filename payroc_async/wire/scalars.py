"""Numbers, texts and dates of an answer, in each spelling whose meaning is plain.

Gateways spell numbers as text and text as numbers: public samples show both (contract section 7).
Each function returns the value or raises; no error is meant to be shown, for it may hold the value.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from math import isfinite

__all__ = [
    "PADDING",
    "read_bool",
    "read_date",
    "read_datetime",
    "read_float",
    "read_int",
    "read_text",
    "whole_number",
]

PADDING = "".join(map(chr, range(33))) + "\x7f\x85\xa0\u200b\u200c\u200d\u2060\ufeff"
"""What fills up the fields of a fixed length, or comes along when text is copied, and says nothing:
blanks, control characters, and what has no width."""
EXACT = 2**53
"""Up to here a float holds each whole number."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII).fullmatch
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII).fullmatch
_WORDS = {"true": True, "false": False}


def read_text(value: object) -> str:
    """A text. A whole number means its digits, as of an identifier."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    raise TypeError


def read_int(value: object) -> int:
    """A whole number, such as a sum in the smallest unit; ``"49.99"`` says no unit, and is none."""
    number = value if type(value) is int else None
    if type(value) is float and value.is_integer():
        number = int(value)
    elif type(value) is str and _WHOLE(value.strip(PADDING)):
        number = int(value.strip(PADDING))
    if number is None or not -(2**63) <= number < 2**64:  # as orjson reads and writes them
        raise TypeError
    return number


def whole_number(value: object) -> int | None:
    """The whole number that a value means, as a number or as text; None if it means none."""
    try:
        return read_int(value)
    except (TypeError, ValueError):
        return None


def read_float(value: object) -> float:
    """A finite number, such as a rate."""
    if type(value) is int:
        return value
    number = value if type(value) is float else None
    if type(value) is str and _NUMBER(value.strip(PADDING)):
        number = float(value.strip(PADDING))
    if number is None or not isfinite(number):
        raise TypeError
    return number


def read_bool(value: object) -> bool:
    """True or False, also in words and as 1 or 0."""
    if type(value) is bool:
        return value
    if type(value) is int and value in (0, 1):
        return value == 1
    if type(value) is str:
        return _WORDS[value.strip(PADDING).lower()]
    raise TypeError


def read_date(value: str) -> date:
    """A calendar day; of a moment, the day that is written."""
    return read_datetime(value).date()


def read_datetime(value: str) -> datetime:
    """A moment, in ISO 8601."""
    return datetime.fromisoformat(value.strip(PADDING).upper())
