"""Checks of what a session is built with."""

from __future__ import annotations

from collections.abc import Mapping

from .config import Environment, RetryPolicy, Timeouts, is_http_url
from .errors import ConfigurationError
from .journal import Journal
from .telemetry import Telemetry

__all__ = ["check_options", "environment_of"]


def check_options(
    environment: object,
    timeouts: object,
    retries: object,
    journal: object,
    telemetry: object,
    max_connections: object,
    proxy: object,
) -> None:
    """Refuse options of a session that are of a wrong type or value.

    Raises:
        ConfigurationError: An option is wrong; it is named.
    """
    _check_type("environment", environment, Environment)
    _check_type("timeouts", timeouts, Timeouts)
    _check_type("retries", retries, RetryPolicy)
    if journal is not None and not isinstance(journal, Journal):
        raise ConfigurationError("journal", f"must be a journal, not {type(journal).__name__}")
    _check_telemetry(telemetry)
    _check_max_connections(max_connections)
    _check_proxy(proxy)


def _check_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise ConfigurationError(
            name, f"must be of type {expected.__name__}, not {type(value).__name__}"
        )


def _check_telemetry(value: object) -> None:
    if value is not None and not isinstance(value, Telemetry):
        expected = "must be an OpenTelemetry of payroc_async.otel"
        raise ConfigurationError("telemetry", f"{expected}, not {type(value).__name__}")


def _check_max_connections(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError("max_connections", "must be a whole number, 0 for no limit")


def _check_proxy(value: object) -> None:
    if value is None:
        return
    # Its text may hold a password: it is never shown.
    if not isinstance(value, str) or not is_http_url(value):
        raise ConfigurationError("proxy", "must be an http or https URL")


def environment_of(variables: Mapping[str, str]) -> Environment:
    """The environment that the variables name.

    Raises:
        ConfigurationError: A variable is missing, wrong or contradicts another.
    """
    name = variables.get("PAYROC_ENVIRONMENT")
    api_url = variables.get("PAYROC_API_URL")
    identity_url = variables.get("PAYROC_IDENTITY_URL")
    if name:
        if api_url or identity_url:
            raise ConfigurationError(
                "PAYROC_ENVIRONMENT", "is set, and so is PAYROC_API_URL or PAYROC_IDENTITY_URL"
            )
        named = {"uat": Environment.UAT, "production": Environment.PRODUCTION}
        if name not in named:
            raise ConfigurationError("PAYROC_ENVIRONMENT", "must be uat or production")
        return named[name]
    if not api_url and not identity_url:
        raise ConfigurationError(
            "PAYROC_ENVIRONMENT", "is not set, nor are PAYROC_API_URL and PAYROC_IDENTITY_URL"
        )
    for variable, value in (("PAYROC_API_URL", api_url), ("PAYROC_IDENTITY_URL", identity_url)):
        if not value:
            raise ConfigurationError(variable, "is not set, but the other URL is")
    return Environment(api_url=api_url or "", identity_url=identity_url or "")
