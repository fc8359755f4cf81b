"""Devices, and the calls that script them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import Attribute, define, evolve, field, setters

from payroc_async.errors import ConfigurationError

from . import arguments
from .behaviours import Behaviour, Result, Script
from .replies import link_to
from .simulated_instructions import SimInstruction

__all__ = ["Device", "Operator", "device_document"]


def _checked(check: Callable[[str, Any], object]) -> Callable[[Any, Attribute[Any], Any], object]:
    return lambda device, attribute, value: check(attribute.name, value)


NO_APPROVAL = ("C", "D", "P", "R")
"""Known answers that are other than what `Device.approves` says."""


@define(eq=False)
class Operator:
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
    in seconds, from the submission till the status changes. What makes no sense is refused with
    ``ConfigurationError`` when it is scripted, or when an attribute is set.

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

    serial_number: str = field(validator=_checked(arguments.serial), on_setattr=setters.frozen)
    device_id: str = field(default="", on_setattr=setters.frozen)
    model: str = field(default="A920Pro", validator=_checked(arguments.text))
    ksi: str = field(default="1234567890", validator=_checked(arguments.text))
    tender: str = field(default="creditDebit", validator=_checked(arguments.tender))
    created_date: str = field(
        factory=lambda: datetime.now(UTC).date().isoformat(),
        validator=_checked(arguments.iso_date),
    )
    deactivated_date: str | None = field(
        default=None, validator=_checked(arguments.optional(arguments.iso_date))
    )
    last_transaction: dict[str, Any] | None = field(
        default=None, validator=_checked(arguments.optional(arguments.json_mapping))
    )
    instruction: SimInstruction | None = None
    hand: Operator | None = None
    _current: Script = field(
        factory=lambda: Script("", Behaviour(ends="completed")), alias="current"
    )
    _queue: deque[Script] = field(init=False, factory=deque)
    _without_tip: list[Script] = field(init=False, factory=list)

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
            response_code: The processor's answer: ``A``, or a word that no contract has.
            tip: What the cardholder adds, in the currency's smallest unit, if the request has a tip
                with mode ``prompted``; the payment's amount grows by it.
            card: ``visa`` (chip and signature), ``mastercard`` (contactless), ``amex`` (chip and
                PIN) or ``discover`` (swiped).
        """
        if response_code in NO_APPROVAL:
            raise ConfigurationError(
                "response_code",
                f"must be that of an approval: for {response_code!r} there is"
                f" answers({response_code!r}), or declines() and approves_partially(…)",
            )
        return self._completes("approves", after, Result(response_code, tip=tip, card=card))

    def declines(
        self, after: float = 0.0, *, response_message: str = "DECLINED", card: str = "visa"
    ) -> Device:
        """The cardholder presents a card; the processor declines it."""
        result = Result("D", "declined", response_message, 0, card=card)
        return self._completes("declines", after, result)

    def approves_partially(self, amount: int, after: float = 0.0, *, card: str = "visa") -> Device:
        """The processor authorizes `amount` alone, in the currency's smallest unit.

        It has to be less than what is to be paid: otherwise ``check`` of the gateway says so.
        """
        amount = arguments.whole("amount", amount, least=1)
        result = Result("P", authorized_amount=amount, card=card)
        return self._completes("approves_partially", after, result)

    def answers(
        self,
        response_code: str,
        after: float = 0.0,
        *,
        status: str = "ready",
        response_message: str | None = None,
    ) -> Device:
        """The processor answers with any other code: E, R, C, or a word no one knows."""
        return self._completes("answers", after, Result(response_code, status, response_message))

    def fails(self, message: str = "Device error", after: float = 0.0) -> Device:
        """The instruction ends in ``failure``, for the reason `message`."""
        after = arguments.seconds("after", after)
        message = arguments.text("message", message)
        behaviour = Behaviour(ends="failure", after=after, error_message=message)
        return self._script("fails", behaviour)

    def cardholder_cancels(self, after: float = 0.0) -> Device:
        """The cardholder presses the red key: the instruction ends in ``canceled``."""
        behaviour = Behaviour(ends="canceled", after=arguments.seconds("after", after))
        return self._script("cardholder_cancels", behaviour)

    def never_finishes(self) -> Device:
        """The instruction stays ``inProgress`` until it is canceled."""
        return self._script("never_finishes", Behaviour())

    def completes_on_cancel(self) -> Device:
        """The instruction completes just as it is to be canceled: the cancellation is too late.

        The DELETE is answered with 409, and the payment is approved.
        """
        return self._script("completes_on_cancel", Behaviour(completes_on_cancel=True))

    def is_offline(self, status: int = 409) -> Device:
        """The submit itself is refused with a problem document of this status, 409 or 400."""
        if arguments.whole("status", status) not in (400, 409):
            raise ConfigurationError("status", f"must be 400 or 409, is {status}")
        return self._script("is_offline", Behaviour(refused_with=status))

    def shows_status(self, word: str, after: float = 0.0) -> Device:
        """The instruction shows this status on the way to what is scripted next.

        A status other than ``inProgress`` is answered without a hold, and cannot be canceled. If
        nothing is scripted next, the instruction stays there.
        """
        stage = (arguments.seconds("after", after), arguments.text("word", word))
        return self._script("shows_status", Behaviour(stages=(stage,), goes_on=True))

    def next_behaviour(self, *, asks_for_tip: bool = False) -> Behaviour:
        """What the instruction that is submitted now will do; takes it off the queue."""
        if self._queue:
            self._current = self._queue.popleft()
            if self._current.awaits_tip:
                self._without_tip.append(self._current)
        if asks_for_tip and self._current in self._without_tip:
            self._without_tip.remove(self._current)
        return self._current.behaviour

    def unused(self) -> list[str]:
        """What was scripted and no instruction has used, as it was called."""
        if self.hand is not None:  # the person at the page decides
            return []
        tips = [f"the tip of {script.call}" for script in self._without_tip]
        return [script.call for script in self._queue] + tips

    def _completes(self, name: str, after: float, result: Result) -> Device:
        after = arguments.seconds("after", after)
        return self._script(name, Behaviour(ends="completed", after=after, result=result))

    def _script(self, name: str, behaviour: Behaviour) -> Device:
        if self.hand is not None and not self.hand.pages:
            self.hand = None
        call = f"{name}()"
        if self._queue and self._queue[-1].behaviour.goes_on:
            begun = self._queue.pop()
            behaviour = evolve(behaviour, stages=begun.behaviour.stages + behaviour.stages)
            call = f"{begun.call}.{call}"
        self._queue.append(Script(call, behaviour))
        return self


def device_document(device: Device) -> dict[str, Any]:
    """The device as the API shows it (contract section 5)."""
    shown: dict[str, Any] = {
        "deviceId": device.device_id,
        "serialNumber": device.serial_number,
        "ksi": device.ksi,
        "tender": device.tender,
        "deviceType": {"model": device.model, "manufacturer": "PAX"},
        "createdDate": _moment(device.created_date),
        "links": [link_to("self", "devices", device.device_id)],
    }
    if device.deactivated_date is not None:
        shown["deactivatedDate"] = _moment(device.deactivated_date)
    if device.last_transaction is not None:
        shown["lastTransaction"] = device.last_transaction
    return shown


def _moment(day: str) -> str:
    """A day as its first moment: Payroc describes both dates as date-times."""
    return f"{day}T00:00:00Z"
