"""P3: canceled from every side, and with every fault, a sale leaves no orphan behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

import payroc_async
from payroc_async import (
    CancelRequested,
    Event,
    InstructionStatus,
    PayrocSession,
    ResultReceived,
    Submitted,
)
from payroc_async.simulator import (
    Simulator,
    delay,
    drop_after,
    drop_before,
    garbage,
    hang,
    hang_after,
    rate_limited,
    revoke_token,
    status,
    truncated,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import Script, gate, listening, settle, tasks_left, until


class SiblingError(Exception):
    """What a neighbour of the sale fails with."""


def asked(gateway: Simulator, kind: str = "status") -> Callable[[], bool]:
    """Whether a request of this kind is open at the gateway now."""
    return lambda: any(one.kind == kind for one in gateway.open_requests)


async def begun(gateway: Simulator, sale: Awaitable[Any]) -> asyncio.Task[Any]:
    """A sale in a task of its own, waiting for its cardholder."""
    task = asyncio.ensure_future(sale)
    await until(asked(gateway))
    return task


def assert_canceled(gateway: Simulator, made: int = 1) -> None:
    """There is one instruction, and it is canceled; checked without waiting for anything."""
    assert [one.status for one in gateway.instructions.values()] == ["canceled"] * made


# From every side ----------


async def by_asyncio_timeout(waits: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2 * UNIT):
            await waits


async def by_wait_for(waits: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waits, 2 * UNIT)


async def by_inner_timeout(waits: Awaitable[object]) -> None:
    async with asyncio.timeout(50 * UNIT) as outer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * UNIT):
                await waits
    assert not outer.expired()


async def by_outer_timeout(waits: Awaitable[object]) -> None:
    outer, inner = asyncio.timeout(2 * UNIT), asyncio.timeout(50 * UNIT)
    with pytest.raises(TimeoutError):
        async with outer, inner:
            await waits
    assert outer.expired()
    assert not inner.expired()


async def by_both_timeouts_at_once(waits: Awaitable[object]) -> None:
    when = asyncio.get_running_loop().time() + 2 * UNIT
    outer, inner = asyncio.timeout_at(when), asyncio.timeout_at(when)
    with pytest.raises(TimeoutError):
        async with outer, inner:
            await waits
    assert outer.expired()
    assert inner.expired()


async def by_task_group_sibling(waits: Awaitable[object]) -> None:
    async def fail() -> None:
        await asyncio.sleep(2 * UNIT)
        raise SiblingError

    async def wait() -> None:
        await waits

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [SiblingError]


async def by_task_group_body(waits: Awaitable[object]) -> None:
    async def fail() -> None:
        await asyncio.sleep(2 * UNIT)
        raise SiblingError

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await waits

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [SiblingError]


async def by_move_on_after(waits: Awaitable[object]) -> None:
    with anyio.move_on_after(2 * UNIT) as scope:
        await waits
    assert scope.cancelled_caught


async def by_fail_after(waits: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(2 * UNIT):
        await waits


async def by_anyio_group(waits: Awaitable[object]) -> None:
    async def wait() -> None:
        await waits

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.sleep(2 * UNIT)
        group.cancel_scope.cancel()


async def by_anyio_sibling(waits: Awaitable[object]) -> None:
    async def fail() -> None:
        await anyio.sleep(2 * UNIT)
        raise SiblingError

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await waits

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [SiblingError]


async def by_nested_scopes(waits: Awaitable[object]) -> None:
    with anyio.move_on_after(2 * UNIT) as outer, anyio.move_on_after(2 * UNIT):
        await waits
    assert outer.cancel_called


async def by_anyio_in_asyncio(waits: Awaitable[object]) -> None:
    async with asyncio.timeout(50 * UNIT) as outer:
        with anyio.move_on_after(2 * UNIT) as scope:
            await waits
    assert scope.cancelled_caught
    assert not outer.expired()


async def by_asyncio_in_anyio(waits: Awaitable[object]) -> None:
    with anyio.move_on_after(50 * UNIT) as scope:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * UNIT):
                await waits
    assert not scope.cancel_called


async def by_task_cancel(waits: Awaitable[object]) -> None:
    task = asyncio.ensure_future(waits)
    await asyncio.sleep(2 * UNIT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


SIDES: list[Callable[[Awaitable[object]], Awaitable[None]]] = [
    by_asyncio_timeout,
    by_wait_for,
    by_inner_timeout,
    by_outer_timeout,
    by_both_timeouts_at_once,
    by_task_group_sibling,
    by_task_group_body,
    by_move_on_after,
    by_fail_after,
    by_anyio_group,
    by_anyio_sibling,
    by_nested_scopes,
    by_anyio_in_asyncio,
    by_asyncio_in_anyio,
    by_task_cancel,
]


@pytest.mark.parametrize("call", ["run_sale", "cancel"])
@pytest.mark.parametrize("cancelled", SIDES)
async def test_p3_p4_cancelled_from_any_side(
    gateway: Simulator,
    session: PayrocSession,
    cancelled: Callable[[Awaitable[object]], Awaitable[None]],
    call: str,
) -> None:
    """Anyone who cancels finds the instruction canceled, and gets what that side is used to get."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    # The gateway takes its time, so that anyone who did not wait for it would be found out.
    gateway.faults.add("cancel", delay(3 * UNIT))
    if call == "run_sale":
        await cancelled(session.run_sale(SERIAL, sale()))
        # On a slow machine the time may be over before anything was submitted.
        assert_canceled(gateway, made=len(gateway.instructions))
    else:
        handle = await session.start_sale(SERIAL, sale())
        await cancelled(getattr(handle, call)())
        assert_canceled(gateway)
    await settle(gateway, before)


