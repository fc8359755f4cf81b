"""Drift: models and simulator against the table of Payroc's messages."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

import aiohttp
import attrs
import jsonschema_rs
import pytest

from payroc_async import models
from payroc_async.simulator import Simulator
from payroc_async.simulator.field_table import OPERATIONS, SCHEMAS, TABLE, VOCABULARIES, fields_of
from payroc_async.simulator.openapi import served_operations
from payroc_async.simulator.replies import Answer
from tests.harness.answer_checks import faults_of

ANSWERS = {
    models.Payment: ("retrievedPayment", "payment"),
    models.Refund: ("retrievedRefund",),
    models.Signature: ("retrievedSignature",),
    models.ClosedLoopRead: ("ClosedLoopResponse",),
    models.Device: ("devicePaginatedList.data",),
    models.PaymentInstruction: ("paymentInstruction",),
    models.RefundInstruction: ("refundInstruction",),
    models.SignatureInstruction: ("signatureInstruction",),
    models.ProcessingTerminal: ("processingTerminal",),
    models.Batch: ("batch",),
    models.SettlementTransaction: ("transaction",),
    models.Authorization: ("authorization",),
    models.BatchClosing: ("closeBatchResponse",),
    models.RetrievedSecureToken: ("secureTokenWithAccountType",),
    models.CardInfo: ("cardInfo",),
    models.CardBalance: ("balance",),
    models.HostConfiguration: ("hostConfiguration",),
    models.DeviceConfiguration: ("deviceConfiguration",),
}
REQUESTS = {
    models.PaymentInstructionRequest: ("paymentInstructionRequest",),
    models.RefundInstructionRequest: ("refundInstructionRequest",),
    models.SignatureInstructionRequest: ("signatureInstructionRequest",),
    models.PaymentRequest: ("paymentRequest",),
    models.ReferencedRefundRequest: ("referencedRefund",),
    models.ReversalRequest: ("paymentReversal",),
    models.CaptureRequest: ("paymentCapture",),
    models.AdjustmentRequest: ("paymentAdjustment",),
    models.RefundAdjustmentRequest: ("refundAdjustment",),
    models.BinLookup: ("binLookup",),
    models.BalanceInquiry: ("balanceInquiry",),
}
BANK = "a field of bank accounts' tokens; a device saves cards"
LACKING = {
    "paymentOrderRequest.dccOffer": "a conversion is offered on the device alone",
    "paymentRequest.offlineProcessing": "for tills that take cards offline, by themselves",
    "paymentRequest.threeDSecure": "for a web shop's checkout",
    "secureTokenPayload.accountType": BANK,
    "secureTokenPayload.secCode": BANK,
    "singleUseTokenPayload.accountType": BANK,
    "singleUseTokenPayload.secCode": BANK,
    "singleUseTokenPayload.pinDetails": "a PIN is entered at a device, and its block is no till's",
    "ebtDetailsWithVoucher.voucher": "for a sale that was authorized by telephone, not a balance",
}
"""``schema.field``, or ``schema.field=word``, that no model has: each with its reason."""
RAW = "takes card data or a single-use token, which a till with a device never has"
TOKENS = "/processing-terminals/{processingTerminalId}/secure-tokens"
NOT_SERVED = {
    "POST /refunds": RAW,
    f"POST {TOKENS}": RAW,
    f"POST {TOKENS}/{{secureTokenId}}/update-account": RAW,
}
"""Operations that the simulator does not have: each with its reason."""


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def classes_in(hint: Any) -> list[type]:
    """The classes that an annotation is about."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, list):
        return [one for part in typing.get_args(hint) for one in classes_in(part)]
    if typing.get_origin(hint) is typing.Annotated:
        return classes_in(typing.get_args(hint)[0])
    return []


def hints_of(model: type) -> dict[str, Any]:
    namespace = {name: getattr(models, name) for name in dir(models)}
    return {
        camel(one.name): typing.get_type_hints(model, localns=namespace).get(one.name)
        for one in attrs.fields(typing.cast(Any, model))
    }


def drift(model: type, schema: str, *, request: bool, seen: set[Any]) -> Iterator[str]:
    """What the schema has and the model lacks, through all that both refer to."""
    if (model, schema) in seen:
        return
    seen.add((model, schema))
    hints = hints_of(model)
    for where, field in fields_of(schema):
        name = field["name"]
        if request and field.get("readOnly"):
            continue
        if name not in hints:
            yield f"{where}.{name}"
            continue
        classes = classes_in(hints[name])
        words = field.get("words") or VOCABULARIES.get(field.get("vocabulary", ""), [])
        for known in (one for one in classes if issubclass(one, Enum)):
            has = {str(one.value) for one in known}
            yield from (f"{where}.{name}={word}" for word in words if word not in has)
        if "ref" in field and SCHEMAS[field["ref"]]["kind"] != "outside":
            for nested, its in pairs(classes, field["ref"]):
                yield from drift(nested, its, request=request, seen=seen)


