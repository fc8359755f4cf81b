"""What a session is configured with: each bad value names its field, and nothing needs a loop."""

from __future__ import annotations

import inspect
import math
import ssl
from typing import Any

import attrs
import pytest

from payroc_async import (
    ConfigurationError,
    Environment,
    PayrocSession,
    RetryPolicy,
    Timeouts,
)

API_URL = "https://api.example.com/v1"
IDENTITY_URL = "https://identity.example.com/authorize"
KEY = "canary-key"


def environment(**other: Any) -> Environment:
    return Environment(**{"api_url": API_URL, "identity_url": IDENTITY_URL, **other})


def refused(make: Any, field: str) -> ConfigurationError:
    """The error that `make` raises; it names the field."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: {caught.value.reason}"
    return caught.value


# Environment ----------


def test_the_published_environments() -> None:
    """UAT and production are as contract section 1 has them."""
    assert Environment.UAT.api_url == "https://api.uat.payroc.com/v1"
    assert Environment.UAT.identity_url == "https://identity.uat.payroc.com/authorize"
    assert Environment.PRODUCTION.api_url == "https://api.payroc.com/v1"
    assert Environment.PRODUCTION.identity_url == "https://identity.payroc.com/authorize"


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "127.0.0.2",
        "127.255.255.254:1",
        "[::1]",
        "[::1]:8080",
        "localhost",
        "localhost:8080",
        "LOCALHOST",
    ],
)
def test_p7_plain_http_is_taken_for_loopback(field: str, host: str) -> None:
    """Plain http to this machine is taken."""
    url = f"http://{host}/v1"
    assert getattr(environment(**{field: url}), field) == url


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    "host",
    [
        "api.payroc.com",
        "10.0.0.1",
        "192.168.1.1",
        "0.0.0.0",
        "128.0.0.1",
        "[::]",
        "[::2]",
        "[fe80::1]",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "notlocalhost",
        "127.1",
        "2130706433",
    ],
)
def test_p7_plain_http_is_refused_elsewhere(field: str, host: str) -> None:
    """Plain http to any other host is refused, however much it looks like loopback."""
    error = refused(lambda: environment(**{field: f"http://{host}/v1"}), field)
    assert "must be https" in error.reason


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "garbage",
        "/v1",
        "//api.example.com/v1",
        "api.example.com/v1",
        "https:///v1",
        "https:/v1",
        "https:v1",
        "ftp://api.example.com/v1",
        "file:///v1",
        "wss://api.example.com/v1",
        "https://:443/v1",
        "https://[::1/v1",
        "https://[::g]/v1",
        "https://api.example.com:port/v1",
        "https://api.example.com:99999/v1",
        "https://api.example.com:-1/v1",
    ],
)
def test_a_malformed_url_names_its_field(field: str, url: str) -> None:
    """What is no absolute https URL is refused."""
    refused(lambda: environment(**{field: url}), field)


NO_HOSTS = {
    "an empty label": "api.uat..payroc.com",
    "an empty first label": ".payroc.com",
    "an empty last label": "payroc.com..",
    "nothing but dots": "..",
    "a label over 63": "a" * 64 + ".com",
    "a name over 253": ".".join(["a" * 63] * 4),
    "a hyphen first": "-api.payroc.com",
    "a hyphen last": "api-.payroc.com",
    "a wildcard": "*.payroc.com",
    "a space, encoded": "api%20uat.payroc.com",
    "two hosts": "api.payroc.com,api.uat.payroc.com",
    "no punycode": "xn--zzzz.com",
    "a dollar": "$HOST",
}


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS)
def test_a_host_that_no_name_can_be_is_refused(field: str, host: str) -> None:
    """No resolver would take it; the error shows it."""
    error = refused(lambda: environment(**{field: f"https://{host}/v1"}), field)
    assert host.lower() in str(error)


@pytest.mark.parametrize("host", NO_HOSTS.values(), ids=NO_HOSTS)
def test_p7_a_proxys_host_that_no_name_can_be_is_refused(host: str) -> None:
    """Unseen, for the URL may hold a password."""
    error = refused(lambda: build(proxy=f"http://user:canary@{host}:3128"), "proxy")
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "api.uat.payroc.com",
        "API.Payroc.COM",
        "api.payroc.com.",
        "pay_roc",
        "a",
        "a" * 63 + ".com",
        ".".join(["a" * 63] * 3 + ["b" * 61]),
        "xn--bcher-kva.example",
        "10.0.0.1",
        "[2001:db8::1]",
        "[fe80::1%25eth0]",
        "1.example",
    ],
)
def test_a_host_that_a_name_can_be_is_taken(host: str) -> None:
    """Names with underscores are those of containers; a last dot ends a full name."""
    assert environment(api_url=f"https://{host}/v1").api_url == f"https://{host}/v1"
    build(proxy=f"http://user:secret@{host}:3128")


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://api example.com/v1",
        " https://api.example.com/v1",
        "https://api.example.com/\n/v1",
        "https://api.exa\nmple.com/v1",
        "https://api.example.com/\t/v1",
        "https://api.example.com/\x00/v1",
        "https://api.ex\N{LATIN SMALL LETTER A WITH ACUTE}mple.com/v1",
        "https://api.example.com/\N{LATIN SMALL LETTER A WITH ACUTE}/v1",
        "https://api<.example.com/v1",
    ],
    ids=ascii,
)
def test_a_url_with_characters_that_no_url_has_is_refused(field: str, url: str) -> None:
    """Spaces, control characters and others than ASCII are refused, and not dropped in silence."""
    refused(lambda: environment(**{field: url}), field)


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://user@api.example.com/v1",
        "https://user:canary@api.example.com/v1",
        "https://:canary@api.example.com/v1",
        "https://api.example.com/v1?a=canary",
        "https://api.example.com/v1#canary",
        "https://api.example.com?canary=/v1",
        "https://api.example.com#canary/v1",
    ],
)
def test_p7_a_url_with_more_than_a_path_is_refused(field: str, url: str) -> None:
    """User information, a query or a fragment is refused, and not shown."""
    error = refused(lambda: environment(**{field: url}), field)
    assert "canary" not in str(error)


@pytest.mark.parametrize("url", [API_URL + "?", API_URL + "#", "https://@api.example.com/v1"])
def test_p7_a_url_with_an_empty_query_is_refused(url: str) -> None:
    """Behind an empty query or fragment, every request's path would be a part of that."""
    refused(lambda: environment(api_url=url), "api_url")


