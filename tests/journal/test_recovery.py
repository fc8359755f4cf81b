"""What a session keeps in its journal, and how what was left unfinished is ended."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve

from payroc_async import (
    Breakdown,
    ConfigurationError,
    ConflictError,
    DeviceBusyError,
    IdempotencyKeyInUseError,
    InstructionCanceledError,
    InstructionFailedError,
    JournalError,
    LeaseLost,
    Order,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Recovered,
    Refund,
    RefundInstructionRequest,
    RefundOrder,
    RetryPolicy,
    SessionClosedError,
    Signature,
    SignatureInstructionRequest,
    Submitted,
    Timeouts,
    Tip,
    TipMode,
    TipType,
)
from payroc_async.journal import Entry, EntryState, Intent, SQLiteJournal
from payroc_async.simulator import Simulator, drop_after, edit, hang, problem, status
from payroc_async.wire.converter import encode
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import gate, until

REFUND = RefundInstructionRequest(
    processing_terminal_id="1234001",
    order=RefundOrder(order_id="OrderRef6543", description="cold", amount=4999, currency="USD"),
)
SIGNATURE = SignatureInstructionRequest(processing_terminal_id="1234001")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


@asynccontextmanager
async def session_of(
    gateway: Simulator,
    path: Path,
    *,
    timeouts: Timeouts = QUICK,
    retries: RetryPolicy = EAGER,
) -> AsyncIterator[PayrocSession]:
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=timeouts,
        retries=retries,
        journal=SQLiteJournal(path),
    ) as session:
        yield session


async def entries(path: Path) -> list[Entry]:
    journal = SQLiteJournal(path)
    await journal.open()
    try:
        return await journal.entries()
    finally:
        await journal.aclose()


async def entry(path: Path) -> Entry:
    (only,) = await entries(path)
    return only


async def leave(
    gateway: Simulator,
    path: Path,
    state: EntryState = EntryState.INTENT,
    *,
    instruction_id: str | None = None,
    request: Any = None,
    kind: Any = "payment",
    age: float = 0.0,
    serial_number: str = SERIAL,
) -> str:
    """Leave an entry behind, as a process does that dies; returns its key."""
    journal, key = SQLiteJournal(path), str(uuid4())
    await journal.open()
    made = await journal.begin(
        Intent(
            idempotency_key=key,
            kind=kind,
            gateway=gateway.environment.api_url,
            serial_number=f"device of {key}",
            body=encode(request or sale()),
        ),
        window=1.0,
    )
    if state is not EntryState.INTENT or instruction_id:
        await journal.write(made, state, instruction_id=instruction_id)
    await journal.aclose()
    with closing(sqlite3.connect(path)) as db, db:
        # Of one device there may be several, as versions before 2 have left them.
        db.execute(
            "UPDATE entries SET begun = begun - ?, serial_number = ? WHERE idempotency_key = ?",
            (age, serial_number, key),
        )
    return key


async def recovered(session: PayrocSession, *args: Any, **options: Any) -> list[Recovered]:
    return [found async for found in session.recover(*args, **options)]


# What is kept ----------


async def test_a_sale_is_entered_with_its_id_and_its_end(gateway: Simulator, path: Path) -> None:
    """Afterwards the entry has the instruction's and the payment's id, and no body any more."""
    async with session_of(gateway, path) as session:
        payment = await session.run_sale(SERIAL, sale())
    found = await entry(path)
    (instruction,) = gateway.instructions.values()
    assert (found.state, found.resource_id) == (EntryState.COMPLETED, payment.payment_id)
    assert (found.instruction_id, found.serial_number) == (instruction.id, SERIAL)
    assert (found.kind, found.gateway) == ("payment", gateway.environment.api_url)
    assert (found.body, found.running) == (None, False)


async def test_the_intent_is_on_disk_before_anything_is_sent(
    gateway: Simulator, path: Path
) -> None:
    """While the submission is on its way the entry holds its very bytes."""
    opens = asyncio.Event()
    gateway.faults.add("submit", gate(opens))
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale()))
        await until(lambda: gateway.requests_of("submit"))
        (found,) = await session.unfinished()
        assert (found.state, found.running) == (EntryState.INTENT, True)
        assert found.body == gateway.requests_of("submit")[0].body == encode(sale())
        assert found.idempotency_key == gateway.requests_of("submit")[0].headers["idempotency-key"]
        opens.set()
        assert (await task).approved
        assert await session.unfinished() == []


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("fails", EntryState.FAILED),
        ("cardholder_cancels", EntryState.CANCELED),
        ("declines", EntryState.COMPLETED),
        ("is_offline", EntryState.FAILED),
    ],
)
async def test_each_end_is_kept(
    gateway: Simulator, path: Path, script: str, state: EntryState
) -> None:
    """Failed, canceled, declined and refused ones are ended in the journal."""
    getattr(gateway.device(SERIAL), script)()
    async with session_of(gateway, path) as session:
        await asyncio.wait([asyncio.create_task(session.run_sale(SERIAL, sale()))])
        assert await session.unfinished() == []
    assert (await entry(path)).state is state


async def test_the_wish_to_cancel_is_on_disk_before_the_cancellation(
    gateway: Simulator, path: Path
) -> None:
    """While DELETE is on its way the entry says so; afterwards that it is canceled."""
    gateway.device(SERIAL).never_finishes()
    opens = asyncio.Event()
    gateway.faults.add("cancel", gate(opens))
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale()))
        await until(lambda: gateway.requests_of("status"))
        task.cancel()
        await until(lambda: gateway.requests_of("cancel"))
        (found,) = await session.unfinished()
        assert (found.state, found.body) == (EntryState.CANCELING, None)
        opens.set()
        await asyncio.wait([task])
    assert (await entry(path)).state is EntryState.CANCELED


async def test_cancelled_before_it_is_sent(gateway: Simulator, path: Path) -> None:
    """A sale that is canceled while its intent is written is ended, and nothing is sent."""
    async with session_of(gateway, path) as session:
        # The lock of another process keeps the intent waiting.
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(session.run_sale(SERIAL, sale()))
            await until(lambda: gateway.requests_of("authorize"))
            await asyncio.sleep(2 * UNIT)
            task.cancel()
            await asyncio.sleep(UNIT)
            assert not task.done()
            other.execute("ROLLBACK")
        await asyncio.wait([task])
        assert task.cancelled()
    assert gateway.requests_of("submit") == []
    assert (await entry(path)).state is EntryState.CANCELED


async def test_nothing_is_sent_where_the_intent_cannot_be_kept(
    gateway: Simulator, path: Path
) -> None:
    """A locked database is a JournalError before anything is sent; the next sale goes as ever."""
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        journal=SQLiteJournal(path, busy_timeout=2 * UNIT),
    ) as session:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match="locked"):
                await session.run_sale(SERIAL, sale())
            other.execute("ROLLBACK")
        assert gateway.requests_of("submit") == []
        assert (await session.run_sale(SERIAL, sale())).approved
        assert await session.unfinished() == []
    assert [one.state for one in await entries(path)] == ["completed"]


class Silent(SQLiteJournal):
    """A journal that does what it is asked, and does not answer the first time."""

    silent = True

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        entry = await super().begin(intent, window=window)
        if self.silent:
            self.silent = False
            await asyncio.Future()
        return entry


async def test_a_journal_that_does_not_answer_sends_nothing(gateway: Simulator, path: Path) -> None:
    """After `Timeouts.journal` the sale is refused, and no one recovers what is on disk of it."""
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=Timeouts(journal=0.5),
        journal=Silent(path),
    )
    async with session:
        with pytest.raises(JournalError, match="did not answer"):
            await session.run_sale(SERIAL, sale())
    assert gateway.requests_of("submit") == []
    assert (await entry(path)).state is EntryState.CANCELED


class Slow(Silent):
    """One that has written a withdrawal too, and does not answer that until it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.withdrawn, self.opens = asyncio.Event(), asyncio.Event()

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        await super().write(entry, state, **ids)
        if state is EntryState.CANCELED:
            self.withdrawn.set()
            await self.opens.wait()


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one after the other"])
async def test_a_withdrawal_is_withdrawn_once(
    gateway: Simulator, path: Path, at_once: bool
) -> None:
    """Sales that settle it together, or again, do not make an unfinished sale of it."""
    journal = Slow(path)
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=Timeouts(journal=0.5),
        journal=journal,
    )
    async with session:
        # Nothing was sent, but the intent may be on disk, and its withdrawal fails too (J4).
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale("1", sale())
        assert isinstance(caught.value.__cause__, JournalError)
        assert not caught.value.request_sent
        assert caught.value.may_have_taken_effect  # a recovery that finds the intent may send it
        first = asyncio.create_task(session.run_sale("2", sale()))
        await journal.withdrawn.wait()
        if not at_once:
            await asyncio.wait([first])
            # The deferred withdrawal is tried again, with less to wait for.
            assert first.exception() is None or isinstance(first.exception(), PayrocError)
        second = asyncio.create_task(session.run_sale("3", sale()))
        await until(lambda: session._supervisor._by_device.keys() >= {"3"})
        await asyncio.sleep(UNIT)
        journal.opens.set()
        await asyncio.wait([first, second])
        assert second.result().approved
        assert [_ async for _ in session.recover()] == []
    assert {one.serial_number: one.state for one in await entries(path)}["1"] == "canceled"
    assert not [one for one in gateway.requests_of("submit") if "/devices/1/" in one.path]


