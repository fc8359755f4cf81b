"""Everything that leans on the inner workings of aiohttp.

Its canary is `tests/unit/test_adapter.py`.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from http.cookies import BaseCookie
from inspect import signature
from types import FunctionType
from typing import Any, NamedTuple

import aiohttp
from aiohttp import http_writer
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from yarl import URL

from payroc_async.errors import SessionClosedError

from .failures import broken

__all__ = [
    "CAN_SEND_DIRECTLY",
    "DEPARTURE",
    "Connector",
    "Departure",
    "DirectResponse",
    "DirectSender",
    "NoCookies",
    "SingleRequest",
    "SingleResponse",
    "broken",
]


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


class Connector(aiohttp.TCPConnector):
    """A pool that hands out no connection with an answer on it, and forgets no waiting request."""

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """A connection that no answer waits on."""
        while True:
            try:
                connection = await super().connect(*args, **options)
            except BaseException as error:
                # It may have been woken for a connection that it does not take now.
                getattr(self, "_release_waiter", lambda: None)()
                task = asyncio.current_task()
                canceled = task is None or task.cancelling()
                if self.closed and not canceled and isinstance(error, asyncio.CancelledError):
                    # aiohttp ends what waits for a connection as if the caller had canceled it.
                    raise SessionClosedError("the connections were closed meanwhile") from None
                raise
            # aiohttp queues an answer that comes between two requests, and would give it to the
            # next one: a sale would get the outcome of another.
            if not getattr(connection.protocol, "_buffer", None):
                return connection
            _abort(connection)


class DirectResponse(NamedTuple):
    """What the transport reads of a response. Mostly, its end gives the connection back."""

    status: int
    headers: Mapping[str, str]
    content: StreamReader
    connection: Connection

    def close(self) -> None:
        """Close the connection at once, unless it was given back."""
        _abort(self.connection)


class DirectSender:
    """Sends requests to one origin on a session's connections, without the session's methods.

    Those would add three quarters to what a request costs. Not through a proxy.

    Args:
        http: The session.
        origin: Where the requests go.
        headers: What all of them carry.
        ssl: The TLS context; True for aiohttp's own.
        limits: The bounds of an answer's headers.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        origin: URL,
        headers: dict[str, str],
        ssl: ssl_module.SSLContext | bool,
        limits: Mapping[str, Any],
    ) -> None:
        self._http = http
        self._limits = limits
        # All that the connector asks of a request is the same for all.
        self._example = aiohttp.ClientRequest("GET", origin, headers=headers, ssl=ssl)
        own = self._example.headers.items()
        # The session puts a request's own headers between these.
        self._first = {name: value for name, value in own if name in ("Host", *headers)}
        self._last = {name: value for name, value in own if name not in self._first}

    def is_possible(self) -> bool:
        """Whether it would pass by nothing of the application's: no mock, trace or middleware."""
        http, kind = self._http, type(self._http)
        # Not whether they are equal: a wrapper says that it equals what it wraps.
        untouched = (
            getattr(kind, "request", None) is _REQUEST
            and getattr(kind, "_request", None) is _INNER_REQUEST
            and aiohttp.ClientRequest.send is _SEND
        )
        return untouched and not (http.trace_configs or http._middlewares)

    async def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
        departure: Departure,
    ) -> DirectResponse:
        """The response to one request, of which the status line and the headers are read."""
        assert self._http.connector is not None
        headers = {**self._first, **headers, **self._last}
        if body is not None or method != "GET":
            headers["Content-Length"] = str(len(body or b""))
        connection = await self._http.connector.connect(self._example, [], timeout)
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None or not protocol.is_connected():
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(read_until_eof=True, **self._limits)
            departure.happened = True
            # All at once: an answer may come before the body is read. The bytes hold the token, and
            # must not stay in a frame.
            line = f"{method} {path} HTTP/1.1"
            protocol.transport.write(b"".join((_serialize(line, headers), body or b"")))
            while True:
                head, content = await protocol.read()
                if head.code == 101 or not 100 <= head.code < 200:
                    # Another protocol's, or one with a body that has not left, is closed after it.
                    if not (protocol.upgraded or protocol.writing_paused):
                        content.on_eof(connection.release)  # which closes it if it is of no use
                    return DirectResponse(head.code, head.headers, content, connection)
        except BaseException:
            _abort(connection)
            raise


def _abort(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


def _takes(function: Callable[..., object], *names: str) -> bool:
    return {*names} <= signature(function).parameters.keys()


_serialize: Any = getattr(http_writer, "_serialize_headers", None)
_REQUEST: Any = aiohttp.ClientSession.request
_INNER_REQUEST: Any = getattr(aiohttp.ClientSession, "_request", None)
_SEND: Any = aiohttp.ClientRequest.send

CAN_SEND_DIRECTLY = (
    # A wrapper may pass for a function, with all its attributes.
    all(
        type(method) is FunctionType and method.__globals__ is vars(module)
        for method, module in (
            (_REQUEST, aiohttp.client),
            (_INNER_REQUEST, aiohttp.client),
            (_SEND, aiohttp.client_reqrep),
        )
    )
    and _takes(aiohttp.ClientRequest, "method", "url", "headers", "ssl")
    and _takes(aiohttp.TCPConnector.connect, "req", "traces", "timeout")
    and _takes(ResponseHandler.set_response_params, "read_until_eof", "max_headers")
    and callable(_serialize)
    and aiohttp.__version__.startswith("3.14.")
)
"""Whether this aiohttp has what `DirectSender` needs, and no tool has changed it."""
