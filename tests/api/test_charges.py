"""A saved card is charged: what is sent, and what is made of every answer.

The answers are bytes, written from contract sections 5, 8 and 12.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Any

import pytest

from payroc_async import (
    BadRequestError,
    Channel,
    ConfigurationError,
    ConflictError,
    CredentialOnFile,
    CustomFieldRequest,
    FirstTransactionReference,
    IdempotencyKeyInUseError,
    ItemizedBreakdown,
    Outcome,
    PaymentDeclinedError,
    PaymentOrderRequest,
    PaymentRequest,
    PayrocError,
    PayrocSession,
    ProcessingModel,
    ResponseFormatError,
    SecureTokenPayload,
    StandingInstructionsRequest,
    TransportError,
)
from payroc_async.simulator import Simulator, drop_after, drop_before, hang_after, html
from payroc_async.wire.converter import encode
from tests.conftest import SERIAL, sale
from tests.harness.wire_till import ByteGateway, problem_bytes, till_with

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
TOKEN = "296753123456"
PAYMENTS = "POST /v1/payments"


def answer(response_code: str = "A", status: str = "ready", **result: Any) -> bytes:
    """The `payment` of contract section 12, as the published sample has it."""
    return json.dumps(
        {
            "paymentId": "M2MJOG6O2Y",
            "processingTerminalId": "1234001",
            "operator": "Jane",
            "order": {
                "orderId": "OrderRef6543",
                "dateTime": "2024-07-02T15:30:00Z",
                "amount": 4999,
                "currency": "USD",
            },
            "card": {
                "type": "MasterCard",
                "entryMethod": "keyed",
                "cardNumber": "453985******7062",
                "expiryDate": "1230",
            },
            "supportedOperations": ["fullyReverse"],
            "transactionResult": {
                "type": "sale",
                "status": status,
                "responseCode": response_code,
                "authorizedAmount": 4999,
                "currency": "USD",
                "cardSchemeReferenceId": "REF-1",
                **result,
            },
        }
    ).encode()


def charge(**more: Any) -> PaymentRequest:
    order = more.pop("order", None) or PaymentOrderRequest(
        order_id="OrderRef6543", amount=4999, currency="USD"
    )
    return PaymentRequest(
        channel="web",
        processing_terminal_id="1234001",
        order=order,
        payment_method=SecureTokenPayload(token=TOKEN),
        **more,
    )


def agreed(standing: StandingInstructionsRequest, model: str = "recurring") -> PaymentRequest:
    """A payment that the merchant starts."""
    order = PaymentOrderRequest(
        order_id="Sub-2", amount=999, currency="USD", standing_instructions=standing
    )
    file = CredentialOnFile(mit_agreement=model)
    return charge(order=order, credential_on_file=file)


# What is sent ----------


async def test_the_least_body() -> None:
    """The bytes of contract section 12, under a UUID v4, to /payments."""
    gateway = ByteGateway({PAYMENTS: [(201, answer())]})
    async with till_with(gateway) as till:
        payment = await till.payments.create(charge())
    ((asked, headers, body),) = gateway.asked
    assert asked == PAYMENTS
    assert json.loads(body) == {
        "channel": "web",
        "processingTerminalId": "1234001",
        "order": {"orderId": "OrderRef6543", "amount": 4999, "currency": "USD"},
        "paymentMethod": {"type": "secureToken", "token": TOKEN},
    }
    assert headers["content-type"] == "application/json"
    assert uuid.UUID(headers["idempotency-key"]).version == 4
    assert (payment.payment_id, payment.outcome) == ("M2MJOG6O2Y", Outcome.APPROVED)


def test_all_that_can_be_sent() -> None:
    """Every field has its name of the contract."""
    request = charge(
        order=PaymentOrderRequest(
            order_id="A1",
            amount=4999,
            currency="USD",
            description="Coffee",
            accept_partial_amount=True,
            breakdown=ItemizedBreakdown(subtotal=4999),
        ),
        operator="Jane",
        auto_capture=False,
        process_as_sale=False,
        custom_fields=[CustomFieldRequest(name="table", value="7")],
    )
    assert json.loads(encode(request)) == {
        "channel": "web",
        "processingTerminalId": "1234001",
        "operator": "Jane",
        "order": {
            "orderId": "A1",
            "amount": 4999,
            "currency": "USD",
            "description": "Coffee",
            "acceptPartialAmount": True,
            "breakdown": {"subtotal": 4999},
        },
        "paymentMethod": {"type": "secureToken", "token": TOKEN},
        "autoCapture": False,
        "processAsSale": False,
        "customFields": [{"name": "table", "value": "7"}],
    }


async def test_a_series_that_the_merchant_starts() -> None:
    """The first says so; each later one names it by its id and the card brand's reference."""
    gateway = ByteGateway({PAYMENTS: [(201, answer())]})
    async with till_with(gateway) as till:
        begun = await till.payments.create(
            agreed(StandingInstructionsRequest(sequence="first", processing_model="recurring"))
        )
        again = StandingInstructionsRequest.subsequent_to(begun, ProcessingModel.RECURRING)
        await till.payments.create(agreed(again))
    first, later = gateway.bodies(PAYMENTS)
    assert first["credentialOnFile"] == later["credentialOnFile"] == {"mitAgreement": "recurring"}
    assert first["order"]["standingInstructions"] == {
        "sequence": "first",
        "processingModel": "recurring",
    }
    assert later["order"]["standingInstructions"] == {
        "sequence": "subsequent",
        "processingModel": "recurring",
        "referenceDataOfFirstTxn": {"paymentId": "M2MJOG6O2Y", "cardSchemeReferenceId": "REF-1"},
    }


