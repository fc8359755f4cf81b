"""How the result of what ran on a device is shown, and what it makes the exit code."""

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
    """What came of it: a payment, a refund, a signature, or an error.

    Args:
        instruction_id: The gateway's id for the instruction, once it was reported.
        interrupted: Ctrl-C came before the end.
        unsaved: Why the signature's image is not in the file it was to be saved in.
    """

    resource: Payment | Refund | Signature | None = None
    error: PayrocError | None = None
    instruction_id: str | None = None
    interrupted: bool = False
    unsaved: str | None = None

    @property
    def exit_code(self) -> int:
        """0 approved or signed, 2 usage, 3 otherwise answered or unsaved, 4 nothing, 5 unknown."""
        if isinstance(self.resource, Signature):
            return NOT_APPROVED if self.unsaved else DONE
        if self.resource is not None:
            done = self.resource.approved and self.resource.in_effect
            return DONE if done else NOT_APPROVED
        if isinstance(self.error, ConfigurationError):
            return USAGE
        # Where another process drives it, something may come of it yet.
        unknown = isinstance(self.error, OutcomeUnknownError | LeaseLost)
        return UNKNOWN if unknown else NOT_DONE


def exit_code_of(work: Callable[[], int]) -> int:
    """What ``work`` returns; an error that it raises is reported, and has a code too."""
    try:
        return work()
    except ConfigurationError as error:
        say_error(in_option_names(error))
        return USAGE
    except PayrocError as error:
        say_error(error)
        return NOT_DONE


def in_option_names(error: ConfigurationError) -> ConfigurationError:
    """The same error, naming not the SDK's field but the option of the command that runs."""
    parameters = click.get_current_context().command.params
    names = {
        one.name: one.opts[0] if isinstance(one, click.Option) else one.human_readable_name
        for one in parameters
    }
    names["minor_units"] = "--amount"  # what an Amount calls it once it is read
    return ConfigurationError(names.get(error.field, error.field), error.reason)


def show_json(options: JobOptions, order: Order | RefundOrder | None, result: Result) -> None:
    """Print one JSON object: always the same members, null where there is nothing to say."""
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
    """Its id, whatever its kind calls it."""
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
    """What the processor said, for JSON: the same members also where it said nothing."""
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
    """Print the result in words: a headline, then what is known line by line."""
    if isinstance(result.error, ConfigurationError):
        note(f"Error: {plain(result.error)}")
        return
    said, color = headline(options.job, order, result)
    say(plain(said), fg=color, bold=True)
    show_details(_details(options, result))
    if isinstance(result.error, OutcomeUnknownError):
        _say_how_to_find_out(options, result)


def show_details(details: Iterable[tuple[str, str | None]]) -> None:
    """Print what is known, line by line."""
    for name, value in details:
        if value:
            say(f"  {name + ':':<17} {plain(value)}")


def headline(job: Job, order: AnyOrder | None, result: Result) -> tuple[str, str]:
    """What came of it in a line, and its color."""
    if result.error is not None:
        return _headline_of_error(job, result.error, result.interrupted)
    if isinstance(result.resource, Transaction):
        assert order is not None
        said, color = _headline_of_answer(job, order, result.resource)
    elif result.unsaved:
        said, color = f"SIGNED, BUT THE IMAGE IS NOT SAVED: {result.unsaved}", "yellow"
    else:
        said, color = "SIGNED", "green"
    too_late = f"Too late to cancel, the {job.noun} came first. " if result.interrupted else ""
    return too_late + said, color


def _headline_of_answer(job: Job, order: AnyOrder, transaction: Transaction) -> tuple[str, str]:
    answer = transaction.transaction_result
    amount = in_words(order.amount, order.currency)
    declined = f"DECLINED: {amount} was not {job.done}"
    if transaction.approved and not transaction.in_effect:
        # As when a sale is run again under the key of one that was voided since.
        word = "EXPIRED" if answer.status == TransactionStatus.EXPIRED else "REVERSED"
        return f"{word}: {amount} was approved, but is not {job.done}", "yellow"
    match transaction.outcome:
        case Outcome.APPROVED:
            return f"APPROVED: {amount}", "green"
        case Outcome.PARTIALLY_APPROVED:
            given = answer.authorized_amount
            rest = None if given is None or order.amount is None else order.amount - given
            return (
                f"ONLY A PART WAS {job.done.upper()}: {in_words(given, order.currency)} of "
                f"{amount}; {in_words(rest, order.currency)} is still to be {job.done}",
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
            return f"CANCELED: the time was up, {job.nothing}", "yellow"
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
    say(f"\nDo not start a new {command} before you know. Run the same one under the same key:\n")
    say(f"  {options.again()}\n")
    say("That makes no second instruction; the gateway answers with what became of the first.")
    if result.instruction_id:
        say("Or in Python, by the instruction's id:\n")
        say(f"  await session.resume_{command}({result.instruction_id!r}).result()\n")
    else:
        say(f"If the first never arrived, it starts the {command} now: have the cardholder there.")
