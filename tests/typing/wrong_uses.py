"""Wrong uses that a type checker must refuse. Never run: mypy reads it.

Each is marked with the error that it is; mypy's `warn_unused_ignores` says if one becomes right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial

from payroc_async import (
    Environment,
    Event,
    Order,
    Payment,
    PaymentInstruction,
    PaymentInstructionRequest,
    PayrocSession,
    RetryPolicy,
    SaleHandle,
    Submitted,
    Timeouts,
)


def plain_key() -> str:
    return "key"


def building() -> None:
    PayrocSession("key")  # type: ignore[call-arg]
    PayrocSession(environment=Environment.UAT)  # type: ignore[call-arg]
    PayrocSession("key", Environment.UAT)  # type: ignore[call-arg]
    PayrocSession("key", environment="UAT")  # type: ignore[arg-type]
    PayrocSession(None, environment=Environment.UAT)  # type: ignore[arg-type]
    PayrocSession(b"key", environment=Environment.UAT)  # type: ignore[arg-type]
    PayrocSession(plain_key, environment=Environment.UAT)  # type: ignore[arg-type]
    PayrocSession("key", environment=Environment.UAT, timeouts=30)  # type: ignore[arg-type]
    PayrocSession.from_env(timeout=30)  # type: ignore[call-arg]
    PayrocSession.from_env(environment=Environment.UAT)  # type: ignore[call-arg]
    PayrocSession.from_env(timeouts=30)  # type: ignore[arg-type]
    PayrocSession("key", environment=Environment.UAT, timeout=30)  # type: ignore[call-arg]
    Environment(api_url="https://host.example.com/v1")  # type: ignore[call-arg]
    Timeouts(30.0)  # type: ignore[call-arg]
    Timeouts(hold="60")  # type: ignore[arg-type]
    RetryPolicy(attempts=2.5)  # type: ignore[arg-type]


async def sales(session: PayrocSession, request: PaymentInstructionRequest, order: Order) -> None:
    await session.run_sale("1850010868")  # type: ignore[call-arg]
    await session.run_sale(1850010868, request)  # type: ignore[arg-type]
    await session.run_sale("1850010868", order)  # type: ignore[arg-type]
    await session.run_sale("1850010868", {"order": {}})  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, "a key")  # type: ignore[call-arg]
    await session.run_sale("1850010868", request, idempotency_key=1)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_cancel="ignore")  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=takes_nothing)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=takes_one_kind)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=is_async)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=yields_later)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=yields)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=CallIsAsync())  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=CallIsAsync().method)  # type: ignore[arg-type]
    await session.run_sale("1850010868", request, on_event=partial(is_async))  # type: ignore[arg-type]
    session.resume_refund("e743", on_event=is_async)  # type: ignore[arg-type]
    session.recover(on_event=is_async)  # type: ignore[arg-type]
    instruction: PaymentInstruction = await session.run_sale("1850010868", request)  # type: ignore[assignment]
    handle: SaleHandle = await session.resume_sale("e743")  # type: ignore[misc]
    payment: Payment = session.resume_sale("e743").result()  # type: ignore[assignment]
    print(instruction, handle, payment)


def takes_nothing() -> None: ...


def takes_one_kind(event: Submitted) -> None: ...


async def is_async(event: Event) -> None: ...


async def yields_later(event: Event) -> AsyncIterator[Event]:
    yield event


def yields(event: Event) -> Iterator[Event]:
    yield event


class CallIsAsync:
    async def __call__(self, event: Event) -> None: ...

    async def method(self, event: Event) -> None: ...


def values(payment: Payment, event: Event, environment: Environment) -> None:
    payment.payment_id = "other"  # type: ignore[misc]
    event.instruction_id = "other"  # type: ignore[misc]
    environment.api_url = "https://elsewhere.example.com/v1"  # type: ignore[misc]
    print(payment.paymentId)  # type: ignore[attr-defined]
    print(event.payment)  # type: ignore[attr-defined]


def models() -> None:
    Order(order_id="OrderRef6543", amount=49.99, currency="USD")  # type: ignore[arg-type]
    Order(order_id="OrderRef6543", amount="4999", currency="USD")  # type: ignore[arg-type]
    Order(order_id="OrderRef6543", currency="USD")  # type: ignore[call-arg]
    PaymentInstructionRequest(processing_terminal_id="1234001")  # type: ignore[call-arg]
