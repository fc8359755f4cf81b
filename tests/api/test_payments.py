"""What can be done with a payment: refund, reverse, undo, capture, adjust, each under one key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from attrs import evolve

from payroc_async import (
    APIError,
    ConfigurationError,
    ConflictError,
    IdempotencyKeyInUseError,
    OrderAdjustment,
    Payment,
    PayrocSession,
    ResponseFormatError,
    SignatureAdjustment,
    StatusAdjustment,
    SupportedOperation,
    TransactionStatus,
    TransactionType,
    TransportError,
)
from payroc_async.api.undo import UNDOING
from payroc_async.simulator import (
    Simulator,
    drop_after,
    drop_before,
    edit,
    garbage,
    hang_after,
    problem,
    status,
)
from tests.conftest import SERIAL, sale

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


async def paid(session: PayrocSession, amount: int = 4999) -> Payment:
    return await session.run_sale(SERIAL, sale(amount))


def changes(gateway: Simulator) -> list[str]:
    """The last part of the path of every change that was asked for."""
    return [seen.path.rsplit("/", 1)[1] for seen in gateway.requests_of("change")]


async def test_a_reversal(gateway: Simulator, session: PayrocSession) -> None:
    """While the batch is open, a payment is reversed as a whole."""
    payment = await paid(session)
    reversed_ = await session.payments.reverse(payment.payment_id, operator="Jane")
    assert reversed_.transaction_result.status == TransactionStatus.REVERSAL


async def test_a_partial_reversal(gateway: Simulator, session: PayrocSession) -> None:
    """A part of a payment can be reversed."""
    payment = await paid(session)
    reversed_ = await session.payments.reverse(payment.payment_id, amount=999)
    assert reversed_.transaction_result.authorized_amount == 4000


async def test_a_refund(gateway: Simulator, session: PayrocSession) -> None:
    """After the batch has closed, a payment is refunded, in parts if need be."""
    payment = await paid(session)
    gateway.close_batch()
    refunded = await session.payments.refund(
        payment.payment_id, amount=1000, description="One of five was broken"
    )
    (refund,) = refunded.refunds
    assert refund.amount == 1000
    assert (await session.refunds.retrieve(refund.refund_id)).payment is not None


async def test_the_wrong_choice(gateway: Simulator, session: PayrocSession) -> None:
    """A refund before the batch closes is a reversal; a reversal after it is refused."""
    payment = await paid(session)
    changed = await session.payments.refund(payment.payment_id, amount=4999, description="Early")
    assert changed.transaction_result.status == TransactionStatus.REVERSAL
    assert (changed.refunds, changed.in_effect, gateway.refunds) == ((), False, {})
    payment = await paid(session)
    gateway.close_batch()
    with pytest.raises(ConflictError):
        await session.payments.reverse(payment.payment_id)


async def test_a_capture(gateway: Simulator, session: PayrocSession) -> None:
    """A pre-authorization is captured, with an amount of its own."""
    request = evolve(sale(), auto_capture=False)
    payment = await session.run_sale(SERIAL, request)
    assert payment.transaction_result.type == TransactionType.PRE_AUTHORIZATION
    captured = await session.payments.capture(payment.payment_id, amount=4000)
    assert captured.transaction_result.type == TransactionType.PRE_AUTHORIZATION_COMPLETION
    assert captured.transaction_result.authorized_amount == 4000


async def test_adjustments(gateway: Simulator, session: PayrocSession) -> None:
    """A payment's amount, status and signature are changed in one call."""
    payment = await paid(session)
    adjusted = await session.payments.adjust(
        payment.payment_id,
        OrderAdjustment(amount=5500),
        StatusAdjustment(to_status="pending"),
        SignatureAdjustment(cardholder_signature="iVBORw0KGgo="),
        operator="Jane",
    )
    assert adjusted.order.amount == 5500
    assert adjusted.transaction_result.status == TransactionStatus.PENDING


# Undo ----------


