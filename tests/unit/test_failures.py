"""What goes wrong within an HTTP exchange: one of our errors, with a true word on what was sent.

Over sockets, against answers of hand-written bytes.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from payroc_async import errors as e
from payroc_async.config import Environment, RetryPolicy
from payroc_async.http.transport import LONGEST_HEADER, MOST_HEADERS, Transport
from payroc_async.secret import chain_of
from payroc_async.wire.protocol import decipher_success
from tests.harness.wire import GET, ONCE, POST, Tokens, Wire, make

PASSWORD = "canary-proxy-password"


class Foreign(BaseException):
    """As those of libraries that must not be caught by ``except Exception``."""


FOREIGN: list[BaseException] = [
    RuntimeError("can't start new thread"),
    UnicodeError("label empty or too long"),
    OverflowError("date value out of range"),
    ValueError("x"),
    KeyError("x"),
    AssertionError(),
    MemoryError(),
    RecursionError(),
    ExceptionGroup("several", [ValueError()]),
    Foreign("x"),
]


def named(value: object) -> str:
    return type(value).__name__


def raiser(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        error.__traceback__ = error.__context__ = None
        raise error

    return fail


def shown_by(error: BaseException) -> str:
    """All that an error and its chain may show."""
    return " ".join(f"{link} {link!r} {link.args!r} {vars(link)!r}" for link in chain_of(error))


# Foreign exceptions ----------


@pytest.mark.parametrize("raised", FOREIGN, ids=named)
@pytest.mark.parametrize("exchange", ["send", "authorize"])
async def test_what_is_raised_before_a_request_leaves(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, raised: BaseException, exchange: str
) -> None:
    """By the resolver, in its thread: the request was certainly not sent."""
    monkeypatch.setattr(socket, "getaddrinfo", raiser(raised))
    base = f"http://localhost:{wire.port}"
    transport = make(Environment(api_url=f"{base}/v1", identity_url=f"{base}/authorize"))
    await transport.open()
    with pytest.raises(e.TransportError, match=f"failed with {named(raised)}") as caught:
        await (
            transport.send(POST, "canary-1")
            if exchange == "send"
            else transport.authorize("canary-key")
        )
    await transport.close()
    assert not caught.value.request_sent
    assert caught.value.__cause__ is raised
    assert wire.seen == []


@pytest.mark.parametrize("raised", FOREIGN, ids=named)
@pytest.mark.parametrize("where", ["start", "read"])
async def test_what_is_raised_after_a_request_has_left(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, raised: BaseException, where: str
) -> None:
    """While the answer is read: it may have taken effect."""
    if where == "start":
        monkeypatch.setattr(ResponseHandler, "read", raiser(raised))
    else:
        monkeypatch.setattr("payroc_async.http.transport.read_body", raiser(raised))
    transport = make(wire.environment)
    await transport.open()
    with pytest.raises(e.TransportError, match=f"failed with {named(raised)}") as caught:
        await transport.send(POST, "canary-1")
    await transport.close()
    assert caught.value.request_sent
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", FOREIGN, ids=named)
async def test_p8_a_foreign_exception_is_retried(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    """As any failed request: once, and the call gives its value."""
    real, left = ResponseHandler.read, [raised]

    async def read(protocol: Any) -> Any:
        if left:
            raise left.pop()
        return await real(protocol)

    monkeypatch.setattr(ResponseHandler, "read", read)
    transport = make(wire.environment)
    await transport.open()
    assert (await transport.call(POST, decipher_success)).status == 200
    await transport.close()
    assert {seen.headers["idempotency-key"] for seen in wire.seen} == {POST.idempotency_key}


@pytest.mark.parametrize("raised", FOREIGN, ids=named)
async def test_through_a_callers_session_it_may_have_been_sent(
    wire: Wire, raised: BaseException
) -> None:
    """Nothing there says when a request leaves, so nothing says that it did not."""

    async def hook(*args: Any) -> None:
        raiser(raised)()

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(hook)
    async with aiohttp.ClientSession(trace_configs=[trace]) as client:
        transport = make(wire.environment, http_session=client)
        with pytest.raises(e.TransportError) as caught:
            await transport.send(POST, "canary-1")
    assert caught.value.request_sent


@pytest.mark.parametrize("ending", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_p4_what_ends_a_task_is_never_converted(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException]
) -> None:
    """Cancellation, Ctrl-C and the program's exit go on as they are."""
    transport = make(wire.environment)
    await transport.open()
    raised = ending("x")
    monkeypatch.setattr(aiohttp.ClientSession, "request", raiser(raised))
    coroutine = cast(Coroutine[object, object, object], transport.send(POST, "canary-1"))
    with pytest.raises(ending) as caught:
        coroutine.send(None)
    assert caught.value is raised
    await transport.close()


