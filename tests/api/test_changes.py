"""What an answer to a change proves: 200 alone is no success. Answers are bytes after the contract.

Source: contract sections 2, 5, 6 and 8.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from payroc_async import (
    BadRequestError,
    ConflictError,
    EbtType,
    HealthcareIndicator,
    IdempotencyKeyInUseError,
    InstructionTimeoutError,
    Outcome,
    Payment,
    PaymentDeclinedError,
    PayrocError,
    PayrocSession,
    Refund,
    RefundDeclinedError,
    ServerError,
    StatusAdjustment,
)
from payroc_async.simulator import Simulator, problem
from payroc_async.wire.converter import structure
from tests.conftest import EAGER, QUICK, SERIAL, sale
from tests.harness.wire import ONCE, Wire

TOKEN = b'{"access_token": "canary-token", "expires_in": 3600, "token_type": "Bearer"}'
PAYMENT = b"""{
  "paymentId": "M2MJOG6O2Y", "processingTerminalId": "1234001",
  "order": {"orderId": "OrderRef6543", "amount": 4999, "currency": "USD"},
  "card": {"type": "Visa", "cardNumber": "453985******7062", "expiryDate": "1230"},
  "supportedOperations": ["capture", "fullyReverse", "partiallyReverse"],
  "transactionResult": {"type": "sale", "status": "ready", "authorizedAmount": 4999,
    "currency": "USD", "responseCode": "A", "responseMessage": "APPROVAL"}
}"""
REFUND = b"""{
  "refundId": "CD3HN88U9F", "processingTerminalId": "1234001",
  "order": {"orderId": "OrderRef6543", "description": "x", "amount": 4999, "currency": "USD"},
  "card": {"type": "Visa", "cardNumber": "453985******7062", "expiryDate": "1230"},
  "supportedOperations": ["fullyReverse"],
  "transactionResult": {"type": "refund", "status": "ready", "authorizedAmount": -4999,
    "currency": "USD", "responseCode": "A", "responseMessage": "APPROVAL"}
}"""
SUMMARY = {
    "refundId": "CD3HN88U9F", "dateTime": "2026-08-20T10:00:00Z", "currency": "USD",
    "amount": -4999, "status": "ready", "responseCode": "A", "responseMessage": "APPROVAL",
}  # fmt: skip


def answer(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def document(sample: bytes = PAYMENT, **changed: Any) -> bytes:
    """A sample with some members of its result changed, and others of itself."""
    made = json.loads(sample)
    for name in ("refunds", "supportedOperations", "order"):
        if name in changed:
            made[name] = changed.pop(name)
    made["transactionResult"].update(changed)
    return json.dumps(made).encode()


def payment(**changed: Any) -> Payment:
    return structure(json.loads(document(**changed)), Payment)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    await made.start()
    yield made
    await made.stop()


async def call(
    wire: Wire, reply: bytes, work: Callable[[PayrocSession], Awaitable[Any]], **options: Any
) -> Any:
    """What a call makes of these bytes."""
    wire.replies = [answer(TOKEN), reply]
    options = {"timeouts": QUICK, "retries": ONCE, **options}
    async with PayrocSession("a key", environment=wire.environment, **options) as session:
        return await work(session)


PENDING = StatusAdjustment(to_status="pending")
ON_PAYMENTS: dict[str, Callable[[PayrocSession], Awaitable[Payment]]] = {
    "capture": lambda one: one.payments.capture("M2MJOG6O2Y"),
    "reverse": lambda one: one.payments.reverse("M2MJOG6O2Y"),
    "adjust": lambda one: one.payments.adjust("M2MJOG6O2Y", PENDING),
    "refund": lambda one: one.payments.refund("M2MJOG6O2Y", amount=1, description="x"),
}
CODES = {
    "D": ("declined", Outcome.DECLINED),
    "R": ("referral", Outcome.REFERRED),
    "C": ("pickup", Outcome.PICK_UP),
    "E": ("accepted", Outcome.DEFERRED),
    "Z": ("novel", Outcome.UNKNOWN),
}


# The outcome of a change ----------


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("operation", ON_PAYMENTS)
async def test_a_change_that_is_not_approved(wire: Wire, operation: str, code: str) -> None:
    """200 with a code that is no approval: the model says so, and raises when it is asked."""
    status, outcome = CODES[code]
    reply = answer(document(responseCode=code, status=status, responseMessage="NO"))
    changed = await call(wire, reply, ON_PAYMENTS[operation])
    assert changed.outcome is outcome
    assert not changed.approved
    assert not changed.in_effect
    with pytest.raises(PaymentDeclinedError, match=r"M2MJOG6O2Y is \w+: NO"):
        changed.raise_for_decline()


@pytest.mark.parametrize("code", CODES)
async def test_a_refunds_reversal_that_is_not_approved(wire: Wire, code: str) -> None:
    """The same of a refund's reversal, which is sent without a body."""
    status, outcome = CODES[code]
    reply = answer(document(REFUND, responseCode=code, status=status))
    changed: Refund = await call(wire, reply, lambda one: one.refunds.reverse("CD3HN88U9F"))
    assert changed.outcome is outcome
    with pytest.raises(RefundDeclinedError, match="CD3HN88U9F"):
        changed.raise_for_decline()
    sent = wire.seen[-1]
    assert (sent.target, sent.body) == ("/v1/refunds/CD3HN88U9F/reverse", b"")
    assert "content-type" not in sent.headers
    assert "idempotency-key" in sent.headers


