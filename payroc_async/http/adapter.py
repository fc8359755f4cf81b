"""Everything that leans on the inner workings of aiohttp.

Its canary is `tests/unit/test_adapter.py`.
"""

from __future__ import annotations

from contextvars import ContextVar
from http.cookies import BaseCookie
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from .failures import broken

__all__ = ["DEPARTURE", "Departure", "NoCookies", "SingleRequest", "SingleResponse", "broken"]


class NoCookies(aiohttp.DummyCookieJar):
    """Keeps no cookie, and says so with one object for all requests."""

    def __init__(self) -> None:
        super().__init__()
        self._none: BaseCookie[str] = BaseCookie()

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """No cookie."""
        return self._none


class Departure:
    """Whether a request has got a connection, and may have left on it."""

    happened = False  # of the class: an instance costs nothing more until it has


DEPARTURE: ContextVar[Departure | None] = ContextVar("payroc departure", default=None)
"""Of the request in flight. Small: a connection keeps the context that it was opened in."""


class SingleRequest(aiohttp.ClientRequest):
    """A request that says when it leaves: before, it waits for a connection and does nothing."""

    def send(self, conn: Connection) -> Any:
        """Send the request on its connection."""
        departure = DEPARTURE.get()
        if departure is not None:
            departure.happened = True
        return super().send(conn)  # no coroutine around it: there are three in every sale


class SingleResponse(aiohttp.ClientResponse):
    """A response that comes of a request sent once, and is given up at once when it is given up."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the status line and the headers."""
        # aiohttp repeats a GET or DELETE by itself when its connection breaks, on its own errors
        # alone. Retries are ours: counted, reported and delayed.
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            failure = broken(error)
            failure.__cause__ = error if isinstance(error, OSError) else None
        raise failure  # outside of the handler: what it came from may quote the answer

    def close(self) -> None:
        """Close the connection at once."""
        # Over TLS, closing waits up to 30 s for the other side's goodbye; until then a middle-box
        # sees no end of the connection and keeps the status request open at the gateway (P2).
        connection = self.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        super().close()
