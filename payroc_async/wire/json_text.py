"""JSON from bytes as gateways and proxies send them: in any encoding, and with odd text in it.

``orjson`` reads what is JSON by the book. Only what it refuses is read here again, as far as its
meaning is beyond doubt: an odd character in a cardholder's name must not lose a payment.
No error holds any of the text.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

import orjson

from payroc_async.errors import ResponseFormatError

__all__ = ["decode"]

PADDING = "".join(map(chr, range(33))) + "\ufeff"
"""What may stand around a document: white space, byte order marks, and control characters, as the
NUL of a C string."""


def decode(body: bytes, content_type: str = "") -> object:
    """Reads JSON.

    Args:
        body: The bytes.
        content_type: The header that came with them, for its ``charset``.

    Returns:
        What the JSON says. Text that no encoding explains has U+FFFD in its place. ``NaN`` and
        infinite numbers are None.

    Raises:
        ResponseFormatError: It is not JSON. Says where reading ended, and holds nothing of it.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass  # it holds the body, so nothing is raised from here
    text = _BACKSLASH.sub(_escaped, _as_text(body, content_type).strip(PADDING))
    if not text:
        raise ResponseFormatError("not JSON: empty")
    try:
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            return _without_surrogates(value) if _SURROGATE(text) else value
    except json.JSONDecodeError as error:
        end = error.pos
    except RecursionError:
        end = 0
    raise ResponseFormatError(f"not JSON: not readable from character {end} of {len(text)}")


def _as_text(body: bytes, content_type: str) -> str:
    encoding = json.detect_encoding(body)  # by its byte order mark, or by where its NULs are
    if encoding != "utf-8":
        return body.decode(encoding, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        declared = _in_declared_charset(body, content_type)
    return body.decode(errors="replace") if declared is None else declared


_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.ASCII | re.IGNORECASE)
_JSON_SYNTAX = rb'{"\u0041\n":[-1.5e+2,"+AGE-"]}'


def _in_declared_charset(body: bytes, content_type: str) -> str | None:
    """The text in the charset that the header names, if that keeps JSON's own characters.

    Python knows "encodings" that do not, such as ``unicode_escape``.
    """
    found = _CHARSET.search(content_type)
    try:
        if found and _JSON_SYNTAX.decode(found[1]) == _JSON_SYNTAX.decode("ascii"):
            return body.decode(found[1], "replace")
    except Exception:
        pass  # unknown; and a codec may raise anything
    return None


def _float(text: str) -> float | None:
    value = float(text)
    return value if isfinite(value) else None


def _int(text: str) -> int | float | None:
    number = int(text) if len(text) <= 20 else 2**64
    return number if -(2**63) <= number < 2**64 else _float(text)  # as orjson does


_DECODER = json.JSONDecoder(
    strict=False,  # control characters within a string are taken as they are
    parse_float=_float,
    parse_int=_int,
    parse_constant=lambda _: None,
)


_BACKSLASH = re.compile(r"\\(?:([\"\\/bfnrt]|u[0-9a-fA-F]{4})|)")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]").search


def _escaped(backslash: re.Match[str]) -> str:
    """A backslash that begins no escape of JSON, as one before an apostrophe, stands for itself."""
    return backslash[0] if backslash[1] else r"\\"


def _without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for each half of a surrogate pair, which no encoder would take."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, dict):
        return {
            _without_surrogates(name): _without_surrogates(each) for name, each in value.items()
        }
    return value