@pytest.mark.parametrize("scope_first", [True, False])
async def test_p4_a_native_cancel_is_not_taken_for_the_scopes(
    gateway: Simulator, session: PayrocSession, scope_first: bool
) -> None:
    """Cancelled by an anyio scope and natively too, the task ends as canceled."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    scope = anyio.CancelScope()

    async def call() -> None:
        with scope:
            await session.run_sale(SERIAL, sale())

    task = await begun(gateway, call())
    cancels: list[Callable[[], object]] = [scope.cancel, task.cancel]
    for cancel in cancels if scope_first else reversed(cancels):
        cancel()
        await asyncio.sleep(UNIT)
        assert not task.done()
    opens.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert_canceled(gateway)


async def test_p3_an_anyio_scope_that_cancels_for_long(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A scope would cancel again at every turn of the loop: the wait does not spin on that."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    handle = await session.start_sale(SERIAL, sale())
    loop = asyncio.get_running_loop()
    loop.set_debug(False)  # which would slow the spinning down
    loop.call_later(5 * UNIT, opens.set)
    script = Script({})
    with script.running(), anyio.move_on_after(UNIT) as scope:
        await handle.result()
    assert scope.cancelled_caught
    assert_canceled(gateway)
    assert len(gateway.requests_of("cancel")) == 1
    # The steps of some requests, and one for each idle millisecond.
    assert script.count < 300


async def test_p3_cancelled_fifty_times_at_every_turn_of_the_loop(
    gateway: Simulator, session: PayrocSession
) -> None:
    """However often it is canceled, the CancelledError waits for the gateway."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    before = asyncio.all_tasks()
    task = await begun(gateway, session.run_sale(SERIAL, sale()))
    for _ in range(50):
        assert task.cancel()
        await asyncio.sleep(0)
    opens.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert_canceled(gateway)
    assert len(gateway.requests_of("cancel")) == 1
    await settle(gateway, before)


