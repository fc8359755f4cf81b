"""What crosses the wire, as pure functions: requests are built, answers deciphered, links followed.

Bytes in, values or errors out; no input or output happens here.

Source: contract sections 1 to 3 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID, uuid4

from attrs import field, frozen

from . import models
from .codec import decode, structure, structure_page, whole_number
from .errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
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
from .kinds import Kind, Resource
from .models.enums import InstructionStatus
from .models.page import Page
from .models.shared import Link, Model

__all__ = [
    "Answer",
    "Request",
    "Token",
    "action_request",
    "cancel_request",
    "check_idempotency_key",
    "check_identifier",
    "decipher_instruction",
    "decipher_page",
    "decipher_resource",
    "decipher_success",
    "decipher_token",
    "find_instruction_id",
    "follow_link",
    "new_idempotency_key",
    "next_page_request",
    "previous_page_request",
    "resource_request",
    "search_request",
    "status_request",
    "submit_request",
]

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")


@frozen(eq=False, repr=False)
class Request(Model):
    """One request to the API, complete but for the token.

    ``path`` is percent-encoded and goes below the API's base. ``body`` was serialised once, so that
    every retry sends the same bytes.
    """

    method: str
    # A search's query may hold a cardholder's name.
    path: str = field(repr=lambda path: repr(path.partition("?")[0]))
    body: bytes | None = field(default=None, repr=False)
    idempotency_key: str | None = None


@frozen(eq=False, repr=False)
class Answer(Model):
    """An HTTP answer, read whole. Look headers up in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@frozen(eq=False, repr=False)
class Token(Model):
    """A Bearer token and its life in seconds; None if the answer gave none that can be read."""

    value: str = field(repr=False)
    lifetime: float | None


# Requests ----------


def check_identifier(field_name: str, value: object) -> str:
    """The value, if it can stand as one segment of a path.

    Raises:
        ConfigurationError: It is not a string, is empty, or holds what would change the path.
    """
    if not isinstance(value, str):
        raise ConfigurationError(field_name, f"must be a string, not {type(value).__name__}")
    if not value:
        raise ConfigurationError(field_name, "must not be empty")
    if value.isascii() and value.isalnum():
        return value  # as most are
    if re.search(r"[\s/\\?#%]", value) or not value.isprintable() or value in (".", ".."):
        raise ConfigurationError(
            field_name, "must not hold spaces, slashes or any other character that changes a path"
        )
    return value


def new_idempotency_key() -> str:
    """A fresh UUID v4."""
    return str(uuid4())


def check_idempotency_key(value: object) -> str:
    """The key unchanged, if it is a UUID v4 in its usual form.

    It is never normalised: a key replayed in other letters would be another key.

    Raises:
        ConfigurationError: It is anything else.
    """
    if isinstance(value, UUID):
        value = str(value)
    if not isinstance(value, str):
        raise ConfigurationError(
            "idempotency_key", f"must be a UUID v4, not {type(value).__name__}"
        )
    try:
        parsed = UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != 4 or str(parsed) != value.lower():
        raise ConfigurationError("idempotency_key", "must be a UUID v4 with its hyphens")
    return value


def _segment(identifier: str) -> str:
    """An identifier as one segment of a path."""
    plain = identifier.isascii() and identifier.isalnum()
    return identifier if plain else quote(identifier, safe="")


def submit_request(
    kind: Kind[Any, Any], serial_number: str, body: bytes, idempotency_key: str
) -> Request:
    """The POST that submits an instruction to a device."""
    path = f"/devices/{_segment(serial_number)}/{kind.collection}"
    return Request("POST", path, body, idempotency_key)


def status_request(kind: Kind[Any, Any], instruction_id: str) -> Request:
    """The GET that views an instruction's status; the gateway holds it while nothing changes."""
    return Request("GET", f"/{kind.collection}/{_segment(instruction_id)}")


def cancel_request(kind: Kind[Any, Any], instruction_id: str) -> Request:
    """The DELETE that cancels an instruction."""
    return Request("DELETE", f"/{kind.collection}/{_segment(instruction_id)}")


