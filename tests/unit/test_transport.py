"""One request on the wire, its retries, its errors.

By `aioresponses`, and where that can't show it by a server on loopback that answers by hand-written
bytes: not by the simulator.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import CallbackResult, aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from payroc_async import errors as e
from payroc_async.config import Environment, RetryPolicy, Timeouts
from payroc_async.http.adapter import SingleResponse
from payroc_async.http.body import LARGEST_BODY
from payroc_async.http.transport import Transport
from payroc_async.version import __version__
from payroc_async.wire.protocol import Answer, Request, decipher_success
from tests.conftest import EAGER, UNIT, MockedResponse
from tests.harness.wire import DELETE, GET, KEY, OK, ONCE, POST, Tokens, Wire, make

API_KEY = "canary-key"
API = "https://api.example.com/v1"
IDENTITY = "https://identity.example.com/authorize"
MOCKED = Environment(api_url=API, identity_url=IDENTITY)
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
UNAVAILABLE = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def transport(wire: Wire) -> AsyncIterator[Transport]:
    """An open transport to the wire."""
    transport = make(wire.environment)
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
async def single(wire: Wire) -> AsyncIterator[Transport]:
    """An open transport to the wire that repeats nothing."""
    transport = make(wire.environment, retries=ONCE)
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
async def mocked_once() -> AsyncIterator[Transport]:
    """The same, to hosts that only aioresponses answers for.

    Through a caller's session, for aioresponses never sends: of an own one that would be seen.
    """
    async with aiohttp.ClientSession() as client:
        transport = make(MOCKED, retries=ONCE, http_session=client)
        await transport.open()
        yield transport


@pytest.fixture
async def mocked() -> AsyncIterator[Transport]:
    """An open transport to hosts that only aioresponses answers for."""
    transport = make(MOCKED)
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
def answers() -> Iterator[aioresponses]:
    with aioresponses() as answers:
        yield answers


def rejected_by(transport: Transport) -> list[str]:
    assert isinstance(transport.token_provider, Tokens)
    return transport.token_provider.rejected


def same(answer: Answer) -> Answer:
    return answer


def chain_of(error: BaseException | None) -> list[BaseException]:
    """The error and everything along its causes and contexts."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and link not in found:
            found.append(link)
            waiting += [link.__cause__, link.__context__]
    return found


def assert_clean(error: BaseException) -> None:
    """No secret is in the text or repr of the error or of anything chained to it."""
    for link in chain_of(error):
        assert "canary" not in f"{link} {link!r} {link.args!r}", type(link)
        assert not isinstance(link, aiohttp.ClientResponseError)


# Headers ----------


async def test_the_headers_of_a_post(wire: Wire, transport: Transport) -> None:
    """Contract section 1: a POST carries the token, its key, its type and its bytes."""
    wire.replies = [OK]
    await transport.call(POST, decipher_success)
    (seen,) = wire.seen
    assert (seen.method, seen.target) == ("POST", "/v1/devices/1850010868/payment-instructions")
    assert seen.headers["authorization"] == "Bearer canary-1"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["idempotency-key"] == KEY
    assert "x-api-key" not in seen.headers
    assert seen.body == POST.body


@pytest.mark.parametrize("request_", [GET, DELETE], ids=lambda request: request.method)
async def test_the_headers_of_get_and_delete(
    wire: Wire, transport: Transport, request_: Request
) -> None:
    """Contract section 1: neither key nor type nor body, and the token."""
    wire.replies = [OK]
    await transport.call(request_, decipher_success)
    (seen,) = wire.seen
    assert (seen.method, seen.target) == (request_.method, "/v1/payment-instructions/e743")
    assert seen.headers["authorization"] == "Bearer canary-1"
    assert not {"idempotency-key", "content-type", "x-api-key"} & set(seen.headers)
    assert seen.body == b""


async def test_the_headers_of_authorize(wire: Wire, transport: Transport) -> None:
    """Contract section 1: the API key alone, no token, no idempotency key, no body."""
    body = b'{"access_token": "t", "expires_in": 3600}'
    wire.replies = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)]
    token = await transport.authorize(API_KEY)
    assert (token.value, token.lifetime) == ("t", 3600.0)
    (seen,) = wire.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/authorize", b"")
    assert seen.headers["x-api-key"] == API_KEY
    assert not {"idempotency-key", "authorization"} & set(seen.headers)
    assert seen.headers.get("content-length", "0") == "0"