class Lossy(Slow):
    """One that loses its first answer at once."""

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        entry = await SQLiteJournal.begin(self, intent, window=window)
        if self.silent:
            self.silent = False
            raise JournalError("lost")
        return entry


async def test_what_is_being_withdrawn_is_not_sent_meanwhile(
    gateway: Simulator, path: Path
) -> None:
    """J4: "nothing was sent" waits for the withdrawal; a second call joins the first."""
    journal, key = Lossy(path), str(uuid4())
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        first = asyncio.create_task(session.run_sale("1", sale(), idempotency_key=key))
        await journal.withdrawn.wait()
        second = asyncio.create_task(session.run_sale("1", sale(), idempotency_key=key))
        await asyncio.sleep(UNIT)
        assert not first.done()
        journal.opens.set()
        await asyncio.wait([first, second])
        assert isinstance(first.exception(), JournalError)
        assert first.exception() is second.exception()
        assert gateway.requests_of("submit") == []
        assert (await session.run_sale("1", sale(), idempotency_key=key)).approved
    assert {one.serial_number: one.state for one in await entries(path)}["1"] == "completed"


async def test_a_withdrawal_outlasts_a_refusal_of_its_key(gateway: Simulator, path: Path) -> None:
    """What was not sent is withdrawn also if its key is refused for another request meanwhile."""
    journal, key = Lossy(path), str(uuid4())
    journal.opens.set()
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        with pytest.raises(JournalError):
            await session.run_sale("1", sale(), idempotency_key=key)
        with pytest.raises(ConfigurationError, match="idempotency_key"):
            await session.run_sale("1", sale(amount=1), idempotency_key=key)
    assert (await entry(path)).state is EntryState.CANCELED


class InDoubt(SQLiteJournal):
    """One that loses the answers to two who begin at once, and can be unreadable after that."""

    unreadable = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.both: asyncio.Barrier | None = asyncio.Barrier(2)

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        entry = await super().begin(intent, window=window)
        if self.both is not None:
            await self.both.wait()
            raise JournalError("lost")
        return entry

    async def get(self, idempotency_key: str) -> Entry | None:
        if self.unreadable:
            raise JournalError("unreadable")
        return await super().get(idempotency_key)


