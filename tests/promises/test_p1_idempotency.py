"""P1: one instruction per key."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from payroc_async import (
    IdempotencyKeyInUseError,
    OutcomeUnknownError,
    PayrocSession,
    Retrying,
)
from payroc_async.simulator import Simulator, drop_after, drop_before, problem, status, truncated
from tests.conftest import EAGER, SERIAL, sale


@pytest.mark.parametrize(
    "fault", [drop_before(), drop_after(), truncated(), status(502, effect=True), status(503)]
)
async def test_p1_a_retry_sends_the_same_bytes_under_the_same_key(
    gateway: Simulator, session: PayrocSession, fault: object
) -> None:
    """Whatever is lost of a submission, it is repeated unchanged and makes one instruction."""
    gateway.faults.add("submit", fault, times=3)  # type: ignore[arg-type]
    payment = await session.run_sale(SERIAL, sale())
    assert payment.approved
    submissions = gateway.requests_of("submit")
    assert len(submissions) == 4
    assert len({seen.body for seen in submissions}) == 1
    assert len({seen.headers["idempotency-key"] for seen in submissions}) == 1
    assert len(gateway.instructions) == 1


async def test_p1_each_sale_has_a_fresh_uuid_v4(gateway: Simulator, session: PayrocSession) -> None:
    """Without a key of the caller's, every sale gets one of its own."""
    for _ in range(3):
        await session.run_sale(SERIAL, sale())
    keys = [seen.headers["idempotency-key"] for seen in gateway.requests_of("submit")]
    assert len(set(keys)) == 3
    assert {UUID(key).version for key in keys} == {4}


@pytest.mark.parametrize(
    "key", [str(uuid4()), str(uuid4()).upper(), uuid4()], ids=["lower", "upper", "UUID"]
)
async def test_p1_the_callers_key_is_sent_unchanged(
    gateway: Simulator, session: PayrocSession, key: str | UUID
) -> None:
    """A key given is the key sent, letter by letter."""
    handle = await session.start_sale(SERIAL, sale(), idempotency_key=key)
    await handle.result()
    assert handle.idempotency_key == str(key)
    assert gateway.requests_of("submit")[0].headers["idempotency-key"] == str(key)


async def test_p1_the_same_sale_under_the_same_key_is_not_charged_again(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Running a sale again under its key gives the first one's payment."""
    key = str(uuid4())
    first = await session.run_sale(SERIAL, sale(), idempotency_key=key)
    again = await session.run_sale(SERIAL, sale(), idempotency_key=key)
    assert first.payment_id == again.payment_id
    assert len(gateway.instructions) == len(gateway.payments) == 1


async def test_p1_another_sale_under_a_used_key_is_unknown(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E2: the key may be in use by this very sale, so that the conflict is no refusal."""
    key = str(uuid4())
    await session.run_sale(SERIAL, sale(), idempotency_key=key)
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale(amount=1), idempotency_key=key)
    assert isinstance(caught.value.__cause__, IdempotencyKeyInUseError)
    assert caught.value.may_have_taken_effect
    assert len(gateway.requests_of("submit")) >= 1 + EAGER.attempts
    await session.aclose()
    # The simulator counts the attempts as forbidden, and here they are meant.
    assert len(gateway.violations) >= EAGER.attempts
    gateway.violations.clear()


async def test_p1_a_lost_submission_is_found_again_under_its_key(
    gateway: Simulator, session: PayrocSession
) -> None:
    """An outcome unknown for lack of an id is learned by the same request under the same key."""
    gateway.device(SERIAL).approves(after=0.1)
    lost = gateway.faults.add("submit", drop_after(), times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert caught.value.instruction_id is None
    assert caught.value.request == sale()
    assert lost.hits > 5
    gateway.faults.clear()
    payment = await session.run_sale(SERIAL, sale(), idempotency_key=caught.value.idempotency_key)
    assert payment.approved
    assert len(gateway.instructions) == 1


async def test_p1_a_conflict_after_a_lost_answer_is_no_refusal(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E1: a 409 to a repeated submission says nothing of the first attempt, which is asked for."""
    gateway.faults.add("submit", drop_after())
    gateway.faults.add("submit", problem(409, "idempotency-key-in-use"))
    events: list[object] = []
    payment = await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert payment.approved
    assert len(gateway.instructions) == 1
    assert [type(event) for event in events[:2]] == [Retrying, Retrying]


async def test_p1_sales_at_once_never_share_a_key(
    gateway: Simulator, patient_session: PayrocSession
) -> None:
    """A hundred sales at once, each submitted three times, make a hundred instructions."""
    gateway.faults.add("submit", drop_after(), times=200)
    payments = await asyncio.gather(
        *(patient_session.run_sale(f"device{n}", sale(order_id=f"order{n}")) for n in range(100))
    )
    assert len({payment.payment_id for payment in payments}) == 100
    assert len(gateway.instructions) == 100
