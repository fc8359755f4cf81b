"""P10: importing the SDK does nothing but import."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import payroc_async
from payroc_async import models
from payroc_async.simulator import Simulator, status
from tests.harness.programs import run_python, without_slow_steps
from tests.journal.test_recovery import leave

ROOT = Path(__file__).parents[2]

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
    """Nothing on either stream, no handler on the loggers."""
    program = """
        import logging
        import payroc_async
        assert logging.getLogger().handlers == []
        assert logging.getLogger("payroc_async").level == logging.NOTSET
    """
    ended = run(program)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


# After the opening: everything that a session does, with a retry of each; then what that loaded.
ALL_OF_A_SESSION = """
    import asyncio, logging, sys
    import payroc_async as p
    from payroc_async import PayrocSession

    logging.basicConfig(handlers=[logging.NullHandler()])

    async def main():
        retries = p.RetryPolicy(initial=0.02, maximum=0.02)
        async with PayrocSession.from_env(retries=retries) as session:
            before = set(sys.modules)
            terminal = {"processing_terminal_id": "1234001"}
            order = p.Order(order_id="1", amount=100, currency="USD")
            request = p.PaymentInstructionRequest(order=order, **terminal)
            payment = await session.run_sale("1", request)
            assert payment.approved and payment.card and payment.raw and repr(payment)
            assert await session.payments.undo(payment, description="x")
            refund = p.RefundInstructionRequest(
                order=p.RefundOrder(order_id="2", description="x", amount=1, currency="USD"),
                **terminal,
            )
            assert await session.run_refund("2", refund)
            assert await session.capture_signature("3", p.SignatureInstructionRequest(**terminal))
            assert [found async for found in session.payments.search(limit=1)]
            assert [found async for found in session.devices.search()]
            assert len([found async for found in session.recover()]) == 2
            assert p.SaleHandle
            started = asyncio.Event()
            reported = lambda event: started.set() if isinstance(event, p.Submitted) else None
            sale = asyncio.create_task(session.run_sale("4", request, on_event=reported))
            await started.wait()
            sale.cancel()
            await asyncio.wait({sale})
            print(sorted(set(sys.modules) - before), sale.cancelled())

    asyncio.run(main())
"""


async def test_p4_an_open_session_has_nothing_left_to_import(
    gateway: Simulator, tmp_path: Path
) -> None:
    """Once it is open no call needs a file of Python's: it would block the loop, if it opens."""
    gateway.device("4").never_finishes()
    for fault in ("submit", "status", "payment", "change", "search", "cancel"):
        gateway.faults.add(fault, status(503))
    path = tmp_path / "sales.db"
    await leave(gateway, path, age=600.0)
    await leave(gateway, path)
    code, printed, problems = await run_python(
        "-c",
        textwrap.dedent(ALL_OF_A_SESSION),
        extra={
            "PAYROC_API_KEY": gateway.api_key,
            "PAYROC_API_URL": gateway.environment.api_url,
            "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
            "PAYROC_JOURNAL": str(path),
        },
    )
    assert (problems, printed.strip(), code) == ("", "[] True", 0)
    assert not gateway.in_progress


@pytest.mark.parametrize("package", [payroc_async, models], ids=lambda package: package.__name__)
def test_the_public_names_are_sorted_and_listed_once(package: ModuleType) -> None:
    """Each is there, and what is not among them is an error."""
    names = [name for name in package.__all__ if name != "__version__"]
    assert names == sorted(set(names))
    assert not [name for name in names if not hasattr(package, name)]
    with pytest.raises(AttributeError):
        _ = package.No


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
