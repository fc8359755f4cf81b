"""Devices and their scripts: what the next instruction on a device will do."""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from payroc_async.errors import ConfigurationError

from .answers import link_to
from .cards import CARDS, ENTRIES

if TYPE_CHECKING:
    from .state import SimInstruction

__all__ = ["Behaviour", "Device", "Hand", "Result", "device_document"]


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
        if self.card not in CARDS:
            raise ConfigurationError("card", f"must be one of {', '.join(CARDS)}")
        if self.entry is not None and self.entry not in ENTRIES:
            raise ConfigurationError("entry", f"must be one of {', '.join(ENTRIES)}")
        if self.tip is not None and (type(self.tip) is not int or self.tip < 0):
            raise ConfigurationError("tip", "must be in the currency's smallest unit")


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


def _after(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError("after", "must be a number of seconds")
    if not (math.isfinite(value) and value >= 0):
        raise ConfigurationError("after", "must be a number of seconds, and not negative")
    return float(value)


@define(eq=False)
class Hand:
    """The person who drives a device, on one page or on several that show the same.

    Attributes:
        pages: How many pages of the device are open.
        switched_on: Whether the person has left it on.
        last: The last instruction that ended while it was in that hand.
    """

    pages: int = 0
    switched_on: bool = True
    last: SimInstruction | None = None

    @property
    def reachable(self) -> bool:
        """Whether the gateway reaches the device: a page is open, and it is switched on."""
        return self.pages > 0 and self.switched_on


@define(eq=False)
class Device:
    """A payment device, to be scripted, or driven by hand on its page.

    Each script method queues what the next instruction does and returns the device. What was queued
    last stays for all later instructions; a device without a script approves at once. ``after`` is
    in seconds, from the submission till the status changes.

    One script serves every kind of instruction: a refund is approved or declined as a payment is. A
    signature is given whenever an instruction completes.

    While a page of the device is open, what is submitted waits for the person at the page, and the
    script waits too. Once the page is closed the device is offline, until a page is opened again or
    a script method is called.

    Attributes:
        serial_number: The device's serial number.
        device_id: Its id in ``GET /devices``, where the following are shown too.
        model: Its model.
        ksi: Its key serial identifier.
        tender: ``creditDebit`` or ``ebt``.
        deactivated_date: Set it (``2026-05-01``), and the device is inactive and refuses what is
            submitted.
        last_transaction: The last order that completed on it.
        instruction: The instruction that runs on it now, if any.
        hand: Who drives it on a page; None if a script does.
    """

    serial_number: str
    device_id: str = ""
    model: str = "A920Pro"
    ksi: str = "1234567890"
    tender: str = "creditDebit"
    created_date: str = field(factory=lambda: datetime.now(UTC).date().isoformat())
    deactivated_date: str | None = None
    last_transaction: dict[str, Any] | None = None
    instruction: SimInstruction | None = None
    hand: Hand | None = None
    _current: Behaviour = field(factory=lambda: Behaviour(ends="completed"), alias="current")
    _queue: deque[Behaviour] = field(factory=deque)

    def approves(
        self,
        after: float = 0.0,
        *,
        response_code: str = "A",
        tip: int | None = None,
        card: str = "visa",
    ) -> Device:
        """The cardholder pays; the processor approves.

        Args:
            after: When, in seconds.
            response_code: The processor's answer.
            tip: What the cardholder adds, in the currency's smallest unit, if the request has a tip
                with mode ``prompted``; the payment's amount grows by it.
            card: ``visa`` (chip and signature), ``mastercard`` (contactless), ``amex`` (chip and
                PIN) or ``discover`` (swiped).
        """
        return self._completes(after, Result(response_code, tip=tip, card=card))

    def declines(
        self, after: float = 0.0, *, response_message: str = "DECLINED", card: str = "visa"
    ) -> Device:
        """The cardholder presents a card; the processor declines it."""
        return self._completes(after, Result("D", "declined", response_message, 0, card=card))

    def approves_partially(self, amount: int, after: float = 0.0, *, card: str = "visa") -> Device:
        """The processor authorizes `amount` alone, in the currency's smallest unit."""
        return self._completes(after, Result("P", authorized_amount=amount, card=card))

    def answers(
        self,
        response_code: str,
        after: float = 0.0,
        *,
        status: str = "ready",
        response_message: str | None = None,
    ) -> Device:
        """The processor answers with any other code: E, R, C, or a word nobody knows."""
        return self._completes(after, Result(response_code, status, response_message))

    def fails(self, message: str = "Device error", after: float = 0.0) -> Device:
        """The instruction ends in ``failure``, for the reason `message`."""
        return self._script(Behaviour(ends="failure", after=_after(after), error_message=message))

    def cardholder_cancels(self, after: float = 0.0) -> Device:
        """The cardholder presses the red key: the instruction ends in ``canceled``."""
        return self._script(Behaviour(ends="canceled", after=_after(after)))

    def never_finishes(self) -> Device:
        """The instruction stays ``inProgress`` until it is cancelled."""
        return self._script(Behaviour())

    def completes_on_cancel(self) -> Device:
        """The instruction completes just as it is to be cancelled: the cancellation is too late.

        The DELETE is answered with 409, and the payment is approved.
        """
        return self._script(Behaviour(completes_on_cancel=True))

    def is_offline(self, status: int = 409) -> Device:
        """The submit itself is refused with a problem document of this status, 409 or 400."""
        if status not in (400, 409):
            raise ConfigurationError("status", "must be 400 or 409")
        return self._script(Behaviour(refused_with=status))

    def shows_status(self, word: str, after: float = 0.0) -> Device:
        """The instruction shows this status on the way to what is scripted next.

        A status other than ``inProgress`` is answered without a hold, and cannot be cancelled. If
        nothing is scripted next, the instruction stays there.
        """
        return self._script(Behaviour(stages=((_after(after), word),), goes_on=True))

    def next_behaviour(self) -> Behaviour:
        """What the instruction that is submitted now will do; takes it off the queue."""
        if self._queue:
            self._current = self._queue.popleft()
        return self._current

    def _completes(self, after: float, result: Result) -> Device:
        return self._script(Behaviour(ends="completed", after=_after(after), result=result))

    def _script(self, behaviour: Behaviour) -> Device:
        if self.hand is not None and not self.hand.pages:
            self.hand = None
        if self._queue and self._queue[-1].goes_on:
            begun = self._queue.pop()
            behaviour = evolve(behaviour, stages=begun.stages + behaviour.stages)
        self._queue.append(behaviour)
        return self


def device_document(device: Device) -> dict[str, Any]:
    """The device as the API shows it (contract section 5)."""
    shown: dict[str, Any] = {
        "deviceId": device.device_id,
        "serialNumber": device.serial_number,
        "ksi": device.ksi,
        "tender": device.tender,
        "deviceType": {"model": device.model, "manufacturer": "PAX"},
        "createdDate": device.created_date,
        "links": [link_to("self", "devices", device.device_id)],
    }
    if device.deactivated_date is not None:
        shown["deactivatedDate"] = device.deactivated_date
    if device.last_transaction is not None:
        shown["lastTransaction"] = device.last_transaction
    return shown