async def test_undo_reverses_while_the_batch_is_open(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Before the batch closes, undoing is reversing, and it says so."""
    payment = await paid(session)
    undone = await session.payments.undo(payment, description="Returned")
    assert (undone.how, undone.refund) == ("reversed", None)
    assert undone.payment.transaction_result.status == TransactionStatus.REVERSAL
    assert changes(gateway) == ["reverse"]
    assert gateway.refunds == {}


async def test_undo_refunds_after(gateway: Simulator, session: PayrocSession) -> None:
    """After the batch has closed, undoing is refunding all that was authorized."""
    payment = await paid(session)
    gateway.close_batch()
    payment = await session.payments.retrieve(payment.payment_id)
    undone = await session.payments.undo(payment, description="Returned", operator="Jane")
    assert undone.how == "refunded"
    assert undone.refund is not None
    assert undone.payment.refunds == (undone.refund,)
    assert undone.refund.amount == 4999
    assert changes(gateway) == ["refund"]


@pytest.mark.parametrize(("closed", "how"), [(False, "reversed"), (True, "refunded")])
async def test_undo_a_part(
    gateway: Simulator, session: PayrocSession, closed: bool, how: str
) -> None:
    """A part is undone in the same way as the whole."""
    payment = await paid(session)
    if closed:
        gateway.close_batch()
    payment = await session.payments.retrieve(payment.payment_id)
    undone = await session.payments.undo(payment, amount=999, description="One item")
    assert undone.how == how
    body = gateway.requests_of("change")[0].body
    assert b'"amount":999' in body


async def test_undo_of_a_partial_approval_refunds_what_was_authorized(
    gateway: Simulator, session: PayrocSession
) -> None:
    """What is given back is what was taken, not what the order asked for."""
    gateway.device(SERIAL).approves_partially(2000)
    request = evolve(sale(), order=evolve(sale().order, accept_partial_amount=True))
    payment = await session.run_sale(SERIAL, request)
    gateway.close_batch()
    payment = await session.payments.retrieve(payment.payment_id)
    undone = await session.payments.undo(payment, description="Returned")
    assert [refund.amount for refund in undone.payment.refunds] == [2000]


async def test_undo_with_a_payment_that_is_out_of_date(
    gateway: Simulator, session: PayrocSession
) -> None:
    """If the batch closed since it was read, nothing is done; read again, it is refunded."""
    payment = await paid(session)
    gateway.close_batch()
    with pytest.raises(ConflictError) as caught:
        await session.payments.undo(payment, description="Returned", idempotency_key=KEY)
    assert not caught.value.may_have_taken_effect
    assert gateway.refunds == {}
    payment = await session.payments.retrieve(payment.payment_id)
    undone = await session.payments.undo(payment, description="Returned")
    assert undone.how == "refunded"
    assert len(gateway.refunds) == 1


async def test_undo_asks_for_the_amount_of_a_second_refund(
    gateway: Simulator, session: PayrocSession
) -> None:
    """All of a payment that was refunded in part would be too much: the amount has to be said."""
    payment = await paid(session)
    gateway.close_batch()
    refunded = await session.payments.refund(
        payment.payment_id, amount=1000, description="One item"
    )
    with pytest.raises(ConfigurationError, match="amount"):
        await session.payments.undo(refunded, description="The rest")
    undone = await session.payments.undo(refunded, amount=3999, description="The rest")
    assert undone.refund is not None
    assert undone.refund.amount == 3999
    assert sum(refund.amount or 0 for refund in undone.payment.refunds) == 4999


async def test_undo_never_reverses_the_whole_of_what_was_refunded_in_part(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Also where a payment can be reversed: the contract does not say that these exclude it."""
    payment = await paid(session)
    gateway.close_batch()
    refunded = await session.payments.refund(
        payment.payment_id, amount=1000, description="One item"
    )
    both = evolve(refunded, supported_operations=(*UNDOING,))
    unreadable = evolve(both, refunds=())  # its raw object still has them
    for one in (both, unreadable):
        with pytest.raises(ConfigurationError) as caught:
            await session.payments.undo(one, description="Returned")
        assert caught.value.field == "amount"
    whole_alone = evolve(refunded, supported_operations=(SupportedOperation.FULLY_REVERSE,))
    with pytest.raises(ConfigurationError):
        await session.payments.undo(whole_alone, amount=4999, description="Returned")
    assert changes(gateway) == ["refund"]


def with_result(shown: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "transactionResult": {**document["transactionResult"], **shown}}


async def test_undo_of_what_was_authorized_in_another_currency(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A sum in another currency is never sent for one in the order's."""
    payment = await paid(session)
    result = evolve(payment.transaction_result, currency="JPY", authorized_amount=750_000)
    payment = evolve(payment, transaction_result=result)
    with pytest.raises(ConfigurationError) as caught:
        await session.payments.undo(payment, description="Returned")
    assert caught.value.field == "amount"
    for authorized, how in ((600_000, "reversed"), (750_000, None)):
        shown = {"currency": "JPY", "authorizedAmount": authorized}
        gateway.faults.add("change", edit(partial(with_result, shown)))
        undone = await session.payments.undo(payment, amount=1000, description="One item")
        assert undone.how == how


async def test_undo_where_the_gateway_does_not_say_what_was_authorized(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Then all of a payment is what its order asked for."""
    payment = await paid(session)
    gateway.close_batch()
    payment = await session.payments.retrieve(payment.payment_id)
    result = evolve(payment.transaction_result, authorized_amount=None)
    undone = await session.payments.undo(
        evolve(payment, transaction_result=result), description="Returned"
    )
    assert undone.refund is not None
    assert undone.refund.amount == 4999


async def test_undo_of_more_than_there_is(gateway: Simulator, session: PayrocSession) -> None:
    """More than was authorized is refused unsent."""
    payment = await paid(session)
    for amount in (5000, 499_900):
        with pytest.raises(ConfigurationError, match="must not exceed the authorized amount, 4999"):
            await session.payments.undo(payment, amount=amount, description="Returned")
    assert changes(gateway) == []


async def test_undo_of_what_supports_neither(gateway: Simulator, session: PayrocSession) -> None:
    """A payment that took no money is refused, with what it supports; nothing is sent."""
    gateway.device(SERIAL).declines()
    payment = await paid(session)
    with pytest.raises(ConfigurationError, match="nothing") as caught:
        await session.payments.undo(payment, description="Returned")
    assert caught.value.field == "payment"
    assert changes(gateway) == []


async def test_undo_a_part_where_only_the_whole_can_be(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A part is never turned into the whole."""
    payment = evolve(await paid(session), supported_operations=(SupportedOperation.FULLY_REVERSE,))
    with pytest.raises(ConfigurationError, match="fullyReverse"):
        await session.payments.undo(payment, amount=1, description="One item")
    assert changes(gateway) == []


# Arguments ----------

Calls = Callable[[PayrocSession, Payment], Any]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda s, p: s.payments.reverse("a/b"), "payment_id"),
        (lambda s, p: s.payments.reverse(p.payment_id, amount=1.5), "amount"),
        (lambda s, p: s.payments.reverse(p.payment_id, amount=-1), "amount"),
        (lambda s, p: s.payments.reverse(p.payment_id, amount=0), "amount"),
        (lambda s, p: s.payments.reverse(p.payment_id, amount=True), "amount"),
        (lambda s, p: s.payments.reverse(p.payment_id, idempotency_key="k"), "idempotency_key"),
        (lambda s, p: s.payments.refund(p.payment_id, amount=1, description=""), "description"),
        (lambda s, p: s.payments.refund("", amount=1, description="x"), "payment_id"),
        (lambda s, p: s.payments.capture(p.payment_id, breakdown="x"), "breakdown"),
        (lambda s, p: s.payments.capture(p.payment_id, processing_terminal_id="1"), "processing"),
        (lambda s, p: s.payments.adjust(p.payment_id), "adjustments"),
        (lambda s, p: s.payments.adjust(p.payment_id, "order"), "adjustments"),
        (lambda s, p: s.payments.undo(p.payment_id, description="x"), "payment"),
        (lambda s, p: s.payments.undo(p, description=""), "description"),
        (lambda s, p: s.payments.undo(p, description="x", amount=1.5), "amount"),
        (lambda s, p: s.refunds.reverse("a/b"), "refund_id"),
    ],
)
async def test_a_wrong_argument_is_refused_unsent(
    gateway: Simulator, session: PayrocSession, call: Calls, field: str
) -> None:
    """A wrong argument is named, and nothing is sent."""
    payment = await paid(session)
    with pytest.raises(ConfigurationError) as caught:
        await call(session, payment)
    assert caught.value.field.startswith(field)
    assert changes(gateway) == []


