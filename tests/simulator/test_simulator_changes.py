"""What can be done with the simulator's payments after the sale, and when."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from payroc_async.models import (
    Payment,
    Refund,
    SupportedOperation,
)
from payroc_async.simulator import Simulator, drop_after, problem
from payroc_async.wire.converter import structure

from .test_simulator import BODY, SERIAL, Caller, assert_problem
from .test_simulator_resources import follow, operations, pay, post

PRE_AUTHORIZATION = {**BODY, "autoCapture": False}
ADJUSTED_TIP = {"subtotal": 4999, "tip": {"type": "fixedAmount", "mode": "adjusted", "amount": 500}}


async def change(caller: Caller, payment_id: str, action: str, **body: Any) -> Payment:
    """Changes a payment; as the model reads it."""
    reply = await post(caller, f"payments/{payment_id}/{action}", body)
    assert reply.status == 200, reply.json
    assert reply.json == caller.gateway.payments[payment_id]
    return structure(reply.json, Payment)


async def adjust(caller: Caller, payment_id: str, *adjustments: dict[str, Any]) -> Payment:
    return await change(caller, payment_id, "adjust", adjustments=adjustments)


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


class TestReverse:
    async def test_whole(self, gateway: Simulator, caller: Caller) -> None:
        """A payment whose batch is open can be voided, once."""
        id_ = await pay(caller)
        payment = await change(caller, id_, "reverse", operator="John")
        assert payment.transaction_result.status == "reversal"
        assert payment.receipt().reversed
        assert operations(payment) == set()
        reply = await post(caller, f"payments/{id_}/reverse", {})
        assert_problem(reply, 409, "cannot-be-modified")
        gateway.close_batch()
        assert gateway.payments[id_]["transactionResult"]["status"] == "reversal"

    async def test_part(self, caller: Caller) -> None:
        """Voiding a part lowers what is authorized; voiding all that is left voids it."""
        id_ = await pay(caller)
        payment = await change(caller, id_, "reverse", amount=999)
        assert payment.transaction_result.authorized_amount == 4000
        assert payment.transaction_result.status == "ready"
        assert "partiallyReverse" in operations(payment)
        reply = await post(caller, f"payments/{id_}/reverse", {"amount": 4001})
        assert_problem(reply, 400, "bad-request")
        assert [one["parameter"] for one in reply.json["errors"]] == ["amount"]
        payment = await change(caller, id_, "reverse", amount=4000)
        assert payment.transaction_result.status == "reversal"

    async def test_settled(self, gateway: Simulator, caller: Caller) -> None:
        """A payment that has settled can be voided neither in whole nor in part."""
        id_ = await pay(caller)
        gateway.close_batch()
        for body in ({}, {"amount": 1}, {"amount": 9999}):
            reply = await post(caller, f"payments/{id_}/reverse", body)
            assert_problem(reply, 409, "cannot-be-modified")


class TestRefund:
    async def test_open_batch(self, gateway: Simulator, caller: Caller) -> None:
        """A payment whose batch is open is reversed instead of refunded, whole or in part."""
        id_ = await pay(caller)
        payment = await change(caller, id_, "refund", amount=999, description="x")
        assert payment.transaction_result.authorized_amount == 4000
        payment = await change(caller, id_, "refund", amount=4000, description="x")
        assert payment.transaction_result.status == "reversal"
        assert payment.refunds == ()
        assert gateway.refunds == {}

    async def test_parts(self, gateway: Simulator, caller: Caller) -> None:
        """A settled payment is refunded in parts, and never by more than is left."""
        id_ = await pay(caller)
        gateway.close_batch()
        payment = await change(caller, id_, "refund", amount=999, description="Cold", operator="J")
        (summary,) = payment.refunds
        assert (summary.amount, summary.status, summary.response_code) == (999, "ready", "A")
        assert operations(payment) == {"refund"}
        assert summary.link is not None
        document = await follow(caller, {"href": summary.link.href})
        refund = structure(document, Refund)
        assert refund.refund_id == summary.refund_id
        assert refund.operator == "J"
        assert refund.order.order_id == BODY["order"]["orderId"]
        assert refund.order.description == "Cold"
        assert refund.payment is not None
        assert (refund.payment.payment_id, refund.payment.amount) == (id_, 4999)
        assert refund.card.card_number == payment.card.card_number
        body = {"amount": 4001, "description": "x"}
        reply = await post(caller, f"payments/{id_}/refund", body)
        assert_problem(reply, 400, "bad-request")
        assert [one["parameter"] for one in reply.json["errors"]] == ["amount"]
        payment = await change(caller, id_, "refund", amount=4000, description="Rest")
        assert [one.amount for one in payment.refunds] == [999, 4000]
        assert operations(payment) == set()
        reply = await post(caller, f"payments/{id_}/refund", {"amount": 1, "description": "x"})
        assert_problem(reply, 409, "cannot-be-modified")
        assert len(gateway.refunds) == 2

    async def test_voided(self, gateway: Simulator, caller: Caller) -> None:
        """A voided refund shows on its payment, which can be refunded again."""
        id_ = await pay(caller)
        gateway.close_batch()
        payment = await change(caller, id_, "refund", amount=4999, description="x")
        reply = await post(caller, f"refunds/{payment.refunds[0].refund_id}/reverse", {})
        assert reply.status == 200
        payment = structure(gateway.payments[id_], Payment)
        assert payment.refunds[0].status == "reversal"
        assert operations(payment) == {"refund"}
        await change(caller, id_, "refund", amount=4999, description="again")

    async def test_settled(self, gateway: Simulator, caller: Caller) -> None:
        """A refund settles with the next batch, and its payment says so."""
        id_ = await pay(caller)
        gateway.close_batch()
        await change(caller, id_, "refund", amount=1, description="x")
        gateway.close_batch()
        assert [one["status"] for one in gateway.payments[id_]["refunds"]] == ["complete"]

    async def test_partially_approved(self, gateway: Simulator, caller: Caller) -> None:
        """No more than was authorized is given back."""
        gateway.device(SERIAL).approves_partially(1000)
        id_ = await pay(caller)
        gateway.close_batch()
        reply = await post(caller, f"payments/{id_}/refund", {"amount": 1001, "description": "x"})
        assert_problem(reply, 400, "bad-request")
        await change(caller, id_, "refund", amount=1000, description="x")

    async def test_processed_as_sale(self, caller: Caller) -> None:
        """What settles at once can be refunded at once."""
        id_ = await pay(caller, processAsSale=True)
        await change(caller, id_, "refund", amount=1, description="x")

    @pytest.mark.parametrize("action", ["refund", "reverse", "capture", "adjust"])
    async def test_declined(self, gateway: Simulator, caller: Caller, action: str) -> None:
        """Nothing can be done with a payment that took no money."""
        gateway.device(SERIAL).declines()
        id_ = await pay(caller)
        gateway.close_batch()
        body = {
            "amount": 1,
            "description": "x",
            "adjustments": [{"type": "order", "amount": 1}],
        }
        reply = await post(caller, f"payments/{id_}/{action}", body)
        assert_problem(reply, 409, "cannot-be-modified")


class TestCapture:
    async def test_all(self, gateway: Simulator, caller: Caller) -> None:
        """A pre-authorization is captured whole, once, and settles with the next batch."""
        id_ = await pay(caller, **PRE_AUTHORIZATION)
        gateway.close_batch()
        before = structure(gateway.payments[id_], Payment)
        assert before.transaction_result.status == "pending"
        assert {"capture", "fullyReverse", "incrementAuthorization"} <= operations(before)
        payment = await change(caller, id_, "capture")
        result = payment.transaction_result
        assert (result.type, result.status) == ("preAuthorizationCompletion", "ready")
        assert result.authorized_amount == 4999
        reply = await post(caller, f"payments/{id_}/capture", {})
        assert_problem(reply, 409, "cannot-be-modified")
        gateway.close_batch()
        assert gateway.payments[id_]["supportedOperations"] == ["refund"]

    async def test_part(self, caller: Caller) -> None:
        """Less can be captured than was authorized, and not more."""
        id_ = await pay(caller, **PRE_AUTHORIZATION)
        reply = await post(caller, f"payments/{id_}/capture", {"amount": 5000})
        assert_problem(reply, 400, "bad-request")
        payment = await change(
            caller,
            id_,
            "capture",
            amount=4000,
            processingTerminalId="1234001",
            breakdown={"subtotal": 4000},
        )
        assert payment.transaction_result.authorized_amount == payment.order.amount == 4000
        assert payment.order.breakdown is not None
        assert payment.order.breakdown.subtotal == 4000

    async def test_sale(self, caller: Caller) -> None:
        """A sale needs no capture."""
        id_ = await pay(caller)
        reply = await post(caller, f"payments/{id_}/capture", {})
        assert_problem(reply, 409, "cannot-be-modified")


class TestAdjust:
    async def test_all_kinds(self, caller: Caller) -> None:
        """Every adjustment of the contract is applied."""
        id_ = await pay(caller, customer={"firstName": "Sarah"})
        shipping = {"recipientName": "Sarah"}
        contact = {"type": "email", "value": "jane.doe@example.com"}
        payment = await adjust(
            caller,
            id_,
            {"type": "order", "amount": 5499, "breakdown": ADJUSTED_TIP},
            {"type": "status", "toStatus": "pending"},
            {"type": "customer", "shippingAddress": shipping, "contactMethods": [contact]},
            {"type": "signature", "cardholderSignature": "iVBORw0KGgo="},
        )
        assert payment.order.amount == payment.transaction_result.authorized_amount == 5499
        assert payment.order.breakdown is not None
        assert payment.order.breakdown.tip is not None
        assert payment.order.breakdown.tip.amount == 500
        assert payment.transaction_result.status == "pending"
        assert payment.customer is not None
        assert payment.customer.first_name == "Sarah"
        assert payment.customer.shipping_address is not None
        assert payment.customer.contact_methods[0].value == contact["value"]
        assert payment.card.cardholder_signature == "iVBORw0KGgo="

    async def test_pending(self, gateway: Simulator, caller: Caller) -> None:
        """A payment that is held back stays out of the batch until it is ready again."""
        id_ = await pay(caller)
        payment = await adjust(caller, id_, {"type": "status", "toStatus": "pending"})
        assert SupportedOperation.SET_AS_READY in payment.supported_operations
        assert SupportedOperation.SET_AS_PENDING not in payment.supported_operations
        gateway.close_batch()
        payment = await adjust(caller, id_, {"type": "status", "toStatus": "ready"})
        assert SupportedOperation.FULLY_REVERSE in payment.supported_operations
        gateway.close_batch()
        assert gateway.payments[id_]["transactionResult"]["status"] == "complete"

    async def test_all_or_none(self, gateway: Simulator, caller: Caller) -> None:
        """If one adjustment is not possible, none is made."""
        id_ = await pay(caller)
        before = copy.deepcopy(gateway.payments[id_])
        adjustments = [{"type": "order", "amount": 1}, {"type": "status", "toStatus": "ready"}]
        reply = await post(caller, f"payments/{id_}/adjust", {"adjustments": adjustments})
        assert_problem(reply, 409, "cannot-be-modified")
        assert gateway.payments[id_] == before

    @pytest.mark.parametrize(
        "adjustment",
        [
            {"type": "order", "amount": 1},
            {"type": "status", "toStatus": "pending"},
            {"type": "customer"},
            {"type": "signature", "cardholderSignature": "x"},
        ],
        ids=lambda adjustment: adjustment["type"],
    )
    async def test_settled(
        self, gateway: Simulator, caller: Caller, adjustment: dict[str, Any]
    ) -> None:
        """Nothing about a settled payment can be adjusted."""
        id_ = await pay(caller)
        gateway.close_batch()
        reply = await post(caller, f"payments/{id_}/adjust", {"adjustments": [adjustment]})
        assert_problem(reply, 409, "cannot-be-modified")

    async def test_pre_authorization(self, caller: Caller) -> None:
        """A pre-authorization can be raised, and then captured."""
        id_ = await pay(caller, **PRE_AUTHORIZATION)
        await adjust(caller, id_, {"type": "order", "amount": 6000})
        payment = await change(caller, id_, "capture", amount=6000)
        assert payment.transaction_result.authorized_amount == 6000


ATTEMPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "capture": ("capture", {}),
    "refund": ("refund", {"amount": 1, "description": "x"}),
    "fullyReverse": ("reverse", {}),
    "partiallyReverse": ("reverse", {"amount": 1}),
    "incrementAuthorization": ("adjust", {"adjustments": [{"type": "order", "amount": 6000}]}),
    "adjustTip": ("adjust", {"adjustments": [{"type": "order", "amount": 6000}]}),
    "addSignature": (
        "adjust",
        {"adjustments": [{"type": "signature", "cardholderSignature": "iVBORw0KGgo="}]},
    ),
    "setAsReady": ("adjust", {"adjustments": [{"type": "status", "toStatus": "ready"}]}),
    "setAsPending": ("adjust", {"adjustments": [{"type": "status", "toStatus": "pending"}]}),
}
SAME_REQUEST = {"incrementAuthorization", "adjustTip"}


class TestSupportedOperations:
    @pytest.mark.parametrize(
        "state",
        [
            "ready",
            "pending",
            "partly reversed",
            "complete",
            "partly refunded",
            "refunded",
            "reversal",
            "declined",
            "preAuthorization",
            "preAuthorizationCompletion",
        ],
    )
    @pytest.mark.parametrize("attempt", ATTEMPTS)
    async def test_they_tell_what_is_possible(
        self, gateway: Simulator, caller: Caller, state: str, attempt: str
    ) -> None:
        """What a payment names as possible is possible, and nothing else is."""
        if state == "declined":
            gateway.device(SERIAL).declines()
        id_ = await pay(caller, autoCapture=not state.startswith("preAuth"))
        if state == "pending":
            await adjust(caller, id_, {"type": "status", "toStatus": "pending"})
        elif state == "reversal":
            await change(caller, id_, "reverse")
        elif state == "partly reversed":
            await change(caller, id_, "reverse", amount=1)
        elif state == "preAuthorizationCompletion":
            await change(caller, id_, "capture")
        elif state in ("complete", "partly refunded", "refunded"):
            gateway.close_batch()
        if state.endswith("refunded"):
            amount = 4999 if state == "refunded" else 1
            await change(caller, id_, "refund", amount=amount, description="x")
        named = operations(structure(gateway.payments[id_], Payment))
        wanted = SAME_REQUEST if attempt in SAME_REQUEST else {attempt}
        if attempt == "refund":
            wanted = {"refund", "partiallyReverse"}  # a refund in the open batch is a reversal
        action, body = ATTEMPTS[attempt]
        reply = await post(caller, f"payments/{id_}/{action}", body)
        if named & wanted:
            assert reply.status == 200
        else:
            assert_problem(reply, 409, "cannot-be-modified")


WRONG_CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("refund", {}, "amount"),
    ("refund", {"amount": 1}, "description"),
    ("refund", {"amount": 0, "description": "x"}, "amount"),
    ("refund", {"amount": 1.5, "description": "x"}, "amount"),
    ("refund", {"amount": True, "description": "x"}, "amount"),
    ("refund", {"amount": 1, "description": 1}, "description"),
    ("refund", {"amount": 1, "description": "x", "operator": 1}, "operator"),
    ("reverse", {"amount": 0}, "amount"),
    ("reverse", {"amount": None}, "amount"),
    ("capture", {"processingTerminalId": "1"}, "processingTerminalId"),
    ("capture", {"amount": -1}, "amount"),
    ("capture", {"breakdown": {}}, "breakdown.subtotal"),
    ("adjust", {}, "adjustments"),
    ("adjust", {"adjustments": []}, "adjustments"),
    ("adjust", {"adjustments": [1]}, "adjustments[0]"),
    ("adjust", {"adjustments": [{}]}, "adjustments[0].type"),
    ("adjust", {"adjustments": [{"type": ["order"]}]}, "adjustments[0].type"),
    ("adjust", {"adjustments": [{"type": "tip"}]}, "adjustments[0].type"),
    ("adjust", {"adjustments": [{"type": "order"}]}, "adjustments[0].amount"),
    ("adjust", {"adjustments": [{"type": "status"}]}, "adjustments[0].toStatus"),
    (
        "adjust",
        {"adjustments": [{"type": "status", "toStatus": "complete"}]},
        "adjustments[0].toStatus",
    ),
    (
        "adjust",
        {"adjustments": [{"type": "customer", "contactMethods": [{}]}]},
        "adjustments[0].contactMethods[0].type",
    ),
    (
        "adjust",
        {"adjustments": [{"type": "signature", "cardholderSignature": ""}]},
        "adjustments[0].cardholderSignature",
    ),
]


class TestChanges:
    @pytest.mark.parametrize(("action", "body", "named"), WRONG_CHANGES)
    async def test_wrong_body(
        self, gateway: Simulator, caller: Caller, action: str, body: dict[str, Any], named: str
    ) -> None:
        """A body that breaks the contract gets 400, which names the field."""
        id_ = await pay(caller)
        before = copy.deepcopy(gateway.payments[id_])
        reply = await post(caller, f"payments/{id_}/{action}", body)
        assert_problem(reply, 400, "bad-request")
        assert named in [one["parameter"] for one in reply.json["errors"]]
        assert gateway.payments[id_] == before

    @pytest.mark.parametrize("path", ["payments/x/refund", "refunds/x/reverse"])
    async def test_unknown(self, caller: Caller, path: str) -> None:
        """What does not exist cannot be changed."""
        assert_problem(await post(caller, path, {}), 404, "not-found")

    @pytest.mark.parametrize("path", ["payments/x/novel", "refunds/x/refund", "payments//refund"])
    async def test_unknown_path(self, gateway: Simulator, caller: Caller, path: str) -> None:
        """A change that the contract does not have is no operation."""
        assert_problem(await post(caller, path, {}), 404, "not-found")
        assert gateway.requests[-1].kind == "other"

    async def test_same_key(self, gateway: Simulator, caller: Caller) -> None:
        """The same key and bytes change a payment once, and have the original answer."""
        id_, key = await pay(caller), str(uuid.uuid4())
        path = f"payments/{id_}/reverse"
        replies = await asyncio.gather(*(post(caller, path, {"amount": 1}, key) for _ in range(5)))
        await change(caller, id_, "reverse", amount=1)
        replies.append(await post(caller, path, {"amount": 1}, key))
        assert {(one.status, one.data) for one in replies} == {(200, replies[0].data)}
        assert gateway.payments[id_]["transactionResult"]["authorizedAmount"] == 4997

    @pytest.mark.parametrize("same", ["key", "key and body"])
    async def test_key_in_use(self, gateway: Simulator, caller: Caller, same: str) -> None:
        """The same key with another body or for another payment gets 409, and is a violation."""
        id_, other, key = await pay(caller), await pay(caller), str(uuid.uuid4())
        await post(caller, f"payments/{id_}/reverse", {"amount": 1}, key)
        if same == "key":
            reply = await post(caller, f"payments/{id_}/reverse", {"amount": 2}, key)
        else:
            reply = await post(caller, f"payments/{other}/reverse", {"amount": 1}, key)
        assert_problem(reply, 409, "idempotency-key-in-use")
        (sentence,) = gateway.violations
        assert "different" in sentence
        assert gateway.payments[other]["transactionResult"]["authorizedAmount"] == 4999
        gateway.violations.clear()

    async def test_missing_key(self, gateway: Simulator, caller: Caller) -> None:
        """A change without a key gets 400, changes nothing, and is a violation."""
        id_ = await pay(caller)
        path = f"/v1/payments/{id_}/reverse"
        reply = await caller.call("POST", path, json={}, headers=caller.bearer())
        assert_problem(reply, 400, "idempotency-key-missing")
        assert gateway.violations == [f"POST {path} has no Idempotency-Key."]
        assert gateway.payments[id_]["transactionResult"]["status"] == "ready"
        gateway.violations.clear()

    async def test_no_json(self, gateway: Simulator, caller: Caller) -> None:
        """A change has to say that it is JSON, and to be JSON."""
        path = f"/v1/payments/{await pay(caller)}/refund"
        headers = {**caller.bearer(), "Idempotency-Key": str(uuid.uuid4())}
        reply = await caller.call("POST", path, data=b"{}", headers=headers)
        assert_problem(reply, 415, "unsupported-media-type")
        gateway.violations.clear()
        headers["Content-Type"] = "application/json"
        reply = await caller.call("POST", path, data=b"{", headers=headers)
        assert_problem(reply, 400, "bad-request")

    async def test_observed(self, gateway: Simulator, caller: Caller) -> None:
        """A change is recorded with the instruction that the payment came from, and can be struck
        by a fault after it took effect.
        """
        id_ = await pay(caller)
        (made,) = gateway.instructions
        gateway.faults.add("change", drop_after(), instruction_id=made)
        key = str(uuid.uuid4())
        with pytest.raises(aiohttp.ClientConnectionError):
            await post(caller, f"payments/{id_}/reverse", {}, key)
        reply = await post(caller, f"payments/{id_}/reverse", {}, key)
        assert reply.json["transactionResult"]["status"] == "reversal"
        assert [one.instruction_id for one in gateway.requests_of("change")] == [made, made]

    @pytest.mark.parametrize(
        ("kind", "path"),
        [
            ("refund", "refunds/x"),
            ("signature", "signatures/x"),
            ("closed_loop_read", "closed-loop-reads/x"),
            ("search", "payments"),
            ("search", "devices"),
        ],
    )
    async def test_faults(self, gateway: Simulator, caller: Caller, kind: str, path: str) -> None:
        """A fault can be scripted for each kind of request."""
        gateway.faults.add(kind, problem(500, "api-error"))
        assert_problem(await caller.get(f"/v1/{path}"), 500, "api-error")

    async def test_needs_a_token(self, gateway: Simulator, caller: Caller) -> None:
        """Everything needs a token."""
        id_ = await pay(caller)
        gateway.revoke_tokens()
        for path in ("refunds/x", "signatures/x", "closed-loop-reads/x", "payments", "devices"):
            assert_problem(await caller.get(f"/v1/{path}"), 401, "not-authorized")
        reply = await post(caller, f"payments/{id_}/reverse", {})
        assert_problem(reply, 401, "not-authorized")
        assert gateway.payments[id_]["transactionResult"]["status"] == "ready"


@pytest.mark.parametrize(
    ("tax", "shown"),
    [
        ({"type": "rate", "rate": 5, "name": "GST"}, {"name": "GST", "rate": 5}),
        (
            {"type": "amount", "amount": 40, "name": "Bag"},
            {"name": "Bag", "rate": 0, "amount": 40},
        ),
        ({"type": "amount", "amount": 0, "name": "Bag"}, {"name": "Bag", "rate": 0}),
    ],
)
async def test_a_captured_tax_is_read_back_as_described(
    gateway: Simulator, caller: Caller, tax: dict[str, Any], shown: dict[str, Any]
) -> None:
    """Taxes that are sent are of two kinds, those that are read of one, which has a rate."""
    id_ = await pay(caller, autoCapture=False)
    items = [{"unitPrice": 100, "quantity": 1, "taxes": [tax]}]
    breakdown = {"subtotal": 4999, "taxes": [tax], "items": items}
    reply = await post(caller, f"payments/{id_}/capture", {"breakdown": breakdown})
    assert reply.status == 200
    read = reply.json["order"]["breakdown"]
    assert read["taxes"] == read["items"][0]["taxes"] == [shown]


async def test_the_same_entry_twice(caller: Caller) -> None:
    """A list whose entries have to differ is refused with 400, which names it."""
    id_ = await pay(caller)
    twice = [{"type": "status", "toStatus": "ready"}] * 2
    reply = await post(caller, f"payments/{id_}/adjust", {"adjustments": twice})
    assert_problem(reply, 400, "bad-request")
    assert reply.json["errors"][0]["parameter"] == "adjustments"
