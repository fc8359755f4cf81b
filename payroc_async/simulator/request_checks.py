"""Checks of request values, which report errors as a problem's ``errors``.

Unknown fields are accepted. An optional field may be omitted but not null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime

__all__ = [
    "Check",
    "Errors",
    "amount",
    "day",
    "fault",
    "flag",
    "list_of",
    "moment",
    "number",
    "one_of",
    "record",
    "some_amount",
    "text",
    "variant",
]

Errors = list[dict[str, str]]
Check = Callable[[object, str, Errors], None]


def fault(errors: Errors, path: str, what: str) -> None:
    """Adds an error for the field at `path`."""
    message = f"{path or 'The body'} {what}."
    errors.append({"parameter": path, "detail": message, "message": what})


def text(
    *, least: int = 0, most: int | None = None, pattern: re.Pattern[str] | None = None
) -> Check:
    """Return a check for a string of `least` to `most` characters that matches the pattern."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, str):
            fault(errors, path, "must be a string")
        elif len(value) < least or (most is not None and len(value) > most):
            upto = f" to {most}" if most is not None else " or more"
            fault(errors, path, f"must have {least}{upto} characters")
        elif pattern is not None and not pattern.fullmatch(value):
            fault(errors, path, f"must match {pattern.pattern}")

    return check


def one_of(*words: str) -> Check:
    """Return a check for one of these words."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, str) or value not in words:
            fault(errors, path, f"must be one of {', '.join(words)}")

    return check


def amount(value: object, path: str, errors: Errors) -> None:
    """Check an amount: a non-negative int (no bool or float), in the currency's smallest unit."""
    if isinstance(value, bool) or not isinstance(value, int):
        fault(errors, path, "must be an integer in the currency's smallest unit")
    elif value < 0:
        fault(errors, path, "must not be negative")


def some_amount(value: object, path: str, errors: Errors) -> None:
    """Check an amount that must be more than 0."""
    amount(value, path, errors)
    if type(value) is int and value == 0:
        fault(errors, path, "must be more than 0")


def number(
    least: float | None = None, most: float | None = None, above: float | None = None
) -> Check:
    """Return a check for an int or float within these bounds."""

    def check(value: object, path: str, errors: Errors) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            fault(errors, path, "must be a number")
        elif least is not None and value < least:
            fault(errors, path, f"must be at least {least:g}")
        elif above is not None and value <= above:
            fault(errors, path, f"must be more than {above:g}")
        elif most is not None and value > most:
            fault(errors, path, f"must be at most {most:.10g}")

    return check


def flag(value: object, path: str, errors: Errors) -> None:
    """Check a boolean."""
    if not isinstance(value, bool):
        fault(errors, path, "must be true or false")


def day(value: object, path: str, errors: Errors) -> None:
    """Check a date, such as 1990-07-15."""
    try:
        # fromisoformat() alone would also take 19900715 and 1990-W28-7.
        good = isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        fault(errors, path, "must be a date (YYYY-MM-DD)")


def moment(value: object, path: str, errors: Errors) -> None:
    """Check a date and time in ISO 8601, with an offset from UTC."""
    try:
        good = (
            isinstance(value, str)
            and "T" in value
            and datetime.fromisoformat(value).tzinfo is not None
        )
    except ValueError:
        good = False
    if not good:
        fault(errors, path, "must be a date and time in ISO 8601, with an offset from UTC")


def list_of(item: Check, *, least: int = 0, most: int | None = None, unique: bool = False) -> Check:
    """Return a check for a list: its length, its items, and that they are unique."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, list):
            fault(errors, path, "must be a list")
            return
        if len(value) < least:
            fault(errors, path, f"must have at least {least}")
        if most is not None and len(value) > most:
            fault(errors, path, f"must have at most {most}")
        if unique and any(entry in value[:index] for index, entry in enumerate(value)):
            fault(errors, path, "must not have the same entry twice")
        for index, entry in enumerate(value):
            item(entry, f"{path}[{index}]", errors)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Return a check for an object with these fields."""
    fields = {**required, **(optional or {})}

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, dict):
            fault(errors, path, "must be an object")
            return
        prefix = f"{path}." if path else ""
        for name in required:
            if name not in value:
                fault(errors, prefix + name, "is required")
        for name, entry in value.items():
            if name in fields:
                fields[name](entry, prefix + name, errors)

    return check


def variant(discriminator: str, kinds: Mapping[str, Check]) -> Check:
    """Return a check for a union: the discriminator field selects the object's check."""
    unknown = record({discriminator: one_of(*kinds)})

    def check(value: object, path: str, errors: Errors) -> None:
        kind = value.get(discriminator) if isinstance(value, dict) else None
        chosen = kinds.get(kind) if isinstance(kind, str) else None
        (chosen or unknown)(value, path, errors)

    return check