async def test_no_header_tells_more_than_it_must(wire: Wire, transport: Transport) -> None:
    """P10: a request carries the documented headers and HTTP's own, no telemetry."""
    wire.replies = [OK]
    await transport.call(POST, decipher_success)
    assert set(wire.seen[0].headers) == {
        "host",
        "authorization",
        "content-type",
        "idempotency-key",
        "content-length",
        "user-agent",
        "accept",
        "accept-encoding",
    }
    assert wire.seen[0].headers["user-agent"] == f"payroc-async/{__version__}"


async def test_a_quoted_path_is_sent_as_it_is(wire: Wire, transport: Transport) -> None:
    """What protocol.py has quoted is not quoted again, nor decoded."""
    wire.replies = [OK]
    path = "/payments/" + quote("".join(map(chr, range(32, 256))), safe="")
    await transport.call(Request("GET", path), decipher_success)
    assert wire.seen[0].target == "/v1" + path


# 401 ----------


@pytest.mark.parametrize("request_", [GET, POST, DELETE], ids=lambda request: request.method)
async def test_p6_a_401_drops_the_token_and_repeats_once(
    wire: Wire, single: Transport, request_: Request
) -> None:
    """The same request goes out once more, with the next token."""
    wire.replies = [UNAUTHORIZED, OK]
    await single.call(request_, decipher_success)
    first, second = wire.seen
    assert first.headers.pop("authorization") == "Bearer canary-1"
    assert second.headers.pop("authorization") == "Bearer canary-2"
    assert vars(first) == vars(second)
    assert rejected_by(single) == ["canary-1"]


async def test_p6_a_second_401_is_an_authentication_error(wire: Wire, transport: Transport) -> None:
    """A fresh token that is refused too ends it: a 401 is never retried."""
    wire.replies = [UNAUTHORIZED]
    with pytest.raises(e.AuthenticationError) as caught:
        await transport.call(GET, decipher_success)
    assert len(wire.seen) == 2
    assert_clean(caught.value)


async def test_p6_a_401_after_a_retry_is_repeated_too(wire: Wire, transport: Transport) -> None:
    """Each try may meet an old token."""
    wire.replies = [UNAVAILABLE, UNAUTHORIZED, OK]
    await transport.call(GET, decipher_success)
    assert [seen.headers["authorization"][-1] for seen in wire.seen] == ["1", "1", "2"]


async def test_p6_a_token_that_can_not_be_had_is_not_retried_here(mocked: Transport) -> None:
    """The token's task has its own backoff: its error goes to the caller at once."""
    asked = 0

    class NoToken(Tokens):
        async def get(self) -> str:
            nonlocal asked
            asked += 1
            raise e.RequestTimeoutError("no token", request_sent=False)

    mocked.token_provider = NoToken()
    with pytest.raises(e.RequestTimeoutError, match="no token"):
        await mocked.call(GET, decipher_success)
    assert asked == 1


# Errors ----------

REQUEST_INFO = aiohttp.RequestInfo(
    URL(API),
    "GET",
    CIMultiDictProxy(CIMultiDict({"Authorization": "Bearer canary-1"})),
    URL(API),
)
TO = ConnectionKey("api.example.com", 443, True, True, None, None, None)
REFUSED = OSError(111, "refused")

RAISED: list[tuple[BaseException, type[e.PayrocError], bool]] = [
    (aiohttp.ConnectionTimeoutError("slow"), e.RequestTimeoutError, False),
    (aiohttp.ClientConnectorError(TO, REFUSED), e.TransportError, False),
    (aiohttp.ClientConnectorDNSError(TO, REFUSED), e.TransportError, False),
    (aiohttp.ClientProxyConnectionError(TO, REFUSED), e.TransportError, False),
    (aiohttp.ClientConnectorSSLError(TO, REFUSED), e.TransportError, False),
    (
        aiohttp.ClientConnectorCertificateError(TO, ssl.CertificateError("wrong host")),
        e.TransportError,
        False,
    ),
    (aiohttp.SocketTimeoutError("slow"), e.RequestTimeoutError, True),
    (aiohttp.ServerTimeoutError("slow"), e.RequestTimeoutError, True),
    (TimeoutError(), e.RequestTimeoutError, True),
    (aiohttp.ServerDisconnectedError(), e.TransportError, True),
    (aiohttp.ServerConnectionError("x"), e.TransportError, True),
    (aiohttp.ClientConnectionResetError("x"), e.TransportError, True),
    (aiohttp.ClientOSError(32, "broken pipe"), e.TransportError, True),
    (aiohttp.ClientConnectionError("x"), e.TransportError, True),
    (aiohttp.ClientPayloadError("x"), e.TransportError, True),
    (aiohttp.ClientError("x"), e.TransportError, True),
    (ConnectionResetError(104, "reset"), e.TransportError, True),
    (BrokenPipeError(), e.TransportError, True),
    (ssl.SSLError("x"), e.TransportError, True),
    (asyncio.IncompleteReadError(b"", 1), e.TransportError, True),
    (aiohttp.ClientResponseError(REQUEST_INFO, ()), e.TransportError, True),
    (aiohttp.ContentTypeError(REQUEST_INFO, ()), e.TransportError, True),
    (aiohttp.TooManyRedirects(REQUEST_INFO, ()), e.TransportError, True),
    (aiohttp.ClientHttpProxyError(REQUEST_INFO, ()), e.TransportError, False),
]


