"""Nothing breaks it: every line of `fault_table.py`, on real sockets, and what holds after each.

All cases of one table and one column run at once, a few at a time, each with a gateway and a
session of its own; what is wrong with any of them is reported by its name.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import pytest
from attrs import Factory, define, evolve, field, frozen

from payroc_async import (
    AuthenticationError,
    CancelRequested,
    Completed,
    Event,
    InstructionCanceledError,
    InstructionError,
    InstructionTimeoutError,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    RequestTimeoutError,
    ResultReceived,
    Retrying,
    RetryPolicy,
    StillInProgress,
    Submitted,
    Timeouts,
)
from payroc_async.simulator import Fault, Simulator, hang, problem
from tests.conftest import UNIT, sale
from tests.harness.fault_table import FAULTS, PAID, REFUSED, TABLE, Expected, Row, Section
from tests.harness.secret_scanner import Ears

HOLD = 10 * UNIT
FOR_A_WHILE = Timeouts(
    connect=5.0,
    request=5.0,
    hold=HOLD,
    hold_margin=5.0,
    poll_interval=UNIT / 2,
    token=10.0,
    unreachable=10.0,
    cancel_grace=10.0,
)
"""For faults that pass: no case waits so long, however slow the machine."""
FOR_EVER = evolve(
    FOR_A_WHILE, poll_interval=HOLD / 2, unreachable=100 * UNIT, cancel_grace=50 * UNIT
)
"""For faults that do not: these times are waited out. The poll's interval is what says an answer
at once from one after a hold."""
SILENCE = {"request": 8 * UNIT, "hold_margin": UNIT}
"""Where no answer comes, that has to be waited out as well."""
NO_TOKEN = {"token": 50 * UNIT}
SOON = RetryPolicy(attempts=4, initial=UNIT / 2, maximum=UNIT, retry_after_maximum=2 * UNIT)
SLOWLY = evolve(SOON, initial=5 * UNIT, maximum=5 * UNIT)
LASTING = evolve(SOON, initial=20 * UNIT, maximum=20 * UNIT)
"""For refusals by the identity service: they stand for that long, until somebody has heard them."""

COLUMNS = ("once", "twice", "for ever")
AT_ONCE = 16
"""How many cases run at the same time: more would make each other late."""


@contextmanager
def port_of_its_own() -> Iterator[int]:
    """For a gateway that goes away and comes back: no one else is given its port meanwhile."""
    with socket.socket() as bound:
        # Bound and not listening: connections are refused, and the gateway may listen beside it.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


class TooLate(Exception):
    """The machine was so slow that a timeout passed before the fault could strike."""


running: contextvars.ContextVar[Run] = contextvars.ContextVar("running")
numbers = count(1)


@frozen
class Case:
    """One fault, for so long, on one request of a sale, and what must come out."""

    section: Section
    row: Row
    column: str
    expected: Expected

    @property
    def name(self) -> str:
        lasting = self.row.last if self.column == "for ever" else self.column
        device = f", device {self.device}"
        return f"{self.section.title}: {self.row.fault}, {lasting}{device}"

    @property
    def device(self) -> str:
        return self.row.device or self.section.device

    @property
    def timeout(self) -> float | None:
        return self.row.timeout or self.section.timeout

    @property
    def ends_with_the_cancellation(self) -> bool:
        return self.column == "for ever" and self.row.last != "for ever"

    @property
    def timeouts(self) -> Timeouts:
        times = FOR_A_WHILE if self.column != "for ever" else FOR_EVER
        if "never answered" in self.row.fault:
            # A request that is answered has time to be.
            silent = "hold_margin" if self.section.on == "status" else "request"
            times = evolve(times, **{silent: SILENCE[silent]})
        if self.column == "for ever" and self.row.fault == "a body of 50 MB":
            times = evolve(times, unreachable=6.0)  # a single one takes long on a busy machine
        if self.column == "for ever" and self.section.on == "authorize":
            times = evolve(times, **NO_TOKEN)
        told_by_the_status = (
            self.section.on == "cancel" and self.expected.error != OutcomeUnknownError
        )
        if self.ends_with_the_cancellation or told_by_the_status:
            times = evolve(times, cancel_grace=FOR_A_WHILE.cancel_grace)
        return times

    @property
    def retries(self) -> RetryPolicy:
        if self.section.on == "authorize" and self.expected.error not in (
            None,
            RequestTimeoutError,
        ):
            return LASTING
        return SLOWLY if self.column == "for ever" else SOON


def cases(section: Section, column: str) -> list[Case]:
    rows = [
        (row, (row.once, row.twice, row.for_ever)[COLUMNS.index(column)]) for row in section.rows
    ]
    return [Case(section, row, column, expected) for row, expected in rows if expected is not None]


@define(eq=False)
class Decoy:
    """A server that no one may ever contact, on a port of its own."""

    contacts: int = 0
    url: str = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Decoy]:
        def contacted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.contacts += 1
            writer.close()

        async with await asyncio.start_server(contacted, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self


Witness = Callable[[object], object]
"""Shown everything that a run hands out."""


@define(eq=False)
class Run:
    """One case on its way: the gateway, the fault, what was reported and what came out."""

    case: Case
    decoy: Decoy
    witness: Witness
    slowness: int = 1
    """By how much the caller's `timeout`, and that for a token, is longer than the table says."""
    port: int = field(kw_only=True)
    gateway: Simulator = field(
        init=False, default=Factory(lambda self: Simulator(hold=HOLD, port=self.port), True)
    )
    serial_number: str = field(factory=lambda: f"device{next(numbers)}")
    events: list[Event] = field(factory=list)
    failures: int = 0
    needed: float = math.inf
    """How many failures end the outage."""
    outage: asyncio.Task[None] | None = None
    fault: Fault | None = None
    enough: asyncio.Event = field(factory=asyncio.Event)

    # The fault ----------

    def break_it(self) -> None:
        """The fault, unless it is an outage: that begins when the request is about to be sent."""
        on = self.case.section.on
        if self.case.row.fault == REFUSED:
            if self.case.section.after_no_change:
                self.gateway.faults.add(on, FAULTS["no change"](self.decoy.url))
            return
        times = {"once": 1, "twice": 2}.get(self.case.column)
        action = FAULTS[self.case.row.fault](self.decoy.url)
        if self.case.section.after_no_change:
            self.gateway.faults.add(on, FAULTS["no change"](self.decoy.url))
        self.fault = self.gateway.faults.add(on, action, times=times)

    def cut(self) -> None:
        """From now on the gateway refuses connections, until enough has failed."""
        self.needed = {"once": 1, "twice": 2}.get(self.case.column, math.inf)
        hung: Fault | None = None
        if self.case.section.on not in ("authorize", "submit"):
            # The sale has a connection: its request is left hanging there until it is cut off, and
            # the next is refused.
            hung = self.gateway.faults.add(self.case.section.on, hang())
            self.needed += 1
        self.outage = asyncio.create_task(self._outage(hung))

    async def _outage(self, hung: Fault | None) -> None:
        while hung is not None and not hung.hits:
            await asyncio.sleep(UNIT / 4)
        await self.gateway.stop()
        await self.enough.wait()
        await self.gateway.start()

    def note_failure(self) -> None:
        """One more request has failed."""
        if self.outage is not None:
            self.failures += 1
            if self.failures >= self.needed:
                self.enough.set()

    def told(self, event: Event) -> None:
        """The sale's `on_event`."""
        self.events.append(event)
        self.witness(event)
        on, refused = self.case.section.on, self.case.row.fault == REFUSED
        if isinstance(event, Retrying):
            self.note_failure()
        elif isinstance(event, CancelRequested) and self.case.ends_with_the_cancellation:
            self.mend()
        elif refused and self.outage is None:
            begins = {"cancel": CancelRequested, "payment": Completed}.get(on, Submitted)
            if self.case.section.after_no_change:
                begins = StillInProgress
            if isinstance(event, begins):
                self.cut()

    def mend(self) -> None:
        """The gateway is back."""
        self.gateway.faults.clear()
        self.enough.set()

    async def back(self) -> None:
        self.mend()
        if self.outage is not None:
            await self.outage
        await self.gateway.start()

    # The sale ----------

    async def sell(
        self, session: PayrocSession, key: str | None, timeout: float | None
    ) -> Payment | PayrocError:
        request: PaymentInstructionRequest = sale(order_id=self.serial_number)
        try:
            return await session.run_sale(
                self.serial_number,
                request,
                idempotency_key=key,
                timeout=timeout,
                on_event=self.told,
            )
        except PayrocError as error:
            return error

    async def resume(
        self, session: PayrocSession, id_: str, timeout: float | None
    ) -> Payment | PayrocError:
        try:
            return await session.resume_sale(id_, timeout=timeout, on_event=self.told).result()
        except PayrocError as error:
            return error

    async def complaints(self) -> AsyncIterator[str]:
        """The sale, and a sentence for each thing that is not as it must be."""
        running.set(self)
        case = self.case
        gateway = self.gateway
        await gateway.start()
        device = gateway.device(self.serial_number)
        match case.device:
            case "approves":
                device.approves()
            case "never finishes":
                device.never_finishes()
            case "completes on cancel":
                device.completes_on_cancel()
            case unheard_of:
                raise AssertionError(unheard_of)
        session = PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            timeouts=evolve(case.timeouts, token=self.slowness * case.timeouts.token),
            retries=case.retries,
        )
        self.break_it()
        if case.row.fault == REFUSED and case.section.on == "authorize":
            await gateway.stop()
            self.cut()
        async with session:
            if case.row.fault == REFUSED and case.section.on == "submit":
                while not any(seen.ended for seen in gateway.requests_of("authorize")):
                    await asyncio.sleep(UNIT / 4)
                await asyncio.sleep(UNIT)
                await gateway.stop()
                # The pool has to notice that its connection is gone, or it would be tried first.
                await asyncio.sleep(UNIT)
                self.cut()
            timeout = None if case.timeout is None else self.slowness * case.timeout
            result = await self.sell(session, None, timeout)
            unheard = case.section.on == "authorize" and self.fault and not self.fault.hits
            if unheard or (timeout is not None and self._was_too_late()):
                raise TooLate
            self.witness(result)
            self.witness(session)
            for complaint in self.about_the_outcome(result):
                yield complaint
            names = [task.get_name() for task in asyncio.all_tasks()]
            left = any(name.endswith(f", {self.serial_number}") for name in names)
            if left and not isinstance(result, OutcomeUnknownError):
                yield "a task of the sale is left"
            await self.back()
            if isinstance(result, OutcomeUnknownError):
                await session.aclose()  # what goes on in the background is ended, or handed over
            async for complaint in self.about_the_way_back(session, result):
                yield complaint
        for complaint in self.about_the_gateway():
            yield complaint
        for _ in range(50):
            if not gateway.open_requests:
                break
            await asyncio.sleep(UNIT)
        else:
            yield f"a request is left open: {gateway.open_requests}"
        await gateway.stop()

    def _was_too_late(self) -> bool:
        struck = self.fault.hits if self.fault is not None else math.inf
        wanted = {"once": 1, "twice": 2}.get(self.case.column, 1)
        polling = self.case.section.on == "status"
        return not self.gateway.instructions or (polling and struck < wanted)

    # What must hold ----------

    def about_the_outcome(self, result: Payment | PayrocError) -> Iterator[str]:
        """The line of the table, and what every outcome must agree with."""
        expected, gateway = self.case.expected, self.gateway
        found = "a payment" if isinstance(result, Payment) else f"{chain(result)}"
        if isinstance(result, Payment):
            if expected.error is not None:
                yield f"{expected} expected, but found {found}"
            if [*gateway.payments] != [result.payment_id]:
                yield f"the payment {result.payment_id} is not the one there is"
            if not result.approved:
                yield "the payment is not approved"
        elif type(result) is not expected.error or not expected.cause_is_among(causes(result)):
            yield f"{expected} expected, but found {found}"
        settled = [event for event in self.events if isinstance(event, ResultReceived)]
        if [event.resource for event in settled] != ([result] if expected == PAID else []):
            yield f"ResultReceived informed of {settled}"
        if self.fault is not None:
            hits = {"once": 1, "twice": 2}.get(self.case.column, self.fault.hits)
            refused_at_once = isinstance(result, PayrocError) and not self.case.timeout
            if self.fault.hits != hits and not (refused_at_once and self.fault.hits == 1):
                yield f"the fault has struck {self.fault.hits} times"
            if not self.fault.hits:
                yield "the fault has never struck"
        elif self.outage is None or (self.case.column != "for ever" and not self.enough.is_set()):
            yield "the gateway has never been away"
        yield from self._about_the_error(result)

    def _about_the_error(self, result: Payment | PayrocError) -> Iterator[str]:
        gateway, row = self.gateway, self.case.row
        if isinstance(result, InstructionError):
            known = [*gateway.instructions]
            told = (result.serial_number, result.request, result.instruction_id)
            id_ = known[0] if self.case.expected.id_known and known else None
            if row.by_key:
                id_ = result.instruction_id
            if told != (self.serial_number, sale(order_id=self.serial_number), id_):
                yield f"the error says {told}"
            keys = {one.idempotency_key for one in gateway.instructions.values()}
            keys |= {
                seen.headers["idempotency-key"]
                for seen in gateway.requests_of("submit")
                if seen.path.split("/")[3] == self.serial_number
            }
            if keys and keys != {result.idempotency_key}:
                yield f"the error's key is {result.idempotency_key}, of {keys}"
        elif isinstance(result, PayrocError) and gateway.instructions:
            yield f"{type(result).__name__} is bare, but there is an instruction"
        statuses = [one.status for one in gateway.instructions.values()]
        as_canceled = isinstance(result, InstructionCanceledError | InstructionTimeoutError)
        if as_canceled and statuses != ["canceled"]:
            yield f"reported as canceled, but it is {statuses}"
        if gateway.payments and not isinstance(result, Payment | OutcomeUnknownError):
            yield "a payment exists, and is not informed of"
        lost = isinstance(result, OutcomeUnknownError) and (
            result.instruction_id is None or row.by_key
        )
        in_background = isinstance(result, OutcomeUnknownError)
        if gateway.in_progress and not lost and not in_background:
            yield "an instruction is left in progress"

    async def about_the_way_back(
        self, session: PayrocSession, result: Payment | PayrocError
    ) -> AsyncIterator[str]:
        """The gateway is back: an unknown outcome is found out, and the device can be used."""
        gateway = self.gateway
        if not isinstance(result, OutcomeUnknownError):
            if isinstance(result, InstructionError | Payment):
                return
            again = await self.sell(session, None, None)
            while type(again) is type(result) and self.case.section.on == "authorize":
                # A refusal by the identity service stands for a moment.
                await asyncio.sleep(UNIT)
                again = await self.sell(session, None, None)
            if not isinstance(again, Payment) or [*gateway.payments] != [again.payment_id]:
                yield f"once the gateway is back, the next sale gives {chain(again)}"
            return
        # As from another process, and with its patience: the times of this one are for a gateway
        # that is away. A device that never finishes has to be canceled, or this would wait for it
        # for ever.
        never = self.case.device == "never finishes"
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=FOR_A_WHILE, retries=SOON
        ) as another:
            if result.instruction_id is None or self.case.row.by_key:
                key = result.idempotency_key
                truth = await self.sell(another, key, 50 * UNIT if never else None)
            else:
                id_ = result.instruction_id
                truth = await self.resume(another, id_, 5 * UNIT if never else None)
        self.witness(truth)
        (made,) = gateway.instructions.values()
        match made.status:
            case "completed":
                right = isinstance(truth, Payment) and truth.payment_id == made.payment_id
            case "canceled":
                right = isinstance(truth, InstructionCanceledError | InstructionTimeoutError)
            case _:
                right = False
        if not right:
            yield f"it is {made.status}, but once the gateway is back, it gives {chain(truth)}"

    def about_the_gateway(self) -> Iterator[str]:
        """What holds whatever came out, seen from the gateway (P1, P2, P3, P7)."""
        gateway = self.gateway
        if len(gateway.instructions) > 1:
            yield f"{len(gateway.instructions)} instructions were made"
        if len(gateway.payments) > 1:
            yield f"{len(gateway.payments)} payments were made"
        yield from gateway.violations
        if gateway.in_progress:
            yield "an instruction is in progress at the very end"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Why it was raised, from near to far; not the error itself."""
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__


def chain(result: object) -> str:
    if not isinstance(result, BaseException):
        return type(result).__name__
    return " ← ".join(f"{type(one).__name__}({one})" for one in (result, *causes(result)))


class TokenFailures(logging.Handler):
    """Says each run of the failures of its own token, of which there is no event."""

    def emit(self, record: logging.LogRecord) -> None:
        run = running.get(None)
        if run is not None and record.getMessage().startswith("no token"):
            run.note_failure()


@contextmanager
def token_failures_told() -> Iterator[None]:
    handler, logger = TokenFailures(), logging.getLogger("payroc_async.http.token")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def go_through(these: list[Case], witness: Witness) -> list[str]:
    """Every case, a few at a time; what is wrong, by the case's name."""
    wrong: list[str] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def go(case: Case, decoy: Decoy) -> None:
        async with turn:
            for slowness in (1, 4, 16):
                with port_of_its_own() as port:
                    run = Run(case, decoy, witness, slowness, port=port)
                    try:
                        async with asyncio.timeout(20):
                            told = [f"{case.name}: {it}" async for it in run.complaints()]
                        wrong.extend(told)
                        return
                    except TooLate:
                        continue
                    except Exception as error:
                        wrong.append(f"{case.name}: {type(error).__name__}: {error}")
                        return
                    finally:
                        run.mend()
                        if run.outage is not None:
                            await run.outage
                        await run.gateway.stop()
            wrong.append(f"{case.name}: the timeout passed before the fault could strike")

    before = asyncio.all_tasks()
    with token_failures_told():
        async with Decoy().listening() as decoy, asyncio.TaskGroup() as group:
            for case in these:
                group.create_task(go(case, decoy))
    if decoy.contacts:
        wrong.append(f"the host of a link or a redirect was contacted {decoy.contacts} times")
    looks = 50
    while (left := asyncio.all_tasks() - before) and looks:
        looks -= 1
        await asyncio.sleep(UNIT)
    if left:
        wrong.append(f"tasks are left: {[task.get_name() for task in left]}")
    return wrong


