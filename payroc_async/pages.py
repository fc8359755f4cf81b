"""One page of a search, from its JSON. Source: contract section 7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from . import models
from .codec import id_in, structure, warn_once
from .errors import ResponseFormatError
from .models.page import Page

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
        ResponseFormatError: There is no list, or none of its links can be read. It names the field,
            and holds no value.
    """
    if isinstance(data, Mapping) and "hasMore" not in data and "has_more" in data:
        data = {**data, "hasMore": data["has_more"]}  # both are shown
    given = data.get("links") if isinstance(data, Mapping) else None
    if isinstance(data, Mapping) and isinstance(given, list):
        given = [_with_href(link) for link in given if _leads_somewhere(link)]
        data = {**data, "links": given}
    page: Page[Any] = structure(data, Page)
    if given and not page.links:
        raise ResponseFormatError("Page.links: not readable")
    found: list[T] = []
    skipped: list[str] = []
    for i, item in enumerate(page.data):
        try:
            found.append(_read_item(item, cls))
        except ResponseFormatError as error:
            skipped.append(f"Page.data[{i}], {error}")
            warn_once(id_in(item), f"left out: {skipped[-1]}")
    return attrs.evolve(page, data=tuple(found), skipped=tuple(skipped))


def _leads_somewhere(link: object) -> bool:
    """Whether it is more than the word that there is no such page, as some spell it."""
    return not isinstance(link, Mapping) or link.get("href") is not None


def _with_href(link: object) -> object:
    """A link to nowhere in place of one that can't be read: it is refused where it is followed.

    Were it left out, the search would end there as if nothing came after.
    """
    if isinstance(link, Mapping) and not isinstance(link["href"], str):
        return {**link, "href": ""}
    return link


def _read_item(item: object, cls: type[T]) -> T:
    if isinstance(item, Mapping) and "" in (item.get("paymentId"), item.get("refundId")):
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
