"""What changes money, attacked from outside: each answer is bytes, written by hand.

Nothing may be said to be done that the answer does not show, each try has the same key and bytes,
and after a lost answer no refusal is certain. Source: contract sections 2, 6 and 8.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from payroc_async import (
    APIError,
    ConflictError,
    IdempotencyKeyInUseError,
    NotFoundError,
    Outcome,
    PaymentOrderRequest,
    PaymentRequest,
    PayrocError,
    PayrocSession,
    ResponseFormatError,
    SecureTokenPayload,
    StatusAdjustment,
    TransportError,
    models,
)
from payroc_async.wire.converter import structure
from tests.harness.wire_till import ByteGateway, problem_bytes, till_with

ID, REFUND_ID = "M2MJOG6O2Y", "CD3HN88U9F"
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
PAYMENT: dict[str, Any] = {
    "paymentId": ID,
    "processingTerminalId": "1234001",
    "order": {"orderId": "A1", "amount": 4999, "currency": "USD"},
    "card": {"type": "Visa", "cardNumber": "453985******7062", "expiryDate": "1230"},
    "refunds": [],
    "supportedOperations": ["fullyReverse", "partiallyReverse", "refund", "capture"],
    "transactionResult": {
        "type": "sale",
        "status": "ready",
        "authorizedAmount": 4999,
        "currency": "USD",
        "responseCode": "A",
    },
}
REFUND: dict[str, Any] = {
    **{name: PAYMENT[name] for name in ("processingTerminalId", "order", "card")},
    "refundId": REFUND_ID,
    "transactionResult": {"type": "refund", "status": "ready", "responseCode": "A"},
}
SUMMARY = {
    "refundId": REFUND_ID,
    "dateTime": "2026-08-20T10:00:00Z",
    "currency": "USD",
    "amount": -1000,
    "status": "ready",
    "responseCode": "A",
    "responseMessage": "APPROVAL",
}
CLOSING = {"cutOffTime": "13:55", "timezone": "America/Chicago"}


def payment(**result: Any) -> dict[str, Any]:
    return {**PAYMENT, "transactionResult": {**PAYMENT["transactionResult"], **result}}


def settled(*refunds: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        **payment(status="complete"),
        "supportedOperations": ["refund"],
        "refunds": list(refunds),
        **more,
    }


def read(document: dict[str, Any]) -> models.Payment:
    return structure(document, models.Payment)


CHARGE = PaymentRequest(
    channel="pos",
    processing_terminal_id="1234001",
    order=PaymentOrderRequest(order_id="A1", amount=4999, currency="USD"),
    payment_method=SecureTokenPayload(token="2967530000000000"),
)
PENDING = StatusAdjustment(to_status="pending")

Call = Callable[[PayrocSession], Awaitable[Any]]
CALLS: dict[str, tuple[str, dict[str, Any], Call]] = {
    "capture": (f"payments/{ID}/capture", PAYMENT, lambda one: one.payments.capture(ID)),
    "reverse": (f"payments/{ID}/reverse", PAYMENT, lambda one: one.payments.reverse(ID)),
    "adjust": (f"payments/{ID}/adjust", PAYMENT, lambda one: one.payments.adjust(ID, PENDING)),
    "refund": (
        f"payments/{ID}/refund",
        PAYMENT,
        lambda one: one.payments.refund(ID, amount=1, description="x"),
    ),
    "undo": (
        f"payments/{ID}/reverse",
        payment(status="reversal"),
        lambda one: one.payments.undo(read(PAYMENT), description="x"),
    ),
    "undo by a refund": (
        f"payments/{ID}/refund",
        settled({**SUMMARY, "amount": -4999}),
        lambda one: one.payments.undo(read(settled()), description="x"),
    ),
    "reverse a refund": (
        f"refunds/{REFUND_ID}/reverse",
        REFUND,
        lambda one: one.refunds.reverse(REFUND_ID),
    ),
    "adjust a refund": (
        f"refunds/{REFUND_ID}/adjust",
        REFUND,
        lambda one: one.refunds.adjust(REFUND_ID, PENDING),
    ),
    "charge": ("payments", PAYMENT, lambda one: one.payments.create(CHARGE)),
    "close the batch": (
        "processing-terminals/1234001/close-batch",
        CLOSING,
        lambda one: one.terminals.close_batch("1234001"),
    ),
}
LOST = {
    "dropped": None,
    "502": (502, b"<html>bad gateway</html>"),
    "504": (504, b""),
    "cut": (200, b'{"paymentId": "M2M'),
    "empty": (200, b""),
    "no content": (204, b""),
    "a proxy's JSON": (200, b'{"message": "ok"}'),
}
LATER = {
    "400": (400, problem_bytes(400, "bad-request")),
    "400 in use": (400, problem_bytes(409, "idempotency-key-in-use")),
    "403": (403, problem_bytes(403, "forbidden")),
    "404": (404, problem_bytes(404, "not-found")),
    "409": (409, problem_bytes(409, "cannot-be-modified")),
    "410": (410, b"<html>gone</html>"),
    "413": (413, problem_bytes(413, "payload-too-large")),
    "500": (500, problem_bytes(500, "api-error")),
    "302": (302, b""),
}
calls = pytest.mark.parametrize("call", CALLS)


async def attack(call: str, *answers: tuple[int, bytes] | None) -> tuple[ByteGateway, Any]:
    """What the call gives or raises after these answers, the last one for ever."""
    path, _, make = CALLS[call]
    gateway = ByteGateway({f"POST /v1/{path}": list(answers)})
    async with till_with(gateway) as till:
        try:
            came: Any = await make(till)
        except PayrocError as error:
            came = error
    assert len(set(gateway.keys())) == 1
    assert len({body for _, _, body in gateway.asked}) == 1
    return gateway, came


@calls
@pytest.mark.parametrize("lost", LOST)
async def test_the_answer_is_lost_and_the_replay_is_not(call: str, lost: str) -> None:
    """The same bytes under the same key bring what the first try came to."""
    answer = (200, json.dumps(CALLS[call][1]).encode())
    gateway, came = await attack(call, LOST[lost], answer)
    assert len(gateway.asked) == 2
    if isinstance(came, models.Undone):
        assert came.how == ("reversed" if call == "undo" else "refunded")
    assert not isinstance(came, PayrocError)


@calls
@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("lost", ["dropped", "504", "cut", "no content"])
async def test_the_answer_is_lost_and_the_replay_is_refused(
    call: str, lost: str, later: str
) -> None:
    """No refusal of a later try is one of the first."""
    _, came = await attack(call, LOST[lost], LATER[later])
    assert isinstance(came, PayrocError)
    assert came.may_have_taken_effect
    assert came.idempotency_key


@calls
@pytest.mark.parametrize("lost", LOST)
async def test_no_answer_ever(call: str, lost: str) -> None:
    """A 2xx without what was asked for is no success, and no certain failure."""
    _, came = await attack(call, LOST[lost])
    assert isinstance(came, ResponseFormatError | TransportError | APIError)
    assert came.may_have_taken_effect
    assert came.idempotency_key


@calls
@pytest.mark.parametrize("status", [400, 409])
async def test_a_key_in_use(call: str, status: int) -> None:
    """By its fragment, under either status; it is sent once."""
    gateway, came = await attack(call, (status, problem_bytes(409, "idempotency-key-in-use")))
    assert isinstance(came, IdempotencyKeyInUseError)
    assert len(gateway.asked) == 1


@calls
async def test_a_conflict_with_a_link(call: str) -> None:
    """The link is there to be followed, the refusal is the gateway's own and certain."""
    link = {"rel": "payment", "method": "GET", "href": f"https://api.payroc.com/v1/payments/{ID}"}
    _, came = await attack(call, (409, problem_bytes(409, "cannot-be-modified", link=link)))
    assert isinstance(came, ConflictError)
    assert came.problem is not None
    assert came.problem.link is not None
    assert came.problem.link.href.endswith(ID)
    assert not came.may_have_taken_effect


