"""One process of the fleet: takes sales over HTTP, runs them, and recovers what others have left.

``python -m tests.fleet.backend``, configured by environment variables.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal

import aiohttp
from aiohttp import web

from payroc_async import (
    DeviceBusyError,
    Environment,
    InstructionError,
    OutcomeUnknownError,
    PayrocError,
    PayrocSession,
    Recovery,
    RetryPolicy,
    Timeouts,
)
from payroc_async.journal import EntryState, Journal, journal_at
from tests.conftest import sale

__all__ = ["NAME_HEADER"]

NAME_HEADER = "x-process"
"""Says in each request to the gateway which process sends it."""
TIMEOUTS = Timeouts(hold=5, hold_margin=5, poll_interval=0.1, cancel_grace=5)
RETRIES = RetryPolicy(initial=0.1, maximum=2)
CARDHOLDER_MAY_TAKE = 60.0


class Backend:
    """``POST /sales`` runs a sale; ``GET /sales/KEY`` says what any process knows of one."""

    def __init__(self, session: PayrocSession, journal: Journal) -> None:
        self._session = session
        self._journal = journal

    async def sell(self, request: web.Request) -> web.Response:
        """Run a sale. What is not known yet is to be asked for under its key."""
        order = await request.json()
        try:
            payment = await self._session.run_sale(
                order["serial_number"],
                sale(order["amount"], order["key"][:24]),
                idempotency_key=order["key"],
                timeout=CARDHOLDER_MAY_TAKE,
                on_cancel="detach",
            )
        except DeviceBusyError as error:
            return web.json_response({"state": "busy", "reason": str(error)}, status=409)
        except OutcomeUnknownError as error:
            return web.json_response({"state": "ask", "reason": str(error)}, status=202)
        except InstructionError as error:
            return web.json_response({"state": "none", "reason": str(error)})
        except PayrocError as error:
            return web.json_response({"state": "ask", "reason": str(error)}, status=503)
        return web.json_response({"state": "paid", "payment": payment.payment_id})

    async def name(self, _: web.Request) -> web.Response:
        """Which process this is."""
        return web.Response(text=os.environ["FLEET_NAME"])

    async def show(self, request: web.Request) -> web.Response:
        """What the journal has."""
        try:
            entry = await self._journal.get(request.match_info["key"])
        except PayrocError as error:
            return web.json_response({"state": "ask", "reason": str(error)}, status=503)
        sent = entry is not None and not (
            entry.state is EntryState.CANCELED and entry.instruction_id is None
        )
        if entry is None or not sent:
            # Not by the call that has written this: another one under the key may be on its way.
            return web.json_response({"state": "unsent"}, status=404)
        if entry.unfinished:
            state = "unknown" if entry.state.value == "unknown" else "ask"
            return web.json_response({"state": state}, status=202)
        if entry.resource_id is None:
            return web.json_response({"state": "none", "reason": entry.state.value})
        return web.json_response({"state": "paid", "payment": entry.resource_id})


async def main() -> None:
    """Serve until SIGTERM, which leaves the sales running for the others."""
    faulthandler.register(signal.SIGUSR1)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Nothing is ever written there: it can be read when the other end is gone.
    loop.add_reader(0, os._exit, 1)
    variables = os.environ
    journal = journal_at(variables["FLEET_JOURNAL"])
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={NAME_HEADER: variables["FLEET_NAME"]},
        ) as http,
        PayrocSession(
            variables["FLEET_API_KEY"],
            environment=Environment(
                api_url=variables["FLEET_API_URL"], identity_url=variables["FLEET_IDENTITY_URL"]
            ),
            timeouts=TIMEOUTS,
            retries=RETRIES,
            journal=journal,
            recovery=Recovery(interval=float(variables["FLEET_INTERVAL"])),
            http_session=http,
        ) as session,
    ):
        backend = Backend(session, journal)
        app = web.Application()
        app.add_routes(
            [
                web.get("/name", backend.name),
                web.post("/sales", backend.sell),
                web.get("/sales/{key}", backend.show),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", int(variables["FLEET_PORT"]), reuse_address=True)
        await site.start()
        await stop.wait()
        await site.stop()
        await session.aclose()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