async def test_a_series_does_not_begin_with_a_decline() -> None:
    """A declined first payment agrees to nothing."""
    gateway = ByteGateway({PAYMENTS: [(201, answer("D", "declined"))]})
    async with till_with(gateway) as till:
        declined = await till.payments.create(charge())
    with pytest.raises(ConfigurationError, match="first: must be an approved Payment"):
        StandingInstructionsRequest.subsequent_to(declined, "recurring")


# What is refused before anything is sent ----------


FIRST = StandingInstructionsRequest(sequence="first", processing_model="recurring")
ORDER: dict[str, Any] = {"order_id": "A1", "amount": 1, "currency": "USD"}


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("token", lambda: SecureTokenPayload(token="MREF_abc1de23")),
        ("token", lambda: SecureTokenPayload(token="2967531234")),
        ("token", lambda: SecureTokenPayload(token="2" * 20)),
        ("order_id", lambda: PaymentOrderRequest(**{**ORDER, "order_id": "A" * 25})),
        ("description", lambda: PaymentOrderRequest(**ORDER, description="")),
        ("description", lambda: PaymentOrderRequest(**ORDER, description="A" * 257)),
        ("amount", lambda: PaymentOrderRequest(**{**ORDER, "amount": 49.99})),
        ("amount", lambda: PaymentOrderRequest(**{**ORDER, "amount": -1})),
        ("amount", lambda: PaymentOrderRequest(**{**ORDER, "amount": True})),
        ("currency", lambda: PaymentOrderRequest(**{**ORDER, "currency": "usd"})),
        ("operator", lambda: charge(operator="A" * 51)),
        ("auto_capture", lambda: charge(auto_capture="no")),
        ("custom_fields", lambda: charge(custom_fields=[{"name": "a"}])),
        ("name", lambda: CustomFieldRequest(name="A" * 57, value="b")),
        ("order", lambda: charge(order=sale().order)),
        ("order", lambda: charge(credential_on_file=CredentialOnFile(mit_agreement="recurring"))),
        ("credential_on_file", lambda: charge(order=agreed(FIRST).order)),
        ("credential_on_file", lambda: agreed(FIRST, "installment")),
        (
            "reference_data_of_first_txn",
            lambda: StandingInstructionsRequest(
                sequence="subsequent",
                processing_model="recurring",
                reference_data_of_first_txn=FirstTransactionReference(),
            ),
        ),
        (
            "reference_data_of_first_txn",
            lambda: StandingInstructionsRequest(
                sequence="subsequent",
                processing_model="recurring",
                reference_data_of_first_txn=FirstTransactionReference(payment_id=7),  # type: ignore[arg-type]
            ),
        ),
    ],
)
def test_what_is_wrong_is_named(field: str, make: Any) -> None:
    """A wrong field is named when the request is made, and no token is shown."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
    assert "MREF" not in str(caught.value)
    assert "2967" not in str(caught.value)


async def test_another_request_is_refused(gateway: Simulator, session: PayrocSession) -> None:
    """What is no PaymentRequest, and a key that is none, are refused, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="request: must be a PaymentRequest"):
        await session.payments.create(sale())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="idempotency_key"):
        await session.payments.create(charge(), idempotency_key="1")
    assert gateway.requests_of("charge") == []


def test_no_repr_shows_the_token() -> None:
    """P7: neither the request nor what is in it shows what can be charged."""
    assert TOKEN not in repr(charge())
    assert charge().channel == Channel.WEB


