"""The callers: each sale goes to a process at random, and is asked for until it is known."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import UUID

import aiohttp
from attrs import define, field

from payroc_async.simulator import Simulator

from .processes import Member

__all__ = ["Sale", "Tills"]

ANSWER_WITHIN = 10.0
"""Seconds after which a caller asks another process."""


@define(eq=False)
class Sale:
    """One sale as its caller sees it.

    Attributes:
        said: ``paid``, ``none``, ``busy`` or ``unknown``, once its caller knows.
        payment: The payment's id, where it is paid.
        abandoned: Whether a request to sell was not answered: it may be served later.
        asked: What was asked of which process, and what it said.
    """

    key: str
    serial_number: str
    amount: int
    said: str = ""
    payment: str | None = None
    abandoned: bool = False
    asked: list[str] = field(factory=list)


@define
class Tills:
    """All devices, each with sale after sale.

    Args:
        gateway: Where the devices are.
        members: To whom the sales are sent.
        http: Over what.
        rng: Decides all that is left to chance.
        pace: Seconds that a cardholder takes, on average.
        rivals: The share of the sales that a second one on the same device competes with.
    """

    gateway: Simulator
    members: list[Member]
    http: aiohttp.ClientSession
    rng: random.Random
    pace: float
    rivals: float
    sales: list[Sale] = field(factory=list)
    closing: bool = False

    async def run(self, devices: int) -> None:
        """Sell on all devices until they are to close, and each caller knows its outcome."""
        async with asyncio.TaskGroup() as tills:
            for number in range(devices):
                tills.create_task(self._sell_on(f"device{number}"))

    async def _sell_on(self, serial_number: str) -> None:
        await asyncio.sleep(self.rng.uniform(0, self.pace))
        while not self.closing:
            self._script(serial_number)
            rivals = 2 if self.rng.random() < self.rivals else 1
            await asyncio.gather(*(self._sell(serial_number) for _ in range(rivals)))
            await asyncio.sleep(self.rng.uniform(0, self.pace / 5))

    def _script(self, serial_number: str) -> None:
        device = self.gateway.device(serial_number)
        after, chance = self.rng.uniform(0, 2 * self.pace), self.rng.random()
        if chance < 0.1:
            device.declines(after=after)
        elif chance < 0.15:
            device.fails(after=after)
        else:
            device.approves(after=after)

    async def _sell(self, serial_number: str) -> None:
        key = str(UUID(int=self.rng.getrandbits(128), version=4))
        sale = Sale(key, serial_number, self.rng.randint(1, 9999))
        self.sales.append(sale)
        send = True
        while not sale.said:
            answer = await self._ask(sale, send=send)
            state = answer.get("state")
            # Only what no process has in the journal is sent again, under its key.
            # So is one that another sale kept off its device, if a request of it may yet be served.
            send = state == "unsent" or (state == "busy" and sale.abandoned)
            if not send and state in ("paid", "none", "busy", "unknown"):
                sale.said, sale.payment = state, answer.get("payment")
            else:
                await asyncio.sleep(self.rng.uniform(0.1, 0.5))

    async def _ask(self, sale: Sale, *, send: bool) -> dict[str, Any]:
        """What a process says, if it answers."""
        member = self.rng.choice(self.members)
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
        body = {"key": sale.key, "serial_number": sale.serial_number, "amount": sale.amount}
        request = (
            self.http.post(member.url, json=body, timeout=timeout)
            if send
            else self.http.get(f"{member.url}/{sale.key}", timeout=timeout)
        )
        try:
            async with request as answer:
                found: dict[str, Any] = await answer.json()
        except (TimeoutError, aiohttp.ClientError) as error:
            sale.abandoned = sale.abandoned or send
            found = {"error": repr(error)}
        sale.asked.append(f"{member.name} {'POST' if send else 'GET'}: {found}")
        return found
