"""What one instruction on a device will do, and what a script method has asked for."""

from __future__ import annotations

from attrs import define, field, frozen

from . import arguments
from .cards import CARDS, ENTRIES

__all__ = ["Behaviour", "Result", "Script"]


@frozen
class Result:
    """What the cardholder does and the processor says (contract section 5).

    Args:
        tip: What the cardholder adds if the device asks for a tip; None if the script leaves it.
        card: The card that the cardholder presents, from `CARDS`.
        entry: How, from `ENTRIES`; None as that card usually is.
        signature: The picture that was drawn, a PNG; None for the simulator's own.
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
    """What one instruction does, in seconds from its submission.

    Args:
        stages: Status words that are shown on the way, each with its time.
        ends: The last status; None if there is none.
        after: When the last status comes.
        result: The payment's result, if it ends in ``completed``.
        error_message: The reason, if it ends in ``failure``.
        completes_on_cancel: A cancellation loses the race against the cardholder.
        refused_with: The HTTP status with which the submit itself is refused.
        goes_on: More of this script may follow.
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
        """Every status change to come, earliest first."""
        steps = list(self.stages)
        if self.ends is not None:
            steps.append((self.after, self.ends))
        return sorted(steps, key=lambda step: step[0])


@define(eq=False)
class Script:
    """One call of a script method, and what of it an instruction has used.

    Attributes:
        call: How the test has asked for it.
        awaits_tip: Whether it has a tip that no instruction has asked for yet.
    """

    call: str
    behaviour: Behaviour
    awaits_tip: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.awaits_tip = bool(self.behaviour.result.tip)
