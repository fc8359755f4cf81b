"""A deploy in the middle of a sale: ``python examples/rolling_deploy.py``.

A POS server takes orders from tills over HTTP and runs their sales. A new version is deployed while
a cardholder still looks for a card. The old server receives SIGTERM: it leaves its sale running on
the device, releases it in the journal, and answers the till to retry. The new server finds the sale
in the journal, resumes it, and has its payment when the till retries.

This program plays the gateway, the deployment and the till; the two servers are separate processes.
For real, run ``python rolling_deploy.py serve`` under your supervisor, with
``PAYROC_API_KEY``, ``PAYROC_ENVIRONMENT``, ``PAYROC_TERMINAL``, ``PAYROC_JOURNAL`` and ``PORT``
set, behind a proxy that sends tills to the newest one that is ready. On one machine the journal is
a file on a local disk; for more, a ``postgresql://`` URL. Give a server more time to stop than
``Timeouts.cancel_grace``. Killed outright it leaves the same behind, but for its answer to the
till. Needs Unix signals.

Exits with 0 if the new server has the approved payment, and with 1 if not.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from connection import TERMINAL, new_sale

from payroc_async import (
    InstructionError,
    OutcomeUnknownError,
    Payment,
    PayrocError,
    PayrocSession,
    Recovered,
    Recovery,
)
from payroc_async.journal import EntryState, Journal, journal_at
from payroc_async.simulator import Simulator

RECOVER_EVERY = float(os.environ.get("RECOVER_EVERY", "15"))
"""Seconds between recoveries. One at startup is not enough: the old server may still run then."""
PATIENCE = 30.0
"""Seconds for the whole demonstration: it must end even if a server does not start."""
SERIAL = "1850010868"

# The server ----------


def say(text: str) -> None:
    """Print and flush, also into a pipe."""
    print(text, flush=True)


def told(payment: Payment) -> web.Response:
    """Return a payment's data for the till."""
    return web.json_response({"outcome": payment.outcome.value, "payment": payment.payment_id})


class Server:
    """The tills' API: ``POST /sales`` runs a sale, ``GET /sales/KEY`` returns its outcome.

    The till creates the key and stores it with its order, so that it can always ask. Outcomes are
    stored only in the journal.
    """

    def __init__(self, session: PayrocSession, journal: Journal) -> None:
        self._session = session
        self._journal = journal

    async def sell(self, request: web.Request) -> web.Response:
        """Run a sale. 202: ask again, perhaps another server, under the key."""
        order = await request.json()
        try:
            payment = await self._session.run_sale(
                order["serial_number"],
                new_sale(order["order_id"], order["amount"]),
                idempotency_key=order["key"],
                timeout=120,
                on_cancel="detach",
            )
        except OutcomeUnknownError:  # also of a sale that is left running
            return web.json_response({"outcome": None}, status=202)
        except InstructionError as error:
            return web.json_response({"outcome": "none", "reason": str(error)})
        except PayrocError as error:
            # No money moved by this call: the till may retry under its key.
            return web.json_response({"outcome": None, "reason": str(error)}, status=503)
        return told(payment)

    async def show(self, request: web.Request) -> web.Response:
        """Return the outcome of a sale, whichever server ran it. 202: the sale has not ended."""
        try:
            entry = await self._journal.get(request.match_info["key"])
            if entry is None:  # no payment so far: the till may run the sale again under its key
                return web.json_response({"outcome": None, "reason": "not sent"}, status=404)
            if entry.resource_id is not None:
                return told(await self._session.payments.retrieve(entry.resource_id))
        except PayrocError as error:
            return web.json_response({"outcome": None, "reason": str(error)}, status=503)
        if entry.state is EntryState.UNKNOWN:  # money may have moved: for a person to look at
            return web.json_response({"outcome": "unknown"})
        if not entry.unfinished:
            return web.json_response({"outcome": "none", "reason": entry.state.value})
        return web.json_response({"outcome": None}, status=202)


