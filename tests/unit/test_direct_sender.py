"""Requests sent without aiohttp's session: what leaves and what comes back is the same as with it.

Each case is tried both ways, over sockets, against answers of hand-written bytes.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib.util
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses

from payroc_async import errors as e
from payroc_async.config import Timeouts
from payroc_async.http import adapter
from payroc_async.wire.protocol import Answer, Request
from tests.conftest import UNIT, MockedResponse
from tests.harness.wire import DELETE, GET, KEY, OK, POST, Wire, make, opened

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ZIPPED = gzip.compress(b'{"a": 1}')
ANSWERS = {
    "plain": OK,
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "no content, with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "not modified": b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "after several 1xx": b"HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 Y\r\nLink: <x>\r\n\r\n" + OK,
    "only 1xx": b"HTTP/1.1 103 Y\r\n\r\n",
    "switching": b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n\0\0",
    "chunked": CHUNKED + b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nTrailer: x\r\n\r\n",
    "cut chunk": CHUNKED + b"9\r\n{",
    "bad chunk": CHUNKED + b"z\r\n{",
    "compressed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
    % (len(ZIPPED), ZIPPED),
    "damaged": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "other coding": b"HTTP/1.1 200 OK\r\nContent-Encoding: x\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "HTTP/1.0, kept": b"HTTP/1.0 200 X\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\n{}",
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "refused": b"HTTP/1.1 400 X\r\nContent-Length: 2\r\n\r\n{}",
    "unauthorized": b"HTTP/1.1 401 X\r\nContent-Length: 2\r\n\r\n{}",
    "redirect": b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 2\r\n\r\n{}",
    "a cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}",
    "more than its length": OK + b"more",
    "two answers": OK + OK,
    "cut body": b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{",
    "cut headers": b"HTTP/1.1 200 OK\r\nContent-",
    "no HTTP": b"\x15\x03\x01\x00\x02\x02\x28",
    "a bad header": b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 600 + b"\r\n",
    "below 100": b"HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\n{}",
    "nothing": b"",
}


async def outcome(sending: Awaitable[Answer]) -> object:
    """All that a caller can see of it."""
    try:
        answer = await sending
    except e.PayrocError as error:
        cause = error.__cause__
        return (
            type(error),
            str(error),
            getattr(error, "request_sent", None),
            type(cause),
            str(cause),
        )
    headers = [pair for pair in answer.headers.items() if pair[0] != "Date"]
    return answer.status, headers, answer.body


def piecewise(reply: bytes, size: int) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """Write it in pieces, each in a packet of its own, and close the connection."""

    async def give(writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            for start in range(0, len(reply), size):
                writer.write(reply[start : start + size])
                await writer.drain()
                await asyncio.sleep(0)

    return give


# What leaves ----------

REQUESTS = {
    "GET": GET,
    "GET with a query": Request("GET", "/payments?cardholderName=Sarah%20H%2e&limit=10"),
    "POST": POST,
    "POST without a body": Request("POST", "/payments/M2/reverse", None, KEY),
    "PUT": Request("PUT", "/processing-terminals/1/devices/2", b"{}", KEY),
    "DELETE": DELETE,
    "an id of other letters": Request("GET", "/payments/%E2%82%AC~!$&'()*+,;=:@"),
}


@pytest.mark.parametrize("name", list(REQUESTS))
async def test_the_same_leaves_both_ways(wire: Wire, name: str) -> None:
    """The line, each header in its order, and the body, byte for byte."""
    for direct in (True, False):
        transport = await opened(wire.environment, direct=direct)
        for _ in range(2):  # on a new connection, and on a kept one
            await transport.send(REQUESTS[name], "canary-1")
        await transport.close()
    first, *others = [
        (s.method, s.target, s.version, [*s.headers.items()], s.body) for s in wire.seen
    ]
    assert len(others) == 3
    assert all(other == first for other in others)
    assert wire.connections == 2


# What comes back ----------


@pytest.mark.parametrize("size", [1_000_000, 7], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name", list(ANSWERS))
async def test_the_same_is_understood_both_ways(wire: Wire, name: str, size: int) -> None:
    """An answer, or an error of the same class, with the same words and the same `request_sent`."""
    wire.replies = [piecewise(ANSWERS[name], size)]
    seen = []
    for direct in (True, False):
        transport = await opened(wire.environment, direct=direct)
        seen.append(await outcome(transport.send(POST, "canary-1")))
        await transport.close()
    assert seen[0] == seen[1]


# Of the others the server has to close the connection, or they would not end.
ENDED = [name for name, reply in ANSWERS.items() if b"Content-Length: 2\r" in reply]


@pytest.mark.parametrize("name", ENDED)
async def test_a_connection_is_kept_or_closed_as_the_session_does(wire: Wire, name: str) -> None:
    """Where more came than the answer, the next request must not read it."""
    counts, seen = [], []
    for direct in (True, False):
        before = wire.connections
        wire.replies = [ANSWERS[name], OK]
        transport = await opened(wire.environment, direct=direct)
        seen.append([await outcome(transport.send(each, "canary-1")) for each in (POST, GET)])
        counts.append(wire.connections - before)
        await transport.close()
    assert seen[0] == seen[1]
    assert counts[0] == counts[1]


async def test_an_answer_is_read_before_the_body_has_left(wire: Wire) -> None:
    """A server that refuses a large body without reading it is understood."""
    gone = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        await gone.wait()
        writer.transport.abort()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1000)
    wire.port = server.sockets[0].getsockname()[1]
    wire.environment = type(wire.environment)(
        api_url=f"http://127.0.0.1:{wire.port}/v1", identity_url="http://127.0.0.1:1/authorize"
    )
    transport = await opened(wire.environment, direct=True)
    large = Request("POST", "/payments", b"x" * 30_000_000, KEY)
    assert (await transport.send(large, "t")).status == 413
    gone.set()
    await transport.close()
    server.close()


async def test_a_connection_is_not_kept_for_the_rest_of_a_body(wire: Wire) -> None:
    """What is left of one that was refused unread would hold up the next request."""
    connections = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\n{}")
            await gone.wait()
        writer.transport.abort()

    gone = asyncio.Event()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1000)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    wire.environment = type(wire.environment)(api_url=base + "/v1", identity_url=base)
    large = Request("POST", "/payments", b"x" * 30_000_000, KEY)
    transport = await opened(wire.environment, direct=True)
    for _ in range(2):
        assert (await transport.send(large, "t")).status == 413
    await transport.close()
    gone.set()
    server.close()
    assert connections == 2


# Whether it has left ----------


async def test_what_waits_for_a_connection_has_not_been_sent(wire: Wire) -> None:
    """The pool's only connection is busy: the second request does not leave, and says so."""
    held = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(OK)

    wire.replies = [hold]
    timeouts = Timeouts(request=5 * UNIT)
    transport = await opened(wire.environment, direct=True, max_connections=1, timeouts=timeouts)
    first = asyncio.ensure_future(transport.send(GET, "t", held=True))
    while not wire.seen:
        await asyncio.sleep(0)
    with pytest.raises(e.RequestTimeoutError, match="no connection in time") as caught:
        await transport.send(POST, "t")
    assert not caught.value.request_sent
    held.set()
    await first
    await transport.close()
    assert len(wire.seen) == 1