def every_client_error() -> set[type[BaseException]]:
    """The exceptions of aiohttp's that a plain request can meet."""
    found: set[type[BaseException]] = {aiohttp.ClientError}
    for cls in [*found]:
        waiting = [cls]
        while waiting:
            waiting += (subs := waiting.pop().__subclasses__())
            found |= set(subs)
    never = ("WS", "WebSocket", "Redirect", "InvalidU", "NonHttp", "Unix", "Fingerprint", "Upload")
    return {cls for cls in found if not any(word in cls.__name__ for word in never)}


def test_every_exception_of_aiohttps_is_tried() -> None:
    """A new exception class of aiohttp's shows here first."""
    abstract = {aiohttp.ClientSSLError}
    assert every_client_error() - abstract <= {type(raised) for raised, _, _ in RAISED}


@pytest.mark.parametrize(
    ("raised", "expected", "sent"), RAISED, ids=lambda value: type(value).__name__
)
async def test_aiohttps_exceptions_stop_here(
    mocked_once: Transport,
    answers: aioresponses,
    raised: Exception,
    expected: type[e.PayrocError],
    sent: bool,
) -> None:
    """Each becomes one of ours, which says whether the request may have been received."""
    answers.get(API + GET.path, exception=raised)
    with pytest.raises(e.TransportError) as caught:
        await mocked_once.call(GET, decipher_success)
    assert type(caught.value) is expected
    assert caught.value.request_sent is sent
    assert_clean(caught.value)


@pytest.mark.parametrize(
    ("raised", "expected", "sent"), RAISED, ids=lambda value: type(value).__name__
)
async def test_p7_authorize_shows_no_key_in_errors(
    mocked: Transport,
    answers: aioresponses,
    raised: Exception,
    expected: type[e.PayrocError],
    sent: bool,
) -> None:
    """What goes wrong with authorize is one of ours as well, without the key."""
    answers.post(IDENTITY, exception=raised)
    with pytest.raises(e.TransportError) as caught:
        await mocked.authorize(API_KEY)
    assert type(caught.value) is expected
    assert_clean(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\x00Y: 1\r\n\r\n",
    ],
    ids=lambda reply: repr(reply[:40] + reply[-10:]),
)
async def test_p7_an_answer_that_is_not_http(wire: Wire, single: Transport, reply: bytes) -> None:
    """Malformed, cut or undecodable answers are TransportErrors that show no token."""

    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()

    wire.replies = [break_off]
    with pytest.raises(e.TransportError) as caught:
        await single.call(GET, decipher_success)
    assert caught.value.request_sent
    assert_clean(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nBad Header canary-1: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: canary-1\r\n\r\n",
        b"canary-1\r\n\r\n",
    ],
)
async def test_p7_a_malformed_answer_that_echoes_the_token(
    wire: Wire, single: Transport, reply: bytes
) -> None:
    """Nothing chained to the error holds the line that could not be read."""
    wire.replies = [reply]
    with pytest.raises(e.TransportError) as caught:
        await single.call(GET, decipher_success)
    assert_clean(caught.value)


async def test_p7_no_token_in_an_error_after_retries(wire: Wire, transport: Transport) -> None:
    """The error of the last try carries no earlier one with a token in it."""
    wire.replies = [b"garbage\r\n\r\n"]
    with pytest.raises(e.TransportError) as caught:
        await transport.call(GET, decipher_success)
    assert len(wire.seen) == EAGER.attempts
    assert_clean(caught.value)