def pairs(classes: list[type], schema: str) -> Iterator[tuple[type, str]]:
    """Which of the classes is which variant of a schema."""
    found = [one for one in classes if attrs.has(one)]
    variants = SCHEMAS[schema].get("variants", {})
    typed = {
        attrs.fields_dict(one)["type"].default: one
        for one in found
        if "type" in attrs.fields_dict(one)
        and isinstance(attrs.fields_dict(one)["type"].default, str)
    }
    for word, variant in variants.items():
        if typed:
            if word in typed:
                yield typed[word], variant
        else:
            yield from ((one, variant) for one in found if variant in SCHEMAS)
    if not variants:
        yield from ((one, schema) for one in found)


def test_no_model_lacks_what_the_table_has() -> None:
    """A field or word of Payroc's that no model has is listed with a reason, and no other is."""
    lacking: set[str] = set()
    seen: set[Any] = set()
    for known, request in ((ANSWERS, False), (REQUESTS, True)):
        for model, schemas in known.items():
            for schema in schemas:
                lacking |= set(drift(model, schema, request=request, seen=seen))
    assert lacking == set(LACKING), sorted(lacking ^ set(LACKING))
    reached = {schema for _, schema in seen}
    assert {"dccOffer", "lineItem", "taxAmount", "emvTag", "secureTokenSummary"} <= reached
    assert {"signatureAdjustment", "tipProcessingEnabled", "settledSummary"} <= reached


@pytest.mark.parametrize(
    ("schema", "field", "named"),
    [
        ("retrievedCard", {"name": "newField", "type": "string"}, "retrievedCard.newField"),
        ("lineItem", {"name": "newField", "type": "string"}, "lineItem.newField"),
        ("transactionResult", {"name": "status", "words": ["new"]}, "transactionResult.status=new"),
    ],
)
def test_drift_is_seen(
    monkeypatch: pytest.MonkeyPatch, schema: str, field: dict[str, Any], named: str
) -> None:
    """A field or a word that Payroc adds is found, however deep it stands."""
    old = [one for one in SCHEMAS[schema]["fields"] if one["name"] != field["name"]]
    monkeypatch.setitem(SCHEMAS, schema, {**SCHEMAS[schema], "fields": [*old, field]})
    found = drift(models.Payment, "retrievedPayment", request=False, seen=set())
    assert list(found) == [named]
    assert all(LACKING.values())


def test_the_simulator_serves_every_operation() -> None:
    """An operation that it does not have is listed with a reason, and no other is."""
    served = {id(one) for one in served_operations()}
    missing = {f"{one['method']} {one['path']}" for one in OPERATIONS if id(one) not in served}
    assert missing == set(NOT_SERVED), sorted(missing ^ set(NOT_SERVED))
    assert all(NOT_SERVED.values())


def test_the_table_says_where_it_is_from() -> None:
    """Its source and licence stand in it."""
    assert "Apache-2.0" in TABLE["sources"]["openapi"]
    assert "Facts only" in TABLE["about"]


def test_each_reference_leads_somewhere() -> None:
    """What a field refers to is in the table."""
    for schema in SCHEMAS:
        for name, field in fields_of(schema):
            assert field.get("ref", schema) in SCHEMAS, (schema, name)
            assert field.get("vocabulary", "currency") in VOCABULARIES, (schema, name)


async def test_the_simulator_describes_itself(gateway: Simulator) -> None:
    """/openapi.json is a valid description of what it serves, and needs no token."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{gateway.url}/openapi.json") as answer,
    ):
        assert answer.status == 200
        document = await answer.json()
    assert {
        (method.upper(), path) for path, its in document["paths"].items() for method in its
    } == {(one["method"], one["path"]) for one in served_operations()}
    validator = jsonschema_rs.validator_for(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": "#/components/schemas/retrievedPayment",
            "components": document["components"],
        }
    )
    assert not validator.is_valid({"paymentId": "E29U8OU8Q4"})


@pytest.mark.parametrize(
    ("status", "body", "kind", "fault"),
    [
        (200, b'{"status": "inProgress"}', "application/json", '"paymentInstructionId" is a'),
        (200, b"[]", "application/json", "is not of type"),
        (418, b"{}", "application/json", "418 is not among"),
        (404, b"{}", "application/json", "content type"),
        (404, b'{"title": "x"}', "application/problem+json", '"type" is a required'),
    ],
)
def test_a_broken_answer_is_seen(status: int, body: bytes, kind: str, fault: str) -> None:
    """What watches the suite's answers finds a missing field, a wrong status, a wrong type."""
    answer = Answer(status, body, kind)
    assert fault in faults_of("GET", "/v1/payment-instructions/x", answer)[0]
