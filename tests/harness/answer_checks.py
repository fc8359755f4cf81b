"""Every answer that the simulator gives while the tests run, held against the table, once.

What a test scripts to be otherwise is left out: answers that a fault has changed, the contested
spelling of lists, and the words of `SCRIPTED`, which scripts make up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import jsonschema_rs
import orjson

from payroc_async.simulator import request_handler
from payroc_async.simulator.field_table import json_schemas
from payroc_async.simulator.observations import Observed
from payroc_async.simulator.openapi import served_operations
from payroc_async.simulator.replies import Answer
from payroc_async.simulator.routes import Route

__all__ = ["BROKEN", "answers_checked", "faults_of"]

BROKEN: list[str] = []
"""What was answered otherwise than the table says, a sentence each."""
SCRIPTED = {
    "paymentInstruction": {"status"},
    "refundInstruction": {"status"},
    "signatureInstruction": {"status"},
    "transactionResult": {"status", "responseCode"},
    "refundSummary": {"status", "responseCode"},
    "paymentSummary": {"status", "responseCode"},
}
"""Words that a script may make up: `shows_status`, `answers`."""


@cache
def _operations() -> list[tuple[str, re.Pattern[str], dict[str, Any]]]:
    return [
        (one["method"], re.compile("/v1" + re.sub(r"\{\w+\}", "[^/]+", one["path"])), one)
        for one in served_operations()
    ]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for known, pattern, operation in _operations():
        if known == method and pattern.fullmatch(path):
            return operation
    return None


@cache
def _schemas() -> dict[str, Any]:
    schemas = json_schemas()
    for name, fields in SCRIPTED.items():
        for field in fields:
            schemas[name]["properties"][field].pop("enum", None)
    return schemas


@cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": f"#/components/schemas/{name}",
            "components": {"schemas": _schemas()},
        },
        validate_formats=True,
    )


def faults_of(method: str, path: str, answer: Answer) -> list[str]:
    """What about an answer is otherwise than the table says."""
    operation = _operation(method, path)
    if operation is None:
        return []
    if answer.status == operation["success"]:
        name, kind = operation["response"], "application/json"
    elif answer.status in operation["errors"]:
        name, kind = f"problem-{answer.status}", "application/problem+json"
    else:
        return [f"status {answer.status} is not among those documented"]
    if name is None:
        return [] if not answer.body else ["there is a body where there should be none"]
    if answer.content_type != kind:
        return [f"content type {answer.content_type}, not {kind}"]
    document = orjson.loads(answer.body)
    return [
        f"{'.'.join(map(str, error.instance_path))}: {error.message}"
        for error in _validator(name).iter_errors(document)
    ]


@contextmanager
def answers_checked() -> Iterator[None]:
    """Within it, each answer of each simulator in this process is checked."""
    original = request_handler.RequestHandler._operate

    async def operate(self: Any, route: Route, seen: Observed) -> Answer:
        answer = await original(self, route, seen)
        if seen.fault is None and self._settings.list_spelling == "hasMore":
            BROKEN.extend(
                f"{seen.method} {seen.path} {answer.status}: {fault}"
                for fault in faults_of(seen.method, seen.path, answer)
            )
        return answer

    request_handler.RequestHandler._operate = operate  # type: ignore[method-assign]
    try:
        yield
    finally:
        request_handler.RequestHandler._operate = original  # type: ignore[method-assign]
