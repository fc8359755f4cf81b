"""P2: one status request at a time, and the poll goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from payroc_async import (
    CancelRequested,
    Event,
    InstructionCanceledError,
    InstructionStatus,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    ResultReceived,
    Retrying,
    RetryPolicy,
    ServerError,
    StillInProgress,
    Timeouts,
    TransportError,
)
from payroc_async.simulator import (
    FaultAction,
    Simulator,
    drop_after,
    drop_before,
    edit,
    hang,
    rate_limited,
    status,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import until

from .test_faults import port_of_its_own

NEVER = RetryPolicy(initial=1000 * UNIT, maximum=1000 * UNIT)
"""A backoff that no one would sit through: what comes in spite of it was no retry."""


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    """A gateway that can go away and come back, and has seen nothing forbidden at the end."""
    with port_of_its_own() as port:
        async with Simulator(hold=QUICK.hold, port=port) as gateway:
            yield gateway
            assert gateway.violations == []


def session_with(
    gateway: Simulator, timeouts: Timeouts = QUICK, retries: RetryPolicy = EAGER
) -> PayrocSession:
    return PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=retries
    )


async def until_held(gateway: Simulator) -> None:
    """Returns when a status request is being held."""
    while not any(seen.kind == "status" for seen in gateway.open_requests):
        await asyncio.sleep(UNIT / 4)


def held_at_once(gateway: Simulator) -> int:
    return sum(seen.kind == "status" for seen in gateway.open_requests)


# One at a time; the gateway's fixture fails on any overlap ----------


async def test_p2_two_waiters_share_one_poll(gateway: Simulator, session: PayrocSession) -> None:
    """Two tasks that await one handle's result cause no second status request."""
    gateway.hold = 1000 * UNIT
    gateway.device(SERIAL).completes_on_cancel()
    handle = await session.start_sale(SERIAL, sale())
    waiters = [asyncio.create_task(handle.result()) for _ in range(2)]
    await until_held(gateway)
    await asyncio.sleep(UNIT)
    assert held_at_once(gateway) == 1
    await handle.cancel()
    first, second = await asyncio.gather(*waiters)
    assert first is second
    assert len(gateway.requests_of("status")) == 2  # and the one that says how it ended