@pytest.mark.parametrize("cut", ["timeout", "cancellation"])
async def test_a_request_that_is_given_up_ends_its_connection(wire: Wire, cut: str) -> None:
    """P2: a status request that was given up does not go on at the gateway."""
    ended = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            writer.write(b"HTTP/1.1 102 X\r\n\r\n")
            await asyncio.sleep(0.01)
        ended.set()

    wire.replies = [OK, hold]
    request = 60.0 if cut == "cancellation" else 5 * UNIT
    transport = await opened(wire.environment, direct=True, timeouts=Timeouts(request=request))
    await transport.send(GET, "t", held=True)  # on its connection the next one leaves at once
    sending = asyncio.ensure_future(transport.send(POST, "t"))
    while len(wire.seen) < 2:
        await asyncio.sleep(0)
    if cut == "cancellation":
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    else:
        with pytest.raises(e.RequestTimeoutError) as caught:
            await sending
        assert caught.value.request_sent
    await asyncio.wait_for(ended.wait(), 30)
    await transport.close()


# Nothing of the application's is passed by ----------


async def test_a_mock_of_aiohttp_gets_the_requests(wire: Wire) -> None:
    """Also one that begins when the session is open already, and only as long as it lasts."""
    transport = await opened(wire.environment, direct=True)
    url = f"{wire.environment.api_url}{GET.path}"
    with aioresponses() as mock:
        mock.get(url, status=202, body="{}", response_class=MockedResponse)
        assert (await transport.send(GET, "t")).status == 202
    assert wire.seen == []
    assert (await transport.send(GET, "t")).status == 200
    assert len(wire.seen) == 1
    await transport.close()


