"""Read or not, a model is the same: what is read on demand, beside the reading of all at once."""

from __future__ import annotations

import copy
import pickle
from datetime import date, datetime
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.models.enums import OpenEnum
from payroc_async.models.shared import Raw, ReadOnDemand
from payroc_async.wire import converter
from payroc_async.wire.converter import structure


def below(cls: type[Any]) -> list[type[Any]]:
    """All subclasses that an answer becomes."""
    found = [one for child in cls.__subclasses__() for one in below(child)]
    return found or [cls]


MODELS = sorted(below(ReadOnDemand), key=lambda cls: cls.__name__)
HEALTH = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
ODD: list[Any] = [None, 5, -7, "", " padded ", "A", True, 1.5, [], ["a", 3], {}, {"href": "x"}]


def wire_name(name: str) -> str:
    """Written anew here: the converter's own rule is under test."""
    head, *tail = name.split("_")
    return head + "".join(word[0].upper() + word[1:] for word in tail)


def values(wanted: Any, depth: int) -> st.SearchStrategy[Any]:
    """What a gateway may send for a field of this type, mostly readable."""
    if isinstance(get_origin(wanted), type) and get_origin(wanted) is tuple:
        return st.lists(values(get_args(wanted)[0], depth), max_size=2)
    if isinstance(wanted, UnionType):
        return st.one_of([values(one, depth) for one in get_args(wanted) if one is not type(None)])
    if attrs.has(wanted):
        return documents(wanted, depth - 1) if depth > 0 else st.just({})
    if wanted is bool:
        return st.booleans()
    if wanted is int:
        return st.integers(-9999, 9999) | st.just("12 ")
    if wanted is float:
        return st.floats(0, 9)
    if wanted is date:
        return st.just("2026-05-01")
    if wanted is datetime:
        return st.just("2026-05-01T10:00:00Z")
    if isinstance(wanted, type) and issubclass(wanted, OpenEnum):
        return st.sampled_from([one.value for one in wanted]) | st.just("unheardOf")
    return st.sampled_from(["M2MJOG6O2Y", " M2MJOG6O2Y\0", "text", ""])


@st.composite
def documents(draw: st.DrawFn, cls: type[Any], depth: int = 3) -> dict[str, Any]:
    """A model's JSON: some optional fields left out, a few garbled, one that no model knows."""
    document: dict[str, Any] = {"unknownField": 1}
    for field in attrs.fields(attrs.resolve_types(cls)):
        required = field.default is attrs.NOTHING
        if field.name == "raw" or not (required or draw(st.booleans())):
            continue
        garbled = not required and draw(st.integers(0, 7)) == 0
        given = st.sampled_from(ODD) if garbled else values(field.type, depth)
        document[wire_name(field.name)] = draw(given)
    return document


def read_whole(data: dict[str, Any], cls: type[Any]) -> Any:
    """All fields read at once, by the way that an answer takes which the fast one can't read."""
    return converter._read_model(data, cls, cls.__name__)


@pytest.mark.parametrize("cls", MODELS)
@settings(max_examples=20, deadline=None, suppress_health_check=HEALTH)
@given(data=st.data())
def test_what_is_read_on_demand_is_what_is_read_at_once(cls: type[Any], data: Any) -> None:
    """Fields, equality, hash, repr, pickles and copies; before anything was read, and after."""
    document = data.draw(documents(cls))
    whole = read_whole(document, cls)
    assert repr(structure(document, cls)) == repr(whole)
    assert structure(document, cls) == whole == structure(document, cls)
    assert pickle.loads(pickle.dumps(structure(document, cls))) == whole
    assert copy.deepcopy(structure(document, cls)) == copy.copy(structure(document, cls)) == whole
    assert attrs.evolve(structure(document, cls)) == whole
    model = structure(document, cls)
    for field in data.draw(st.permutations(attrs.fields(cls))):
        read = getattr(model, field.name)
        assert read == getattr(whole, field.name), field.name
        assert type(read) is type(getattr(whole, field.name)), field.name
        assert getattr(model, field.name) is read
    if hasattr(whole, "raw"):
        assert type(model.raw) is Raw
        assert dict(model.raw) == document
    with pytest.raises(AttributeError, match="no attribute 'no_field'"):
        _ = model.no_field
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(model, attrs.fields(cls)[0].name, None)


@pytest.mark.parametrize("cls", MODELS)
def test_what_is_read_on_demand_has_defaults_to_share(cls: type[Any]) -> None:
    """What is left out is the field's default itself: a factory or a check would be passed over."""
    for field in attrs.fields(cls):
        if field.name != "raw":
            assert not isinstance(field.default, attrs.Factory), field.name  # type: ignore[arg-type]
            assert field.validator is None, field.name
            assert field.init, field.name


@pytest.mark.parametrize("status", ["inProgress", "failure", None, {}])
def test_an_instructions_message_is_of_its_failure_alone(status: object) -> None:
    """The rule of a class that is made in one go holds for one that is read bit by bit."""
    document = {"paymentInstructionId": "a1", "status": status, "errorMessage": "no paper"}
    shown = structure(document, m.PaymentInstruction).error_message
    assert shown == ("no paper" if status == "failure" else None)
