"""One page of a search, from its JSON. Source: contract section 7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from payroc_async import models
from payroc_async.errors import ResponseFormatError
from payroc_async.models.page import Page

from .answer_ids import id_in
from .converter import structure, warn_once
from .scalars import PADDING

__all__ = ["structure_page"]

T = TypeVar("T")


def structure_page(data: object, cls: type[T]) -> Page[T]:
    """Reads decoded JSON as one page of a search.

    Args:
        data: What ``decode`` gave.
        cls: The class of what was searched for.

    Returns:
        The page. An item without an id is left out, with a warning, and stands in ``skipped``. A
        payment whose outcome can't be read is there, with ``Outcome.UNKNOWN``: that it exists must
        not be lost.

    Raises:
        ResponseFormatError: There is no list. It names the field, and holds no value.
    """
    if isinstance(data, Mapping) and "hasMore" not in data and "has_more" in data:
        data = {**data, "hasMore": data["has_more"]}  # both are shown
    if isinstance(data, Mapping) and data.get("links"):
        data = {**data, "links": _readable_links(data["links"])}
    page: Page[Any] = structure(data, Page)
    found: list[T] = []
    skipped: list[str] = []
    for i, item in enumerate(page.data):
        try:
            found.append(_read_item(item, cls))
        except ResponseFormatError as error:
            skipped.append(f"Page.data[{i}], {error}")
            warn_once(id_in(item), f"left out: {skipped[-1]}")
    return attrs.evolve(page, data=tuple(found), skipped=tuple(skipped))


NOWHERE = {"rel": "next previous", "href": ""}
"""In place of a link that can't be read: it is refused where it is followed, and not before.

Were it left out, the search would end there as if nothing came after.
"""


def _readable_links(given: object) -> list[object]:
    """The links of a page; what is no link, or leads nowhere, is not among them."""
    if isinstance(given, Mapping) and "href" in given:
        given = [given]
    links: list[object] = []
    unreadable = not isinstance(given, list)
    for link in given if isinstance(given, list) else ():
        if not isinstance(link, Mapping):
            unreadable = unreadable or link is not None
        elif link.get("href") is not None:  # it is, where some say that there is no such page
            links.append(_readable_link(link))
    return [*links, NOWHERE] if unreadable else links


def _readable_link(link: Mapping[str, object]) -> Mapping[str, object]:
    rel = link.get("rel")
    if isinstance(rel, list):  # as HTML has them, and some JSON
        rel = " ".join(map(str, rel))
    if not isinstance(link["href"], str) or not isinstance(rel, str | None):
        return {"rel": rel if isinstance(rel, str) else NOWHERE["rel"], "href": ""}
    return {**link, "rel": rel}


def _is_blank(id_: object) -> bool:
    return isinstance(id_, str) and not id_.strip(PADDING)


def _read_item(item: object, cls: type[T]) -> T:
    if isinstance(item, Mapping) and any(
        map(_is_blank, (item.get("paymentId"), item.get("refundId")))
    ):
        raise ResponseFormatError(f"{cls.__name__}: its id is empty")
    try:
        return structure(item, cls)
    except ResponseFormatError as error:
        reason = error
    if not isinstance(item, Mapping) or not issubclass(cls, models.Payment | models.Refund):
        raise reason
    # With the id alone: whether it was approved is not known then, but that it is there.
    result = item.get("transactionResult")
    known = result if isinstance(result, Mapping) else {}
    read = structure({**item, "transactionResult": {**known, "responseCode": ""}}, cls)
    warn_once(id_in(item), f"outcome unknown: {reason}")
    return attrs.evolve(read, raw=item)
