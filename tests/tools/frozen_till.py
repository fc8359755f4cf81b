"""A till as PyInstaller freezes it, which does what loads something late.

``tests.tools.frozen`` runs it.

It imports nothing of the tests, prints a line for each thing that works, and ends with the first
that does not.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import aiohttp

from payroc_async import (
    Amount,
    Order,
    PaymentInstructionRequest,
    PayrocSession,
    RefundInstructionRequest,
    RefundOrder,
    SignatureInstructionRequest,
)
from payroc_async.cli import main as command_line
from payroc_async.journal import PostgresJournal, SQLiteJournal
from payroc_async.otel import OpenTelemetry
from payroc_async.simulator import Simulator
from payroc_async.testing import PayrocGateway

DEVICE = "1850010868"
TERMINAL = "1234001"
STATIC = (
    *("style.css", "device.css", "gateway.css"),
    *("link.js", "device.js", "keys.js", "signature.js"),
    *("gateway.js", "log.js", "wire.js", "curl.js"),
)
PAGES = (f"/device/{DEVICE}", "/gateway", *(f"/static/{name}" for name in STATIC))


def done(*what: object) -> None:
    """Print it at once, so that what comes after it is known if the program ends."""
    print(*what, flush=True)


async def sell(session: PayrocSession) -> None:
    """Each kind of instruction, a receipt, a search, and a sale that is canceled."""
    order = Order(order_id="O1", amount=Amount.parse("49.99", "USD"))
    request = PaymentInstructionRequest(processing_terminal_id=TERMINAL, order=order)
    payment = await session.run_sale(DEVICE, request)
    assert payment.approved
    receipt = payment.receipt(merchant=["Shop"]).text(32)
    assert "49.99 USD" in receipt, receipt
    done("sale", Amount(payment.order.amount or 0, "USD"))
    refund = await session.run_refund(
        DEVICE,
        RefundInstructionRequest(
            processing_terminal_id=TERMINAL,
            order=RefundOrder(order_id="R1", amount=500, currency="JPY", description="Back"),
        ),
    )
    assert "500 JPY" in refund.receipt(merchant=["Shop"]).text(32)
    done("refund")
    asked = SignatureInstructionRequest(processing_terminal_id=TERMINAL)
    assert (await session.capture_signature(DEVICE, asked)).image
    done("signature")
    found = [one.payment_id async for one in session.payments.search(limit=1)]
    assert found == [payment.payment_id]
    done("search")


async def cancel(gateway: Simulator, session: PayrocSession) -> None:
    """Cancel a sale in the way that loads anyio's backend."""
    gateway.device(DEVICE).never_finishes()
    order = Order(order_id="O2", amount=100, currency="USD")
    request = PaymentInstructionRequest(processing_terminal_id=TERMINAL, order=order)
    sale = asyncio.create_task(session.run_sale(DEVICE, request))
    while not gateway.in_progress:
        await asyncio.sleep(0.01)
    sale.cancel()
    await asyncio.wait([sale])
    assert sale.cancelled()
    assert not gateway.in_progress
    done("cancellation")


async def browse(url: str) -> None:
    """Every page and what belongs to it, and what a page is sent."""
    async with aiohttp.ClientSession(url) as browser:
        for path in PAGES:
            async with browser.get(path) as answer:
                assert answer.status == 200, path
                assert await answer.read(), path
        async with browser.ws_connect(f"/device/{DEVICE}/socket", origin=url) as socket:
            assert (await socket.receive_json())["device"]
    done("pages")


async def main() -> None:
    """All of it, on a simulated gateway."""
    place = Path(tempfile.mkdtemp(), "till.db")
    with PayrocGateway() as served:
        await browse(served.url)
    async with (
        Simulator() as gateway,
        PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            journal=SQLiteJournal(place),
            telemetry=OpenTelemetry(),
        ) as session,
    ):
        await sell(session)
        await cancel(gateway, session)
        unfinished = [one async for one in session.recover(on_found="finish")]
        assert unfinished == []
    assert repr(PostgresJournal("postgresql://till@db/tills")).endswith("host=db dbname=tills>")
    done("journals")


def command(*arguments: str) -> None:
    """Run the command line that is frozen with the till."""
    sys.argv[1:] = arguments
    code: object = None
    try:
        command_line()
    except SystemExit as ended:
        code = ended.code
    assert not code, (arguments, code)
    done("command", arguments[0])


if __name__ == "__main__":
    asyncio.run(main())
    sum_ = ("--amount", "49.99", "--currency", "USD", "--order-id", "O3")
    command("sale", DEVICE, "--terminal", TERMINAL, *sum_, "--simulator")
    command("demo", "--devices", "2", "--pace", "0.05")
    command("--help")
    done("all of it")
