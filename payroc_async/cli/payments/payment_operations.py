"""``payroc-async void`` and ``capture``: change a payment after the sale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from attrs import define, field, frozen

from payroc_async import (
    Amount,
    ConfigurationError,
    IdempotencyKeyInUseError,
    Outcome,
    Payment,
    PayrocError,
    TransactionStatus,
    Undone,
)
from payroc_async.api.payments import Payments
from payroc_async.api.undo import (
    amount_to_undo,
    total_amount,
    undone_by_refund,
    undone_by_reversal,
)
from payroc_async.cli.device_operations import command_line, some_amount
from payroc_async.cli.formatting import payment_members
from payroc_async.cli.output import note, say, say_json
from payroc_async.cli.results import (
    DONE,
    NOT_APPROVED,
    UNKNOWN,
    show_details,
)
from payroc_async.cli.single_call import SingleCall, run_single_call
from payroc_async.models.amount import in_words

__all__ = ["ChangeOptions", "run_change"]

How = Literal["reversed", "refunded", "captured"]


@frozen(kw_only=True)
class ChangeOptions:
    """The command's options.

    Args:
        amount: Decimal text in major units; None for the full amount.
        currency: The currency that the payment must have; None for any.
        description: The reason; None for a capture, which takes none.
        as_json: Write only one JSON object to stdout.
    """

    command: Literal["void", "capture"]
    payment_id: str
    amount: str | None
    currency: str | None
    description: str | None = field(default=None, repr=False)
    idempotency_key: str
    key_is_fresh: bool
    as_json: bool

    def again(self) -> str:
        """Return the command that repeats this one under the same key."""
        options = {
            "--amount": self.amount,
            "--currency": self.currency,
            "--description": self.description,
            "--idempotency-key": self.idempotency_key,
        }
        return command_line(self.command, self.payment_id, options=options)


@define(eq=False, kw_only=True)
class Change(SingleCall):
    """The progress and result of the change.

    Attributes:
        before: The payment as it was.
        undone: What the answer to a reversal or a refund says.
        captured: The answer to a capture.
    """

    options: ChangeOptions
    before: Payment | None = None
    amount: Amount | None = None
    undone: Undone | None = None
    captured: Payment | None = None

    @property
    def after(self) -> Payment | None:
        """The payment in the answer."""
        return self.undone.payment if self.undone else self.captured

    @property
    def refund_id(self) -> str | None:
        """The refund, made or declined."""
        return self.undone.refund.refund_id if self.undone and self.undone.refund else None

    @property
    def how(self) -> How | None:
        """The operation that was done; None if the answer does not prove it."""
        if self.undone is not None:
            return self.undone.how
        done = self.captured and self.captured.in_effect and not self.captured.uncaptured
        return "captured" if done else None

    @property
    def outcome(self) -> Outcome | None:
        """The outcome in the answer; None without an answer."""
        if self.undone is not None:
            return self.undone.outcome
        if self.captured is None:
            return None
        approved = self.captured.outcome in (Outcome.APPROVED, Outcome.PARTIALLY_APPROVED)
        # On a pending, expired or reversed payment, an approval's code is not that of the capture.
        return Outcome.UNKNOWN if approved and self.how is None else self.captured.outcome

    @property
    def lacking(self) -> int | None:
        """The requested amount that was not captured; None if all of it was."""
        if self.how != "captured" or self.captured is None or self.before is None:
            return None
        asked = total_amount(self.before) if self.amount is None else self.amount.minor_units
        given = total_amount(self.captured)
        if asked is None or given is None or given >= asked:
            return None
        return asked - given

    @property
    def exit_code(self) -> int:
        """0: done, 2: usage, 3: declined or only in part, 4: not done, 5: unknown."""
        if self.how is not None:
            return NOT_APPROVED if self.lacking else DONE
        if self.outcome is not None:
            return UNKNOWN if self.outcome is Outcome.UNKNOWN else NOT_APPROVED
        return self.code_without_answer(self.options)


def run_change(options: ChangeOptions) -> int:
    """Make the change, and return the exit code.

    The key goes to stderr before anything is sent, the result to stdout.
    """
    change = Change(options=options)
    run_single_call(change, options.command, lambda session: _change(change, session.payments))
    (_show_json if options.as_json else _show)(change)
    return change.exit_code


async def _change(change: Change, payments: Payments) -> None:
    options = change.options
    change.before = payment = await payments.retrieve(options.payment_id)
    currency = payment.order.currency or payment.transaction_result.currency
    if options.currency not in (None, currency):
        raise ConfigurationError(
            "currency", f"must be {currency}, as the payment's is, or be left out"
        )
    if options.amount is not None:
        if currency is None:
            raise ConfigurationError("amount", "the gateway does not state the payment's currency")
        change.amount = some_amount(options.amount, currency)
    note(f"idempotency key {options.idempotency_key}")
    change.sent = True
    if options.command == "capture":
        change.captured = await payments.capture(
            options.payment_id,
            amount=_minor_units(change),
            idempotency_key=options.idempotency_key,
        )
    else:
        change.undone = await _undo(change, payments, payment)


async def _undo(change: Change, payments: Payments, payment: Payment) -> Undone:
    description, key = change.options.description or "", change.options.idempotency_key
    amount = _minor_units(change)
    try:
        undone = await payments.undo(
            payment, amount=amount, description=description, idempotency_key=key
        )
        return _read_as_first(undone, payment, amount) if change.options.key_is_fresh else undone
    except ConfigurationError as error:
        # The part exceeds the remaining amount: refunds do not lower the authorized amount.
        was_reversal = error.field == "amount" and amount is not None
        if change.options.key_is_fresh or not (error.field == "payment" or was_reversal):
            raise
        refusal: PayrocError = error
    except IdempotencyKeyInUseError as error:
        # The answer to a reversal if the batch has closed since.
        refusal, was_reversal = error, True
    # The payment may be impossible to undo now because an earlier attempt has undone it. The same
    # request under its key has no second effect, and gets the original answer.
    id_ = payment.payment_id
    reversed_before = payment.transaction_result.status == TransactionStatus.REVERSAL
    given_back = total_amount(payment) if amount is None else amount
    # A part that was reversed leaves neither a status nor a refund behind.
    in_part = amount is not None and not payment.refunds
    if was_reversal or reversed_before or in_part:
        try:
            reversed_ = await payments.reverse(id_, amount=amount, idempotency_key=key)
            return undone_by_reversal(payment, reversed_, amount, repeated=True)
        except IdempotencyKeyInUseError:
            # For a refund, unless that was refused just now; in an open batch it reverses, too.
            if given_back is None or isinstance(refusal, IdempotencyKeyInUseError):
                raise
    elif not payment.refunds or given_back is None:
        raise refusal
    refunded = await payments.refund(
        id_, amount=given_back, description=description, idempotency_key=key
    )
    return undone_by_refund(payment, refunded, given_back, repeated=True)


def _read_as_first(undone: Undone, payment: Payment, amount: int | None) -> Undone:
    """The same answer, to a key that was never used: no refund from before is its work."""
    if undone.asked == "reverse":
        return undone_by_reversal(payment, undone.payment, amount, repeated=False)
    return undone_by_refund(
        payment, undone.payment, amount_to_undo(payment, amount), repeated=False
    )


def _minor_units(change: Change) -> int | None:
    return None if change.amount is None else change.amount.minor_units


# Shown ----------


def _amount(change: Change) -> str:
    """Return the requested amount, or the amount of the change."""
    assert change.before is not None
    currency = change.before.order.currency
    refund = change.undone.refund if change.undone else None
    if change.captured is not None and change.how is not None:
        return in_words(total_amount(change.captured), currency)
    if change.amount is not None:
        return str(change.amount)
    given = refund.amount if refund else total_amount(change.before)
    return in_words(given, currency)


def _show_json(change: Change) -> None:
    members: dict[str, Any] = {
        "how": change.how,
        "idempotency_key": change.options.idempotency_key,
        "refund_id": change.refund_id,
        **payment_members(change.after),
        "outcome": change.outcome.name.lower() if change.outcome else None,
        "payment_id": change.options.payment_id,
        "error": change.error_members(),
    }
    say_json(members)


def _show(change: Change) -> None:
    options = change.options
    if change.outcome is not None:
        said, color = _headline(change)
        say(said, fg=color, bold=True)
        show_details(_details(change))
    elif change.exit_code == UNKNOWN:
        say(
            f"OUTCOME UNKNOWN: it may have been done ({change.said()}; "
            f"idempotency key {options.idempotency_key}). To find out, do it again under its key:"
            f" {options.again()}",
            fg="red",
            bold=True,
        )
    else:
        note(f"Error: {change.said()}")


def _headline(change: Change) -> tuple[str, str]:
    amount = _amount(change)
    if change.lacking:
        assert change.before is not None
        rest = in_words(change.lacking, change.before.order.currency)
        return f"PARTIALLY CAPTURED: {amount}, {rest} less than requested", "yellow"
    if change.how is not None:
        return f"{change.how.upper()}: {amount}", "green"
    if change.outcome is Outcome.DEFERRED:
        return f"NOT DECIDED YET: {amount} was received and will be processed later", "yellow"
    if change.outcome is Outcome.UNKNOWN:
        said = "the gateway's answer does not prove that it was done. Before you try again:"
        show = command_line("payments", "show", change.options.payment_id, options={})
        return f"OUTCOME UNKNOWN: {amount}, {said} {show}", "red"
    words = {"capture": "CAPTURED", "reverse": "REVERSED", "refund": "REFUNDED"}
    word = words[change.undone.asked if change.undone else "capture"]
    return f"NOT {word}: {amount}", "red"


def _details(change: Change) -> Iterator[tuple[str, str | None]]:
    yield "payment", change.options.payment_id
    yield "refund", change.refund_id
    if change.how is None and change.after is not None:
        refund = change.undone.refund if change.undone else None
        answer = refund or change.after.transaction_result
        yield "response", f"{answer.response_code} {answer.response_message or ''}".strip()
    if change.undone is not None and (change.how, change.undone.asked) == ("reversed", "refund"):
        yield "no refund", "its batch was open, so the gateway reversed it instead"
    yield "idempotency key", change.options.idempotency_key
