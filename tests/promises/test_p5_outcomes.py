"""P5: no outcome is lost."""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import pytest
from attrs import evolve

from payroc_async import (
    APIError,
    Canceled,
    CancelRequested,
    Completed,
    ConflictError,
    Event,
    Failed,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionStatus,
    InstructionTimeoutError,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    PaymentDeclinedError,
    PayrocSession,
    ResponseFormatError,
    ResultReceived,
    StillInProgress,
    Submitted,
)
from payroc_async.simulator import (
    Simulator,
    delay,
    drop_after,
    edit,
    hang_after,
    html,
    problem,
    status,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import until


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("A", Outcome.APPROVED),
        ("P", Outcome.PARTIALLY_APPROVED),
        ("D", Outcome.DECLINED),
        ("E", Outcome.DEFERRED),
        ("R", Outcome.REFERRED),
        ("C", Outcome.PICK_UP),
        ("X", Outcome.UNKNOWN),
    ],
)
async def test_p5_every_answered_sale_returns_its_payment(
    gateway: Simulator, session: PayrocSession, code: str, outcome: Outcome
) -> None:
    """Approved or not, a completed sale is a payment with its outcome."""
    gateway.device(SERIAL).answers(code)
    payment = await session.run_sale(SERIAL, sale())
    assert payment.outcome is outcome
    assert payment.approved == (code == "A")
    if code != "A":
        with pytest.raises(PaymentDeclinedError) as caught:
            payment.raise_for_decline()
        assert caught.value.payment is payment


async def test_p5_the_events_of_a_sale(gateway: Simulator, session: PayrocSession) -> None:
    """A sale says what happens in its order, with all that is known each time."""
    gateway.device(SERIAL).approves(after=0.6)  # longer than the hold: one answer without change
    events: list[Event] = []
    payment = await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert [type(event) for event in events] == [
        Submitted,
        StillInProgress,
        Completed,
        ResultReceived,
    ]
    (instruction,) = gateway.instructions.values()
    for event in events:
        assert event.serial_number == SERIAL
        assert event.instruction_id == instruction.id
        assert event.idempotency_key == instruction.idempotency_key
    assert isinstance(events[-1], ResultReceived)
    assert events[-1].resource is payment


async def test_p5_a_failed_instruction(gateway: Simulator, session: PayrocSession) -> None:
    """A failure on the device is an error with the gateway's own words and all that is known."""
    gateway.device(SERIAL).fails("Paper jam")
    events: list[Event] = []
    with pytest.raises(InstructionFailedError, match="Paper jam") as caught:
        await session.run_sale(SERIAL, sale(), on_event=events.append)
    (instruction,) = gateway.instructions.values()
    assert caught.value.error_message == "Paper jam"
    assert caught.value.serial_number == SERIAL
    assert caught.value.instruction_id == instruction.id
    assert caught.value.idempotency_key == instruction.idempotency_key
    assert caught.value.request == sale()
    assert [type(event) for event in events] == [Submitted, Failed]


async def test_p5_cancelled_by_the_cardholder(gateway: Simulator, session: PayrocSession) -> None:
    """A sale that the cardholder cancels is an error that says so."""
    gateway.device(SERIAL).cardholder_cancels()
    events: list[Event] = []
    with pytest.raises(InstructionCanceledError):
        await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert [type(event) for event in events] == [Submitted, Canceled]


async def test_p5_cancelled_by_another_caller(gateway: Simulator, session: PayrocSession) -> None:
    """A sale canceled through its id from elsewhere is an error that says so."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    assert handle.instruction_id is not None
    await session.payment_instructions.cancel(handle.instruction_id)
    with pytest.raises(InstructionCanceledError):
        await handle.result()
    assert handle.status == InstructionStatus.CANCELED


async def test_p5_timeout_cancels(gateway: Simulator, session: PayrocSession) -> None:
    """When `timeout` passes the instruction is canceled: no money has moved."""
    gateway.device(SERIAL).never_finishes()
    events: list[Event] = []
    with pytest.raises(InstructionTimeoutError):
        await session.run_sale(SERIAL, sale(), timeout=15 * UNIT, on_event=events.append)
    assert gateway.in_progress == []
    assert [type(event) for event in events] == [Submitted, CancelRequested, Canceled]
    assert isinstance(events[1], CancelRequested)
    assert events[1].reason == "timeout"


async def test_p5_timeout_too_late_returns_the_payment(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A payment that completes just before the cancellation is returned, not thrown away."""
    gateway.device(SERIAL).completes_on_cancel()
    payment = await session.run_sale(SERIAL, sale(), timeout=15 * UNIT)
    assert payment.approved
    assert [seen.status for seen in gateway.requests_of("cancel")] == [409]