async def test_a_withdrawal_is_kept_when_settling_fails(gateway: Simulator, path: Path) -> None:
    """Run again under its key, it stays to be withdrawn if what else is owed can't be written."""
    journal, key = InDoubt(path), str(uuid4())
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        lost = await asyncio.gather(
            session.run_sale("1", sale(), idempotency_key=key),
            session.run_sale("2", sale()),
            return_exceptions=True,
        )
        assert [str(getattr(error, "__cause__", None)) for error in lost] == ["lost", "lost"]
        journal.both, journal.unreadable = None, True
        with pytest.raises(OutcomeUnknownError, match="unreadable"):
            await session.run_sale("1", sale(), idempotency_key=key)
        journal.unreadable = False
    assert [one.state for one in await entries(path)] == [EntryState.CANCELED] * 2
    assert gateway.requests_of("submit") == []


class Away(SQLiteJournal):
    """A journal that can be away."""

    away = False

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        if self.away:
            raise JournalError("away")
        await super().write(entry, state, **ids)


async def test_a_sale_under_way_goes_on_without_its_journal(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors say what could not be written; it is written before the next sale is begun."""
    journal = Away(path)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        journal.away = True
        first = await session.run_sale(SERIAL, sale())
        told = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert all("the sale goes on" in one.getMessage() for one in told)
        assert {getattr(one, "serial_number", None) for one in told} == {SERIAL}
        (left,) = await session.unfinished()
        assert (left.state, left.running) == (EntryState.INTENT, True)
        journal.away = False
        await session.run_sale(SERIAL, sale())
        kept, _ = await journal.entries()
        assert kept.resource_id == first.payment_id
        assert await session.unfinished() == []


async def test_an_end_that_is_owed_counts_for_the_next_under_its_key(
    gateway: Simulator, path: Path
) -> None:
    """The same call again gives the payment there is, and submits nothing, for its id was owed."""
    journal, key = Away(path), str(uuid4())
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=journal
    ) as session:
        journal.away = True
        first = await session.run_sale(SERIAL, sale(), idempotency_key=key)
        journal.away = False
        again = await session.run_sale(SERIAL, sale(), idempotency_key=key)
    assert again.payment_id == first.payment_id
    assert len(gateway.requests_of("submit")) == 1
    assert (await entry(path)).resource_id == first.payment_id


class Stuck(SQLiteJournal):
    """A journal that never answers a write of one state, whatever cancels it but once."""

    stuck = EntryState.COMPLETED

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reached = asyncio.Event()

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        if state is self.stuck:
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        await super().write(entry, state, **ids)

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        entry = await super().begin(intent, window=window)
        if self.stuck is EntryState.INTENT:
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        return entry


async def close_while_stuck(gateway: Simulator, journal: Stuck) -> asyncio.Task[Payment]:
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, cancel_grace=UNIT, journal=2.0),
        journal=journal,
    )
    async with asyncio.timeout(60):
        await session.open()
        selling = asyncio.create_task(session.run_sale(SERIAL, sale()))
        await journal.reached.wait()
        with suppress(JournalError):
            await session.aclose()
        await asyncio.wait((selling,))
    return selling


async def test_a_payment_is_returned_though_its_end_can_not_be_written(
    gateway: Simulator, path: Path
) -> None:
    """The session closes while the journal hangs: the caller gets the payment that was read."""
    selling = await close_while_stuck(gateway, Stuck(path))
    assert selling.result().payment_id in gateway.payments
    assert (await entry(path)).state is EntryState.SUBMITTED


async def test_an_intent_that_may_be_on_disk_leaves_the_outcome_unknown(
    gateway: Simulator, path: Path
) -> None:
    """J4: another process may submit it, though this one is ended before it could."""
    journal = Stuck(path)
    journal.stuck = EntryState.INTENT
    selling = await close_while_stuck(gateway, journal)
    with pytest.raises(OutcomeUnknownError):
        selling.result()
    assert (await entry(path)).state is EntryState.INTENT


class Unwell(SQLiteJournal):
    """A journal of somebody's own, which fails in ways of its own once a sale is under way."""

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        raise RuntimeError("unwell")


async def test_no_failure_of_a_journals_own_stops_a_sale_under_way(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises, the payment is returned and the failure logged."""
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, journal=Unwell(path)
    ) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    assert "unwell" in caplog.text


# Recovery, by state ----------


async def test_what_was_submitted_is_seen_to_its_end(gateway: Simulator, path: Path) -> None:
    """Another process asks on and has the payment; nothing is submitted again."""
    gateway.device(SERIAL).approves(after=15 * UNIT)
    ids: list[str | None] = []

    def keep(event: object) -> None:
        if isinstance(event, Submitted):
            ids.append(event.instruction_id)

    async with session_of(gateway, path) as session:
        task = asyncio.create_task(
            session.run_sale(SERIAL, sale(), on_cancel="detach", on_event=keep)
        )
        await until(lambda: ids)
        task.cancel()
        await asyncio.wait([task])
    async with session_of(gateway, path) as session:
        (before,) = await session.unfinished()
        assert (before.state, before.running) == (EntryState.SUBMITTED, False)
        (found,) = await recovered(session)
        assert (found.action, found.state) == ("resumed", EntryState.COMPLETED)
        assert found.entry.instruction_id == ids[0]
        assert isinstance(found.resource, Payment)
        assert await recovered(session) == []
    assert len(gateway.requests_of("submit")) == 1
    assert (await entry(path)).resource_id == found.resource.payment_id


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "never sent"])
@pytest.mark.parametrize("on_found", ["finish", "cancel"])
async def test_a_young_intent_is_sent_again_under_its_key(
    gateway: Simulator, path: Path, sent: bool, on_found: str
) -> None:
    """It says what became of it: one instruction in any case, finished or canceled as asked."""
    if on_found == "cancel":
        gateway.device(SERIAL).never_finishes()
    key = await leave(gateway, path)
    async with session_of(gateway, path) as session:
        if sent:
            await session.payment_instructions.submit(SERIAL, sale(), idempotency_key=key)
        (found,) = await recovered(session, on_found)
    (instruction,) = gateway.instructions.values()
    assert instruction.idempotency_key == found.entry.idempotency_key == key
    assert gateway.in_progress == []
    if on_found == "finish":
        assert (found.action, found.state) == ("resubmitted", EntryState.COMPLETED)
        assert isinstance(found.resource, Payment)
    else:
        assert (found.action, found.state) == ("canceled", EntryState.CANCELED)
        assert isinstance(found.error, InstructionCanceledError)
    assert (await entry(path)).state is found.state


@pytest.mark.parametrize("known", [True, False], ids=["id known", "id not known"])
async def test_what_was_being_cancelled_is_cancelled(
    gateway: Simulator, path: Path, known: bool
) -> None:
    """Also by a recovery that finishes what else it finds."""
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, path) as session:
        key = str(uuid4())
        made = await session.payment_instructions.submit(SERIAL, sale(), idempotency_key=key)
    id_ = made.instruction_id
    await leave(gateway, path, EntryState.CANCELING, instruction_id=id_ if known else None)
    if not known:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET idempotency_key = ?", (key,))
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.state) == ("canceled", EntryState.CANCELED)
    assert isinstance(found.error, InstructionCanceledError)
    assert gateway.in_progress == []
    assert len(gateway.instructions) == 1


async def test_a_cancellation_that_came_too_late_is_told(gateway: Simulator, path: Path) -> None:
    """The payment that was made all the same is what the recovery yields."""
    gateway.device(SERIAL).completes_on_cancel()
    async with session_of(gateway, path) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    await leave(gateway, path, EntryState.CANCELING, instruction_id=made.instruction_id)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.state) == ("canceled", EntryState.COMPLETED)
    assert isinstance(found.resource, Payment)


async def test_an_old_intent_is_found_by_its_order(gateway: Simulator, path: Path) -> None:
    """The payment of its order is its outcome; nothing is sent again."""
    async with session_of(gateway, path) as session:
        other = await session.run_sale(SERIAL, sale())
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(SERIAL, sale())
    await leave(gateway, path, age=200)
    sent = len(gateway.requests_of("submit"))
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.state) == ("searched", EntryState.COMPLETED)
    assert isinstance(found.resource, Payment)
    assert found.resource == payment
    # The journal knows that the other one came of another sale.
    assert found.resource.payment_id != other.payment_id
    assert len(gateway.requests_of("submit")) == sent


async def test_a_tip_keeps_no_payment_from_being_found(gateway: Simulator, path: Path) -> None:
    """The amount of a payment has what the cardholder added on the device."""
    tip = Tip(type=TipType.FIXED_AMOUNT, mode=TipMode.PROMPTED)
    request = PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(
            order_id="OrderRef6543",
            amount=4999,
            currency="USD",
            breakdown=Breakdown(subtotal=3999, cashback_amount=1000, tip=tip),
        ),
    )
    gateway.device(SERIAL).approves(tip=500)
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(SERIAL, request)
    await leave(gateway, path, age=200, request=request)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert payment.order.amount == 5499
    assert (found.action, found.resource) == ("searched", payment)


async def test_cashback_keeps_no_payment_from_being_found(gateway: Simulator, path: Path) -> None:
    """What the cardholder takes in cash, chosen on the device, is no other sale's."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        made = await session.run_sale(SERIAL, sale())
    order = gateway.payments[made.payment_id]["order"]
    order |= {"amount": 5999, "breakdown": {"subtotal": 4999, "cashbackAmount": 1000}}
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert found.action == "searched"
    assert isinstance(found.resource, Payment)
    assert found.resource.payment_id == made.payment_id


@pytest.mark.parametrize("kind", ["signature", "refund"])
async def test_no_other_kind_keeps_a_payment_from_being_found(
    gateway: Simulator, path: Path, kind: str
) -> None:
    """Only a sale is like a sale, also where the other's outcome is not known either."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(SERIAL, sale())
    other = SIGNATURE if kind == "signature" else REFUND
    await leave(gateway, path, EntryState.UNKNOWN, age=200, kind=kind, request=other)
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.resource) == ("searched", payment)


@pytest.mark.parametrize(
    "damage",
    [
        {"order": None},
        {"order": {"orderId": "OrderRef6543", "amount": "49.99", "currency": "USD"}},
        {"order": {"amount": 4999, "currency": {}}},
        {"transactionResult": None},
        {"transactionResult": {"responseCode": " "}},
        {"paymentId": ""},
        {"paymentId": None},
    ],
)
async def test_a_damaged_payment_of_its_order_may_be_its_own(
    gateway: Simulator, path: Path, damage: dict[str, Any]
) -> None:
    """Whose amount, outcome or id can't be read may be its own: it is not paid a second time."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(SERIAL, sale())
    await leave(gateway, path, age=200)

    def damaged(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "data": [{**one, **damage} for one in data["data"]]}

    gateway.faults.add("search", edit(damaged))
    sent = len(gateway.requests_of("submit"))
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session, resubmit=True)
        assert (found.action, found.state) == ("left", EntryState.INTENT)
        assert len(gateway.requests_of("submit")) == sent
        # Once the answer is sound, it is found.
        (found,) = await recovered(session, resubmit=True)
    assert (found.action, found.resource) == ("searched", payment)


@pytest.mark.parametrize("what", ["amount", "terminal", "order", "before"])
async def test_another_orders_payment_is_not_taken_for_it(
    gateway: Simulator, path: Path, what: str
) -> None:
    """A payment counts only if order, amount and terminal are the same, and it is not older."""
    other = PaymentInstructionRequest(
        processing_terminal_id="1234002" if what == "terminal" else "1234001",
        order=sale(
            amount=5000 if what == "amount" else 4999,
            order_id="another" if what == "order" else "OrderRef6543",
        ).order,
    )
    async with session_of(gateway, path.with_name("none.db")) as session:
        await session.run_sale(SERIAL, other)
    if what == "before":
        for payment in gateway.payments.values():
            payment["order"]["dateTime"] = "2026-01-01T12:00:00Z"
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.resource) == ("left", None)


