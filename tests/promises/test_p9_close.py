"""P9: closing loses nothing; and `timeout=`, which cancels from inside (P5)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from payroc_async import (
    CancelRequested,
    Event,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    ResultReceived,
    SessionClosedError,
    Submitted,
)
from payroc_async.instructions.live import Options
from payroc_async.kinds import PAYMENT
from payroc_async.simulator import (
    Simulator,
    delay,
    drop_after,
    hang,
    hang_after,
    problem,
    status,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import (
    BETWEEN,
    CONNECT,
    LINK,
    POLL,
    SUBMIT,
    TOKEN,
    Script,
    cancel_at,
    gate,
    listening,
    phase,
    settle,
    sweep,
    tasks_left,
    until,
)


@pytest.fixture
async def undebugged() -> AsyncIterator[None]:
    """The loop without its debug mode, which takes four times as long over thousands of sales."""
    loop = asyncio.get_running_loop()
    loop.set_debug(False)
    yield
    loop.set_debug(True)


def fresh(gateway: Simulator, **times: float) -> PayrocSession:
    """A session that is not open yet."""
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, **times),
        retries=EAGER,
    )


def asked(gateway: Simulator, kind: str = "status") -> Callable[[], bool]:
    """Whether a request of this kind is open at the gateway now."""
    return lambda: any(one.kind == kind for one in gateway.open_requests)


async def nothing_left(gateway: Simulator, before: set[asyncio.Task[Any]]) -> None:
    """No task of the session's, no request, no connection's task at the server."""
    assert tasks_left(before) == set()
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not any(name.startswith("payroc") for name in names)
    await settle(gateway, before)


# At every step ----------


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
@pytest.mark.parametrize(
    "behaviour", ["approves", "fails", "never_finishes", "completes_on_cancel"]
)
async def test_p9_closed_at_every_step_of_a_sale(
    gateway: Simulator, behaviour: str, on_cancel: Any
) -> None:
    """Wherever the sale stands, its caller learns the truth, and nothing is left after closing."""
    getattr(gateway.device(SERIAL), behaviour)()
    seen: Counter[str] = Counter()

    async def attack(step: int) -> bool:
        gateway.clear()
        before = asyncio.all_tasks()
        session = await fresh(gateway).open()
        events: list[Event] = []
        task = asyncio.create_task(
            session.run_sale(SERIAL, sale(), on_cancel=on_cancel, on_event=events.append)
        )
        closings: list[asyncio.Task[object]] = []

        def close() -> None:
            if not task.done():
                seen[phase(gateway, events, has_token=False)] += 1
                closings.append(asyncio.create_task(session.aclose()))

        with Script({step: close}).running():
            await asyncio.wait((task,))
        if not closings:
            await session.aclose()
            return False
        await asyncio.wait(closings)
        closings[0].result()
        assert tasks_left(before) == set()
        outcome = task.exception() or task.result()
        made = list(gateway.instructions.values())
        assert len(made) <= 1
        if isinstance(outcome, SessionClosedError):
            # The call came after the closing had begun.
            assert made == []
        elif isinstance(outcome, Payment):
            assert [outcome.payment_id] == list(gateway.payments)
        elif on_cancel == "detach" and made:
            assert isinstance(outcome, OutcomeUnknownError | InstructionFailedError)
            assert outcome.instruction_id == made[0].id
            assert made[0].delete_count == 0
            async with fresh(gateway) as another:
                handle = another.resume_sale(made[0].id)
                if made[0].payment_id:
                    assert (await handle.result()).payment_id == made[0].payment_id
                else:
                    await handle.cancel()
        else:
            assert isinstance(outcome, InstructionCanceledError | InstructionFailedError)
            assert {one.status for one in made} <= {"canceled", "failure"}
        await nothing_left(gateway, before)
        return True

    step = 0
    while await attack(step) and seen[POLL] < 3:
        step += 1
    assert set(seen) >= {TOKEN, CONNECT, SUBMIT, BETWEEN}
    assert behaviour != "approves" or seen[LINK]
    assert behaviour not in ("never_finishes", "completes_on_cancel") or seen[POLL]


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("distance", [None, 0, 2])
async def test_p9_closing_cancelled_at_every_step(gateway: Simulator, distance: int | None) -> None:
    """``aclose()`` that is canceled has closed everything before its CancelledError goes on."""
    gateway.device(SERIAL).never_finishes()

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()
        before = asyncio.all_tasks()
        session = await fresh(gateway).open()
        events: list[Event] = []
        handle = await session.start_sale(SERIAL, sale(), on_event=events.append)
        ending = await cancel_at(steps, lambda _: session.aclose(), gateway, events)
        if not ending.begun:
            await session.aclose()
        else:
            assert "inProgress" not in ending.statuses
        assert " closed," in repr(session)
        assert ending.task.cancelled() == bool(ending.phases)
        with pytest.raises(InstructionCanceledError):
            await handle.result()
        await nothing_left(gateway, before)
        return ending.phases

    runs = await sweep(attack, distance)
    assert len(runs) > 10


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", ["never_finishes", "completes_on_cancel"])
async def test_p9_every_task_cancelled_at_every_step_of_closing(
    gateway: Simulator, behaviour: str
) -> None:
    """A second Ctrl-C while the session closes, which cancels all tasks at once, loses nothing."""
    getattr(gateway.device(SERIAL), behaviour)()

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()
        before = asyncio.all_tasks()
        session = await fresh(gateway).open()
        events: list[Event] = []
        await session.start_sale(SERIAL, sale(), on_event=events.append)

        def cancel_all() -> None:
            for task in asyncio.all_tasks() - before:
                if task.get_name().startswith("payroc"):
                    task.cancel()

        ending = await cancel_at(
            steps, lambda _: session.aclose(), gateway, events, also=cancel_all
        )
        if not ending.begun:
            await session.aclose()
        await until(lambda: not tasks_left(before))
        assert gateway.in_progress == []
        settled = [one for one in events if isinstance(one, ResultReceived)]
        assert [getattr(one.resource, "payment_id", None) for one in settled] == list(
            gateway.payments
        )
        assert " closed," in repr(session)
        await nothing_left(gateway, before)
        return ending.phases

    runs = await sweep(attack)
    assert len(runs) > 10


# Closing ----------


async def test_p9_many_sales_at_once(gateway: Simulator) -> None:
    """Sales in every phase are all seen to the end by one closing."""
    before = asyncio.all_tasks()
    count = 24
    session = await fresh(gateway).open()
    gateway.faults.add("submit", delay(3 * UNIT), times=None, serial_number="3")
    gateway.faults.add("payment", delay(3 * UNIT), times=None, serial_number="5")
    for number in range(count):
        device = gateway.device(str(number))
        if number % 3 == 0:
            device.never_finishes()
        elif number % 3 == 1:
            device.completes_on_cancel()
        else:
            device.approves(after=UNIT)
    tasks = [asyncio.create_task(session.run_sale(str(n), sale())) for n in range(count)]
    await until(lambda: len(gateway.instructions) >= count - 1)
    await session.aclose()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    paid = {one.serial_number: one.payment_id for one in gateway.instructions.values()}
    for number, outcome in enumerate(outcomes):
        if payment_id := paid.get(str(number)):
            assert isinstance(outcome, Payment)
            assert outcome.payment_id == payment_id
        else:
            assert isinstance(outcome, InstructionCanceledError)
    assert gateway.in_progress == []
    assert gateway.payments
    await nothing_left(gateway, before)


@pytest.mark.parametrize("how", ["twice in a row", "twice at once", "by another task"])
async def test_p9_closed_more_than_once(gateway: Simulator, how: str) -> None:
    """Closing twice, also at once and from another task, is as good as once; each one waits."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", delay(3 * UNIT))
    before = asyncio.all_tasks()
    session = await fresh(gateway).open()
    task = asyncio.create_task(session.run_sale(SERIAL, sale()))
    await until(asked(gateway))

    async def close() -> None:
        await session.aclose()
        assert gateway.in_progress == []
        assert " closed," in repr(session)

    if how == "twice in a row":
        await close()
        await close()
    elif how == "twice at once":
        await asyncio.gather(close(), close(), close())
    else:
        await asyncio.create_task(close())
    with pytest.raises(InstructionCanceledError):
        await task
    assert len(gateway.requests_of("cancel")) == 1
    await nothing_left(gateway, before)


