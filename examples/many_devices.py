"""Sales on many devices at once: ``python examples/many_devices.py [SERIAL ...]``.

A ``TaskGroup`` cancels all its tasks as soon as one of them raises. Here, one device without paper
would cancel the sales of all cardholders. So each task handles the errors of its own sale, and only
a bug in the program reaches the group.

Exits with 0 if the outcome of every sale is known, and with 1 if one is not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from connection import new_sale, sessions

from payroc_async import OutcomeUnknownError, PayrocError, PayrocSession
from payroc_async.simulator import Device, Simulator

SERIALS = [f"18500108{number:02}" for number in range(1, 13)]

PATIENCE = 120.0 if os.environ.get("PAYROC_API_KEY") else 4.0
"""Seconds that a cardholder may take."""

SCRIPTS: list[Callable[[Device], Device]] = [
    lambda device: device.approves(after=0.8),
    lambda device: device.declines(after=1.1),
    lambda device: device.approves_partially(1000, after=1.4),
    lambda device: device.fails("Out of paper", after=0.3),
    lambda device: device.cardholder_cancels(after=0.9),
    lambda device: device.never_finishes(),
]


def script(gateway: Simulator) -> None:
    """Script the cardholders at the simulator's devices."""
    for number, serial_number in enumerate(SERIALS):
        SCRIPTS[number % len(SCRIPTS)](gateway.device(serial_number))


async def sell(session: PayrocSession, serial_number: str) -> bool:
    """Run one sale and handle its errors; return whether its outcome is known."""
    try:
        payment = await session.run_sale(
            serial_number, new_sale(f"Order-{serial_number}", 4999), timeout=PATIENCE
        )
    except OutcomeUnknownError as error:
        print(f"{serial_number}  OUTCOME UNKNOWN: {error}")
        return False
    except PayrocError as error:
        # The error concerns only this device, and no money moved.
        print(f"{serial_number}  no payment: {error}")
    else:
        print(f"{serial_number}  {payment.outcome.value}, payment {payment.payment_id}")
    return True


async def main(serial_numbers: list[str]) -> int:
    """Run all sales concurrently, in one session."""
    async with sessions(script) as new_session, new_session() as session:
        async with asyncio.TaskGroup() as group:
            sales = [group.create_task(sell(session, serial)) for serial in serial_numbers]
        known = sum(sale.result() for sale in sales)
    print(f"{known} of {len(sales)} outcomes known")
    return 0 if known == len(sales) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:] or SERIALS)))
