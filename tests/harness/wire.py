"""A server that answers by hand-written bytes, and a transport to it: no part of the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from payroc_async.config import Environment, RetryPolicy
from payroc_async.http.transport import Transport
from payroc_async.wire.protocol import Request
from tests.conftest import EAGER, QUICK

ONCE = RetryPolicy(attempts=1)
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
GET = Request("GET", "/payment-instructions/e743")
POST = Request("POST", "/devices/1850010868/payment-instructions", b'{"any":  "bytes"}', KEY)
DELETE = Request("DELETE", "/payment-instructions/e743")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Tokens:
    """A token provider that hands out canary-1, canary-2 …, a new one after each reject."""

    def __init__(self) -> None:
        self.number = 1
        self.rejected: list[str] = []

    def at_hand(self) -> str | None:
        return None

    async def get(self) -> str:
        return f"canary-{self.number}"

    def reject(self, token: str) -> None:
        self.rejected.append(token)
        if token == f"canary-{self.number}":
            self.number += 1


class Seen:
    """A request as it came over the wire."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        self.method, self.target, self.version = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in pairs}
        assert len(self.headers) == len(pairs), "a header was sent twice"
        self.body = body


Reply = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A server that keeps each request and gives the replies in order, the last one for ever."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: list[Reply] = []
        self.connections = 0
        self._open: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        base = f"http://127.0.0.1:{self.port}"
        self.environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")

    async def stop(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = Seen(head, b"")
                seen.body = await reader.readexactly(int(seen.headers.get("content-length", "0")))
                self.seen.append(seen)
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                if callable(reply):
                    await reply(writer)
                    return
                writer.write(reply)
                await writer.drain()
                if b"Content-Length" not in reply:
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()


async def opened(environment: Environment, *, direct: bool, **options: Any) -> Transport:
    """An open transport that sends directly, or through aiohttp's session."""
    transport = make(environment, retries=ONCE, **options)
    await transport.open()
    assert transport._direct is not None
    if not direct:
        transport._direct = None
    return transport


def make(environment: Environment, **options: Any) -> Transport:
    transport = Transport(environment, **{"timeouts": QUICK, "retries": EAGER, **options})
    transport.token_provider = Tokens()
    return transport