async def test_p3_one_of_two_waiters_is_cancelled(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The other one, who was not canceled, is informed what became of the instruction."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale())
    one, other = (asyncio.ensure_future(handle.result()) for _ in range(2))
    await until(asked(gateway))
    one.cancel()
    await asyncio.wait((one, other))
    assert one.cancelled()
    assert isinstance(other.exception(), payroc_async.InstructionCanceledError)
    assert_canceled(gateway)


@pytest.mark.parametrize("error", [SiblingError, asyncio.CancelledError])
@pytest.mark.parametrize("at", [Submitted, CancelRequested])
async def test_p3_what_on_event_raises_makes_no_orphan(
    gateway: Simulator,
    session: PayrocSession,
    caplog: pytest.LogCaptureFixture,
    error: type[BaseException],
    at: type[Event],
) -> None:
    """An ``on_event`` that raises, be it a CancelledError of its own, is logged and no more."""
    gateway.device(SERIAL).never_finishes()

    def on_event(event: Event) -> None:
        if isinstance(event, at):
            raise error

    task = asyncio.ensure_future(session.run_sale(SERIAL, sale(), on_event=on_event))
    await until(lambda: task.done() or asked(gateway)())
    assert not task.done()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert_canceled(gateway)
    assert "on_event failed" in caplog.text


# While something else goes wrong ----------


@pytest.fixture
async def hasty(gateway: Simulator) -> Any:
    """A session that soon takes an answer for lost."""
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, request=6 * UNIT, cancel_grace=2.0),
        retries=EAGER,
    ) as session:
        yield session


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (drop_before(), 2),
        (drop_after(), 1),
        (drop_after(), 3),
        (truncated(), 1),
        (garbage(), 2),
        (delay(3 * UNIT), 1),
        (hang(), 1),
        (hang_after(), 1),
        (status(503), 3),
        (status(503, effect=True), 3),
        (status(504, effect=True), 1),
        (status(408), 2),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_p3_cancelled_while_the_submissions_answer_is_lost(
    gateway: Simulator,
    hasty: PayrocSession,
    fault: Any,
    times: int,
    on_cancel: payroc_async.OnCancel,
) -> None:
    """The id is learned by the same POST again; then it is canceled, or left with its id known."""
    gateway.device(SERIAL).never_finishes()
    injected = gateway.faults.add("submit", fault, times=times)
    before = asyncio.all_tasks()
    events: list[Event] = []
    task = asyncio.ensure_future(
        hasty.run_sale(SERIAL, sale(), on_cancel=on_cancel, on_event=events.append)
    )
    await until(lambda: injected.hits)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert injected.hits == times
    (instruction,) = gateway.instructions.values()
    assert {type(event) for event in events} >= {Submitted}
    assert events[-1].instruction_id == instruction.id
    bodies = {(one.body, one.headers["idempotency-key"]) for one in gateway.requests_of("submit")}
    assert len(bodies) == 1
    if on_cancel == "detach":
        assert instruction.status == "inProgress"
        assert gateway.requests_of("cancel") == []
        await hasty.resume_sale(instruction.id).cancel()
    assert_canceled(gateway)
    await settle(gateway, before)


