"""What is reported, logged and counted of an outcome that was hard to come by (P5, P8)."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from payroc_async import errors as e
from payroc_async.events import Completed, Event, ResultReceived, Retrying, Submitted
from payroc_async.session import PayrocSession
from payroc_async.simulator import Simulator, drop_after, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale


async def steps(n: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(n):
        await asyncio.sleep(0)


def sale_task() -> asyncio.Task[None]:
    """The task that drives the one sale under way."""
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("payroc pay"))
    return task


def stubborn(gateway: Simulator, unreachable: float) -> PayrocSession:
    """A session that by its number of attempts would try for ever."""
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, unreachable=unreachable),
        retries=evolve(EAGER, attempts=10_000),
    )


async def test_p5_a_sale_that_goes_well_is_nothing_to_warn_of(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A payment that its caller was given is in no log, and its task has ended as any other."""
    gateway.hold = UNIT / 2
    gateway.device(SERIAL).approves(after=2 * UNIT)
    handle = await session.start_sale(SERIAL, sale())
    task = sale_task()
    assert task.get_name() == f"payroc payment instruction, {SERIAL}"
    await handle.result()
    assert not task.cancelled()
    resumed = session.resume_sale(str(handle.instruction_id))
    assert sale_task().get_name() == f"payroc payment instruction, {handle.instruction_id}"
    await resumed.result()
    assert [record for record in caplog.records if record.name.startswith("payroc")] == []


async def test_p5_with_a_timeout_a_payment_that_is_never_to_be_had_has_an_end(
    gateway: Simulator,
) -> None:
    """The caller's `timeout` bounds the cardholder; the reading of the payment, `unreachable`."""
    gateway.faults.add("payment", status(503), times=None)
    timeouts = evolve(QUICK, unreachable=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        async with asyncio.timeout(250 * UNIT):
            with pytest.raises(e.OutcomeUnknownError):
                await session.run_sale(SERIAL, sale(), timeout=1000 * UNIT)


async def test_p8_the_retries_of_a_payments_reading_are_told(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Each failure on the way to the payment is a `Retrying` event, as in the steps before."""
    gateway.faults.add("payment", status(503), times=2)
    events: list[Event] = []
    await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert [type(event) for event in events] == [
        Submitted,
        Completed,
        Retrying,
        Retrying,
        ResultReceived,
    ]


@pytest.mark.parametrize("times", [3, None], ids=["back in time", "gone"])
async def test_p5_whoever_ends_all_tasks_waits_a_little_for_the_payment(
    gateway: Simulator, times: int | None
) -> None:
    """A task canceled while it reads the payment goes on, for `cancel_grace` and no longer."""
    lost = gateway.faults.add("payment", status(503), times=times)
    timeouts = evolve(QUICK, unreachable=1000 * UNIT, cancel_grace=30 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        task = sale_task()
        while not lost.hits:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=300 * UNIT)
        assert task.cancelled()
        if times is None:
            with pytest.raises(e.OutcomeUnknownError):
                await handle.result()
        else:
            assert (await handle.result()).approved


async def test_p5_a_submission_lost_for_ever_is_not_told_as_cancelled(gateway: Simulator) -> None:
    """Each try may have made an instruction: `unreachable` after the first it is unknown."""
    gateway.faults.add("submit", drop_after(), times=None)
    events: list[Event] = []
    async with stubborn(gateway, 20 * UNIT) as session, asyncio.timeout(250 * UNIT):
        with pytest.raises(e.OutcomeUnknownError):
            await session.run_sale(SERIAL, sale(), timeout=15 * UNIT, on_event=events.append)
    assert {type(event) for event in events} == {Retrying}