@pytest.mark.parametrize("times", [1, 2, 50])
async def test_p9_closing_cancelled_many_times(gateway: Simulator, times: int) -> None:
    """However often ``aclose()`` is canceled, it has closed everything when it ends."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens))
    before = asyncio.all_tasks()
    session = await fresh(gateway).open()
    await session.start_sale(SERIAL, sale())
    task = asyncio.create_task(session.aclose())
    await until(asked(gateway, "cancel"))
    for _ in range(times):
        assert task.cancel()
        await asyncio.sleep(0)
    opens.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert gateway.in_progress == []
    assert " closed," in repr(session)
    await session.aclose()
    await nothing_left(gateway, before)


async def test_p9_one_of_two_closings_is_cancelled(gateway: Simulator) -> None:
    """The other one is not disturbed."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens))
    session = await fresh(gateway).open()
    await session.start_sale(SERIAL, sale())
    one, other = (asyncio.create_task(session.aclose()) for _ in range(2))
    await until(asked(gateway, "cancel"))
    one.cancel()
    await asyncio.sleep(0)
    opens.set()
    await asyncio.wait((one, other))
    assert one.cancelled()
    other.result()
    assert gateway.in_progress == []


async def test_p9_closed_and_cancelled_at_once(gateway: Simulator) -> None:
    """A caller that is canceled while the session closes still ends as canceled."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    session = await fresh(gateway).open()
    task = asyncio.create_task(session.run_sale(SERIAL, sale()))
    await until(asked(gateway))
    closing = asyncio.create_task(session.aclose())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task, closing))
    assert task.cancelled()
    closing.result()
    assert len(gateway.requests_of("cancel")) == 1
    await nothing_left(gateway, before)


CALLS: dict[str, Callable[[PayrocSession], Awaitable[object]]] = {
    "run_sale": lambda session: session.run_sale("another", sale()),
    "start_sale": lambda session: session.start_sale("another", sale()),
    "submit": lambda session: session.payment_instructions.submit("another", sale()),
    "retrieve instruction": lambda session: session.payment_instructions.retrieve("1"),
    "cancel instruction": lambda session: session.payment_instructions.cancel("1"),
    "retrieve": lambda session: session.payments.retrieve("1"),
}


@pytest.mark.parametrize("state", ["new", "closing", "closed", "never opened"])
@pytest.mark.parametrize("call", CALLS)
async def test_p9_new_work_is_refused(gateway: Simulator, call: str, state: str) -> None:
    """A session that is not open refuses every call, and sends nothing."""
    gateway.device(SERIAL).never_finishes()
    session = fresh(gateway)
    closing = None
    opens = asyncio.Event()
    if state == "closing":
        gateway.faults.add("cancel", gate(opens))
        await session.open()
        await session.start_sale(SERIAL, sale())
        closing = asyncio.create_task(session.aclose())
        await until(asked(gateway, "cancel"))
    elif state == "closed":
        await session.open()
        await session.aclose()
    elif state == "never opened":
        await session.aclose()
    sent = len(gateway.requests)
    with pytest.raises(SessionClosedError):
        await CALLS[call](session)
    with pytest.raises(SessionClosedError):
        session.resume_sale("1")
    assert len(gateway.requests) == sent
    opens.set()
    if closing is not None:
        await closing
    if state != "new":
        with pytest.raises(SessionClosedError):
            await session.open()
    await session.aclose()


async def test_p9_opened_in_one_task_and_closed_in_another(gateway: Simulator) -> None:
    """As pytest's fixtures and web frameworks do it, with sales in yet other tasks."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    session = await asyncio.create_task(fresh(gateway).open())
    task = asyncio.create_task(session.run_sale(SERIAL, sale()))
    await until(asked(gateway))
    await asyncio.create_task(session.aclose())
    with pytest.raises(InstructionCanceledError):
        await task
    await nothing_left(gateway, before)