async def test_an_old_intent_of_which_nothing_is_found_is_left(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not sent again unasked, and stays for a recovery that is asked to."""
    key = await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
        assert (found.action, found.state) == ("left", EntryState.INTENT)
        assert isinstance(found.error, OutcomeUnknownError)
        assert (found.error.idempotency_key, found.error.serial_number) == (key, SERIAL)
        assert "not submitted again" in caplog.text
        assert gateway.requests_of("submit") == []
        (again,) = await recovered(session, resubmit=True)
        assert (again.action, again.state) == ("resubmitted", EntryState.COMPLETED)
    (instruction,) = gateway.instructions.values()
    assert instruction.idempotency_key == key


async def test_past_the_window_nothing_is_ever_sent_again(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that the gateway may have forgotten ends as unknown, an error for a person to see."""
    await leave(gateway, path, age=7 * 86_400)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session, resubmit=True)
        assert found.state is EntryState.UNKNOWN
        assert isinstance(found.error, OutcomeUnknownError)
        assert [one.levelname for one in caplog.records] == ["ERROR"]
        assert await recovered(session, resubmit=True) == []
        kept = await entry(path)  # released, so that a person may close it while the session lives
        assert (kept.state, kept.body, kept.owner) == (EntryState.UNKNOWN, encode(sale()), "")
    assert gateway.requests_of("submit") == []


