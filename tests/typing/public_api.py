"""What type checkers make of the public API. Never run: mypy and pyright read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, assert_type
from unittest.mock import Mock
from uuid import UUID

import aiohttp

from payroc_async import (
    APIError,
    CancelReason,
    CancelRequested,
    Completed,
    ConflictError,
    DeviceBusyError,
    Environment,
    Event,
    Failed,
    IdempotencyKeyInUseError,
    InstructionError,
    InstructionFailedError,
    InstructionHandle,
    InstructionStatus,
    JournalError,
    LeaseLost,
    Link,
    OnCancel,
    OnEvent,
    OnFound,
    Order,
    Outcome,
    Payment,
    PaymentDeclinedError,
    PaymentInstruction,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Problem,
    ProblemDetail,
    Recovered,
    RecoveryAction,
    Refund,
    ResponseCode,
    ResultReceived,
    Retrying,
    RetryPolicy,
    SaleHandle,
    Signature,
    Timeouts,
    TransactionStatus,
    TransportError,
)
from payroc_async.journal import (
    Entry,
    EntryKind,
    EntryState,
    Journal,
    PostgresJournal,
    SQLiteJournal,
    journal_at,
)


async def vault() -> str:
    return "key"


async def building(http: aiohttp.ClientSession) -> None:
    PayrocSession("key", environment=Environment.UAT)
    PayrocSession(
        vault,
        environment=Environment(
            api_url="https://host.example.com/v1",
            identity_url="https://host.example.com/authorize",
        ),
        timeouts=Timeouts(hold=30, request=5.5, journal=2),
        retries=RetryPolicy(attempts=3, idempotency_window=3600),
        journal=SQLiteJournal("till.journal", busy_timeout=1),
        max_connections=10,
        http_session=http,
        ssl=None,
        proxy="http://proxy.example.com:3128",
    )
    assert_type(PayrocSession.from_env(), PayrocSession)
    assert_type(PayrocSession.from_env({"PAYROC_API_KEY": "key"}), PayrocSession)
    async with PayrocSession("key", environment=Environment.UAT) as session:
        assert_type(session, PayrocSession)
    opened = await PayrocSession("key", environment=Environment.UAT).open()
    assert_type(opened, PayrocSession)


class MySession(PayrocSession):
    """A subclass keeps its type."""


async def subclassing() -> None:
    assert_type(MySession.from_env(), MySession)
    async with MySession("key", environment=Environment.UAT) as session:
        assert_type(session, MySession)


async def sales(session: PayrocSession, request: PaymentInstructionRequest, key: UUID) -> None:
    payment = await session.run_sale("1850010868", request)
    assert_type(payment, Payment)
    await session.run_sale(
        "1850010868",
        request,
        idempotency_key=key,
        timeout=60,
        on_cancel="detach",
        on_event=print,
    )
    await session.run_sale("1850010868", request, idempotency_key="a key", timeout=None)

    handle = await session.start_sale("1850010868", request)
    assert_type(handle, SaleHandle)
    assert_type(handle, InstructionHandle[PaymentInstruction, Payment])
    assert_type(await handle.result(), Payment)
    assert_type(await handle.cancel(), PaymentInstruction)
    assert_type(handle.serial_number, str | None)
    assert_type(handle.idempotency_key, str | None)
    assert_type(handle.instruction_id, str | None)
    assert_type(handle.status, InstructionStatus | None)
    assert_type(session.resume_sale("e743a9165d134678a9100ebba3b29597"), SaleHandle)


async def journals(path: Path) -> None:
    """Both stores are journals, and so is what a setting names."""
    stores: list[Journal] = [
        SQLiteJournal(path),
        PostgresJournal("postgresql://host.example.com/tills", schema="till", patience=2),
    ]
    assert_type(journal_at("till.journal"), SQLiteJournal | PostgresJournal)
    PayrocSession("key", environment="uat")
    PayrocSession("key", environment="production")
    PayrocSession.from_env(timeouts=Timeouts(), retries=RetryPolicy(), max_connections=5)
    PayrocSession.from_env(journal=None)
    for journal in stores:
        assert_type(await journal.get("a key"), Entry | None)
        assert_type(await journal.entries(states=[EntryState.UNKNOWN]), list[Entry])
        assert_type(await journal.purge(older_than=90 * 86_400), int)


async def recovering(session: PayrocSession) -> None:
    assert_type(await session.unfinished(), list[Entry])
    wish: OnFound = "cancel"
    async for found in session.recover(wish, resubmit=True, on_event=print):
        assert_type(found, Recovered)
        assert_type(found.action, RecoveryAction)
        assert_type(found.state, EntryState)
        assert_type(found.resource, Payment | Refund | Signature | None)
        assert_type(found.error, Exception | None)
        assert_type(found.entry.kind, EntryKind)
        assert_type(found.entry.age, float)
        assert_type(found.entry.running, bool)
    async for _ in session.recover(on_found="finish"):
        break


async def calls(session: PayrocSession, request: PaymentInstructionRequest) -> None:
    instructions = session.payment_instructions
    assert_type(await instructions.submit("1850010868", request), PaymentInstruction)
    assert_type(await instructions.retrieve("e743"), PaymentInstruction)
    await instructions.cancel("e743")
    assert_type(await session.payments.retrieve("M2MJOG6O2Y"), Payment)


def payments(payment: Payment) -> None:
    assert_type(payment.payment_id, str)
    assert_type(payment.outcome, Outcome)
    assert_type(payment.approved, bool)
    assert_type(payment.raw, Mapping[str, Any])
    assert_type(payment.order.amount, int | None)
    assert_type(payment.transaction_result.response_code, ResponseCode)
    assert_type(payment.transaction_result.status, TransactionStatus | None)
    payment.raise_for_decline()


def open_enums(payment: Payment, instruction: PaymentInstruction) -> None:
    """A word that is not listed is a member too, and compares with a string."""
    assert_type(InstructionStatus("unheardOf"), InstructionStatus)
    assert_type(instruction.status == "unheardOf", bool)
    assert_type(InstructionStatus.COMPLETED.known, bool)
    word: str = instruction.status
    print(word, payment.transaction_result.response_code.upper())


def on_event(event: Event) -> None:
    """All that happens, distinguished by a match."""
    match event:
        case Retrying():
            assert_type(event.error, Exception)
            assert_type(event.attempt, int)
            assert_type(event.delay, float)
        case CancelRequested():
            assert_type(event.reason, CancelReason)
            assert_type(event.reason, Literal["caller", "timeout", "close", "gave up"])
        case Failed():
            assert_type(event.error_message, str | None)
        case Completed():
            assert_type(event.link, Link)
        case ResultReceived():
            assert_type(event.resource, Payment | Refund | Signature)
        case _:
            assert_type(event.serial_number, str | None)


def returning_something(event: Event) -> int:
    """What an on_event callable returns does not matter."""
    return 1


class Listener:
    """Callable objects and methods are taken too."""

    def __call__(self, event: object) -> None:
        print(event)

    def method(self, event: Event) -> None:
        print(event)


async def listening(session: PayrocSession, request: PaymentInstructionRequest) -> None:
    events: list[Event] = []
    seen: set[Event] = set()
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event]()
    pool = ThreadPoolExecutor()
    listeners: list[OnEvent] = [
        on_event,
        returning_something,
        Listener(),
        Listener().method,
        events.append,
        print,
        lambda event: event.instruction_id,
        seen.add,
        queue.put_nowait,
        Mock(),
        partial(print, "event:"),
        lambda event: loop.create_task(queue.put(event)),
        lambda event: loop.call_soon_threadsafe(events.append, event),
        lambda event: asyncio.run_coroutine_threadsafe(queue.put(event), loop),
        lambda event: pool.submit(events.append, event),
        lambda event: (print(event), True),
    ]
    wish: OnCancel = "cancel"
    for listener in listeners:
        await session.run_sale("1850010868", request, on_cancel=wish, on_event=listener)


def errors(error: PayrocError) -> None:
    """Each error has its data, typed."""
    match error:
        case IdempotencyKeyInUseError():
            conflict: ConflictError = error
            print(conflict)
        case LeaseLost():
            failure: JournalError = error
            print(failure)
            assert_type(error.idempotency_key, str | None)
        case APIError():
            assert_type(error.status, int)
            assert_type(error.problem, Problem)
            assert_type(error.problem.errors, tuple[ProblemDetail, ...])
            assert_type(error.retry_after, float | None)
            assert_type(error.headers, Mapping[str, str])
        case TransportError():
            assert_type(error.request_sent, bool)
        case DeviceBusyError():
            assert_type(error.serial_number, str)
        case PaymentDeclinedError():
            assert_type(error.payment, Payment)
        case InstructionFailedError():
            assert_type(error.error_message, str | None)
        case InstructionError():
            assert_type(error.instruction_id, str | None)
            assert_type(error.serial_number, str | None)
            assert_type(error.idempotency_key, str | None)


def models() -> None:
    order = Order(order_id="OrderRef6543", amount=4999, currency="USD")
    request = PaymentInstructionRequest(processing_terminal_id="1234001", order=order)
    assert_type(request.order, Order)
    assert_type(request.order.amount, int)
    callback: Callable[[Event], None] = on_event
    same: OnEvent = callback
    print(same)