@pytest.mark.parametrize("field", ["api_url", "identity_url"])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "None"),
        (1, "an int"),
        (True, "a bool"),
        (b"https://api.example.com/v1", "a bytes"),
        ([API_URL], "a list"),
    ],
)
def test_a_url_of_another_type_is_refused(field: str, value: object, named: str) -> None:
    """The error says which type was given."""
    error = refused(lambda: environment(**{field: value}), field)
    assert error.reason == f"must be a URL as a string, not {named}"


@pytest.mark.parametrize("path", ["", "/", "/v1/", "/v2", "/v1/devices", "/v10", "/V1", "v1"])
def test_the_api_url_ends_in_v1(path: str) -> None:
    """Anything else than a path that ends in /v1 is refused, a slash behind it too."""
    refused(lambda: environment(api_url=f"https://api.example.com{path}"), "api_url")


def test_the_api_url_may_have_more_before_v1() -> None:
    """A gateway behind a proxy's path is fine, and the identity URL may have any path."""
    made = environment(
        api_url="https://proxy.example.com/payroc/v1", identity_url="https://proxy.example.com/a/b"
    )
    assert made.api_url == "https://proxy.example.com/payroc/v1"
    assert made.identity_url == "https://proxy.example.com/a/b"


def test_the_environment_is_frozen_and_takes_keywords_alone() -> None:
    """Its two URLs can't be mixed up by position, nor changed later."""
    with pytest.raises(TypeError):
        Environment(API_URL, IDENTITY_URL)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Environment(api_url=API_URL)  # type: ignore[call-arg]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        environment().api_url = "https://elsewhere.example.com/v1"  # type: ignore[misc]
    with pytest.raises(ConfigurationError):
        attrs.evolve(environment(), api_url="http://elsewhere.example.com/v1")


# Timeouts, RetryPolicy ----------

BAD_SECONDS = [0, 0.0, -1, -0.1, math.inf, -math.inf, math.nan, True, False, "1", None, [1]]


def fields_of(cls: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(cls)]


@pytest.mark.parametrize("field", fields_of(Timeouts))
@pytest.mark.parametrize("value", BAD_SECONDS, ids=repr)
def test_every_timeout_is_a_positive_finite_number(field: str, value: Any) -> None:
    """Each bad timeout is refused, by its name."""
    refused(lambda: Timeouts(**{field: value}), field)


@pytest.mark.parametrize("field", ["initial", "maximum", "retry_after_maximum"])
@pytest.mark.parametrize("value", BAD_SECONDS, ids=repr)
def test_every_delay_is_a_positive_finite_number(field: str, value: Any) -> None:
    """Each bad delay of the retry policy is refused, by its name."""
    refused(lambda: RetryPolicy(**{field: value}), field)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, math.inf, True, "3", None])
