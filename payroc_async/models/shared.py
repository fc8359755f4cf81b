"""What several models are made of: links, and the JSON that an answer came as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["Link", "Raw"]


class Raw(Mapping[str, Any]):
    """The JSON object that a model was read from, whole and read-only.

    It holds every field that the gateway sent, those that no model knows too, and so may hold card
    data: its repr shows nothing of it. ``dict(raw)`` is a copy.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members: Mapping[str, Any] = members._members if isinstance(members, Raw) else members

    def __getitem__(self, key: str) -> Any:
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Raw: {len(self)} members>"


@frozen(kw_only=True)
class Link:
    """Where an answer leads. Only the path of ``href`` counts, neither ``rel`` nor its host.

    Source: contract section 3.

    Attributes:
        rel: What the gateway calls the relation; seen in several spellings.
        method: The HTTP method; ``GET`` where the gateway leaves it out, so that a completed sale
            is not lost for want of it.
        href: An absolute URL.
    """

    rel: str | None = None
    method: str = "GET"
    # Its query may hold a cardholder's name.
    href: str = field(repr=lambda href: repr(href.partition("?")[0]))
