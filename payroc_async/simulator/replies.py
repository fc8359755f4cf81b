"""The simulator's answers, links and problem documents, written from the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from attrs import field, frozen

__all__ = ["Answer", "json_answer", "link_to", "problem"]

# Absolute links to the production host in every environment, as in all public samples (contract
# sections 3 and 9). This exposes a client that uses the link's host and not only its path.
LINK_BASE = "https://api.payroc.com/v1"
ERROR_BASE = "https://docs.payroc.com/api/errors#"

# As in the published samples (contract section 8).
TITLES = {
    "api-error": "Api error",
    "bad-request": "Bad request",
    "cannot-be-canceled": "Cannot be canceled",
    "cannot-be-modified": "Cannot be modified",
    "capabilities-missing": "Capabilities missing",
    "card-type-not-supported": "Card type not supported",
    "forbidden": "Forbidden",
    "idempotency-key-in-use": "Idempotency-Key in use",
    "idempotency-key-missing": "Idempotency-Key header missing",
    "not-acceptable": "Not acceptable",
    "not-authorized": "Not Authorized",
    "not-found": "Not found",
    "payload-too-large": "Payload too large",
    "resource-already-exists": "Resource already exists",
    "unsupported-media-type": "Unsupported media type",
}


@frozen
class Answer:
    """One answer before it becomes HTTP: it can be stored, rewritten and sent again."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(factory=dict)

    def response(self) -> web.Response:
        """Build the aiohttp response of this answer."""
        headers = dict(self.headers)
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        return web.Response(status=self.status, body=self.body, headers=headers)


def json_answer(status: int, document: object) -> Answer:
    """Build an answer with `document` as ``application/json``."""
    return Answer(status, orjson.dumps(document), "application/json")


def link_to(rel: str, *path: str) -> dict[str, str]:
    """Build a link to the resource with these path segments under the API's base."""
    return {"rel": rel, "method": "GET", "href": "/".join((LINK_BASE, *path))}


def problem(
    status: int,
    fragment: str,
    detail: str | None = None,
    *,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Answer:
    """Build a problem document (RFC 7807), as ``application/problem+json``.

    Source: contract section 8.

    Args:
        status: The HTTP status.
        fragment: The last part of ``type``, such as ``not-found``.
        detail: What went wrong, in a sentence.
        errors: Payroc's own list of ``{parameter, detail, message}``.
        headers: Further headers of the answer.
        more: Further members, such as ``resource`` or ``link``.
    """
    title = TITLES.get(fragment, fragment)
    document: dict[str, object] = {
        "type": ERROR_BASE + fragment,
        "title": title,
        "status": status,
        "detail": detail or f"{title}.",
        **more,
    }
    if errors is not None:
        document["errors"] = list(errors)
    return Answer(status, orjson.dumps(document), "application/problem+json", headers or {})
