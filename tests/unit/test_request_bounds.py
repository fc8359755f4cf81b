"""What a request model accepts, against the table of Payroc's messages.

What Payroc's schema refuses is refused before anything is sent, and what it takes is taken.

The bounds come from the table alone, never from the models.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import attrs
import pytest

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.simulator.field_table import OPERATIONS, SCHEMAS, VOCABULARIES, fields_of
from tests.simulator.test_field_table import REQUESTS, camel, classes_in, hints_of, pairs

FILTERS: dict[str, Any] = {
    "/devices": models.DeviceFilters,
    "/payments": models.PaymentFilters,
    "/refunds": models.RefundFilters,
    "/batches": models.BatchFilters,
    "/transactions": models.TransactionFilters,
    "/authorizations": models.AuthorizationFilters,
    "/processing-terminals/{processingTerminalId}/secure-tokens": models.SecureTokenFilters,
}
"""By the path of the search."""
OTHERWISE = {
    "firstTxnReferenceData.paymentId": "ids are opaque: those of the test gateway may be longer",
    "/payments.paymentLinkId": "as above",
    "ipAddress.value": "has to be an address of its type, which the table does not say",
}
"""Where a model is to differ from the table, with the reason."""
LARGEST = 2**63 - 1


class Place(NamedTuple):
    """A field of a request: of which model, what the table says of it, and where that stands."""

    model: Any
    field: dict[str, Any]
    where: str

    @property
    def name(self) -> str:
        """The model's name of the field."""
        return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", self.field["name"])


def places(model: type, schema: str, seen: set[Any]) -> Iterator[Place]:
    """Every field that a request holds, however deep."""
    if (model, schema) in seen:
        return
    seen.add((model, schema))
    hints = hints_of(model)
    for where, field in fields_of(schema):
        if field["name"] not in hints:
            continue  # the drift test has it on its list
        yield Place(model, field, f"{where}.{field['name']}")
        if "ref" in field and SCHEMAS[field["ref"]]["kind"] != "outside":
            for nested, its in pairs(classes_in(hints[field["name"]]), field["ref"]):
                yield from places(nested, its, seen)


def all_places() -> list[Place]:
    seen: set[Any] = set()
    found = [
        place
        for model, schemas in REQUESTS.items()
        for schema in schemas
        for place in places(model, schema, seen)
    ]
    for operation in OPERATIONS:
        if operation["method"] == "GET" and operation["path"] in FILTERS:
            model = FILTERS[operation["path"]]
            found += [
                Place(model, one, f"{operation['path']}.{one['name']}")
                for one in operation["query"]
            ]
    return found


PLACES = all_places()


def type_of(place: Place) -> str | None:
    """The word that ``where`` is about, in a variant's schema: ``email`` of an email address."""
    fields = SCHEMAS.get(place.where.partition(".")[0], {}).get("fields", ())
    words: list[str] = next((one.get("words", []) for one in fields if one["name"] == "type"), [])
    return words[0] if len(words) == 1 else None


def example(model: Any, /, **given: Any) -> Any:
    """The least instance of a model that holds what is given."""
    special: dict[Any, dict[str, Any]] = {
        models.IpAddress: {"type": "ipv4", "value": "192.0.2.1"},
        models.DualPricing: {"offered": False},
        models.FirstTransactionReference: {"payment_id": "E29U8OU8Q4"},
        models.TransactionFilters: {"date": datetime.date(2026, 8, 20)},
        models.AuthorizationFilters: {"date": datetime.date(2026, 8, 20)},
    }
    values = {**special.get(model, {}), **given}
    for one in attrs.fields(model):
        if one.init and one.default is attrs.NOTHING and one.name not in values:
            values[one.name] = a_value(model, one.name)
    if "amount" in values and "currency" in attrs.fields_dict(model):
        values.setdefault("currency", "USD")
    return model(**values)


def a_value(model: Any, name: str) -> Any:
    """A value that the table takes, for a field that is required."""
    place = next(one for one in PLACES if one.model is model and one.name == name)
    return right(place)[0]


def right(place: Place) -> list[Any]:
    """Values that the table takes, those on its bounds first."""
    field = place.field
    if "ref" in field:
        hint = hints_of(place.model)[field["name"]]
        one = example(next(one for one, _ in pairs(classes_in(hint), field["ref"])))
        return [[one]] if field.get("list") else [one]
    if "words" in field or "vocabulary" in field:
        words = field.get("words") or VOCABULARIES[field["vocabulary"]]
        return list(words)
    match field["type"], field.get("format"):
        case "boolean", _:
            return [True, False]
        case "string", "date":
            return [datetime.date(2026, 8, 20)]
        case "string", "date-time":
            return [datetime.datetime(2026, 8, 20, tzinfo=datetime.UTC)]
        case "string", _:
            if "pattern" in field:
                digits = re.fullmatch(r"\[0-9\]\{(\d+)\}", field["pattern"])
                assert digits, f"no text was made up for {field['pattern']}"
                return ["4" * int(digits[1])]
            lengths = {field.get("minLength", 1), field.get("maxLength", 1)}
            return ["4" * length for length in lengths]
        case "integer", _:
            least = field.get("minimum", field.get("exclusiveMinimum", 0) + 1)
            return [least, field.get("maximum", LARGEST)]
        case _:
            above = 0.00001 if "exclusiveMinimum" in field else field.get("minimum", 0)
            return [above, field.get("maximum", 1e6)]


