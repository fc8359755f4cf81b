"""Redaction of requests and answers: no secrets, card data or cardholders. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from payroc_async.cli.phrases import counted

__all__ = ["redact_body", "redact_headers", "redact_text"]

HIDDEN = "***"
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie", "set-cookie"})
KEPT_HEADERS = frozenset(
    {"accept", "authorization", "content-type", "date", "idempotency-key", "retry-after"}
    | {"user-agent", "x-api-key", "x-request-id"}
)
SECRET_FIELDS = frozenset(
    {"access_token", "token", "cardholderName", "customerName", "expiryDate", "emvTags", "customer"}
    | {"cvv", "pin", "pinDetails", "encryptedData", "trackData"}
)
"""Fields whose values are not needed as evidence and must not be in a report."""
LARGE_FIELDS = frozenset({"signature", "cardholderSignature"})
CARD_FIELDS = frozenset({"cardNumber", "pan"})
LONG_DIGITS = re.compile(r"(?<![\w-])\d{12,19}(?![\w-])")  # of a UUID, no part is one
RATE = re.compile("rate-?limit", re.IGNORECASE)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are evidence, in lower case and without secrets."""
    kept = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower in SECRET_HEADERS:
            scheme, space, _ = value.partition(" ")
            kept[lower] = f"{scheme} {HIDDEN}" if space and scheme == "Bearer" else HIDDEN
        elif lower in KEPT_HEADERS or RATE.search(lower):
            kept[lower] = redact_text(value)
    return kept


def redact_body(body: bytes | None) -> Any:
    """Return a body's JSON, redacted; for other text, only its kind."""
    if not body:
        return None
    try:
        document = orjson.loads(bytes(memoryview(body)))  # orjson takes no subclass of bytes
    except orjson.JSONDecodeError:
        return f"({counted(len(body), 'byte')} that {'is' if len(body) == 1 else 'are'} not JSON)"
    if isinstance(document, dict) and "closedLoopReadId" in document and "data" in document:
        document["data"] = HIDDEN  # what a closed-loop card holds is its owner's
    return _redacted(document)


def redact_text(text: str) -> str:
    """Return the text with every number masked that could be a card or a token."""
    return LONG_DIGITS.sub(lambda found: f"{found[0][:6]}{HIDDEN}{found[0][-4:]}", text)


def _redacted(value: Any, name: str = "") -> Any:
    if name in SECRET_FIELDS and value not in (None, [], {}):
        return HIDDEN
    if name in LARGE_FIELDS and isinstance(value, str):
        return f"({counted(len(value), 'character')})"
    if isinstance(value, dict):
        return {key: _redacted(entry, key) for key, entry in value.items()}
    if isinstance(value, list):
        return [_redacted(entry, name) for entry in value]
    if isinstance(value, str) and not name.endswith("Id"):
        if name in CARD_FIELDS and value.isdigit():
            return f"{value[:6]}{HIDDEN}{value[-4:]}"
        return redact_text(value)
    return value
