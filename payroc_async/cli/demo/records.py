"""The records of the demo's sales, updated by events and read by the displays."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from payroc_async import (
    APIError,
    Canceled,
    CancelRequested,
    Completed,
    Event,
    Failed,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    Outcome,
    Payment,
    RequestTimeoutError,
    ResponseFormatError,
    ResultReceived,
    Retrying,
    StillInProgress,
    Submitted,
)
from payroc_async.cli.palette import style_of

from .cardholders import Ending, Visit

__all__ = ["Line", "Sale", "reason_in_words"]

ENDINGS = {
    Outcome.APPROVED: Ending.APPROVED,
    Outcome.PARTIALLY_APPROVED: Ending.PARTIAL,
    Outcome.DECLINED: Ending.DECLINED,
}
WHY_CANCELING = {
    "caller": "canceling for the till",
    "timeout": "timed out, canceling",
    "close": "canceling at closing",
    "gave up": "gateway unreachable, canceling",
}


def reason_in_words(error: BaseException) -> str:
    """Return what went wrong with a request, in a few words."""
    if isinstance(error, APIError):
        return f"HTTP {error.status}"
    if isinstance(error, RequestTimeoutError):
        return "no answer"
    if isinstance(error, ResponseFormatError):
        return "unreadable answer"
    return "connection lost"


@define(eq=False)
class Sale:
    """One sale: its script and its outcome.

    Attributes:
        state: The sale's present step, in words.
        in_trouble: Whether a request is being retried, or the sale canceled.
        polls: How many status requests brought no change.
        submitted: When the gateway accepted the sale, by `time.monotonic`; None before.
        settled: The payment reported by an event.
        payment: The payment returned to the caller.
        ended: When the sale returned to its caller, by `time.monotonic`; None while it runs.
    """

    serial_number: str
    visit: Visit
    state: str = "sending to the device"
    in_trouble: bool = False
    polls: int = 0
    started: float = field(factory=time.monotonic)
    ended: float | None = None
    submitted: float | None = None
    instruction_id: str | None = None
    settled: Payment | None = None
    payment: Payment | None = None
    error: BaseException | None = None
    ending: Ending | None = None

    @property
    def expected(self) -> Ending:
        """Return the expected ending."""
        if self.submitted is None and self.visit.manner.patience == "timeout":
            # The sale timed out before there was a token to submit it with.
            return Ending.TIMED_OUT
        return self.visit.manner.ending

    @property
    def elapsed(self) -> float:
        """Return the seconds from the sale's start until it ended, or until now."""
        return (self.ended or time.monotonic()) - self.started

    def end(self, payment: Payment | None, error: BaseException | None) -> None:
        """Record the result that its caller got; both None if its task was canceled."""
        self.ended = time.monotonic()
        self.payment = payment
        self.error = error
        self.ending = self._read_ending()
        self.state = "done"

    def _read_ending(self) -> Ending:
        if self.payment is not None:
            return ENDINGS.get(self.payment.outcome, Ending.WRONG)
        match self.error:
            case None:
                return Ending.CANCELED_BY_TILL
            case InstructionTimeoutError():
                return Ending.TIMED_OUT
            case InstructionFailedError():
                return Ending.FAILED
            case InstructionCanceledError():
                return Ending.REFUSED_BY_CARDHOLDER
            case _:
                return Ending.WRONG


Tell = Callable[["Line", str, str], object]


@define(eq=False)
class Line:
    """One device: its present sale and its earlier ones.

    Args:
        serial_number: The device's serial number.
        planned: How many sales there will be.
        tell: Called with the line, the text and a style, for each event to display.
    """

    serial_number: str
    planned: int
    tell: Tell
    sales: list[Sale] = field(factory=list)

    @property
    def sale(self) -> Sale | None:
        """The present or last sale."""
        return self.sales[-1] if self.sales else None

    @property
    def active(self) -> bool:
        """Whether a sale runs on the device now."""
        return self.sale is not None and self.sale.ended is None

    def note(self, event: Event) -> None:
        """Record an event of the present sale."""
        sale = self.sale
        if sale is None:
            return
        told = ""
        sale.in_trouble = isinstance(event, Retrying | CancelRequested)
        match event:
            case Submitted():
                sale.submitted = time.monotonic()
                sale.instruction_id = event.instruction_id
                sale.state = told = "waiting for the card"
            case StillInProgress():
                sale.polls += 1
                sale.state = f"still waiting, poll {sale.polls + 1}"
            case Retrying():
                sale.state = told = f"{reason_in_words(event.error)}, retrying"
            case CancelRequested():
                sale.state = told = WHY_CANCELING[event.reason]
            case Completed():
                sale.state = "reading the payment"
            case ResultReceived():
                assert isinstance(event.resource, Payment)  # the demo runs only sales
                sale.settled = event.resource
                sale.state = "payment read"
            case Canceled() | Failed():
                sale.state = "ended without a payment"
            case _:
                pass
        if told:
            self.tell(self, told, style_of("yellow") if isinstance(event, Retrying) else "dim")