@pytest.mark.parametrize(
    ("code", "status", "in_effect"),
    [
        ("A", "ready", True),
        ("A", "pending", True),
        ("A", "complete", True),
        ("P", "ready", True),
        ("A", None, True),
        ("A", "novel", True),
        ("A", "reversal", False),
        ("P", "reversal", False),
        ("A", "expired", False),
        ("A", "declined", False),
        ("D", "ready", False),
        ("E", "accepted", False),
    ],
)
def test_whether_money_is_held(code: str, status: str | None, in_effect: bool) -> None:
    """The code of an approval stays when it is reversed or expires: the status says that."""
    made = payment(responseCode=code, status=status)
    assert made.in_effect is in_effect
    assert made.uncaptured is (in_effect and status == "pending")


# Undo ----------

NO_REFUNDS: dict[str, Any] = {"supportedOperations": ["refund"], "status": "complete"}


@pytest.mark.parametrize(
    ("amount", "changed", "how", "outcome"),
    [
        (None, {"status": "reversal"}, "reversed", Outcome.APPROVED),
        (None, {"responseCode": "D", "status": "declined"}, None, Outcome.DECLINED),
        (None, {"responseCode": "D", "status": "reversal"}, None, Outcome.DECLINED),
        (None, {"responseCode": "E", "status": "accepted"}, None, Outcome.DEFERRED),
        (None, {"status": "ready"}, None, Outcome.UNKNOWN),
        (None, {"status": "complete"}, None, Outcome.UNKNOWN),
        (999, {"authorizedAmount": 4000}, "reversed", Outcome.APPROVED),
        (999, {"status": "reversal"}, "reversed", Outcome.APPROVED),
        (999, {"responseCode": "D"}, None, Outcome.DECLINED),
        (999, {"status": "declined"}, None, Outcome.UNKNOWN),
    ],
)
async def test_undo_by_a_reversal(
    wire: Wire, amount: int | None, changed: dict[str, Any], how: str | None, outcome: Outcome
) -> None:
    """It says reversed where the answer does, and of nothing else."""
    reply = answer(document(**changed))
    undone = await call(
        wire, reply, lambda one: one.payments.undo(payment(), amount=amount, description="x")
    )
    assert (undone.how, undone.asked, undone.outcome) == (how, "reverse", outcome)
    assert undone.refund is None


@pytest.mark.parametrize(
    ("changed", "how", "outcome", "refund_id"),
    [
        ({"refunds": [SUMMARY]}, "refunded", Outcome.APPROVED, "CD3HN88U9F"),
        ({"refunds": [{**SUMMARY, "amount": 4999}]}, "refunded", Outcome.APPROVED, "CD3HN88U9F"),
        (
            {"refunds": [{**SUMMARY, "responseCode": "D", "status": "declined"}]},
            *(None, Outcome.DECLINED, "CD3HN88U9F"),
        ),
        (
            {"refunds": [{**SUMMARY, "responseCode": "E", "status": "accepted"}]},
            *(None, Outcome.DEFERRED, "CD3HN88U9F"),
        ),
        ({"refunds": [{"refundId": "CD3HN88U9F"}]}, None, Outcome.UNKNOWN, "CD3HN88U9F"),
        ({"status": "reversal"}, "reversed", Outcome.APPROVED, None),
        ({"authorizedAmount": 0}, "reversed", Outcome.APPROVED, None),
        ({"responseCode": "D", "status": "declined"}, None, Outcome.DECLINED, None),
        ({}, None, Outcome.UNKNOWN, None),
        ({"responseCode": "D", "refunds": [SUMMARY]}, None, Outcome.UNKNOWN, "CD3HN88U9F"),
    ],
)
async def test_undo_by_a_refund(
    wire: Wire,
    changed: dict[str, Any],
    how: str | None,
    outcome: Outcome,
    refund_id: str | None,
) -> None:
    """A refund may be declined, and in an open batch it becomes a reversal: both are said."""
    settled = payment(**NO_REFUNDS)
    reply = answer(document(**{**NO_REFUNDS, **changed}))
    undone = await call(wire, reply, lambda one: one.payments.undo(settled, description="x"))
    assert (undone.how, undone.asked, undone.outcome) == (how, "refund", outcome)
    assert (undone.refund.refund_id if undone.refund else None) == refund_id
    if undone.refund and undone.refund.amount is not None:
        assert undone.refund.amount == 4999


@pytest.mark.parametrize("status", ["reversal", "expired"])
async def test_what_holds_no_money_is_not_undone(wire: Wire, status: str) -> None:
    """Such a payment may list operations all the same: nothing is sent."""
    gone = payment(status=status, supportedOperations=["fullyReverse", "refund"])
    with pytest.raises(ValueError, match=status):
        await call(wire, answer(PAYMENT), lambda one: one.payments.undo(gone, description="x"))
    assert len(wire.seen) <= 1  # the token at most


