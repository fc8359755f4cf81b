"""How a sale's result is shown, and what it makes the exit code."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import click
from attrs import field, frozen

from payroc_async import (
    APIError,
    ConfigurationError,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    Order,
    Outcome,
    OutcomeUnknownError,
    Payment,
    PayrocError,
)
from payroc_async.models.amount import in_words

__all__ = ["Result", "SaleOptions", "show", "show_json"]

APPROVED = 0
USAGE = 2
NOT_APPROVED = 3
NO_PAYMENT = 4
UNKNOWN = 5


@frozen(kw_only=True)
class SaleOptions:
    """What the command line said.

    Args:
        serial_number: The device's serial number.
        terminal: The processing terminal's id.
        amount: Decimal text in major units.
        timeout: Seconds that the cardholder may take.
        as_json: One JSON object on stdout, and nothing else there.
        simulator: On a gateway in this process.
    """

    serial_number: str
    terminal: str
    amount: str
    currency: str
    order_id: str
    description: str | None = field(repr=False)
    timeout: float | None
    idempotency_key: str
    key_is_fresh: bool
    as_json: bool
    simulator: bool

    def again(self) -> str:
        """The command that runs the same sale under the same key."""
        words = ["payroc-async", "sale", self.serial_number]
        options = {
            "--terminal": self.terminal,
            "--amount": self.amount,
            "--currency": self.currency,
            "--order-id": self.order_id,
            "--description": self.description,
            "--idempotency-key": self.idempotency_key,
        }
        for name, value in options.items():
            if value is not None:
                words += [name, value]
        return shlex.join(words)


@frozen(kw_only=True)
class Result:
    """What came of the sale: a payment or an error.

    Args:
        instruction_id: The gateway's id for the instruction, once it was told.
        interrupted: Ctrl-C came before the end.
    """

    payment: Payment | None = None
    error: PayrocError | None = None
    instruction_id: str | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 approved, 2 usage, 3 answered otherwise, 4 no payment, 5 unknown."""
        if self.payment is not None:
            return APPROVED if self.payment.approved else NOT_APPROVED
        if isinstance(self.error, ConfigurationError):
            return USAGE
        return UNKNOWN if isinstance(self.error, OutcomeUnknownError) else NO_PAYMENT


def show_json(options: SaleOptions, order: Order | None, result: Result) -> None:
    """Print one JSON object: always the same members, null where there is nothing to say."""
    payment, answer = result.payment, result.payment and result.payment.transaction_result
    members = {
        "outcome": payment.outcome.name.lower() if payment else None,
        "payment_id": payment.payment_id if payment else None,
        "instruction_id": result.instruction_id,
        "idempotency_key": options.idempotency_key,
        "serial_number": options.serial_number,
        "order_id": options.order_id,
        "amount": order.amount if order else None,
        "authorized_amount": answer.authorized_amount if answer else None,
        "currency": options.currency,
        "response_code": str(answer.response_code) if answer else None,
        "response_message": answer.response_message if answer else None,
        "approval_code": answer.approval_code if answer else None,
        "error": _error_members(result.error) if result.error else None,
    }
    click.echo(json.dumps(members))


def _error_members(error: PayrocError) -> dict[str, Any]:
    members: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, APIError):
        members["status"] = error.status
    if isinstance(error, InstructionFailedError):
        members["error_message"] = error.error_message
    return members


def show(options: SaleOptions, order: Order | None, result: Result) -> None:
    """Print the result in words: a headline, then what is known line by line."""
    if order is None or isinstance(result.error, ConfigurationError):
        click.echo(f"Error: {result.error}", err=True)
        return
    headline, color = _headline(order, result)
    click.secho(headline, fg=color, bold=True)
    for name, value in _details(options, order, result):
        if value:
            click.echo(f"  {name + ':':<17} {value}")
    if isinstance(result.error, OutcomeUnknownError):
        _say_how_to_find_out(options, result)


def _headline(order: Order, result: Result) -> tuple[str, str]:
    if result.payment is None:
        assert result.error is not None
        return _headline_of_error(result.error, result.interrupted)
    said, color = _headline_of_payment(order, result.payment)
    too_late = "Too late to cancel, the payment came first. " if result.interrupted else ""
    return too_late + said, color


def _headline_of_payment(order: Order, payment: Payment) -> tuple[str, str]:
    answer = payment.transaction_result
    amount = in_words(order.amount, order.currency)
    match payment.outcome:
        case Outcome.APPROVED:
            return f"APPROVED: {amount}", "green"
        case Outcome.PARTIALLY_APPROVED:
            paid = answer.authorized_amount
            rest = None if paid is None else order.amount - paid
            return (
                f"ONLY A PART WAS PAID: {in_words(paid, order.currency)} of {amount}; "
                f"{in_words(rest, order.currency)} is still to be paid",
                "yellow",
            )
        case Outcome.DECLINED:
            return f"DECLINED: {amount} was not paid", "red"
        case Outcome.REFERRED:
            return f"DECLINED: {amount} was not paid, the cardholder should call the issuer", "red"
        case Outcome.PICK_UP:
            return f"DECLINED: {amount} was not paid, keep the card (lost or stolen)", "red"
        case Outcome.DEFERRED:
            return f"NOT DECIDED YET: {amount} was received and will be processed later", "yellow"
        case _:
            return f"ANSWERED WITH AN UNKNOWN CODE: {answer.response_code}", "yellow"


def _headline_of_error(error: PayrocError, interrupted: bool) -> tuple[str, str]:
    match error:
        case OutcomeUnknownError():
            return "OUTCOME UNKNOWN: money may have moved", "red"
        case InstructionTimeoutError():
            return "CANCELED: the time was up, no money moved", "yellow"
        case InstructionCanceledError():
            where = "as you asked" if interrupted else "on the device or by another caller"
            return f"CANCELED: {where}, no money moved", "yellow"
        case InstructionFailedError():
            return f"FAILED: {error.error_message or 'no reason given'}; no money moved", "red"
        case APIError():
            return f"REFUSED by the gateway, {error}", "red"
        case _:
            return f"NOT SENT: {error}", "red"


def _details(
    options: SaleOptions, order: Order, result: Result
) -> Iterator[tuple[str, str | None]]:
    if result.payment is not None:
        answer = result.payment.transaction_result
        said = f"{answer.response_code} {answer.response_message or ''}".strip()
        yield "payment", result.payment.payment_id
        yield "response", said
        yield "approval code", answer.approval_code
    elif isinstance(result.error, OutcomeUnknownError) and result.error.__cause__:
        yield "because", str(result.error.__cause__)
    yield "order", order.order_id
    yield "instruction", result.instruction_id
    yield "idempotency key", options.idempotency_key


def _say_how_to_find_out(options: SaleOptions, result: Result) -> None:
    click.echo("\nDo not start a new sale before you know. Run the same one under the same key:\n")
    click.echo(f"  {options.again()}\n")
    click.echo(
        "That makes no second instruction; the gateway answers with what became of the first."
    )
    if result.instruction_id:
        click.echo("Or in Python, by the instruction's id:\n")
        click.echo(f"  await session.resume_sale({result.instruction_id!r}).result()\n")
    else:
        click.echo("If the first never arrived, it starts the sale now: have the cardholder there.")
