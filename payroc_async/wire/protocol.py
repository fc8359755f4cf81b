"""What crosses the wire, as pure functions: requests are built, answers deciphered, links followed.

Bytes in, values or errors out; no input or output happens here.

Source: contract sections 1 to 3 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlencode
from uuid import UUID, uuid4

from attrs import define, evolve, field, frozen

from payroc_async import models
from payroc_async.errors import ConfigurationError, ResponseFormatError
from payroc_async.kinds import Kind, Resource
from payroc_async.models.page import Page
from payroc_async.models.shared import Link, Model
from payroc_async.wording import a_type, show

from .answers import Answer, decipher_success, decoded
from .converter import structure
from .links import link_target
from .page_reader import structure_page
from .scalars import PADDING, read_text

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


@define(eq=False, repr=False)  # frozen ones are slower to make, and each request makes one
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

    @property
    def changes_nothing(self) -> bool:
        """Whether it only asks: a GET, or one of the POSTs that Payroc takes without a key."""
        return self.method == "GET" or (self.method == "POST" and self.idempotency_key is None)


@frozen(eq=False, repr=False)
class Token(Model):
    """A Bearer token and its life in seconds; None if the answer gave none that can be read."""

    value: str = field(repr=False)
    lifetime: float | None


# Requests ----------


_LENGTHS = {
    "serial_number": (1, 64),
    "processing_terminal_id": (4, 50),
    "secure_token_id": (1, 200),
    "model": (1, 30),
}
"""What Payroc takes (contract section 2) of the ids that a merchant knows in advance. Those that
the gateway makes up are opaque, and may be longer than it says."""


def check_identifier(field_name: str, value: object) -> str:
    """The value, if it can stand as one segment of a path.

    Raises:
        ConfigurationError: It is not a string, is empty or too short or long, or holds what would
            change the path.
    """
    if not isinstance(value, str):
        raise ConfigurationError(field_name, f"must be a string, not {a_type(value)}")
    if not value:
        raise ConfigurationError(field_name, "must not be empty")
    least, most = _LENGTHS.get(field_name, (1, len(value)))
    if not least <= len(value) <= most:
        raise ConfigurationError(
            field_name, f"must have {least} to {most} characters, has {len(value)}"
        )
    if value.isascii() and value.isalnum():
        return value  # as most are
    if re.search(r"[\s/\\?#%]", value) or not value.isprintable() or value in (".", ".."):
        raise ConfigurationError(
            field_name,
            "must not hold spaces, slashes or any other character that changes a path, "
            f"is {show(value)}",
        )
    return value


def _is_identifier(value: str) -> bool:
    try:
        check_identifier("id", value)
    except ConfigurationError:
        return False
    return True


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
            "idempotency_key", f"must be a UUID v4, as str(uuid.uuid4()), not {a_type(value)}"
        )
    try:
        parsed = UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != 4 or str(parsed) != value.lower():
        raise ConfigurationError(
            "idempotency_key",
            f"must be a UUID v4 with its hyphens, as str(uuid.uuid4()), not {show(value)}",
        )
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
    resource: Resource[Any],
    resource_id: str,
    action: str,
    body: bytes | None,
    idempotency_key: str,
) -> Request:
    """The POST that does something to a resource, such as ``refund`` to a payment."""
    path = f"/{resource.resources}/{_segment(resource_id)}/{action}"
    return Request("POST", path, body, idempotency_key)


def search_request(resource: Resource[Any], filters: Sequence[tuple[str, str]]) -> Request:
    """The GET of a search's first page. The filters are named as on the wire, and may repeat."""
    query = f"?{urlencode(filters)}" if filters else ""
    return Request("GET", f"/{resource.resources}{query}")


# Answers ----------


