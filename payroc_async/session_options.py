"""Checks of a session's options."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from .automatic_recovery import Recovery
from .config import Environment, RetryPolicy, Timeouts, is_host, is_http_url
from .errors import ConfigurationError
from .journal import Journal
from .secret import Secret
from .telemetry import Telemetry
from .wording import a_type, show, with_article

__all__ = ["as_environment", "check_journaling", "check_options", "environment_of", "settings"]

LONGEST_SCOPE = 200


def check_options(
    timeouts: object,
    retries: object,
    journal: object,
    telemetry: object,
    max_connections: object,
    proxy: object,
) -> None:
    """Refuse a session's options of a wrong type or value.

    Raises:
        ConfigurationError: An option is wrong; the error names it.
    """
    _check_type("timeouts", timeouts, Timeouts)
    _check_type("retries", retries, RetryPolicy)
    if journal is not None and not isinstance(journal, Journal):
        raise ConfigurationError(
            "journal", f'must be a journal, as SQLiteJournal("till.journal"), not {a_type(journal)}'
        )
    _check_telemetry(telemetry)
    _check_max_connections(max_connections)
    _check_proxy(proxy)


def check_journaling(
    journal: Journal | None, scope: object, recovery: object, retries: RetryPolicy
) -> None:
    """Refuse an invalid scope or recovery.

    Raises:
        ConfigurationError: One of them is wrong, or is given without a journal; the error names it.
    """
    if not isinstance(scope, str):
        raise ConfigurationError("scope", f"must be a string, not {a_type(scope)}")
    if len(scope) > LONGEST_SCOPE or not scope.isprintable() or scope != scope.strip():
        # The scope may be an API key by mistake: do not show it.
        raise ConfigurationError(
            "scope",
            f"must be a printable name of at most {LONGEST_SCOPE} characters, without blanks "
            "around it, such as the merchant's number; never the API key",
        )
    if recovery is None:
        return
    _check_type("recovery", recovery, Recovery)
    if journal is None:
        raise ConfigurationError(
            "recovery", "needs a journal: give the session one, as journal=SQLiteJournal(...)"
        )
    assert isinstance(recovery, Recovery)
    recovery.check_retention(retries.idempotency_window)


def _check_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise ConfigurationError(
            name, f"must be {with_article(expected.__name__)}, not {a_type(value)}"
        )


def _check_telemetry(value: object) -> None:
    if value is not None and not isinstance(value, Telemetry):
        expected = "must be an OpenTelemetry() of payroc_async.otel"
        raise ConfigurationError("telemetry", f"{expected}, not {a_type(value)}")


def _check_max_connections(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(
            "max_connections", f"must be a whole number, 0 for no limit, not {show(value)}"
        )


def _check_proxy(value: object) -> None:
    if value is None:
        return
    # The URL may hold a password: never show it.
    if not isinstance(value, str) or not is_http_url(value):
        raise ConfigurationError("proxy", "must be an http or https URL, as http://proxy:3128")
    if not is_host(urlsplit(value).hostname or ""):
        raise ConfigurationError("proxy", "must have a valid host name: check its labels")


_ENVIRONMENTS = {"uat": Environment.UAT, "production": Environment.PRODUCTION}


def as_environment(value: object) -> Environment:
    """Return the environment that an option selects.

    Raises:
        ConfigurationError: The option is neither an Environment nor the name of one.
    """
    if isinstance(value, Environment):
        return value
    found = _ENVIRONMENTS.get(value) if isinstance(value, str) else None
    if found is None:
        # Do not show the string: it may be a key in the wrong place.
        given = "another string" if isinstance(value, str) else a_type(value)
        raise ConfigurationError(
            "environment",
            'must be "uat", "production" or an Environment(api_url=..., identity_url=...), '
            f"not {given}",
        )
    return found


def settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the set variables that a session reads, with secrets masked in ``repr``."""
    plain = ("PAYROC_ENVIRONMENT", "PAYROC_API_URL", "PAYROC_IDENTITY_URL", "PAYROC_SCOPE")
    found = {name: variables[name] for name in plain if variables.get(name)}
    for name in ("PAYROC_API_KEY", "PAYROC_JOURNAL"):
        if variables.get(name):
            found[name] = Secret(variables[name])
    return found


def environment_of(variables: Mapping[str, str]) -> Environment:
    """Return the environment that the variables select.

    Raises:
        ConfigurationError: A variable is missing, wrong or contradicts another.
    """
    name = variables.get("PAYROC_ENVIRONMENT")
    api_url = variables.get("PAYROC_API_URL")
    identity_url = variables.get("PAYROC_IDENTITY_URL")
    if name:
        if api_url or identity_url:
            raise ConfigurationError(
                "PAYROC_ENVIRONMENT",
                "is set, and so is PAYROC_API_URL or PAYROC_IDENTITY_URL: unset one or the others",
            )
        if name not in _ENVIRONMENTS:
            raise ConfigurationError("PAYROC_ENVIRONMENT", "must be uat or production")
        return _ENVIRONMENTS[name]
    if not api_url and not identity_url:
        raise ConfigurationError(
            "PAYROC_ENVIRONMENT",
            "is not set, nor are PAYROC_API_URL and PAYROC_IDENTITY_URL: set it to uat or "
            "production",
        )
    for variable, value in (("PAYROC_API_URL", api_url), ("PAYROC_IDENTITY_URL", identity_url)):
        if not value:
            raise ConfigurationError(variable, "is not set, but the other URL is: set both or none")
    return Environment(api_url=api_url or "", identity_url=identity_url or "")