async def test_p2_resuming_a_live_sale_joins_its_poll(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A sale resumed in the session that runs it has one poll, and two that await its payment."""
    gateway.hold = 1000 * UNIT
    gateway.device(SERIAL).completes_on_cancel()
    handle = await session.start_sale(SERIAL, sale())
    assert handle.instruction_id is not None
    again = session.resume_sale(handle.instruction_id)
    await until_held(gateway)
    await asyncio.sleep(UNIT)
    assert held_at_once(gateway) == 1
    await again.cancel()
    first, second = await asyncio.gather(handle.result(), again.result())
    assert first is second
    assert len(gateway.requests_of("status")) == 2  # and the one that says how it ended


async def test_p2_an_id_resumed_twice_has_one_poll(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Also where neither handle has submitted it."""
    gateway.device(SERIAL).approves(after=5 * UNIT)
    submitted = await session.payment_instructions.submit(SERIAL, sale())
    handles = [session.resume_sale(submitted.instruction_id) for _ in range(3)]
    payments = await asyncio.gather(*(handle.result() for handle in handles))
    assert {payment.payment_id for payment in payments} == {*gateway.payments}
    assert len(gateway.requests_of("status")) == 1


async def test_p2_a_cancellation_ends_the_poll_before_the_next_status_request(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Cancelled in a held poll: its connection is closed, then comes DELETE, then the status."""
    gateway.hold = 1000 * UNIT
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    await until_held(gateway)
    assert (await handle.cancel()).status == InstructionStatus.CANCELED
    polled, verified = gateway.requests_of("status")
    (cancelled,) = gateway.requests_of("cancel")
    assert polled.status is None
    assert verified.status == 200
    assert polled.ended is not None
    assert polled.ended <= verified.started
    assert cancelled.started <= verified.started
    with pytest.raises(InstructionCanceledError):
        await handle.result()


async def test_p2_cancelled_by_many_at_once(gateway: Simulator, session: PayrocSession) -> None:
    """However many cancel and await one sale, it has one poll and one DELETE."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    await until_held(gateway)
    finals = await asyncio.gather(*(handle.cancel() for _ in range(5)))
    assert {final.status for final in finals} == {InstructionStatus.CANCELED}
    assert len(gateway.requests_of("cancel")) == 1
    assert len(gateway.requests_of("status")) == 2


@pytest.mark.parametrize("fault", [hang(), drop_before(), status(502), rate_limited()])
async def test_p2_no_overlap_after_a_failed_poll(gateway: Simulator, fault: FaultAction) -> None:
    """A poll that failed or was given up is over before the next one is sent."""
    gateway.hold = 4 * UNIT
    gateway.device(SERIAL).approves(after=10 * UNIT)
    gateway.faults.add("status", fault, times=3)
    times = evolve(QUICK, hold=2 * UNIT, hold_margin=UNIT, unreachable=500 * UNIT)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    asked = gateway.requests_of("status")
    assert len(asked) > 3
    assert gateway.violations == []


async def test_p2_a_status_request_may_last_longer_than_any_other(gateway: Simulator) -> None:
    """While the gateway holds it, `request` is no bound: `hold` and its margin are."""
    gateway.hold = 50 * UNIT
    gateway.device(SERIAL).approves(after=16 * UNIT)
    times = evolve(QUICK, request=10 * UNIT, hold=50 * UNIT)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.requests_of("status")) == 1


# 'No change' ----------


@pytest.mark.parametrize(
    "fault",
    [hang(), status(504, effect=True), status(408, effect=True)],
    ids=["no answer", "504 after the hold", "408 after the hold"],
)
async def test_p2_a_poll_that_times_out_asks_again_at_once(
    gateway: Simulator, fault: FaultAction
) -> None:
    """It means 'no change': no backoff, no Retrying, and the sale goes on."""
    gateway.hold = 8 * UNIT
    gateway.faults.add("status", fault, times=3)
    gateway.device(SERIAL).approves(after=30 * UNIT)
    events: list[Event] = []
    times = evolve(QUICK, hold=8 * UNIT, hold_margin=4 * UNIT, unreachable=500 * UNIT)
    async with session_with(gateway, times, NEVER) as session:
        assert (await session.run_sale(SERIAL, sale(), on_event=events.append)).approved
    asked = gateway.requests_of("status")
    for earlier, later in pairwise(asked[:4]):
        assert earlier.ended is not None
        # A backoff would be seconds long; this is what a loaded machine may take.
        assert later.started - earlier.ended < 50 * UNIT
    assert sum(isinstance(event, StillInProgress) for event in events) >= 3
    assert not any(isinstance(event, Retrying) for event in events)


async def test_p2_504_after_each_hold_is_no_outage(gateway: Simulator) -> None:
    """A proxy less patient than the gateway's hold costs no sale, beyond `unreachable` too."""
    gateway.hold = 8 * UNIT
    gateway.device(SERIAL).approves(after=40 * UNIT)

    times = evolve(QUICK, hold=8 * UNIT, poll_interval=4 * UNIT, unreachable=12 * UNIT)
    fault = gateway.faults.add("status", status(504, effect=True), times=4)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    assert fault.hits == 4
    assert gateway.requests_of("cancel") == []


@pytest.mark.parametrize(
    "fault",
    [None, status(504), status(408), edit(lambda data: {**data, "status": "awaitingSignature"})],
    ids=["in progress", "504", "408", "unknown status"],
)
async def test_p2_a_gateway_that_answers_at_once_is_not_hammered(
    gateway: Simulator, fault: FaultAction | None
) -> None:
    """Without a hold, and without a change, it is asked at most once per `poll_interval`."""
    gateway.hold = 0
    gateway.device(SERIAL).approves(after=35 * UNIT)
    if fault is not None:
        gateway.faults.add("status", fault, times=4)
    interval = 5 * UNIT
    times = evolve(QUICK, poll_interval=interval, unreachable=500 * UNIT)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    asked = gateway.requests_of("status")
    assert len(asked) >= 3
    took = asked[-1].started - asked[0].started
    # The first is on its way for a while that the last need not be.
    assert (len(asked) - 1) * interval <= took + interval / 2


async def test_p2_unknown_status_words_keep_it_going(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Words that no one knows are no end; the log reports them once."""
    gateway.device(SERIAL).shows_status("awaitingTip", after=2 * UNIT)
    gateway.device(SERIAL).shows_status("printing", after=6 * UNIT).approves(after=20 * UNIT)
    events: list[Event] = []
    with caplog.at_level(logging.WARNING, logger="payroc_async"):
        payment = await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert payment.approved
    told = [record.getMessage() for record in caplog.records if "status" in record.getMessage()]
    assert len(told) == 1
    # A slow machine may come too late for the first.
    assert "awaitingTip" in told[0] or "printing" in told[0]
    assert any(isinstance(event, StillInProgress) for event in events)


# Outages ----------


async def test_p2_an_outage_in_mid_sale_loses_nothing(gateway: Simulator) -> None:
    """Refused many times more often than any request is repeated, the live payment is not lost."""
    gateway.device(SERIAL).approves(after=20 * UNIT)
    failed = asyncio.Event()
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        if isinstance(event, Retrying) and event.attempt == 4 * EAGER.attempts:
            failed.set()

    times = evolve(QUICK, unreachable=1000 * UNIT)
    async with session_with(gateway, times) as session:
        handle = await session.start_sale(SERIAL, sale(), on_event=note)
        await until_held(gateway)
        await gateway.stop()
        await failed.wait()
        await gateway.start()
        assert (await handle.result()).approved
    assert len(gateway.instructions) == len(gateway.payments) == 1
    assert gateway.requests_of("cancel") == []
    retries = [event for event in events if isinstance(event, Retrying)]
    assert all(isinstance(event.error, TransportError) for event in retries)


async def test_p2_an_outage_without_end_is_told(gateway: Simulator) -> None:
    """Without one good answer for `unreachable` the outcome is unknown, and not before."""
    gateway.device(SERIAL).never_finishes()
    times = evolve(QUICK, unreachable=100 * UNIT, cancel_grace=4 * UNIT)
    loop = asyncio.get_running_loop()
    async with session_with(gateway, times) as session:
        handle = await session.start_sale(SERIAL, sale())
        await until_held(gateway)
        began = loop.time()
        await gateway.stop()
        with pytest.raises(OutcomeUnknownError) as caught:
            await handle.result()
        assert loop.time() - began >= 50 * UNIT
        assert isinstance(caught.value.__cause__, TransportError)
        assert caught.value.instruction_id == handle.instruction_id
        await gateway.start()
        await session.payment_instructions.cancel(caught.value.instruction_id or "")
    assert gateway.in_progress == []


async def test_p2_every_good_answer_starts_unreachable_anew(gateway: Simulator) -> None:
    """A sale with outages in between may last many times `unreachable`."""
    gateway.hold = 6 * UNIT
    gateway.device(SERIAL).approves(after=100 * UNIT)
    # Two of three polls fail; each third is answered, without a change.
    for skip in range(8):
        gateway.faults.add("status", drop_before(), times=2, skip=skip + 1)
    times = evolve(QUICK, unreachable=30 * UNIT)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    assert gateway.requests_of("cancel") == []
    assert sum(seen.fault is not None for seen in gateway.requests_of("status")) == 16


async def test_p2_with_a_timeout_polling_goes_on_beyond_unreachable(gateway: Simulator) -> None:
    """The caller's `timeout` is the bound then: an outage longer than `unreachable` is sat out."""
    gateway.device(SERIAL).approves(after=20 * UNIT)
    times = evolve(QUICK, unreachable=5 * UNIT)
    events: list[Event] = []
    loop = asyncio.get_running_loop()
    async with session_with(gateway, times) as session:
        handle = await session.start_sale(
            SERIAL, sale(), timeout=1000 * UNIT, on_event=events.append
        )
        await until_held(gateway)
        began = loop.time()
        await gateway.stop()
        while loop.time() < began + 4 * times.unreachable:
            await asyncio.sleep(UNIT)
        assert not any(isinstance(event, CancelRequested) for event in events)
        await gateway.start()
        assert (await handle.result()).approved
    assert isinstance(events[-1], ResultReceived)


async def test_p2_a_proxy_alone_is_not_believed_for_ever(
    gateway: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """504 after each wait passes for a sale in progress, but only so long without the gateway."""
    monkeypatch.setattr("payroc_async.instructions.attempt.PROXIES_TRUSTED", 3)
    gateway.hold = 2 * UNIT
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", status(504, effect=True), times=None)
    timeouts = evolve(QUICK, unreachable=0.3, cancel_grace=0.3)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale())
        assert 3 * 0.3 < time.monotonic() - began < 8.0
        await until(lambda: gateway.in_progress == [])
    assert isinstance(caught.value.__cause__, ServerError)


@pytest.mark.parametrize(
    "fault",
    [hang(), status(504), status(503, effect=True), drop_before()],
    ids=["silence", "504 at once", "503 after the hold", "no connection"],
)
async def test_p2_what_is_no_patient_proxy_is_not_believed(
    gateway: Simulator, monkeypatch: pytest.MonkeyPatch, fault: FaultAction
) -> None:
    """Where no one ever answers, `unreachable` is the end, however long a proxy is believed."""
    monkeypatch.setattr("payroc_async.instructions.attempt.PROXIES_TRUSTED", 10_000)
    gateway.hold = 2 * UNIT
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", fault, times=None)
    times = evolve(
        QUICK,
        hold=2 * UNIT,
        hold_margin=UNIT,
        poll_interval=UNIT,
        unreachable=10 * UNIT,
        cancel_grace=4 * UNIT,
    )
    async with session_with(gateway, times) as session, asyncio.timeout(500 * UNIT):
        with pytest.raises(OutcomeUnknownError):
            await session.run_sale(SERIAL, sale())
        await until(lambda: gateway.in_progress == [])


async def test_p2_with_a_timeout_a_lost_submission_does_not_shorten_the_watch(
    gateway: Simulator,
) -> None:
    """The bound of a repeated submission has no hold on the status requests that follow it."""
    gateway.hold = 10 * UNIT
    gateway.device(SERIAL).approves(after=70 * UNIT)
    gateway.faults.add("submit", drop_after())
    late = gateway.faults.add("status", drop_before(), skip=3)
    times = evolve(QUICK, unreachable=25 * UNIT)
    async with session_with(gateway, times) as session:
        assert (await session.run_sale(SERIAL, sale(), timeout=1000 * UNIT)).approved
    assert late.hits == 1


@pytest.mark.parametrize("by_id_first", [True, False])
@pytest.mark.parametrize("ends", ["pays", "is canceled", "is unreachable"])
async def test_p2_one_instruction_by_its_id_and_by_its_key(
    gateway: Simulator, by_id_first: bool, ends: str
) -> None:
    """Two calls of one session for one instruction: one of them polls, both learn the outcome."""
    device = gateway.device(SERIAL).never_finishes()
    key = str(uuid4())
    timeouts = evolve(QUICK, unreachable=1.0)
    options: dict[str, Any] = {"environment": gateway.environment, "retries": EAGER}
    async with PayrocSession(gateway.api_key, **options) as before:
        handle = await before.start_sale(SERIAL, sale(), idempotency_key=key, on_cancel="detach")
        instruction_id = handle.instruction_id
    assert instruction_id is not None
    async with PayrocSession(gateway.api_key, timeouts=timeouts, **options) as session:

        def by_id() -> Awaitable[Payment]:
            return session.resume_sale(instruction_id).result()

        def by_key() -> Awaitable[Payment]:
            return session.run_sale(SERIAL, sale(), idempotency_key=key)

        calls = (by_id, by_key) if by_id_first else (by_key, by_id)
        first = asyncio.ensure_future(calls[0]())
        await until(lambda: bool(gateway.requests_of("status")))
        second = asyncio.ensure_future(calls[1]())
        await until(lambda: len(gateway.requests_of("submit")) == 2)
        polls = len(gateway.requests_of("status"))
        await until(lambda: len(gateway.requests_of("status")) >= polls + 2)
        running = gateway.instructions[instruction_id]
        if ends == "pays":
            gateway._state.change(running, "completed")
        elif ends == "is canceled":
            second.cancel()
        else:
            for kind in ("status", "cancel"):
                gateway.faults.add(kind, drop_before(), times=None)
        await asyncio.wait((first, second), timeout=30)
        if ends == "pays":
            assert first.result().payment_id == second.result().payment_id
        elif ends == "is canceled":
            assert second.cancelled()
            assert isinstance(first.exception(), InstructionCanceledError)
        else:
            assert isinstance(first.exception(), OutcomeUnknownError)
            assert isinstance(second.exception(), OutcomeUnknownError)
            gateway.faults.clear()
    assert device is gateway.device(SERIAL)
    assert not gateway.in_progress
    assert not gateway.violations