async def test_p9_a_generator_may_hold_the_session(gateway: Simulator) -> None:
    """A context manager around the session's, entered and left by different tasks."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()

    @asynccontextmanager
    async def application() -> AsyncIterator[PayrocSession]:
        async with fresh(gateway) as session:
            yield session

    manager = application()
    session = await asyncio.create_task(manager.__aenter__())
    handle = await asyncio.create_task(session.start_sale(SERIAL, sale()))
    await asyncio.create_task(manager.__aexit__(None, None, None))
    with pytest.raises(InstructionCanceledError):
        await handle.result()
    await nothing_left(gateway, before)


async def test_p9_detached_sales_are_left_running(gateway: Simulator) -> None:
    """Closing leaves them alone; anyone who awaits one is reported its id."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    session = await fresh(gateway).open()
    task = asyncio.create_task(session.run_sale(SERIAL, sale(), on_cancel="detach"))
    await until(asked(gateway))
    await session.aclose()
    (instruction,) = gateway.in_progress
    with pytest.raises(OutcomeUnknownError) as caught:
        await task
    assert caught.value.instruction_id == instruction.id
    assert gateway.requests_of("cancel") == []
    assert tasks_left(before) == set()
    async with fresh(gateway) as another:
        await another.resume_sale(instruction.id).cancel()
    await nothing_left(gateway, before)