async def test_a_shorter_window_is_a_setting(gateway: Simulator, path: Path) -> None:
    """`RetryPolicy.idempotency_window` is what counts."""
    await leave(gateway, path, age=200)
    retries = RetryPolicy(idempotency_window=150)
    async with session_of(gateway, path, retries=retries) as session:
        (found,) = await recovered(session, resubmit=True)
    assert found.state is EntryState.UNKNOWN
    assert gateway.requests_of("submit") == []


async def test_two_old_intents_for_one_order_are_not_guessed_at(
    gateway: Simulator, path: Path
) -> None:
    """One payment is found, and either may have made it: neither is asked to have."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        await session.run_sale(SERIAL, sale())
    await leave(gateway, path, age=200)
    await leave(gateway, path, age=300)
    async with session_of(gateway, path) as session:
        found = await recovered(session)
    assert [(one.action, one.resource) for one in found] == [("left", None)] * 2
    assert [one.state for one in found] == [EntryState.INTENT] * 2
    assert all("another sale" in str(one.error) for one in found)


async def test_a_payment_that_is_of_another_sale_meanwhile_is_not_taken_for_it(
    gateway: Simulator, path: Path
) -> None:
    """The order is sold anew while payments are searched for: that payment is the new sale's."""
    await leave(gateway, path, age=200)
    opens = asyncio.Event()
    gateway.faults.add("search", gate(opens))
    async with session_of(gateway, path) as one, session_of(gateway, path) as other:
        recovering = asyncio.create_task(recovered(one))
        await until(lambda: gateway.requests_of("search"))
        payment = await other.run_sale("1850010869", sale())  # its own device is busy
        opens.set()
        (found,) = await recovering
        assert (found.action, found.state, found.resource) == ("left", EntryState.INTENT, None)
    assert [one.resource_id for one in await entries(path)] == [None, payment.payment_id]


async def test_a_payment_that_may_be_of_a_sale_under_way_is_not_taken_for_it(
    gateway: Simulator, path: Path
) -> None:
    """The order was sold anew on the device, and whether that is its payment is not known yet."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        handle = await session.start_sale(SERIAL, sale())
        payment = await handle.result()
    await leave(gateway, path, age=200)
    await leave(gateway, path, EntryState.SUBMITTED, instruction_id=handle.instruction_id)
    async with session_of(gateway, path) as one, session_of(gateway, path) as other:
        # Another process has it, and is about to read the payment.
        opens = asyncio.Event()
        gateway.faults.add("payment", gate(opens))
        reading = asyncio.create_task(other.resume_sale(handle.instruction_id or "").result())
        await until(lambda: [r for r in gateway.open_requests if r.kind == "payment"])
        (found,) = await recovered(one)
        assert (found.action, found.state) == ("left", EntryState.INTENT)
        assert "running on its device, may" in str(found.error)
        opens.set()
        assert await reading == payment
        (found,) = await recovered(one)
        assert "no payment is found" in str(found.error)


async def test_past_the_window_two_intents_for_one_order_are_for_a_person(
    gateway: Simulator, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They do not stay unfinished for ever: both are unknown, and the payment is named."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        payment = await session.run_sale(SERIAL, sale())
    for age in (7 * 86_400, 7 * 86_400 + 1000):
        await leave(gateway, path, age=age)
    for made in gateway.payments.values():
        made["order"]["dateTime"] = (datetime.now(UTC) - timedelta(hours=25)).isoformat()
    async with session_of(gateway, path) as session:
        found = await recovered(session, resubmit=True)
    assert [one.state for one in found] == [EntryState.UNKNOWN] * 2
    assert all(payment.payment_id in str(one.error) for one in found)
    assert [one.levelname for one in caplog.records] == ["ERROR"] * 2


async def test_what_may_be_paid_is_not_sent_again_even_if_asked_to(
    gateway: Simulator, path: Path
) -> None:
    """Two old intents for one order, one payment: the customer is not asked a second time."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        await session.run_sale(SERIAL, sale())
    await leave(gateway, path, age=200)
    await leave(gateway, path, age=300)
    async with session_of(gateway, path) as session:
        found = await recovered(session, resubmit=True)
    assert [(one.action, one.state) for one in found] == [("left", EntryState.INTENT)] * 2
    assert len(gateway.requests_of("submit")) == 1


async def test_which_of_several_payments_is_its_own_is_not_guessed(
    gateway: Simulator, path: Path
) -> None:
    """It is left, and the error names them; past the window it is for a person to look at."""
    async with session_of(gateway, path.with_name("none.db")) as session:
        payments = [await session.run_sale(SERIAL, sale()) for _ in range(2)]
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
        assert (found.action, found.state) == ("left", EntryState.INTENT)
        assert all(payment.payment_id in str(found.error) for payment in payments)
    retries = RetryPolicy(idempotency_window=100)
    async with session_of(gateway, path, retries=retries) as session:
        (found,) = await recovered(session, resubmit=True)
        assert found.state is EntryState.UNKNOWN
        assert all(payment.payment_id in str(found.error) for payment in payments)


