"""What the tests share: a gateway, a session with short times, a sale to run."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from aiohttp import ClientResponse
from blockbuster import blockbuster_ctx

from payroc_async import Order, PaymentInstructionRequest, PayrocSession, RetryPolicy, Timeouts
from payroc_async.models.amount import digits_after_point
from payroc_async.simulator import Simulator
from tests.harness.answer_checks import BROKEN, answers_checked
from tests.harness.secret_scanner import Ears, everything_heard

if TYPE_CHECKING:
    from tests.harness.postgres import PostgresServer

pytest_plugins = ["pytester"]  # for what is a plugin itself

# Each reads from disk, once, and not in the loop of some test.
digits_after_point("USD")
SERIAL = "1850010868"
UNIT = 0.02
"""Seconds; the times of tests are multiples of it."""

QUICK = Timeouts(
    connect=2.0,
    request=2.0,
    hold=0.5,
    hold_margin=0.5,
    poll_interval=UNIT / 2,
    token=2.0,
    unreachable=2.0,
    cancel_grace=2.0,
)
PATIENT = Timeouts(hold=0.5, poll_interval=UNIT / 2)
"""For many devices at once, on a machine that may be slow."""
EAGER = RetryPolicy(initial=UNIT / 2, maximum=UNIT, retry_after_maximum=2 * UNIT)


def sale(amount: int = 4999, order_id: str = "OrderRef6543") -> PaymentInstructionRequest:
    """A sale as the published samples have it."""
    return PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(order_id=order_id, amount=amount, currency="USD"),
    )


def pytest_configure() -> None:
    """Let the processes that tests start hear Ctrl-C, also where this one was reported not to.

    A shell starts what it puts in the background so, and children inherit it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Three for each processor: the tests wait longer than they compute."""
    return 3 * (os.cpu_count() or 1)


@pytest.fixture(autouse=True, scope="session")
def nothing_blocks() -> Iterator[None]:
    """A call by the SDK that would block the loop is an error."""
    with blockbuster_ctx("payroc_async"):
        yield


@pytest.fixture(autouse=True, scope="session")
def watched_answers() -> Iterator[None]:
    """What the simulator answers is held against the table of Payroc's messages."""
    with answers_checked():
        yield


@pytest.fixture(autouse=True)
def answers_as_described(watched_answers: None) -> Iterator[None]:
    """A test in which the simulator answers otherwise than Payroc describes it fails."""
    BROKEN.clear()
    yield
    assert not BROKEN, "\n".join(dict.fromkeys(BROKEN))


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a developer has in `.env` is nothing to a test."""
    monkeypatch.setattr("payroc_async.cli.settings.ENV_FILE", Path("no-such.env"))


@pytest.fixture(autouse=True)
def every_line_can_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest's handler raises for a line that can't be formatted: that is not to be hidden."""

    def fail() -> None:
        raise  # the error that is being handled

    monkeypatch.setattr("payroc_async.logs.report", fail)


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    """A gateway that has seen nothing forbidden at the end."""
    async with Simulator(hold=QUICK.hold) as gateway:
        yield gateway
        assert gateway.violations == []


@pytest.fixture
async def session(gateway: Simulator) -> AsyncIterator[PayrocSession]:
    """An open session with that gateway."""
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as session:
        yield session


@pytest.fixture
async def patient_session(gateway: Simulator) -> AsyncIterator[PayrocSession]:
    """An open session that waits for as long as a crowd of devices may take."""
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=PATIENT, retries=EAGER
    ) as session:
        yield session


def variables(gateway: Simulator) -> dict[str, str]:
    """What leads the command line to that gateway."""
    return {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
    }


@pytest.fixture
def served() -> Iterator[Simulator]:
    """A gateway in a loop and thread of its own: the command runs a loop in this one."""
    gateway = Simulator(hold=0.5)
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        async with gateway:
            started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
            await stopped.wait()

    # asyncio.run ends what stopping a loop by hand would leave: a connection just accepted.
    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="gateway")
    thread.start()
    stop = started.result(10)
    yield gateway
    stop()
    thread.join()
    assert gateway.violations == []


@pytest.fixture
def ears() -> Iterator[Ears]:
    """P7: hears all that is logged, and is shown the rest; no secret may be in it."""
    with everything_heard() as ears:
        yield ears
        assert ears.heard, "nothing was heard"
        assert not ears.found, "\n".join(sorted(ears.found))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of the command line, in this process, gives up as soon as those of the tests."""
    from_env = functools.partial(PayrocSession.from_env, timeouts=QUICK, retries=EAGER)
    monkeypatch.setattr(PayrocSession, "from_env", from_env)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server for those tests of this process that want one.

    In this process a free lock is a dead owner's at once, also just after the server has started.
    """
    from tests.harness.postgres import MISSING, server_in

    if MISSING:
        pytest.skip(MISSING)
    folder = tmp_path_factory.getbasetemp()
    with (
        pytest.MonkeyPatch.context() as patch,
        server_in(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as server,
    ):
        patch.setattr("payroc_async.journal.postgres.pg_rows.CONNECTED_AGAIN", 0.0)
        yield server


class MockedResponse(ClientResponse):
    """A response that aioresponses can make although it does not know ``stream_writer``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", mock.Mock(output_size=0))
        super().__init__(*args, **kwargs)


__all__ = ["EAGER", "PATIENT", "QUICK", "SERIAL", "UNIT", "MockedResponse", "sale", "variables"]
