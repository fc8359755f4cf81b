"""A kiosk that sells by itself: ``python examples/kiosk.py [SERIAL [CHOICE ...]]``.

No one stands beside it who could judge. So it keeps what it is in the middle of; it sells nothing
more while it does not know whether somebody has paid; and what it took without giving the goods, it
gives back. When it starts after a power cut it cancels the sale that it was in, for that customer
has left, and gives back what was paid all the same.

Where a real one has a screen to touch, the choices are arguments here. On the simulator it serves
three customers, after one who was struck by a power cut. For real, set ``KIOSK_DATA`` to a folder
on a local disk. On SIGTERM it ends after the sale that runs. Needs Unix signals.

Exits with 0 when everybody is served, and with 1 if it is out of order.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from attrs import asdict, field, frozen
from connection import new_sale, sessions

from payroc_async import (
    JournalError,
    Outcome,
    OutcomeUnknownError,
    Payment,
    PayrocError,
    PayrocSession,
)
from payroc_async.journal import Journal, SQLiteJournal
from payroc_async.simulator import Simulator

MENU = {"coffee": 350, "tea": 300, "cake": 550}  # cents
PATIENCE = 60.0
"""Seconds for a card: others wait."""
CARDS = 2
"""How many cards a customer may try."""
TRIES, PAUSE = 10, 6.0
"""How often, and after how many seconds, it asks what became of a sale before it gives up."""
NOTHING_TAKEN = (Outcome.DECLINED, Outcome.REFERRED, Outcome.PICK_UP)


def new_key() -> str:
    """An idempotency key."""
    return str(uuid4())


@frozen
class Order:
    """What the kiosk is in the middle of: an order, and the keys of what it does for it."""

    order_id: str
    choice: str
    sale_key: str = field(factory=new_key)
    undo_key: str = field(factory=new_key)


class Notepad:
    """Keeps the one order on disk until it is settled. After a power cut it is still there."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "order.json"

    def write(self, order: Order) -> None:
        """Keep it: on disk when this returns."""
        fresh = self._file.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(asdict(order), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)

    def read(self) -> Order | None:
        """What is not settled yet."""
        return Order(**json.loads(self._file.read_text())) if self._file.exists() else None

    def clear(self) -> None:
        """It is settled."""
        self._file.unlink()


class OutOfOrder(Exception):
    """A person has to look at the kiosk."""


class Kiosk:
    """One device, one customer at a time."""

    def __init__(
        self, session: PayrocSession, journal: Journal, notepad: Notepad, serial_number: str
    ) -> None:
        self._session = session
        self._journal = journal
        self._notepad = notepad
        self._serial_number = serial_number

    async def serve(self, choice: str) -> None:
        """One customer, with one card or two.

        Raises:
            OutOfOrder: It is not known whether the customer has paid, or can't be given back.
        """
        for card in range(1, CARDS + 1):
            order = Order(f"Kiosk-{uuid4().hex[:10]}-{card}", choice)
            self._notepad.write(order)  # before anything is sent
            payment = await self._charge(order)
            if payment is None or payment.outcome not in NOTHING_TAKEN:
                return
            self._notepad.clear()
            print(f"{choice}: {payment.outcome.value}. Another card?")

    async def _charge(self, order: Order) -> Payment | None:
        """The payment; None if the customer has none that needs an answer here."""
        try:
            payment = await self._session.run_sale(
                self._serial_number,
                new_sale(order.order_id, MENU[order.choice]),
                idempotency_key=order.sale_key,
                timeout=PATIENCE,
            )
        except (OutcomeUnknownError, JournalError) as error:
            print(f"{order.choice}: please wait ({error})")
            await self.settle()
            return None
        except PayrocError as error:  # after every other one, no money has moved
            self._notepad.clear()
            print(f"{order.choice}: no sale, {error}")
            return None
        if payment.approved:
            print(payment.receipt().text(32))
            print(f"{order.choice}: here you are")  # the goods come out
            # Only now: struck by a power cut in between, it gives the money back, and not the goods
            # for nothing twice.
            self._notepad.clear()
        elif payment.outcome not in NOTHING_TAKEN:
            await self.settle()
        return payment

    async def settle(self) -> None:
        """End what the kiosk was in the middle of: nothing stays open, nothing is kept unearned.

        Raises:
            OutOfOrder: That can't be done now.
        """
        for last_try in [False] * (TRIES - 1) + [True]:
            try:
                async for found in self._session.recover("cancel", resubmit=True):
                    print(f"{found.action} what was running: {found.state}")
                order = self._notepad.read()
                if order is None or await self._give_back(order):
                    return
            except PayrocError as error:
                print(f"not settled yet: {error}")
            if not last_try:
                await asyncio.sleep(PAUSE)
        raise OutOfOrder("it is not known whether a customer has paid")

    async def _give_back(self, order: Order) -> bool:
        """Whether the order is settled: it has ended, and what was paid is given back."""
        entry = await self._journal.get(order.sale_key)
        if entry is not None and entry.resource_id is not None:
            payment = await self._session.payments.retrieve(entry.resource_id)
            given_back = payment.receipt().reversed or payment.refunds
            if payment.outcome not in NOTHING_TAKEN and not given_back:
                undone = await self._session.payments.undo(
                    payment, description="No goods", idempotency_key=order.undo_key
                )
                print(f"{order.choice}: {payment.outcome.value}, and {undone.how}. Sorry")
        elif entry is not None and entry.state not in ("failed", "canceled"):
            return False
        self._notepad.clear()
        return True


# The world around it ----------


async def power_cut(gateway: Simulator, serial_number: str, folder: Path) -> None:
    """The simulator's part: a customer who has paid as the power went, and three who come after."""
    device = gateway.device(serial_number)
    device.completes_on_cancel()
    order = Order("Kiosk-before", "tea")
    Notepad(folder).write(order)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal_in(folder)
    ) as session:
        await session.start_sale(
            serial_number,
            new_sale(order.order_id, MENU[order.choice]),
            idempotency_key=order.sale_key,
            on_cancel="detach",
        )
    device.approves(after=0.2)
    device.declines(after=0.2).approves(after=0.2, card="amex")
    device.approves_partially(100, after=0.2)


def journal_in(folder: Path) -> Journal:
    """The kiosk's journal, not yet opened."""
    return SQLiteJournal(folder / "payroc.journal")


async def main(folder: Path, serial_number: str, choices: list[str]) -> int:
    """Settle what was left, and serve anyone who comes."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    journal = journal_in(folder)
    async with (
        sessions(lambda gateway: power_cut(gateway, serial_number, folder)) as new_session,
        new_session(journal=journal) as session,
    ):
        kiosk = Kiosk(session, journal, Notepad(folder), serial_number)
        try:
            await kiosk.settle()
            for choice in choices:
                if stop.is_set():
                    break
                await kiosk.serve(choice)
        except OutOfOrder as error:
            print(f"Out of order: {error}")
            return 1
    return 0


if __name__ == "__main__":
    serial = sys.argv[1] if len(sys.argv) > 1 else "1850010868"
    with tempfile.TemporaryDirectory() as nowhere:
        place = Path(os.environ.get("KIOSK_DATA") or nowhere)
        sys.exit(asyncio.run(main(place, serial, sys.argv[2:] or ["coffee", "tea", "cake"])))