async def test_a_clock_that_was_set_back_makes_no_intent_young(
    gateway: Simulator, path: Path
) -> None:
    """An age below zero says nothing: nothing is sent unasked."""
    await leave(gateway, path, age=-50)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
        assert found.action == "left"
        # Nor when asked to: the gateway may have forgotten its key.
        (found,) = await recovered(session, resubmit=True)
    assert (found.action, found.state) == ("left", EntryState.INTENT)
    assert gateway.requests_of("submit") == []


async def test_a_search_that_fails_leaves_it_for_another_time(
    gateway: Simulator, path: Path
) -> None:
    """It is reported with the reason, and found again."""
    await leave(gateway, path, age=200)
    gateway.faults.add("search", problem(403, "forbidden"))
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
        assert (found.action, found.state) == ("left", EntryState.INTENT)
        assert "403" in str(found.error)
        (again,) = await recovered(session)
        assert "no payment is found" in str(again.error)


async def test_what_the_gateway_no_longer_knows_stays_for_another_recovery(
    gateway: Simulator, path: Path
) -> None:
    """E6: absence is not a state, and another merchant's 404 ends nothing."""
    await leave(gateway, path, EntryState.SUBMITTED, instruction_id="gone")
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
        assert isinstance(found.error, OutcomeUnknownError)
        assert found.state is EntryState.SUBMITTED
        (again,) = await recovered(session)
        assert again.state is EntryState.SUBMITTED


@pytest.mark.parametrize("of", ["submit", "status", "payment"])
async def test_one_refusal_ends_no_recovery(gateway: Simulator, path: Path, of: str) -> None:
    """E4, E9: a 404 for the device, the instruction or the payment is asked for again."""
    await leave(gateway, path)
    gateway.faults.add(of, problem(404, "not-found"))
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert isinstance(found.resource, Payment)


async def test_e9_a_refusal_of_a_recovered_submission_proves_nothing(
    gateway: Simulator, path: Path
) -> None:
    """A 400 says nothing of the attempt of the process before: the entry stays an intent."""
    await leave(gateway, path)
    gateway.faults.add("submit", problem(400, "bad-request"), times=None)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert isinstance(found.error, OutcomeUnknownError)
    assert (await entry(path)).state is EntryState.INTENT


async def test_a_gateway_that_is_away_leaves_it_for_another_time(
    gateway: Simulator, path: Path
) -> None:
    """The outcome stays unknown for now, and the next recovery has it."""
    gateway.device(SERIAL).approves(after=UNIT)
    async with session_of(gateway, path) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    fault = gateway.faults.add("status", status(503), times=None)
    away = Timeouts(unreachable=5 * UNIT, cancel_grace=5 * UNIT, poll_interval=UNIT / 2)
    async with session_of(gateway, path, timeouts=away) as session:
        (found,) = await recovered(session)
        assert isinstance(found.error, OutcomeUnknownError)
        assert found.state is EntryState.SUBMITTED
        fault.remove()
        (again,) = await recovered(session)
        assert isinstance(again.resource, Payment)


@pytest.mark.parametrize(
    ("kind", "request_", "resource_type"),
    [("refund", REFUND, Refund), ("signature", SIGNATURE, Signature)],
)
async def test_refunds_and_signatures_are_recovered_too(
    gateway: Simulator, path: Path, kind: str, request_: Any, resource_type: type
) -> None:
    """By their ids, or by the same bytes; old ones of which nothing is found are left."""
    await leave(gateway, path, request=request_, kind=kind)
    await leave(gateway, path, request=request_, kind=kind, age=200)
    async with session_of(gateway, path) as session:
        young, old = await recovered(session)
    assert isinstance(young.resource, resource_type)
    assert (old.action, old.state) == ("left", EntryState.INTENT)
    assert {one.path for one in gateway.requests_of("search")} <= {"/v1/refunds"}


async def test_what_another_gateway_has_is_left_alone(gateway: Simulator, path: Path) -> None:
    """Entries of UAT are not recovered in production."""
    await leave(gateway, path)
    async with Simulator() as other:
        async with session_of(other, path) as session:
            assert await session.unfinished() == []
            assert await recovered(session) == []
        assert other.requests_of("submit") == []
    assert (await entry(path)).state is EntryState.INTENT


# One process at a time ----------


async def test_what_a_living_process_drives_is_not_recovered(
    gateway: Simulator, path: Path
) -> None:
    """Nor resumed, nor run again under its key: anyone who tries is reported."""
    gateway.device(SERIAL).approves(after=40 * UNIT)
    key = str(uuid4())
    async with session_of(gateway, path) as one, session_of(gateway, path) as other:
        task = asyncio.create_task(one.run_sale(SERIAL, sale(), idempotency_key=key))
        await until(lambda: gateway.requests_of("status"))
        (shown,) = await other.unfinished()
        assert shown.running
        assert await recovered(other) == []
        with pytest.raises(LeaseLost):
            await other.run_sale(SERIAL, sale(), idempotency_key=key)
        (instruction,) = gateway.instructions
        with pytest.raises(OutcomeUnknownError) as caught:
            await other.resume_sale(instruction).result()
        assert isinstance(caught.value.__cause__, LeaseLost)
        assert (await task).approved
    assert len(gateway.requests_of("submit")) == 1
    assert gateway.requests_of("cancel") == []


async def test_whoever_has_lost_its_sale_stops_touching_it(gateway: Simulator, path: Path) -> None:
    """Taken over by another process, a sale is neither canceled nor written by the first."""
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale()))
        await until(lambda: gateway.requests_of("status"))
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET owner = 'another', fence = fence + 1")
        task.cancel()
        await asyncio.wait([task])
        assert gateway.requests_of("cancel") == []
        assert len(gateway.in_progress) == 1
    left = await entry(path)
    assert (left.state, left.owner) == (EntryState.SUBMITTED, "another")
    gateway.clear()