def test_the_attempts_are_a_whole_number_of_at_least_one(value: Any) -> None:
    """Each bad number of attempts is refused, by its name."""
    refused(lambda: RetryPolicy(attempts=value), "attempts")


@pytest.mark.parametrize("value", [1, 0.001, 86_400])
def test_good_numbers_are_kept(value: float) -> None:
    """A positive number is kept as it is given, an int too."""
    for field in fields_of(Timeouts):
        assert getattr(Timeouts(**{field: value}), field) == value
    assert RetryPolicy(attempts=1).attempts == 1


def test_the_defaults_are_the_promised_ones() -> None:
    """P2, P3: hold of 60 s and 15 s margin, 120 s unreachable, 10 s grace, one poll a second."""
    timeouts = Timeouts()
    assert (timeouts.hold, timeouts.hold_margin) == (60.0, 15.0)
    assert timeouts.unreachable == 120.0
    assert timeouts.cancel_grace == 10.0
    assert timeouts.poll_interval == 1.0


@pytest.mark.parametrize("made", [Timeouts(), RetryPolicy(), environment()])
def test_settings_are_frozen_values(made: Any) -> None:
    """Settings are compared by value, can be hashed, and can't be changed."""
    assert made == attrs.evolve(made)
    assert hash(made) == hash(attrs.evolve(made))
    for field in fields_of(type(made)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(made, field, getattr(made, field))


@pytest.mark.parametrize("cls", [Timeouts, RetryPolicy, Environment])
def test_every_setting_is_described(cls: type[Any]) -> None:
    """Each field is in the Args of its class, and takes a keyword alone."""
    for field in fields_of(cls):
        assert f"\n    {field}: " in (inspect.getdoc(cls) or "")
        assert inspect.signature(cls).parameters[field].kind is inspect.Parameter.KEYWORD_ONLY


# The session's arguments. These are plain functions: there is no loop here ----------


def build(api_key: Any = KEY, **other: Any) -> PayrocSession:
    return PayrocSession(api_key, **{"environment": environment(), **other})


def test_p10_building_a_session_needs_no_loop() -> None:
    """A session can be built at import time, and is not open."""
    session = build(
        timeouts=Timeouts(hold=1),
        retries=RetryPolicy(attempts=1),
        max_connections=10,
        ssl=ssl.create_default_context(),
        proxy="http://proxy.example.com:3128",
    )
    assert "new" in repr(session)


def test_p10_a_session_that_is_never_opened_leaves_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """Dropping it unopened warns of nothing."""
    build()
    assert recwarn.list == []


def test_an_async_callable_is_taken_for_a_key() -> None:
    """A vault is not asked before the first token is fetched."""

    async def vault() -> str:
        raise AssertionError("asked too early")

    build(vault)


@pytest.mark.parametrize(
    "key",
    [
        "",
        None,
        1,
        b"canary",
        " canary",
        "canary ",
        "canary\n",
        "canary\r\nX: y",
        "\x00",
        "canary\N{EURO SIGN}",
    ],
    ids=repr,
)
def test_p7_a_key_that_no_header_can_hold_is_refused_unseen(key: Any) -> None:
    """Such a key is named as `api_key`, and not shown."""
    error = refused(lambda: build(key), "api_key")
    assert "canary" not in repr(error)


def test_the_environment_has_no_default() -> None:
    """No one reaches production by leaving something out."""
    with pytest.raises(TypeError, match="environment"):
        PayrocSession(KEY)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "UAT"),
        ("environment", None),
        ("environment", API_URL),
        ("timeouts", 30),
        ("timeouts", None),
        ("timeouts", RetryPolicy()),
        ("retries", 3),
        ("retries", None),
        ("max_connections", -1),
        ("max_connections", True),
        ("max_connections", 1.0),
        ("max_connections", None),
        ("max_connections", "10"),
        ("http_session", "a session"),
        ("ssl", True),
        ("ssl", False),
        ("ssl", "cert.pem"),
        ("proxy", "proxy.example.com:3128"),
        ("proxy", "socks5://proxy.example.com"),
        ("proxy", ""),
        ("proxy", "http://"),
        ("proxy", "https://[::1"),
        ("proxy", "http://proxy.example.com:port"),
        ("proxy", "http://proxy example.com"),
        ("proxy", 3128),
        ("proxy", b"http://proxy.example.com"),
    ],
    ids=repr,
)
def test_a_wrong_argument_of_a_session_is_named(field: str, value: Any) -> None:
    """Each wrong argument is a ConfigurationError with its name."""
    refused(lambda: build(**{field: value}), field)


