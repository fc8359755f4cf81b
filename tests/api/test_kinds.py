"""Refunds and signatures have a sale's life: every promise, once more, for each kind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from payroc_async import (
    ConfigurationError,
    DeviceBusyError,
    Event,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    NotFoundError,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    Refund,
    RefundInstructionRequest,
    RefundOrder,
    ResultReceived,
    Signature,
    SignatureInstructionRequest,
)
from payroc_async.kinds import PAYMENT, REFUND, SIGNATURE, Kind
from payroc_async.simulator import Simulator, drop_after, status
from tests.conftest import EAGER, SERIAL, UNIT, sale


def refund(amount: int = 4999) -> RefundInstructionRequest:
    return RefundInstructionRequest(
        processing_terminal_id="1234001",
        order=RefundOrder(
            order_id="OrderRef6543", description="Returned", amount=amount, currency="USD"
        ),
    )


@frozen
class Way:
    """How a session runs one kind."""

    kind: Kind[Any, Any]
    request: Any
    run: Callable[[PayrocSession], Callable[..., Any]]
    start: Callable[[PayrocSession], Callable[..., Any]]
    resume: Callable[[PayrocSession], Callable[..., Any]]
    calls: Callable[[PayrocSession], Any]


SALE = Way(
    PAYMENT,
    sale(),
    lambda session: session.run_sale,
    lambda session: session.start_sale,
    lambda session: session.resume_sale,
    lambda session: session.payment_instructions,
)
REFUNDS = Way(
    REFUND,
    refund(),
    lambda session: session.run_refund,
    lambda session: session.start_refund,
    lambda session: session.resume_refund,
    lambda session: session.refund_instructions,
)
SIGNATURES = Way(
    SIGNATURE,
    SignatureInstructionRequest(processing_terminal_id="1234001"),
    lambda session: session.capture_signature,
    lambda session: session.start_signature,
    lambda session: session.resume_signature,
    lambda session: session.signature_instructions,
)
WAYS = (SALE, REFUNDS, SIGNATURES)
every_kind = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.kind.noun)


def only(gateway: Simulator) -> Any:
    """The one instruction that was made."""
    (instruction,) = gateway.instructions.values()
    return instruction


async def polled(gateway: Simulator) -> None:
    """Waits until a status request has come."""
    async with asyncio.timeout(10):
        while not gateway.requests_of("status"):
            await asyncio.sleep(UNIT / 4)


def settled(events: list[Event]) -> list[object]:
    return [event.resource for event in events if isinstance(event, ResultReceived)]


async def test_a_refund_runs_end_to_end(gateway: Simulator, session: PayrocSession) -> None:
    """A refund gives the refund, with its outcome, amount and reason."""
    gateway.device(SERIAL).approves(UNIT)
    events: list[Event] = []
    result = await session.run_refund(SERIAL, refund(), on_event=events.append)
    assert isinstance(result, Refund)
    assert result.approved
    assert result.order.amount == 4999
    assert [*gateway.refunds] == [result.refund_id]
    assert gateway.payments == {}
    assert settled(events) == [result]


async def test_a_declined_refund_is_returned(gateway: Simulator, session: PayrocSession) -> None:
    """A decline is an outcome of a refund as it is of a sale."""
    gateway.device(SERIAL).declines()
    result = await session.run_refund(SERIAL, refund())
    assert not result.approved


async def test_a_signature_runs_end_to_end(
    gateway: Simulator, session: PayrocSession, tmp_path: Path
) -> None:
    """A signature gives its picture, which can be saved, and can be read again by its id."""
    gateway.device(SERIAL).approves(UNIT)
    result = await session.capture_signature(SERIAL, SIGNATURES.request)
    assert isinstance(result, Signature)
    assert result.image.startswith(b"\x89PNG")
    saved = await asyncio.to_thread(result.save, tmp_path / "signature.png")
    assert saved.read_bytes() == result.image
    assert result.signature_id is not None
    assert await session.signatures.retrieve(result.signature_id) == result


@every_kind
async def test_p1_one_key_makes_one_instruction(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """A lost submission is found again under its key, and the same call again gives the same."""
    gateway.faults.add("submit", drop_after())
    key = str(uuid.uuid4())
    first = await way.run(session)(SERIAL, way.request, idempotency_key=key)
    again = await way.run(session)(SERIAL, way.request, idempotency_key=key)
    assert first == again
    assert only(gateway).idempotency_key == key


@every_kind
async def test_p3_cancelled_while_it_waits(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """A canceled task leaves nothing running on the device."""
    gateway.device(SERIAL).never_finishes()
    task = asyncio.create_task(way.run(session)(SERIAL, way.request))
    await polled(gateway)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(gateway).status == "canceled"
    assert only(gateway).delete_count == 1


@every_kind
async def test_p5_completed_just_as_it_is_cancelled(
    gateway: Simulator,
    session: PayrocSession,
    way: Way,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What came in spite of the cancellation is reported by `ResultReceived` and in the log."""
    gateway.device(SERIAL).completes_on_cancel()
    events: list[Event] = []
    task = asyncio.create_task(way.run(session)(SERIAL, way.request, on_event=events.append))
    await polled(gateway)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (resource,) = settled(events)
    assert {event.kind for event in events} == {way.kind.noun}
    assert way.kind.resource_id(resource) == only(gateway).resource_id
    assert f"{way.kind.noun} {only(gateway).resource_id} exists" in caplog.text