# P1 ----------

ACTIONS: list[Any] = [
    pytest.param(lambda s, p, key: s.payments.reverse(p.payment_id, idempotency_key=key)),
    pytest.param(
        lambda s, p, key: s.payments.reverse(p.payment_id, amount=1000, idempotency_key=key)
    ),
    pytest.param(lambda s, p, key: s.payments.undo(p, description="x", idempotency_key=key)),
    pytest.param(
        lambda s, p, key: s.payments.adjust(
            p.payment_id, OrderAdjustment(amount=5000), idempotency_key=key
        )
    ),
]
each_action = pytest.mark.parametrize("act", ACTIONS, ids=["reverse", "part", "undo", "adjust"])


@each_action
async def test_p1_a_lost_answer_takes_effect_once(
    gateway: Simulator, session: PayrocSession, act: Callable[..., Any]
) -> None:
    """Retried by the SDK and repeated by the caller, it is the same bytes under the same key."""
    payment = await paid(session)
    gateway.faults.add("change", drop_after())
    key = str(uuid.uuid4())
    first = await act(session, payment, key)
    again = await act(session, payment, key)
    assert first == again
    seen = gateway.requests_of("change")
    assert len(seen) == 3
    assert {(one.body, one.headers["idempotency-key"]) for one in seen} == {(seen[0].body, key)}


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (drop_before(), TransportError),
        (drop_after(), TransportError),
        (status(503), APIError),
        (garbage(), ResponseFormatError),
    ],
    ids=["before", "after", "503", "garbage"],
)
async def test_p1_the_error_says_which_key_to_repeat_it_under(
    gateway: Simulator, session: PayrocSession, action: Any, error: type[Exception]
) -> None:
    """A refund whose answer is lost for good can be asked for again, and is made once."""
    payment = await paid(session)
    gateway.close_batch()
    fault = gateway.faults.add("change", action, times=None)
    with pytest.raises(error) as caught:
        await session.payments.refund(payment.payment_id, amount=4999, description="Returned")
    fault.remove()
    key = caught.value.idempotency_key  # type: ignore[attr-defined]
    assert key == gateway.requests_of("change")[0].headers["idempotency-key"]
    refunded = await session.payments.refund(
        payment.payment_id, amount=4999, description="Returned", idempotency_key=key
    )
    assert [refund.amount for refund in refunded.refunds] == [4999]
    assert len(gateway.refunds) == 1