def resource_request(resource: Resource[Any], resource_id: str) -> Request:
    """The GET of a payment, or of another resource, by its id."""
    return Request("GET", f"/{resource.resources}/{_segment(resource_id)}")


def action_request(
    resource: Resource[Any], resource_id: str, action: str, body: bytes, idempotency_key: str
) -> Request:
    """The POST that does something to a resource, such as ``refund`` to a payment."""
    path = f"/{resource.resources}/{_segment(resource_id)}/{action}"
    return Request("POST", path, body, idempotency_key)


def search_request(resource: Resource[Any], filters: Mapping[str, str]) -> Request:
    """The GET of a search's first page. The filters are named as on the wire."""
    query = f"?{urlencode(filters)}" if filters else ""
    return Request("GET", f"/{resource.resources}{query}")


# Answers ----------

_ERRORS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
}


def decipher_success(answer: Answer) -> Answer:
    """The answer, if its status is 2xx.

    Raises:
        APIError: The subclass for its status.
        ResponseFormatError: It is a redirect or another status that an API does not answer with.
    """
    if 200 <= answer.status < 300:
        return answer
    if answer.status < 400:
        raise ResponseFormatError(f"HTTP {answer.status}: redirects are not followed")
    problem = _decipher_problem(answer.body)
    error_type = _ERRORS.get(answer.status, ServerError if answer.status >= 500 else APIError)
    # Published under both (contract section 9).
    if answer.status in (400, 409) and problem.fragment == "idempotency-key-in-use":
        error_type = IdempotencyKeyInUseError
    raise error_type(
        answer.status,
        problem,
        retry_after=_retry_after(answer.headers),
        headers=answer.headers,
    )


def _decipher_problem(body: bytes) -> Problem:
    """The problem document, as far as there is one: a proxy's HTML makes an empty one."""
    try:
        data = decode(body)
    except ResponseFormatError:
        return Problem()
    if not isinstance(data, dict):
        return Problem()

    def text(source: dict[str, Any], name: str) -> str | None:
        value = source.get(name)
        return value if isinstance(value, str) else None

    errors = data.get("errors")
    return Problem(
        type=text(data, "type"),
        title=text(data, "title"),
        status=whole_number(data.get("status")),
        detail=text(data, "detail"),
        instance=text(data, "instance"),
        errors=tuple(
            ProblemDetail(text(item, "parameter"), text(item, "detail"), text(item, "message"))
            for item in (errors if isinstance(errors, list) else ())
            if isinstance(item, dict)
        ),
        raw=data,
    )


def _http_date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
        # In UTC, so that a date that UTC has no year for is refused here, not where it is compared.
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except Exception:
        return None  # the header may hold anything, and the parser of dates may raise anything


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from either form of ``Retry-After``; None without one that can be read."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = _http_date(value)
        if until is None:
            return None
        # Against the answer's own date: the two clocks may disagree, one clock does not.
        now = _http_date(headers.get("date")) or datetime.now(UTC)
        seconds = (until - now).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


def decipher_token(answer: Answer) -> Token:
    """The token of an answer to authorize.

    Source: contract section 1: be ready for any ``expires_in``.

    Raises:
        APIError: The identity service refused.
        ResponseFormatError: The answer holds no token.
    """
    data = decode(decipher_success(answer).body)
    value = data.get("access_token") if isinstance(data, dict) else None
    # What is not printable ASCII without spaces can't stand in a header.
    if not isinstance(data, dict) or not isinstance(value, str) or not _HEADER_SAFE(value):
        raise ResponseFormatError("the identity service answered without an access_token")
    try:
        lifetime = float(data.get("expires_in"))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return Token(value, None)
    return Token(value, lifetime if isfinite(lifetime) else None)


_HEADER_SAFE = re.compile(r"[!-~]+").fullmatch