def test_p7_a_proxys_password_is_not_shown() -> None:
    """Neither an error nor the repr shows what a proxy's URL may hold."""
    error = refused(lambda: build(proxy="socks5://user:canary@proxy.example.com"), "proxy")
    assert "canary" not in repr(error)
    assert "canary" not in repr(build(proxy="http://user:canary@proxy.example.com"))


def test_p7_a_session_does_not_show_its_key() -> None:
    """The repr names the API and the state, no key."""
    text = repr(build())
    assert API_URL in text
    assert KEY not in text


# from_env ----------


def from_env(**variables: str) -> PayrocSession:
    return PayrocSession.from_env(variables)


@pytest.mark.parametrize(
    ("word", "expected"), [("uat", Environment.UAT), ("production", Environment.PRODUCTION)]
)
def test_from_env_takes_a_named_environment(word: str, expected: Environment) -> None:
    """`PAYROC_ENVIRONMENT` is uat or production."""
    session = from_env(PAYROC_API_KEY=KEY, PAYROC_ENVIRONMENT=word)
    assert f" {expected.api_url} " in repr(session)


def test_from_env_takes_two_urls() -> None:
    """`PAYROC_API_URL` and `PAYROC_IDENTITY_URL` stand in for the name."""
    session = from_env(PAYROC_API_KEY=KEY, PAYROC_API_URL=API_URL, PAYROC_IDENTITY_URL=IDENTITY_URL)
    assert f" {API_URL} " in repr(session)


def test_from_env_reads_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping the process's own variables are read, at the time of the call."""
    for name in ("PAYROC_API_URL", "PAYROC_IDENTITY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAYROC_API_KEY", KEY)
    monkeypatch.setenv("PAYROC_ENVIRONMENT", "uat")
    assert Environment.UAT.api_url in repr(PayrocSession.from_env())


def test_from_env_passes_other_options_on() -> None:
    """Any other keyword of the session is taken, and checked."""
    variables = {"PAYROC_API_KEY": KEY, "PAYROC_ENVIRONMENT": "uat"}
    PayrocSession.from_env(variables, timeouts=Timeouts(hold=1.0), max_connections=5)
    refused(lambda: PayrocSession.from_env(variables, max_connections=-1), "max_connections")


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"PAYROC_ENVIRONMENT": "uat"}, "PAYROC_API_KEY"),
        ({"PAYROC_API_KEY": "", "PAYROC_ENVIRONMENT": "uat"}, "PAYROC_API_KEY"),
        ({"PAYROC_API_KEY": KEY}, "PAYROC_ENVIRONMENT"),
        ({"PAYROC_API_KEY": KEY, "PAYROC_ENVIRONMENT": ""}, "PAYROC_ENVIRONMENT"),
        ({"PAYROC_API_KEY": KEY, "PAYROC_ENVIRONMENT": "prod"}, "PAYROC_ENVIRONMENT"),
        ({"PAYROC_API_KEY": KEY, "PAYROC_ENVIRONMENT": "UAT "}, "PAYROC_ENVIRONMENT"),
        ({"PAYROC_API_KEY": KEY, "PAYROC_API_URL": API_URL}, "PAYROC_IDENTITY_URL"),
        ({"PAYROC_API_KEY": KEY, "PAYROC_IDENTITY_URL": IDENTITY_URL}, "PAYROC_API_URL"),
        (
            {
                "PAYROC_API_KEY": KEY,
                "PAYROC_ENVIRONMENT": "uat",
                "PAYROC_API_URL": API_URL,
                "PAYROC_IDENTITY_URL": IDENTITY_URL,
            },
            "PAYROC_ENVIRONMENT",
        ),
        (
            {"PAYROC_API_KEY": KEY, "PAYROC_ENVIRONMENT": "uat", "PAYROC_IDENTITY_URL": "x"},
            "PAYROC_ENVIRONMENT",
        ),
        (
            {
                "PAYROC_API_KEY": KEY,
                "PAYROC_API_URL": "http://api.example.com/v1",
                "PAYROC_IDENTITY_URL": IDENTITY_URL,
            },
            "api_url",
        ),
        ({"PAYROC_API_KEY": " canary", "PAYROC_ENVIRONMENT": "uat"}, "api_key"),
    ],
)
def test_from_env_names_what_is_missing_or_wrong(variables: dict[str, str], field: str) -> None:
    """The error names the variable that is missing, unknown or contradicts another."""
    error = refused(lambda: from_env(**variables), field)
    assert "canary" not in str(error)


def test_the_key_is_trusted_for_less_than_payroc_keeps_it() -> None:
    """Contract section 8: 7 days. The margin covers two clocks and a retry that comes late."""
    window, day = RetryPolicy().idempotency_window, 86_400.0
    assert 5 * day <= window <= 6 * day
