"""The pages' data: devices, instructions, requests and faults as JSON, without secrets."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import count
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from attrs import define, field

from payroc_async.models.amount import digits_after_point

from .cards import CARDS
from .device_page import asks_for_tip, entries_of, total
from .faults import Fault
from .observations import Observed, without_tokens
from .simulated_devices import Device
from .simulated_instructions import SimInstruction
from .state import State

__all__ = ["Numbers", "Scrubber", "device_view", "fault_view", "instruction_view", "request_view"]

Json = dict[str, Any]

MOST_OF_A_BODY = 20_000
TENTATIVE_DIGITS = 2


@define
class Numbers:
    """Numbers that identify requests and faults on the pages."""

    _known: WeakKeyDictionary[Observed | Fault, int] = field(factory=WeakKeyDictionary)
    _next: count[int] = field(factory=lambda: count(1))

    def of(self, one: Observed | Fault) -> int:
        """Return the object's number, the same each time."""
        number = self._known.get(one)
        if number is None:
            number = self._known[one] = next(self._next)
        return number


@define
class Scrubber:
    """Masks tokens and the API key in clients' requests."""

    api_key: str = field(repr=False)

    def text(self, text: str) -> str:
        """Return the text with each secret replaced by ``***``."""
        text = without_tokens(text)
        return text.replace(self.api_key, "***") if self.api_key else text

    def body(self, body: bytes | None) -> str:
        """Return a body as text, truncated if very long."""
        text = self.text((body or b"").decode(errors="replace"))
        if len(text) <= MOST_OF_A_BODY:
            return text
        return f"{text[:MOST_OF_A_BODY]}\n… {len(text) - MOST_OF_A_BODY} more characters"


def device_view(state: State, device: Device) -> Json:
    """Return a device with its running and its last ended instruction."""
    hand, running = device.hand, device.instruction
    last = hand.last if hand else None
    return {
        "serial": device.serial_number,
        "page": "/device/" + quote(device.serial_number, safe=""),
        "model": device.model,
        "byHand": hand is not None,
        "pages": hand.pages if hand else 0,
        "on": hand.switched_on if hand else True,
        "running": instruction_view(state, running) if running else None,
        "last": instruction_view(state, last) if last else None,
    }


def instruction_view(state: State, instruction: SimInstruction) -> Json:
    """Return an instruction: its request, the operator's input so far, and its outcome."""
    body = instruction.body
    shown: Json = {
        "id": instruction.id,
        "kind": instruction.kind.rel,
        "serial": instruction.serial_number,
        "at": _wall_clock(instruction.created_at),
        "status": instruction.status,
        "terminal": body["processingTerminalId"],
        "entries": entries_of(instruction),
        "byHand": instruction.by_hand is not None,
        "byTill": instruction.status == "canceled" and instruction.delete_count > 0,
        "resource": instruction.resource_id,
        "document": instruction.document(),
    }
    if instruction.status == "failure":
        shown["error"] = instruction.behaviour.error_message
    # Unknown fields of a signature request are accepted, and may hold any type.
    if instruction.kind.resource != "signatures":
        order = body["order"]
        digits = digits_after_point(order["currency"])
        shown |= {
            "amount": order["amount"],
            "total": total(instruction),
            "currency": order["currency"],
            "digits": TENTATIVE_DIGITS if digits is None else digits,
            "orderId": order["orderId"],
            "description": order.get("description", ""),
            "acceptsPart": order.get("acceptPartialAmount", False),
            "asksForTip": asks_for_tip(instruction),
            "preAuthorization": body.get("autoCapture") is False,
        }
    if instruction.by_hand is not None:
        so_far = instruction.by_hand
        shown |= {"tip": so_far.tip, "entry": so_far.entry}
        if so_far.entry is not None:
            card = CARDS[so_far.card]
            shown["card"] = {"type": card.type, "number": card.number}
    return shown | _outcome(state, instruction)


def _outcome(state: State, instruction: SimInstruction) -> Json:
    documents = state.ledger.resources[instruction.kind.resource]
    document = documents.get(instruction.resource_id or "")
    if document is None:
        return {}
    if "signature" in document:
        return {"signature": f"data:{document['contentType']};base64,{document['signature']}"}
    result = document["transactionResult"]
    return {
        "code": result["responseCode"],
        "message": result["responseMessage"],
        "authorized": abs(result["authorizedAmount"]),
        "card": {"type": document["card"]["type"], "number": document["card"]["cardNumber"]},
    }


def request_view(number: int, seen: Observed, scrub: Scrubber) -> Json:
    """Return a request and its answer, as sent on the wire."""
    took = None if seen.ended is None else round((seen.ended - seen.started) * 1000)
    return {
        "number": number,
        "at": _wall_clock(seen.started),
        "kind": seen.kind,
        "method": seen.method,
        "path": scrub.text(seen.path),
        "query": scrub.text(seen.query),
        "headers": {name: scrub.text(its) for name, its in _without_dull(seen.headers.items())},
        "body": scrub.body(seen.body),
        "bodyCut": len(seen.body) > MOST_OF_A_BODY,
        "status": seen.status,
        "took": took,
        "answer": None if seen.answer is None else scrub.body(seen.answer),
        "instruction": scrub.text(seen.instruction_id or "") or None,
        "fault": seen.fault,
    }


def fault_view(number: int, fault: Fault) -> Json:
    """Return a fault that waits for its requests."""
    return {
        "number": number,
        "on": fault.on,
        "fault": fault.action.kind,
        "times": fault.times,
        "skip": fault.skip,
        "hits": fault.hits,
        "serial": fault.serial_number,
        "instruction": fault.instruction_id,
    }


def _without_dull(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    dull = ("accept", "accept-encoding", "connection", "host", "user-agent", "content-length")
    return ((name, its) for name, its in headers if name not in dull)


def _wall_clock(moment: float) -> float:
    """Convert a monotonic time to seconds since 1970."""
    return time.time() - (time.monotonic() - moment)
