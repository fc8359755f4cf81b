"""P3: a submission whose answer was lost, and whose caller has gone, is not left to itself."""

from __future__ import annotations

import asyncio

import pytest

from payroc_async import (
    BadRequestError,
    Event,
    NotFoundError,
    OutcomeUnknownError,
    PayrocSession,
    Submitted,
)
from payroc_async.simulator import Simulator, drop_after, problem

from .conftest import SERIAL, sale


@pytest.mark.parametrize("status", [401, 403, 404, 409])
@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_p3_a_refusal_after_a_lost_answer_is_no_end_for_a_caller_that_has_gone(
    gateway: Simulator, session: PayrocSession, status: int, on_cancel: str
) -> None:
    """The id is learned under the key, whatever a later try is told, and no orphan is left."""
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
    """A 404 to a repeated submission does not prove that the first try made nothing."""
    gateway.faults.add("submit", drop_after())
    gateway.faults.add("submit", problem(404, "not-found"))
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert isinstance(caught.value.__cause__, NotFoundError)


async def test_p5_a_bad_request_is_a_refusal_also_after_a_lost_answer(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The same bytes were wrong the first time too: there is no instruction."""
    gateway.faults.add("submit", problem(502, "api-error"))
    gateway.faults.add("submit", problem(400, "bad-request"))
    with pytest.raises(BadRequestError):
        await session.run_sale(SERIAL, sale())
