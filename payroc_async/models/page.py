"""One page of a search. Source: contract section 7."""

from __future__ import annotations

from typing import Generic, TypeVar

from attrs import frozen

from .shared import Link, Model

__all__ = ["Page"]

T = TypeVar("T")


@frozen(kw_only=True, eq=False, repr=False)
class Page(Model, Generic[T]):
    """One page of a search. Source: contract section 7.

    Attributes:
        limit: The most that a page holds.
        count: How many this one holds.
        has_more: Whether there is another one; None where the gateway does not say.
        data: What was found.
        skipped: Of each entry that is not in ``data``, for it has no id that can be read: which it
            is, and why.
    """

    limit: int | None = None
    count: int | None = None
    has_more: bool | None = None
    links: tuple[Link, ...] = ()
    data: tuple[T, ...]
    skipped: tuple[str, ...] = ()

    @property
    def next_link(self) -> Link | None:
        """To the next page; None on the last one."""
        return self._link("next")

    @property
    def previous_link(self) -> Link | None:
        """To the page before; None on the first one."""
        return self._link("previous")

    def _link(self, rel: str) -> Link | None:
        return next((link for link in self.links if rel in (link.rel or "").lower().split()), None)