async def test_a_refused_connection_was_not_sent(wire: Wire) -> None:
    """No one listens: the request was certainly not received."""
    await wire.stop()
    transport = make(wire.environment, retries=ONCE)
    await transport.open()
    with pytest.raises(e.TransportError) as caught:
        await transport.call(POST, decipher_success)
    assert not caught.value.request_sent
    assert_clean(caught.value)
    await transport.close()


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("options", "timeouts", "seconds"),
    [
        ({}, Timeouts(request=2 * UNIT, hold=30.0), 2 * UNIT),
        ({"held": True}, Timeouts(request=30.0, hold=3 * UNIT, hold_margin=2 * UNIT), 5 * UNIT),
    ],
    ids=["any", "held"],
)
async def test_p2_a_held_request_waits_for_hold_and_margin(
    wire: Wire, options: dict[str, bool], timeouts: Timeouts, seconds: float
) -> None:
    """Without an answer a request ends after `request`, a held one after `hold` + `hold_margin`."""
    transport = make(wire.environment, timeouts=timeouts, retries=ONCE)
    await transport.open()
    wire.replies = [hang]
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(e.RequestTimeoutError) as caught:
        await transport.call(GET, decipher_success, **options)
    assert caught.value.request_sent
    assert seconds - UNIT / 10 <= loop.time() - started < seconds + 1.0
    await transport.close()


async def test_p4_a_cancelled_call_closes_its_connection(wire: Wire, transport: Transport) -> None:
    """P2 stands on this: when the call has ended, so has its connection."""
    closed = asyncio.Event()

    async def until_closed(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(b" ")
            try:
                await writer.drain()
            except OSError:
                break
            await asyncio.sleep(UNIT / 4)
        closed.set()

    wire.replies = [until_closed]
    task = asyncio.create_task(transport.call(GET, decipher_success))
    while not wire.seen:
        await asyncio.sleep(UNIT / 4)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    async with asyncio.timeout(1.0):
        await closed.wait()


async def test_p4_an_answer_that_has_been_read_is_closed_without_a_word(wire: Wire) -> None:
    """A cancellation may strike when the answer is there and its connection given back."""
    wire.replies = [OK]
    async with aiohttp.ClientSession(response_class=SingleResponse) as http:
        response = await http.get(wire.environment.api_url)
        assert await response.read() == b"{}"
        assert response.connection is None
        response.close()


# What is not done ----------


async def test_p7_a_redirect_is_not_followed(wire: Wire, single: Transport) -> None:
    """The token goes nowhere else, even where a redirect says so."""
    for status in (301, 302, 303, 307, 308):
        wire.seen.clear()
        location = f"http://127.0.0.1:{wire.port}/v1/elsewhere"
        wire.replies = [
            f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
        ]
        with pytest.raises(e.ResponseFormatError, match=str(status)):
            await single.call(GET, decipher_success)
        assert [seen.target for seen in wire.seen] == ["/v1/payment-instructions/e743"]


async def test_p7_cookies_are_not_kept(wire: Wire) -> None:
    """A cookie that an answer sets is not sent back."""
    # By name: no client keeps the cookies of a numeric address.
    base = f"http://localhost:{wire.port}"
    transport = make(Environment(api_url=base + "/v1", identity_url=base + "/authorize"))
    await transport.open()
    wire.replies = [b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"]
    await transport.call(GET, decipher_success)
    await transport.call(GET, decipher_success)
    await transport.close()
    assert len(wire.seen) == 2
    assert all("cookie" not in seen.headers for seen in wire.seen)


class Endless:
    """A body that never ends; counts what was taken of it."""

    def __init__(self, head: bytes, block: bytes) -> None:
        self.head, self.block = head, block
        self.taken = 0

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.head)
        while True:
            writer.write(self.block)
            await writer.drain()
            self.taken += len(self.block)


async def test_a_body_over_the_limit_is_not_read(wire: Wire, single: Transport) -> None:
    """An answer without an end is broken off, shortly after the limit."""
    endless = Endless(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"0" * 65_536)
    wire.replies = [endless]
    with pytest.raises(e.ResponseFormatError, match="larger"):
        await single.call(GET, decipher_success)
    assert endless.taken < 4 * LARGEST_BODY


async def test_a_gzip_bomb_is_not_unpacked(wire: Wire, transport: Transport) -> None:
    """The limit counts what comes out, not what was sent: a little of the bomb is enough."""
    bomb = gzip.compress(b"\0" * 100_000_000, 1)
    assert len(bomb) < LARGEST_BODY
    unpacked = 0

    async def count(chunk: bytes) -> None:
        nonlocal unpacked
        unpacked += len(chunk)

    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    wire.replies = [head + bomb]
    trace = aiohttp.TraceConfig()

    async def on_chunk(session: Any, context: Any, params: Any) -> None:
        await count(params.chunk)

    trace.on_response_chunk_received.append(on_chunk)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        transport = make(wire.environment, http_session=http, retries=ONCE)
        with pytest.raises(e.ResponseFormatError, match="larger"):
            await transport.call(GET, decipher_success)
    assert unpacked <= 2 * LARGEST_BODY


async def test_a_body_up_to_the_limit_is_read(wire: Wire, transport: Transport) -> None:
    """A signature's image comes through whole."""
    body = b"0" * LARGEST_BODY
    wire.replies = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body]
    answer = await transport.call(GET, same)
    assert answer.body == body


