"""The doctor's checks over the network: only the identity service and the API."""

from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from attrs import define, frozen

from payroc_async import (
    APIError,
    AuthenticationError,
    ForbiddenError,
    PayrocError,
    RetryPolicy,
    Timeouts,
)
from payroc_async.api.resources import Devices
from payroc_async.cli.phrases import counted
from payroc_async.http.transport import Transport
from payroc_async.wire.protocol import Answer

from .local_checks import Check, Gateway
from .terminal_checks import check_terminal

__all__ = ["Reached", "reach"]

PATIENCE = 10.0
"""Seconds for a connection, and for an answer."""
SOON = 14
"""Warn if a certificate expires within this many days."""
DAY = 86_400.0
SLOW = 5.0
"""The measuring error of a clock, in seconds: the answer's time, and the header's resolution."""
WRONG = 300.0
"""From this clock error on, in seconds, recovery may miss a payment or misjudge its age."""


@frozen
class Reached:
    """The checks' results, and the number of active devices; None if unknown."""

    checks: list[Check]
    devices: int | None = None


class _Listening(Transport):
    """A transport that records the server's time from its answers."""

    ahead: float | None = None
    """Seconds by which this machine's clock is ahead of the last server's."""

    async def _exchange(self, *args: Any, **kwargs: Any) -> Answer:
        answer = await super()._exchange(*args, **kwargs)
        try:
            there = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
        except ValueError:
            return answer
        self.ahead = time.time() - there - 0.5  # the header's resolution is one second
        return answer


@define
class _Given:
    """A provider of a token that was already fetched."""

    token: str

    def at_hand(self) -> str:
        return self.token

    async def get(self) -> str:
        return self.token

    def reject(self, token: str) -> None:
        """Do nothing: there is no other token."""


async def reach(
    gateway: Gateway, trust: ssl.SSLContext, *, count: bool, terminal: str | None = None
) -> Reached:
    """Run the checks that need the gateway, without selling anything.

    Args:
        gateway: The gateway's addresses.
        trust: The trusted certificates, as for the SDK.
        count: Whether to count the active devices.
        terminal: The terminal whose features to check; None for none.
    """
    urls = {
        "identity": gateway.environment.identity_url,
        "api": gateway.environment.api_url,
    }
    tls = await asyncio.gather(
        *(_check_tls(f"tls {name}", url, trust) for name, url in urls.items())
    )
    transport = _Listening(
        gateway.environment,
        timeouts=Timeouts(connect=PATIENCE, request=PATIENCE),
        retries=RetryPolicy(attempts=1),
        ssl=trust,
    )
    await transport.open()
    try:
        key, token = await _check_key(transport, gateway)
        api, devices = await _check_api(transport, gateway, token, count=count)
        terminals = []
        if terminal is not None and token is not None:
            terminals.append(await check_terminal(transport, terminal))
    finally:
        await transport.close()
    return Reached([*tls, key, api, *terminals, _check_clock(transport.ahead)], devices)


# The way there ----------


async def _check_tls(name: str, url: str, trust: ssl.SSLContext) -> Check:
    parts = urlsplit(url)
    if parts.scheme == "http":
        return Check(name, "ok", "plain HTTP, to this machine only")
    host, port = parts.hostname or "", parts.port or 443
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port, ssl=trust)
    except ssl.SSLCertVerificationError as error:
        return Check(
            name,
            "failed",
            f"{host}:{port}: the certificate is not trusted: {error.verify_message}",
            "check the clock; if a proxy decrypts TLS, set SSL_CERT_FILE to a file "
            "with its authority's certificate",
        )
    except ssl.SSLError as error:
        reason = (error.reason or "no agreement").replace("_", " ").lower()
        return Check(
            name,
            "failed",
            f"{host}:{port}: no TLS: {reason}",
            "ask the administrator of the network in between: TLS 1.2 or newer is required",
        )
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"timed out after {PATIENCE:g} s"
        return Check(
            name,
            "failed",
            f"{host}:{port}: no connection: {reason}",
            "check the network, DNS and the firewall: this host and port must be reachable "
            "without a proxy",
        )
    session = writer.get_extra_info("ssl_object")
    certificate, version = session.getpeercert(), session.version()
    writer.transport.abort()
    return _judge_certificate(name, f"{host}:{port}: {version}", certificate)


def _judge_certificate(name: str, what: str, certificate: dict[str, Any]) -> Check:
    end = ssl.cert_time_to_seconds(certificate["notAfter"])
    message = f"{what}, certificate until {time.strftime('%Y-%m-%d', time.gmtime(end))}"
    days = (end - time.time()) / DAY
    if days > SOON:
        return Check(name, "ok", message)
    return Check(
        name,
        "warning",
        f"{message}, {counted(round(days), 'day')} from now",
        "the server's operator must renew it: Payroc, or that of a proxy that decrypts TLS",
    )


# The key ----------


async def _check_key(transport: Transport, gateway: Gateway) -> tuple[Check, str | None]:
    name, where = "key", urlsplit(gateway.environment.identity_url).hostname
    try:
        token = await transport.authorize(gateway.api_key)
    except (AuthenticationError, ForbiddenError) as error:
        advice = "check that PAYROC_API_KEY is complete, not revoked, and from this environment"
        return Check(name, "failed", f"refused by {where}: {error}", advice), None
    except PayrocError as error:
        return Check(name, "failed", f"unknown: {error}", _advice(error)), None
    return Check(name, "ok", f"accepted by {where}"), token.value


async def _check_api(
    transport: Transport, gateway: Gateway, token: str | None, *, count: bool
) -> tuple[Check, int | None]:
    name, where = "api", urlsplit(gateway.environment.api_url).hostname
    if token is None:
        return Check(name, "warning", "not checked, because there is no token", "see `key`"), None
    transport.token_provider = _Given(token)
    devices = Devices(lambda: transport)
    found = 0
    try:
        async for _ in devices.search(active=True, limit=100 if count else 1):
            found += 1
            if not count:
                break
    except ForbiddenError as error:
        advice = "the key may not list devices; whether it may sell is unknown"
        return Check(name, "warning", f"{where} refused: {error}", advice), None
    except PayrocError as error:
        return Check(name, "failed", f"{where}: {error}", _advice(error)), None
    return Check(name, "ok", f"answered by {where}"), found if count else None


def _advice(error: PayrocError) -> str:
    if isinstance(error, APIError):
        return "try again later; if the error persists, ask Payroc"
    return "see the `tls` checks, and the address in the variables"


# The clock ----------


def _check_clock(ahead: float | None) -> Check:
    name = "clock"
    if ahead is None:
        return Check(
            name, "warning", "unknown, because no answer had a date", "see `key` and `api`"
        )
    if abs(ahead) <= SLOW:
        return Check(name, "ok", f"within {SLOW:g} s of the gateway's")
    message = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the gateway's"
    status: Any = "failed" if abs(ahead) > WRONG else "warning"
    return Check(name, status, message, "synchronize the system's clock: timedatectl set-ntp true")
