"""The result of an operation on a device: its output and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
from attrs import frozen

from payroc_async import (
    APIError,
    ConfigurationError,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    LeaseLost,
    Order,
    Outcome,
    OutcomeUnknownError,
    Payment,
    PayrocError,
    Refund,
    RefundOrder,
    RetrievedOrder,
    Signature,
    Transaction,
    TransactionStatus,
)
from payroc_async.models.amount import in_words

from .device_operations import Job, JobOptions
from .output import error_members, note, plain, say, say_error, say_json

__all__ = [
    "DONE",
    "NOT_APPROVED",
    "NOT_DONE",
    "UNKNOWN",
    "USAGE",
    "Result",
    "answer_members",
    "exit_code_of",
    "headline",
    "in_option_names",
    "show",
    "show_details",
    "show_json",
]

DONE = 0
USAGE = 2
NOT_APPROVED = 3
NOT_DONE = 4
UNKNOWN = 5

AnyOrder = Order | RefundOrder | RetrievedOrder


@frozen(kw_only=True)
class Result:
    """The result: a payment, a refund, a signature, or an error.

    Args:
        instruction_id: The gateway's id of the instruction, if it was reported.
        interrupted: Whether Ctrl-C interrupted the operation.
        unsaved: Why the signature's image could not be saved.
    """

    resource: Payment | Refund | Signature | None = None
    error: PayrocError | None = None
    instruction_id: str | None = None
    interrupted: bool = False
    unsaved: str | None = None

    @property
    def exit_code(self) -> int:
        """0: approved or signed, 2: usage, 3: declined or not saved, 4: no result, 5: unknown."""
        if isinstance(self.resource, Signature):
            return NOT_APPROVED if self.unsaved else DONE
        if self.resource is not None:
            done = self.resource.approved and self.resource.in_effect
            return DONE if done else NOT_APPROVED
        if isinstance(self.error, ConfigurationError):
            return USAGE
        # If another process runs the instruction, it may still end in a payment.
        unknown = isinstance(self.error, OutcomeUnknownError | LeaseLost)
        return UNKNOWN if unknown else NOT_DONE


def exit_code_of(work: Callable[[], int]) -> int:
    """Run ``work`` and return its exit code; report an error and return the error's code."""
    try:
        return work()
    except ConfigurationError as error:
        say_error(in_option_names(error))
        return USAGE
    except PayrocError as error:
        say_error(error)
        return NOT_DONE


def in_option_names(error: ConfigurationError) -> ConfigurationError:
    """Return the error with the command's option in place of the SDK's field."""
    parameters = click.get_current_context().command.params
    names = {
        one.name: one.opts[0] if isinstance(one, click.Option) else one.human_readable_name
        for one in parameters
    }
    names["minor_units"] = "--amount"  # the field's name in Amount
    return ConfigurationError(names.get(error.field, error.field), error.reason)


def show_json(options: JobOptions, order: Order | RefundOrder | None, result: Result) -> None:
    """Print one JSON object: always the same members, null if there is no value."""
    members: dict[str, Any] = {
        f"{options.job.noun}_id": resource_id(result.resource),
        "instruction_id": result.instruction_id,
        "idempotency_key": options.idempotency_key,
        "serial_number": options.serial_number,
    }
    if options.amount is None:
        signature = result.resource if isinstance(result.resource, Signature) else None
        saved = signature is not None and options.output is not None and not result.unsaved
        members["content_type"] = signature.content_type if signature else None
        members["output"] = str(options.output) if saved else None
    else:
        transaction = result.resource if isinstance(result.resource, Transaction) else None
        members["order_id"] = options.order_id
        members["amount"] = order.amount if order else None
        members["currency"] = options.currency
        members.update(answer_members(transaction))
    members["error"] = error_members(result.error)
    if result.unsaved:
        members["error"] = {"type": "OSError", "message": result.unsaved}
    say_json(members)


def resource_id(resource: Payment | Refund | Signature | None) -> str | None:
    """Return the id of the payment, refund or signature."""
    match resource:
        case Payment():
            return resource.payment_id
        case Refund():
            return resource.refund_id
        case Signature():
            return resource.signature_id
        case None:
            return None


def answer_members(transaction: Transaction | None) -> dict[str, Any]:
    """Return the processor's answer for JSON; without an answer, the same members with null."""
    answer = transaction.transaction_result if transaction else None
    return {
        "outcome": transaction.outcome.name.lower() if transaction else None,
        "in_effect": transaction.in_effect if transaction else None,
        "authorized_amount": answer.authorized_amount if answer else None,
        "response_code": str(answer.response_code) if answer else None,
        "response_message": answer.response_message if answer else None,
        "approval_code": answer.approval_code if answer else None,
    }