async def test_a_body_that_comes_in_pieces_is_read_whole(wire: Wire, transport: Transport) -> None:
    """However an answer is cut on its way, its pieces are put together again."""

    async def piecemeal(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for piece in (b"abc", b"def"):
            await asyncio.sleep(UNIT / 2)
            writer.write(piece)

    wire.replies = [piecemeal]
    assert (await transport.call(GET, same)).body == b"abcdef"


async def test_a_compressed_body_is_unpacked(wire: Wire, transport: Transport) -> None:
    """An ordinary gzip answer is read as what it stands for."""
    body = gzip.compress(b'{"a": 1}')
    wire.replies = [
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    ]
    answer = await transport.call(GET, same)
    assert answer.body == b'{"a": 1}'


# Retries ----------


async def test_p1_every_retry_sends_the_same_bytes_and_key(
    wire: Wire, transport: Transport
) -> None:
    """Whatever goes wrong in between, each try is the same request to the last byte."""

    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    wire.replies = [reset, UNAVAILABLE, b"garbage\r\n\r\n", UNAVAILABLE, OK]
    await transport.call(POST, decipher_success)
    assert len(wire.seen) == 5
    assert all(vars(seen) == vars(wire.seen[0]) for seen in wire.seen)
    assert wire.seen[0].body == POST.body


@pytest.mark.parametrize("request_", [GET, POST, DELETE], ids=lambda request: request.method)
async def test_p8_aiohttp_repeats_nothing_by_itself(
    wire: Wire, single: Transport, request_: Request
) -> None:
    """On a kept connection that breaks, every further try is one of ours: counted and reported."""

    async def reset(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    wire.replies = [OK, reset]
    await single.call(GET, decipher_success)
    with pytest.raises(e.TransportError) as caught:
        await single.call(request_, decipher_success)
    assert caught.value.request_sent
    assert len(wire.seen) == 2


async def test_p8_the_attempts_are_counted(wire: Wire, transport: Transport) -> None:
    """The last try's error is the one that is raised."""
    wire.replies = [b"garbage\r\n\r\n", UNAVAILABLE]
    with pytest.raises(e.ServerError) as caught:
        await transport.call(GET, decipher_success)
    assert caught.value.status == 503
    assert len(wire.seen) == EAGER.attempts


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410])
async def test_p8_what_is_refused_is_not_repeated(
    wire: Wire, transport: Transport, status: int
) -> None:
    """A refusal is reported after the first try."""
    wire.replies = [b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status]
    with pytest.raises(e.APIError):
        await transport.call(GET, decipher_success)
    assert len(wire.seen) == 1


async def test_p8_retry_after_is_waited_for(wire: Wire) -> None:
    """The wait is at least what the answer asked for, capped by the policy."""
    cap = 3 * UNIT
    transport = make(wire.environment, retries=RetryPolicy(initial=0.001, retry_after_maximum=cap))
    await transport.open()
    wire.replies = [b"HTTP/1.1 429 X\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", OK]
    loop = asyncio.get_running_loop()
    started = loop.time()
    await transport.call(GET, decipher_success)
    assert cap - UNIT / 10 <= loop.time() - started < cap + 1.0
    await transport.close()


async def test_p8_each_failure_is_logged_once(
    wire: Wire, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """In order, each with its number, its reason and the key; a success is not logged at INFO."""
    caplog.set_level(logging.INFO, "payroc_async")
    wire.replies = [OK]
    await transport.call(POST, decipher_success)
    assert caplog.records == []
    wire.replies = [UNAVAILABLE, b"garbage\r\n\r\n", OK]
    await transport.call(POST, decipher_success)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.split(", ")[0] for text in texts] == [
        f"POST {POST.path} failed {number} times" for number in (1, 2)
    ]
    assert [text.rsplit(": ", 1)[1] for text in texts] == ["HTTP 503", "bad status line"]
    assert {getattr(record, "idempotency_key", None) for record in caplog.records} == {KEY}