async def test_a_payment_is_returned_though_the_sale_was_taken_over(
    gateway: Simulator, path: Path
) -> None:
    """What is known is reported; the journal is the other process's to write."""
    gateway.device(SERIAL).approves(after=20 * UNIT)
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale()))
        await until(lambda: gateway.requests_of("status"))
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET owner = 'another', fence = fence + 1")
        assert (await task).approved
    assert (await entry(path)).owner == "another"


async def test_a_sale_under_a_used_key_is_unknown_and_stays_in_the_journal(
    gateway: Simulator, session: PayrocSession, path: Path
) -> None:
    """E2: the key may be in use by this very sale, so that nothing ends its entry."""
    key = str(uuid4())
    await session.run_sale("another", sale(), idempotency_key=key)
    async with session_of(gateway, path) as journalled:
        with pytest.raises(OutcomeUnknownError) as caught:
            await journalled.run_sale(SERIAL, sale(order_id="Other1"), idempotency_key=key)
        assert isinstance(caught.value.__cause__, IdempotencyKeyInUseError)
    assert (await entry(path)).state is EntryState.CANCELING
    assert len(gateway.instructions) == 1
    gateway.violations.clear()  # the key's second use


async def test_one_of_two_recoveries_has_each_sale(gateway: Simulator, path: Path) -> None:
    """Two sessions race over thirty sales: each is ended once, by one of them."""
    for _ in range(30):
        await leave(gateway, path)
    for n, one in enumerate(await entries(path)):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(
                "UPDATE entries SET serial_number = ? WHERE idempotency_key = ?",
                (f"device{n}", one.idempotency_key),
            )
    async with session_of(gateway, path) as left, session_of(gateway, path) as right:
        first, second = await asyncio.gather(recovered(left), recovered(right))
    keys = [found.entry.idempotency_key for found in first + second]
    assert len(keys) == len(set(keys)) == 30
    assert all(isinstance(found.resource, Payment) for found in first + second)
    assert len(gateway.instructions) == len(gateway.requests_of("submit")) == 30


async def test_a_resumed_sale_is_ended_in_the_journal(gateway: Simulator, path: Path) -> None:
    """`resume_sale` takes its entry over, and knows its device and key by it."""
    async with session_of(gateway, path) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    key = await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    async with session_of(gateway, path) as session:
        handle = session.resume_sale(made.instruction_id)
        assert (await handle.result()).approved
        assert (handle.serial_number, handle.idempotency_key) == (SERIAL, key)
    assert (await entry(path)).state is EntryState.COMPLETED


async def test_a_sale_under_a_key_whose_id_is_known_is_not_sent_again(
    gateway: Simulator, path: Path
) -> None:
    """Run again under its key, it is asked for by its id, though the gateway forgot the key."""
    key = str(uuid4())
    async with session_of(gateway, path) as session:
        payment = await session.run_sale(SERIAL, sale(), idempotency_key=key)
        again = await session.run_sale(SERIAL, sale(), idempotency_key=key)
        assert again == payment
        with pytest.raises(ConfigurationError, match="another request"):
            await session.run_sale(SERIAL, sale(amount=1), idempotency_key=key)
    assert len(gateway.requests_of("submit")) == 1


async def test_an_old_key_is_not_submitted_again(gateway: Simulator, path: Path) -> None:
    """Anyone who runs it again is reported, before anything is sent."""
    key = await leave(gateway, path, age=7 * 86_400)
    async with session_of(gateway, path) as session:
        with pytest.raises(ConfigurationError, match="longer than the gateway is trusted"):
            await session.run_sale(SERIAL, sale(), idempotency_key=key)
    assert gateway.requests_of("submit") == []


@pytest.mark.parametrize("known", [True, False], ids=["found in the journal", "new to it"])
async def test_e8_a_refusal_under_a_callers_key_ends_only_an_entry_of_its_own(
    gateway: Simulator, path: Path, known: bool
) -> None:
    """An earlier call's entry is left for recovery; a new one ends, and is not sent again."""
    key = await leave(gateway, path) if known else str(uuid4())
    gateway.faults.add("submit", problem(409, "cannot-be-modified"))
    async with session_of(gateway, path) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale(), idempotency_key=key)
        assert isinstance(caught.value.__cause__, ConflictError)
        assert caught.value.idempotency_key == key
        assert not caught.value.may_have_taken_effect
        found = await recovered(session)
        assert [one.state for one in found] == [EntryState.COMPLETED] * known
    assert (await entry(path)).state is (EntryState.COMPLETED if known else EntryState.FAILED)


async def test_what_was_never_sent_but_may_have_been_before_is_cancelled_by_recovery(
    gateway: Simulator, path: Path
) -> None:
    """Run again under its key and canceled at once, it is left as one to cancel."""
    key = await leave(gateway, path)
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, path) as session:
        await session.payment_instructions.submit(SERIAL, sale(), idempotency_key=key)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(session.run_sale(SERIAL, sale(), idempotency_key=key))
            await asyncio.sleep(2 * UNIT)
            task.cancel()
            await asyncio.sleep(UNIT)
            other.execute("ROLLBACK")
        await asyncio.wait([task])
        (left,) = await session.unfinished()
        assert (left.state, left.running) == (EntryState.CANCELING, False)
        (found,) = await recovered(session)
        assert found.state is EntryState.CANCELED
    assert gateway.in_progress == []


async def test_p11_a_device_is_busy_until_all_that_was_left_on_it_has_ended(
    gateway: Simulator, path: Path
) -> None:
    """Two that were left unfinished on one device: the end of one does not free it."""
    async with session_of(gateway, path) as session:
        for device in ("1", "2"):  # the gateway itself has one for each
            gateway.device(device).never_finishes()
            made = await session.payment_instructions.submit(device, sale())
            await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    async with session_of(gateway, path) as session:
        recovering = asyncio.create_task(recovered(session))
        await until(lambda: len(gateway.requests_of("status")) == 2)
        for instruction in gateway.in_progress:
            with pytest.raises(DeviceBusyError):
                await session.run_sale(SERIAL, sale())
            gateway._state.change(instruction, "completed")
            await until(lambda: len(session._supervisor) == len(gateway.in_progress))
        assert (await session.run_sale(SERIAL, sale())).approved
        assert len(await recovering) == 2


