"""An HTTP answer: its JSON, and the error that it is if it is none of success. Pure.

Source: contract section 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from attrs import define, field

from payroc_async.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    IdempotencyKeyInUseError,
    NotFoundError,
    Problem,
    ProblemDetail,
    RateLimitedError,
    ResponseFormatError,
    ServerError,
)
from payroc_async.models.shared import Link, Model

from .json_text import decode
from .scalars import whole_number

__all__ = ["Answer", "decipher_success", "decoded", "without_secret"]


@define(eq=False, repr=False)  # frozen ones are slower to make, and each request makes one
class Answer(Model):
    """An HTTP answer, read whole. Look headers up in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    host: str = ""
    """Where it came from."""


_ERRORS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}

_BY_FRAGMENT: Mapping[str, type[APIError]] = {
    "attribute-conflict": ConflictError,
    "bad-request": BadRequestError,
    "cannot-be-canceled": ConflictError,
    "cannot-be-modified": ConflictError,
    "capabilities-missing": BadRequestError,
    "card-type-not-supported": BadRequestError,
    "forbidden": ForbiddenError,
    "idempotency-key-in-use": IdempotencyKeyInUseError,
    "idempotency-key-missing": BadRequestError,
    "not-authorized": AuthenticationError,
    "not-found": NotFoundError,
    "resource-already-exists": ConflictError,
}
"""The errors that Payroc names. Source: contract section 8."""


def decipher_success(answer: Answer) -> Answer:
    """The answer, if its status is 2xx.

    Raises:
        APIError: The subclass for the error that Payroc names, else for the status.
        ResponseFormatError: It is a redirect or another status that an API does not answer with.
    """
    if 200 <= answer.status < 300:
        return answer
    if answer.status < 400:
        reason = "redirects are not followed" if answer.status > 299 else "no answer of the API's"
        raise ResponseFormatError(f"HTTP {answer.status}: {reason}")
    problem = _decipher_problem(answer)
    error = _error_type(answer.status, problem)(
        answer.status,
        problem,
        retry_after=_retry_after(answer.headers),
        headers=answer.headers,
    )
    error.host = answer.host
    raise error


def _error_type(status: int, problem: Problem) -> type[APIError]:
    """By the fragment first: Payroc publishes one error under several statuses (section 9).

    Not for 5xx, which says of the request that it may have taken effect, whatever it names.
    """
    if status >= 500:
        return ServerError
    return _BY_FRAGMENT.get(problem.fragment) or _ERRORS.get(status, APIError)


def without_secret(answer: Answer, secret: str) -> Answer:
    """The answer; an error's without the secret that it may echo, for errors get printed (P7).

    In each encoding that ``decode`` finds by itself, and in JSON's escapes: what can be read can be
    printed.
    """
    if answer.status < 400:
        return answer
    body = _ESCAPE.sub(_unescaped, answer.body)
    wide = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be") if b"\0" in body else ()
    for encoding in ("utf-8", *wide):
        body = body.replace(secret.encode(encoding), "***".encode(encoding))
    headers = {name.lower(): value.replace(secret, "***") for name, value in answer.headers.items()}
    return Answer(answer.status, headers, body, answer.host)


_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|(/)|.)", re.DOTALL)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """The same in JSON without the escape, where it needs none: encoders escape ``/`` and ``+``."""
    plain = escape[2] or (bytes.fromhex(escape[1].decode()) if escape[1] else b"")
    return escape[0] if plain in (b"", b'"', b"\\", b"\x7f") else plain


def decoded(answer: Answer) -> object:
    """An answer's JSON.

    Raises:
        ResponseFormatError: It has none. Says what the answer is, and holds nothing of its text.
    """
    content_type = answer.headers.get("content-type", "")
    try:
        return decode(answer.body, content_type)
    except ResponseFormatError as error:
        reason = str(error)
    media_type = _MEDIA_TYPE(content_type)
    kind = media_type[1] if media_type else "no content type"
    raise ResponseFormatError(f"HTTP {answer.status}, {kind}: {reason}")


_MEDIA_TYPE = re.compile(r"\s*([\w.+-]{1,40}/[\w.+-]{1,60})", re.ASCII).match


def _decipher_problem(answer: Answer) -> Problem:
    """The problem document, as far as there is one: a proxy's HTML makes an empty one."""
    try:
        data = decoded(answer)
    except ResponseFormatError:
        return Problem()
    if not isinstance(data, dict):
        return Problem()

    def text(source: dict[str, Any], name: str) -> str | None:
        value = source.get(name)
        return value if isinstance(value, str) else None  # a number says nothing here

    errors = data.get("errors")
    return Problem(
        type=text(data, "type"),
        title=text(data, "title"),
        status=whole_number(data.get("status")),
        detail=text(data, "detail"),
        instance=text(data, "instance"),
        link=_link_in(data.get("link")),
        errors=tuple(
            ProblemDetail(text(item, "parameter"), text(item, "detail"), text(item, "message"))
            for item in (errors if isinstance(errors, list) else ())
            if isinstance(item, dict)
        ),
        raw=data,
    )


def _link_in(found: object) -> Link | None:
    href = found.get("href") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(href, str):
        return None
    rel, method = found.get("rel"), found.get("method")
    return Link(
        rel=rel if isinstance(rel, str) else None,
        method=method if isinstance(method, str) else "GET",
        href=href,
    )


def _http_date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
        # In UTC, so that a date that UTC has no year for is refused here, not where it is compared.
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except Exception:
        return None  # the header may hold anything, and the parser of dates may raise anything


_SECONDS = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII).fullmatch


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from either form of ``Retry-After``; None without one that can be read."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS(value):
        seconds = float(value)
    else:
        until = _http_date(value)
        if until is None:
            return None
        # Against the answer's own date: the two clocks may disagree, one clock does not.
        now = _http_date(headers.get("date")) or datetime.now(UTC)
        seconds = (until - now).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None