def decipher_instruction(
    kind: Kind[InstructionT, Any], answer: Answer, instruction_id: str | None = None
) -> InstructionT:
    """The instruction that an answer shows.

    Args:
        kind: The kind of instruction that was asked for.
        answer: The gateway's answer.
        instruction_id: The instruction that was asked for; None for the answer to a submission.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no instruction, is another one than was asked for, or is
            completed without a link that can be followed.
    """
    instruction = structure(decode(decipher_success(answer).body), kind.instruction_type())
    try:
        check_identifier("instruction id", instruction.instruction_id)
    except ConfigurationError as error:
        raise ResponseFormatError(str(error)) from None
    if instruction_id is not None and instruction.instruction_id != instruction_id:
        raise ResponseFormatError("the answer shows another instruction than was asked for")
    if instruction.status == InstructionStatus.COMPLETED:
        follow_link(kind, instruction.link)
    return instruction


def find_instruction_id(kind: Kind[Any, Any], answer: Answer) -> str | None:
    """The id of the instruction that any answer to a submission holds, whatever its status."""
    try:
        data = decode(answer.body)
        value = data.get(f"{kind.noun}InstructionId") if isinstance(data, dict) else None
        return check_identifier("instruction id", value) if value else None
    except (ResponseFormatError, ConfigurationError):
        return None


def follow_link(kind: Kind[Any, Any], link: Link | None) -> Request:
    """The GET of what a completed instruction links to.

    A link is followed by its path alone, on the configured API's host: links name the production
    host in every environment. The path says what a link leads to, ``rel`` does not.

    Source: contract sections 3 and 9.

    Raises:
        ResponseFormatError: There is no link, or it leads elsewhere than to such a resource.
    """
    if link is None:
        raise ResponseFormatError(f"the completed instruction has no link to its {kind.noun}")
    try:
        path = urlsplit(link.href).path
    except ValueError:
        path = ""
    head, _, resource_id = path.rpartition("/")
    if (link.method or "GET").upper() != "GET" or not head.endswith(f"/v1/{kind.resources}"):
        raise ResponseFormatError(f"the completed instruction's link leads to no {kind.noun}")
    try:
        return resource_request(kind, check_identifier("link", resource_id))
    except ConfigurationError:
        raise ResponseFormatError(
            f"the completed instruction's link leads to no {kind.noun}"
        ) from None


def decipher_resource(resource: Resource[ResourceT], answer: Answer, request: Request) -> ResourceT:
    """The payment, or other resource, that an answer to ``request`` shows.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no payment, or is another one than was asked for.
    """
    found = structure(decode(decipher_success(answer).body), resource.resource_type())
    shown = resource.resource_id(found)
    # "/payments/M2MJOG6O2Y", and perhaps "/refund" behind it.
    asked = request.path.split("/")[2]
    if shown is not None and _segment(shown) != asked:
        raise ResponseFormatError(f"the answer shows another {resource.noun} than was asked for")
    return found


def decipher_page(resource: Resource[ResourceT], answer: Answer) -> Page[ResourceT]:
    """One page of a search.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no such page.
    """
    return structure_page(decode(decipher_success(answer).body), resource.resource_type())


def next_page_request(resource: Resource[Any], page: Page[Any]) -> Request | None:
    """The GET of the page after this one; None after the last.

    Source: contract section 7.

    Raises:
        ResponseFormatError: There is more, but no link that leads there.
    """
    if page.has_more is False:
        return None
    if page.next_link is None and page.has_more:
        raise ResponseFormatError("there is another page, but no link to it")
    return _page_request(resource, page.next_link)


def previous_page_request(resource: Resource[Any], page: Page[Any]) -> Request | None:
    """The GET of the page before this one; None before the first.

    Raises:
        ResponseFormatError: The link leads elsewhere.
    """
    return _page_request(resource, page.previous_link)


def _page_request(resource: Resource[Any], link: Link | None) -> Request | None:
    """Like every link, one to a page is followed by its path, and here its query, alone."""
    if link is None:
        return None
    try:
        target = urlsplit(link.href)
    except ValueError:
        target = urlsplit("")
    following = Request("GET", f"/{resource.resources}?{target.query}")
    is_search = target.path.endswith(f"/v1/{resource.resources}") and target.query
    if not is_search or not _HEADER_SAFE(following.path):
        raise ResponseFormatError("the link to another page does not lead to one")
    return following
