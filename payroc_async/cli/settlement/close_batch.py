"""``payroc-async close-batch``: close a terminal's batch, and report every doubt about it."""

from __future__ import annotations

import asyncio

from attrs import define, field, frozen

from payroc_async import (
    APIError,
    BatchClosing,
    ConfigurationError,
    IdempotencyKeyInUseError,
    Payment,
    PayrocError,
    PayrocSession,
)
from payroc_async.cli.demo.records import reason_in_words
from payroc_async.cli.device_operations import command_line, run_with_amounts
from payroc_async.cli.formatting import payment_members
from payroc_async.cli.output import error_members, note, plain, say, say_json
from payroc_async.cli.results import (
    DONE,
    NOT_DONE,
    UNKNOWN,
    USAGE,
    in_option_names,
    show_details,
)
from payroc_async.cli.settings import variables
from payroc_async.cli.signals import on_signal
from payroc_async.models.amount import in_words
from payroc_async.retry import worth_retrying

from .day import find_uncaptured, size_of

__all__ = ["CloseOptions", "run_close_batch"]


@frozen(kw_only=True)
class CloseOptions:
    """The command's options.

    Args:
        as_json: Write only one JSON object to stdout.
    """

    processing_terminal_id: str
    idempotency_key: str
    key_is_fresh: bool
    as_json: bool

    def again(self) -> str:
        """Return the command that repeats this one under the same key."""
        options = {
            "--terminal": self.processing_terminal_id,
            "--idempotency-key": self.idempotency_key,
        }
        return command_line("close-batch", options=options)


@define(eq=False)
class Close:
    """The progress and result of the close.

    Attributes:
        uncaptured: The open pre-authorizations before the close.
        sent: Whether the request was sent: the batch may then be closed.
        closing: When the gateway closes the batch; None if it did not say.
        interrupted: Whether Ctrl-C interrupted the command.
    """

    options: CloseOptions
    uncaptured: list[Payment] = field(factory=list)
    sent: bool = False
    closing: BatchClosing | None = None
    error: PayrocError | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0: closed, 2: usage, 4: not done, 5: unknown."""
        if self.closing is not None:
            return DONE
        if isinstance(self.error, ConfigurationError):
            return USAGE
        refused = isinstance(self.error, APIError) and not (
            self.error.may_have_taken_effect
            or worth_retrying(self.error)
            or isinstance(self.error, IdempotencyKeyInUseError)
        )
        tried = self.sent or not self.options.key_is_fresh
        return UNKNOWN if tried and not (self.sent and refused) else NOT_DONE


def run_close_batch(options: CloseOptions) -> int:
    """Close the batch, and return the exit code.

    The key goes to stderr before anything is sent, the result to stdout.
    """
    close = Close(options)
    try:
        # The journal does not record single calls.
        session = PayrocSession.from_env(variables(), journal=None)
        run_with_amounts(lambda: _main(close, session))
    except ConfigurationError as error:
        close.error = in_option_names(error)
    except PayrocError as error:
        close.error = error
    (_show_json if options.as_json else _show)(close)
    return close.exit_code


async def _main(close: Close, opening: PayrocSession) -> None:
    async with opening as session:
        working = asyncio.create_task(_close(close, session), name="payroc-async close-batch")
        with on_signal(working.cancel):
            await asyncio.wait((working,))
    if working.cancelled():
        close.interrupted = True
    else:
        working.result()


async def _close(close: Close, session: PayrocSession) -> None:
    options = close.options
    close.uncaptured = await find_uncaptured(session, options.processing_terminal_id)
    for payment in close.uncaptured:
        note(_uncaptured_in_words(payment))
    note(f"idempotency key {options.idempotency_key}")
    close.sent = True
    close.closing = await session.terminals.close_batch(
        options.processing_terminal_id, idempotency_key=options.idempotency_key
    )


def _uncaptured_in_words(payment: Payment) -> str:
    order = payment.order
    amount = in_words(size_of(payment), payment.transaction_result.currency or order.currency)
    return plain(
        f"not captured: {amount} of order {order.order_id}; it does not settle before "
        f"payroc-async capture {payment.payment_id}"
    )


def _show_json(close: Close) -> None:
    closing = close.closing
    error = error_members(close.error)
    if close.interrupted:
        error = {"type": "Interrupted", "message": _said(close)}
    say_json(
        {
            "processing_terminal_id": close.options.processing_terminal_id,
            "idempotency_key": close.options.idempotency_key,
            "cut_off_time": closing.cut_off_time if closing else None,
            "timezone": closing.timezone if closing else None,
            "uncaptured": [payment_members(payment) for payment in close.uncaptured],
            "error": error,
        }
    )


def _show(close: Close) -> None:
    options, closing = close.options, close.closing
    if closing is not None:
        when = " ".join(filter(None, (closing.cut_off_time, closing.timezone)))
        said = f"ACCEPTED: the gateway closes the batch at {when or 'an unknown time'}"
        say(plain(said), fg="green", bold=True)
        show_details(
            {
                "terminal": options.processing_terminal_id,
                "not captured": str(len(close.uncaptured)) if close.uncaptured else None,
                "idempotency key": options.idempotency_key,
            }.items()
        )
        note("to see later what it settles: payroc-async settlement")
    elif close.exit_code == UNKNOWN:
        say(
            f"UNKNOWN: the batch may be closed ({_said(close)}; idempotency key "
            f"{options.idempotency_key}). To find out, repeat it under its key: "
            f"{options.again()}",
            fg="red",
            bold=True,
        )
    else:
        note(f"Error: {_said(close)}")


def _said(close: Close) -> str:
    if close.error is None:
        return "interrupted" + ("" if close.sent else ", nothing was sent")
    if isinstance(close.error, ConfigurationError | APIError):
        return plain(close.error)
    return plain(f"{reason_in_words(close.error)}: {close.error}")