# The loop over what is recovered ----------


async def test_leaving_the_loop_lets_go_of_the_rest(gateway: Simulator, path: Path) -> None:
    """What has not ended is there for the next recovery, and still in progress."""
    async with session_of(gateway, path) as session:
        quick = await session.payment_instructions.submit("quick", sale())
        gateway.device("slow").never_finishes()
        slow = await session.payment_instructions.submit("slow", sale())
    for made in (quick, slow):
        await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        loop = session.recover()
        first = await anext(loop)
        assert first.entry.instruction_id == quick.instruction_id
        await loop.aclose()
        left = await session.unfinished()
        assert [one.running for one in left] == [False, False]
        gateway._state.change(gateway.in_progress[0], "completed")
        rest = await recovered(session)
    assert {one.entry.instruction_id for one in rest} == {slow.instruction_id, None}
    assert gateway.in_progress == []


async def test_closing_the_session_ends_the_loop(gateway: Simulator, path: Path) -> None:
    """What was being recovered is released; the loop says that the session was closed."""
    gateway.device(SERIAL).never_finishes()
    async with session_of(gateway, path) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    await leave(gateway, path, age=200)
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(recovered(session))
        await until(lambda: gateway.requests_of("status"))
    with pytest.raises(SessionClosedError):
        await task
    assert [one.running for one in await entries(path)] == [False, False]
    assert len(gateway.in_progress) == 1
    async with session_of(gateway, path) as session:
        found = await recovered(session, "cancel")
    assert {one.state for one in found} == {EntryState.CANCELED, EntryState.INTENT}


async def test_a_closed_session_leaves_no_search_behind(gateway: Simulator, path: Path) -> None:
    """A search that is under way ends with the session, and its entry is released."""
    await leave(gateway, path, age=200)
    gateway.faults.add("search", hang())
    async with session_of(gateway, path) as session:
        task = asyncio.create_task(recovered(session))
        await until(lambda: gateway.requests_of("search"))
    assert [one for one in asyncio.all_tasks() if "recovery" in one.get_name()] == []
    with pytest.raises(SessionClosedError):
        await task
    assert (await entry(path)).owner == ""


async def test_a_session_without_a_journal_says_so(session: PayrocSession) -> None:
    """`recover` and `unfinished` name what is missing."""
    with pytest.raises(ConfigurationError, match="journal"):
        await recovered(session)
    with pytest.raises(ConfigurationError, match="journal"):
        await session.unfinished()


async def test_wrong_arguments_are_refused(gateway: Simulator, path: Path) -> None:
    """The field is named, before anything is claimed."""
    async with session_of(gateway, path) as session:
        with pytest.raises(ConfigurationError, match="on_found"):
            await recovered(session, "delete")
        with pytest.raises(ConfigurationError, match="on_event"):
            await recovered(session, on_event=1)
    with pytest.raises(ConfigurationError, match=r"journal: must be a journal, .* not a str"):
        PayrocSession("key", environment=gateway.environment, journal="x")  # type: ignore[arg-type]


async def test_a_journal_that_cannot_be_opened_opens_no_session(
    gateway: Simulator, tmp_path: Path
) -> None:
    """The session is closed again, whole."""
    session = PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        journal=SQLiteJournal(tmp_path / "no folder" / "sales.db"),
    )
    with pytest.raises(JournalError, match="no folder"):
        await session.open()
    with pytest.raises(SessionClosedError):
        await session.run_sale(SERIAL, sale())
    assert gateway.requests_of("submit") == []


async def test_the_journal_of_the_environment(gateway: Simulator, path: Path) -> None:
    """`PAYROC_JOURNAL` names it for `from_env`."""
    variables = {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
        "PAYROC_JOURNAL": str(path),
    }
    async with PayrocSession.from_env(variables) as session:
        await session.run_sale(SERIAL, sale())
    assert (await entry(path)).state is EntryState.COMPLETED


async def test_a_journal_that_is_given_goes_before_the_environment(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the variable names is not even looked at, be it wrong; None is for no journal."""
    monkeypatch.setattr("payroc_async.session.journal_at", pytest.fail)
    variables = {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
        "PAYROC_JOURNAL": "another",
    }
    async with PayrocSession.from_env(variables, journal=SQLiteJournal(path)) as session:
        assert await session.unfinished() == []
    async with PayrocSession.from_env(variables, journal=None) as session:
        with pytest.raises(ConfigurationError, match="journal: is not set: give the session one"):
            await session.unfinished()


async def test_p7_no_secret_reaches_the_journal(gateway: Simulator, path: Path) -> None:
    """Neither key, token nor card number is in the file, nor the body once the id is known."""
    async with session_of(gateway, path) as session:
        payment = await session.run_sale(SERIAL, sale(order_id="an-order-to-look-for"))
        token = gateway.requests_of("submit")[0].headers["authorization"]
    kept = await asyncio.to_thread(path.read_bytes)
    assert payment.card.card_number is not None
    assert payment.card.card_number.encode() not in kept
    assert gateway.api_key.encode() not in kept
    assert token.removeprefix("Bearer ").encode() not in kept
    assert b"an-order-to-look-for" not in kept


async def test_p1_a_submission_whose_answer_was_lost_is_one_entry(
    gateway: Simulator, path: Path
) -> None:
    """Retries go under the one key, and the journal has one entry for them."""
    gateway.faults.add("submit", drop_after())
    async with session_of(gateway, path) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    assert (await entry(path)).state is EntryState.COMPLETED
    assert len(gateway.instructions) == 1


async def test_a_failed_one_is_told_as_such(gateway: Simulator, path: Path) -> None:
    """What a recovered instruction failed with reaches the loop."""
    gateway.device(SERIAL).fails("Out of paper")
    await leave(gateway, path)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert isinstance(found.error, InstructionFailedError)
    assert found.error.error_message == "Out of paper"
    assert found.state is EntryState.FAILED
