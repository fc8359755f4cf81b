"""A kiosk that sells by itself: ``python examples/kiosk.py [SERIAL [CHOICE ...]]``.

No clerk is there to decide. So the kiosk stores its current order. It sells nothing while it does
not know whether a customer has paid. It refunds payments for which it gave no goods. When it starts
after a power cut, it cancels the interrupted sale, because that customer has left, and refunds what
was paid.

The choices are arguments here; a real kiosk has a touch screen. On the simulator it serves three
customers, after one whose sale was interrupted by a power cut. For real, set ``KIOSK_DATA`` to a
folder on a local disk. On SIGTERM it ends after the running sale. Needs Unix signals.

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
"""How often, and at which interval in seconds, to ask for an outcome before giving up."""
NOTHING_TAKEN = (Outcome.DECLINED, Outcome.REFERRED, Outcome.PICK_UP)


def new_key() -> str:
    """Return a new idempotency key."""
    return str(uuid4())


@frozen
class Order:
    """The current order, and the keys of its sale and refund."""

    order_id: str
    choice: str
    sale_key: str = field(factory=new_key)
    undo_key: str = field(factory=new_key)


class Notepad:
    """Stores the current order on disk until it is finished, across power cuts."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "order.json"

    def write(self, order: Order) -> None:
        """Store the order; it is on disk when this returns."""
        fresh = self._file.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump(asdict(order), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)

    def read(self) -> Order | None:
        """Return the unfinished order, if any."""
        return Order(**json.loads(self._file.read_text())) if self._file.exists() else None

    def clear(self) -> None:
        """Remove the finished order."""
        self._file.unlink()


class OutOfOrder(Exception):
    """The kiosk needs a person's attention."""


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
        """Serve one customer, with one card or two.

        Raises:
            OutOfOrder: The outcome is unknown, or the payment can't be refunded.
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
        """Run a sale, and return its payment; None if there is none."""
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
            # After the goods are out: after a power cut in between, the customer gets a refund, and
            # the kiosk does not give out goods twice.
            self._notepad.clear()
        elif payment.outcome not in NOTHING_TAKEN:
            await self.settle()
        return payment

    async def settle(self) -> None:
        """Finish the interrupted order: end its sale, and refund a payment without goods.

        Raises:
            OutOfOrder: This is not possible now.
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
        """Whether the order is finished: its sale has ended, and a payment was refunded."""
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
    """Script the simulator: a customer who paid during the power cut, and three later ones."""
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
    """Return the kiosk's journal, not yet opened."""
    return SQLiteJournal(folder / "payroc.journal")


async def main(folder: Path, serial_number: str, choices: list[str]) -> int:
    """Finish the interrupted order, then serve the customers."""
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