# Signs ----------


def test_a_refunds_sums_are_sizes() -> None:
    """Negative in one place and positive in another: which way it goes, the model says."""
    refund = structure(json.loads(document(REFUND)), Refund)
    assert refund.transaction_result.authorized_amount == refund.order.amount == 4999
    assert refund.raw["transactionResult"]["authorizedAmount"] == -4999
    assert "-" not in repr(refund.transaction_result.authorized_amount)
    made = payment(refunds=[SUMMARY])
    assert made.refunds[0].amount == 4999
    assert made.raw["refunds"][0]["amount"] == -4999


def test_the_words_of_august_2026_are_read() -> None:
    """Known ones are members, others are kept as they came."""
    made = payment(healthcareIndicator="C", ebtType="foodStampVoucherReturn")
    result = made.transaction_result
    assert result.healthcare_indicator is HealthcareIndicator.C
    assert result.ebt_type is EbtType.FOOD_STAMP_VOUCHER_RETURN
    novel = payment(healthcareIndicator="X", ebtType="novel").transaction_result
    assert (novel.healthcare_indicator, novel.ebt_type) == ("X", "novel")


# Errors ----------


def problem_of(fragment: str, status: int, **more: Any) -> bytes:
    made = {"type": f"https://docs.payroc.com/api/errors#{fragment}", "status": status, **more}
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    ("status", "body", "wanted", "own"),
    [
        ("400 Bad Request", problem_of("idempotency-key-in-use", 409), IdempotencyKeyInUseError, 1),
        ("409 Conflict", problem_of("idempotency-key-in-use", 409), IdempotencyKeyInUseError, 1),
        ("409 Conflict", problem_of("idempotency-key-in-use", 400), IdempotencyKeyInUseError, 1),
        ("400 Bad Request", problem_of("cannot-be-modified", 400), ConflictError, 1),
        ("409 Conflict", problem_of("bad-request", 409), BadRequestError, 1),
        ("400 Bad Request", problem_of("cannot-be-modified", 409), ConflictError, 0),
        ("400 Bad Request", b"", BadRequestError, 0),
        ("503 Busy", problem_of("cannot-be-modified", 503), ServerError, 1),
        ("409 Conflict", problem_of("novel", 409), ConflictError, 1),
    ],
)
async def test_the_error_that_payroc_names_comes_first(
    wire: Wire, status: str, body: bytes, wanted: type[PayrocError], own: int
) -> None:
    """Payroc publishes one error under several statuses."""
    reply = answer(body, status, "application/problem+json")
    with pytest.raises(PayrocError) as caught:
        await call(wire, reply, ON_PAYMENTS["capture"])
    assert type(caught.value) is wanted
    assert getattr(caught.value, "own", None) is bool(own)


async def test_a_problems_link(wire: Wire) -> None:
    """A late cancellation's 409 leads to the payment; a link that is none does no harm."""
    link = {"rel": "payment", "method": "GET", "href": "https://api.payroc.com/v1/payments/M2"}
    reply = answer(problem_of("cannot-be-canceled", 409, link=link), "409 Conflict")
    with pytest.raises(ConflictError) as caught:
        await call(wire, reply, ON_PAYMENTS["capture"])
    assert caught.value.problem.link is not None
    assert caught.value.problem.link.href == link["href"]
    for odd in ("text", {}, {"href": 1}, None, [link]):
        reply = answer(problem_of("novel", 409, link=odd), "409 Conflict")
        with pytest.raises(ConflictError) as caught:
            await call(wire, reply, ON_PAYMENTS["capture"])
        assert caught.value.problem.link is None


@pytest.mark.parametrize("refusal", [403, 404, 500])
async def test_a_late_cancellation_reads_the_payment_by_its_link(
    gateway: Simulator, refusal: int
) -> None:
    """Where the status can't be had, the link of the DELETE's 409 leads to the payment."""
    gateway.device(SERIAL).completes_on_cancel()
    options: dict[str, Any] = {"environment": gateway.environment, "timeouts": QUICK}
    async with PayrocSession(gateway.api_key, retries=EAGER, **options) as session:
        handle = await session.start_sale(SERIAL, sale())
        gateway.faults.add("status", problem(refusal, "not-found"), times=None)
        await handle.cancel()
        paid = await handle.result()
    assert paid.payment_id in gateway.payments
    assert paid.approved


async def test_a_refused_cancellation_without_a_link_proves_nothing(gateway: Simulator) -> None:
    """A link to the instruction itself is no word of a payment."""
    gateway.device(SERIAL).never_finishes()
    options: dict[str, Any] = {"environment": gateway.environment, "timeouts": QUICK}
    async with PayrocSession(gateway.api_key, retries=EAGER, **options) as session:
        gateway.faults.add("cancel", problem(409, "cannot-be-canceled"))
        with pytest.raises(InstructionTimeoutError):
            await session.run_sale(SERIAL, sale(), timeout=0.05)
    assert gateway.payments == {}