def say_recovered(found: Recovered) -> None:
    """Print a recovered sale of a previous server."""
    what = f"{found.entry.kind} on {found.entry.serial_number}"
    say(f"{found.action} a {what}: {found.entry.state} and now {found.state}")


async def serve() -> None:
    """One server, until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = journal_at(os.environ["PAYROC_JOURNAL"])
    recovery = Recovery(interval=RECOVER_EVERY, on_recovered=say_recovered)
    async with PayrocSession.from_env(journal=journal, recovery=recovery) as session:
        server = Server(session, journal)
        app = web.Application()
        app.add_routes([web.post("/sales", server.sell), web.get("/sales/{key}", server.show)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", int(os.environ.get("PORT", "0")))
        await site.start()
        say(f"listening on {runner.addresses[0][1]}")
        await stop.wait()
        say("asked to stop: running sales stay on their devices")
        await site.stop()
        # Detach the sales before closing connections, so that their handlers can answer.
        await session.aclose()
        await runner.cleanup()


# The deployment, the till and the gateway ----------


@asynccontextmanager
async def server_process(
    name: str, variables: dict[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.Future[str]]]:
    """Start a server, and yield its URL once it listens; print its other output under its name."""
    others = {key: value for key, value in os.environ.items() if "PAYROC" not in key}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, "serve"),
        env=others | variables,
        stdout=asyncio.subprocess.PIPE,
    )
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def listen() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            said = line.decode().rstrip()
            if url.done():
                say(f"{name} server: {said}")
            else:
                url.set_result(f"http://127.0.0.1:{said.split()[-1]}")
        if not url.done():
            url.set_exception(RuntimeError(f"the {name} server did not start"))

    listening = asyncio.create_task(listen())
    try:
        yield process, url
    finally:
        if process.returncode is None:
            process.terminate()
            killing = asyncio.get_running_loop().call_later(PATIENCE, process.kill)
            await process.wait()
            killing.cancel()
        await listening


async def ask_again(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Play the till: poll until there is an outcome."""
    while True:
        async with http.get(url) as answer:
            if answer.status == 200:
                result: dict[str, Any] = await answer.json()
                return result
        await asyncio.sleep(0.1)


async def deploy(gateway: Simulator, folder: str) -> int:
    """Start a sale at the old server, and ask for its outcome at the new one."""
    gateway.device(SERIAL).approves(after=1.0)
    variables = {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
        "PAYROC_JOURNAL": str(Path(folder, "till.journal")),
        "PAYROC_TERMINAL": TERMINAL,
        "RECOVER_EVERY": "0.1",
        "PORT": "0",
    }
    order = {"key": str(uuid4()), "serial_number": SERIAL, "order_id": "Order-1", "amount": 4999}
    async with (
        server_process("old", variables) as (old, old_ready),
        server_process("new", variables) as (_, new_ready),
        aiohttp.ClientSession() as http,
    ):
        old_url, new_url = await old_ready, await new_ready
        say("till: a sale of 49.99 USD")
        selling = asyncio.create_task(http.post(f"{old_url}/sales", json=order))
        while not gateway.in_progress:  # noqa: ASYNC110 - no event informs it
            await asyncio.sleep(0.01)
        say("the device asks for a card; the old server is asked to stop")
        old.send_signal(signal.SIGTERM)
        async with await selling as answer:
            say(f"till: the old server says {answer.status}, asking the new one")
        result = await ask_again(http, f"{new_url}/sales/{order['key']}")
    outcome, charged = result["outcome"], len(gateway.payments)
    say(f"till: {outcome}, payment {result.get('payment')}; the cardholder paid {charged} time(s)")
    return 0 if outcome == "approved" and charged == 1 else 1


async def main() -> int:
    """Play the deployment, on a simulated gateway."""
    async with Simulator() as gateway:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(PATIENCE):
                return await deploy(gateway, folder)


if __name__ == "__main__":
    sys.exit(asyncio.run(serve() if sys.argv[1:] == ["serve"] else main()))