def wrong(place: Place) -> Iterator[Any]:
    """Values that the table refuses, just beyond each bound, and of another type."""
    field = place.field
    if field.get("list"):
        good = right(place)[0]
        if "ref" in field:
            yield good[0]  # alone
            yield [*good, object()]
        if field.get("uniqueItems"):
            yield [*good, *right(place)[0]]
        if field.get("minItems"):
            yield []
        if "maxItems" in field:
            yield good * (field["maxItems"] + 1)
        return
    if "ref" in field:
        yield "a text"
        return
    if "exclusiveMinimum" in field:
        yield from (field["exclusiveMinimum"], field["exclusiveMinimum"] - 1)
    if "minimum" in field:
        yield field["minimum"] - 1
    if "maximum" in field:
        yield field["maximum"] + 1
    if field.get("minLength"):
        yield "4" * (field["minLength"] - 1)
    if "maxLength" in field:
        yield "4" * (field["maxLength"] + 1)
    if "pattern" in field:
        yield from ("", "abcdef", right(place)[0] + "4", right(place)[0] + "\n")
    match field["type"]:
        case "boolean":
            yield from ("true", 1)
        case "integer":
            yield from ("1", 1.5, True, LARGEST + 1)
        case "number":
            yield from ("1", True, float("nan"), float("inf"))
        case "string":
            yield 5


def cases(values: Callable[[Place], Iterable[Any]], model: str) -> Iterator[tuple[Place, Any]]:
    """Each field of a model, with each of its values."""
    for place in PLACES:
        is_given = attrs.fields_dict(place.model)[place.name].init
        if place.model.__name__ == model and is_given and place.where not in OTHERWISE:
            yield from ((place, value) for value in values(place))


def put(place: Place, value: Any) -> Any:
    """A request that holds the value in this place; the other fields fit."""
    given = {place.name: value}
    if place.model is models.DualPricing:
        given = {
            "choice_rate": example(models.ChoiceRate),
            "alternative_tender": "cash",
            "offered": True,
            **given,
        }
    if place.model is models.FirstTransactionReference:  # checked where it is used
        return example(
            models.StandingInstructionsRequest,
            reference_data_of_first_txn=example(place.model, **given),
        )
    if place.model is models.IpAddress and value == "ipv6":
        given["value"] = "2001:db8::1"
    kind = type_of(place)
    if kind is not None and attrs.fields_dict(place.model)["type"].init:
        given.setdefault("type", kind)
    return example(place.model, **given)


@pytest.mark.parametrize("model", sorted({place.model.__name__ for place in PLACES}))
def test_what_payroc_refuses_is_not_sent(model: str) -> None:
    """The error names the field and, where it is a number out of bounds, its value and the cure."""
    for place, value in cases(wrong, model):
        with pytest.raises(ConfigurationError) as caught:
            put(place, value)
        field = place.name
        if place.model is models.FirstTransactionReference:
            field = "reference_data_of_first_txn"
        assert caught.value.field == field, (place.where, value)
        least = place.field.get("exclusiveMinimum")
        if least is not None and type(value) is int and value <= least:
            cure = f"is {value}: (leave|pass|reverse)"
            assert re.search(cure, str(caught.value)), (place.where, value)


@pytest.mark.parametrize("model", sorted({place.model.__name__ for place in PLACES}))
def test_what_payroc_takes_is_taken(model: str) -> None:
    """On its bounds too."""
    for place, value in cases(right, model):
        put(place, value)


def test_the_bounds_reach_everywhere() -> None:
    """The fields are those that a request can hold, and none is excepted without being there."""
    known = {place.where for place in PLACES}
    assert set(OTHERWISE) <= known
    assert {
        "tip.percentage",
        "lineItemRequest.discountRate",
        "contactMethodFax.value",
        "firstTxnReferenceData.cardSchemeReferenceId",
        "orderAdjustment.amount",
        "secureTokenPayload.token",
        "/payments.first6",
    } <= known
    bounds = {"exclusiveMinimum", "minimum", "maximum", "minLength", "maxLength", "pattern"}
    bounds |= {"uniqueItems", "minItems", "maxItems"}
    bounded = [place for place in PLACES if bounds & set(place.field)]
    assert len(bounded) > 80
    assert camel("first_name") == "firstName"
