"""The only module that sends HTTP: one request, its retries, its errors.

aiohttp's exceptions stop here; what leaves is one of ours. A request goes to the configured API
origin or the identity URL and nowhere else: no redirect is followed, no cookie kept.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import partial
from http.cookies import BaseCookie
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from .config import Environment, RetryPolicy, Timeouts
from .errors import (
    ConfigurationError,
    PayrocError,
    RequestTimeoutError,
    ResponseFormatError,
    SessionClosedError,
    TransportError,
)
from .logs import get_logger
from .protocol import Answer, Request, Token, decipher_token
from .retry import Backoff, may_have_taken_effect
from .tasks import Patience
from .version import __version__

if TYPE_CHECKING:
    import stamina

__all__ = ["Bearer", "Transport"]

logger = get_logger(__name__)

T = TypeVar("T")

_RETRYING: ContextVar[bool] = ContextVar("payroc retry", default=False)
# stamina logs every retry at WARNING, as of a "<context block>". Ours say what they are about; an
# application's own go on as they were.
logging.getLogger("stamina").addFilter(lambda _: not _RETRYING.get())

USER_AGENT = f"payroc-async/{__version__}"
LARGEST_BODY = 8 * 1024 * 1024
"""Bytes read of one answer; a signature's image is the largest that the contract knows."""


class Bearer(Protocol):
    """Where a request gets its token from."""

    async def get(self) -> str:
        """A token to send."""
        ...

    def reject(self, token: str) -> None:
        """Told that the API refused this token."""
        ...


class _Limit(NamedTuple):
    """How long a request may take: what aiohttp is told, and what is waited with."""

    timeout: aiohttp.ClientTimeout
    patience: AbstractContextManager[None]


