"""The example with Temporal, on its own server: killed and stopped workers, canceled sales."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest

from payroc_async import PayrocSession
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL
from tests.harness.crash_harness import took_effect
from tests.harness.programs import ROOT, run_python
from tests.harness.step_canceller import until

pytest.importorskip("temporalio")

from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    WorkflowAlreadyStartedError,
)
from temporalio.testing import ActivityEnvironment

PATIENCE = 45.0
Worker = Callable[[], Any]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return import_module("temporal_sale")


@pytest.fixture
async def temporal(example: Any) -> AsyncIterator[Client]:
    """A server that belongs to one test."""
    async with example.temporal_server() as client:
        yield client


@pytest.fixture
async def worker(example: Any, temporal: Client, gateway: Simulator) -> AsyncIterator[Worker]:
    """Starts a worker's process, which is stopped at the end."""
    async with AsyncExitStack() as stack:

        async def start() -> asyncio.subprocess.Process:
            command = (sys.executable, str(ROOT / "examples" / "temporal_sale.py"), "worker")
            process: asyncio.subprocess.Process = await stack.enter_async_context(
                example.process(*command, **example.worker_variables(gateway, temporal))
            )
            return process

        yield start


async def sell(example: Any, temporal: Client) -> Any:
    return await example.sell(temporal, example.Sale(SERIAL, "Order-1", 4999))


async def test_a_worker_killed_mid_sale_costs_no_second_payment() -> None:
    """``kill -9`` while the device asks for a card: one instruction, and one payment."""
    # What Python says at its end is not ours: Temporal's own threads may outlive it.
    code, output, errors = await run_python(str(ROOT / "examples" / "temporal_sale.py"))
    assert code == 0, errors
    killed, outcome, count = output.splitlines()
    assert "its worker is killed" in killed
    assert outcome.startswith("approved, payment ")
    assert count == "1 instruction(s), 1 payment(s)"


async def test_a_worker_killed_before_it_knows_the_id(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """The submission took effect and was never answered: the next worker sends the same bytes."""
    gateway.device(SERIAL).approves(after=0.5)
    gateway.faults.add("submit", took_effect("a"))
    first = await worker()
    running = await sell(example, temporal)
    await until(lambda: gateway.instructions, PATIENCE)
    first.kill()
    await worker()
    outcome = await asyncio.wait_for(running.result(), PATIENCE)
    assert outcome.outcome == "approved"
    assert list(gateway.payments) == [outcome.payment_id]
    one, two = gateway.requests_of("submit")
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"]
    assert len(gateway.instructions) == 1


async def test_a_worker_that_is_stopped_leaves_the_sale_running(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """SIGTERM cancels nothing at the gateway; the next worker resumes the instruction by its id."""
    gateway.device(SERIAL).never_finishes()
    first = await worker()
    running = await sell(example, temporal)
    await until(lambda: gateway.requests_of("status"), PATIENCE)
    first.send_signal(signal.SIGTERM)
    await asyncio.wait_for(first.communicate(), PATIENCE)
    assert first.returncode == 0
    assert len(gateway.in_progress) == 1
    seen = len(gateway.requests_of("status"))
    await worker()
    await until(lambda: len(gateway.requests_of("status")) > seen, PATIENCE)
    gateway._state.change(gateway.in_progress[0], "completed")
    outcome = await asyncio.wait_for(running.result(), PATIENCE)
    assert list(gateway.payments) == [outcome.payment_id]
    assert gateway.requests_of("cancel") == []
    assert len(gateway.requests_of("submit")) == 1


async def test_a_cancellation_reaches_the_device(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """The workflow ends as canceled after the gateway has shown that the instruction is."""
    gateway.device(SERIAL).never_finishes()
    await worker()
    running = await sell(example, temporal)
    await until(lambda: gateway.requests_of("status"), PATIENCE)
    await running.cancel()
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(running.result(), PATIENCE)
    assert isinstance(caught.value.cause, CancelledError)
    assert gateway.in_progress == []
    assert gateway.payments == {}
    assert gateway.requests_of("cancel") != []


async def test_a_cancellation_that_comes_too_late_returns_the_payment(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """The cardholder has paid: the workflow has the payment, and not a cancellation."""
    gateway.device(SERIAL).completes_on_cancel()
    await worker()
    running = await sell(example, temporal)
    await until(lambda: gateway.requests_of("status"), PATIENCE)
    await running.cancel()
    outcome = await asyncio.wait_for(running.result(), PATIENCE)
    assert outcome.outcome == "approved"
    assert list(gateway.payments) == [outcome.payment_id]


async def test_an_outcome_is_not_retried(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """A device that fails has failed: nothing is sent to it again."""
    gateway.device(SERIAL).fails("Out of paper")
    await worker()
    running = await sell(example, temporal)
    with pytest.raises(WorkflowFailureError) as caught:
        await asyncio.wait_for(running.result(), PATIENCE)
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, ApplicationError)
    assert caught.value.cause.cause.type == "InstructionFailedError"
    assert "Out of paper" in str(caught.value.cause.cause)
    assert len(gateway.requests_of("submit")) == 1


async def test_a_device_has_one_sale_in_the_whole_fleet(
    example: Any, temporal: Client, worker: Worker, gateway: Simulator
) -> None:
    """Temporal refuses the second one by the workflow's id; after the first, the next is begun."""
    gateway.device(SERIAL).approves(after=1.0).declines()
    await worker()
    running = await sell(example, temporal)
    with pytest.raises(WorkflowAlreadyStartedError):
        await sell(example, temporal)
    assert (await asyncio.wait_for(running.result(), PATIENCE)).outcome == "approved"
    second = await sell(example, temporal)
    assert (await asyncio.wait_for(second.result(), PATIENCE)).outcome == "declined"
    assert len(gateway.instructions) == 2


async def test_a_sale_that_waited_for_a_worker_is_not_sent_to_a_customer_who_has_left(
    example: Any, session: PayrocSession, gateway: Simulator
) -> None:
    """Two minutes, as for the journal's recovery; an instruction that exists is resumed."""
    environment = ActivityEnvironment()
    late = datetime.now(UTC) - timedelta(seconds=121)
    environment.info = replace(environment.info, scheduled_time=late)
    sell = example.Sales(session).run_sale
    arguments = (example.Sale(SERIAL, "Order-1", 4999), str(uuid4()))
    with pytest.raises(ApplicationError, match="too late to submit order Order-1, not sent") as no:
        await environment.run(sell, *arguments)
    assert no.value.non_retryable
    assert gateway.requests_of("submit") == []
    gateway.device(SERIAL).approves()
    handle = await session.start_sale(SERIAL, example.new_sale("Order-1", 4999))
    environment.info = replace(environment.info, heartbeat_details=[handle.instruction_id])
    outcome = await environment.run(sell, *arguments)
    assert list(gateway.payments) == [outcome.payment_id]
