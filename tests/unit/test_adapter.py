"""The canary of `http/adapter.py`: what it takes from the inner workings of aiohttp.

A release of aiohttp that changes one of them fails here, with a sentence that says what to look at.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
from collections.abc import AsyncIterator
from http.cookies import BaseCookie
from typing import Any

import aiohttp
import pytest
from aiohttp.connector import Connection
from yarl import URL

from payroc_async import errors as e
from payroc_async.http.adapter import (
    DEPARTURE,
    Departure,
    NoCookies,
    SingleRequest,
    SingleResponse,
    broken,
)
from tests.conftest import UNIT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"


class Server:
    """Answers the first request of a connection, and breaks the connection at the second."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer = OK
        self.breaks = True
        self.resets = False
        """Breaks by a TCP reset, in the client an OSError, in place of an orderly end."""
        self.gone = asyncio.Event()
        """The client's side of a connection has ended."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

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
        answered = 0
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if self.breaks and answered:
                    return
                writer.write(self.answer)
                answered += 1
        except (OSError, asyncio.IncompleteReadError):
            self.gone.set()
        finally:
            self._tasks.discard(task)
            if self.resets:
                linger = struct.pack("ii", 1, 0)
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


def client(**options: Any) -> aiohttp.ClientSession:
    """A session as the transport makes it."""
    own = {
        "request_class": SingleRequest,
        "response_class": SingleResponse,
        "cookie_jar": NoCookies(),
    }
    return aiohttp.ClientSession(**{**own, **options})


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


# What is overridden exists, and is called as it was ----------


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (aiohttp.ClientRequest.send, ["self", "conn"]),
        (aiohttp.ClientResponse.start, ["self", "connection"]),
        (aiohttp.ClientResponse.close, ["self"]),
        (aiohttp.DummyCookieJar.filter_cookies, ["self", "request_url"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_aiohttp_still_has_the_methods_that_the_adapter_overrides(
    function: Any, expected: list[str]
) -> None:
    """An override that aiohttp calls otherwise, or no more, would do nothing without a word."""
    name = function.__qualname__
    assert parameters(function) == expected, (
        f"aiohttp {aiohttp.__version__} takes other arguments in {name}: "
        f"read how it is called now, and follow in http/adapter.py"
    )
    owner = {"ClientRequest": SingleRequest, "ClientResponse": SingleResponse}
    ours = owner.get(name.split(".")[0], NoCookies)
    own = getattr(ours, function.__name__)
    assert own is not function, f"http/adapter.py overrides {name} no more: why is it tested?"
    assert parameters(own) == expected


def test_send_and_start_are_still_coroutines_and_close_is_not() -> None:
    """The adapter returns the coroutine of `send`, awaits `start`, and calls `close`."""
    sentence = f"aiohttp {aiohttp.__version__} has made another kind of function of"
    assert inspect.iscoroutinefunction(aiohttp.ClientRequest.send), f"{sentence} send"
    assert inspect.iscoroutinefunction(aiohttp.ClientResponse.start), f"{sentence} start"
    assert not inspect.iscoroutinefunction(aiohttp.ClientResponse.close), f"{sentence} close"


def test_a_connection_still_shows_its_transport() -> None:
    """`close` aborts it: over TLS anything gentler waits for the other side's goodbye."""
    assert isinstance(inspect.getattr_static(Connection, "transport"), property), (
        f"aiohttp {aiohttp.__version__} has no Connection.transport: "
        "find out how SingleResponse.close can abort a connection now"
    )
    assert isinstance(inspect.getattr_static(aiohttp.ClientResponse, "connection"), property), (
        f"aiohttp {aiohttp.__version__} has no ClientResponse.connection: "
        "find out how SingleResponse.close can reach its connection now"
    )


# What they do, against a real server ----------


async def test_aiohttp_calls_send_in_the_context_of_the_request(server: Server) -> None:
    """`DEPARTURE` is set there: in another context, a request would not show that it left."""
    departure = Departure()
    DEPARTURE.set(departure)
    async with client() as http:
        await (await http.get(server.url)).read()
    assert departure.happened, (
        f"aiohttp {aiohttp.__version__} does not call ClientRequest.send in the context that makes "
        "the request: a request that left would pass for one that did not (money may move twice)"
    )