@pytest.mark.parametrize("hidden", [False, True])
async def test_p7_a_cause_that_shows_the_token_is_not_chained(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    """A hook's error that quotes the headers, itself or somewhere in its own chain."""
    error = ValueError("headers: {'Authorization': 'Bearer canary-1'}")
    if hidden:
        outer = ValueError("x")
        outer.__context__ = ExceptionGroup("y", [error])
        error = outer

    async def hook(*args: Any) -> None:
        raise error

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(hook)
    async with aiohttp.ClientSession(trace_configs=[trace]) as client:
        transport = make(wire.environment, http_session=client)
        with pytest.raises(e.TransportError, match="ValueError") as caught:
            await transport.send(GET, "canary-1")
    assert "canary" not in shown_by(caught.value)
    assert caught.value.__cause__ is None


# Answers that are no proper HTTP ----------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED: list[tuple[bytes, str]] = [
    (b"canary\r\n\r\n", "bad status line"),
    (b"HTTP/1.1 1000 canary\r\n\r\n", "bad status line"),
    (b"HTTP/2 200\r\n\r\n", "bad status line"),
    (b"\x15\x03\x01\x00\x02\x02\x28", "bad status line"),
    (b"HTTP/1.1 200 " + b"canary" * 12_000 + b"\r\n\r\n", "too long"),
    (b"HTTP/1.1 200 OK\r\nX: " + b"canary" * 12_000 + b"\r\n\r\n", "too long"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: canary\r\n" * 600 + b"\r\n", "too many headers"),
    (b"HTTP/1.1 200 OK\r\ncanary\r\n\r\n", "malformed header"),
    (b"HTTP/1.1 200 OK\r\nX: canary\x00\r\n\r\n", "malformed header"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n", "malformed Content-Length"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "Content-Length"),
    (CHUNKED + b"canary\r\n\r\n", "malformed chunk"),
    (CHUNKED + b"2\r\n{}\r\ncanary\r\n", "malformed chunk"),
    (CHUNKED + b"9\r\ncanary", "cut off"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\ncanary", "cut off"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\ncanary", "coding"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 6\r\n\r\ncanary", "coding"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: canary\r\nContent-Length: 6\r\n\r\ncanary", "coding"),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: x, gzip\r\nContent-Length: 6\r\n\r\ncanary", "coding"),
    (b"HTTP/1.1 200 OK\r\ncanary", "the connection broke"),
    (b"", "the connection broke"),
]


@pytest.mark.parametrize(
    ("reply", "reason"), REFUSED, ids=lambda value: repr(value[:40] + value[-20:])
)
@pytest.mark.parametrize("own", [True, False])
async def test_p7_a_refused_answer_says_why_and_shows_nothing(
    wire: Wire, reply: bytes, reason: str, own: bool
) -> None:
    """Through our own session and a caller's; the server closes the connection afterwards."""

    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        with suppress(ConnectionError):
            await writer.drain()

    wire.replies = [give]
    async with aiohttp.ClientSession() as client:
        transport = make(wire.environment, retries=ONCE, http_session=None if own else client)
        await transport.open()
        with pytest.raises(e.TransportError, match=reason) as caught:
            await transport.call(POST, decipher_success)
        await transport.close()
    assert caught.value.request_sent
    assert caught.value.may_have_taken_effect
    assert "canary" not in shown_by(caught.value)


@pytest.mark.parametrize("own", [True, False])
async def test_a_connection_that_goes_over_to_another_protocol_is_closed(
    wire: Wire, own: bool
) -> None:
    """After 101 no body has an end: the connection would stay open, and warn when it is dropped."""
    closed = asyncio.Event()
    asyncio.get_running_loop().set_debug(True)  # where aiohttp warns

    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n\0\0canary")
        with suppress(ConnectionError):
            while not writer.transport.is_closing():
                writer.write(b"\0")
                await asyncio.sleep(0.01)
        closed.set()

    wire.replies = [give]
    async with aiohttp.ClientSession() as client:
        transport = make(wire.environment, retries=ONCE, http_session=None if own else client)
        await transport.open()
        with pytest.raises(e.ResponseFormatError, match="HTTP 101: no answer of the API's"):
            await transport.call(GET, decipher_success)
        await asyncio.wait_for(closed.wait(), 5)
        await transport.close()


async def test_a_damaged_body_names_the_status(wire: Wire) -> None:
    """The status was read, and says more than the damage."""

    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 90\r\n\r\n{")

    wire.replies = [give]
    transport = make(wire.environment, retries=ONCE)
    await transport.open()
    with pytest.raises(e.TransportError, match="the answer with status 503 can't be read: it was"):
        await transport.call(GET, decipher_success)
    await transport.close()


LONG = {
    "a header of 64 KB": [b"X: " + b"a" * 65_536],
    "a status line of 60 KB": [],
    "ten cookies of 4 KB": [b"Set-Cookie: c%d=" % n + b"a" * 4000 for n in range(10)],
    "many headers": [b"X-%d: a" % n for n in range(MOST_HEADERS - 10)],
    "a name of 9 KB": [b"X" * 9000 + b": a"],
}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("headers", list(LONG))
async def test_long_headers_are_read(wire: Wire, headers: str, own: bool) -> None:
    """Up to 64 KB, on every request, also through a session whose own limits are others."""
    reason = b"a" * 60_000 if "status line" in headers else b"OK"
    lines = b"\r\n".join([b"HTTP/1.1 200 " + reason, b"Content-Length: 2", *LONG[headers]])
    wire.replies = [lines + b"\r\n\r\n{}"]
    async with aiohttp.ClientSession(max_field_size=500, max_line_size=500) as client:
        transport = make(wire.environment, retries=ONCE, http_session=None if own else client)
        await transport.open()
        assert (await transport.send(GET, "t")).body == b"{}"
        await transport.close()
    assert LONGEST_HEADER >= 65_536


async def test_a_callers_session_that_does_not_decompress_is_read(wire: Wire) -> None:
    """What a session does with bodies is chosen for every request as well."""
    body = gzip.compress(b'{"a": 1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    wire.replies = [head + body]
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        transport = make(wire.environment, http_session=client)
        assert (await transport.send(GET, "t")).body == b'{"a": 1}'


# Proxies ----------


class Proxy:
    """Answers the head of each request by the same bytes, and closes the connection."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    def transport(self, environment: Environment, **options: Any) -> Transport:
        proxy = f"http://till:{PASSWORD}@127.0.0.1:{self.port}"
        return make(environment, proxy=proxy, **options)


async def failure_through(proxy: Proxy, environment: Environment = Environment.UAT) -> Any:
    """What a single call fails with."""
    transport = proxy.transport(environment)
    await transport.open()
    try:
        with pytest.raises(e.PayrocError) as caught:
            await transport.call(POST, decipher_success)
    finally:
        await transport.close()
    assert PASSWORD not in shown_by(caught.value)
    return caught.value


@pytest.mark.parametrize("status", [403, 407])
async def test_p8_a_proxys_refusal_is_final_and_never_sent(status: int) -> None:
    """Its status is named; nothing went through it."""
    async with Proxy(b"HTTP/1.1 %d canary\r\nContent-Length: 0\r\n\r\n" % status) as proxy:
        error = await failure_through(proxy)
    assert str(error) == f"the proxy refused with status {status}"
    assert (error.proxy_status, error.request_sent) == (status, False)
    assert not error.may_have_taken_effect
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503, 504])
async def test_p8_another_status_of_a_proxys_is_retried_and_never_sent(status: int) -> None:
    """It may reach the host a little later."""
    async with Proxy(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status) as proxy:
        error = await failure_through(proxy)
    assert str(error) == f"the proxy refused with status {status}"
    assert not error.request_sent
    assert len(proxy.heads) == 5


@pytest.mark.parametrize("answer", [b"", b"canary\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\ncanary"])
async def test_what_breaks_before_the_tunnel_is_there_was_never_sent(answer: bytes) -> None:
    """The proxy hangs up, talks nonsense, or leads to no TLS."""
    async with Proxy(answer) as proxy:
        error = await failure_through(proxy)
    assert isinstance(error, e.TransportError)
    assert not error.request_sent
    assert not error.may_have_taken_effect
    assert "canary" not in shown_by(error)


async def test_a_plain_proxys_407_is_final() -> None:
    """Over plain http, to loopback, it comes as an answer."""
    plain = Environment(api_url="http://127.0.0.1:9/v1", identity_url="http://127.0.0.1:9/a")
    async with Proxy(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n") as proxy:
        error = await failure_through(proxy, plain)
    assert error.status == 407
    assert not error.may_have_taken_effect
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize("exchange", ["send", "authorize"])
async def test_a_proxys_password_reaches_the_proxy(scheme: str, exchange: str) -> None:
    """With CONNECT and without; percent-encoded parts are decoded."""
    base = f"{scheme}://127.0.0.1:9"
    environment = Environment(api_url=f"{base}/v1", identity_url=f"{base}/authorize")
    async with Proxy(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n") as proxy:
        url = f"http://t%40ll:p%3Aw@127.0.0.1:{proxy.port}"
        transport = make(environment, proxy=url, retries=ONCE)
        await transport.open()
        with pytest.raises(e.PayrocError):
            await (
                transport.call(GET, decipher_success)
                if exchange == "send"
                else transport.authorize("canary-key")
            )
        await transport.close()
    (head,) = proxy.heads
    expected = b"Proxy-Authorization: Basic " + base64.b64encode(b"t@ll:p:w")
    assert expected in head
    assert (b"Bearer" in head) is (scheme == "http" and exchange == "send")


async def test_without_a_password_the_proxy_gets_none() -> None:
    """No empty credentials are made up."""
    async with Proxy(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n") as proxy:
        transport = make(Environment.UAT, proxy=f"http://127.0.0.1:{proxy.port}", retries=ONCE)
        await transport.open()
        with pytest.raises(e.TransportError, match="502"):
            await transport.call(GET, decipher_success)
        await transport.close()
    assert b"Authorization" not in proxy.heads[0]


def test_a_proxy_that_can_not_be_read_is_refused_unseen() -> None:
    """A colon that is not the first in the user's name can't be sent."""
    with pytest.raises(e.ConfigurationError, match="percent-encode") as caught:
        make(Environment.UAT, proxy=f"http://a%3Ab:{PASSWORD}@127.0.0.1:1")
    assert caught.value.field == "proxy"
    assert PASSWORD not in shown_by(caught.value)


async def test_p6_a_proxy_that_refuses_the_token_request_is_told_at_once(wire: Wire) -> None:
    """No one waits for a token that the proxy will not let through."""
    from payroc_async.http.token import TokenManager

    async with Proxy(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n") as proxy:
        transport = proxy.transport(Environment.UAT)
        await transport.open()
        manager = TokenManager(
            transport.authorize,
            "key",
            timeouts=transport._timeouts,
            retries=RetryPolicy(initial=5.0),
        )
        manager.start()
        async with asyncio.timeout(1.5):
            with pytest.raises(e.TransportError, match="the proxy refused with status 407"):
                await manager.get()
        await manager.stop()
        await transport.close()


def test_the_provider_of_these_tests_gives_what_is_looked_for() -> None:
    """Otherwise no test here would see a token."""
    assert "canary" in asyncio.run(Tokens().get())
