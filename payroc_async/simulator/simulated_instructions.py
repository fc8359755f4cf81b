"""An instruction that the simulator runs, by its script or by an operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field

from .behaviours import Behaviour
from .replies import link_to
from .simulated_kinds import InstructionKind

__all__ = ["FINAL", "IN_PROGRESS", "OperatorInput", "SimInstruction"]

IN_PROGRESS = "inProgress"
FINAL = frozenset({"completed", "failure", "canceled"})


@define
class OperatorInput:
    """The operator's input for an instruction on the device's page so far.

    Attributes:
        tip: The tip, in the currency's smallest unit; None before the answer.
        entry: How the card was read, from `ENTRIES`; None before.
        card: The card, from `CARDS`.
    """

    tip: int | None = None
    entry: str | None = None
    card: str = ""


@define(eq=False)
class SimInstruction:
    """An instruction that the simulator runs.

    Attributes:
        id: Its id.
        serial_number: The device's serial number.
        idempotency_key: The key of the submission.
        body: The submitted request.
        status: ``inProgress``, ``completed``, ``failure``, ``canceled``, or the script's status.
        created_at: The time of the submission, by `time.monotonic`.
        changed_at: The time of the last change of status, by `time.monotonic`.
        resource_id: The id of its payment, refund or signature, once completed.
        payment_id: The same, if the resource is a payment.
        delete_count: How many DELETE requests reached it, refused ones included.
        by_hand: The operator's input so far; None if the instruction follows a script.
    """

    id: str
    kind: InstructionKind
    serial_number: str
    idempotency_key: str
    body: dict[str, Any]
    behaviour: Behaviour = field(repr=False)
    created_at: float = field(factory=time.monotonic)
    status: str = IN_PROGRESS
    changed_at: float = field(init=False)
    resource_id: str | None = None
    delete_count: int = 0
    by_hand: OperatorInput | None = None
    _steps: list[tuple[float, str]] = field(init=False, repr=False)
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    _waiters: set[asyncio.Future[None]] = field(factory=set, repr=False)

    def __attrs_post_init__(self) -> None:
        self.changed_at = self.created_at
        self._steps = self.behaviour.steps

    @property
    def payment_id(self) -> str | None:
        """The id of its payment, once completed."""
        return self.resource_id if self.kind.resource == "payments" else None

    def document(self) -> dict[str, Any]:
        """Return the instruction as the API shows it (contract section 3)."""
        shown: dict[str, Any] = {"status": self.status, self.kind.id_field: self.id}
        if self.status == "failure" and self.behaviour.error_message is not None:
            shown["errorMessage"] = self.behaviour.error_message
        if self.resource_id is None:
            shown["link"] = link_to("self", self.kind.collection, self.id)
        else:
            shown["link"] = link_to(self.kind.rel, self.kind.resource, self.resource_id)
        return shown

    async def wait_for_change(self, hold: float) -> None:
        """Returns when the status changes, or after `hold` seconds."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(hold, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def change(self, status: str) -> None:
        """Changes the status, and releases every held status request."""
        self.status = status
        self.changed_at = time.monotonic()
        if status in FINAL:
            self.pause()
            self._steps.clear()
        for waiter in self._waiters:
            _wake(waiter)

    def pause(self) -> None:
        """Stops the clock; `State.run` makes up for missed changes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def due(self) -> str | None:
        """Return the next status if it is due."""
        if self._steps and self.created_at + self._steps[0][0] <= time.monotonic():
            return self._steps.pop(0)[1]
        return None

    def arm(self, run: Callable[[SimInstruction], object]) -> None:
        """Schedules a run for when the next status is due."""
        if self._steps:
            delay = self.created_at + self._steps[0][0] - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(delay, run, self)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