async def test_a_request_without_a_departure_is_sent_as_well(server: Server) -> None:
    """As those of a test, or of a caller's who uses the classes."""
    assert DEPARTURE.get() is None
    async with client() as http:
        await (await http.get(server.url)).read()
    assert server.requests == 1


async def test_a_request_that_waits_for_a_connection_has_not_been_sent(server: Server) -> None:
    """`send` comes after the connection: before, nothing has left."""
    server.answer = BEGUN
    async with client(connector=aiohttp.TCPConnector(limit=1)) as http:
        held = await http.get(server.url)
        departure, checks = Departure(), []
        DEPARTURE.set(departure)
        waiting = asyncio.create_task(http.get(server.url), name="waiting")
        await asyncio.sleep(UNIT)
        checks.append(departure.happened)
        held.close()
        (await waiting).close()
        checks.append(departure.happened)
        assert checks == [False, True], (
            f"aiohttp {aiohttp.__version__} calls ClientRequest.send before there is a connection"
        )
        assert server.requests == 2


@pytest.mark.parametrize("resets", [False, True], ids=["ended", "reset"])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_p8_nothing_is_repeated_with_our_classes(
    server: Server, method: str, resets: bool
) -> None:
    """On a kept connection that breaks, one request leaves, and the error is one of ours."""
    server.resets = resets
    async with client() as http:
        await (await http.get(server.url)).read()
        with pytest.raises(e.TransportError) as caught:
            await http.request(method, server.url)
    assert server.requests == 2, (
        f"aiohttp {aiohttp.__version__} repeats a {method} by itself in spite of SingleResponse"
    )
    assert caught.value.request_sent


async def test_aiohttp_repeats_a_get_by_itself_without_our_class(server: Server) -> None:
    """The reason for `SingleResponse.start`."""
    async with client(response_class=aiohttp.ClientResponse) as http:
        await (await http.get(server.url)).read()
        answer = await http.get(server.url)
        assert answer.status == 200
        await answer.read()
    assert server.requests == 3, (
        f"aiohttp {aiohttp.__version__} repeats a GET by itself no more: "
        "SingleResponse.start may go, once the oldest aiohttp that we allow does the same"
    )


async def test_a_response_that_is_given_up_ends_its_connection(server: Server) -> None:
    """P2 stands on this: `close` in the middle of a body ends the connection at once.

    Over TLS, where it has to be aborted, `test_tls.py` shows it.
    """
    server.answer = BEGUN
    async with client() as http:
        response = await http.get(server.url)
        assert response.connection is not None
        transport = response.connection.transport
        assert transport is not None
        response.close()
        assert transport.is_closing()
        assert response.closed
        async with asyncio.timeout(1.0):
            await server.gone.wait()
        response.close()  # and once more, without its connection


async def test_a_session_asks_the_cookie_jar_and_keeps_nothing() -> None:
    """A session asks the jar for each request: the answer is the same empty object."""
    jar = NoCookies()
    jar.update_cookies({"a": "b"}, URL("http://localhost/"))
    first, second = (jar.filter_cookies(URL(f"http://localhost/{n}")) for n in range(2))
    assert isinstance(first, BaseCookie)
    assert first is second
    assert not first, f"aiohttp {aiohttp.__version__} writes into what filter_cookies returns"
    assert list(jar) == []


async def test_an_answer_writes_nothing_into_the_shared_cookies(server: Server) -> None:
    """One object serves all requests: what one answer sets must not reach the next request.

    What a caller gives with `cookies=` would reach it, so the transport never gives any.
    """
    server.answer = OK.replace(b"200 OK", b"200 OK\r\nSet-Cookie: a=b")
    server.breaks = False
    jar = NoCookies()
    async with client(cookie_jar=jar) as http:
        for _ in range(2):
            await (await http.get(server.url.replace("127.0.0.1", "localhost"))).read()
    assert server.requests == 2
    assert not jar.filter_cookies(URL(server.url)), (
        f"aiohttp {aiohttp.__version__} writes into what NoCookies.filter_cookies returns: "
        "it must return a new object each time"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (aiohttp.ClientOSError(104, "reset by peer"), "reset by peer"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_broken_connection_says_why_and_may_have_been_sent(error: Exception, text: str) -> None:
    """Without a text of its own an error is named by its class."""
    told = broken(error)
    assert text in str(told)
    assert told.request_sent
