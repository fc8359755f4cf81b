"""From JSON to models and back: one cattrs converter, camelCase on the wire by rule.

An answer's required fields must be readable: they are what its outcome is read from. An optional
field that is not, or an item of a list, is dropped with a warning, and nothing else with it: a
payment's outcome must not be lost because of a detail. Most fields are read, and warned of, when
they are asked for. No error and no log line holds a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any, TypeVar, get_args

import attrs
import orjson
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from payroc_async import models
from payroc_async.errors import ResponseFormatError
from payroc_async.logs import get_logger
from payroc_async.models.enums import OpenEnum
from payroc_async.models.shared import Raw, ReadOnDemand

from .answer_ids import ID_FIELDS, id_in
from .fields import camel_case, is_optional, is_tuple, polisher, without_none
from .json_text import decode
from .scalars import (
    PADDING,
    read_bool,
    read_date,
    read_datetime,
    read_float,
    read_int,
    read_text,
)

__all__ = [
    "decode",
    "encode",
    "encode_query",
    "order_id_in",
    "prepare",
    "structure",
    "unstructure",
    "warn_once",
]

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

logger = get_logger(__name__)


def structure(data: object, cls: type[T]) -> T:
    """Reads decoded JSON as a model.

    Args:
        data: What ``decode`` gave.
        cls: The model's class.

    Returns:
        The model. An optional field that could not be read is None, or empty if it is a list.

    Raises:
        ResponseFormatError: A required field is missing or cannot be read. It names the field, and
            holds no value.
    """
    try:
        return converter.structure(data, cls)
    except Exception:
        # What was raised holds values, and names no field: read it again, slowly, to learn which.
        # Outside of this block, so that no error's context carries them along.
        pass
    try:
        model: T = _read_model(data, cls, cls.__name__, id_in(data))
        return model
    except _Unreadable as unreadable:
        reason = str(unreadable)
    raise ResponseFormatError(reason)


def prepare(cls: type) -> None:
    """Build what reads and writes this class now, not during the first sale."""
    converter.get_structure_hook(cls)
    converter.get_unstructure_hook(cls)


def unstructure(model: object) -> dict[str, Any]:
    """A model as a JSON object: camelCase, and without what is None or an empty list."""
    json: dict[str, Any] = converter.unstructure(model)
    return json


def encode(model: object) -> bytes:
    """A model as JSON, always the same bytes for the same model."""
    # A copy: orjson's own bytes hold on to the whole buffer that they were written in, 4 KB.
    return bytes(memoryview(orjson.dumps(unstructure(model))))


def order_id_in(body: bytes | None) -> str | None:
    """The caller's id of the order that a request's bytes hold; None where there is none."""
    request = orjson.loads(body) if body else {}
    order_id: str | None = request.get("order", {}).get("orderId")
    return order_id


def encode_query(filters: object) -> list[tuple[str, str]]:
    """A model's fields as those of a query: camelCase, ``true`` for True, and without None.

    A field with several values is repeated (contract section 7).
    """
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, given in unstructure(filters).items()
        for value in (given if isinstance(given, list | tuple) else [given])
    ]


# What could not be read.


@lru_cache(maxsize=4096)
def warn_once(about: str, what: str) -> None:
    """Warn of what could not be read, once and not at every retry.

    Args:
        about: The id of what was read; empty if it has none.
        what: The field, and what is wrong with it. Holds no value.
    """
    logger.warning("not all of %s could be read: %s", about or "an answer", what)


def _warn(about: str, unreadable: _Unreadable) -> None:
    warn_once(about, str(unreadable))


# The fast way. cattrs generates a function for each class when it is first met, not on import.

converter = Converter(detailed_validation=False)


def _model_reader(cls: type[Any]) -> Hook:
    """Three times as fast as what cattrs generates, which asks for every field by itself.

    Most fields are optional, most of those are not there, and most that are there are plain.
    """
    if issubclass(cls, ReadOnDemand):
        return _on_demand_reader(cls)
    fields: list[tuple[str, str, Any, Hook, Any]] = []
    ids: list[str] = []
    for field in attrs.fields(attrs.resolve_types(cls)):
        if not field.init:
            continue  # the word that says which of several variants it is
        key, wanted = camel_case(field.name), without_none(field.type)
        if key in ID_FIELDS:
            ids.append(field.name)
        read = _as_is if field.name == "raw" else converter.get_structure_hook(wanted)
        plain = wanted if wanted in (str, int, bool) else None
        fields.append((key, field.name, plain, read, wanted))
    has_raw = "raw" in attrs.fields_dict(cls)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise TypeError
        get = value.get
        given: dict[str, Any] = {}
        for key, name, plain, read, wanted in fields:
            found = get(key)
            if found is not None:
                given[name] = found if type(found) is plain else read(found, wanted)
        for name in ids:
            if name in given:
                given[name] = given[name].strip(PADDING)
        if has_raw:
            given["raw"] = value
        return cls(**given)  # a required one that is missing is missed here

    return hook


def _on_demand_reader(cls: type[Any]) -> Hook:
    """Reads at once what an answer is refused for, and what decides; leaves all else."""
    at_once: list[tuple[str, Callable[[Any, Any], None], Any, Hook, Any, Any]] = []
    for field in attrs.fields(attrs.resolve_types(cls)):
        key, wanted = camel_case(field.name), without_none(field.type)
        cls._readers[field.name] = _detail_reader(field, f"{cls.__name__}.{key}")
        if (required := field.default is attrs.NOTHING) or field.name in cls._at_once:
            read, slot = converter.get_structure_hook(wanted), getattr(cls, field.name)
            at_once.append((key, slot.__set__, wanted, read, polisher(field), required))
    keep, name_by = cls._details.__set__, cls._root.__set__
    finish = getattr(cls, "__attrs_post_init__", None)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):
            raise TypeError
        model = object.__new__(cls)
        keep(model, value)
        name_by(model, value)
        for key, set_field, wanted, read, polish, required in at_once:
            found = value.get(key)
            if found is not None:
                if type(found) is not wanted:
                    found = read(found, wanted)
                set_field(model, found if polish is None else polish(found))
                if isinstance(found, ReadOnDemand):
                    name_by(found, value)
            elif required:
                raise TypeError
        if finish is not None:
            finish(model)
        return model

    return hook


def _detail_reader(field: attrs.Attribute[Any], path: str) -> Callable[[Any, Any], Any]:
    wanted, key, default = without_none(field.type), camel_case(field.name), field.default
    if field.name == "raw":
        return lambda details, _: Raw(details)
    read, polish = converter.get_structure_hook(wanted), polisher(field)

    def read_detail(details: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
        value = details.get(key)
        if value is None:
            return default
        try:
            detail = read(value, wanted)
        except Exception:
            detail = _READ_AGAIN  # outside of this block: what was raised holds values
        if detail is _READ_AGAIN:
            about = id_in(root) or id_in(details)
            try:
                detail = _read_value(value, wanted, path, about)
            except _Unreadable as unreadable:
                _warn(about, unreadable)
                return default
        if isinstance(detail, ReadOnDemand):
            object.__setattr__(detail, "_root", root)
        return detail if polish is None else polish(detail)

    return read_detail


_READ_AGAIN = object()


def _optional_reader(cls: Any) -> Hook:
    """The same as cattrs does, but looked up once: most fields are optional."""
    wanted = without_none(cls)
    read = converter.get_structure_hook(wanted)

    def hook(value: Any, _: Any) -> Any:
        return None if value is None else read(value, wanted)

    return hook


def _tuple_reader(cls: Any) -> Hook:
    item_type = get_args(cls)[0]
    read = converter.get_structure_hook(item_type)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError
        return tuple([read(item, item_type) for item in value])

    return hook


def _model_writer(cls: type[Any]) -> Callable[[Any], dict[str, Any]]:
    overrides: dict[str, Any] = {
        a.name: override(
            rename=camel_case(a.name),
            omit=a.name == "raw",
            omit_if_default=a.default in (None, (), "") or attrs.has(type(a.default)),
        )
        for a in attrs.fields(cls)
    }
    return make_dict_unstructure_fn(cls, converter, **overrides)


def _as_is(value: Any, _: Any) -> Any:
    return value


def _is_open(cls: Any) -> bool:
    return isinstance(cls, TypeVar)  # what a page is of


@cache
def _words(cls: type[OpenEnum]) -> dict[str, OpenEnum]:
    return {member.value: member for member in cls}


def _read_enum(value: Any, cls: type[OpenEnum]) -> OpenEnum:
    words = _words(cls)  # Enum's own way is seven times as slow
    # A known word may be padded, as fields of a fixed length are; an unknown one is as it came.
    return words.get(value) or words.get(value.strip(PADDING)) or cls(value)


def _read_closed_loop_options(value: Any, _: Any) -> models.ClosedLoopOptions:
    options = dict(value)
    return models.ClosedLoopOptions(type=options.pop("type"), options=options)


def _is_variant(cls: Any) -> bool:
    return cls in (models.Adjustment, models.RefundAdjustment, models.ItemTax)


@cache
def _variants(cls: Any) -> dict[str, type[Any]]:
    return {attrs.fields(kind).type.default: kind for kind in get_args(cls)}


def _read_variant(value: Any, cls: Any) -> Any:
    return converter.structure(value, _variants(cls)[value["type"]])


def _write_date_time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


for scalar, reader in (
    (str, read_text),
    (bool, read_bool),
    (float, read_float),
    (int, read_int),
    (date, read_date),
    (datetime, read_datetime),
):
    converter.register_structure_hook(scalar, lambda value, _, read=reader: read(value))
converter.register_structure_hook(OpenEnum, _read_enum)
converter.register_structure_hook_func(_is_open, _as_is)
converter.register_structure_hook_factory(is_optional, _optional_reader)
converter.register_structure_hook_factory(is_tuple, _tuple_reader)
converter.register_structure_hook_factory(attrs.has, _model_reader)
# cattrs asks the last registered first.
converter.register_structure_hook(models.ClosedLoopOptions, _read_closed_loop_options)
converter.register_structure_hook_func(_is_variant, _read_variant)

converter.register_unstructure_hook(OpenEnum, lambda word: word.value)
converter.register_unstructure_hook(date, date.isoformat)
converter.register_unstructure_hook(datetime, _write_date_time)
converter.register_unstructure_hook_factory(attrs.has, _model_writer)
converter.register_unstructure_hook(
    models.ClosedLoopOptions, lambda given: {**given.options, "type": given.type.value}
)


# The slow way, for an answer that the fast one could not read.


class _Unreadable(Exception):
    """Which field cannot be read, and in what way."""


def _read_model(value: Any, cls: type[Any], path: str, about: str = "") -> Any:
    if not isinstance(value, Mapping):
        raise _Unreadable(f"{path}: not an object")
    read: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(cls)):
        key = camel_case(field.name)
        if field.name == "raw":
            read["raw"] = value
        elif field.default is attrs.NOTHING:
            if key not in value:
                raise _Unreadable(f"{path}.{key}: missing")
            read[field.name] = _read_value(value[key], field.type, f"{path}.{key}", about)
        elif value.get(key) is not None:
            try:
                read[field.name] = _read_value(value[key], field.type, f"{path}.{key}", about)
            except _Unreadable as unreadable:
                _warn(about, unreadable)
        if key in ID_FIELDS and field.name in read:
            read[field.name] = read[field.name].strip(PADDING)
    return cls(**read)


def _read_value(value: Any, cls: Any, path: str, about: str) -> Any:
    cls = without_none(cls)
    if is_tuple(cls) and isinstance(value, list):
        return tuple(_read_items(value, get_args(cls)[0], path, about))
    if attrs.has(cls):
        return _read_model(value, cls, path, about)
    try:
        return converter.structure(value, cls)
    except Exception:
        raise _Unreadable(f"{path}: not readable, found {type(value).__name__}") from None


def _read_items(items: list[Any], cls: Any, path: str, about: str) -> Iterator[Any]:
    for i, item in enumerate(items):
        try:
            yield _read_value(item, cls, f"{path}[{i}]", about)
        except _Unreadable as unreadable:
            _warn(about, unreadable)
