"""Words that error texts share."""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = ["a_type", "printable", "show", "with_article"]

_SOUNDS_LIKE_YOU = re.compile(r"U[A-Z]|[Uu](ser|ni|uid|rl)")
_SPELLED_OUT = re.compile(r"[FHLMNRSX][A-Z]")  # an HTTPError, an SSLContext
_LONGEST = 60
"""Characters of a value that a text shows."""


def a_type(value: object) -> str:
    """Return a value's type with its article: ``an int``, ``a str``, ``None``. Never its text."""
    return "None" if value is None else with_article(type(value).__name__)


def with_article(name: str) -> str:
    """Return a class's name with its article: ``an Order``, ``a Tip``, ``a UUID``."""
    vowel = name[:1] in tuple("AEIOUaeiou") and not _SOUNDS_LIKE_YOU.match(name)
    return f"an {name}" if vowel or _SPELLED_OUT.match(name) else f"a {name}"


def show(value: object) -> str:
    """Return a non-secret value for an error text: ``-1``, ``'abc'``; for other types, the type."""
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return "an int of more digits than any number here"
    if value is None or isinstance(value, int | float | Decimal | str):
        text = repr(str(value) if isinstance(value, str) else value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return a_type(value)


def printable(text: str) -> str:
    """Return the text on one line, with control characters spelled out.

    Text from a gateway or a proxy goes to logs and terminals, where such characters could forge
    lines or control the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )
