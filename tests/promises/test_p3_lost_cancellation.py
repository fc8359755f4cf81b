"""P3: a DELETE whose answer is lost: the status is looked at before it is sent again."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from payroc_async import Event, OutcomeUnknownError, PayrocSession, Retrying, Timeouts
from payroc_async.simulator import (
    Simulator,
    delay,
    drop_after,
    drop_before,
    hang,
    hang_after,
    status,
    truncated,
)
from payroc_async.simulator.faults import FaultAction
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale


def session_with(gateway: Simulator, timeouts: Timeouts) -> PayrocSession:
    return PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    )


def kinds(gateway: Simulator) -> list[str]:
    """What was asked since the cancellation began."""
    asked = [seen.kind for seen in gateway.requests]
    return asked[asked.index("cancel") :]


@pytest.mark.parametrize(
    "lost",
    [drop_after(), hang_after(), truncated(), status(504, effect=True)],
    ids=lambda fault: fault.kind,
)
@pytest.mark.parametrize("device", ["never_finishes", "completes_on_cancel"])
async def test_p3_one_look_tells_what_a_lost_delete_has_done(
    gateway: Simulator, lost: FaultAction, device: str
) -> None:
    """It has taken effect, or came too late: the status says so, and no second one is sent."""
    getattr(gateway.device(SERIAL), device)()
    gateway.faults.add("cancel", lost, times=None)
    # A look lasts at least as long as `poll_interval`, which a busy machine may need.
    async with session_with(gateway, evolve(QUICK, request=0.5, poll_interval=5.0)) as session:
        handle = await session.start_sale(SERIAL, sale())
        final = await handle.cancel()
    assert final.status == ("canceled" if device == "never_finishes" else "completed")
    followed = [] if device == "never_finishes" else ["payment"]
    assert kinds(gateway) == ["cancel", "status", *followed]


@pytest.mark.parametrize("lost", [drop_before(), status(503)], ids=lambda fault: fault.kind)
async def test_p3_a_delete_that_was_not_heard_is_sent_again_soon(
    gateway: Simulator, lost: FaultAction
) -> None:
    """The look in between is broken off, though the gateway would hold it for a minute."""
    gateway.hold = 60.0
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", lost, times=2)
    events: list[Event] = []
    async with session_with(gateway, Timeouts(poll_interval=UNIT)) as session:
        handle = await session.start_sale(SERIAL, sale(), on_event=events.append)
        async with asyncio.timeout(30):
            assert (await handle.cancel()).status == "canceled"
    assert kinds(gateway)[:3] == ["cancel", "status", "cancel"]
    looks = [seen for seen in gateway.requests_of("status") if seen.ended and seen.status is None]
    assert len(looks) >= 2
    assert [one.attempt for one in events if isinstance(one, Retrying)] == [1, 2]


async def test_p3_a_look_lasts_no_longer_than_the_time_that_is_left(gateway: Simulator) -> None:
    """When the time is up, what was not confirmed is unknown, after one grace at most."""
    gateway.hold = 60.0
    gateway.device(SERIAL).never_finishes()
    # It has to be waited for for a minute, says the gateway.
    away = status(503, headers={"Retry-After": "60"})
    gateway.faults.add("cancel", away, times=None)
    timeouts = Timeouts(poll_interval=UNIT, unreachable=5 * UNIT, cancel_grace=5 * UNIT)
    session = PayrocSession(gateway.api_key, environment=gateway.environment, timeouts=timeouts)
    async with session:
        handle = await session.start_sale(SERIAL, sale())
        async with asyncio.timeout(30):
            with pytest.raises(OutcomeUnknownError, match="HTTP 503"):
                await handle.cancel()
    assert len(gateway.in_progress) == 1
    gateway.clear()


async def test_p3_the_last_look_is_answered_on_a_slow_network(gateway: Simulator) -> None:
    """Where each look is broken off before its answer comes, the last one still says the end."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", drop_after(), times=None)
    timeouts = evolve(QUICK, poll_interval=UNIT / 20, unreachable=10 * UNIT, cancel_grace=10.0)
    async with session_with(gateway, timeouts) as session:
        handle = await session.start_sale(SERIAL, sale())
        gateway.faults.add("status", delay(5 * UNIT), times=None)
        assert (await handle.cancel()).status == "canceled"


async def test_p3_a_lost_delete_of_what_was_never_seen(gateway: Simulator) -> None:
    """Resumed by its id and canceled at once, it has no status yet: it is asked for again."""
    gateway.device(SERIAL).never_finishes()
    async with session_with(gateway, QUICK) as session:
        submitted = await session.payment_instructions.submit(SERIAL, sale())
        gateway.faults.add("cancel", drop_before())
        gateway.faults.add("status", hang())
        handle = session.resume_sale(submitted.instruction_id)
        assert (await handle.cancel()).status == "canceled"