@calls
@pytest.mark.parametrize(
    ("status", "body"),
    [(400, b"<html>blocked</html>"), (403, b""), (404, b"not found"), (409, b'{"error": "busy"}')],
)
async def test_a_proxys_refusal_is_not_certain(call: str, status: int, body: bytes) -> None:
    """A box in between may have passed the request on before."""
    _, came = await attack(call, (status, body))
    assert isinstance(came, APIError)
    assert came.may_have_taken_effect


@pytest.mark.parametrize("call", [one for one in CALLS if one != "close the batch"])
@pytest.mark.parametrize("code", ["D", "R", "C", "E", "?", "a"])
async def test_200_and_declined(call: str, code: str) -> None:
    """The response code decides, with whatever status beside it."""
    for status in ("ready", "reversal", "complete", "declined"):
        document = CALLS[call][1]
        result = {**document["transactionResult"], "responseCode": code, "status": status}
        answer = {**document, "transactionResult": result, "refunds": []}
        gateway, came = await attack(call, (200, json.dumps(answer).encode()))
        assert len(gateway.asked) == 1
        assert came.outcome is not Outcome.APPROVED
        if isinstance(came, models.Undone):
            assert came.how is None
        else:
            assert not came.in_effect
            with pytest.raises(PayrocError):
                came.raise_for_decline()


# What undoing shows ----------