@pytest.mark.parametrize("fault", [hang(), hang_after(), status(503)], ids=lambda f: f.kind)
@pytest.mark.parametrize("on", ["authorize", "submit", "status", "cancel", "payment", "any"])
async def test_p9_closing_is_bounded(gateway: Simulator, fault: Any, on: str) -> None:
    """A silent or failing gateway can't keep a session from closing, and nothing is left of it."""
    gateway.device(SERIAL).completes_on_cancel()
    before = asyncio.all_tasks()
    gateway.faults.add(on, fault, times=None)
    session = await fresh(
        gateway, cancel_grace=5 * UNIT, request=30.0, hold=30.0, unreachable=30.0, token=30.0
    ).open()
    task = asyncio.create_task(session.run_sale(SERIAL, sale()))
    await until(lambda: gateway.requests)
    await asyncio.sleep(2 * UNIT)
    loop = asyncio.get_running_loop()
    start = loop.time()
    await session.aclose()
    assert loop.time() - start < 2.0
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    (made,) = gateway.instructions.values() or [None]
    if isinstance(outcome, Payment):
        assert made is not None
        assert outcome.payment_id == made.payment_id
    elif isinstance(outcome, InstructionCanceledError):
        assert made is None
    else:
        assert isinstance(outcome, OutcomeUnknownError)
    await until(lambda: not gateway.open_requests)
    assert tasks_left(before) == set()
    gateway.faults.clear()
    if made is not None:
        async with fresh(gateway) as another:
            await another.resume_sale(made.id).cancel()


async def test_p9_the_grace_of_closing_is_logged(gateway: Simulator) -> None:
    """An instruction that could not be seen to the end is logged at ERROR with its id."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", hang(), times=None)
    session = await fresh(gateway, cancel_grace=5 * UNIT, request=30.0).open()
    handle = await session.start_sale(SERIAL, sale())
    with listening() as heard:
        await session.aclose()
    (error,) = heard.at(logging.ERROR)
    assert str(handle.instruction_id) in error
    with pytest.raises(OutcomeUnknownError) as caught:
        await handle.result()
    assert caught.value.instruction_id == handle.instruction_id
    gateway.faults.clear()
    async with fresh(gateway) as another:
        await another.resume_sale(str(handle.instruction_id)).cancel()


async def test_p9_closed_by_a_task_that_an_event_started(gateway: Simulator) -> None:
    """An ``on_event`` may have the session closed."""
    gateway.device(SERIAL).never_finishes()
    before = asyncio.all_tasks()
    session = await fresh(gateway).open()
    closings: list[asyncio.Task[object]] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Submitted):
            closings.append(asyncio.create_task(session.aclose()))

    with pytest.raises(InstructionCanceledError):
        await session.run_sale(SERIAL, sale(), on_event=on_event)
    await asyncio.wait(closings)
    await nothing_left(gateway, before)


# timeout= ----------


@pytest.mark.parametrize("fault", [hang(), status(503)], ids=lambda fault: fault.kind)
async def test_p5_timeout_while_waiting_for_the_token(gateway: Simulator, fault: Any) -> None:
    """Nothing was sent, so nothing can have moved: InstructionTimeoutError."""
    gateway.faults.add("authorize", fault, times=None)
    async with fresh(gateway) as session:
        with pytest.raises(InstructionTimeoutError) as caught:
            await session.run_sale(SERIAL, sale(), timeout=2 * UNIT)
    assert caught.value.instruction_id is None
    assert gateway.requests_of("submit") == []


@pytest.mark.parametrize(
    ("on", "fault"),
    [
        ("submit", delay(16 * UNIT)),
        ("submit", drop_after()),
        ("submit", hang_after()),
        ("submit", status(503, effect=True)),
        ("status", delay(16 * UNIT)),
        ("status", hang()),
        ("status", status(503)),
        ("cancel", delay(2 * UNIT)),
        ("cancel", drop_after()),
        ("cancel", status(500)),
        ("cancel", hang_after()),
        ("submit", None),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "kind", "none"),
)
@pytest.mark.parametrize("behaviour", ["never_finishes", "completes_on_cancel"])
async def test_p5_timeout_in_each_phase(
    gateway: Simulator, on: str, fault: Any, behaviour: str
) -> None:
    """Cancelled at the gateway, or too late for that: then the payment is returned."""
    gateway.hold = 2 * UNIT
    getattr(gateway.device(SERIAL), behaviour)()
    before = asyncio.all_tasks()
    events: list[Event] = []
    async with fresh(gateway, request=24 * UNIT) as session:
        # With a token and a connection, a slow machine has the time to submit as well.
        await session.run_sale("another", sale())
        gateway.clear()
        if fault is not None:
            gateway.faults.add(on, fault)
        call = session.run_sale(SERIAL, sale(), timeout=12 * UNIT, on_event=events.append)
        if behaviour == "never_finishes":
            with pytest.raises(InstructionTimeoutError) as caught:
                await call
            (instruction,) = gateway.instructions.values()
            assert instruction.status == "canceled"
            assert caught.value.instruction_id == instruction.id
        else:
            payment = await call
            assert [payment.payment_id] == list(gateway.payments)
        assert [one.reason for one in events if isinstance(one, CancelRequested)] == ["timeout"]
        await settle(gateway, before)


async def test_p5_timeout_while_the_payment_is_read(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Once the instruction has completed, its payment is fetched however late that is."""
    await session.run_sale("another", sale())
    gateway.clear()
    gateway.faults.add("payment", delay(25 * UNIT))
    payment = await session.run_sale(SERIAL, sale(), timeout=20 * UNIT)
    assert [payment.payment_id] == list(gateway.payments)
    assert gateway.requests_of("cancel") == []