@every_kind
async def test_p5_timeout_cancels(gateway: Simulator, session: PayrocSession, way: Way) -> None:
    """`timeout` cancels the instruction, and says so."""
    gateway.device(SERIAL).never_finishes()
    with pytest.raises(InstructionTimeoutError):
        await way.run(session)(SERIAL, way.request, timeout=20 * UNIT)
    assert only(gateway).status == "canceled"


@every_kind
async def test_p5_timeout_too_late_returns_what_came(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """If the cancellation comes too late, the caller has the resource."""
    gateway.device(SERIAL).completes_on_cancel()
    result = await way.run(session)(SERIAL, way.request, timeout=20 * UNIT)
    assert way.kind.resource_id(result) == only(gateway).resource_id


@every_kind
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [("fails", InstructionFailedError), ("cardholder_cancels", InstructionCanceledError)],
)
async def test_p5_it_ends_otherwise(
    gateway: Simulator,
    session: PayrocSession,
    way: Way,
    behaviour: str,
    error: type[Exception],
) -> None:
    """A failure and the cardholder's own cancellation are errors of their own."""
    getattr(gateway.device(SERIAL), behaviour)()
    with pytest.raises(error):
        await way.run(session)(SERIAL, way.request)


@every_kind
async def test_p5_an_unknown_outcome_can_be_resumed(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """What can't be read is unknown, never lost: resumed by its id, it is found."""
    fault = gateway.faults.add(way.kind.noun, status(404), times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await way.run(session)(SERIAL, way.request)
    fault.remove()
    assert caught.value.instruction_id is not None
    assert caught.value.kind == way.kind.noun
    assert ("money may have moved" in str(caught.value)) is (way is not SIGNATURES)
    result = await way.resume(session)(caught.value.instruction_id).result()
    assert way.kind.resource_id(result) == only(gateway).resource_id


@every_kind
async def test_a_handle(gateway: Simulator, session: PayrocSession, way: Way) -> None:
    """Started, it can be canceled by its handle, which knows its state and its result."""
    gateway.device(SERIAL).never_finishes()
    handle = await way.start(session)(SERIAL, way.request)
    assert handle.status == "inProgress"
    assert (await handle.cancel()).status == "canceled"
    with pytest.raises(InstructionCanceledError):
        await handle.result()


@every_kind
async def test_the_single_calls(gateway: Simulator, session: PayrocSession, way: Way) -> None:
    """Submitted, read and canceled, a call at a time."""
    gateway.device(SERIAL).never_finishes()
    calls = way.calls(session)
    submitted = await calls.submit(SERIAL, way.request)
    assert isinstance(submitted, way.kind.instruction_type)
    await calls.cancel(submitted.instruction_id)
    assert (await calls.retrieve(submitted.instruction_id)).status == "canceled"
    with pytest.raises(NotFoundError):
        await calls.cancel("unknown")


@every_kind
async def test_on_cancel_detach_leaves_it_for_another_session(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """Detached on purpose, it goes on, and another session resumes it."""
    gateway.device(SERIAL).approves(20 * UNIT)
    task = asyncio.create_task(way.run(session)(SERIAL, way.request, on_cancel="detach"))
    await polled(gateway)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(gateway).delete_count == 0
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, retries=EAGER
    ) as other:
        result = await way.resume(other)(only(gateway).id).result()
    assert way.kind.resource_id(result) == only(gateway).resource_id


@pytest.mark.parametrize("other", [REFUNDS, SIGNATURES], ids=lambda way: way.kind.noun)
async def test_p11_a_device_has_one_instruction_of_any_kind(
    gateway: Simulator, session: PayrocSession, other: Way
) -> None:
    """While a sale runs on a device, a refund or a signature there is refused unsent."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    with pytest.raises(DeviceBusyError):
        await other.run(session)(SERIAL, other.request)
    await handle.cancel()
    assert len(gateway.requests_of("submit")) == 1


@every_kind
async def test_another_kinds_request_is_refused(
    gateway: Simulator, session: PayrocSession, way: Way
) -> None:
    """Each kind takes its own request alone, and says which."""
    for other in WAYS:
        if other is not way:
            with pytest.raises(ConfigurationError, match=way.kind.request_type.__name__):
                await way.run(session)(SERIAL, other.request)
    assert gateway.requests_of("submit") == []


async def test_ids_of_one_kind_are_not_anothers(gateway: Simulator, session: PayrocSession) -> None:
    """A sale and a refund with the same id would be two: each is resumed as what it is."""
    payment = await session.run_sale(SERIAL, sale())
    assert isinstance(payment, Payment)
    with pytest.raises(OutcomeUnknownError, match="404"):
        await session.resume_refund(only(gateway).id).result()
