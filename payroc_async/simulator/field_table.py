"""The fields of Payroc's requests and answers, as data.

``fields.json`` in this folder has, for every operation that this project uses, the field names on
the wire, their types, lengths and words, and which are required. The source is Payroc's API
description (payroc/api-specs, v1.0.294, 20 August 2026, Apache-2.0), or Payroc's generated clients
for what it leaves out. ``sources`` and ``legend`` name the source of each entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from .request_checks import (
    Check,
    amount,
    day,
    flag,
    list_of,
    moment,
    number,
    one_of,
    record,
    some_amount,
    text,
    variant,
)

__all__ = [
    "OPERATIONS",
    "SCHEMAS",
    "VOCABULARIES",
    "check_of",
    "fields_of",
    "json_schemas",
    "reference",
    "value_schema",
]

Json = dict[str, Any]

TABLE: Json = orjson.loads((Path(__file__).parent / "fields.json").read_bytes())
OPERATIONS: list[Json] = TABLE["operations"]
SCHEMAS: dict[str, Json] = TABLE["schemas"]
VOCABULARIES: dict[str, list[str]] = TABLE["vocabularies"]

MORE_THAN_NOTHING = {
    ("referencedRefund", "amount"),
    ("paymentReversal", "amount"),
    ("paymentCapture", "amount"),
    ("paymentAdjustment", "adjustments"),
    ("refundAdjustment", "adjustments"),
    ("signatureAdjustment", "cardholderSignature"),
    ("refundInstructionOrder", "description"),
}
"""Fields that must not be 0 or empty, although the table does not say so: the request would have no
effect, or make a refund without its required description.
"""


def fields_of(schema: str) -> Iterator[tuple[str, Json]]:
    """Return the fields of an object, or of all variants of a union, with their schemas' names."""
    found = SCHEMAS[schema]
    for field in found.get("fields", ()):
        yield schema, field
    for variant_ in found.get("variants", {}).values():
        yield from fields_of(variant_)


# Requests ----------


def check_of(schema: str) -> Check:
    """Return a check of request bodies against a schema of the table."""
    found = SCHEMAS[schema]
    if found["kind"] == "outside":
        return record({})
    if found["kind"] == "union":
        named = {word: check_of(name) for word, name in found["variants"].items()}
        return variant(found["discriminator"], named)
    required: dict[str, Check] = {}
    optional: dict[str, Check] = {}
    for field in found["fields"]:
        needed = field["required"] and not field.get("readOnly")
        (required if needed else optional)[field["name"]] = _check_of_field(schema, field)
    return record(required, optional)


def _check_of_field(schema: str, field: Json) -> Check:
    one = check_of(field["ref"]) if "ref" in field else _check_of_value(schema, field)
    if not field.get("list"):
        return one
    least = 1 if (schema, field["name"]) in MORE_THAN_NOTHING else field.get("minItems", 0)
    unique = field.get("uniqueItems", False)
    return list_of(one, least=least, most=field.get("maxItems"), unique=unique)


def _check_of_value(schema: str, field: Json) -> Check:
    if "words" in field or "vocabulary" in field:
        return one_of(*(field.get("words") or VOCABULARIES[field["vocabulary"]]))
    needs_some = (schema, field["name"]) in MORE_THAN_NOTHING or "exclusiveMinimum" in field
    match field["type"], field.get("format"):
        case "string", "date":
            return day
        case "string", "date-time":
            return moment
        case "string", _:
            pattern = field.get("pattern")
            return text(
                least=1 if needs_some else field.get("minLength", 0),
                most=field.get("maxLength"),
                pattern=re.compile(pattern) if pattern else None,
            )
        case "integer", _:
            return some_amount if needs_some else amount
        case "number", _:
            return number(*map(field.get, ("minimum", "maximum", "exclusiveMinimum")))
        case "boolean", _:
            return flag
        case _:
            return record({})


# As JSON Schema ----------


def json_schemas() -> dict[str, Json]:
    """Return all schemas of the table as JSON Schema, for an OpenAPI document's ``components``."""
    return {_name(name): _json_schema(found) for name, found in SCHEMAS.items()}


def _name(schema: str) -> str:
    return f"problem-{schema}" if schema[0].isdigit() else schema


def reference(schema: str) -> Json:
    """Return a reference to a schema in ``components``."""
    return {"$ref": f"#/components/schemas/{_name(schema)}"}


def _json_schema(found: Json) -> Json:
    if found["kind"] == "outside":
        return {"type": "object"}
    if found["kind"] == "union":
        word = found["discriminator"]
        return {
            "oneOf": [
                {
                    "allOf": [reference(name)],
                    "required": [word],
                    "properties": {word: {"const": {"true": True, "false": False}.get(key, key)}},
                }
                for key, name in found["variants"].items()
            ]
        }
    schema: Json = {
        "type": "object",
        "properties": {field["name"]: value_schema(field) for field in found["fields"]},
    }
    required = [field["name"] for field in found["fields"] if field["required"]]
    return {**schema, "required": required} if required else schema


def value_schema(field: Json) -> Json:
    """Return the JSON Schema of a field's value."""
    if "ref" in field:
        one = reference(field["ref"])
    else:
        one = {"type": field["type"]}
        one |= {name: field[name] for name in KEYWORDS if name in field}
        if "words" in field or "vocabulary" in field:
            one["enum"] = field.get("words") or VOCABULARIES[field["vocabulary"]]
        if "pattern" in field:
            one["pattern"] = f"^(?:{field['pattern']})$"
    if field.get("list"):
        one = {"type": "array", "items": one}
        one |= {name: field[name] for name in LIST_KEYWORDS if name in field}
    if field.get("nullable"):
        one = {"anyOf": [one, {"type": "null"}]}
    marks = {name: True for name in ("readOnly", "writeOnly") if field.get(name)}
    return {**one, **marks}


KEYWORDS = (
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "default",
)
LIST_KEYWORDS = ("minItems", "maxItems", "uniqueItems")
