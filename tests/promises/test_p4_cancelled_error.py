"""P4: a CancelledError is never swallowed or converted, and the caller's errors stay bare."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from payroc_async import InstructionFailedError, PayrocSession
from payroc_async.simulator import Simulator, delay
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import until


class OwnError(Exception):
    """An error of the caller's."""


class OwnBaseError(BaseException):
    """An error of the caller's that is no Exception."""


def polled(gateway: Simulator) -> bool:
    """Whether a status request is held."""
    return any(one.kind == "status" for one in gateway.open_requests)


def fresh(gateway: Simulator) -> PayrocSession:
    """A session that is not open yet."""
    return PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    )


async def caught(call: Any, into: list[BaseException]) -> None:
    """Keep what a call raises, and let it go on."""
    try:
        await call
    except BaseException as error:
        into.append(error)
        raise


@pytest.mark.parametrize("behaviour", ["never_finishes", "completes_on_cancel"])
@pytest.mark.parametrize("times", [1, 2])
async def test_p4_the_error_is_the_callers_own(
    gateway: Simulator, session: PayrocSession, behaviour: str, times: int
) -> None:
    """What goes on is a CancelledError itself, with the message it was sent with."""
    getattr(gateway.device(SERIAL), behaviour)()
    gateway.faults.add("cancel", delay(2 * UNIT))
    errors: list[BaseException] = []
    task = asyncio.create_task(caught(session.run_sale(SERIAL, sale()), errors))
    await until(lambda: polled(gateway))
    for number in range(times):
        task.cancel(f"shift is over {number}")
        await asyncio.sleep(UNIT / 2)
    await asyncio.wait((task,))
    assert task.cancelled()
    assert task.cancelling() == times
    (error,) = errors
    assert type(error) is asyncio.CancelledError
    assert error.args == (f"shift is over {times - 1}",)
    assert error.__cause__ is None


@pytest.mark.parametrize("awaited", ["result", "cancel"])
async def test_p4_a_handle_raises_it_too(
    gateway: Simulator, session: PayrocSession, awaited: str
) -> None:
    """Also where the sale has ended in an error meanwhile, the cancellation comes first."""
    gateway.device(SERIAL).fails(after=UNIT)
    handle = await session.start_sale(SERIAL, sale())
    with pytest.raises(InstructionFailedError):
        await handle.result()
    errors: list[BaseException] = []
    task = asyncio.create_task(caught(getattr(handle, awaited)(), errors))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(error) for error in errors] == [asyncio.CancelledError]


async def test_p4_closing_raises_it_too(gateway: Simulator) -> None:
    """``aclose()`` that is canceled is finished, and ends as canceled."""
    gateway.device(SERIAL).never_finishes()
    session = await fresh(gateway).open()
    await session.start_sale(SERIAL, sale())
    gateway.faults.add("cancel", delay(2 * UNIT))
    errors: list[BaseException] = []
    task = asyncio.create_task(caught(session.aclose(), errors))
    await asyncio.sleep(UNIT)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(error) for error in errors] == [asyncio.CancelledError]
    assert gateway.in_progress == []
    assert " closed," in repr(session)


@pytest.mark.parametrize(
    "error", [OwnError(), OwnBaseError(), asyncio.CancelledError("mine"), GeneratorExit()]
)
@pytest.mark.parametrize("running", [False, True])
async def test_p4_the_callers_errors_come_out_bare(
    gateway: Simulator, error: BaseException, running: bool
) -> None:
    """What is raised inside ``async with session`` comes out as the same object, in no group."""
    gateway.device(SERIAL).never_finishes()

    async def body() -> None:
        async with fresh(gateway) as session:
            if running:
                await session.start_sale(SERIAL, sale())
            raise error

    with pytest.raises(type(error)) as raised:
        await body()
    assert raised.value is error
    assert raised.value.__context__ is None
    assert gateway.in_progress == []


async def test_p4_cancelled_inside_the_session(gateway: Simulator) -> None:
    """A body that is canceled closes its session, sales of other tasks included."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", delay(2 * UNIT))
    errors: list[BaseException] = []

    async def body() -> None:
        async with fresh(gateway) as session:
            await session.start_sale(SERIAL, sale())
            await asyncio.Event().wait()

    task = asyncio.create_task(caught(body(), errors))
    await until(lambda: polled(gateway))
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(error) for error in errors] == [asyncio.CancelledError]
    assert gateway.in_progress == []


async def test_p4_a_sales_error_is_bare(gateway: Simulator, session: PayrocSession) -> None:
    """The errors of sales come alone too, each from its own sale."""
    for serial in ("1", "2"):
        gateway.device(serial).fails(f"error {serial}", after=UNIT)
    results = await asyncio.gather(
        *(session.run_sale(serial, sale()) for serial in ("1", "2")), return_exceptions=True
    )
    assert [type(result) for result in results] == [InstructionFailedError] * 2
    assert [getattr(result, "error_message", None) for result in results] == ["error 1", "error 2"]


async def test_p4_a_group_around_sales_holds_the_callers_error_alone(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The sales that a failing neighbour cancels add nothing to its group."""
    serials = ("1", "2", "3")
    for serial in serials:
        gateway.device(serial).never_finishes()
    error = OwnError()

    async def fail() -> None:
        await until(lambda: len(gateway.in_progress) == len(serials))
        raise error

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            for serial in serials:
                tasks.create_task(session.run_sale(serial, sale()))
            tasks.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        await group()
    assert raised.value.exceptions == (error,)
    assert gateway.in_progress == []