@pytest.fixture(autouse=True)
def at_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused tokens are replaced at the pace of these tests, and debug mode takes less of it."""
    monkeypatch.setattr("payroc_async.http.token.LEAST_INTERVAL", UNIT / 2)
    # More than half of the time would go into the stacks that debug mode keeps of every future,
    # task and timer.
    monkeypatch.setattr("asyncio.constants.DEBUG_STACK_DEPTH", 1)
    monkeypatch.setattr(sys, "tracebacklimit", 1, raising=False)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("section", TABLE, ids=lambda section: section.title)
async def test_every_fault_of_every_request_comes_out_as_the_table_says(
    ears: Ears, section: Section, column: str
) -> None:
    """One instruction, nothing left running, every outcome reported, and found out when it was not.

    P7: and no log, event, payment, error or cause of one brings a secret to light.
    """
    wrong = await go_through(cases(section, column), ears.witness)
    assert not wrong, "\n".join(["", *wrong])


async def test_a_caller_that_comes_just_as_a_refusal_has_stood_long_enough(
    gateway: Simulator,
) -> None:
    """P6: a key refused once is tried again for who asks later, however late the loop is."""
    gateway.faults.add("authorize", problem(401, "not-authorized"))
    # The refusal stands for a tenth of a second at least, so that the first sale meets it.
    retries = RetryPolicy(initial=0.2, maximum=0.2)
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(FOR_A_WHILE, token=1.0),
        retries=retries,
    ) as session:
        with pytest.raises(AuthenticationError):
            await session.run_sale("device", sale())
        # The loop is late: the refusal's time is over, and its task does not know that yet.
        time.sleep(1.5 * retries.initial)  # noqa: ASYNC251
        assert (await session.run_sale("device", sale())).approved
