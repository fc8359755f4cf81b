"""P3, P4 and P5 at every step: a sale is canceled after each step of the loop that it takes.

A step is one callback that the event loop runs, on either side: the gateway shares the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from payroc_async import CancelRequested, Event, PayrocSession, ResultReceived, Submitted
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, QUICK, SERIAL, sale
from tests.harness.step_canceller import (
    BEFORE,
    BETWEEN,
    CONNECT,
    DELETE,
    ENDED,
    LINK,
    POLL,
    SUBMIT,
    TOKEN,
    Ending,
    Heard,
    cancel_at,
    check_ending,
    listening,
    settle,
    sweep,
    tasks_left,
)

ENDLESS = {"never_finishes", "completes_on_cancel"}
PAYS_LATE = "pays late"
DEVICES = ["approves", PAYS_LATE, "declines", "fails", "cardholder_cancels", *sorted(ENDLESS)]
PAYING = {"approves", PAYS_LATE, "declines", "completes_on_cancel"}


@pytest.fixture
async def undebugged() -> AsyncIterator[None]:
    """The loop without its debug mode, which takes four times as long over thousands of sales."""
    loop = asyncio.get_running_loop()
    loop.set_debug(False)
    yield
    loop.set_debug(True)


def script_device(gateway: Simulator, behaviour: str) -> None:
    """Have the device behave so from now on."""
    getattr(gateway.device(SERIAL), "never_finishes" if behaviour == PAYS_LATE else behaviour)()


class Attack:
    """One call on one device, to be canceled over and over."""

    def __init__(
        self, gateway: Simulator, session: PayrocSession, call: str, behaviour: str
    ) -> None:
        self.gateway = gateway
        self.session = session
        self.call = call
        self.behaviour = behaviour
        self.phases: Counter[str] = Counter()

    def on_idle(self) -> None:
        """The cardholder pays once everybody waits for that; a timer would be less exact."""
        if self.behaviour == PAYS_LATE:
            for instruction in self.gateway.in_progress:
                self.gateway._state.change(instruction, "completed")

    async def __call__(self, steps: tuple[int, ...]) -> list[str]:
        """One sale, canceled after these steps; where it stood. Checks all that must hold."""
        before = asyncio.all_tasks()
        self.gateway.clear()
        with listening() as heard:
            if self.call in ("run_sale", "start_sale"):
                ending = await self._beginning(steps, heard)
            else:
                ending = await self._holding(steps, heard)
        await settle(self.gateway, before)
        self.phases.update(ending.phases)
        return ending.phases

    async def _beginning(self, steps: tuple[int, ...], heard: Heard) -> Ending:
        begin = getattr(self.session, self.call)
        ending = await cancel_at(
            steps,
            lambda on_event: begin(SERIAL, sale(), on_event=on_event),
            self.gateway,
            on_idle=self.on_idle,
        )
        if not ending.phases and self.call == "start_sale":
            # It was over before the step: the sale goes on.
            await ending.task.result().cancel()
        else:
            check_ending(ending, self.gateway, heard)
        return ending

    async def _holding(self, steps: tuple[int, ...], heard: Heard) -> Ending:
        events: list[Event] = []
        handle = await self.session.start_sale(SERIAL, sale(), on_event=events.append)
        method = getattr(handle, self.call)
        ending = await cancel_at(
            steps, lambda _: method(), self.gateway, events, on_idle=self.on_idle
        )
        if ending.begun:
            check_ending(ending, self.gateway, heard)
        else:
            # No one has awaited the handle: the sale goes on, as it should.
            assert ending.task.cancelled()
            assert not any(isinstance(event, CancelRequested) for event in events)
            await handle.cancel()
        return ending


def enough_of(call: str, behaviour: str) -> Callable[[list[str]], bool]:
    """A sale that never ends has shown all when it idles in its held poll."""
    if behaviour in ENDLESS and call != "cancel":
        return lambda phases: phases[-3:] == [POLL] * 3
    return lambda phases: False


def phases_of(call: str, behaviour: str) -> set[str]:
    """Where a first cancellation must have struck, if every step was gone through."""
    phases = {BEFORE}
    if call in ("run_sale", "start_sale"):
        phases |= {BETWEEN, CONNECT, SUBMIT}
    if call == "start_sale":
        return phases
    if behaviour in ENDLESS | {PAYS_LATE}:
        phases |= {POLL}
    if call == "cancel":
        phases |= {DELETE, ENDED}
        pays = behaviour in PAYING - {PAYS_LATE}
    elif behaviour in ENDLESS:
        pays = False
    else:
        phases |= {ENDED}
        pays = behaviour in PAYING
    return phases | {LINK} if pays else phases


async def prepared(gateway: Simulator, session: PayrocSession, call: str, behaviour: str) -> Attack:
    """An attack on a session that has its token and a connection."""
    script_device(gateway, behaviour)
    await session.run_sale("another", sale())
    return Attack(gateway, session, call, behaviour)


@pytest.mark.parametrize("behaviour", DEVICES)
async def test_p3_run_sale_cancelled_once_at_every_step(
    gateway: Simulator, session: PayrocSession, behaviour: str
) -> None:
    """Wherever it is canceled, nothing runs on, nothing is left, and a payment is reported."""
    attack = await prepared(gateway, session, "run_sale", behaviour)
    await sweep(attack, enough=enough_of("run_sale", behaviour))
    assert set(attack.phases) >= phases_of("run_sale", behaviour)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", DEVICES)
@pytest.mark.parametrize("call", ["start_sale", "result", "cancel"])
async def test_p3_handle_cancelled_once_at_every_step(
    gateway: Simulator, session: PayrocSession, call: str, behaviour: str
) -> None:
    """The same for each thing that can be awaited of a handle."""
    attack = await prepared(gateway, session, call, behaviour)
    await sweep(attack, enough=enough_of(call, behaviour))
    assert set(attack.phases) >= phases_of(call, behaviour)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", sorted(ENDLESS))
async def test_p3_run_sale_cancelled_twice_at_every_two_steps(
    gateway: Simulator, session: PayrocSession, behaviour: str
) -> None:
    """A second cancellation changes nothing, at whatever distance it follows the first."""
    attack = await prepared(gateway, session, "run_sale", behaviour)
    distance = 0
    while True:
        runs = await sweep(attack, distance, enough=enough_of("run_sale", behaviour))
        if not any(len(phases) == 2 for phases in runs):
            break
        distance += 1
    assert distance > 20
    expected = phases_of("run_sale", behaviour) | {DELETE, ENDED}
    assert set(attack.phases) >= (expected | {LINK} if behaviour in PAYING else expected)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("distance", [0, 1, 5, 16])
@pytest.mark.parametrize("behaviour", sorted(set(DEVICES) - ENDLESS))
async def test_p3_run_sale_cancelled_twice_at_every_step(
    gateway: Simulator, session: PayrocSession, behaviour: str, distance: int
) -> None:
    """The same for the sales that end by themselves."""
    attack = await prepared(gateway, session, "run_sale", behaviour)
    runs = await sweep(attack, distance)
    assert any(len(phases) == 2 for phases in runs)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("distance", [0, 2, 9])
@pytest.mark.parametrize("behaviour", ["approves", *sorted(ENDLESS)])
@pytest.mark.parametrize("call", ["start_sale", "result", "cancel"])
async def test_p3_handle_cancelled_twice_at_every_step(
    gateway: Simulator, session: PayrocSession, call: str, behaviour: str, distance: int
) -> None:
    """A second cancellation changes nothing for a handle either."""
    attack = await prepared(gateway, session, call, behaviour)
    runs = await sweep(attack, distance, enough=enough_of(call, behaviour))
    assert any(len(phases) == 2 for phases in runs)


def fresh(gateway: Simulator) -> PayrocSession:
    """A session that is not open yet."""
    return PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    )


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("distance", [None, 0, 1, 5])
@pytest.mark.parametrize("behaviour", ["approves", *sorted(ENDLESS)])
async def test_p3_first_sale_of_a_session_cancelled_at_every_step(
    gateway: Simulator, behaviour: str, distance: int | None
) -> None:
    """A sale that waits for the session's first token and connection holds the promise too."""
    script_device(gateway, behaviour)
    seen: Counter[str] = Counter()

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()
        before = asyncio.all_tasks()
        async with fresh(gateway) as session:
            with listening() as heard:
                ending = await cancel_at(
                    steps,
                    lambda on_event: session.run_sale(SERIAL, sale(), on_event=on_event),
                    gateway,
                    has_token=False,
                )
                check_ending(ending, gateway, heard)
            await settle(gateway, before)
        seen.update(ending.phases)
        return ending.phases

    await sweep(attack, distance, enough=enough_of("run_sale", behaviour))
    assert set(seen) >= phases_of("run_sale", behaviour) | {TOKEN, CONNECT}


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", ["approves", "fails", *sorted(ENDLESS)])
async def test_p3_the_device_is_free_when_the_cancelled_error_arrives(
    gateway: Simulator, session: PayrocSession, behaviour: str
) -> None:
    """Anyone who catches the CancelledError may run the next sale there at once."""
    await prepared(gateway, session, "run_sale", behaviour)

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()

        async def call(on_event: Callable[[Event], None]) -> object:
            try:
                return await session.run_sale(SERIAL, sale(), on_event=on_event)
            except asyncio.CancelledError:
                handle = await session.start_sale(SERIAL, sale())
                await handle.cancel()
                raise

        ending = await cancel_at(steps, call, gateway)
        assert ending.task.cancelled() == bool(ending.phases)
        return ending.phases

    runs = await sweep(attack, enough=enough_of("run_sale", behaviour))
    assert {phases[0] for phases in runs} >= phases_of("run_sale", behaviour)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", ["approves", "never_finishes"])