async def undo(
    before: dict[str, Any], after: dict[str, Any], amount: int | None, key: str | None
) -> models.Undone:
    answer = [(200, json.dumps(after).encode())]
    gateway = ByteGateway(
        {f"POST /v1/payments/{ID}/{action}": list(answer) for action in ("reverse", "refund")}
    )
    async with till_with(gateway) as till:
        return await till.payments.undo(
            read(before), amount=amount, description="x", idempotency_key=key
        )


@pytest.mark.parametrize(
    ("before", "authorized", "key", "how"),
    [
        (4999, 3999, None, "reversed"),
        (4999, 4999, None, None),  # nothing is less: the code of the sale
        (4999, 4000, None, None),  # less, and not by so much: another's work
        (4999, None, None, None),
        (4999, 1000, None, "reversed"),  # as a gateway might show what was reversed
        (3999, 3999, KEY, "reversed"),  # by an earlier try: the order has the whole
        (3999, 3999, None, None),
        (4999, 4999, KEY, None),
    ],
)
async def test_a_part_is_reversed_where_the_sum_shows_it(
    before: int, authorized: int | None, key: str | None, how: str | None
) -> None:
    """Half of a payment: an approval's code alone is the sale's own."""
    undone = await undo(
        payment(authorizedAmount=before), payment(authorizedAmount=authorized), 1000, key
    )
    assert (undone.how, undone.asked) == (how, "reverse")
    assert undone.outcome is (Outcome.APPROVED if how else Outcome.UNKNOWN)


async def test_a_part_of_a_partial_approval() -> None:
    """That less was authorized than asked for from the start shows no reversal."""
    was = payment(authorizedAmount=3999, responseCode="P")
    assert (await undo(was, was, 1000, KEY)).how is None


@pytest.mark.parametrize(
    ("changed", "how"),
    [
        ({"status": None}, "reversed"),
        ({"status": None, "responseCode": "D"}, None),
        ({"status": "ready", "authorizedAmount": 0}, None),
        ({"status": "reversal"}, "reversed"),
        ({"status": "novel"}, None),
        ({"status": "expired"}, None),
    ],
)
async def test_the_whole_is_reversed_where_the_answer_shows_it(
    changed: dict[str, Any], how: str | None
) -> None:
    """Without a status, the code alone says it; no other status does."""
    assert (await undo(PAYMENT, payment(**changed), None, None)).how == how


OLD = {**SUMMARY, "refundId": "OLDREFUND1"}


@pytest.mark.parametrize(
    ("before", "after", "key", "how", "refund_id"),
    [
        ([], [SUMMARY], None, "refunded", REFUND_ID),
        ([OLD], [OLD, SUMMARY], None, "refunded", REFUND_ID),
        ([OLD], [OLD], None, None, None),  # the old one is not what was asked for now
        ([OLD], [OLD], KEY, "refunded", "OLDREFUND1"),  # it may well be, of an earlier try
        ([], [{**SUMMARY, "amount": -500}], None, None, REFUND_ID),  # another's
        ([], [{**SUMMARY, "status": "reversal"}], None, None, REFUND_ID),
        ([], [{**SUMMARY, "status": "returned"}], None, None, REFUND_ID),
        ([], [], None, None, None),
    ],
)
async def test_a_refund_is_the_one_that_the_answer_shows(
    before: list[Any], after: list[Any], key: str | None, how: str | None, refund_id: str | None
) -> None:
    """No refund from before, and none of another sum, is taken for this one."""
    undone = await undo(settled(*before), settled(*after), 1000, key)
    assert undone.how == how
    assert (undone.refund.refund_id if undone.refund else None) == refund_id
    assert (undone.outcome is Outcome.APPROVED) == (how is not None)


# Saved cards ----------

TOKEN = "DELETE /v1/processing-terminals/1234001/secure-tokens/MREF_1"


@pytest.mark.parametrize("lost", ["dropped", "502", "504"])
@pytest.mark.parametrize("later", LATER)
async def test_a_deletion_is_lost_and_the_replay_is_refused(lost: str, later: str) -> None:
    """Gone is deleted, if the gateway says so itself; else it is in doubt."""
    gateway = ByteGateway({TOKEN: [LOST[lost], LATER[later]]})
    async with till_with(gateway) as till:
        call = till.secure_tokens.delete("1234001", "MREF_1")
        if later == "404":
            await call
            return
        with pytest.raises(PayrocError) as caught:
            await call
    assert caught.value.may_have_taken_effect


async def test_what_was_never_there_is_not_deleted() -> None:
    """A first 404 says that there was no such card."""
    gateway = ByteGateway({TOKEN: [(404, problem_bytes(404, "not-found"))]})
    async with till_with(gateway) as till:
        with pytest.raises(NotFoundError):
            await till.secure_tokens.delete("1234001", "MREF_1")
