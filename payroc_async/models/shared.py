"""What several models are made of: links, and the JSON that an answer came as."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from attrs import Attribute, AttrsInstance, field, fields, frozen

__all__ = ["Link", "Model", "Raw", "ReadOnDemand", "size"]


class Model:
    """What all models do alike: they are shown, compared and hashed by their fields.

    attrs would write all three for each class anew, and compile them in each process: over a half
    of what the import of all models takes.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        compared = [field.name for field in _fields(self) if field.eq]
        return all(getattr(self, name) == getattr(other, name) for name in compared)

    def __hash__(self) -> int:
        hashed = [field.name for field in _fields(self) if field.eq and field.hash is not False]
        return hash((type(self), *[getattr(self, name) for name in hashed]))

    def __repr__(self) -> str:
        shown = [
            f"{field.name}={_shown(field, getattr(self, field.name))}"
            for field in _fields(self)
            if field.repr
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _fields(model: Model) -> tuple[Attribute[Any], ...]:
    found: tuple[Attribute[Any], ...] = fields(cast(type[AttrsInstance], type(model)))
    return found


def _shown(field: Attribute[Any], value: object) -> str:
    return field.repr(value) if callable(field.repr) else repr(value)


def size(amount: int | None) -> int | None:
    """A sum without its sign, which says which way the money goes (contract section 5).

    Payroc gives a refund's sums as negative in one place and positive in another. A model says by
    what it is which way the money goes, so its sums are sizes; ``raw`` has them as they came.
    """
    return None if amount is None else abs(amount)


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


class ReadOnDemand(Model):
    """A model whose fields are read from their JSON when somebody asks for them.

    At once, only those are read that an answer is refused for, or that decide. Most fields of a
    sale are never looked at, and reading them all costs more than all else of a payment. Read or
    not, a model is the same: it is compared, copied and pickled as if all had always been there.
    """

    __slots__ = ("_details", "_root")  # its JSON, and that of the answer whose id it is named by
    _at_once: ClassVar[tuple[str, ...]] = ()
    """Optional fields that decide."""
    _readers: ClassVar[dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Any]]] = {}
    """What reads each field, from both of these; set by the converter."""

    def __init_subclass__(cls) -> None:
        cls._readers = {}

    if not TYPE_CHECKING:  # else any name would pass for a field

        def __getattr__(self, name: str) -> Any:
            # Asked where a slot is empty: for a field that was not read yet.
            read = self._readers.get(name)
            if read is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            found = read(self._details, self._root)
            object.__setattr__(self, name, found)
            return found


@frozen(kw_only=True, eq=False, repr=False)
class Link(Model):
    """Where an answer leads. Only the path of ``href`` counts, neither ``rel`` nor its host.

    Source: contract section 3.

    Attributes:
        rel: What the gateway calls the relation; seen in several spellings.
        method: The HTTP method; ``GET`` where the gateway leaves it out, so that a completed sale
            is not lost for lack of it.
        href: An absolute URL.
    """

    rel: str | None = None
    method: str = "GET"
    # Its query may hold a cardholder's name.
    href: str = field(repr=lambda href: repr(href.partition("?")[0]))