async def test_p3_resumed_when_the_cancelled_error_arrives(
    gateway: Simulator, session: PayrocSession, behaviour: str
) -> None:
    """Anyone who catches the CancelledError of a detached sale may resume it at once."""
    await prepared(gateway, session, "run_sale", behaviour)

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()
        events: list[Event] = []

        async def call(_: object) -> object:
            try:
                return await session.run_sale(
                    SERIAL, sale(), on_cancel="detach", on_event=events.append
                )
            except asyncio.CancelledError:
                if events:
                    handle = session.resume_sale(str(events[0].instruction_id))
                    if behaviour == "approves":
                        assert (await handle.result()).payment_id in gateway.payments
                    else:
                        await handle.cancel()
                raise

        ending = await cancel_at(steps, call, gateway, events)
        assert ending.task.cancelled() == bool(ending.phases)
        assert gateway.in_progress == []
        return ending.phases

    await sweep(attack, enough=enough_of("run_sale", behaviour))


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("behaviour", ["approves", "never_finishes"])
@pytest.mark.parametrize("distance", [None, 0, 1, 4])
async def test_p3_detached_at_every_step(
    gateway: Simulator, session: PayrocSession, behaviour: str, distance: int | None
) -> None:
    """With ``on_cancel="detach"`` it is left alone, its id is known, and it can be resumed."""
    await prepared(gateway, session, "run_sale", behaviour)
    seen: Counter[str] = Counter()

    async def attack(steps: tuple[int, ...]) -> list[str]:
        before = asyncio.all_tasks()
        gateway.clear()
        ending = await cancel_at(
            steps,
            lambda on_event: session.run_sale(
                SERIAL, sale(), on_cancel="detach", on_event=on_event
            ),
            gateway,
        )
        assert ending.task.cancelled() == bool(ending.phases)
        assert gateway.requests_of("cancel") == []
        assert tasks_left(before) == set()
        for instruction in gateway.instructions.values():
            told = [one.instruction_id for one in ending.events if isinstance(one, Submitted)]
            assert told == [instruction.id]
            handle = session.resume_sale(instruction.id)
            if behaviour == "never_finishes":
                assert instruction.status == "inProgress"
                assert (await handle.cancel()).status == "canceled"
            else:
                assert (await handle.result()).payment_id == instruction.payment_id
        await settle(gateway, before)
        seen.update(ending.phases)
        return ending.phases

    await sweep(attack, distance, enough=enough_of("run_sale", behaviour))
    assert set(seen) >= phases_of("run_sale", behaviour)


