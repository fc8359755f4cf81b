"""``payroc-async close-batch``: close a terminal's batch, and report every doubt about it."""

from __future__ import annotations

from attrs import define, field, frozen

from payroc_async import BatchClosing, Payment, PayrocSession
from payroc_async.cli.device_operations import command_line
from payroc_async.cli.formatting import payment_members
from payroc_async.cli.output import note, plain, say, say_json
from payroc_async.cli.results import DONE, UNKNOWN, show_details
from payroc_async.cli.single_call import SingleCall, run_single_call
from payroc_async.models.amount import in_words

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


@define(eq=False, kw_only=True)
class Close(SingleCall):
    """The progress and result of the close.

    Attributes:
        uncaptured: The open pre-authorizations that there were before.
        closing: When the gateway closes it; None if it has not said so.
    """

    options: CloseOptions
    uncaptured: list[Payment] = field(factory=list)
    closing: BatchClosing | None = None

    @property
    def exit_code(self) -> int:
        """0: closed, 2: usage, 4: not done, 5: unknown."""
        if self.closing is not None:
            return DONE
        return self.code_without_answer(self.options)


def run_close_batch(options: CloseOptions) -> int:
    """Close the batch, and return the exit code.

    The key goes to stderr before anything is sent, the result to stdout.
    """
    close = Close(options=options)
    run_single_call(close, "close-batch", lambda session: _close(close, session))
    (_show_json if options.as_json else _show)(close)
    return close.exit_code


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
    say_json(
        {
            "processing_terminal_id": close.options.processing_terminal_id,
            "idempotency_key": close.options.idempotency_key,
            "cut_off_time": closing.cut_off_time if closing else None,
            "timezone": closing.timezone if closing else None,
            "uncaptured": [payment_members(payment) for payment in close.uncaptured],
            "error": close.error_members(),
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
            f"UNKNOWN: the batch may be closed ({close.said()}; idempotency key "
            f"{options.idempotency_key}). To find out, repeat it under the same key: "
            f"{options.again()}",
            fg="red",
            bold=True,
        )
    else:
        note(f"Error: {close.said()}")
