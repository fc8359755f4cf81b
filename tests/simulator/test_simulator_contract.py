"""The simulator answers as the contract says, not as the SDK expects: raw requests, raw answers.

Source: contract sections 4 to 6, 8 and 9.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from payroc_async import ConfigurationError
from payroc_async.simulator import Simulator
from payroc_async.testing import PayrocGateway

from .test_simulator import BODY, SERIAL, Caller, assert_problem
from .test_simulator_resources import pay, post, run

RESERVED: dict[str, Any] = {"autoCapture": False}
MAIL = {"type": "email", "value": "jane.doe@example.com"}


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


def result_of(document: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = document["transactionResult"]
    return result


# Declines ----------

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "capture": ("capture", {}),
    "reverse": ("reverse", {}),
    "adjust": ("adjust", {"adjustments": [{"type": "order", "amount": 5499}]}),
    "refund": ("refund", {"amount": 4999, "description": "x"}),
}
CODES = {"D": "declined", "R": "referral", "C": "pickup", "E": "accepted"}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("operation", CHANGES)
async def test_a_change_of_a_payment_is_declined(
    gateway: Simulator, caller: Caller, operation: str, code: str
) -> None:
    """200 with the payment, whose result has the code; the payment itself is as it was."""
    id_ = await pay(caller, **(RESERVED if operation == "capture" else {}))
    before = gateway.payments[id_]
    gateway.decline_next(operation, response_code=code, response_message="NO")
    action, body = CHANGES[operation]
    reply = await post(caller, f"payments/{id_}/{action}", body)
    assert reply.status == 200
    said = result_of(reply.json)
    assert (said["responseCode"], said["status"]) == (code, CODES[code])
    assert said["responseMessage"] == "NO"
    assert gateway.payments[id_] == before
    reply = await post(caller, f"payments/{id_}/{action}", body)  # once
    assert result_of(reply.json)["responseCode"] == "A"


async def test_a_refund_of_a_settled_payment_is_made_and_declined(
    gateway: Simulator, caller: Caller
) -> None:
    """It has an id, and gives nothing back: as much can be refunded afterwards."""
    id_ = await pay(caller)
    gateway.close_batch()
    gateway.decline_next("refund")
    body = {"amount": 4999, "description": "x"}
    reply = await post(caller, f"payments/{id_}/refund", body)
    assert result_of(reply.json)["responseCode"] == "A"
    (entry,) = reply.json["refunds"]
    assert (entry["responseCode"], entry["status"], entry["amount"]) == ("D", "declined", -4999)
    assert result_of(gateway.refunds[entry["refundId"]])["responseCode"] == "D"
    reply = await post(caller, f"payments/{id_}/refund", body)
    assert [one["responseCode"] for one in reply.json["refunds"]] == ["D", "A"]


@pytest.mark.parametrize(
    ("operation", "action", "body"),
    [
        ("reverse_refund", "reverse", None),
        ("adjust_refund", "adjust", {"adjustments": [{"type": "status", "toStatus": "pending"}]}),
    ],
)
async def test_a_change_of_a_refund_is_declined(
    gateway: Simulator, caller: Caller, operation: str, action: str, body: Any
) -> None:
    """The same of what can be done to a refund."""
    id_ = (await run(caller, "refund"))["refundId"]
    before = gateway.refunds[id_]
    gateway.decline_next(operation)
    reply = await post(caller, f"refunds/{id_}/{action}", body or {})
    assert (reply.status, result_of(reply.json)["responseCode"]) == (200, "D")
    assert gateway.refunds[id_] == before


def test_what_is_no_operation_is_refused() -> None:
    """A script that could never apply is an error in the test."""
    gateway = Simulator()
    with pytest.raises(ConfigurationError, match="operation"):
        gateway.decline_next("void")
    with pytest.raises(ConfigurationError, match="response_code"):
        gateway.decline_next("capture", response_code="A")


def test_a_decline_that_nothing_used_is_reported() -> None:
    """The test does not show what it is meant to."""
    with PayrocGateway() as gateway:
        gateway.decline_next("capture")
        with pytest.raises(AssertionError, match="was called for capture, but no such change"):
            gateway.check()
        gateway.clear()
        gateway.check()


# Refunds ----------


async def test_a_refunds_signs(gateway: Simulator, caller: Caller) -> None:
    """Negative where funds go to the customer; the order's amount is positive."""
    made = await run(caller, "refund")
    assert result_of(made)["authorizedAmount"] == -made["order"]["amount"] == -1000
    id_ = await pay(caller)
    gateway.close_batch()
    reply = await post(caller, f"payments/{id_}/refund", {"amount": 999, "description": "x"})
    (entry,) = reply.json["refunds"]
    refund = gateway.refunds[entry["refundId"]]
    assert entry["amount"] == result_of(refund)["authorizedAmount"] == -999
    assert (refund["order"]["amount"], refund["payment"]["amount"]) == (999, 4999)


