"""P10: nothing surprises."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import time
from pathlib import Path

import pytest

from payroc_async import PayrocSession, RequestTimeoutError, RetryPolicy, Timeouts
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, UNIT, sale
from tests.harness.programs import without_slow_steps

ROOT = Path(__file__).parents[2]


async def test_p10_the_301st_device_starts_without_delay(gateway: Simulator) -> None:
    """300 sales wait in held polls at once on one session, and one more runs through."""
    # Debug mode makes a crowd slow, and is on in every other test.
    asyncio.get_running_loop().set_debug(False)
    gateway.hold = 30.0
    waiting = Timeouts(cancel_grace=10.0)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=waiting, retries=EAGER
    ) as session:
        for n in range(300):
            gateway.device(f"device{n}").never_finishes()
        handles = await asyncio.gather(
            *(session.start_sale(f"device{n}", sale()) for n in range(300))
        )
        while sum(seen.kind == "status" for seen in gateway.open_requests) < 300:
            await asyncio.sleep(UNIT)
        asked = len(gateway.requests_of("status"))
        payment = await session.run_sale("device300", sale())
        assert payment.approved
        # All 300 polls are still the same ones: no one gave way.
        held = [seen for seen in gateway.open_requests if seen.kind == "status"]
        assert len(held) == 300
        assert len(gateway.requests_of("status")) == asked + 1
        await asyncio.gather(*(handle.cancel() for handle in handles))
    assert gateway.in_progress == []


async def test_p10_no_warning_under_python_dev_mode(gateway: Simulator) -> None:
    """The program of the README runs under `-X dev -W error`, and prints its payment alone."""
    program = textwrap.dedent(
        """
        import asyncio
        from payroc_async import Order, PaymentInstructionRequest, PayrocSession

        async def main() -> None:
            async with PayrocSession.from_env() as session:
                payment = await session.run_sale(
                    "1850010868",
                    PaymentInstructionRequest(
                        processing_terminal_id="1234001",
                        order=Order(order_id="OrderRef6543", amount=4999, currency="USD"),
                    ),
                )
                print(payment.payment_id, payment.outcome)

        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error", "-c", program),
        env={
            "PAYROC_API_KEY": gateway.api_key,
            "PAYROC_API_URL": gateway.environment.api_url,
            "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
            "PYTHONPATH": str(ROOT),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    (payment_id,) = gateway.payments
    said = (out.decode(), without_slow_steps(err.decode()))
    assert said == (f"{payment_id} Outcome.APPROVED\n", "")


async def test_p10_what_only_waited_for_a_connection_was_not_sent(gateway: Simulator) -> None:
    """With the pool's one connection taken, the time ends a request that nothing has left of."""
    gateway.hold = 30.0
    gateway.device("1850010868").never_finishes()
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=Timeouts(request=50 * UNIT),
        retries=RetryPolicy(attempts=1),
        max_connections=1,
    ) as session:
        await session.start_sale("1850010868", sale())
        while not gateway.in_progress or not gateway.requests_of("status"):
            await asyncio.sleep(UNIT)
        with pytest.raises(RequestTimeoutError, match="no connection in time") as caught:
            await session.run_sale("1850010999", sale())
        assert not caught.value.request_sent
        assert not caught.value.may_have_taken_effect
    assert len(gateway.instructions) == 1


async def test_p10_a_closed_session_leaves_nothing(gateway: Simulator) -> None:
    """Neither a task nor a thread is left when a session has closed."""
    import threading

    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        await session.run_sale("1850010868", sale())
    deadline = time.monotonic() + 5
    # The server's side of the closed connections goes away by itself, a moment later.
    while (left := asyncio.all_tasks() - tasks) and time.monotonic() < deadline:
        await asyncio.sleep(UNIT)
    assert left == set()
    assert set(threading.enumerate()) <= threads  # one of an earlier test may end meanwhile