@pytest.mark.usefixtures("undebugged")
@pytest.mark.parametrize("distance", [None, 0, 1, 4])
@pytest.mark.parametrize("behaviour", ["approves", *sorted(ENDLESS)])
async def test_p3_every_task_cancelled_at_every_step(
    gateway: Simulator, behaviour: str, distance: int | None
) -> None:
    """When all tasks are canceled at once, as ``asyncio.run`` does, the sale is still seen out."""
    script_device(gateway, behaviour)
    seen: Counter[str] = Counter()

    async def attack(steps: tuple[int, ...]) -> list[str]:
        gateway.clear()
        before = asyncio.all_tasks()
        cancels = 0

        def cancel_all() -> None:
            # At the last of the cancellations: the first may be a Ctrl-C.
            nonlocal cancels
            cancels += 1
            if cancels == len(steps):
                for task in asyncio.all_tasks() - before:
                    if task.get_name().startswith("payroc"):
                        task.cancel()

        async with fresh(gateway) as session:
            ending = await cancel_at(
                steps,
                lambda on_event: session.run_sale(SERIAL, sale(), on_event=on_event),
                gateway,
                has_token=False,
                also=cancel_all,
            )
            assert ending.task.cancelled() == bool(ending.phases)
            await settle(gateway, before)
            assert len(gateway.instructions) <= 1
            settled = [one for one in ending.events if isinstance(one, ResultReceived)]
            assert [getattr(one.resource, "payment_id", None) for one in settled] == list(
                gateway.payments
            )
        seen.update(ending.phases)
        return ending.phases

    await sweep(attack, distance, enough=enough_of("run_sale", behaviour))
    assert set(seen) >= phases_of("run_sale", behaviour)
