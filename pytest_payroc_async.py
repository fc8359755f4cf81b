"""The pytest plugin of payroc_async: a gateway, devices and sessions as fixtures.

It is outside the package because pytest loads it into every run if payroc_async is installed: until
a test uses one of its fixtures, only this file is imported. See ``docs/testing.md``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import pytest

if TYPE_CHECKING:
    import pluggy

    from payroc_async import PayrocSession, RetryPolicy, Timeouts
    from payroc_async.simulator import Device
    from payroc_async.testing import PayrocGateway

SERIAL_NUMBER = "1850010868"
GATEWAY: pytest.StashKey[PayrocGateway] = pytest.StashKey()
LoopScope = Literal["function", "class", "module", "package", "session"]
PASSED: pytest.StashKey[bool] = pytest.StashKey()

NO_LOOP = (
    "payroc_session is open in the test's event loop, and this test has none that pytest-asyncio or"
    " anyio runs. Mark it, or use payroc_gateway or payroc_env, which need no event loop."
)
NOT_ASYNCIO = (
    "payroc_async runs on asyncio. Have a fixture anyio_backend of your own return 'asyncio'."
)


@pytest.fixture
def payroc_timeouts() -> Timeouts:
    """The short timeouts of payroc_session and hold of payroc_gateway. Override to change them."""
    from payroc_async.testing import TIMEOUTS

    return TIMEOUTS


@pytest.fixture
def payroc_retries() -> RetryPolicy:
    """The fast retries of payroc_session. Override to change them."""
    from payroc_async.testing import RETRIES

    return RETRIES


@pytest.fixture
def payroc_gateway(
    payroc_timeouts: Timeouts, request: pytest.FixtureRequest
) -> Iterator[PayrocGateway]:
    """A Payroc gateway on loopback, which checks the recorded requests after the test.

    It knows the device of payroc_device and those made by ``device()``. A submission to another
    device is answered with 404.
    """
    from payroc_async import Timeouts
    from payroc_async.testing import PayrocGateway
    from payroc_async.wording import a_type

    overridden: object = payroc_timeouts
    if not isinstance(overridden, Timeouts):
        given = a_type(overridden)
        pytest.fail(f"payroc_timeouts must return Timeouts, not {given}", pytrace=False)
    with PayrocGateway(hold=payroc_timeouts.hold, strict_devices=True) as gateway:
        gateway.device(SERIAL_NUMBER)
        request.node.stash[GATEWAY] = gateway
        yield gateway
        # A failed test already reports its own error.
        wrong = gateway.verdict() if request.node.stash.get(PASSED, False) else None
    del request.node.stash[GATEWAY]  # tests are kept until the run ends
    if wrong is not None:
        pytest.fail(wrong, pytrace=False)


@pytest.fixture
def payroc_device(payroc_gateway: PayrocGateway) -> Device:
    """A payment device of that gateway, to be scripted. Without a script it approves at once."""
    return payroc_gateway.device(SERIAL_NUMBER)


@pytest.fixture
def payroc_env(payroc_gateway: PayrocGateway, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the environment variables that connect PayrocSession.from_env() to that gateway."""
    variables = {
        "PAYROC_API_KEY": payroc_gateway.api_key,
        "PAYROC_API_URL": payroc_gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": payroc_gateway.environment.identity_url,
    }
    for name in ("PAYROC_ENVIRONMENT", "PAYROC_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def payroc_session(payroc_gateway: PayrocGateway, request: pytest.FixtureRequest) -> Any:
    """A PayrocSession for that gateway, open in the test's event loop."""
    marker = request.node.get_closest_marker("asyncio")
    if marker is not None and request.config.pluginmanager.has_plugin("asyncio"):
        scope = marker.kwargs.get("loop_scope") or request.config.getini(
            "asyncio_default_test_loop_scope"
        )
        return request.getfixturevalue(f"_payroc_session_in_{scope}_loop")
    if "anyio_backend" not in request.fixturenames:
        pytest.fail(NO_LOOP, pytrace=False)
    backend = request.getfixturevalue("anyio_backend")
    if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
        pytest.fail(NOT_ASYNCIO, pytrace=False)
    return request.getfixturevalue("_payroc_session_in_anyio")


def _session_fixture() -> Callable[..., AsyncIterator[PayrocSession]]:
    """Return a new function each time: pytest-asyncio stores the event loop's scope on it."""

    async def open_session(
        payroc_gateway: PayrocGateway, payroc_timeouts: Timeouts, payroc_retries: RetryPolicy
    ) -> AsyncIterator[PayrocSession]:
        from payroc_async import PayrocSession

        async with PayrocSession(
            payroc_gateway.api_key,
            environment=payroc_gateway.environment,
            timeouts=payroc_timeouts,
            retries=payroc_retries,
        ) as session:
            yield session
            payroc_gateway.note_left()

    return open_session


_payroc_session_in_anyio = pytest.fixture(name="_payroc_session_in_anyio")(_session_fixture())


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Adds the session's fixtures for pytest-asyncio, which some versions look for this early."""
    if not config.pluginmanager.has_plugin("asyncio"):
        return
    fixtures = ModuleType("payroc_async sessions for pytest-asyncio")
    # Catch everything: a run that does not use a session must not fail because of this.
    with suppress(ImportError, TypeError):
        import pytest_asyncio

        scopes: tuple[LoopScope, ...] = get_args(LoopScope)
        for scope in scopes:
            name = f"_payroc_session_in_{scope}_loop"
            made: Callable[[Any], Any] = pytest_asyncio.fixture(name=name, loop_scope=scope)
            setattr(fixtures, name, made(_session_fixture()))
        config.pluginmanager.register(fixtures, fixtures.__name__)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[Any]]:
    """Store the test's result, and add the gateway's requests to the report of a failure."""
    outcome = yield
    gateway = item.stash.get(GATEWAY, None)
    if gateway is None:
        return
    report: pytest.TestReport = outcome.get_result()
    if report.when == "call":
        item.stash[PASSED] = report.passed
    if report.failed and report.when != "teardown":
        report.sections.append(("Seen by payroc_gateway", gateway.report()))
