"""The operations on a device, as data: all of them run the same way."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from payroc_async import (
    Amount,
    ConfigurationError,
    Order,
    PaymentInstructionRequest,
    PayrocSession,
    RefundInstructionRequest,
    RefundOrder,
    SignatureInstructionRequest,
)
from payroc_async.models.amount import digits_after_point

from .journal_location import journal_path
from .settings import env_file

__all__ = [
    "REFUND",
    "SALE",
    "SIGNATURE",
    "Job",
    "JobOptions",
    "command_line",
    "run_with_amounts",
    "some_amount",
]

T = TypeVar("T")


def run_with_amounts(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main`` in an event loop; load the currency data first, so that it does not block."""
    digits_after_point("USD")  # the first Amount reads a file
    return asyncio.run(main())


def command_line(*words: str, options: Mapping[str, str | None]) -> str:
    """Return a command line, with the options that are not None."""
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    file = env_file()  # without this option the command might use another gateway
    before = [] if file is None else ["--env-file", str(file)]
    return shlex.join(["payroc-async", *before, *words, *given])


def some_amount(text: str, currency: str) -> Amount:
    """Parse the amount on the command line, which must be more than 0.

    Raises:
        ConfigurationError: The text is not an amount, or is 0.
    """
    amount = Amount.parse(text, currency)
    if amount.minor_units == 0:
        raise ConfigurationError("amount", "must be more than zero")
    return amount


@frozen(kw_only=True)
class Job:
    """One kind of instruction, with its wording.

    Args:
        command: The command's name.
        noun: The name of the resulting resource.
        done: What happens to an approved amount, as ``charged``.
        nothing: What is certain if there is no result.
        perhaps: What may have happened if the outcome is unknown.
        request: Builds the request.
        runner: The session's method that runs the instruction.
    """

    command: str
    noun: str
    done: str
    nothing: str = "no money moved"
    perhaps: str = "money may have moved"
    request: Callable[[JobOptions], Any]
    runner: Callable[[PayrocSession], Callable[..., Coroutine[Any, Any, Any]]]


@frozen(kw_only=True)
class JobOptions:
    """The command's options.

    Args:
        amount: Decimal text in major units. For a signature, this and the order's other parts are
            None.
        timeout: Seconds that the cardholder may take.
        as_json: Write only one JSON object to stdout.
        simulator: Use a simulated gateway in this process.
        journal: The value of ``--journal``; it may hold a password.
        output: Where to save a signature's image.
    """

    job: Job
    serial_number: str
    processing_terminal_id: str
    amount: str | None = None
    currency: str | None = None
    order_id: str | None = None
    description: str | None = field(default=None, repr=False)
    timeout: float | None
    idempotency_key: str
    key_is_fresh: bool
    as_json: bool
    simulator: bool
    journal: str | None = field(default=None, repr=False)
    output: Path | None = None

    def again(self) -> str:
        """Return the command that repeats this one under the same key."""
        options = {
            "--terminal": self.processing_terminal_id,
            "--amount": self.amount,
            "--currency": self.currency,
            "--order-id": self.order_id,
            "--description": self.description,
            "--idempotency-key": self.idempotency_key,
            "--output": None if self.output is None else str(self.output),
            # A server's URL may hold a password.
            "--journal": self.journal if self.journal and journal_path(self.journal) else None,
        }
        return command_line(self.job.command, self.serial_number, options=options)


def _sale(options: JobOptions) -> PaymentInstructionRequest:
    return PaymentInstructionRequest(
        processing_terminal_id=options.processing_terminal_id,
        order=Order(description=options.description, **_order(options)),
    )


def _refund(options: JobOptions) -> RefundInstructionRequest:
    return RefundInstructionRequest(
        processing_terminal_id=options.processing_terminal_id,
        order=RefundOrder(description=options.description or "", **_order(options)),
    )


def _order(options: JobOptions) -> dict[str, Any]:
    amount = some_amount(options.amount or "", options.currency or "")
    return {"order_id": options.order_id, "amount": amount}


def _signature(options: JobOptions) -> SignatureInstructionRequest:
    return SignatureInstructionRequest(processing_terminal_id=options.processing_terminal_id)


SALE = Job(
    command="sale",
    noun="payment",
    done="paid",
    request=_sale,
    runner=lambda session: session.run_sale,
)
REFUND = Job(
    command="refund",
    noun="refund",
    done="refunded",
    request=_refund,
    runner=lambda session: session.run_refund,
)
SIGNATURE = Job(
    command="signature",
    noun="signature",
    done="signed",
    nothing="nothing was signed",
    perhaps="a signature may have been given",
    request=_signature,
    runner=lambda session: session.capture_signature,
)