async def test_p5_a_timeout_never_cuts_off_the_reading_of_the_payment(
    gateway: Simulator, patient_session: PayrocSession
) -> None:
    """Once the instruction has completed, its payment is read however late it is."""
    gateway.faults.add("payment", delay(1.5))
    payment = await patient_session.run_sale(SERIAL, sale(), timeout=1.0)
    assert payment.approved
    assert gateway.requests_of("cancel") == []


async def test_p5_a_payment_too_late_for_the_cancelled_caller_is_told(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The race lost: the event comes before the CancelledError, and a WARNING names the payment."""
    gateway.device(SERIAL).completes_on_cancel()
    told: list[str] = []

    async def till() -> None:
        def note(event: Event) -> None:
            told.append(type(event).__name__)

        try:
            await session.run_sale(SERIAL, sale(), on_event=note)
        except asyncio.CancelledError:
            told.append("CancelledError")
            raise

    task = asyncio.create_task(till())
    while not gateway.requests_of("status"):
        await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING, logger="payroc_async"):
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    assert told == ["Submitted", "CancelRequested", "Completed", "ResultReceived", "CancelledError"]
    (payment_id,) = gateway.payments
    assert any(
        record.levelno == logging.WARNING and payment_id in record.getMessage()
        for record in caplog.records
    )


@pytest.mark.parametrize(
    ("on", "fault", "cause"),
    [
        ("payment", problem(404, "not-found"), NotFoundError),
        ("payment", html(), ResponseFormatError),
        ("payment", edit(lambda data: {**data, "paymentId": "another"}), ResponseFormatError),
        (
            "status",
            edit(lambda data: {k: v for k, v in data.items() if k != "link"}),
            ResponseFormatError,
        ),
    ],
)
async def test_p5_a_payment_that_cannot_be_read_is_an_unknown_outcome(
    gateway: Simulator,
    session: PayrocSession,
    on: str,
    fault: object,
    cause: type[Exception],
) -> None:
    """Completed, but what came of it can't be read: reported as unknown, and found out later."""
    gateway.faults.add(on, fault, times=None)  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert isinstance(caught.value.__cause__, cause)
    assert caught.value.instruction_id is not None
    gateway.faults.clear()
    payment = await session.resume_sale(caught.value.instruction_id).result()
    assert payment.approved


async def test_p5_what_on_event_raises_is_logged(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A till's broken event handler costs no sale."""

    def broken(event: Event) -> None:
        raise RuntimeError("the till's own bug")

    payment = await session.run_sale(SERIAL, sale(), on_event=broken)
    assert payment.approved
    assert "the till's own bug" in caplog.text


async def test_p5_a_result_may_be_awaited_by_many_and_again(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Everybody who awaits a handle's result gets it, before the end and after."""
    gateway.device(SERIAL).approves(after=UNIT)
    handle = await session.start_sale(SERIAL, sale())
    first, second = await asyncio.gather(handle.result(), handle.result())
    assert first is second is await handle.result()
    gateway.device(SERIAL).fails("no paper")
    handle = await session.start_sale(SERIAL, sale())
    for _ in range(2):
        with pytest.raises(InstructionFailedError):
            await handle.result()


async def test_p5_a_sale_resumed_after_a_restart(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A new session takes up a sale by its instruction id and returns its payment."""
    gateway.device(SERIAL).approves(after=2 * UNIT)
    submitted = await session.payment_instructions.submit(SERIAL, sale())
    events: list[Event] = []
    handle = session.resume_sale(submitted.instruction_id, on_event=events.append)
    assert handle.instruction_id == submitted.instruction_id
    assert handle.serial_number is None
    assert (await handle.result()).approved
    assert [type(event) for event in events] == [Completed, ResultReceived]


async def test_p5_a_handle_tells_what_is_known(gateway: Simulator, session: PayrocSession) -> None:
    """A handle shows the device, the key, the id and the last status, and no secret."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    (instruction,) = gateway.instructions.values()
    assert handle.serial_number == SERIAL
    assert handle.instruction_id == instruction.id
    assert handle.idempotency_key == instruction.idempotency_key
    assert str(handle.status) == "inProgress"
    assert instruction.id in repr(handle)
    final = await handle.cancel()
    assert str(final.status) == str(handle.status) == "canceled"
    assert (await handle.cancel()).status == InstructionStatus.CANCELED


async def test_p5_cancelling_too_late_leaves_the_payment(
    gateway: Simulator, session: PayrocSession
) -> None:
    """`cancel()` gives the state that came first, and `result()` then has the payment."""
    gateway.device(SERIAL).completes_on_cancel()
    handle = await session.start_sale(SERIAL, sale())
    final = await handle.cancel()
    assert final.status == InstructionStatus.COMPLETED
    assert (await handle.result()).approved


async def test_p5_detached_where_no_status_is_to_be_had(
    gateway: Simulator, session: PayrocSession
) -> None:
    """With `on_cancel="detach"` an unwatched instruction is reported as unknown, never canceled."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", problem(403, "forbidden"), times=None)
    with pytest.raises(OutcomeUnknownError):
        await session.run_sale(SERIAL, sale(), on_cancel="detach")
    assert len(gateway.in_progress) == 1
    assert gateway.requests_of("cancel") == []


@pytest.mark.parametrize("on", ["submit", "payment"])
async def test_p5_an_identity_outage_where_money_may_have_moved(
    gateway: Simulator, on: str
) -> None:
    """However long there is no token, within `unreachable`, what may exist is seen to the end."""
    timeouts = evolve(QUICK, token=2 * UNIT, unreachable=10.0)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        await session.payment_instructions.submit("another", sale())  # the token is there
        gateway.clear()
        gateway.faults.add(on, drop_after())
        task = asyncio.create_task(session.run_sale(SERIAL, sale()))
        while not gateway.requests_of(on):
            await asyncio.sleep(0)
        gateway.revoke_tokens()
        down = gateway.faults.add("authorize", problem(503, "api-error"), times=None)
        while down.hits < 12:
            await asyncio.sleep(UNIT / 4)
        assert not task.done()
        gateway.faults.clear()
        assert (await task).approved
    assert [made.status for made in gateway.instructions.values()].count("completed") == 1


async def test_p5_start_sale_tells_of_a_refusal(gateway: Simulator, session: PayrocSession) -> None:
    """A sale that the gateway refuses has no handle: `start_sale` raises."""
    gateway.device(SERIAL).is_offline()
    with pytest.raises(ConflictError):
        await session.start_sale(SERIAL, sale())


async def test_p5_cancelling_without_learning_the_end(
    gateway: Simulator, session: PayrocSession
) -> None:
    """`cancel()` raises where the instruction's final state can't be learned."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    gateway.faults.add("status", problem(403, "forbidden"), times=None)
    with pytest.raises(OutcomeUnknownError):
        await handle.cancel()


@pytest.mark.parametrize("ending", ["timeout", "close"])
async def test_p5_nothing_sent_under_a_given_key_proves_nothing(
    gateway: Simulator, ending: str
) -> None:
    """A key of the caller's may have been used before: unsent this time is not unsent for ever."""
    gateway.faults.add("authorize", problem(503, "api-error"), times=None)
    results: list[type] = []
    for key in (None, str(uuid4())):
        gateway.requests.clear()
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
        ) as session:
            task = asyncio.create_task(
                session.run_sale(
                    SERIAL,
                    sale(),
                    idempotency_key=key,
                    timeout=UNIT if ending == "timeout" else None,
                )
            )
            while not gateway.requests_of("authorize"):
                await asyncio.sleep(0)
            if ending == "close":
                await session.aclose()
            await asyncio.wait({task})
        error = task.exception()
        results.append(type(error))
        if isinstance(error, OutcomeUnknownError):
            assert (error.request_sent, error.may_have_taken_effect) == (False, False)
    canceled = InstructionTimeoutError if ending == "timeout" else InstructionCanceledError
    assert results == [canceled, OutcomeUnknownError]
    assert gateway.requests_of("submit") == []


async def test_p5_what_is_in_flight_when_the_session_ends_may_have_been_made(
    gateway: Simulator,
) -> None:
    """The first submission has no answer yet: it is not said that this call has sent nothing."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("submit", hang_after())
    timeouts = evolve(QUICK, request=30.0, cancel_grace=4 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        sold = asyncio.create_task(session.run_sale(SERIAL, sale(), on_cancel="detach"))
        await until(lambda: gateway.instructions)
        await session.aclose()
        await asyncio.wait({sold})
    error = sold.exception()
    assert isinstance(error, OutcomeUnknownError)
    assert (error.request_sent, error.may_have_taken_effect) == (True, True)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409])
async def test_p5_a_refusal_under_a_given_key_says_nothing_of_an_earlier_call(
    gateway: Simulator, session: PayrocSession, code: int
) -> None:
    """A sale is run again under its key and refused: the first one may have charged, and has."""
    key = str(uuid4())
    submitted = await session.payment_instructions.submit(SERIAL, sale(), idempotency_key=key)
    gateway.faults.add("submit", problem(code, "refused"), times=2 if code == 401 else 1)
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale(), idempotency_key=key)
    assert isinstance(caught.value.__cause__, APIError)
    assert caught.value.__cause__.status == code
    assert not caught.value.may_have_taken_effect  # by this call
    gateway.faults.clear()
    again = caught.value.idempotency_key
    payment = await session.run_sale(SERIAL, sale(), idempotency_key=again)
    assert payment.payment_id == gateway.instructions[submitted.instruction_id].payment_id


@pytest.mark.parametrize("code", [501, 505, 507, 520, 524, 599])
async def test_p5_a_submission_answered_with_any_5xx_is_repeated(
    gateway: Simulator, session: PayrocSession, code: int
) -> None:
    """E3: whatever the number, the answer may have come after the effect; the key finds it."""
    gateway.faults.add("submit", status(code, effect=True))
    assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.instructions) == 1