async def test_p3_cancelled_while_the_submission_was_refused_in_passing(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E2: a 429 does not prove that nothing was made: the replay shows the id to cancel."""
    gateway.device(SERIAL).never_finishes()
    fault = gateway.faults.add("submit", rate_limited("30"))
    task = asyncio.ensure_future(session.run_sale(SERIAL, sale()))
    await until(lambda: fault.hits)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert_canceled(gateway)


@pytest.mark.parametrize("fault", [status(503), hang(), drop_before()], ids=lambda f: f.kind)
async def test_p3_cancelled_while_the_identity_service_is_down(
    gateway: Simulator, fault: Any
) -> None:
    """Without a token nothing was sent: the CancelledError comes at once, and nothing follows."""
    gateway.faults.add("authorize", fault, times=None)
    before = asyncio.all_tasks()
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, request=6 * UNIT),
        retries=EAGER,
    ) as session:
        task = asyncio.ensure_future(session.run_sale(SERIAL, sale()))
        await until(lambda: gateway.requests_of("authorize"))
        task.cancel()
        await asyncio.wait((task,), timeout=25 * UNIT)
        assert task.cancelled()
        gateway.faults.clear()
        assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.instructions) == 1
    await settle(gateway, before)


async def test_p3_cancelled_without_a_token_while_the_identity_service_is_down(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A DELETE that has to wait for a token is sent when there is one."""
    gateway.device(SERIAL).never_finishes()
    task = await begun(gateway, session.run_sale(SERIAL, sale()))
    outage = gateway.faults.add("authorize", status(503), times=3)
    gateway.revoke_tokens()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert outage.hits == 3
    assert_canceled(gateway)


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (drop_before(), 3),
        (drop_after(), 1),
        (truncated(), 1),
        (status(500), 3),
        (status(500, effect=True), 3),
        (status(502, body=b"<html>"), 1),
        (status(404), 1),
        (status(409), 1),
        (rate_limited("0"), 2),
        (revoke_token(), 1),
        (hang(), 1),
        (hang_after(), 1),
        (delay(3 * UNIT), 1),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
async def test_p3_cancelled_while_the_cancellation_itself_fails(
    gateway: Simulator, hasty: PayrocSession, fault: Any, times: int
) -> None:
    """The DELETE is repeated until the status says that it was heard."""
    gateway.hold = 2 * UNIT
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    task = await begun(gateway, hasty.run_sale(SERIAL, sale()))
    injected = gateway.faults.add("cancel", fault, times=times)
    with listening() as heard:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    assert injected.hits >= 1
    assert_canceled(gateway)
    assert heard.at(logging.ERROR) == []
    await settle(gateway, before)


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (drop_before(), 2),
        (drop_after(), 2),
        (status(503), 2),
        (garbage(), 2),
        (truncated(), 2),
        (revoke_token(), 1),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
@pytest.mark.parametrize("on", ["status", "payment"])
async def test_p3_p5_cancelled_too_late_while_the_reading_fails(
    gateway: Simulator, session: PayrocSession, fault: Any, times: int, on: str
) -> None:
    """A 409 means that it came too late: the payment is reported, by event and at WARNING."""
    gateway.device(SERIAL).completes_on_cancel()
    events: list[Event] = []
    task = await begun(gateway, session.run_sale(SERIAL, sale(), on_event=events.append))
    gateway.faults.add(on, fault, times=times)
    with listening() as heard:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    (payment_id,) = gateway.payments
    (settled,) = [event for event in events if isinstance(event, ResultReceived)]
    assert getattr(settled.resource, "payment_id", None) == payment_id
    (warning,) = heard.at(logging.WARNING)
    assert payment_id in warning
    assert heard.at(logging.ERROR) == []


# When the grace is over ----------


@pytest.fixture
async def impatient(gateway: Simulator) -> Any:
    """A session with a short grace, which is opened here and closed by the test if it likes."""
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, cancel_grace=5 * UNIT, request=5.0, unreachable=5.0),
        retries=EAGER,
    )
    await session.open()
    yield session
    await session.aclose()


async def elapsed(waits: Awaitable[object]) -> float:
    """Seconds that it takes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await waits
    return loop.time() - start


@pytest.mark.parametrize("closes", [False, True])
async def test_p3_what_the_grace_leaves_unfinished_goes_on(
    gateway: Simulator, impatient: PayrocSession, closes: bool
) -> None:
    """The CancelledError goes on after the grace, the canceling in the background to the end."""
    gateway.device(SERIAL).never_finishes()
    task = await begun(gateway, impatient.run_sale(SERIAL, sale()))
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    with listening() as heard:
        task.cancel()
        took = await elapsed(asyncio.wait((task,)))
        assert task.cancelled()
    assert 4 * UNIT < took < 2
    (error,) = heard.at(logging.ERROR)
    (instruction,) = gateway.instructions.values()
    assert instruction.id in error
    assert SERIAL in error
    assert instruction.status == "inProgress"
    # The device is not free before the instruction has ended (P11).
    with pytest.raises(payroc_async.DeviceBusyError):
        await impatient.run_sale(SERIAL, sale())
    asyncio.get_running_loop().call_later(UNIT, opens.set)
    if closes:
        await impatient.aclose()
    else:
        await until(lambda: "0 instructions" in repr(impatient))
    assert_canceled(gateway)


async def test_p3_a_payment_after_the_grace_is_told(
    gateway: Simulator, impatient: PayrocSession
) -> None:
    """A payment that comes to light in the background is reported by event and at WARNING."""
    gateway.device(SERIAL).completes_on_cancel()
    events: list[Event] = []
    task = await begun(gateway, impatient.run_sale(SERIAL, sale(), on_event=events.append))
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    with listening() as heard:
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert not gateway.payments
        opens.set()
        await impatient.aclose()
    (payment_id,) = gateway.payments
    (settled,) = [event for event in events if isinstance(event, ResultReceived)]
    assert getattr(settled.resource, "payment_id", None) == payment_id
    (warning,) = heard.at(logging.WARNING)
    assert payment_id in warning


async def test_p3_closing_does_not_wait_for_ever_for_the_background(
    gateway: Simulator, impatient: PayrocSession
) -> None:
    """A gateway that never answers holds neither the task nor the closing; both log an error."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    task = await begun(gateway, impatient.run_sale(SERIAL, sale()))
    gateway.faults.add("cancel", hang(), times=None)
    with listening() as heard:
        task.cancel()
        assert await elapsed(asyncio.wait((task,))) < 2
        assert task.cancelled()
        assert await elapsed(impatient.aclose()) < 2
    (instruction,) = gateway.instructions.values()
    assert len([text for text in heard.at(logging.ERROR) if instruction.id in text]) == 2
    await until(lambda: not gateway.open_requests)
    assert tasks_left(before) == set()


