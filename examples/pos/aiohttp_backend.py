"""The till on the web, with aiohttp: ``python examples/pos/aiohttp_backend.py``."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp_sse import sse_response
from pos_till import Refused, Till, new_order_id, open_till

from payroc_async import ConfigurationError, DeviceBusyError, SessionClosedError

PAGE = Path(__file__).with_name("page.html")
TILL = web.AppKey("till", Till)
routes = web.RouteTableDef()


@routes.get("/")
async def page(request: web.Request) -> web.StreamResponse:
    """Return the page of an order. The order is in the URL, so that a reload shows it again."""
    if not request.query.get("order"):
        raise web.HTTPSeeOther(f"/?order={new_order_id()}")
    return web.FileResponse(PAGE)


@routes.get("/orders/{order_id}")
async def show(request: web.Request) -> web.Response:
    """Return the state of an order."""
    return web.json_response(await request.app[TILL].show(request.match_info["order_id"]))


@routes.get("/orders/{order_id}/events")
async def events(request: web.Request) -> web.StreamResponse:
    """Stream the state of an order: now, and after each change. Clients may reconnect."""
    async with (
        sse_response(request) as stream,
        aclosing(request.app[TILL].watch(request.match_info["order_id"])) as watching,
    ):
        with suppress(ConnectionResetError, TimeoutError):
            async for shown in watching:
                await stream.send(json.dumps(shown))
    return stream


@routes.put(r"/orders/{order_id}/sales/{attempt:\d+}")
async def sell(request: web.Request) -> web.Response:
    """Start an attempt to sell the order, or return the started one. PUT is idempotent."""
    till, order_id = request.app[TILL], request.match_info["order_id"]
    sale = await request.json()
    try:
        serial_number, price = sale["serial_number"], sale["price"]
    except (KeyError, TypeError) as error:
        raise ConfigurationError("body", "must have serial_number and price") from error
    await till.sell(order_id, int(request.match_info["attempt"]), serial_number, price)
    return web.json_response(await till.show(order_id), status=202)


@routes.delete(r"/orders/{order_id}/sales/{attempt:\d+}")
async def cancel(request: web.Request) -> web.Response:
    """Cancel a sale. Its outcome shows whether the cancellation came in time."""
    till, order_id = request.app[TILL], request.match_info["order_id"]
    await till.cancel(order_id, int(request.match_info["attempt"]))
    return web.json_response(await till.show(order_id), status=202)


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer that nothing was started, with the reason."""
    try:
        return await handler(request)
    except (ConfigurationError, json.JSONDecodeError) as error:
        return web.json_response({"detail": str(error)}, status=400)
    except (Refused, DeviceBusyError) as error:
        return web.json_response({"detail": str(error)}, status=409)
    except SessionClosedError as error:
        return web.json_response({"detail": str(error)}, status=503)


async def with_till(app: web.Application) -> AsyncIterator[None]:
    """Keep the till open while the server runs."""
    async with open_till() as till:
        app[TILL] = till
        yield


async def hang_up(app: web.Application) -> None:
    """On SIGTERM, ends the pages' streams; aiohttp would wait for them forever."""
    app[TILL].hang_up()


app = web.Application(middlewares=[refusals])
app.add_routes(routes)
app.cleanup_ctx.append(with_till)
app.on_shutdown.append(hang_up)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    web.run_app(app, host=host, port=port, access_log=None)