async def test_a_refund_is_adjusted(gateway: Simulator, caller: Caller) -> None:
    """Its status and its customer alone; not once it has settled."""
    id_ = (await run(caller, "refund"))["refundId"]
    pending = {"type": "status", "toStatus": "pending"}
    customer = {"type": "customer", "contactMethods": [MAIL]}
    path = f"refunds/{id_}/adjust"
    reply = await post(caller, path, {"adjustments": [pending, customer]})
    assert result_of(reply.json)["status"] == "pending"
    assert reply.json["customer"]["contactMethods"] == [MAIL]
    reply = await post(caller, path, {"adjustments": [{"type": "order", "amount": 1}]})
    assert_problem(reply, 400, "bad-request")
    reply = await post(caller, path, {"adjustments": [{"type": "status", "toStatus": "ready"}]})
    assert reply.status == 200
    gateway.close_batch()
    assert_problem(await post(caller, path, {"adjustments": [pending]}), 409, "cannot-be-modified")


# Pre-authorizations ----------


async def test_a_pre_authorization_as_the_samples_show_it(
    gateway: Simulator, caller: Caller
) -> None:
    """A sale that is pending; captured, a sale that is ready."""
    gateway.pre_authorizations = "as_sale"
    id_ = await pay(caller, **RESERVED)
    payment = gateway.payments[id_]
    assert (result_of(payment)["type"], result_of(payment)["status"]) == ("sale", "pending")
    assert "capture" in payment["supportedOperations"]
    gateway.close_batch()
    assert result_of(gateway.payments[id_])["status"] == "pending"
    reply = await post(caller, f"payments/{id_}/capture", {"amount": 4000})
    said = result_of(reply.json)
    assert (said["type"], said["status"], said["authorizedAmount"]) == ("sale", "ready", 4000)


async def test_a_terminal_without_pre_authorizations(gateway: Simulator, caller: Caller) -> None:
    """400 capabilities-missing, which names the terminal; a sale runs."""
    gateway.pre_authorizations = "refused"
    reply = await caller.submit({**BODY, **RESERVED})
    assert_problem(reply, 400, "capabilities-missing")
    assert [one["parameter"] for one in reply.json["errors"]] == ["processingTerminalId"]
    assert (await caller.submit()).status == 202


async def test_an_expired_pre_authorization(gateway: Simulator, caller: Caller) -> None:
    """It keeps its code, and can neither be captured nor reversed."""
    id_, sold = await pay(caller, **RESERVED), await pay(caller)
    gateway.expire_pre_authorizations()
    said = result_of(gateway.payments[id_])
    assert (said["status"], said["responseCode"]) == ("expired", "A")
    assert gateway.payments[id_]["supportedOperations"] == []
    assert result_of(gateway.payments[sold])["status"] == "ready"
    for action in ("capture", "reverse"):
        reply = await post(caller, f"payments/{id_}/{action}", {})
        assert_problem(reply, 409, "cannot-be-modified")


# Errors ----------


@pytest.mark.parametrize("status", [409, 400])
async def test_a_used_key(gateway: Simulator, caller: Caller, status: int) -> None:
    """Published under both, with 409 in the body each time."""
    gateway.used_key_status = status
    key = str(uuid.uuid4())
    assert (await caller.submit(key=key)).status == 202
    reply = await caller.submit({**BODY, "operator": "John"}, key=key)
    assert (reply.status, reply.json["status"]) == (status, 409)
    assert reply.json["type"].endswith("#idempotency-key-in-use")
    assert reply.json["title"] == "Idempotency-Key in use"
    gateway.violations.clear()


async def test_a_late_cancellation(gateway: Simulator, caller: Caller) -> None:
    """409 with the link to what came first; without one where nothing came."""
    gateway.device(SERIAL).completes_on_cancel().fails()
    reply = await caller.cancel(await caller.start())
    assert_problem(reply, 409, "cannot-be-canceled")
    (payment_id,) = gateway.payments
    assert reply.json["link"] == {
        "rel": "payment",
        "method": "GET",
        "href": f"https://api.payroc.com/v1/payments/{payment_id}",
    }
    assert [one["parameter"] for one in reply.json["errors"]] == ["paymentInstructionId"]
    reply = await caller.cancel(await caller.start())
    assert_problem(reply, 409, "cannot-be-canceled")
    assert "link" not in reply.json


async def test_a_post_without_a_body(caller: Caller) -> None:
    """The reversal of a refund has none, and no content type."""
    id_ = (await run(caller, "refund"))["refundId"]
    headers = {**caller.bearer(), "Idempotency-Key": str(uuid.uuid4())}
    async with caller.session.post(
        f"{caller.gateway.url}/v1/refunds/{id_}/reverse",
        headers=headers,
        skip_auto_headers=["Content-Type"],
    ) as reply:
        assert reply.status == 200
        assert result_of(await reply.json())["status"] == "reversal"
    assert caller.gateway.violations == []