async def test_p5_timeout_between_two_status_requests(gateway: Simulator) -> None:
    """A sale that pauses between two status requests does not finish the pause first."""
    gateway.hold = 0.0
    gateway.device(SERIAL).never_finishes()
    async with fresh(gateway, poll_interval=20.0) as session:
        with pytest.raises(InstructionTimeoutError):
            async with asyncio.timeout(10.0):
                await session.run_sale(SERIAL, sale(), timeout=50 * UNIT)
    assert [one.status for one in gateway.instructions.values()] == ["canceled"]


@pytest.mark.parametrize("script", ["fails", "cardholder_cancels"])
async def test_p5_timeout_after_another_end(
    gateway: Simulator, session: PayrocSession, script: str
) -> None:
    """An instruction that ended just before, otherwise than by payment, moved no money either."""
    await session.run_sale("another", sale())
    getattr(gateway.device(SERIAL), script)(after=24 * UNIT)
    gateway.faults.add("cancel", delay(30 * UNIT))
    error = InstructionFailedError if script == "fails" else InstructionTimeoutError
    with pytest.raises(error):
        await session.run_sale(SERIAL, sale(), timeout=15 * UNIT)
    assert gateway.in_progress == []


@pytest.mark.parametrize("fault", [status(503), hang()], ids=lambda fault: fault.kind)
async def test_p5_timeout_that_cannot_cancel_says_so(gateway: Simulator, fault: Any) -> None:
    """An instruction that may still run is an OutcomeUnknownError, never a timeout's."""
    gateway.hold = 2 * UNIT
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", fault, times=None)
    async with fresh(
        gateway, request=12 * UNIT, unreachable=30 * UNIT, cancel_grace=10 * UNIT
    ) as session:
        await session.run_sale("another", sale())
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale(), timeout=12 * UNIT)
    (instruction,) = gateway.in_progress
    assert caught.value.instruction_id == instruction.id
    gateway.faults.clear()
    async with fresh(gateway) as another:
        await another.resume_sale(instruction.id).cancel()


@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_p5_cancelled_after_the_timeout(
    gateway: Simulator, session: PayrocSession, on_cancel: Any
) -> None:
    """A caller that is canceled while its timeout cancels ends as canceled, once for all."""
    await session.run_sale("another", sale())
    gateway.clear()
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens))
    task = asyncio.create_task(
        session.run_sale(SERIAL, sale(), timeout=12 * UNIT, on_cancel=on_cancel)
    )
    await until(asked(gateway, "cancel"))
    task.cancel()
    await asyncio.sleep(0)
    opens.set()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [one.status for one in gateway.instructions.values()] == ["canceled"]
    assert len(gateway.requests_of("cancel")) == 1


async def test_a_handle_outlives_what_ended_before_it_was_sent(gateway: Simulator) -> None:
    """Canceling the handle of a sale that was refused under a caller's key changes nothing."""
    gateway.faults.add("submit", problem(403, "forbidden"))
    async with fresh(gateway) as session:
        options = Options()
        handle = session._supervisor.begin(PAYMENT, SERIAL, sale(), str(uuid4()), options)
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError):
                await handle.result()
            with pytest.raises(OutcomeUnknownError):
                await handle.cancel()
