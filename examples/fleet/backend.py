"""One backend of a fleet, with FastAPI: ``PORT=8001 python examples/fleet/backend.py``.

Any number of backends share one PostgreSQL database, and each can run sales on any device. A till
stores a sale's key with its order before it sends the sale. It repeats the sale under the same key,
to any backend, until it knows the outcome. Settings: ``PAYROC_API_KEY``, ``PAYROC_ENVIRONMENT`` and
``PAYROC_JOURNAL`` (a ``postgresql://`` URL), ``PAYROC_TERMINAL``, ``PORT``, ``RECOVER_EVERY``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from payroc_async import (
    ConfigurationError,
    DeviceBusyError,
    InstructionError,
    Order,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Recovered,
    Recovery,
)
from payroc_async.journal import EntryState, Journal, journal_at

TERMINAL = os.environ.get("PAYROC_TERMINAL", "1234001")
RECOVER_EVERY = float(os.environ.get("RECOVER_EVERY", "5"))
"""Seconds within which a dead backend's sales are recovered here."""
CARDHOLDER_MAY_TAKE = 120.0
"""Seconds. nginx.conf waits for longer."""

logger = logging.getLogger("fleet")


class NewSale(BaseModel):
    """A till's request, repeated under its key until the outcome is known."""

    key: UUID
    serial_number: str
    order_id: str
    amount: int
    """In cents."""


class Backend:
    """The state that the handlers share.

    Args:
        session: The session of the process.
        journal: The session's journal, which also has the other backends' sales.
    """

    def __init__(self, session: PayrocSession, journal: Journal) -> None:
        self.session = session
        self.journal = journal
        self.selling = 0

    async def sell(self, sale: NewSale) -> JSONResponse:
        """Run a sale, join a running one, or resume one that a dead backend left."""
        self.selling += 1
        try:
            payment = await self.session.run_sale(
                sale.serial_number,
                PaymentInstructionRequest(
                    processing_terminal_id=TERMINAL,
                    order=Order(order_id=sale.order_id, amount=sale.amount, currency="USD"),
                ),
                idempotency_key=sale.key,
                timeout=CARDHOLDER_MAY_TAKE,
                on_cancel="detach",
            )
        finally:
            self.selling -= 1
        return known(payment)

    async def show(self, key: UUID) -> JSONResponse:
        """Return the outcome of a sale, whichever backend ran it."""
        entry = await self.journal.get(str(key))
        canceled = entry is not None and entry.state is EntryState.CANCELED
        if entry is None or (canceled and entry.instruction_id is None):
            # No payment so far: the till repeats the sale under its key. A request for the sale may
            # still be waiting in a stopped process.
            return JSONResponse({"outcome": None, "reason": "not sent"}, 404)
        if entry.resource_id is not None:
            return known(await self.session.payments.retrieve(entry.resource_id))
        if entry.state is EntryState.UNKNOWN:  # money may have moved: for a person to look at
            return JSONResponse({"outcome": "unknown"})
        if not entry.unfinished:
            return JSONResponse({"outcome": "none", "reason": entry.state.value})
        return JSONResponse({"outcome": None}, 202)


def known(payment: Payment) -> JSONResponse:
    """Return a payment's data for the till."""
    return JSONResponse({"outcome": payment.outcome.value, "payment": payment.payment_id})


def log_recovered(found: Recovered) -> None:
    """Log the outcome of a recovered sale."""
    what = f"{found.entry.kind} on {found.entry.serial_number}"
    logger.info("%s a %s: it is %s", found.action, what, found.state)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the session open while the server runs."""
    journal = journal_at(os.environ["PAYROC_JOURNAL"])
    recovery = Recovery(interval=RECOVER_EVERY, on_recovered=log_recovered)
    async with PayrocSession.from_env(journal=journal, recovery=recovery) as session:
        app.state.backend = Backend(session, journal)
        yield


def the_backend(request: Request) -> Backend:
    """Return the backend of this process."""
    backend: Backend = request.app.state.backend
    return backend


TheBackend = Annotated[Backend, Depends(the_backend)]
app = FastAPI(title="Fleet", lifespan=lifespan)


@app.post("/sales", response_model=None)
async def sell(sale: NewSale, backend: TheBackend) -> Response:
    """Run a sale. 202: ask for it. 503: send it again under its key."""
    return await backend.sell(sale)


@app.get("/sales/{key}", response_model=None)
async def show(key: UUID, backend: TheBackend) -> Response:
    """Return the outcome of a sale. 202: it has not ended. 404: send it."""
    return await backend.show(key)


@app.get("/health")
async def health(backend: TheBackend) -> dict[str, Any]:
    """For the deploy script: this backend takes sales."""
    return {"process": os.getpid(), "selling": backend.selling}


@app.exception_handler(PayrocError)
async def explain(_: Request, error: Exception) -> JSONResponse:
    """Return the answer to an error: its kind decides what the till does next."""
    if isinstance(error, OutcomeUnknownError):  # also of a sale that is left running
        return JSONResponse({"outcome": None, "reason": str(error)}, 202)
    if isinstance(error, InstructionError):
        return JSONResponse({"outcome": "none", "reason": str(error)})
    status = 503  # no money moved by this call; another backend may succeed
    if isinstance(error, ConfigurationError):
        status = 400
    elif isinstance(error, DeviceBusyError):
        status = 409
    return JSONResponse({"outcome": None, "reason": str(error)}, status)


class Server(uvicorn.Server):
    """On SIGTERM, detaches the sales, so that their handlers answer and uvicorn can end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the session, then shut down as usual."""
        closing = asyncio.create_task(app.state.backend.session.aclose())
        await super().shutdown(sockets)
        await closing


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    port = int(os.environ.get("PORT", "8001"))
    with suppress(KeyboardInterrupt):  # uvicorn re-raises it after its shutdown
        Server(uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False)).run()
