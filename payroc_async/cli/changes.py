"""``payroc-async void`` and ``capture``: what is done to a payment after the sale."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from attrs import define, field, frozen

from payroc_async import (
    Amount,
    APIError,
    ConfigurationError,
    IdempotencyKeyInUseError,
    Outcome,
    Payment,
    PayrocError,
    PayrocSession,
    RefundSummary,
    TransactionStatus,
    Undone,
)
from payroc_async.models.amount import in_words
from payroc_async.payments import Payments, whole_of
from payroc_async.retry import worth_retrying

from .jobs import command_line, run_with_amounts, some_amount
from .records import reason_in_words
from .results import (
    DONE,
    NOT_APPROVED,
    NOT_DONE,
    UNKNOWN,
    USAGE,
    in_option_names,
    show_details,
)
from .rows import payment_members
from .say import error_members, note, plain, say, say_json
from .settings import variables
from .signals import on_signal

__all__ = ["ChangeOptions", "run_change"]

How = Literal["reversed", "refunded", "captured"]


@frozen(kw_only=True)
class ChangeOptions:
    """What the command line said.

    Args:
        amount: Decimal text in major units; None for the whole payment.
        currency: What the payment must be in; None if it does not matter.
        description: Why; None for a capture, which takes no reason.
        as_json: One JSON object on stdout, and nothing else there.
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
        """The command that does the same under the same key."""
        options = {
            "--amount": self.amount,
            "--currency": self.currency,
            "--description": self.description,
            "--idempotency-key": self.idempotency_key,
        }
        return command_line(self.command, self.payment_id, options=options)


@define(eq=False)
class Change:
    """What is being done, and what came of it.

    Attributes:
        before: The payment as it was.
        sent: From here on it may have been done.
        how: What was done; None if nothing, or if it is not known.
        after: The payment as it is now.
        interrupted: Ctrl-C came before the end.
    """

    options: ChangeOptions
    before: Payment | None = None
    amount: Amount | None = None
    sent: bool = False
    how: How | None = None
    after: Payment | None = None
    error: PayrocError | None = None
    interrupted: bool = False

    @property
    def refund(self) -> RefundSummary | None:
        """The refund that it made; None if it made none."""
        if self.how != "refunded" or self.after is None or not self.after.refunds:
            return None
        known = {one.refund_id for one in self.before.refunds} if self.before else set()
        made = [one for one in self.after.refunds if one.refund_id not in known]
        return (made or list(self.after.refunds))[-1]

    @property
    def declined(self) -> bool:
        """Whether the refund that it made was not approved."""
        if self.refund is None:
            return False
        code = self.refund.response_code  # without one, nothing says that it was approved
        return code is None or code.outcome != Outcome.APPROVED

    @property
    def exit_code(self) -> int:
        """0 done, 2 usage, 3 the refund was not approved, 4 not done, 5 unknown."""
        if self.how is not None:
            return NOT_APPROVED if self.declined else DONE
        if isinstance(self.error, ConfigurationError):
            # That the payment allows it no longer is nothing to say about the options.
            return NOT_DONE if self.error.field == "payment" else USAGE
        # A refusal of what is sent speaks of an earlier try under the same key as well.
        refused = isinstance(self.error, APIError) and not (
            self.error.may_have_taken_effect
            or worth_retrying(self.error)
            or isinstance(self.error, IdempotencyKeyInUseError)
        )
        tried = self.sent or not self.options.key_is_fresh
        return UNKNOWN if tried and not (self.sent and refused) else NOT_DONE


def run_change(options: ChangeOptions) -> int:
    """The exit code; the key goes to stderr before anything is sent, the result to stdout."""
    change = Change(options)
    try:
        session = PayrocSession.from_env(variables(), journal=None)  # single calls are in none
        run_with_amounts(lambda: _main(change, session))
    except ConfigurationError as error:
        change.error = in_option_names(error)
    except PayrocError as error:
        change.error = error
    (_show_json if options.as_json else _show)(change)
    return change.exit_code


