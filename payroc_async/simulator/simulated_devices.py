"""Devices, and the methods that script them."""

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
"""Response codes that are not approvals, and so are not for `Device.approves`."""


@define(eq=False)
class Operator:
    """The person who operates a device on one or several of its pages.

    Attributes:
        pages: How many pages of the device are open.
        switched_on: Whether the operator left the device on.
        last: The last instruction that ended while the operator controlled the device.
    """

    pages: int = 0
    switched_on: bool = True
    last: SimInstruction | None = None

    @property
    def reachable(self) -> bool:
        """Whether the gateway reaches the device: a page is open, and the device is switched on."""
        return self.pages > 0 and self.switched_on


@define(eq=False)
class Device:
    """A payment device, controlled by a script or by an operator on its page.

    Each script method queues the behavior for one instruction and returns the device. The last
    queued behavior applies to all later instructions. A device without a script approves at once.
    ``after`` is the time in seconds from the submission to the change of status. Script methods and
    attributes refuse invalid values with ``ConfigurationError``.

    One script serves every kind of instruction: a refund is approved or declined like a payment. A
    signature is given whenever an instruction completes.

    While a page of the device is open, instructions wait for the operator, and the script waits,
    too. When the page is closed, the device is offline until a page is opened again or a script
    method is called.

    Attributes:
        serial_number: The device's serial number.
        device_id: The id in ``GET /devices``, which also shows the following attributes.
        model: The model.
        ksi: The key serial identifier.
        tender: ``creditDebit`` or ``ebt``.
        deactivated_date: If set (``2026-05-01``), the device is inactive and refuses submissions.
        last_transaction: The last order that completed on the device.
        instruction: The instruction that runs on the device now, if any.
        hand: The operator who controls the device on its page; None if a script does.
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
            after: Seconds until the approval.
            response_code: The processor's answer: ``A``, or a word that the contract does not have.
            tip: The cardholder's tip, in the currency's smallest unit, if the request has a tip
                with mode ``prompted``. It is added to the payment's amount.
            card: ``visa`` (chip and signature), ``mastercard`` (contactless), ``amex`` (chip and
                PIN) or ``discover`` (swiped).
        """
        if response_code in NO_APPROVAL:
            raise ConfigurationError(
                "response_code",
                f"must be that of an approval: for {response_code!r} use"
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
        """The processor authorizes only `amount`, in the currency's smallest unit.

        It must be less than the total: otherwise ``check`` of the gateway reports an error.
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
        """The processor answers with any other code: E, R, C, or an unknown one."""
        return self._completes("answers", after, Result(response_code, status, response_message))

    def fails(self, message: str = "Device error", after: float = 0.0) -> Device:
        """The instruction ends in ``failure`` with the reason `message`."""
        after = arguments.seconds("after", after)
        message = arguments.text("message", message)
        behaviour = Behaviour(ends="failure", after=after, error_message=message)
        return self._script("fails", behaviour)

    def cardholder_cancels(self, after: float = 0.0) -> Device:
        """The cardholder presses the cancel key: the instruction ends in ``canceled``."""
        behaviour = Behaviour(ends="canceled", after=arguments.seconds("after", after))
        return self._script("cardholder_cancels", behaviour)

    def never_finishes(self) -> Device:
        """The instruction stays ``inProgress`` until it is canceled."""
        return self._script("never_finishes", Behaviour())

    def completes_on_cancel(self) -> Device:
        """The instruction completes just before its cancellation, which comes too late.

        The DELETE is answered with 409, and the payment is approved.
        """
        return self._script("completes_on_cancel", Behaviour(completes_on_cancel=True))

    def is_offline(self, status: int = 409) -> Device:
        """The submission is refused with a problem document of this status, 409 or 400."""
        if arguments.whole("status", status) not in (400, 409):
            raise ConfigurationError("status", f"must be 400 or 409, is {status}")
        return self._script("is_offline", Behaviour(refused_with=status))

    def shows_status(self, word: str, after: float = 0.0) -> Device:
        """The instruction shows this status before the behavior that is scripted next.

        A status other than ``inProgress`` is answered without a hold, and the instruction cannot be
        canceled. If nothing is scripted next, the instruction keeps this status.
        """
        stage = (arguments.seconds("after", after), arguments.text("word", word))
        return self._script("shows_status", Behaviour(stages=(stage,), goes_on=True))

    def next_behaviour(self, *, asks_for_tip: bool = False) -> Behaviour:
        """Takes the behavior of the submitted instruction off the queue."""
        if self._queue:
            self._current = self._queue.popleft()
            if self._current.awaits_tip:
                self._without_tip.append(self._current)
        if asks_for_tip and self._current in self._without_tip:
            self._without_tip.remove(self._current)
        return self._current.behaviour

    def unused(self) -> list[str]:
        """Return the script calls that no instruction has used."""
        if self.hand is not None:  # the operator decides
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
    """Return the device as the API shows it (contract section 5)."""
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
    """Return midnight of the day: Payroc describes both dates as date-times."""
    return f"{day}T00:00:00Z"
