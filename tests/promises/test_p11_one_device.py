"""P11: a device is one device."""

from __future__ import annotations

import asyncio

import pytest

from payroc_async import (
    ConflictError,
    DeviceBusyError,
    InstructionFailedError,
    PayrocError,
    PayrocSession,
)
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, UNIT, sale


async def test_p11_a_double_click_is_not_a_second_charge(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The second sale on a device is refused before anything is sent, the first goes on."""
    gateway.device(SERIAL).approves(after=2 * UNIT)
    results = await asyncio.gather(
        session.run_sale(SERIAL, sale()), session.run_sale(SERIAL, sale()), return_exceptions=True
    )
    assert isinstance(results[1], DeviceBusyError)
    assert results[1].serial_number == SERIAL
    assert not isinstance(results[0], BaseException)
    assert len(gateway.requests_of("submit")) == 1


@pytest.mark.parametrize("script", ["approves", "declines", "fails", "cardholder_cancels"])
async def test_p11_the_device_is_free_once_its_sale_has_ended(
    gateway: Simulator, session: PayrocSession, script: str
) -> None:
    """However a sale ends, the next one may begin at once."""
    getattr(gateway.device(SERIAL), script)()
    for _ in range(3):
        try:
            await session.run_sale(SERIAL, sale())
        except PayrocError as error:
            assert isinstance(error, PayrocError) and not isinstance(error, DeviceBusyError)  # noqa: PT017, PT018
    assert len(gateway.instructions) == 3


async def test_p11_the_device_is_free_after_a_refusal(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A submission that the gateway refuses does not keep the device."""
    gateway.device(SERIAL).is_offline()
    for _ in range(2):
        with pytest.raises(ConflictError):
            await session.run_sale(SERIAL, sale())


async def test_p11_the_device_is_busy_until_the_cancellation_is_known(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Another sale is refused while the one before it is still being canceled."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    cancelling = asyncio.create_task(handle.cancel())
    await asyncio.sleep(0)
    with pytest.raises(DeviceBusyError):
        await session.run_sale(SERIAL, sale())
    await cancelling
    gateway.device(SERIAL).fails()
    with pytest.raises(InstructionFailedError):
        await session.run_sale(SERIAL, sale())


async def test_p11_other_devices_are_not_concerned(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Sales on different devices run at once."""
    gateway.device("one").never_finishes()
    await session.start_sale("one", sale(), on_cancel="cancel")
    assert (await session.run_sale("two", sale())).approved
