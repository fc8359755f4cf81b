"""What a session is configured with: where the gateway is, how long to wait, how often to retry."""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from attrs import Attribute, field, frozen

from .errors import ConfigurationError
from .secret import refusing_unseen
from .wording import a_type, show

__all__ = ["Environment", "EnvironmentName", "RetryPolicy", "Timeouts"]

EnvironmentName = Literal["uat", "production"]
"""``Environment.UAT`` and ``Environment.PRODUCTION`` as words."""


def is_loopback(host: str) -> bool:
    """Whether this host is this machine, and nobody else can listen in."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_host(name: str) -> bool:
    """Whether a resolver may take this name: an address, or labels as RFC 1035 bounds them."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        labels = name.removesuffix(".").split(".")
        return len(name.removesuffix(".")) <= 253 and all(map(_is_label, labels))
    return True


def _is_label(label: str) -> bool:
    # Underscores are in the names of containers.
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label):
        return False
    try:
        label.encode("ascii").decode("idna")  # what begins with "xn--" must mean something
    except UnicodeError:
        return False
    return True


def is_http_url(value: str) -> bool:
    """Whether it is an absolute http or https URL as it would stand in a request."""
    # urlsplit passes over what no request line may hold: spaces, line breaks, letters not in ASCII.
    if not re.fullmatch(r"[!-~]+", value) or re.search(r'[\\<>"{}|^`]', value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        return False


_EXAMPLE = "https://api.payroc.com/v1"


def _shown(url: str) -> str:
    """What the URL is, unless it may hold a password or a key."""
    return "" if re.search("[@?#]", url) else f", not {show(url)}"


def _valid_url(instance: Any, attribute: Attribute[str], value: Any) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(attribute.name, f"must be a URL as a string, not {a_type(value)}")
    if not is_http_url(value):
        raise ConfigurationError(
            attribute.name, f"must be an absolute https URL, such as {_EXAMPLE}{_shown(value)}"
        )
    if re.search("[@?#]", value):
        raise ConfigurationError(
            attribute.name, "must hold no user name, password, query or fragment: leave them out"
        )
    parts = urlsplit(value)
    if not is_host(parts.hostname or ""):
        raise ConfigurationError(
            attribute.name,
            f"must name a host that can exist, not {parts.hostname!r}: between its dots stand 1 to "
            "63 letters, digits and hyphens, in all at most 253 characters",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            attribute.name, f"must be https{_shown(value)}: plain http is for loopback hosts alone"
        )


def _ends_in_v1(instance: Any, attribute: Attribute[str], value: str) -> None:
    if not urlsplit(value).path.endswith("/v1"):
        raise ConfigurationError(attribute.name, f"must end in /v1, as {_EXAMPLE}{_shown(value)}")


@frozen(kw_only=True)
class Environment:
    """Where the gateway and its identity service are.

    Source: contract section 1.

    Args:
        api_url: The API's base, ending in ``/v1``.
        identity_url: The whole authorize URL.

    Raises:
        ConfigurationError: A URL is malformed, or plain http to a host that is not loopback.
    """

    api_url: str = field(validator=[_valid_url, _ends_in_v1])
    identity_url: str = field(validator=_valid_url)

    UAT: ClassVar[Environment]
    """Payroc's test environment."""
    PRODUCTION: ClassVar[Environment]
    """Payroc's production environment: real cards, real money."""


# An address may have a key or a password in it, by mistake.
Environment.__init__ = refusing_unseen(ConfigurationError)(  # type: ignore[method-assign]
    Environment.__init__
)
Environment.UAT = Environment(
    api_url="https://api.uat.payroc.com/v1",
    identity_url="https://identity.uat.payroc.com/authorize",
)
Environment.PRODUCTION = Environment(
    api_url="https://api.payroc.com/v1",
    identity_url="https://identity.payroc.com/authorize",
)


def check_seconds(name: str, value: object) -> None:
    """Refuse what is no positive, finite number of seconds.

    Raises:
        ConfigurationError: It is another number, or no number.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):  # type: ignore[operator]
        raise ConfigurationError(name, f"must be a positive number of seconds, not {show(value)}")


def _seconds(instance: Any, attribute: Attribute[float], value: Any) -> None:
    check_seconds(attribute.name, value)


@frozen(kw_only=True)
class Timeouts:
    """How long to wait, in seconds.

    None of them bounds how long the cardholder may take: that is ``timeout=`` of ``run_sale``.

    Args:
        connect: For a connection to the gateway.
        request: For the answer to any request but a status request.
        hold: How long the gateway holds a status request (contract section 2).
        hold_margin: How much longer than ``hold`` a status request waits for its answer.
        poll_interval: The least time between two status requests for one instruction, when the
            gateway answers without holding them.
        token: How long a call waits for a token when there is no valid one.
        unreachable: How long a sale goes on without one good answer before it ends in
            ``OutcomeUnknownError``.
        cancel_grace: How long a cancelled task, or ``aclose()``, waits for the gateway to confirm
            the cancellation of an instruction.
        journal: For the journal to commit a write. One that fails or takes longer stops a sale
            that is about to be submitted, and no other.

    Raises:
        ConfigurationError: A value is not a positive number.
    """

    connect: float = field(default=10.0, validator=_seconds)
    request: float = field(default=30.0, validator=_seconds)
    hold: float = field(default=60.0, validator=_seconds)
    hold_margin: float = field(default=15.0, validator=_seconds)
    poll_interval: float = field(default=1.0, validator=_seconds)
    token: float = field(default=30.0, validator=_seconds)
    unreachable: float = field(default=120.0, validator=_seconds)
    cancel_grace: float = field(default=10.0, validator=_seconds)
    journal: float = field(default=5.0, validator=_seconds)


def _attempts(instance: Any, attribute: Attribute[int], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            attribute.name, f"must be a whole number of at least 1, not {show(value)}"
        )


@frozen(kw_only=True)
class RetryPolicy:
    """How a failed request is repeated: exponential backoff with full jitter.

    Where money may be moving, ``attempts`` does not count but ``Timeouts.unreachable`` does: a
    submission that may have arrived, a status request, a cancellation and the reading of a
    completed payment are repeated for that long.

    Args:
        attempts: How often a request is sent at most, the first time included.
        initial: The longest delay before the first retry, in seconds; it doubles from there.
        maximum: The longest delay before any retry, in seconds.
        retry_after_maximum: The longest ``Retry-After`` that is honoured, in seconds.
        idempotency_window: For how many seconds the gateway is trusted to know a key. Payroc keeps
            each for 7 days, and compares key, URI and body; the default is a day less, for two
            clocks and a late retry. What the journal says was begun longer ago is never submitted
            again.

    Raises:
        ConfigurationError: A value is out of range.
    """

    attempts: int = field(default=5, validator=_attempts)
    initial: float = field(default=0.5, validator=_seconds)
    maximum: float = field(default=10.0, validator=_seconds)
    retry_after_maximum: float = field(default=60.0, validator=_seconds)
    idempotency_window: float = field(default=6 * 86_400.0, validator=_seconds)
