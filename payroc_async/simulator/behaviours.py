"""The scripted behavior of one instruction, and the script calls of a device."""

from __future__ import annotations

from attrs import define, field, frozen

from . import arguments
from .cards import CARDS, ENTRIES

__all__ = ["Behaviour", "Result", "Script"]


@frozen
class Result:
    """The cardholder's input and the processor's answer (contract section 5).

    Args:
        tip: The tip if the device asks for one; None if the script sets none.
        card: The presented card, from `CARDS`.
        entry: How the card is read, from `ENTRIES`; None for the card's default.
        signature: The drawn signature, a PNG; None for the simulator's sample.
    """

    response_code: str = "A"
    status: str = "ready"
    response_message: str | None = None
    authorized_amount: int | None = None
    tip: int | None = None
    card: str = "visa"
    entry: str | None = None
    signature: bytes | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        arguments.text("response_code", self.response_code)
        arguments.text("status", self.status)
        arguments.optional(arguments.text)("response_message", self.response_message)
        arguments.choice("card", self.card, [*CARDS])
        if self.entry is not None:
            arguments.choice("entry", self.entry, [*ENTRIES])
        arguments.optional(arguments.whole)("tip", self.tip)


@frozen(kw_only=True)
class Behaviour:
    """The behavior of one instruction; times are in seconds from its submission.

    Args:
        stages: Intermediate statuses, each with its time.
        ends: The final status; None if the instruction never ends.
        after: The time of the final status.
        result: The payment's result, if the final status is ``completed``.
        error_message: The reason, if the final status is ``failure``.
        completes_on_cancel: A cancellation comes too late: the instruction completes.
        refused_with: The HTTP status with which the submission is refused.
        goes_on: More stages of this script may follow.
    """

    stages: tuple[tuple[float, str], ...] = ()
    ends: str | None = None
    after: float = 0.0
    result: Result = field(factory=Result)
    error_message: str | None = None
    completes_on_cancel: bool = False
    refused_with: int | None = None
    goes_on: bool = False

    @property
    def steps(self) -> list[tuple[float, str]]:
        """Return the status changes to come, earliest first."""
        steps = list(self.stages)
        if self.ends is not None:
            steps.append((self.after, self.ends))
        return sorted(steps, key=lambda step: step[0])


@define(eq=False)
class Script:
    """One call of a script method, and how far instructions have used it.

    Attributes:
        call: The call as the test wrote it.
        awaits_tip: Whether the call has a tip that no instruction has used yet.
    """

    call: str
    behaviour: Behaviour
    awaits_tip: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.awaits_tip = bool(self.behaviour.result.tip)
