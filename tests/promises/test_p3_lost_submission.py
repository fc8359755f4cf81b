"""P3: a submission whose answer was lost, and whose caller has gone, is not left to itself."""

from __future__ import annotations

import asyncio

import pytest

from payroc_async import (
    Event,
    InstructionCanceledError,
    OutcomeUnknownError,
    PayrocSession,
    Submitted,
)
from payroc_async.simulator import Simulator, drop_after, hang_after, problem
from tests.conftest import SERIAL, sale


@pytest.mark.parametrize("status", [401, 403, 404, 409])
@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_p3_a_refusal_after_a_lost_answer_is_no_end_for_a_caller_that_has_gone(
    gateway: Simulator, session: PayrocSession, status: int, on_cancel: str
) -> None:
    """The id is learned under the key, whatever a later try is reported, and no orphan is left."""
    gateway.device(SERIAL).never_finishes()
    events: list[Event] = []
    gateway.faults.add("submit", drop_after(), times=3)
    # A 401 is repeated once with a new token before it counts.
    gateway.faults.add("submit", problem(status, "refused"), times=2)
    task = asyncio.create_task(
        session.run_sale(
            SERIAL,
            sale(),
            on_cancel=on_cancel,  # type: ignore[arg-type]
            on_event=events.append,
        )
    )
    while not gateway.instructions:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    (instruction,) = gateway.instructions.values()
    assert instruction.status == ("canceled" if on_cancel == "cancel" else "inProgress")
    told = [event for event in events if isinstance(event, Submitted)]
    assert [event.instruction_id for event in told] == [instruction.id]


async def test_p5_not_found_after_a_lost_answer_is_no_refusal(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E1: a 404 to a repeated submission says nothing of the first attempt."""
    gateway.faults.add("submit", drop_after())
    gateway.faults.add("submit", problem(404, "not-found"))
    assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.instructions) == 1


async def test_p5_a_bad_request_is_no_refusal_after_a_lost_answer(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E1: nor does a 400, which may mean that the device is busy with this very sale."""
    gateway.faults.add("submit", problem(502, "api-error"))
    gateway.faults.add("submit", problem(400, "bad-request"))
    assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.instructions) == 1


async def test_p3_a_gateway_that_forgets_what_it_has_cancelled(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E6: a status that is no longer found after an accepted DELETE is unknown, not canceled."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    gateway.faults.add("status", problem(404, "not-found"), times=None)
    with pytest.raises(OutcomeUnknownError):
        await handle.cancel()
    gateway.faults.clear()
    with pytest.raises(InstructionCanceledError):  # it went on in the background
        await handle.result()


async def test_p3_not_found_without_a_delete_is_no_cancellation(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Where the DELETE was refused, a status that is not found proves nothing."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    gateway.faults.add("status", problem(404, "not-found"), times=None)
    gateway.faults.add("cancel", problem(403, "forbidden"), times=None)
    with pytest.raises(OutcomeUnknownError):
        await handle.cancel()


async def test_p5_a_payment_whose_task_was_ended_from_outside_is_told(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Where all tasks of the loop are canceled and the payment came first, a WARNING names it."""
    gateway.device(SERIAL).completes_on_cancel()
    handle = await session.start_sale(SERIAL, sale())
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("payroc payment"))
    task.cancel()
    await asyncio.wait({task})
    (payment_id,) = gateway.payments
    assert any(
        record.levelname == "WARNING" and f"payment {payment_id} exists" in record.getMessage()
        for record in caplog.records
    )
    assert (await handle.result()).payment_id == payment_id


async def test_p3_a_submission_that_was_broken_off_may_have_arrived(
    gateway: Simulator, session: PayrocSession
) -> None:
    """All tasks of the loop are canceled in mid-POST: a refusal of the next try proves nothing."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("submit", hang_after())
    gateway.faults.add("submit", problem(409, "cannot-be-modified"), times=2)
    caller = asyncio.create_task(session.run_sale(SERIAL, sale()))
    while not gateway.instructions:
        await asyncio.sleep(0)
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("payroc payment"))
    task.cancel()
    await asyncio.wait((task, caller))
    with pytest.raises(InstructionCanceledError):
        caller.result()
    assert gateway.in_progress == []