def show(options: JobOptions, order: Order | RefundOrder | None, result: Result) -> None:
    """Print the result in words: a headline, then the details line by line."""
    if isinstance(result.error, ConfigurationError):
        note(f"Error: {plain(result.error)}")
        return
    said, color = headline(options.job, order, result)
    say(plain(said), fg=color, bold=True)
    show_details(_details(options, result))
    if isinstance(result.error, OutcomeUnknownError):
        _say_how_to_find_out(options, result)


def show_details(details: Iterable[tuple[str, str | None]]) -> None:
    """Print the known details, line by line."""
    for name, value in details:
        if value:
            say(f"  {name + ':':<17} {plain(value)}")


def headline(job: Job, order: AnyOrder | None, result: Result) -> tuple[str, str]:
    """Return the headline and its color."""
    if result.error is not None:
        return _headline_of_error(job, result.error, result.interrupted)
    if isinstance(result.resource, Transaction):
        assert order is not None
        said, color = _headline_of_answer(job, order, result.resource)
    elif result.unsaved:
        said, color = f"SIGNED, BUT THE IMAGE IS NOT SAVED: {result.unsaved}", "yellow"
    else:
        said, color = "SIGNED", "green"
    too_late = f"Too late to cancel: the {job.noun} was made. " if result.interrupted else ""
    return too_late + said, color


def _headline_of_answer(job: Job, order: AnyOrder, transaction: Transaction) -> tuple[str, str]:
    answer = transaction.transaction_result
    amount = in_words(order.amount, order.currency)
    declined = f"DECLINED: {amount} was not {job.done}"
    if transaction.approved and not transaction.in_effect:
        # For example, a sale run again under the key of a payment that was voided since.
        word = "EXPIRED" if answer.status == TransactionStatus.EXPIRED else "REVERSED"
        return f"{word}: {amount} was approved, but is not {job.done}", "yellow"
    match transaction.outcome:
        case Outcome.APPROVED:
            return f"APPROVED: {amount}", "green"
        case Outcome.PARTIALLY_APPROVED:
            given = answer.authorized_amount
            rest = None if given is None or order.amount is None else order.amount - given
            return (
                f"PARTIALLY APPROVED: {in_words(given, order.currency)} of {amount} {job.done}; "
                f"{in_words(rest, order.currency)} is still to be {job.done}",
                "yellow",
            )
        case Outcome.DECLINED:
            return declined, "red"
        case Outcome.REFERRED:
            return f"{declined}, the cardholder should call the issuer", "red"
        case Outcome.PICK_UP:
            return f"{declined}, keep the card (lost or stolen)", "red"
        case Outcome.DEFERRED:
            return f"NOT DECIDED YET: {amount} was received and will be processed later", "yellow"
        case _:
            return f"ANSWERED WITH AN UNKNOWN CODE: {answer.response_code}", "yellow"


def _headline_of_error(job: Job, error: PayrocError, interrupted: bool) -> tuple[str, str]:
    match error:
        case OutcomeUnknownError():
            return f"OUTCOME UNKNOWN: {job.perhaps}", "red"
        case InstructionTimeoutError():
            return f"CANCELED: timed out, {job.nothing}", "yellow"
        case InstructionCanceledError():
            where = "as you asked" if interrupted else "on the device or by another caller"
            return f"CANCELED: {where}, {job.nothing}", "yellow"
        case InstructionFailedError():
            return f"FAILED: {error.error_message or 'no reason given'}; {job.nothing}", "red"
        case APIError():
            return f"REFUSED by the gateway, {error}", "red"
        case _:
            return f"NOT SENT: {error}", "red"


def _details(options: JobOptions, result: Result) -> Iterator[tuple[str, str | None]]:
    yield options.job.noun, resource_id(result.resource)
    if isinstance(result.resource, Transaction):
        answer = result.resource.transaction_result
        yield "response", f"{answer.response_code} {answer.response_message or ''}".strip()
        yield "approval code", answer.approval_code
    elif isinstance(result.resource, Signature):
        yield "image", str(options.output) if options.output and not result.unsaved else None
    elif isinstance(result.error, OutcomeUnknownError) and result.error.__cause__:
        yield "because", str(result.error.__cause__)
    yield "order", options.order_id
    yield "instruction", result.instruction_id
    yield "idempotency key", options.idempotency_key


def _say_how_to_find_out(options: JobOptions, result: Result) -> None:
    command = options.job.command
    say(f"\nDo not start a new {command} before you know the outcome. Run it under the same key:\n")
    say(f"  {options.again()}\n")
    say("That makes no second instruction; the gateway answers with the first one's outcome.")
    if result.instruction_id:
        say("Or in Python, by the instruction's id:\n")
        say(f"  await session.resume_{command}({result.instruction_id!r}).result()\n")
    else:
        say(f"If the first never arrived, it starts the {command} now: have the cardholder there.")
