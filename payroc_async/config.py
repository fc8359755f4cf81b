"""A session's configuration: the gateway's addresses, timeouts and retries."""

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
"""The names of ``Environment.UAT`` and ``Environment.PRODUCTION``."""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine's loopback, where plain HTTP is safe."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_host(name: str) -> bool:
    """Whether the name is resolvable: an address, or labels within the limits of RFC 1035."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        labels = name.removesuffix(".").split(".")
        return len(name.removesuffix(".")) <= 253 and all(map(_is_label, labels))
    return True


def _is_label(label: str) -> bool:
    # Container names may hold underscores.
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", label):
        return False
    try:
        label.encode("ascii").decode("idna")  # a label that begins with "xn--" must be valid IDNA
    except UnicodeError:
        return False
    return True


def is_http_url(value: str) -> bool:
    """Whether the URL is an absolute http or https URL that is valid in a request."""
    # urlsplit ignores characters that are invalid in a request line: spaces, line breaks,
    # non-ASCII.
    if not re.fullmatch(r"[!-~]+", value) or re.search(r'[\\<>"{}|^`]', value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # unbalanced brackets, or a port that is not a number
        return False


_EXAMPLE = "https://api.payroc.com/v1"


def _shown(url: str) -> str:
    """Return the URL for the error text, unless it may hold a password or a key."""
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
            attribute.name, "must not hold a user name, password, query or fragment: remove them"
        )
    parts = urlsplit(value)
    if not is_host(parts.hostname or ""):
        raise ConfigurationError(
            attribute.name,
            f"must have a valid host name, not {parts.hostname!r}: each label has 1 to "
            "63 letters, digits and hyphens, and the name at most 253 characters",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            attribute.name,
            f"must be https{_shown(value)}: plain http is allowed only for loopback hosts",
        )


def _ends_in_v1(instance: Any, attribute: Attribute[str], value: str) -> None:
    if not urlsplit(value).path.endswith("/v1"):
        raise ConfigurationError(attribute.name, f"must end in /v1, as {_EXAMPLE}{_shown(value)}")


@frozen(kw_only=True)
class Environment:
    """The addresses of the gateway and its identity service.

    Source: contract section 1.

    Args:
        api_url: The API's base URL, ending in ``/v1``.
        identity_url: The full authorize URL.

    Raises:
        ConfigurationError: A URL is malformed, or uses plain http to a host other than loopback.
    """

    api_url: str = field(validator=[_valid_url, _ends_in_v1])
    identity_url: str = field(validator=_valid_url)

    UAT: ClassVar[Environment]
    """Payroc's test environment."""
    PRODUCTION: ClassVar[Environment]
    """Payroc's production environment: real cards, real money."""


# The address may contain a key or a password by mistake.
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
    """Refuse values that are not a positive, finite number of seconds.

    Raises:
        ConfigurationError: The value is not such a number.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):  # type: ignore[operator]
        raise ConfigurationError(name, f"must be a positive number of seconds, not {show(value)}")


def _seconds(instance: Any, attribute: Attribute[float], value: Any) -> None:
    check_seconds(attribute.name, value)


@frozen(kw_only=True)
class Timeouts:
    """Timeouts, in seconds.

    None of them limits the cardholder's time: that is ``timeout=`` of ``run_sale``.

    Args:
        connect: For a connection to the gateway.
        request: For the answer to any request except a status request.
        hold: How long the gateway holds a status request (contract section 2).
        hold_margin: How much longer than ``hold`` to wait for the answer to a status request.
        poll_interval: The minimum time between two status requests for one instruction, if the
            gateway answers without holding them.
        token: How long a call waits for a valid token.
        unreachable: How long a sale continues without any valid answer before it ends in
            ``OutcomeUnknownError``.
        cancel_grace: How long a canceled task, or ``aclose()``, waits for the gateway to confirm
            the cancellation of an instruction.
        journal: For the journal to commit a write. A failed or late write stops a sale that is
            about to be submitted, but no running sale.

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
    """Retries of failed requests: exponential backoff with full jitter.

    While money may be moving, ``Timeouts.unreachable`` limits the retries instead of ``attempts``.
    That concerns a submission that may have arrived, a status request, a cancellation, and the
    retrieval of a completed payment.

    Args:
        attempts: The maximum number of attempts, the first included.
        initial: The maximum delay before the first retry, in seconds; it doubles from there.
        maximum: The maximum delay before any retry, in seconds.
        retry_after_maximum: The maximum ``Retry-After`` that is honored, in seconds.
        idempotency_window: For how many seconds to rely on the gateway to remember a key. Payroc
            keeps each key for 7 days, and compares key, URI and body. The default is one day less,
            to allow for clock differences and late retries. A journal entry begun longer ago is
            never resubmitted.

    Raises:
        ConfigurationError: A value is out of range.
    """

    attempts: int = field(default=5, validator=_attempts)
    initial: float = field(default=0.5, validator=_seconds)
    maximum: float = field(default=10.0, validator=_seconds)
    retry_after_maximum: float = field(default=60.0, validator=_seconds)
    idempotency_window: float = field(default=6 * 86_400.0, validator=_seconds)
