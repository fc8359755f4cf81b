"""``payroc-async sale``: one sale, from its options to its exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console

from payroc_async import (
    Canceled,
    ConfigurationError,
    Failed,
    InstructionCanceledError,
    InstructionError,
    InstructionFailedError,
    Order,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Settled,
)
from payroc_async.models import Amount
from payroc_async.simulator import Simulator

from .progress import Progress
from .results import Result, SaleOptions, show, show_json
from .signals import on_signal

__all__ = ["run_sale"]

OPTIONS = {
    "amount": "--amount",
    "currency": "--currency",
    "description": "--description",
    "idempotency_key": "--idempotency-key",
    "order_id": "--order-id",
    "processing_terminal_id": "--terminal",
    "serial_number": "SERIAL",
    "timeout": "--timeout",
}
"""What the SDK calls a field, and what it is called here."""


def run_sale(options: SaleOptions) -> int:
    """The sale's exit code; progress goes to stderr, the result to stdout."""
    progress = Progress(Console(stderr=True))
    request: PaymentInstructionRequest | None = None
    try:
        request = _request(options)
        with progress:
            result = asyncio.run(_main(options, request, progress))
    except ConfigurationError as error:
        result = Result(
            error=ConfigurationError(OPTIONS.get(error.field, error.field), error.reason)
        )
    order = request.order if request else None
    if options.as_json:
        show_json(options, order, result)
    else:
        show(options, order, result)
    return result.exit_code


def _request(options: SaleOptions) -> PaymentInstructionRequest:
    return PaymentInstructionRequest(
        processing_terminal_id=options.terminal,
        order=Order(
            order_id=options.order_id,
            amount=_amount(options),
            description=options.description,
        ),
    )


def _amount(options: SaleOptions) -> Amount:
    amount = Amount.parse(options.amount, options.currency)
    if amount.minor_units == 0:
        raise ConfigurationError("amount", "must be more than zero")
    return amount


@asynccontextmanager
async def _session(options: SaleOptions) -> AsyncIterator[PayrocSession]:
    if not options.simulator:
        async with PayrocSession.from_env() as session:
            yield session
        return
    async with Simulator() as gateway:
        gateway.device(options.serial_number).approves(after=2.0)
        async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
            yield session


async def _main(
    options: SaleOptions, request: PaymentInstructionRequest, progress: Progress
) -> Result:
    async with _session(options) as session:
        sale = asyncio.create_task(
            session.run_sale(
                options.serial_number,
                request,
                idempotency_key=options.idempotency_key,
                timeout=options.timeout,
                on_event=progress.note,
            ),
            name="payroc-async sale",
        )
        progress.begin(options, request.order)
        # Cancelled once: the SDK then cancels the instruction, and waits for the gateway's word.
        with on_signal(lambda: _interrupt(sale, progress), progress.already_cancelling):
            await asyncio.wait((sale,))
            # Here, and not only below: what the gateway says while it closes counts too.
            await session.aclose()
    if sale.cancelled():
        return _after_interrupt(options, request, progress)
    error = sale.exception()
    if error is None:
        return Result(payment=sale.result(), instruction_id=progress.instruction_id)
    if isinstance(error, ConfigurationError) or not isinstance(error, PayrocError):
        raise error
    if isinstance(error, OutcomeUnknownError) and options.key_is_fresh and not error.request_sent:
        # The SDK can't know that the key, which it was given, was made a moment ago.
        error = InstructionCanceledError(
            serial_number=error.serial_number,
            idempotency_key=error.idempotency_key,
            instruction_id=None,
            request=request,
        )
    return Result(error=error, instruction_id=progress.instruction_id)


def _interrupt(sale: asyncio.Task[Payment], progress: Progress) -> None:
    progress.cancelling()
    sale.cancel()


def _after_interrupt(
    options: SaleOptions, request: PaymentInstructionRequest, progress: Progress
) -> Result:
    """What became of the sale that Ctrl-C was to end: the last event told."""
    known: dict[str, Any] = {
        "serial_number": options.serial_number,
        "idempotency_key": options.idempotency_key,
        "instruction_id": progress.instruction_id,
        "request": request,
    }
    last = progress.last
    error: InstructionError
    match last:
        case Settled():
            return Result(
                payment=last.resource, instruction_id=progress.instruction_id, interrupted=True
            )
        case Canceled():
            error = InstructionCanceledError(**known)
        case Failed():
            error = InstructionFailedError(last.error_message, **known)
        case _:
            error = OutcomeUnknownError(**known)
    return Result(error=error, instruction_id=progress.instruction_id, interrupted=True)
