"""A cancellation has an end, and says which (P3)."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from payroc_async import errors as e
from payroc_async.session import PayrocSession
from payroc_async.simulator import Simulator, drop_before, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale


def sale_task() -> asyncio.Task[None]:
    """The task that drives the one sale under way."""
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("payroc pay"))
    return task


def gone_for_good(gateway: Simulator) -> None:
    """From now on every status request and every DELETE is lost."""
    for kind in ("status", "cancel"):
        gateway.faults.add(kind, drop_before(), times=None)


async def test_p3_a_cancellation_that_nobody_answers_has_an_end(
    gateway: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """With `timeout` no status request bounds the sale; its cancellation does, and says so."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        gone_for_good(gateway)
        async with asyncio.timeout(250 * UNIT):
            with pytest.raises(e.OutcomeUnknownError):
                await session.run_sale(SERIAL, sale(), timeout=15 * UNIT)
    assert "ERROR" in [record.levelname for record in caplog.records]


async def test_p3_whoever_ends_all_tasks_waits_for_the_grace_alone(gateway: Simulator) -> None:
    """A sale whose task is canceled from outside ends in `cancel_grace`, not `unreachable`."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=30.0, cancel_grace=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        await session.start_sale(SERIAL, sale())
        gone_for_good(gateway)
        task = sale_task()
        task.cancel()
        await asyncio.wait((task,), timeout=100 * UNIT)
        assert task.cancelled()


async def test_p3_a_sale_left_running_on_purpose_says_so(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Detached, a sale's outcome is unknown for that reason, which is no ERROR in the log."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale(), on_cancel="detach")
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(UNIT)
    with caplog.at_level("INFO", logger="payroc_async"):
        waiting.cancel()
        await asyncio.wait((waiting,))
    with pytest.raises(e.OutcomeUnknownError) as caught:
        await handle.result()
    assert type(caught.value.__cause__) is e.PayrocError
    assert "on purpose" in str(caught.value.__cause__)
    assert [record.levelname for record in caplog.records if "payroc" in record.name] == ["INFO"]


@pytest.mark.parametrize("hold", [0.0, 2 * UNIT], ids=["at once", "after a hold"])
async def test_p3_a_cancellation_that_changes_nothing_has_an_end(
    gateway: Simulator, hold: float
) -> None:
    """However often the gateway says that it goes on, the sale is given up in its time."""
    gateway.hold = hold
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", status(202), times=None)
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(250 * UNIT):
            handle = await session.start_sale(SERIAL, sale())
            began = loop.time()
            with pytest.raises(e.OutcomeUnknownError) as caught:
                await handle.cancel()
    assert loop.time() - began >= 8 * UNIT - UNIT / 10
    assert "showed no end" in str(caught.value.__cause__)
    assert len(gateway.requests_of("cancel")) > 1


async def test_p3_a_cancellation_that_is_refused_says_so(gateway: Simulator) -> None:
    """Where the instruction goes on because its DELETE is refused, the error names the refusal."""
    gateway.hold = UNIT
    gateway.device(SERIAL).never_finishes()
    refusals = gateway.faults.add("cancel", status(403), times=None)
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        with pytest.raises(e.OutcomeUnknownError) as caught:
            await handle.cancel()
        refusals.remove()
    assert isinstance(caught.value.__cause__, e.ForbiddenError)


async def test_p3_what_was_never_seen_is_not_taken_for_canceled(gateway: Simulator) -> None:
    """E5, E6: an accepted DELETE and no status to be had do not make a cancellation."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        submitted = await session.payment_instructions.submit(SERIAL, sale())
        hidden = gateway.faults.add("status", status(404), times=None)
        handle = session.resume_sale(submitted.instruction_id)
        with pytest.raises(e.OutcomeUnknownError):
            await handle.cancel()
        assert gateway.requests_of("cancel")[0].status == 204
        hidden.remove()


async def test_p3_whoever_ends_all_tasks_has_the_instruction_canceled_at_once(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The cancellation that ends the poll does not also break off the DELETE that follows."""
    gateway.device(SERIAL).never_finishes()
    await session.start_sale(SERIAL, sale())
    while not gateway.requests_of("status"):
        await asyncio.sleep(UNIT / 4)
    task = sale_task()
    task.cancel()
    await asyncio.wait((task,))
    kinds = [seen.kind for seen in gateway.requests if seen.kind != "authorize"]
    assert kinds == ["submit", "status", "cancel", "status"]


async def test_p3_an_end_is_seen_although_the_delete_goes_on_failing(gateway: Simulator) -> None:
    """A DELETE is repeated for `cancel_grace`, then the status is looked at all the same."""
    gateway.device(SERIAL).approves(after=8 * UNIT)
    gateway.faults.add("cancel", status(429), times=None)
    timeouts = evolve(QUICK, unreachable=1000 * UNIT, cancel_grace=4 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        async with asyncio.timeout(250 * UNIT):
            assert (await handle.cancel()).status == "completed"
        assert (await handle.result()).approved
