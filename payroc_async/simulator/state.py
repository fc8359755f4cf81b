"""Instructions, payments and remembered answers: all that changes when a request takes effect.

Every change happens at once, with nothing awaited in between: concurrent duplicates of a submit
find the first one's answer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from typing import Any

import orjson
from attrs import define, field, frozen

from .answers import Answer, json_answer, link_to, problem
from .devices import Behaviour, Device
from .kinds import InstructionKind
from .validation import check_body

__all__ = ["IN_PROGRESS", "SimInstruction", "State"]

IN_PROGRESS = "inProgress"
FINAL = frozenset({"completed", "failure", "canceled"})


@define(eq=False)
class SimInstruction:
    """An instruction that the simulator runs.

    Attributes:
        id: Its id.
        serial_number: The device it runs on.
        idempotency_key: The key it was submitted under.
        body: What was submitted.
        status: ``inProgress``, ``completed``, ``failure``, ``canceled``, or what the script says.
        created_at: When it was submitted, by `time.monotonic`.
        changed_at: When its status changed last, by `time.monotonic`.
        payment_id: The id of the payment it led to, once it has completed.
        delete_count: How many DELETE requests took effect on it, the refused ones included.
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
    _steps: list[tuple[float, str]] = field(init=False, repr=False)
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    _waiters: set[asyncio.Future[None]] = field(factory=set, repr=False)

    def __attrs_post_init__(self) -> None:
        self.changed_at = self.created_at
        self._steps = self.behaviour.steps

    @property
    def payment_id(self) -> str | None:
        """The id of the payment it led to, once it has completed."""
        return self.resource_id if self.kind.resource == "payments" else None

    def document(self) -> dict[str, Any]:
        """The instruction as the API shows it (contract section 3)."""
        shown: dict[str, Any] = {"status": self.status, self.kind.id_field: self.id}
        if self.status == "failure":
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
        """Shows another status, and lets every held status request go."""
        self.status = status
        self.changed_at = time.monotonic()
        if status in FINAL:
            self.pause()
            self._steps.clear()
        for waiter in self._waiters:
            _wake(waiter)

    def pause(self) -> None:
        """Stops the clock; `State.run` makes up for what was missed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def due(self) -> str | None:
        """The next status, if its time has come."""
        if self._steps and self.created_at + self._steps[0][0] <= time.monotonic():
            return self._steps.pop(0)[1]
        return None

    def arm(self, state: State) -> None:
        """Has `state` run this instruction when its next status is due."""
        if self._steps:
            delay = self.created_at + self._steps[0][0] - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(delay, state.run, self)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@frozen
class Remembered:
    """An answer to a submit, kept under its idempotency key."""

    request: tuple[str, str, bytes]
    answer: Answer
    instruction: SimInstruction | None


@define(eq=False)
class State:
    """What the gateway knows. It outlives the server: the gateway may go away and come back."""

    instructions: dict[str, SimInstruction] = field(factory=dict)
    resources: dict[str, dict[str, dict[str, Any]]] = field(factory=lambda: {"payments": {}})
    devices: dict[str, Device] = field(factory=dict)
    remembered: dict[str, Remembered] = field(factory=dict)
    owners: dict[str, SimInstruction] = field(factory=dict)

    def device(self, serial_number: str) -> Device:
        """The device with this serial number, made on first use."""
        device = self.devices.get(serial_number)
        if device is None:
            device = self.devices[serial_number] = Device(serial_number)
        return device

    def submit(
        self, kind: InstructionKind, serial_number: str, key: str, body: bytes
    ) -> Remembered | None:
        """Submits an instruction, or finds the answer that this key had before.

        The same key with the same bytes has the original answer again; so has a refusal, since a
        corrected body needs a new key (contract section 8).

        Returns:
            The answer; None if the key was used with a different request.
        """
        request = (kind.collection, serial_number, body)
        known = self.remembered.get(key)
        if known is not None:
            return known if known.request == request else None
        made = self._accept(kind, serial_number, key, body)
        if isinstance(made, Answer):
            self.remembered[key] = Remembered(request, made, None)
        else:
            answer = json_answer(202, made.document())
            self.remembered[key] = Remembered(request, answer, made)
            # Only now: the answer to a submit says inProgress, however soon that changes.
            self.run(made)
        return self.remembered[key]

    def _accept(
        self, kind: InstructionKind, serial_number: str, key: str, body: bytes
    ) -> SimInstruction | Answer:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return problem(400, "bad-request", "The body is not JSON.")
        errors = check_body(kind.check, document)
        if errors:
            return problem(400, "bad-request", "The body is not valid.", errors=errors)
        device = self.device(serial_number)
        if device.instruction is not None:
            # The contract leaves open what a busy or offline device answers (section 9).
            return problem(409, "cannot-be-modified", "The device is busy.")
        behaviour = device.next_behaviour()
        if behaviour.refused_with is not None:
            fragment = "bad-request" if behaviour.refused_with == 400 else "cannot-be-modified"
            return problem(behaviour.refused_with, fragment, "The device is offline.")
        made = SimInstruction(uuid.uuid4().hex, kind, serial_number, key, document, behaviour)
        self.instructions[made.id] = device.instruction = made
        return made

    def run(self, instruction: SimInstruction) -> None:
        """Makes every status change of `instruction` that is due, and waits for the next."""
        instruction.pause()
        while (status := instruction.due()) is not None:
            self.change(instruction, status)
        instruction.arm(self)

    def change(self, instruction: SimInstruction, status: str) -> None:
        """Gives the instruction another status; makes its payment if it has completed."""
        if status == "completed":
            kind = instruction.kind
            made = secrets.token_hex(5).upper()
            document = kind.make(made, instruction.body, instruction.behaviour.result)
            self.resources[kind.resource][made] = document
            self.owners[made] = instruction
            instruction.resource_id = made
        if status in FINAL:
            self.device(instruction.serial_number).instruction = None
        instruction.change(status)

    def cancel(self, instruction: SimInstruction) -> Answer:
        """Cancels the instruction if it is in progress, else answers 409."""
        instruction.delete_count += 1
        if instruction.status == IN_PROGRESS:
            if not instruction.behaviour.completes_on_cancel:
                self.change(instruction, "canceled")
                return Answer(204)
            self.change(instruction, "completed")
        return problem(
            409,
            "cannot-be-modified",
            f"The instruction is {instruction.status}.",
            link=link_to("self", instruction.kind.collection, instruction.id),
        )

    def pause(self) -> None:
        """Stops every clock."""
        for instruction in self.instructions.values():
            instruction.pause()

    def resume(self) -> None:
        """Starts every clock again; what should have happened meanwhile happens now."""
        for instruction in list(self.instructions.values()):
            self.run(instruction)

    def forget(self) -> None:
        """Forgets what has ended: instructions, their resources, and the answers to submits."""
        live = {id_: one for id_, one in self.instructions.items() if one.status not in FINAL}
        self.instructions.clear()
        self.instructions.update(live)
        self.owners.clear()
        for resources in self.resources.values():
            resources.clear()
        self.remembered = {
            key: one
            for key, one in self.remembered.items()
            if one.instruction is not None and one.instruction.id in live
        }
