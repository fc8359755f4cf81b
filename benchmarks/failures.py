"""One fault in each sale, by the SDK and Payroc's client: ``python -m benchmarks.failures``.

Each fault strikes one request of a sale, the submission, the status or the payment, and only once.
Counted is how many sales end with the payment, and after how many errors the card has paid all the
same. Payroc's client (package ``payroc``) takes part where it is installed, in the plainest loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

from payroc_async import Order, PaymentInstructionRequest, PayrocSession
from payroc_async.simulator import Simulator, faults

from .loops import has

__all__ = ["main"]

SERIAL, TERMINAL, KEY = "1850010868", "1234001", "simulator-key"
REQUESTS = ("submit", "status", "payment")
FAULTS: dict[str, Callable[[], faults.FaultAction]] = {
    "connection reset before the effect": faults.drop_before,
    "connection reset after the effect": faults.drop_after,
    "answer cut off": faults.truncated,
    "500 after the effect": lambda: faults.status(500, effect=True),
    "503": lambda: faults.status(503),
    "504 by a proxy": lambda: faults.html(504),
    "408 by a proxy": lambda: faults.html(408),
    "404 by a replica that lags": lambda: faults.status(404),
    "200 by a captive portal": faults.html,
    "429": lambda: faults.rate_limited("0.2"),
    "token revoked": faults.revoke_token,
}
LATE = 0.6
"""Seconds for which a card may still pay after an error."""


async def by_sdk(simulator: Simulator) -> None:
    """One sale by ``run_sale``."""
    order = Order(order_id="OrderRef6543", amount=4999, currency="USD")
    async with PayrocSession(KEY, environment=simulator.environment) as session:
        request = PaymentInstructionRequest(processing_terminal_id=TERMINAL, order=order)
        await session.run_sale(SERIAL, request)


async def by_payroc(simulator: Simulator) -> None:
    """One sale by the generated client: submit, ask until it has ended, read the payment."""
    payroc = importlib.import_module("payroc")
    environment = importlib.import_module("payroc.environment")
    client = payroc.AsyncPayroc(
        api_key=KEY,
        environment=environment.PayrocEnvironment(
            api=f"{simulator.url}/v1", identity=simulator.url
        ),
    )
    instructions = client.payroc_cloud.payment_instructions
    instruction = await instructions.submit(
        serial_number=SERIAL,
        idempotency_key=str(uuid4()),
        processing_terminal_id=TERMINAL,
        order=payroc.PaymentInstructionOrder(order_id="OrderRef6543", amount=4999, currency="USD"),
    )
    while instruction.status == "inProgress":
        instruction = await instructions.retrieve(instruction.payment_instruction_id)
    payment_id = urlsplit(instruction.link.href).path.rpartition("/")[2]
    await client.card_payments.payments.retrieve(payment_id)


async def result(
    sell: Callable[[Simulator], Awaitable[None]], request: str, fault: faults.FaultAction
) -> tuple[str, int, float]:
    """How one sale ends: its error, if it has one; how often the card has paid; seconds."""
    async with Simulator() as simulator:
        simulator.device(SERIAL).approves(after=0.2)
        simulator.faults.add(request, fault)
        began, error = time.perf_counter(), ""
        try:
            await sell(simulator)
        except TypeError:
            raise  # of this program, not of the sale
        except Exception as raised:
            error = type(raised).__name__
        taken = time.perf_counter() - began
        if error:
            await asyncio.sleep(LATE)
        return error, len(simulator.payments), taken


async def compare() -> None:
    """Print each sale, and the sums."""
    sellers = {"payroc_async": by_sdk}
    if has("payroc"):
        sellers["payroc"] = by_payroc
    else:
        print("Payroc's client is not installed: left out")
    for name, sell in sellers.items():
        ends = []
        for request in REQUESTS:
            for fault, make in FAULTS.items():
                error, paid, taken = await result(sell, request, make())
                ends.append((error, paid))
                said = error or "the payment"
                print(f"{name}, {request}, {fault}: {said}, paid {paid} times, {taken:.1f} s")
        errors = [paid for error, paid in ends if error]
        print(
            f"{name}: {len(ends) - len(errors)} of {len(ends)} sales end with the payment; "
            f"after {sum(paid > 0 for paid in errors)} of {len(errors)} errors the card has paid; "
            f"{sum(paid > 1 for _, paid in ends)} paid twice"
        )


def main() -> None:
    """The command."""
    logging.disable(logging.CRITICAL)  # what each retry logs
    asyncio.run(compare())


if __name__ == "__main__":
    main()
