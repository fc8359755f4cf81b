"""The till's tests: without an account, a network or a device."""

import pytest
from till import Till

from payroc_async import PayrocSession
from payroc_async.simulator import Device, drop_after
from payroc_async.testing import PayrocGateway


@pytest.fixture
def till(payroc_session: PayrocSession, payroc_device: Device) -> Till:
    return Till(payroc_session, payroc_device.serial_number)


async def test_declined(till: Till, payroc_device: Device) -> None:
    payroc_device.declines()
    assert await till.sell("Lunch-1", "49.99") == "declined"


async def test_answer_lost(till: Till, payroc_gateway: PayrocGateway) -> None:
    payroc_gateway.faults.add("submit", drop_after())
    assert await till.sell("Lunch-1", "49.99") == "approved"
    assert payroc_gateway.amounts_on(till.device) == [4999]  # the customer is charged once


async def test_red_key(till: Till, payroc_device: Device) -> None:
    payroc_device.cardholder_cancels(after=0.05)
    assert (await till.sell("Lunch-1", "49.99")).startswith("no money moved: ")
