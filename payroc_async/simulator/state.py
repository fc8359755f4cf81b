"""The gateway's state: instructions, their resources, and the stored answers to POSTs.

Every change is made without an await, so that a concurrent duplicate of a submission finds the
first one's answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Literal

from attrs import define, field, frozen

from .back_office import BackOffice
from .behaviours import Behaviour, Script
from .ledger import Ledger
from .replies import Answer, json_answer, link_to, problem
from .simulated_devices import Device
from .simulated_instructions import FINAL, IN_PROGRESS, OperatorInput, SimInstruction
from .simulated_kinds import InstructionKind
from .simulated_payments import new_id, now, show_as_sale
from .validation import Errors, check_serial, read_body

__all__ = ["PreAuthorizations", "State"]

FIRST_DEVICE_ID = 28474


@frozen
class Remembered:
    """The stored answer to a POST, kept under its idempotency key."""

    request: tuple[str, bytes]
    answer: Answer
    instruction: SimInstruction | None


PreAuthorizations = Literal["as_type", "as_sale", "refused"]
"""How pre-authorizations are shown, or that they are refused (contract section 9)."""
Done = tuple[Answer, SimInstruction | None]
"""The answer to a POST, and its instruction."""


@define(eq=False)
class State:
    """The gateway's state. It survives a stop and restart of the server.

    Attributes:
        unscripted: The behavior of a device without a script.
        pre_authorizations: How pre-authorizations are shown, or that they are refused.
        misuses: Requests of scripts and faults that could not be satisfied.
        note: Called for each new or changed device and instruction, if given.
    """

    instructions: dict[str, SimInstruction] = field(factory=dict)
    ledger: Ledger = field(factory=Ledger)
    office: BackOffice = field(init=False)
    devices: dict[str, Device] = field(factory=dict)
    remembered: dict[str, Remembered] = field(factory=dict)
    owners: dict[str, SimInstruction] = field(factory=dict)
    unscripted: Behaviour = field(factory=lambda: Behaviour(ends="completed"))
    pre_authorizations: Callable[[], PreAuthorizations] = lambda: "as_type"
    misuses: list[str] = field(factory=list)
    note: Callable[[SimInstruction | Device], None] | None = None

    def __attrs_post_init__(self) -> None:
        self.office = BackOffice(self.ledger)

    def device(self, serial_number: str) -> Device:
        """The device with this serial number, made on first use."""
        device = self.devices.get(serial_number)
        if device is None:
            device_id = str(FIRST_DEVICE_ID + len(self.devices))
            device = Device(serial_number, device_id, current=Script("", self.unscripted))
            self.devices[serial_number] = device
            self.tell(device)
        return device

    def tell(self, changed: SimInstruction | Device) -> None:
        """Notifies the observers that this device or instruction is new or has changed."""
        if self.note is not None:
            self.note(changed)

    def once(
        self, key: str, request: tuple[str, bytes], act: Callable[[], Done]
    ) -> Remembered | None:
        """Performs a POST, or returns the stored answer of its idempotency key.

        The same key with the same bytes gets the original answer again. Refusals are stored, too: a
        corrected body needs a new key (contract section 8).

        Args:
            key: The idempotency key.
            request: The path and the body.
            act: Performs the operation synchronously.

        Returns:
            The answer; None if the key was used with a different request.
        """
        known = self.remembered.get(key)
        if known is None:
            known = self.remembered[key] = Remembered(request, *act())
        return known if known.request == request else None

    def submit(self, kind: InstructionKind, serial_number: str, key: str, body: bytes) -> Done:
        """Submits an instruction."""
        made = self._accept(kind, serial_number, key, body)
        if isinstance(made, Answer):
            return made, None
        answer = json_answer(202, made.document())
        # After building the answer: the answer to a submission says inProgress, however soon that
        # changes.
        self.run(made)
        return answer, made

    def _accept(
        self, kind: InstructionKind, serial_number: str, key: str, body: bytes
    ) -> SimInstruction | Answer:
        errors: Errors = []
        check_serial(serial_number, "serialNumber", errors)
        if errors:
            return problem(400, "bad-request", "The path is not valid.", errors=errors)
        document = read_body(kind.check, body)
        if isinstance(document, Answer):
            return document
        reserves = kind.resource == "payments" and document.get("autoCapture") is False
        if reserves and self.pre_authorizations() == "refused":
            errors = [
                {
                    "parameter": "processingTerminalId",
                    "message": "has no pre-authorizations",
                }
            ]
            return problem(400, "capabilities-missing", errors=errors)
        device = self.device(serial_number)
        if device.instruction is not None:
            # The contract does not define the answer of a busy or offline device (section 9).
            return problem(409, "cannot-be-modified", "The device is busy.")
        if device.deactivated_date is not None:
            return problem(409, "cannot-be-modified", "The device is inactive.")
        if device.hand is not None and not device.hand.reachable:
            return problem(409, "cannot-be-modified", "The device is offline.")
        # The operator decides what happens; the script is kept for later.
        behaviour = Behaviour()
        if device.hand is None:
            behaviour = device.next_behaviour(asks_for_tip=kind.asks_for_tip(document))
        if behaviour.refused_with is not None:
            fragment = "bad-request" if behaviour.refused_with == 400 else "cannot-be-modified"
            return problem(behaviour.refused_with, fragment, "The device is offline.")
        made = SimInstruction(uuid.uuid4().hex, kind, serial_number, key, document, behaviour)
        made.by_hand = None if device.hand is None else OperatorInput()
        self.instructions[made.id] = device.instruction = made
        self.tell(made)
        return made

    def run(self, instruction: SimInstruction) -> None:
        """Makes every due status change of `instruction`, and schedules the next."""
        instruction.pause()
        while (status := instruction.due()) is not None:
            self.change(instruction, status)
        instruction.arm(self.run)

    def change(self, instruction: SimInstruction, status: str) -> None:
        """Changes the instruction's status; creates its resource if it has completed."""
        device = self.device(instruction.serial_number)
        if status == "completed":
            kind = instruction.kind
            made = new_id()
            document = kind.make(made, instruction.body, instruction.behaviour.result)
            self._check_part(instruction, document)
            if self.pre_authorizations() == "as_sale":
                show_as_sale(document)
            self.ledger.resources[kind.resource][made] = document
            self.office.vault.keep(document, instruction.body)
            self.owners[made] = instruction
            instruction.resource_id = made
            if kind.resource != "signatures":
                device.last_transaction = {
                    "orderId": instruction.body["order"]["orderId"],
                    "dateTime": now(),
                    "processingTerminalId": instruction.body["processingTerminalId"],
                }
        if status in FINAL:
            device.instruction = None
            if device.hand is not None:
                device.hand.last = instruction
        instruction.change(status)
        self.tell(instruction)

    def _check_part(self, instruction: SimInstruction, made: dict[str, Any]) -> None:
        result = instruction.behaviour.result
        if result.response_code != "P" or "order" not in made:  # a signature has no amount
            return
        part, whole = result.authorized_amount, made["order"]["amount"]
        if part is not None and part >= whole:
            self.misuses.append(
                f"Device {instruction.serial_number} was to approve a part of {part}, but"
                f" instruction {instruction.id} is about {whole} in all: a part must be less."
            )

    def cancel(self, instruction: SimInstruction) -> Answer:
        """Cancels the instruction if it is in progress, otherwise answers 409.

        For a completed instruction, the answer links to its resource (contract section 8).
        """
        instruction.delete_count += 1
        if instruction.status == IN_PROGRESS:
            if not instruction.behaviour.completes_on_cancel:
                self.change(instruction, "canceled")
                return Answer(204)
            self.change(instruction, "completed")
        kind, made = instruction.kind, instruction.resource_id
        word = {"completed": "Completed", "failure": "Failed"}.get(instruction.status, "Ended")
        said = f"{word} instruction cannot be canceled"
        more = {} if made is None else {"link": link_to(kind.rel, kind.resource, made)}
        return problem(
            409,
            "cannot-be-canceled",
            "You cannot cancel this resource in its current state",
            errors=[{"parameter": kind.id_field, "message": said}],
            **more,
        )

    def pause(self) -> None:
        """Stops every clock."""
        for instruction in self.instructions.values():
            instruction.pause()

    def resume(self) -> None:
        """Restarts every clock; missed status changes happen now."""
        for instruction in list(self.instructions.values()):
            self.run(instruction)

    def forget(self) -> None:
        """Forgets ended instructions, their resources, and the stored answers to POSTs."""
        self.misuses.clear()
        live = {id_: one for id_, one in self.instructions.items() if one.status not in FINAL}
        self.instructions.clear()
        self.instructions.update(live)
        self.owners.clear()
        self.ledger.forget()
        self.office.forget()
        for device in self.devices.values():
            if device.hand is not None:
                device.hand.last = None
        self.remembered = {
            key: one
            for key, one in self.remembered.items()
            if one.instruction is not None and one.instruction.id in live
        }