@pytest.mark.parametrize("refusal", [401, 403, 404, 409, 400])
async def test_p1_a_refusal_after_a_lost_answer_says_that_it_may_be_done(
    gateway: Simulator, session: PayrocSession, refusal: int
) -> None:
    """What a later try is reported does not undo an earlier one, whose answer was lost."""
    payment = await paid(session)
    gateway.close_batch()
    gateway.faults.add("change", drop_after())
    gateway.faults.add("change", problem(refusal, "refused"), times=2)
    with pytest.raises(APIError) as caught:
        await session.payments.refund(payment.payment_id, amount=1000, description="Returned")
    assert caught.value.status == refusal
    assert caught.value.may_have_taken_effect
    assert len(gateway.refunds) == 1


async def test_p1_a_gateway_that_went_away_after_it_was_done(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Where the last try reached no one, the error still says that an earlier one may have."""
    payment = await paid(session)
    gateway.faults.add("change", drop_after())
    task = asyncio.create_task(session.payments.reverse(payment.payment_id))
    while not gateway.requests_of("change"):
        await asyncio.sleep(0)
    await gateway.stop()
    with pytest.raises(TransportError) as caught:
        await task
    assert caught.value.request_sent
    assert caught.value.may_have_taken_effect


async def test_p1_a_refusal_says_that_nothing_was_done(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A plain refusal, and a gateway that was never reached, leave no doubt."""
    payment = await paid(session)
    with pytest.raises(ConflictError) as refused:
        await session.payments.capture(payment.payment_id)
    assert not refused.value.may_have_taken_effect
    await gateway.stop()
    with pytest.raises(TransportError) as unreached:
        await session.payments.reverse(payment.payment_id)
    assert not unreached.value.may_have_taken_effect


async def test_p1_a_cancelled_call_logs_its_key(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Who cancels a call that may take effect finds its key in the log."""
    payment = await paid(session)
    gateway.faults.add("change", hang_after())
    task = asyncio.create_task(session.payments.reverse(payment.payment_id))
    while not gateway.requests_of("change"):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (seen,) = gateway.requests_of("change")
    assert seen.headers["idempotency-key"] in caplog.text


async def test_p1_a_submission_says_its_key_too(gateway: Simulator, session: PayrocSession) -> None:
    """A single submission whose answer is lost for good names the key to learn of it by."""
    fault = gateway.faults.add("submit", drop_after(), times=None)
    with pytest.raises(TransportError) as caught:
        await session.payment_instructions.submit(SERIAL, sale())
    fault.remove()
    again = await session.payment_instructions.submit(
        SERIAL, sale(), idempotency_key=caught.value.idempotency_key
    )
    assert [*gateway.instructions] == [again.instruction_id]


async def test_p1_a_key_is_for_one_request(gateway: Simulator, session: PayrocSession) -> None:
    """The same key with another amount is refused by the gateway."""
    payment = await paid(session)
    await session.payments.reverse(payment.payment_id, amount=1, idempotency_key=KEY)
    with pytest.raises(IdempotencyKeyInUseError) as caught:
        await session.payments.reverse(payment.payment_id, amount=2, idempotency_key=KEY)
    assert caught.value.idempotency_key == KEY
    assert len(gateway.violations) == 1
    gateway.violations.clear()


async def test_another_payment_in_the_answer_is_told(
    gateway: Simulator, session: PayrocSession
) -> None:
    """An answer about another payment than was asked for is no answer."""
    payment = await paid(session)
    other = edit(lambda document: {**document, "paymentId": "another"})
    gateway.faults.add("change", other, times=None)
    with pytest.raises(ResponseFormatError, match="another payment"):
        await session.payments.reverse(payment.payment_id)