async def test_p3_the_grace_passes_before_the_id_is_known(
    gateway: Simulator, impatient: PayrocSession
) -> None:
    """A submission that is answered after the grace is canceled all the same."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("submit", gate(opens), times=None)
    task = asyncio.ensure_future(impatient.run_sale(SERIAL, sale()))
    await until(asked(gateway, "submit"))
    with listening() as heard:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    assert len(heard.at(logging.ERROR)) == 1
    assert gateway.instructions == {}
    opens.set()
    await until(lambda: "0 instructions" in repr(impatient))
    assert_canceled(gateway)


@pytest.mark.parametrize("caller_first", [True, False])
async def test_p3_all_tasks_cancelled_is_bounded_too(
    gateway: Simulator, caller_first: bool
) -> None:
    """When all tasks are canceled at once and the gateway is silent, all end within the grace."""
    gateway.device(SERIAL).never_finishes()
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, cancel_grace=5 * UNIT, request=60.0, unreachable=60.0),
        retries=EAGER,
    )
    async with session:
        task = await begun(gateway, session.run_sale(SERIAL, sale()))
        gateway.faults.add("cancel", status(503), times=None)
        own = [one for one in asyncio.all_tasks() if one.get_name().startswith("payroc payment")]
        assert len(own) == 1
        for one in [task, *own] if caller_first else [*own, task]:
            one.cancel()
        # The gateway holds the last status request: until then there is an answer on its way.
        _, pending = await asyncio.wait([task, *own], timeout=2 * QUICK.hold + 1)
        assert not pending
        assert task.cancelled()


# Left running on purpose ----------


async def test_p3_detached_and_finished_by_another_session(
    gateway: Simulator, session: PayrocSession
) -> None:
    """What one session has left running is finished by another, from the id alone."""
    gateway.device(SERIAL).approves(after=30 * UNIT)
    events: list[Event] = []
    task = await begun(
        gateway, session.run_sale(SERIAL, sale(), on_cancel="detach", on_event=events.append)
    )
    with listening() as heard:
        task.cancel()
        await asyncio.wait((task,))
    assert task.cancelled()
    assert heard.records == []
    (instruction,) = gateway.in_progress
    await session.aclose()
    assert gateway.in_progress == [instruction]
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as another:
        assert events[0].instruction_id is not None
        payment = await another.resume_sale(events[0].instruction_id).result()
    assert payment.payment_id == instruction.payment_id
    assert gateway.requests_of("cancel") == []


async def test_p3_detach_cancels_all_the_same_when_asked_to(
    gateway: Simulator, session: PayrocSession
) -> None:
    """``on_cancel="detach"`` is about the awaiting task: ``handle.cancel()`` still cancels."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale(), on_cancel="detach")
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    task = asyncio.ensure_future(handle.cancel())
    await until(asked(gateway, "cancel"))
    task.cancel()
    opens.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert handle.status == InstructionStatus.CANCELED
    assert_canceled(gateway)


# The whole process ----------