@pytest.mark.parametrize("method", ["request", "_request"])
async def test_a_replaced_method_of_the_session_is_called(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """As instrumentation does it."""
    transport = await opened(wire.environment, direct=True)
    real, calls = getattr(aiohttp.ClientSession, method), []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, method, wrapped)
    await transport.send(GET, "t")
    assert len(calls) == 1
    await transport.close()


class Wrapper:
    """As instrumentation does it that wants to pass for what it wraps: attributes, equality."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped, self.calls = wrapped, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    def __eq__(self, other: object) -> bool:
        return bool(self.wrapped == other)

    def __hash__(self) -> int:
        return hash(self.wrapped)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return self.wrapped(instance, *args, **kwargs)

        return call


async def test_a_wrapper_that_equals_what_it_wraps_is_called(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sale goes missing in the application's traces."""
    transport = await opened(wire.environment, direct=True)
    wrapper = Wrapper(aiohttp.ClientSession._request)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", wrapper)
    await transport.send(GET, "t")
    assert wrapper.calls == 1
    await transport.close()


def test_a_wrapper_that_was_there_first_is_no_function_of_aiohttp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tools that start the program wrap before anything else is imported."""
    wrapper = Wrapper(aiohttp.ClientSession._request)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", wrapper)
    name = adapter.__spec__.name
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert not again.CAN_SEND_DIRECTLY


async def test_a_replaced_request_is_not_passed_by(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that lets nothing leave may have its hands there."""
    transport = await opened(wire.environment, direct=True)

    async def refuse(*args: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(aiohttp.ClientRequest, "send", refuse)
    with pytest.raises(e.TransportError, match="RuntimeError"):
        await transport.send(GET, "t")
    await transport.close()
    assert wire.seen == []


async def test_another_class_in_the_place_of_the_session_gets_the_requests(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test's own, which has no more than is called."""
    real, calls = aiohttp.ClientSession, list[Any]()

    class Own:
        closed = False

        def __init__(self, **options: Any) -> None:
            self.real = real(**options)

        async def request(self, *args: Any, **kwargs: Any) -> aiohttp.ClientResponse:
            calls.append(args)
            return await self.real.request(*args, **kwargs)

        async def close(self) -> None:
            await self.real.close()

    monkeypatch.setattr(aiohttp, "ClientSession", Own)
    transport = await opened(wire.environment, direct=True)
    assert (await transport.send(GET, "t")).status == 200
    assert len(calls) == 1
    await transport.close()


@pytest.mark.parametrize("what", ["trace", "middleware"])
async def test_what_every_session_is_given_hears_of_the_requests(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Instrumentation gives traces to each new session, by its constructor."""
    heard: list[object] = []
    trace = aiohttp.TraceConfig()

    async def on_start(*args: Any) -> None:
        heard.append(args)

    async def middleware(request: aiohttp.ClientRequest, handler: Any) -> Any:
        heard.append(request)
        return await handler(request)

    trace.on_request_start.append(on_start)
    given: Any = {"trace_configs": [trace]} if what == "trace" else {"middlewares": (middleware,)}
    real = aiohttp.ClientSession.__init__

    def init(session: aiohttp.ClientSession, **options: Any) -> None:
        real(session, **options, **given)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)
    transport = await opened(wire.environment, direct=True)
    await transport.send(GET, "t")
    await transport.close()
    assert len(heard) == 1


async def test_another_aiohttp_is_sent_through_as_a_session(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose inside is not known: requests are dearer there, and the same."""
    monkeypatch.setattr("payroc_async.http.transport.CAN_SEND_DIRECTLY", False)
    transport = make(wire.environment)
    await transport.open()
    assert transport._direct is None
    assert (await transport.send(GET, "t")).status == 200
    await transport.close()


def test_this_aiohttp_is_known() -> None:
    """The canary: read `ClientSession._request` of this release before its version is added."""
    assert adapter.CAN_SEND_DIRECTLY, (
        f"aiohttp {aiohttp.__version__} is not one that DirectSender was written for: every sale "
        "costs 40 % more until http/adapter.py has followed it"
    )