class Transport:
    """Sends requests to one environment over one connection pool.

    Args:
        environment: Where to send them.
        timeouts: How long to wait for connections and answers.
        retries: How to repeat what fails.
        http_session: A session of the caller's to send through; it is not closed here.
        max_connections: The pool's limit; 0 is none.
        ssl: A TLS context in place of the default one.
        proxy: The URL of an HTTP proxy.
    """

    bearer: Bearer
    """Set by the session before the first request."""

    def __init__(
        self,
        environment: Environment,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        http_session: aiohttp.ClientSession | None = None,
        max_connections: int = 0,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        if http_session is not None and not isinstance(http_session, aiohttp.ClientSession):
            raise ConfigurationError(
                "http_session",
                f"must be an aiohttp.ClientSession, not {type(http_session).__name__}",
            )
        # aiohttp 4 does away with it.
        if getattr(http_session, "auth", None) is not None:
            raise ConfigurationError("http_session", "must have no auth: the token takes its place")
        if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
            raise ConfigurationError("ssl", f"must be an SSLContext, not {type(ssl).__name__}")
        self._api_url = URL(environment.api_url, encoded=True)
        self._prefix = self._api_url.raw_path.rstrip("/")
        self._identity_url = URL(environment.identity_url)
        self._timeouts = timeouts
        self._retries = retries
        self._http = http_session
        self._owns_http = http_session is None
        self._max_connections = max_connections
        self._ssl: ssl_module.SSLContext | bool = True if ssl is None else ssl
        self._proxy = proxy
        self._token = self._authorization = ""
        self._set_limits()

    def _set_limits(self) -> None:
        self._request_limit = self._limit(self._timeouts.request)
        self._held_limit = self._limit(self._timeouts.hold + self._timeouts.hold_margin)

    def _limit(self, seconds: float) -> _Limit:
        connect = self._timeouts.connect
        if not self._owns_http:
            # Only our own requests say when they leave.
            return _Limit(aiohttp.ClientTimeout(total=seconds, sock_connect=connect), nullcontext())
        # aiohttp would make a timer for each request: a tenth of what a sale costs.
        return _Limit(aiohttp.ClientTimeout(sock_connect=connect), Patience(seconds))

    async def open(self) -> None:
        """Make the connection pool, in the running loop."""
        # Not at the import of all this: it takes a while. Nor at its first retry, when it imports
        # what it tells of retries with, structlog or prometheus_client: that would be in the midst
        # of a sale, and takes files.
        from stamina import instrumentation

        instrumentation.get_on_retry_hooks()
        self._set_limits()  # those of an earlier loop would look at its waits
        if self._owns_http:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                cookie_jar=_NoCookies(),
                headers={"User-Agent": USER_AGENT},
                request_class=_Request,
                response_class=_Response,
            )

    async def close(self) -> None:
        """Close the connections, unless they are the caller's own."""
        if self._owns_http and self._http is not None:
            await self._http.close()

    async def authorize(self, api_key: str) -> Token:
        """A new token, from one request to the identity service.

        Raises:
            APIError: It refused.
            TransportError: It gave no answer.
            ResponseFormatError: Its answer holds no token.
        """
        headers = {"x-api-key": api_key}
        return decipher_token(
            await self._exchange(
                "POST", self._identity_url, headers, None, self._request_limit, api_key
            )
        )

    async def call(
        self,
        request: Request,
        decipher: Callable[[Answer], T],
        *,
        held: bool = False,
        backoff: Callable[[], Backoff] | None = None,
    ) -> T:
        """What ``decipher`` makes of the answer, after as many tries as ``backoff`` allows.

        Args:
            request: The request; every try sends the same bytes.
            decipher: Turns an answer into a value, or raises one of our errors.
            held: Whether the gateway holds the answer while nothing changes.
            backoff: Makes what decides about retries, once there is a failure; by default the
                session's ``RetryPolicy`` does.

        Raises:
            PayrocError: The last try's failure, or why there is no token.

        Cancellation:
            The connection of the try under way is closed; it may have taken effect.
        """
        lost = False
        """Whether a try may have taken effect: a refusal of a later one does not undo it."""
        try:
            # A token that can't be had is never retried here: its task has its own backoff.
            token = await self.bearer.get()
            # The first try runs without stamina, so that the common path costs nothing.
            try:
                answer = await self._send(request, token, held)
                if answer.status == 401:
                    answer = await self._send_anew(request, token, held)
                return decipher(answer)
            except PayrocError as error:
                failure = error
            lost = may_have_taken_effect(failure)
            policy = self._retries
            hook = backoff() if backoff else Backoff(policy, on_retry=partial(_log_retry, request))
            async for attempt in _Attempts(hook):
                token = await self.bearer.get()
                with attempt:
                    if attempt.num == 1:
                        raise failure  # the first try's, which stamina has not seen
                    try:
                        answer = await self._send(request, token, held)
                        if answer.status == 401:
                            answer = await self._send_anew(request, token, held)
                        return decipher(answer)
                    except PayrocError as error:
                        lost = lost or may_have_taken_effect(error)
                        raise
        except PayrocError as error:
            if request.idempotency_key is not None:
                error.idempotency_key = request.idempotency_key
                error.may_have_taken_effect = lost
                if isinstance(error, TransportError):
                    error.request_sent = error.request_sent or lost
            raise
        raise AssertionError("stamina ends by raising")

    def _send(self, request: Request, token: str, held: bool) -> Awaitable[Answer]:
        if token != self._token:
            # One string for all requests in flight: a token may be long.
            self._token, self._authorization = token, f"Bearer {token}"
        headers = {"Authorization": self._authorization}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.idempotency_key is not None:
            headers["Idempotency-Key"] = request.idempotency_key
        path, _, query = request.path.partition("?")
        url = self._api_url.with_path(self._prefix + path, encoded=True)  # parses no host anew
        return self._exchange(
            request.method,
            URL(f"{url}?{query}", encoded=True) if query else url,
            headers,
            request.body,
            self._held_limit if held else self._request_limit,
            token,
        )

    async def _send_anew(self, request: Request, refused: str, held: bool) -> Answer:
        """P6: a token refused with 401 is dropped, and the request repeated once."""
        self.bearer.reject(refused)
        return await self._send(request, await self.bearer.get(), held)

    async def _exchange(
        self,
        method: str,
        url: URL,
        headers: dict[str, str],
        body: bytes | None,
        limit: _Limit,
        secret: str,
    ) -> Answer:
        """One HTTP exchange. Every exception of aiohttp's ends here."""
        if self._http is None or self._http.closed:
            raise SessionClosedError("the connections are closed")
        task = asyncio.current_task()
        try:
            with limit.patience:
                response = await self._http.request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=limit.timeout,
                    allow_redirects=False,
                    raise_for_status=False,
                    ssl=self._ssl,
                    proxy=self._proxy,
                )
                # Read to its end, it has given its connection back; if not, that is closed.
                answer = Answer(response.status, response.headers, await _read(response))
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("%s %s: %d", method, url.raw_path, answer.status)
            return _without_secret(answer, secret)
        except aiohttp.ConnectionTimeoutError as error:
            raise RequestTimeoutError("no connection in time", request_sent=False) from error
        except TimeoutError as error:
            patience_is_over = isinstance(error.__cause__, asyncio.CancelledError)
            if self._owns_http and patience_is_over and task not in _LEFT:
                raise RequestTimeoutError("no connection in time", request_sent=False) from error
            raise RequestTimeoutError("no answer in time", request_sent=True) from error
        except aiohttp.ClientConnectorError as error:
            raise TransportError(f"no connection: {error}", request_sent=False) from error
        except aiohttp.ClientResponseError as error:
            proxy_refused = isinstance(error, aiohttp.ClientHttpProxyError)
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            raise _broken(error) from error
        finally:
            _LEFT.discard(task)
        # aiohttp's response errors carry the request's headers in their repr, the token among them,
        # and their causes the line that could not be read, which may echo it: none is chained here,
        # and this is raised outside of the handler.
        reason = "the proxy refused" if proxy_refused else "the answer is not HTTP"
        raise TransportError(reason, request_sent=not proxy_refused)


