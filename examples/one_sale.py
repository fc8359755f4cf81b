"""One sale on one device: ``python examples/one_sale.py [SERIAL]``.

Exits with 0 if the payment was approved in full, and with 1 in every other case.
"""

from __future__ import annotations

import asyncio
import sys

from connection import new_sale, sessions

from payroc_async import (
    Event,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    OutcomeUnknownError,
    Submitted,
)


def show(event: Event) -> None:
    """Print an event for the clerk."""
    if isinstance(event, Submitted):
        print(f"Device {event.serial_number} asks for a card ...")


async def main(serial_number: str) -> int:
    """Run the sale and print its outcome."""
    async with (
        sessions(lambda gateway: gateway.device(serial_number).approves(after=1.5)) as new_session,
        new_session() as session,
    ):
        try:
            payment = await session.run_sale(
                serial_number,
                new_sale("OrderRef6543", 4999),
                timeout=120,  # seconds that the cardholder may take
                on_event=show,
            )
        except (InstructionCanceledError, InstructionFailedError, InstructionTimeoutError) as error:
            print(f"No payment: {error}")
            return 1
        except OutcomeUnknownError as error:
            # The only error after which money may have moved: store its key and id.
            print(f"Do not charge again, resume this one: {error}")
            return 1
    paid = payment.transaction_result.authorized_amount or 0
    print(f"{payment.outcome.value}: payment {payment.payment_id}, {paid / 100:.2f} USD")
    return 0 if payment.approved else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "1850010868")))
