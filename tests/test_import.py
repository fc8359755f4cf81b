"""P10: importing the SDK does nothing but import."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .programs import without_slow_steps

ROOT = Path(__file__).parents[1]

# What an import must not do raises an audit event; a thread's start does so from 3.12 on only.
WATCH = """
    import sys, threading
    FORBIDDEN = (
        "socket.", "_thread.start", "subprocess.", "os.fork", "os.posix_spawn", "os.system",
        "urllib.", "http.client.", "sqlite3.",
    )
    seen = []

    def hook(event, args):
        if event.startswith(FORBIDDEN):
            seen.append(event)

    def start(self, start=threading.Thread.start):
        seen.append("a thread")
        start(self)

    sys.addaudithook(hook)
    threading.Thread.start = start
"""


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    ended.stderr = without_slow_steps(ended.stderr)
    return ended


def watched(action: str) -> str:
    """What the program saw: the forbidden events, then the number of threads."""
    report = "print(sorted(set(seen)), threading.active_count())"
    program = "\n".join([textwrap.dedent(WATCH), action, report])
    ended = run(program, "-X", "dev", "-W", "error")
    assert ended.stderr == ""
    assert ended.returncode == 0
    return ended.stdout.strip()


def test_p10_importing_starts_no_thread_and_opens_no_socket() -> None:
    """Under `-X dev -W error` an import warns of nothing and raises no such audit event."""
    assert watched("import payroc_async") == "[] 1"


def test_p10_building_a_session_starts_no_thread_and_opens_no_socket() -> None:
    """Nor does building a session, without a loop."""
    action = (
        "import payroc_async as p\n"
        "session = p.PayrocSession('key', environment=p.Environment.UAT)\ndel session"
    )
    assert watched(action) == "[] 1"


@pytest.mark.parametrize(
    ("action", "event"),
    [
        ("import socket; socket.socket().close()", "socket.__new__"),
        ("t = threading.Thread(target=int); t.start(); t.join()", "a thread"),
    ],
)
def test_the_watch_sees_what_it_watches_for(action: str, event: str) -> None:
    """The audit hook would notice a socket and a thread."""
    assert event in watched(action)


def test_p10_importing_loads_no_face() -> None:
    """Neither the command line and its packages, nor the simulator, nor a test tool is loaded."""
    ended = run("import payroc_async, sys; print(*sys.modules)")
    loaded = set(ended.stdout.split())
    assert "payroc_async.session" in loaded
    faces = {"rich", "click", "pytest", "aioresponses", "psycopg", "sqlite3", "aiohttp.web"}
    faces |= {"opentelemetry", "payroc_async.otel"}
    ours = {"payroc_async.simulator", "payroc_async.cli", "payroc_async.testing"}
    assert not loaded & {*faces, *ours}


def test_p10_importing_prints_and_configures_nothing() -> None:
    """Nothing on either stream, no handler on the loggers, stamina's settings untouched."""
    program = """
        import logging, stamina
        before = stamina.is_active(), stamina.is_testing()
        import payroc_async
        assert (stamina.is_active(), stamina.is_testing()) == before
        assert logging.getLogger().handlers == []
        assert logging.getLogger("payroc_async").level == logging.NOTSET
    """
    ended = run(program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_p4_a_retry_and_a_cancellation_import_nothing() -> None:
    """Once a session is open, no sale needs a file of Python's: there may be none left to open."""
    program = """
        import asyncio, sys
        from payroc_async import Order, PaymentInstructionRequest, PayrocSession
        from payroc_async.simulator import Simulator, status

        async def main():
            async with Simulator() as gateway:
                gateway.device("1").never_finishes()
                gateway.faults.add("submit", status(503))
                request = PaymentInstructionRequest(
                    processing_terminal_id="1234001",
                    order=Order(order_id="1", amount=1, currency="USD"),
                )
                session = PayrocSession(gateway.api_key, environment=gateway.environment)
                async with session:
                    before = set(sys.modules)
                    sale = asyncio.create_task(session.run_sale("1", request))
                    while not gateway.requests_of("status"):
                        await asyncio.sleep(0)
                    sale.cancel()
                    await asyncio.wait({sale})
                print(*set(sys.modules) - before, [*gateway.in_progress])

        asyncio.run(main())
    """
    ended = run(program)
    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")


def test_p10_a_retry_prints_nothing() -> None:
    """Where logging is not set up, a failure that passes is nothing to print on stderr."""
    program = """
        import asyncio
        from payroc_async import Order, PaymentInstructionRequest, PayrocSession
        from payroc_async.simulator import Simulator, status

        async def main():
            async with Simulator() as gateway:
                gateway.faults.add("submit", status(503))
                request = PaymentInstructionRequest(
                    processing_terminal_id="1234001",
                    order=Order(order_id="1", amount=1, currency="USD"),
                )
                session = PayrocSession(gateway.api_key, environment=gateway.environment)
                async with session:
                    print((await session.run_sale("1", request)).approved)

        asyncio.run(main())
    """
    ended = run(program)
    assert (ended.stdout.strip(), ended.stderr) == ("True", "")