async def test_p8_the_last_failure_is_raised_and_not_logged_as_a_retry(
    wire: Wire, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """There are as many lines as there are waits: one fewer than attempts."""
    caplog.set_level(logging.INFO, "payroc_async")
    wire.replies = [UNAVAILABLE]
    with pytest.raises(e.ServerError):
        await transport.call(GET, decipher_success)
    assert len(caplog.records) == len(wire.seen) - 1 == EAGER.attempts - 1


@pytest.mark.parametrize(
    ("first", "lost"),
    [
        (b"garbage\r\n\r\n", True),
        (UNAVAILABLE, True),
        (b"HTTP/1.1 408 X\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", False),
    ],
    ids=["not HTTP", "503", "408", "429"],
)
async def test_p1_a_refusal_does_not_undo_a_lost_attempt(
    wire: Wire, transport: Transport, first: bytes, lost: bool
) -> None:
    """The error of a POST says whether any attempt may have taken effect, and under which key."""
    own = b'{"type": "https://docs.payroc.com/api/errors#bad-request", "status": 400}'
    refusal = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%b" % (len(own), own)
    wire.replies = [first, refusal]
    with pytest.raises(e.BadRequestError) as caught:
        await transport.call(POST, decipher_success)
    assert caught.value.may_have_taken_effect is lost
    assert caught.value.idempotency_key == KEY


async def test_p1_no_connection_at_last_does_not_undo_a_lost_attempt(wire: Wire) -> None:
    """`request_sent` speaks of the whole call, not of its last attempt alone."""
    transport = make(wire.environment)
    await transport.open()

    async def leave(writer: asyncio.StreamWriter) -> None:
        wire._server.close()
        writer.transport.abort()

    wire.replies = [leave]
    with pytest.raises(e.TransportError, match="no connection") as caught:
        await transport.call(POST, decipher_success)
    assert len(wire.seen) == 1
    assert caught.value.request_sent
    assert caught.value.may_have_taken_effect
    await transport.close()


async def test_p8_what_decipher_raises_is_retried_by_the_same_rules(
    wire: Wire, transport: Transport
) -> None:
    """An answer that can't be read counts as a failure of its try."""
    wire.replies = [OK]
    tries = 0

    def decipher(answer: Answer) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise e.ResponseFormatError("not JSON")
        return "read"

    assert await transport.call(GET, decipher) == "read"
    assert len(wire.seen) == 2


async def test_a_bug_in_decipher_is_not_hidden(wire: Wire, transport: Transport) -> None:
    """What is not one of our errors goes straight on, and is not retried."""
    wire.replies = [OK]

    def decipher(answer: Answer) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await transport.call(GET, decipher)
    assert len(wire.seen) == 1


# Secrets ----------


async def test_p7_a_secret_that_an_error_echoes_is_blotted_out(
    wire: Wire, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """The token in an error's body or header is not in the error, its data or a log."""
    caplog.set_level(logging.DEBUG)
    body = b'{"title": "Bad canary-1", "detail": "canary-1", "extra": {"token": "canary-1"}}'
    wire.replies = [
        b"HTTP/1.1 400 X\r\nX-Echo: Bearer canary-1\r\nContent-Length: %d\r\n\r\n%s"
        % (len(body), body)
    ]
    with pytest.raises(e.BadRequestError) as caught:
        await transport.call(GET, decipher_success)
    error = caught.value
    assert_clean(error)
    assert "canary" not in repr([error.problem.raw, dict(error.headers)])
    assert error.headers["x-echo"] == "Bearer ***"
    assert error.problem.title == "Bad ***"
    assert "canary" not in caplog.text


async def test_p7_a_key_that_authorize_echoes_is_blotted_out(
    mocked: Transport, answers: aioresponses
) -> None:
    """The same for the API key."""
    answers.post(
        IDENTITY,
        status=401,
        payload={"title": f"unknown key {API_KEY}"},
        headers={"X-Echo": API_KEY, "Retry-After": "7"},
        response_class=MockedResponse,
    )
    with pytest.raises(e.AuthenticationError) as caught:
        await mocked.authorize(API_KEY)
    assert_clean(caught.value)
    assert "canary" not in repr([caught.value.problem.raw, dict(caught.value.headers)])
    assert caught.value.retry_after == 7.0


async def test_p7_a_repeated_requests_token_is_blotted_out_too(
    wire: Wire, transport: Transport
) -> None:
    """After a 401 it is the second token that may be echoed."""
    wire.replies = [
        UNAUTHORIZED,
        b"HTTP/1.1 400 X\r\nX-Echo: canary-2\r\nContent-Length: 0\r\n\r\n",
    ]
    with pytest.raises(e.BadRequestError) as caught:
        await transport.call(GET, decipher_success)
    assert caught.value.headers["x-echo"] == "***"


async def test_p7_nothing_is_logged_about_a_request_that_is_retried(
    wire: Wire, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """Anyone who logs the retries, at whatever level: no token is among it."""
    caplog.set_level(logging.DEBUG)
    wire.replies = [UNAVAILABLE, b"garbage\r\n\r\n", OK]
    await transport.call(POST, decipher_success)
    for record in caplog.records:
        assert "canary" not in repr(vars(record))


# By aioresponses ----------


async def test_a_mocked_answer_is_read(mocked: Transport, answers: aioresponses) -> None:
    """Users who patch aiohttp with aioresponses get their answers through, body and headers."""
    answers.get(
        API + GET.path,
        body=b'{"status": "inProgress"}',
        headers={"X-Request-Id": "1"},
        response_class=MockedResponse,
    )
    answer = await mocked.call(GET, decipher_success)
    assert (answer.status, answer.body) == (200, b'{"status": "inProgress"}')
    assert answer.headers["x-request-id"] == "1"


async def test_p7_the_call_is_made_without_redirects(
    mocked_once: Transport, answers: aioresponses
) -> None:
    """A redirect of a mocked host is not followed either, and the host is never asked."""
    answers.get(
        API + GET.path,
        status=307,
        headers={"Location": "https://elsewhere.example.com/"},
        response_class=MockedResponse,
        repeat=True,
    )
    with pytest.raises(e.ResponseFormatError):
        await mocked_once.call(GET, decipher_success)
    assert {url.host for _, url in answers.requests} == {"api.example.com"}


async def test_p1_a_mocked_post_is_retried_under_its_key(
    mocked: Transport, answers: aioresponses
) -> None:
    """The same key and bytes reach aiohttp at each try."""
    sent: list[tuple[Any, Any]] = []

    def reply(url: URL, **given: Any) -> CallbackResult:
        sent.append((given["headers"]["Idempotency-Key"], given["data"]))
        status = 503 if len(sent) < 3 else 202
        return CallbackResult(status=status, response_class=MockedResponse)

    answers.post(API + POST.path, callback=reply, repeat=True)
    await mocked.call(POST, decipher_success)
    assert sent == [(KEY, POST.body)] * 3


# Connections ----------


async def test_a_callers_own_session_is_used_and_not_closed(wire: Wire) -> None:
    """Requests go through the caller's aiohttp session, with the contract's headers alone ours."""
    wire.replies = [OK]
    async with aiohttp.ClientSession(
        headers={"X-Own": "1", "Authorization": "Basic own"}, raise_for_status=True
    ) as http:
        transport = make(wire.environment, http_session=http, retries=ONCE)
        await transport.open()
        await transport.call(POST, decipher_success)
        await transport.close()
        assert not http.closed
        wire.replies = [UNAVAILABLE]
        with pytest.raises(e.ServerError):
            await transport.call(GET, decipher_success)
    assert wire.seen[0].headers["x-own"] == "1"
    assert wire.seen[0].headers["authorization"] == "Bearer canary-1"


async def test_a_callers_session_that_was_closed_is_told(wire: Wire) -> None:
    """A session that its owner has closed can send nothing: an error of ours says so."""
    http = aiohttp.ClientSession()
    await http.close()
    transport = make(wire.environment, http_session=http)
    await transport.open()
    with pytest.raises(e.PayrocError) as caught:
        await transport.call(GET, decipher_success)
    assert isinstance(caught.value, e.SessionClosedError | e.TransportError)
    assert_clean(caught.value)
    assert wire.seen == []


async def test_a_callers_session_that_is_closed_under_way_is_told(wire: Wire) -> None:
    """Closed while a request waits for its answer, the request ends as one of our errors."""
    wire.replies = [hang]
    http = aiohttp.ClientSession()
    transport = make(wire.environment, http_session=http)
    task = asyncio.create_task(transport.call(GET, decipher_success))
    while not wire.seen:
        await asyncio.sleep(UNIT / 4)
    await http.close()
    with pytest.raises(e.PayrocError) as caught:
        await task
    assert_clean(caught.value)


async def test_before_open_and_after_close_nothing_is_sent(wire: Wire) -> None:
    """A transport that has no connections says so."""
    transport = make(wire.environment)
    await transport.close()
    with pytest.raises(e.SessionClosedError):
        await transport.call(GET, decipher_success)
    await transport.open()
    await transport.close()
    await transport.close()
    with pytest.raises(e.SessionClosedError):
        await transport.call(GET, decipher_success)
    assert wire.seen == []


@pytest.mark.parametrize(("limit", "at_once"), [(0, 150), (3, 3)])
async def test_p10_connections_are_not_limited_unless_asked_for(
    wire: Wire, limit: int, at_once: int
) -> None:
    """More requests than aiohttp's default of 100 go out at once; `max_connections` bounds."""
    options = {} if limit == 0 else {"max_connections": limit}
    transport = make(wire.environment, timeouts=Timeouts(), **options)
    await transport.open()
    wire.replies = [hang]
    tasks = [asyncio.create_task(transport.call(GET, decipher_success)) for _ in range(150)]
    async with asyncio.timeout(10.0):
        while len(wire.seen) < at_once:
            await asyncio.sleep(UNIT / 2)
    await asyncio.sleep(UNIT)
    assert len(wire.seen) == wire.connections == at_once
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await transport.close()


async def test_p10_a_call_that_was_given_up_frees_its_connection(wire: Wire) -> None:
    """Where connections are limited, a canceled request leaves its place to the next."""
    transport = make(wire.environment, max_connections=1, retries=ONCE)
    await transport.open()
    wire.replies = [hang, OK]
    task = asyncio.create_task(transport.call(GET, decipher_success))
    while not wire.seen:
        await asyncio.sleep(UNIT / 4)
    task.cancel()
    await asyncio.wait((task,))
    await transport.call(GET, decipher_success)
    await transport.close()


async def test_a_connection_that_is_not_taken_is_told_in_time() -> None:
    """A host that drops what asks for a connection costs `connect` seconds, not `request`."""
    loop = asyncio.get_running_loop()
    with ExitStack() as sockets:
        full = sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Linux takes one more than it was asked to, and then lets no connection come about.
        for _ in range(3):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        base = f"http://127.0.0.1:{full.getsockname()[1]}"
        environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
        transport = make(
            environment, timeouts=Timeouts(connect=2 * UNIT, request=10.0), retries=ONCE
        )
        await transport.open()
        started = loop.time()
        with pytest.raises(e.RequestTimeoutError, match="no connection") as caught:
            await transport.call(POST, decipher_success)
        assert loop.time() - started < 5.0
        assert not caught.value.request_sent
        await transport.close()


async def test_requests_go_through_the_proxy(wire: Wire) -> None:
    """With `proxy` the proxy is asked, with the whole URL, and the host itself is not."""
    base = "http://localhost:1"  # where no one listens
    environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
    transport = make(environment, proxy=f"http://127.0.0.1:{wire.port}")
    await transport.open()
    wire.replies = [OK]
    await transport.call(GET, decipher_success)
    await transport.close()
    assert [seen.target for seen in wire.seen] == [base + "/v1" + GET.path]


async def test_connections_are_used_again(wire: Wire, transport: Transport) -> None:
    """One request after the other goes over one connection."""
    wire.replies = [OK]
    for _ in range(5):
        await transport.call(GET, decipher_success)
    assert wire.connections == 1


async def test_a_kept_connection_that_went_stale_does_not_lose_a_post(
    wire: Wire, transport: Transport
) -> None:
    """The gateway closes an idle connection: the next POST gets through, under its one key."""
    closing = OK.replace(b"Content-Length", b"content-length")  # the wire closes after it
    wire.replies = [closing, OK]
    await transport.call(GET, decipher_success)
    await transport.call(POST, decipher_success)
    assert {seen.headers["idempotency-key"] for seen in wire.seen[1:]} == {KEY}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_p7_a_session_with_its_own_auth_is_refused() -> None:
    """What would send a header of its own in the token's place is reported at once."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "canary")) as http:
        with pytest.raises(e.ConfigurationError) as caught:
            make(MOCKED, http_session=http)
    assert caught.value.field == "http_session"
    assert_clean(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("http_session", "x"), ("http_session", 1), ("ssl", False), ("ssl", "x")]
)
def test_wrong_options_are_named(name: str, value: object) -> None:
    """What is no aiohttp session, or no TLS context, is refused when the transport is built."""
    with pytest.raises(e.ConfigurationError) as caught:
        make(MOCKED, **{name: value})
    assert caught.value.field == name