# What is made of the answer ----------


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("D", "declined", Outcome.DECLINED),
        ("R", "referral", Outcome.REFERRED),
        ("C", "pickup", Outcome.PICK_UP),
        ("E", "accepted", Outcome.DEFERRED),
        ("P", "ready", Outcome.PARTIALLY_APPROVED),
        ("X", "ready", Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("http_status", [200, 201])
async def test_a_2xx_proves_nothing(
    code: str, status: str, outcome: Outcome, http_status: int
) -> None:
    """Only the result decides: whatever else than A comes with 201 is no approval."""
    gateway = ByteGateway({PAYMENTS: [(http_status, answer(code, status))]})
    async with till_with(gateway) as till:
        payment = await till.payments.create(charge())
    assert payment.outcome is outcome
    assert not payment.approved
    with pytest.raises(PaymentDeclinedError):
        payment.raise_for_decline()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Thank you</html>",
        b"{}",
        b'{"paymentId": "M2MJOG6O2Y"}',
        answer().replace(b'"responseCode": "A"', b'"responseCode": " "'),
        answer()[:100],
    ],
    ids=["empty", "html", "no fields", "no result", "an empty code", "cut"],
)
async def test_an_answer_that_is_no_payment(body: bytes) -> None:
    """It is asked for again under the same key, and the error says that money may have moved."""
    gateway = ByteGateway({PAYMENTS: [(201, body)]})
    async with till_with(gateway) as till:
        with pytest.raises(ResponseFormatError) as caught:
            await till.payments.create(charge(), idempotency_key=KEY)
    assert caught.value.may_have_taken_effect
    assert caught.value.idempotency_key == KEY
    assert len(gateway.asked) > 1
    assert set(gateway.keys()) == {KEY}
    assert len({body for _, _, body in gateway.asked}) == 1


@pytest.mark.parametrize("lost", [None, (503, b""), (504, b"<html>"), (429, b""), (201, b"{")])
async def test_a_lost_answer_is_asked_for_again(lost: tuple[int, bytes] | None) -> None:
    """The same bytes under the same key show what became of the charge."""
    gateway = ByteGateway({PAYMENTS: [lost, (201, answer("D", "declined"))]})
    async with till_with(gateway) as till:
        payment = await till.payments.create(charge())
    assert payment.outcome is Outcome.DECLINED
    (first, _, body), (second, _, again) = gateway.asked
    assert (first, body) == (second, again)
    assert len(set(gateway.keys())) == 1


@pytest.mark.parametrize(
    ("answers", "error", "effect"),
    [
        ([(400, problem_bytes(400, "bad-request"))], BadRequestError, False),
        ([(409, problem_bytes(409, "resource-already-exists"))], ConflictError, False),
        ([(409, problem_bytes(409, "idempotency-key-in-use"))], IdempotencyKeyInUseError, False),
        # A refusal after a lost answer undoes nothing (E1).
        ([None, (400, problem_bytes(400, "bad-request"))], BadRequestError, True),
        # A proxy may refuse after it has passed the request on (E2).
        ([(400, b"<html>No</html>")], BadRequestError, True),
        ([(409, b'{"message": "conflict"}')], ConflictError, True),
        ([(429, b"")], PayrocError, False),
        ([None], TransportError, True),
    ],
)
async def test_an_error_says_whether_it_may_have_taken_effect(
    answers: list[Any], error: type[PayrocError], effect: bool
) -> None:
    """Only the gateway's own refusal of the only try says that nothing was charged."""
    gateway = ByteGateway({PAYMENTS: answers})
    async with till_with(gateway) as till:
        with pytest.raises(error) as caught:
            await till.payments.create(charge(), idempotency_key=KEY)
    assert caught.value.may_have_taken_effect is effect
    assert caught.value.idempotency_key == KEY


# On the simulator ----------


async def saved(session: PayrocSession) -> str:
    """The token of a card that was saved on the device."""
    request = sale()
    file = CredentialOnFile(tokenize=True)
    payment = await session.run_sale(
        SERIAL,
        type(request)(
            processing_terminal_id=request.processing_terminal_id,
            order=request.order,
            credential_on_file=file,
        ),
    )
    assert payment.card.secure_token is not None
    return payment.card.secure_token.token


def of(token: str, order_id: str = "Later-1") -> PaymentRequest:
    return PaymentRequest(
        channel=Channel.WEB,
        processing_terminal_id="1234001",
        order=PaymentOrderRequest(order_id=order_id, amount=1500, currency="USD"),
        payment_method=SecureTokenPayload(token=token),
    )


@pytest.mark.parametrize("fault", [drop_before, drop_after, hang_after, html])
async def test_one_charge_whatever_is_lost(
    gateway: Simulator, session: PayrocSession, fault: Any
) -> None:
    """P1: over real sockets, an answer that is lost makes no second payment."""
    token = await saved(session)
    before = set(gateway.payments)
    gateway.faults.add("charge", fault())
    payment = await session.payments.create(of(token))
    assert set(gateway.payments) - before == {payment.payment_id}
    assert payment.approved
    assert await session.payments.retrieve(payment.payment_id) == payment
    assert len(gateway.requests_of("charge")) == 2


async def test_a_canceled_charge_is_told(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """P5: that a canceled charge may take effect is logged, with its key, and the key says."""
    token = await saved(session)
    gateway.faults.add("charge", hang_after())
    charging = asyncio.create_task(session.payments.create(of(token), idempotency_key=KEY))
    while not gateway.requests_of("charge"):
        await asyncio.sleep(0.001)
    charging.cancel()
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await charging
    assert KEY in caplog.text
    assert token not in caplog.text
    payment = await session.payments.create(of(token), idempotency_key=KEY)
    assert payment.payment_id in gateway.payments
    assert len(gateway.payments) == 2  # the sale that saved the card, and one charge
