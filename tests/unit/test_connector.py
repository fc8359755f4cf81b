"""The connection pool: whose answer a request reads, and what becomes of those that wait.

Each case is tried below aiohttp's session and through it: both take their connections there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import Any

import pytest

from payroc_async import errors as e
from payroc_async.config import Environment, Timeouts
from payroc_async.http.adapter import Connector
from payroc_async.http.transport import Transport
from payroc_async.wire.protocol import Request
from tests.conftest import UNIT
from tests.harness.wire import GET, KEY, opened

Give = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]

pytestmark = pytest.mark.parametrize("direct", [True, False], ids=["direct", "session"])


def connector_of(transport: Transport) -> Connector:
    assert transport._http is not None
    connector = transport._http.connector
    assert isinstance(connector, Connector)
    return connector


# Whose answer it is ----------


def said(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


ALIEN = said(b"alien")


async def afterwards(writer: asyncio.StreamWriter, own: bytes) -> None:
    """The connection is idle again when the second answer comes."""
    writer.write(said(own))
    await asyncio.sleep(UNIT / 4)
    writer.write(ALIEN)


async def with_the_body(writer: asyncio.StreamWriter, own: bytes) -> None:
    """In one packet with the rest of the first one: the connection is given back in between."""
    head, body = said(own).split(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    await asyncio.sleep(UNIT / 4)
    writer.write(body + ALIEN)


async def as_a_chunk(writer: asyncio.StreamWriter, own: bytes) -> None:
    """After the last chunk, in one packet with it."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(UNIT / 4)
    writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(own), own) + ALIEN)


async def begun(writer: asyncio.StreamWriter, own: bytes) -> None:
    """Only its headers: waiting for the rest would take the whole timeout."""
    writer.write(said(own))
    await asyncio.sleep(UNIT / 4)
    writer.write(ALIEN[:-3])


async def goodbye(writer: asyncio.StreamWriter, own: bytes) -> None:
    """As some proxies part from an idle connection."""
    writer.write(said(own))
    await asyncio.sleep(UNIT / 4)
    writer.write(b"HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 5\r\n\r\nalien")


class Parrot:
    """Answers each request with the last part of its path, and then with what it likes."""

    def __init__(self, give: Give) -> None:
        self.give = give
        self.connections = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self.give(writer, head.split(b" ")[1].rpartition(b"/")[2])
        writer.transport.abort()


@asynccontextmanager
async def parrot(give: Give) -> AsyncIterator[Parrot]:
    server = Parrot(give)
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("give", [afterwards, with_the_body, as_a_chunk, begun, goodbye])
async def test_a_request_never_reads_what_came_before_it(direct: bool, give: Give) -> None:
    """P1: a sale would get the outcome of another, and the next one that sale's."""
    async with parrot(give) as server:
        transport = await opened(server.environment, direct=direct)
        connector, bodies = connector_of(transport), []
        for number in range(3):
            bodies.append(
                (await transport.send(Request("POST", f"/P{number}", None, KEY), "t")).body
            )
            async with asyncio.timeout(30):
                while any(not idle._buffer for idle, _ in chain(*connector._conns.values())):
                    await asyncio.sleep(0)
        assert bodies == [b"P0", b"P1", b"P2"]
        assert server.connections == 3
        assert not connector._acquired
        await transport.close()


async def test_a_quiet_connection_is_used_again(direct: bool) -> None:
    """All of the above is for the rest."""

    async def give(writer: asyncio.StreamWriter, own: bytes) -> None:
        writer.write(said(own))

    async with parrot(give) as server:
        transport = await opened(server.environment, direct=direct)
        for _ in range(3):
            assert (await transport.send(GET, "t")).body == b"e743"
        assert server.connections == 1
        await transport.close()


# Those that wait ----------


def holding(held: list[asyncio.Event]) -> Give:
    async def give(writer: asyncio.StreamWriter, own: bytes) -> None:
        held.append(asyncio.Event())
        await held[-1].wait()
        writer.write(said(own))

    return give


@pytest.mark.parametrize("ends", ["answered", "canceled"])
async def test_one_that_is_canceled_as_its_turn_comes_passes_it_on(direct: bool, ends: str) -> None:
    """The next in line would wait for its whole timeout, with the connection free."""
    held: list[asyncio.Event] = []
    async with parrot(holding(held)) as server:
        patient = Timeouts(request=60.0)
        transport = await opened(
            server.environment, direct=direct, max_connections=1, timeouts=patient
        )
        connector = connector_of(transport)
        first, second, third = (asyncio.ensure_future(transport.send(GET, "t")) for _ in "abc")
        async with asyncio.timeout(30):
            while not held or waiting(connector) < 2:
                await asyncio.sleep(0)
            turn = next(iter(next(iter(connector._waiters.values()))))
            if ends == "answered":
                held[0].set()
            else:
                first.cancel()
            while not turn.done():
                await asyncio.sleep(0)
            second.cancel()
            while len(held) < 2:
                await asyncio.sleep(0)
            held[1].set()
            assert (await third).status == 200
        await asyncio.gather(first, return_exceptions=True)
        assert second.cancelled()
        assert not connector._acquired
        await transport.close()


def waiting(connector: Connector) -> int:
    return sum(len(waiters) for waiters in connector._waiters.values())


async def test_closing_is_no_cancellation_for_those_that_wait(direct: bool) -> None:
    """Aiohttp raises a CancelledError in them that no caller asked for: a task group hides it."""
    held: list[asyncio.Event] = []
    async with parrot(holding(held)) as server:
        transport = await opened(server.environment, direct=direct, max_connections=1)
        first, second, third = (asyncio.ensure_future(transport.send(GET, "t")) for _ in "abc")
        async with asyncio.timeout(30):
            while not held or waiting(connector_of(transport)) < 2:
                await asyncio.sleep(0)
        third.cancel()  # by its caller: that stays one
        await transport.close()
        with pytest.raises(e.SessionClosedError):
            await second
        with pytest.raises(e.TransportError):
            await first
        await asyncio.wait((third,))
        assert third.cancelled()