def decipher_token(answer: Answer) -> Token:
    """The token of an answer to authorize.

    Source: contract section 1: be ready for any ``expires_in``.

    Raises:
        APIError: The identity service refused.
        ResponseFormatError: The answer holds no token.
    """
    data = decoded(decipher_success(answer))
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

    Its id is all that it needs, in its field or in a link to itself. Where the status is missing or
    can't be read, it is an empty word, which is no end of an instruction. A completed one may lack
    a link that can be followed: see ``follow_link``.

    Args:
        kind: The kind of instruction that was asked for.
        answer: The gateway's answer.
        instruction_id: The instruction that was asked for; None for the answer to a submission.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no instruction, or is another one than was asked for.
    """
    instruction = _instruction_in(kind, decoded(decipher_success(answer)))
    shown = instruction.instruction_id
    if shown != instruction_id and not _is_identifier(shown):
        raise ResponseFormatError("the instruction's id can't stand in a path")
    if instruction_id is not None and shown != instruction_id:
        raise ResponseFormatError("the answer shows another instruction than was asked for")
    return instruction


def _instruction_in(kind: Kind[InstructionT, Any], data: object) -> InstructionT:
    try:
        return structure(data, kind.instruction_type)
    except ResponseFormatError as error:
        unreadable = error
    link = data.get("link") if isinstance(data, dict) else None
    href = link.get("href") if isinstance(link, dict) else None
    instruction_id = _id_at(href, kind.collection) if isinstance(href, str) else None
    if instruction_id is None or not isinstance(data, dict):
        raise unreadable
    named = {**data, f"{kind.noun}InstructionId": instruction_id}
    return evolve(structure(named, kind.instruction_type), raw=data)


def _id_at(href: str, collection: str) -> str | None:
    """The id of the collection's item that a link leads to; None if it leads elsewhere."""
    *_, version, found, id_ = ("", "", "", *link_target(href).path)
    id_ = id_.strip(PADDING)
    return id_ if (version, found) == ("v1", collection) and _is_identifier(id_) else None


def find_instruction_id(kind: Kind[Any, Any], answer: Answer) -> str | None:
    """The id of the instruction that any answer to a submission holds, whatever its status."""
    try:
        data = decoded(answer)
        value = data[f"{kind.noun}InstructionId"] if isinstance(data, dict) else None
        return check_identifier("instruction id", read_text(value).strip(PADDING))
    except (ResponseFormatError, ConfigurationError, KeyError, TypeError):
        return None


def follow_link(kind: Kind[Any, Any], link: Link | None) -> Request:
    """The GET of what a completed instruction links to.

    A link is followed by its path alone, on the configured API's host: see ``links``. The path says
    what a link leads to, ``rel`` does not.

    Source: contract sections 3 and 9.

    Raises:
        ResponseFormatError: There is no link, or it leads elsewhere than to such a resource.
    """
    if link is None:
        raise ResponseFormatError(f"the completed instruction has no link to its {kind.noun}")
    resource_id = _id_at(link.href, kind.resources)
    if resource_id is None or (link.method.strip() or "GET").upper() != "GET":
        raise ResponseFormatError(f"the completed instruction's link leads to no {kind.noun}")
    return resource_request(kind, resource_id)


def decipher_resource(resource: Resource[ResourceT], answer: Answer, request: Request) -> ResourceT:
    """The payment, or other resource, that an answer to ``request`` shows.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no payment, or is another one than was asked for.
    """
    found = structure(decoded(decipher_success(answer)), resource.resource_type)
    shown = resource.resource_id(found)
    if shown is None and found == resource.resource_type():
        # Nothing in it has to be there, but something must be: a proxy's JSON is none.
        raise ResponseFormatError(f"the answer shows no {resource.noun}")
    result = found.transaction_result if isinstance(found, models.Payment | models.Refund) else None
    if result is not None and not result.response_code.strip(PADDING):
        raise ResponseFormatError(f"the {resource.noun}'s responseCode is empty")
    # "/payments/M2MJOG6O2Y", and perhaps "/refund" behind it; or "/payments" alone.
    asked = request.path.removeprefix(f"/{resource.resources}").split("/")[1:2]
    if shown is not None and asked and asked != [_segment(shown)]:
        raise ResponseFormatError(f"the answer shows another {resource.noun} than was asked for")
    return found


def decipher_page(resource: Resource[ResourceT], answer: Answer) -> Page[ResourceT]:
    """One page of a search.

    Raises:
        APIError: The gateway answered with an error.
        ResponseFormatError: The answer is no such page.
    """
    return structure_page(decoded(decipher_success(answer)), resource.resource_type)


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
    target = link_target(link.href, resource.resources)
    wanted = ("v1", *map(unquote, resource.resources.split("/")))
    if target.path[-len(wanted) :] != wanted or not target.query:
        raise ResponseFormatError("the link to another page does not lead to one")
    return Request("GET", f"/{resource.resources}?{target.query}")
