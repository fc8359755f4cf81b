"""A restart in the middle of a sale: ``python examples/detach_and_resume.py [SERIAL]``.

The first session is asked to shut down (SIGTERM) while the cardholder looks for a card. Its sale is
not canceled but left running on the device. The second session, in real life another process,
resumes the sale and gets the payment. Needs Unix signals.

Exits with 0 if the second session has the approved payment, and with 1 if not.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from connection import new_sale, sessions

from payroc_async import Event, PayrocSession, Submitted


async def before_the_restart(
    new_session: Callable[[], PayrocSession], serial_number: str, store: Callable[[str], object]
) -> None:
    """Start a sale, and receive SIGTERM before it ends."""

    def note(event: Event) -> None:
        # This event comes even if the task is canceled before the gateway has answered the
        # submission.
        if isinstance(event, Submitted) and event.instruction_id is not None:
            store(event.instruction_id)

    async with new_session() as session:
        loop = asyncio.get_running_loop()
        sale = asyncio.create_task(
            session.run_sale(
                serial_number,
                new_sale("OrderRef6543", 4999),
                on_cancel="detach",
                on_event=note,
            )
        )
        loop.add_signal_handler(signal.SIGTERM, sale.cancel)
        loop.call_later(0.8, signal.raise_signal, signal.SIGTERM)  # the operator's part
        try:
            await asyncio.wait([sale])
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
    if sale.cancelled():
        print("Asked to shut down: the sale is left running on the device")
    else:
        sale.result()  # the sale ended before the signal, successfully or not


async def after_the_restart(new_session: Callable[[], PayrocSession], instruction_id: str) -> int:
    """Resume the detached sale by its instruction's id."""
    async with new_session() as session:
        print(f"Started again: resuming instruction {instruction_id}")
        payment = await session.resume_sale(instruction_id, timeout=120).result()
    print(f"{payment.outcome.value}: payment {payment.payment_id}")
    return 0 if payment.approved else 1


async def main(serial_number: str, store: Callable[[str], object], load: Callable[[], str]) -> int:
    """Run both sessions, one after the other."""
    async with sessions(
        lambda gateway: gateway.device(serial_number).approves(after=2.0)
    ) as new_session:
        await before_the_restart(new_session, serial_number, store)
        return await after_the_restart(new_session, load())


if __name__ == "__main__":
    serial = sys.argv[1] if len(sys.argv) > 1 else "1850010868"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "instruction_id")  # stands for your database
        sys.exit(asyncio.run(main(serial, file.write_text, file.read_text)))
