"""The links of answers: where they lead, in whatever spelling. Pure.

A link is followed by its path alone, on the configured API's host: links name the production host
in every environment, and the token is sent nowhere else (P7).

Source: contract sections 3, 7 and 9.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urljoin, urlsplit

from attrs import field, frozen

from payroc_async.models.shared import Model

from .scalars import PADDING

__all__ = ["LinkTarget", "link_target"]

API = "https://api.payroc.com/v1/"
"""What relative references are resolved against; which host it is does not matter."""


@frozen(eq=False, repr=False)
class LinkTarget(Model):
    """Where a link leads.

    Attributes:
        path: Its segments, decoded. Empty if the link leads nowhere.
        query: As it can stand in a request. It may hold a cardholder's name.
    """

    path: tuple[str, ...]
    query: str = field(default="", repr=False)


def link_target(href: str, document: str = "") -> LinkTarget:
    """Where a link leads. The caller decides whether it may lead there.

    What can't be seen around it, a slash at its end, percent-encoded letters, relative references,
    and text that should have been percent-encoded are understood.

    Args:
        href: The link.
        document: What the link stands in, below the API's base, where that is a list: its links may
            be no more than a query.
    """
    if plain := _PLAIN(href):
        return LinkTarget(tuple(plain[1].split("/")))
    try:
        found = urlsplit(urljoin(API + document, href.strip(PADDING)))
        path = [unquote(segment, errors="strict") for segment in _segments(found.path)]
    except ValueError:
        return LinkTarget(())  # no URL, or bytes that are no text
    if found.scheme not in ("http", "https"):
        return LinkTarget(())
    return LinkTarget(tuple(path), _sendable(found.query))


_PLAIN = re.compile(r"https?://[a-z0-9.:-]+((?:/[A-Za-z0-9_~-]+)+)").fullmatch
"""A link as Payroc gives it, with nothing in it that needs to be understood."""


def _segments(path: str) -> list[str]:
    """Without dot segments, as RFC 3986 has it, and without one slash at the end."""
    segments: list[str] = []
    for segment in path.removesuffix("/").split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment != ".":
            segments.append(segment)
    return segments


def _sendable(query: str) -> str:
    """A query with what it may not hold percent-encoded, and what is encoded left alone."""
    query = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", query)
    return quote(query, safe="%!$&'()*+,;=:@/?-._~[]", errors="replace")
