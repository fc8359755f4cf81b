"""Words that error texts share."""

from __future__ import annotations

import re

__all__ = ["a_type"]

_SOUNDS_LIKE_YOU = re.compile(r"U[A-Z]|[Uu](ser|ni|uid|rl)")
_SPELLED_OUT = re.compile(r"[FHLMNRSX][A-Z]")  # an HTTPError, an SSLContext


def a_type(value: object) -> str:
    """What a value is, with its article: ``an int``, ``a str``, ``None``. Never its text."""
    if value is None:
        return "None"
    name = type(value).__name__
    vowel = name[:1] in "AEIOUaeiou" and not _SOUNDS_LIKE_YOU.match(name)
    return f"an {name}" if vowel or _SPELLED_OUT.match(name) else f"a {name}"
