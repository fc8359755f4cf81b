"""The till on the web, with FastAPI: ``python examples/pos/fastapi_backend.py``."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse
from pos_till import Refused, Till, new_order_id, open_till
from pydantic import BaseModel

from payroc_async import ConfigurationError, DeviceBusyError, SessionClosedError

PAGE = Path(__file__).with_name("page.html")


class NewSale(BaseModel):
    """A page's request: the device, and the price as typed."""

    serial_number: str
    price: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the till open while the server runs."""
    async with open_till() as till:
        app.state.till = till
        yield


def the_till(request: Request) -> Till:
    """Return the till of this server."""
    till: Till = request.app.state.till
    return till


TheTill = Annotated[Till, Depends(the_till)]
app = FastAPI(title="Till", lifespan=lifespan)


@app.get("/")
async def page(order: str | None = None) -> Response:
    """Return the page of an order. The order is in the URL, so that a reload shows it again."""
    if not order:
        return RedirectResponse(f"/?order={new_order_id()}", status_code=303)
    return FileResponse(PAGE)


@app.get("/orders/{order_id}")
async def show(order_id: str, till: TheTill) -> dict[str, Any]:
    """Return the state of an order."""
    return await till.show(order_id)


@app.get("/orders/{order_id}/events", response_class=EventSourceResponse)
async def events(order_id: str, till: TheTill) -> AsyncIterator[dict[str, Any]]:
    """Stream the state of an order: now, and after each change. Clients may reconnect."""
    async for shown in till.watch(order_id):
        yield shown


@app.put("/orders/{order_id}/sales/{attempt}", status_code=202)
async def sell(order_id: str, attempt: int, sale: NewSale, till: TheTill) -> dict[str, Any]:
    """Start an attempt to sell the order, or return the started one. PUT is idempotent."""
    await till.sell(order_id, attempt, sale.serial_number, sale.price)
    return await till.show(order_id)


@app.delete("/orders/{order_id}/sales/{attempt}", status_code=202)
async def cancel(order_id: str, attempt: int, till: TheTill) -> dict[str, Any]:
    """Cancel a sale. Its outcome shows whether the cancellation came in time."""
    await till.cancel(order_id, attempt)
    return await till.show(order_id)


@app.exception_handler(ConfigurationError)
@app.exception_handler(Refused)
@app.exception_handler(DeviceBusyError)
@app.exception_handler(SessionClosedError)
async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer that nothing was started, with the reason."""
    statuses = {ConfigurationError: 400, SessionClosedError: 503}
    return JSONResponse({"detail": str(error)}, statuses.get(type(error), 409))


class Server(uvicorn.Server):
    """On SIGTERM, ends the pages' streams; uvicorn would wait for them forever."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then shut down as usual."""
        app.state.till.hang_up()
        await super().shutdown(sockets)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    with suppress(KeyboardInterrupt):  # uvicorn re-raises it after its shutdown
        Server(uvicorn.Config(app, host=host, port=port, access_log=False)).run()
