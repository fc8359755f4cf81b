"""The operator's actions on a device's page, and whether each is possible now."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from attrs import evolve

from .behaviours import Result
from .cards import CARDS, ENTRIES
from .simulated_devices import Device, Operator
from .simulated_instructions import IN_PROGRESS, OperatorInput, SimInstruction
from .state import State

__all__ = ["NotNow", "act", "asks_for_tip", "connect", "disconnect", "entries_of", "total"]

Json = dict[str, Any]

PNG = b"\x89PNG\r\n\x1a\n"
MOST_OF_A_SIGNATURE = 300_000
ANSWERS = ("A", "D", "P")


class NotNow(Exception):
    """The action is not possible now; the message gives the operator the reason."""


def connect(state: State, device: Device) -> None:
    """A page of the device was opened: from now on an operator controls the device."""
    if device.hand is None:
        device.hand = Operator()
    device.hand.pages += 1
    state.tell(device)


def disconnect(state: State, device: Device) -> None:
    """A page was closed. Without an open page the device is offline.

    As on a terminal without power, a running instruction stays in progress until it is canceled. A
    page that is opened again continues where the last one stopped.
    """
    if device.hand is not None:
        device.hand.pages -= 1
        state.tell(device)


def asks_for_tip(instruction: SimInstruction) -> bool:
    """Whether the device asks for a tip."""
    return instruction.kind.asks_for_tip(instruction.body)


def entries_of(instruction: SimInstruction) -> list[str]:
    """Return the entry methods that the request allows (contract section 4).

    Without a setting, all are allowed, manual entry included. ``deviceRead`` is the documented
    default, but a terminal can be configured to allow manual entry, and the page is for trying it.
    """
    if instruction.kind.resource == "signatures":
        return []
    method = instruction.body.get("customizationOptions", {}).get("entryMethod")
    if method == "manualEntry":
        return ["keyed"]
    return [one for one in ENTRIES if one != "keyed" or method != "deviceRead"]


def total(instruction: SimInstruction) -> int:
    """Return the total to pay, tip included, in the currency's smallest unit."""
    tip = instruction.by_hand.tip if instruction.by_hand else None
    return int(instruction.body["order"]["amount"]) + (tip or 0)


def act(state: State, device: Device, asked: Json) -> None:
    """Performs the operator's action at once.

    Raises:
        NotNow: The action is invalid or not possible now. Nothing has changed.
    """
    if asked.get("do") == "online":
        if device.hand is not None:
            device.hand.switched_on = asked.get("on") is True
            state.tell(device)
        return
    deed = ACTIONS.get(str(asked.get("do")))
    if deed is None:
        raise NotNow("The device does not know this action.")
    running = device.instruction
    # The operator may press a key just as the till cancels, or submits the next instruction.
    if running is None or running.id != asked.get("instruction"):
        raise NotNow("This instruction has ended.")
    if running.by_hand is None or running.status != IN_PROGRESS:
        raise NotNow("This instruction follows its script.")
    if device.hand is None or not device.hand.switched_on:
        raise NotNow("The device is offline.")
    deed(state, running, running.by_hand, asked)
    state.tell(running)


def _tip(state: State, running: SimInstruction, so_far: OperatorInput, asked: Json) -> None:
    if not asks_for_tip(running) or so_far.entry is not None:
        raise NotNow("The device does not ask for a tip now.")
    so_far.tip = _whole(asked, "The tip", least=0)


def _present(state: State, running: SimInstruction, so_far: OperatorInput, asked: Json) -> None:
    entry, card = str(asked.get("entry")), str(asked.get("card"))
    if so_far.entry is not None:
        raise NotNow("A card was already read.")
    if asks_for_tip(running) and so_far.tip is None:
        raise NotNow("Choose a tip first, or no tip.")
    if entry not in entries_of(running) or card not in CARDS:
        raise NotNow("The request does not allow this entry method.")
    so_far.entry, so_far.card = entry, card


def _answer(state: State, running: SimInstruction, so_far: OperatorInput, asked: Json) -> None:
    if so_far.entry is None:
        raise NotNow("No card was read yet.")
    code, amount = asked.get("code"), None
    if code not in ANSWERS:
        raise NotNow("This is not one of the answers.")
    if code == "P":
        amount = _whole(asked, "The partial amount", least=1)
        if amount >= total(running):
            raise NotNow("The partial amount must be less than the total.")
    result = Result(code, tip=so_far.tip, card=so_far.card, entry=so_far.entry)
    if code == "P":
        result = evolve(result, authorized_amount=amount)
    if code == "D":
        result = evolve(result, status="declined", authorized_amount=0)
    _complete(state, running, result)


def _sign(state: State, running: SimInstruction, so_far: OperatorInput, asked: Json) -> None:
    if running.kind.resource != "signatures":
        raise NotNow("The device does not ask for a signature.")
    try:
        image = base64.b64decode(str(asked.get("image")), validate=True)
    except binascii.Error:
        raise NotNow("The signature is not a PNG image.") from None
    if not image.startswith(PNG) or len(image) > MOST_OF_A_SIGNATURE:
        raise NotNow("The signature is not a PNG image, or it is too large.")
    _complete(state, running, Result(signature=image))


def _cancel(state: State, running: SimInstruction, so_far: OperatorInput, asked: Json) -> None:
    state.change(running, "canceled")


ACTIONS: dict[str, Callable[[State, SimInstruction, OperatorInput, Json], None]] = {
    "tip": _tip,
    "present": _present,
    "answer": _answer,
    "sign": _sign,
    "cancel": _cancel,
}


def _complete(state: State, running: SimInstruction, result: Result) -> None:
    running.behaviour = evolve(running.behaviour, result=result)
    state.change(running, "completed")


def _whole(asked: Json, what: str, *, least: int) -> int:
    amount = asked.get("amount")
    if type(amount) is not int or not least <= amount < 10**12:
        raise NotNow(f"{what} must be an amount of at least {least} in the smallest unit.")
    return amount
