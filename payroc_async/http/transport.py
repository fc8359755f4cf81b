"""The only module that sends HTTP. aiohttp's exceptions stop here; what leaves is one of ours.

A request goes to the configured API origin or the identity URL and nowhere else: no redirect is
followed, no cookie kept.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol, TypeVar

import aiohttp
from attrs import define
from yarl import URL

from payroc_async.config import Environment, RetryPolicy, Timeouts
from payroc_async.errors import (
    ConfigurationError,
    PayrocError,
    SessionClosedError,
    TransportError,
)
from payroc_async.logs import get_logger
from payroc_async.retry import backoff_delay, may_have_taken_effect, worth_retrying
from payroc_async.secret import Secret, SecretBytes, forget_frames
from payroc_async.shared_timeout import SharedTimeout
from payroc_async.version import __version__
from payroc_async.wire.answers import without_secret
from payroc_async.wire.protocol import Answer, Request, Token, decipher_token
from payroc_async.wording import a_type

from .adapter import (
    CAN_SEND_DIRECTLY,
    DEPARTURE,
    Connector,
    Departure,
    DirectResponse,
    DirectSender,
    NoCookies,
    SingleRequest,
    SingleResponse,
)
from .body import read_body
from .failures import ENDING, failure_of
from .proxy import parts_of_proxy

__all__ = ["Exchange", "TokenProvider", "Transport"]

logger = get_logger(__name__)

T = TypeVar("T")

HEADERS = {"User-Agent": f"payroc-async/{__version__}"}
"""Of every request, whatever it asks for."""
LONGEST_HEADER = 64 * 1024 + 256
"""Bytes of a header: a value of 64 KB, and its name."""
MOST_HEADERS = 512
HEADER_LIMITS: dict[str, Any] = {
    "max_line_size": LONGEST_HEADER,
    "max_field_size": LONGEST_HEADER,
    "max_headers": MOST_HEADERS,
}


class TokenProvider(Protocol):
    """Where a request gets its token from."""

    def at_hand(self) -> str | None:
        """The token to send, if there is one now: waiting for it would cost a coroutine."""
        ...

    async def get(self) -> str:
        """A token to send."""
        ...

    def reject(self, token: str) -> None:
        """Drop a token that the API refused."""
        ...


class Limit(NamedTuple):
    """How long a request may take: what aiohttp is given, and what is waited with."""

    timeout: aiohttp.ClientTimeout
    patience: AbstractContextManager[None]


@define(eq=False, repr=False)  # frozen ones are slower to make, and each request makes one
class Exchange:
    """One HTTP exchange, with what must not show in the frames that it passes through."""

    method: str
    base: URL
    """Where it goes, but for the path."""
    path: str
    """Percent-encoded, with its query."""
    headers: dict[str, str]
    body: bytes | None
    limit: Limit
    secret: Secret
    """The token or key that it carries."""
    resend: int = 0
    """How often the request was sent before."""

    @property
    def url(self) -> URL:
        """Where it goes."""
        path, _, query = self.path.partition("?")
        url = self.base.with_path(path, encoded=True)  # parses no host anew
        return URL(f"{url}?{query}", encoded=True) if query else url


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

    token_provider: TokenProvider
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
                f"must be an aiohttp.ClientSession, not {a_type(http_session)}",
            )
        # aiohttp 4 does away with it.
        if getattr(http_session, "auth", None) is not None:
            raise ConfigurationError(
                "http_session", "must be made without auth: the token takes its place"
            )
        if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
            raise ConfigurationError(
                "ssl", f"must be an SSLContext, as ssl.create_default_context(), not {a_type(ssl)}"
            )
        self._api_url = URL(environment.api_url, encoded=True)
        self._prefix = self._api_url.raw_path.rstrip("/")
        self._identity_url = URL(environment.identity_url)
        self._timeouts = timeouts
        self._retries = retries
        self._http = http_session
        self._owns_http = http_session is None
        self._max_connections = max_connections
        self._direct: DirectSender | None = None
        self._proxy_authorization: Secret | None = None
        self._options: dict[str, Any] = {"allow_redirects": False, "ssl": ssl or True}
        if not self._owns_http:  # chosen for every request: those of the session may be others
            self._options |= {"raise_for_status": False, "auto_decompress": True, **HEADER_LIMITS}
        if proxy is not None:
            self._set_proxy(Secret(proxy))
        # aiohttp's own there is application/octet-stream. Skipping copies a request's headers.
        self._bodiless: dict[str, Any] = self._options | {"skip_auto_headers": ("Content-Type",)}
        self._token = self._authorization = Secret()
        self._set_limits()

    def _set_proxy(self, proxy: Secret) -> None:
        parts = parts_of_proxy(proxy)
        if parts is None:
            raise ConfigurationError("proxy", "can't be read: percent-encode its user and password")
        self._options["proxy"], self._proxy_authorization = parts
        if self._proxy_authorization is not None:
            self._options["proxy_headers"] = {"Proxy-Authorization": self._proxy_authorization}

    def _set_limits(self) -> None:
        self._request_limit = self._limit(self._timeouts.request)
        self._held_limit = self._limit(self._timeouts.hold + self._timeouts.hold_margin)

    def _limit(self, seconds: float) -> Limit:
        connect = self._timeouts.connect
        if not self._owns_http:
            # Only our own requests say when they leave.
            return Limit(aiohttp.ClientTimeout(total=seconds, sock_connect=connect), nullcontext())
        # aiohttp would make a timer for each request: a tenth of what a sale costs.
        return Limit(aiohttp.ClientTimeout(sock_connect=connect), SharedTimeout(seconds))

    async def open(self) -> None:
        """Make the connection pool, in the running loop."""
        self._set_limits()  # the timers of an earlier loop would never ring
        if self._owns_http:
            self._http = aiohttp.ClientSession(
                connector=Connector(limit=self._max_connections),
                cookie_jar=NoCookies(),
                headers=HEADERS,
                request_class=SingleRequest,
                response_class=SingleResponse,
                **HEADER_LIMITS,
            )
            if CAN_SEND_DIRECTLY and "proxy" not in self._options:
                ssl = self._options["ssl"]
                self._direct = DirectSender(self._http, self._api_url, HEADERS, ssl, HEADER_LIMITS)

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
        url, limit, secret = self._identity_url, self._request_limit, Secret(api_key)
        del api_key
        headers: dict[str, str] = {"x-api-key": secret}
        self._add_proxy_authorization(headers, url)
        path = url.raw_path_qs
        answer = await self._exchange(Exchange("POST", url, path, headers, None, limit, secret))
        try:
            return decipher_token(answer)
        except PayrocError as error:
            raise forget_frames(error)  # noqa: B904 - the same error

    def send(
        self, request: Request, token: str, *, held: bool = False, resend: int = 0
    ) -> Awaitable[Answer]:
        """The answer to one request, whatever its status. A token refused with 401 is dropped (P6).

        Args:
            request: The request.
            token: The token to send.
            held: Whether the gateway holds the answer while nothing changes.
            resend: How often the request was sent before.

        Raises:
            PayrocError: No answer came, or none that can be read.

        Cancellation:
            The connection is closed; the request may have taken effect.
        """
        if token != self._token:
            # One string for all requests in flight: a token may be long.
            self._token, self._authorization = Secret(token), Secret(f"Bearer {token}")
        headers: dict[str, str] = {"Authorization": self._authorization}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.idempotency_key is not None:
            headers["Idempotency-Key"] = request.idempotency_key
        if self._proxy_authorization is not None:
            self._add_proxy_authorization(headers, self._api_url)
        exchange = Exchange(
            request.method,
            self._api_url,
            self._prefix + request.path,
            headers,
            None if request.body is None else SecretBytes(request.body),
            self._held_limit if held else self._request_limit,
            self._token,
            resend,
        )
        return self._exchange(exchange)  # no coroutine around it

    def _add_proxy_authorization(self, headers: dict[str, str], url: URL) -> None:
        """Over plain http, the proxy reads its own header among those of the request."""
        if self._proxy_authorization is not None and url.scheme == "http":
            headers["Proxy-Authorization"] = self._proxy_authorization

    async def call(
        self, request: Request, decipher: Callable[[Answer], T], *, held: bool = False
    ) -> T:
        """What ``decipher`` makes of the answer, after at most ``RetryPolicy.attempts`` failures.

        Args:
            request: The request; every attempt sends the same bytes.
            decipher: Turns an answer into a value, or raises one of our errors.
            held: Whether the gateway holds the answer while nothing changes.

        Raises:
            PayrocError: The last attempt's failure, or why there is no token.

        Cancellation:
            The connection of the attempt in flight is closed; it may have taken effect.
        """
        lost = False  # whether an attempt may have taken effect: a later refusal does not undo it
        failures = 0
        try:
            while True:
                token = await self.token_provider.get()  # has a backoff of its own
                try:
                    answer = await self.send(request, token, held=held, resend=failures)
                    if answer.status == 401:
                        token = await self.token_provider.get()
                        answer = await self.send(request, token, held=held, resend=failures + 1)
                    return decipher(answer)
                except PayrocError as error:
                    forget_frames(error)  # the decoder's hold what the answer says
                    failures += 1
                    lost = lost or may_have_taken_effect(error)
                    if failures >= self._retries.attempts or not worth_retrying(error):
                        raise error
                    delay = backoff_delay(error, failures, self._retries)
                    _log_retry(request, error, failures, delay)
                await asyncio.sleep(delay)
        except PayrocError as error:
            if not request.changes_nothing:
                error.idempotency_key = request.idempotency_key
                error.may_have_taken_effect = lost
                if isinstance(error, TransportError):
                    error.request_sent = error.request_sent or lost
            raise

    async def _exchange(self, exchange: Exchange) -> Answer:
        """One HTTP exchange. Every exception ends here, but for those that end a task."""
        if self._http is None or self._http.closed:
            raise SessionClosedError("the connections are closed")
        departure = Departure()
        status: int | None = None
        try:
            with exchange.limit.patience:
                if (
                    self._direct is not None
                    and exchange.base is self._api_url
                    and self._direct.is_possible()
                ):
                    response: DirectResponse | aiohttp.ClientResponse = await self._direct.send(
                        exchange.method,
                        exchange.path,
                        exchange.headers,
                        exchange.body,
                        exchange.limit.timeout,
                        departure,
                    )
                else:
                    response = await self._send_by_session(exchange, departure)
                status = response.status
                # Read to the end, it has given its connection back; if not, that is closed.
                body = await read_body(response)
            if logger.isEnabledFor(logging.DEBUG):
                path = exchange.path.partition("?")[0]  # a query may hold a cardholder's name
                logger.debug("%s %s: %d", exchange.method, path, status)
            if status < 400:
                return Answer(status, response.headers, body)
            if status == 401 and exchange.secret is self._token:
                self.token_provider.reject(self._token)
            answer = Answer(status, response.headers, body, exchange.base.host or "")
            return without_secret(answer, exchange.secret)
        except ENDING:
            raise
        except BaseException as error:
            # Only our own requests say when they leave.
            sent = departure.happened or not self._owns_http
            failure = failure_of(error, sent=sent, secret=exchange.secret, status=status)
        try:
            raise failure  # outside of the handler: aiohttp's errors show headers and answers
        finally:
            del failure  # which refers to this frame

    async def _send_by_session(
        self, exchange: Exchange, departure: Departure
    ) -> aiohttp.ClientResponse:
        assert self._http is not None
        bodiless = exchange.body is None and exchange.method != "GET"
        DEPARTURE.set(departure)  # of this task alone, which sends one request at a time
        try:
            return await self._http.request(
                exchange.method,
                exchange.url,
                data=exchange.body,
                headers=exchange.headers,
                timeout=exchange.limit.timeout,
                **(self._bodiless if bodiless else self._options),
            )
        finally:
            DEPARTURE.set(None)  # a connection that is opened now keeps a copy of the context


def _log_retry(request: Request, error: Exception, failures: int, delay: float) -> None:
    logger.info(
        "%s %s failed %d times, the next try is in %.2f s: %s",
        request.method,
        request.path.partition("?")[0],
        failures,
        delay,
        error,
        extra={"idempotency_key": request.idempotency_key},
    )
