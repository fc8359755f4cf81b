"""Progress on stderr while a command waits for the cardholder."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from payroc_async import (
    Canceled,
    CancelRequested,
    Completed,
    Event,
    Failed,
    Order,
    RefundOrder,
    ResultReceived,
    Retrying,
    StillInProgress,
    Submitted,
)
from payroc_async.cli.demo.records import reason_in_words
from payroc_async.models.amount import in_words

from .device_operations import JobOptions
from .output import plain
from .phrases import duration_in_words

__all__ = ["Progress"]


class Progress:
    """Prints events, and on a terminal also what the command waits for.

    Attributes:
        instruction_id: The gateway's id of the instruction, once known.
        last: The event that reported the end of the instruction; None before.
    """

    def __init__(self, console: Console, options: JobOptions) -> None:
        self.instruction_id: str | None = None
        self.last: Event | None = None
        self._console = console
        self._options = options
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("connecting")
            self._status.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begin(self, order: Order | RefundOrder | None) -> None:
        """Print the request, the device and the key: enough to find the instruction in any case."""
        key = f"idempotency key {self._options.idempotency_key}"
        self._say(f"order {order.order_id}, {key}" if order else key)
        what = in_words(order.amount, order.currency) if order else "the request to sign"
        self._wait(f"sending {what} to device {self._options.serial_number}")

    def note(self, event: Event) -> None:
        """Tell of an event."""
        self.instruction_id = event.instruction_id or self.instruction_id
        match event:
            case Submitted():
                self._say(f"accepted as instruction {event.instruction_id}")
                self._wait("waiting for the cardholder")
            case StillInProgress():
                self._wait("still waiting for the cardholder")
            case Retrying():
                reason = reason_in_words(event.error)
                self._say(f"{reason}, trying again in {duration_in_words(event.delay)}")
            case CancelRequested() if event.reason == "timeout":
                self._say("timed out, canceling")
            case CancelRequested() if event.reason == "gave up":
                self._say("the gateway gives no status, canceling")
            case Completed():
                self._wait(f"the device is done, reading the {self._options.job.noun}")
            case ResultReceived() | Canceled() | Failed():
                self.last = event
            case _:
                pass

    def cancelling(self) -> None:
        """Ctrl-C came."""
        self._say(f"canceling the {self._options.job.command}: waiting for the gateway")
        if self._status is not None:
            self._status.update("canceling")

    def already_cancelling(self) -> None:
        """Report a repeated Ctrl-C."""
        self._say("already canceling: the gateway has not answered yet")

    def trouble(self, what: str) -> None:
        """Print a warning."""
        self._say(plain(what))

    def _wait(self, what: str) -> None:
        if self._status is not None:
            self._status.update(what)
        elif not what.startswith("still"):
            self._say(what)

    def _say(self, what: str) -> None:
        self._console.print(what, markup=False, highlight=False, soft_wrap=True)
