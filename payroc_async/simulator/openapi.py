"""The simulator's OpenAPI document, for ``/openapi.json``, built from the field table."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import Any

from payroc_async.version import __version__

from .field_table import OPERATIONS, json_schemas, reference, value_schema
from .routes import find_route

__all__ = ["description", "served_operations"]

Json = dict[str, Any]


def served_operations() -> list[Json]:
    """The table's operations that the simulator implements."""
    return [one for one in OPERATIONS if is_served(one["method"], one["path"])]


def is_served(method: str, path: str) -> bool:
    """Whether the simulator implements this operation; a placeholder in the path matches any id."""
    return find_route(method, f"/v1{path}").kind != "other"


@cache
def description() -> Json:
    """The OpenAPI document."""
    paths: dict[str, Json] = {}
    for one in served_operations():
        paths.setdefault(one["path"], {})[one["method"].lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The Payroc simulator of payroc-async",
            "version": __version__,
            "description": "The simulator's operations, as Payroc describes them.",
        },
        "servers": [{"url": "/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": json_schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(one: Json) -> Json:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": value_schema(found)}
        for name, found in one.get("pathParameters", {}).items()
    ]
    parameters += [
        {
            "name": found["name"],
            "in": "query",
            "required": found["required"],
            "schema": value_schema(found),
        }
        for found in one.get("query", ())
    ]
    if one["idempotencyKey"]:
        key = {"type": "string", "format": "uuid"}
        parameters.append(
            {"name": "Idempotency-Key", "in": "header", "required": True, "schema": key}
        )
    operation: Json = {"parameters": parameters, "responses": _responses(one)}
    if one["request"] is not None:
        operation["requestBody"] = {
            "required": one["requestRequired"],
            "content": {"application/json": {"schema": reference(one["request"])}},
        }
    return operation


def _responses(one: Json) -> Json:
    success: Json = {"description": HTTPStatus(one["success"]).phrase}
    if one["response"] is not None:
        success["content"] = {"application/json": {"schema": reference(one["response"])}}
    responses = {str(one["success"]): success}
    for status in one["errors"]:
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": reference(str(status))}},
        }
    return responses
