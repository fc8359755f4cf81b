"""One sale under an adversary: what happens to it, and what must have become of it."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast
from uuid import UUID

from attrs import define, field

from payroc_async import Order, PaymentInstructionRequest
from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.errors import (
    APIError,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    JournalError,
    OutcomeUnknownError,
    PayrocError,
    TransportError,
)
from payroc_async.http.transport import Transport
from payroc_async.instructions.lifecycle import Existence
from payroc_async.instructions.live import OnCancel, Options, Services
from payroc_async.journal import Entry, EntryState
from payroc_async.journal.writer import EntryWriter, JournalWriter, NullWriter
from payroc_async.kinds import PAYMENT
from payroc_async.supervisor import Supervisor

from .gateway import Gateway, Process
from .journal import Disk, MemoryJournal

__all__ = ["Plan", "run_sale"]

TIMEOUTS, RETRIES = Timeouts(), RetryPolicy()
URL = "https://api.example.com/v1"
NOTHING_MADE = (
    *(InstructionCanceledError, InstructionFailedError, InstructionTimeoutError),
    *(APIError, TransportError, JournalError),
)


@define
class Plan:
    """What is to happen to a sale, each from its seed; the shrinker leaves parts of it out."""

    seed: str
    rate: float = 0.3
    cancels: list[float] = field(factory=list)
    timeout: float | None = None
    on_cancel: OnCancel = "cancel"
    journaled: bool = False
    closes: float | None = None
    killed: float | None = None
    joins: float | None = None

    @classmethod
    def of(cls, seed: str) -> Plan:
        """A plan by chance."""
        chance = random.Random(seed)
        plan = cls(seed, rate=chance.choice((0.0, 0.1, 0.3, 0.6)))
        plan.journaled = chance.random() < 0.5
        if chance.random() < 0.4:
            plan.cancels = sorted(chance.uniform(0, 60) for _ in range(chance.choice((1, 1, 2))))
        if chance.random() < 0.4:
            plan.timeout = chance.uniform(0.1, 60)
        if chance.random() < 0.2:
            plan.on_cancel = "detach"
        if chance.random() < 0.2:
            plan.closes = chance.uniform(0, 90)
        if plan.journaled and chance.random() < 0.3:
            plan.killed = chance.uniform(0, 40)
        if chance.random() < 0.2:
            plan.joins = chance.uniform(1, 200)
        return plan


class _Sale:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.chance = random.Random(f"{plan.seed}/world")
        self.loop = asyncio.get_running_loop()
        relents = self.loop.time() + self.chance.uniform(5, 100)
        self.gateway = Gateway(self.chance, plan.rate, relents)
        self.disk = Disk({}, set())
        self.key = str(UUID(int=self.chance.getrandbits(128), version=4))
        self.callers: list[asyncio.Task[Any]] = []
        self.handed_over: list[OutcomeUnknownError] = []
        self.was_killed = False

    def process(self, owner: str) -> tuple[Supervisor, Process, MemoryJournal | None]:
        """A process with its supervisor."""
        transport = Process(self.gateway, self.chance, self.plan.rate)
        journal, writer = None, cast(JournalWriter | NullWriter, NullWriter())
        if self.plan.journaled:
            journal = MemoryJournal(self.disk, owner, self.chance, self.plan.rate / 10)
            writer = JournalWriter(journal, URL, TIMEOUTS, RETRIES)
        services = Services(cast(Transport, transport), writer, TIMEOUTS, RETRIES, URL)
        return Supervisor(services, None), transport, journal

    async def run(self) -> list[str]:
        """What is wrong in the end."""
        plan = self.plan
        supervisor, transport, journal = self.process("first")
        options = Options(plan.timeout or 600.0, plan.on_cancel)
        self._call(supervisor, options)
        caller = self.callers[0]
        for after in plan.cancels:
            self.loop.call_later(after, caller.cancel)
        if plan.joins is not None:
            self.loop.call_later(plan.joins, self._join, supervisor, transport, options)
        if plan.killed is not None:
            self.loop.call_later(plan.killed, self._kill, transport)
        if plan.closes is not None:
            await asyncio.sleep(plan.closes)
            await self._close(supervisor, transport)
        await self._settle(supervisor)
        if journal is not None:
            journal.rate = 0.0
        if self.was_killed or self._left_in_journal():
            self.disk.alive.discard("first")
            await self._recover()
        return self._wrong()

    def _call(self, supervisor: Supervisor, options: Options) -> None:
        request = PaymentInstructionRequest(
            processing_terminal_id="1234001",
            order=Order(order_id="OrderRef6543", amount=4999, currency="USD"),
        )

        handle = supervisor.begin(PAYMENT, "1850010868", request, self.key, options)
        # The key is as good as a fresh one: no earlier call has used it.
        live = handle._runner.live
        live.state = live.state._replace(existence=Existence.NONE)
        self.callers.append(self.loop.create_task(handle.result()))

    def _join(self, supervisor: Supervisor, transport: Process, options: Options) -> None:
        if not transport.dead and len(supervisor):
            for runner in supervisor._runners:
                self.callers.append(self.loop.create_task(self._joined(supervisor, runner)))

    async def _joined(self, supervisor: Supervisor, runner: Any) -> Any:
        return await supervisor._join(runner, b"", Options()).result()

    def _kill(self, transport: Process) -> None:
        transport.dead = self.was_killed = True
        self.disk.alive.discard("first")

    async def _close(self, supervisor: Supervisor, transport: Process) -> None:
        if not transport.dead:
            await supervisor.close(TIMEOUTS.cancel_grace)
            self.handed_over += supervisor.unresolved

    async def _settle(self, supervisor: Supervisor) -> None:
        """Wait until the runs have ended, unless their process was killed."""
        for _ in range(200):
            if self.was_killed or not len(supervisor):
                break
            await asyncio.sleep(20.0)
        await asyncio.sleep(1.0)
        self.handed_over += supervisor.unresolved

    def _left_in_journal(self) -> bool:
        return any(
            entry.state in (EntryState.INTENT, EntryState.SUBMITTED, EntryState.CANCELING)
            for entry in self.disk.entries.values()
        )

    async def _recover(self) -> None:
        """Another process goes on with what the first has left, once the adversary has relented."""
        await asyncio.sleep(200.0)
        supervisor, _, journal = self.process("second")
        assert journal is not None
        journal.rate = 0.0
        writer = supervisor._services.writer
        assert isinstance(writer, JournalWriter)
        cancel = self.chance.random() < 0.5
        for entry in await writer.claim():
            wanted = cancel or entry.state is EntryState.CANCELING
            handle = supervisor.take_over(EntryWriter(writer, entry), cancel=wanted, on_event=None)
            self.callers.append(self.loop.create_task(handle.result()))
        for _ in range(50):
            if not len(supervisor):
                break
            await asyncio.sleep(20.0)
            for runner in list(supervisor._runners):
                runner.cancel("caller")

    # What must hold ----------

    def _wrong(self) -> list[str]:
        gateway, wrong = self.gateway, []
        money = gateway.status in ("inProgress", "completed")
        if gateway.made > 1:
            wrong.append(f"{gateway.made} instructions were made")
        if gateway.overlaps:
            wrong.append("two status requests at once")
        for number, caller in enumerate(self.callers):
            wrong += self._wrong_of(number, caller, money)
        for entry in self.disk.entries.values():
            wrong += self._wrong_entry(entry, money)
        if gateway.status == "inProgress" and not self._is_known():
            wrong.append("an instruction runs, and no one is responsible")
        return wrong

    def _wrong_of(self, number: int, caller: asyncio.Task[Any], money: bool) -> list[str]:
        if not caller.done():
            frozen = self.was_killed and number < len(self.callers) - 1
            return [] if frozen or self.was_killed else ["a caller waits for ever"]
        if caller.cancelled():
            return []
        error = caller.exception()
        if error is None:
            paid = self.gateway.status == "completed"
            return [] if paid else [f"a payment was returned, but it is {self.gateway.status}"]
        if not isinstance(error, PayrocError):
            return [f"{type(error).__name__}: {error}"]
        if isinstance(error, NOTHING_MADE) and money:
            return [f"reported {type(error).__name__}, but it is {self.gateway.status}"]
        return []

    def _wrong_entry(self, entry: Entry, money: bool) -> list[str]:
        status = self.gateway.status
        if entry.state is EntryState.COMPLETED and status != "completed":
            return [f"the journal says completed, but it is {status or 'not made'}"]
        if entry.state in (EntryState.FAILED, EntryState.CANCELED) and money:
            return [f"the journal says {entry.state.value}, but it is {status}"]
        return []

    def _is_known(self) -> bool:
        """Left on purpose, reported as unknown, handed over, or for a recovery to find."""
        told = any(
            caller.done()
            and not caller.cancelled()
            and isinstance(caller.exception(), OutcomeUnknownError)
            for caller in self.callers
        )
        detached = self.plan.on_cancel == "detach" and (self.plan.cancels or self.plan.closes)
        return bool(told or detached or self.handed_over or self._left_in_journal())


async def run_sale(plan: Plan) -> tuple[list[str], str]:
    """What is wrong with one sale, and how it came to the end."""
    sale = _Sale(plan)
    wrong = await sale.run()
    how = sale.gateway.status or "not made"
    if wrong:
        how += ": " + "; ".join(sale.gateway.trace)
    for caller in sale.callers:
        caller.cancel()
    return wrong, how