class _Attempts:
    """stamina's attempts, without what it would log of them."""

    def __init__(self, hook: Backoff) -> None:
        import stamina  # the transport's opening has loaded it

        self._attempts = aiter(stamina.retry_context(on=hook, attempts=None, timeout=None))

    def __aiter__(self) -> AsyncIterator[stamina.Attempt]:
        return self

    async def __anext__(self) -> stamina.Attempt:
        before = _RETRYING.set(True)
        try:
            return await anext(self._attempts)
        finally:
            _RETRYING.reset(before)


def _log_retry(request: Request, error: Exception, failures: int, delay: float) -> None:
    """Of a call that is not a sale's: those say more, and themselves."""
    logger.info(
        "%s %s failed %d times, the next try is in %.2f s: %s",
        request.method,
        request.path.partition("?")[0],
        failures,
        delay,
        error,
        extra={"idempotency_key": request.idempotency_key},
    )


class _NoCookies(aiohttp.DummyCookieJar):
    """Keeps no cookie, and says so with one object for all requests."""

    def __init__(self) -> None:
        super().__init__()
        self._none: BaseCookie[str] = BaseCookie()

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        return self._none


_LEFT: set[asyncio.Task[Any] | None] = set()
"""The tasks whose request under way has got a connection, and may have gone out on it."""


class _Request(aiohttp.ClientRequest):
    """A request that says when it leaves: before, it waits for a connection and does nothing."""

    def send(self, conn: Connection) -> Any:
        _LEFT.add(asyncio.current_task())
        return super().send(conn)  # no coroutine around it: there are three in every sale


class _Response(aiohttp.ClientResponse):
    """A response that comes of a request sent once, and is given up at once when it is given up."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        # aiohttp repeats a GET or DELETE by itself when its connection breaks, on its own errors
        # alone. Retries are ours: counted, told and delayed.
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _broken(error) from error

    def close(self) -> None:
        # Over TLS, closing waits up to 30 s for the other side's goodbye; until then a middle-box
        # sees no end of the connection and keeps the status request open at the gateway (P2).
        connection = self.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        super().close()


def _broken(error: BaseException) -> TransportError:
    reason = str(error) or type(error).__name__
    return TransportError(f"the connection broke: {reason}", request_sent=True)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, decompressed, unless it is larger than anything the contract knows."""
    content = response.content
    chunks: list[bytes] = []
    size = 0
    try:
        while True:
            # Mostly the body came together with its headers, and there is nothing to wait for.
            chunk = content.read_nowait() if content.is_eof() else await content.readany()
            if not chunk:
                break
            size += len(chunk)
            if size > LARGEST_BODY:
                raise ResponseFormatError(f"the answer is larger than {LARGEST_BODY} bytes")
            chunks.append(chunk)
    except BaseException:
        response.close()  # leaving its context alone would let it linger
        raise
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _without_secret(answer: Answer, secret: str) -> Answer:
    """The answer; in an error's, the secret it may echo is blotted out, for errors get printed."""
    if answer.status < 400:
        return answer
    body = answer.body.replace(secret.encode(), b"***")
    headers = {name.lower(): value.replace(secret, "***") for name, value in answer.headers.items()}
    return Answer(answer.status, headers, body)