PROGRAM = """
import asyncio, os, signal, sys
from payroc_async import (
    InstructionCanceledError, Order, PaymentInstructionRequest, PayrocSession, Timeouts,
)

request = PaymentInstructionRequest(
    processing_terminal_id="1234001",
    order=Order(order_id="OrderRef6543", amount=4999, currency="USD"),
)
session = PayrocSession.from_env(timeouts=Timeouts(cancel_grace=5.0, hold=0.5, hold_margin=1.0))

def on_event(event):
    print(type(event).__name__, event.instruction_id, flush=True)

def on_sigterm(action):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, action)

async def sale():
    return await session.run_sale("1850010868", request, on_event=on_event)

async def closed():
    on_sigterm(asyncio.current_task().cancel)
    async with session:
        await sale()

async def unclosed():
    on_sigterm(asyncio.current_task().cancel)
    await session.open()
    await sale()

async def main_ends():
    # The sale's task is no one's: asyncio.run cancels it with all the others when main ends.
    over = asyncio.Event()
    on_sigterm(over.set)
    await session.open()
    task = asyncio.create_task(sale())
    await over.wait()

async def main_ends_with_handle():
    over = asyncio.Event()
    on_sigterm(over.set)
    await session.open()
    handle = await session.start_sale("1850010868", request, on_event=on_event)
    await over.wait()

async def closing():
    # Main is in aclose() when the second signal comes; the sale runs in another task.
    on_sigterm(asyncio.current_task().cancel)
    async with session:
        task = asyncio.create_task(told_sale())
        await asyncio.Event().wait()

async def told_sale():
    try:
        await sale()
    except InstructionCanceledError as error:
        print(error, flush=True)

# As from a terminal: what starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(globals()[sys.argv[1]]())
"""


async def run_program(gateway: Simulator, main: str) -> asyncio.subprocess.Process:
    """A process that has a sale waiting for its cardholder."""
    environ = {
        **os.environ,
        "PYTHONPATH": str(Path(payroc_async.__file__).parents[1]),
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
    }
    environ.pop("PAYROC_ENVIRONMENT", None)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        main,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await until(asked(gateway), patience=20.0)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("main", "signals", "behaviour"),
    [
        ("closed", [signal.SIGINT], "never_finishes"),
        ("closed", [signal.SIGINT], "completes_on_cancel"),
        ("closed", [signal.SIGTERM], "never_finishes"),
        ("closed", [signal.SIGINT, signal.SIGINT], "never_finishes"),
        ("closed", [signal.SIGTERM, signal.SIGINT], "completes_on_cancel"),
        ("unclosed", [signal.SIGINT], "never_finishes"),
        ("unclosed", [signal.SIGINT, signal.SIGINT], "completes_on_cancel"),
        ("main_ends", [signal.SIGTERM], "never_finishes"),
        ("main_ends", [signal.SIGINT], "completes_on_cancel"),
        ("main_ends_with_handle", [signal.SIGTERM], "completes_on_cancel"),
        ("closing", [signal.SIGINT], "never_finishes"),
        ("closing", [signal.SIGINT, signal.SIGINT], "never_finishes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(one.name for one in value),
)
async def test_p3_a_process_that_is_told_to_end_leaves_no_orphan(
    gateway: Simulator, main: str, signals: list[signal.Signals], behaviour: str
) -> None:
    """Ctrl-C and SIGTERM, once or twice, end the process when the gateway has confirmed."""
    getattr(gateway.device(SERIAL), behaviour)()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens), times=None)
    process = await run_program(gateway, main)
    process.send_signal(signals[0])
    await until(asked(gateway, "cancel"))
    for number in signals[1:]:
        # In the middle of a Python function, KeyboardInterrupt would strike just there.
        await asyncio.sleep(2 * UNIT)
        process.send_signal(number)
    opens.set()
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert gateway.in_progress == []
    (instruction,) = gateway.instructions.values()
    if behaviour == "completes_on_cancel":
        assert b"ResultReceived" in out
        # Reported at WARNING, unless the sale's own task was left to have it.
        assert (instruction.payment_id or "").encode() in err or main == "closing"
    else:
        assert b"Canceled" in out
    assert b"never retrieved" not in err
    assert b"was destroyed" not in err
    assert b"Unclosed" not in err or main not in ("closed", "closing")