async def _main(change: Change, opening: PayrocSession) -> None:
    async with opening as session:
        working = asyncio.create_task(
            _change(change, session.payments), name=f"payroc-async {change.options.command}"
        )
        with on_signal(working.cancel):
            await asyncio.wait((working,))
    if working.cancelled():
        change.interrupted = True
    else:
        working.result()


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
            raise ConfigurationError("amount", "the gateway does not say the payment's currency")
        change.amount = some_amount(options.amount, currency)
    note(f"idempotency key {options.idempotency_key}")
    change.sent = True
    if options.command == "capture":
        change.after = await payments.capture(
            options.payment_id,
            amount=_minor_units(change),
            idempotency_key=options.idempotency_key,
        )
        change.how = "captured"
    else:
        undone = await _undo(change, payments, payment)
        change.how, change.after = undone.how, undone.payment


async def _undo(change: Change, payments: Payments, payment: Payment) -> Undone:
    description, key = change.options.description or "", change.options.idempotency_key
    amount = _minor_units(change)
    try:
        return await payments.undo(
            payment, amount=amount, description=description, idempotency_key=key
        )
    except ConfigurationError as error:
        # A part that is more than what is left: no refund lowers what was authorized.
        was_reversal = error.field == "amount" and amount is not None
        if change.options.key_is_fresh or not (error.field == "payment" or was_reversal):
            raise
        refusal: PayrocError = error
    except IdempotencyKeyInUseError as error:
        # A reversal's, if the batch has closed since.
        refusal, was_reversal = error, True
    # That it can't be undone now may be an earlier try's work. What that sent, sent again under its
    # key, has no second effect and is answered as it was.
    if was_reversal or payment.transaction_result.status == TransactionStatus.REVERSAL:
        reversed_ = await payments.reverse(payment.payment_id, amount=amount, idempotency_key=key)
        return Undone(how="reversed", payment=reversed_)
    given_back = whole_of(payment) if amount is None else amount
    if not payment.refunds or given_back is None:
        raise refusal
    refunded = await payments.refund(
        payment.payment_id,
        amount=given_back,
        description=description,
        idempotency_key=key,
    )
    return Undone(how="refunded", payment=refunded)


def _minor_units(change: Change) -> int | None:
    return None if change.amount is None else change.amount.minor_units


# Shown ----------


def _amount_done(change: Change) -> str:
    assert change.before is not None
    assert change.after is not None
    if change.amount is not None:
        return str(change.amount)
    payment = change.after if change.how == "captured" else change.before
    units = change.refund.amount if change.refund else whole_of(payment)
    return in_words(units, payment.order.currency)


def _show_json(change: Change) -> None:
    members: dict[str, Any] = {
        "how": change.how,
        "idempotency_key": change.options.idempotency_key,
        "refund_id": change.refund.refund_id if change.refund else None,
        **payment_members(change.after),
        "payment_id": change.options.payment_id,
        "error": error_members(change.error),
    }
    if change.interrupted:
        members["error"] = {"type": "Interrupted", "message": _said(change)}
    say_json(members)


def _show(change: Change) -> None:
    options = change.options
    if change.how is not None:
        word = f"NOT {change.how}" if change.declined else change.how
        color = "red" if change.declined else "green"
        say(f"{word.upper()}: {_amount_done(change)}", fg=color, bold=True)
        show_details(
            {
                "payment": options.payment_id,
                "refund": change.refund.refund_id if change.refund else None,
                "idempotency key": options.idempotency_key,
            }.items()
        )
    elif change.exit_code == UNKNOWN:
        say(
            f"OUTCOME UNKNOWN: it may have been done ({_said(change)}; "
            f"idempotency key {options.idempotency_key}). To find out, do it again under its key:"
            f" {options.again()}",
            fg="red",
            bold=True,
        )
    else:
        note(f"Error: {_said(change)}")


def _said(change: Change) -> str:
    if change.error is None:
        return "interrupted" + ("" if change.sent else ", nothing was sent")
    if isinstance(change.error, ConfigurationError | APIError):
        return plain(change.error)
    return plain(f"{reason_in_words(change.error)}: {change.error}")
