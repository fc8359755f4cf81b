"""Errors of sales, refunds and signatures on devices, and of the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payroc_async.wording import printable

from .base_errors import PayrocError

if TYPE_CHECKING:
    from payroc_async.models import Payment, Refund

__all__ = [
    "DeviceBusyError",
    "InstructionCanceledError",
    "InstructionError",
    "InstructionFailedError",
    "InstructionTimeoutError",
    "JournalError",
    "LeaseLost",
    "OutcomeUnknownError",
    "PaymentDeclinedError",
    "RefundDeclinedError",
]


class DeviceBusyError(PayrocError):
    """The device has another instruction that runs or is unfinished; nothing was sent.

    Attributes:
        serial_number: The device's serial number.
        idempotency_key: The key of that other instruction, if known.
        since: When the other instruction was journaled; None if this session runs it.
        running: Whether a live process runs the other instruction. If False, its process has died
            or released it: recover it, or close its entry with ``payroc-async journal close KEY``
            if you know the outcome.
    """

    def __init__(
        self,
        serial_number: str,
        *,
        idempotency_key: str | None = None,
        since: datetime | None = None,
        running: bool = True,
    ) -> None:
        super().__init__(serial_number)
        self.serial_number = serial_number
        self.idempotency_key = idempotency_key
        self.since = since
        self.running = running

    def __str__(self) -> str:
        busy = f"device {self.serial_number} is busy: "
        if self.since is None:
            return (
                f"{busy}this session already runs an instruction on it; await its end or cancel it "
                "first"
            )
        begun = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        found = f"{busy}the instruction under key {self.idempotency_key}, begun {begun}, "
        if self.running:
            return (
                f"{found}is unfinished, and a live process runs it; await its end or cancel it "
                "there"
            )
        return (
            f"{found}is unfinished, and no live process runs it: recover it "
            "(PayrocSession(recovery=Recovery()), session.recover() or payroc-async recover), or, "
            f"if you know how it ended, run payroc-async journal close {self.idempotency_key}"
        )


class JournalError(PayrocError):
    """The journal can't be read or written. A sale that was about to be submitted was not sent.

    Attributes:
        may_be_written: False if the failed write certainly left nothing in the journal.
    """

    may_be_written: bool = True


class LeaseLost(JournalError):
    """The lease is held elsewhere: another process, session or recovery runs the instruction.

    Attributes:
        idempotency_key: The instruction's idempotency key.
    """

    def __init__(self, idempotency_key: str) -> None:
        super().__init__(idempotency_key)
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return (
            "another process or session runs the instruction under key "
            f"{self.idempotency_key}: wait for its outcome, or look it up in the journal"
        )


def _what_was_answered(what: str, answer: Payment | Refund) -> str:
    message = answer.transaction_result.response_message
    return f"{what} is {answer.outcome.name}" + (f": {printable(message)}" if message else "")


class PaymentDeclinedError(PayrocError):
    """A payment, or a change of it, was not approved in full.

    Raised by ``Payment.raise_for_decline()`` alone.

    Attributes:
        payment: The payment, as the gateway's answer has it.
    """

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment)
        self.payment = payment

    def __str__(self) -> str:
        return _what_was_answered(f"payment {self.payment.payment_id}", self.payment)


class RefundDeclinedError(PayrocError):
    """A refund, or a change of it, was not approved in full.

    Raised by ``Refund.raise_for_decline()`` alone.

    Attributes:
        refund: The refund, as the gateway's answer has it.
    """

    def __init__(self, refund: Refund) -> None:
        super().__init__(refund)
        self.refund = refund

    def __str__(self) -> str:
        return _what_was_answered(f"refund {self.refund.refund_id}", self.refund)


class InstructionError(PayrocError):
    """An instruction ended without its payment, refund or signature.

    Attributes:
        serial_number: The device's serial number; None if the instruction was resumed by its id.
        idempotency_key: The instruction's key; None if it was resumed by its id.
        instruction_id: The gateway's id of the instruction; None if not known yet. If known,
            continue with ``resume_sale`` or its like. Otherwise call ``run_sale`` or its like with
            the same request and ``idempotency_key``: that makes no second instruction.
        request: The request as submitted; None if the instruction was resumed by its id.
        kind: ``"payment"``, ``"refund"`` or ``"signature"``.
    """

    def __init__(
        self,
        *,
        serial_number: str | None,
        idempotency_key: str | None,
        instruction_id: str | None,
        request: Any = None,
        kind: str = "payment",
    ) -> None:
        super().__init__(serial_number, idempotency_key, instruction_id)
        self.kind = kind
        self.serial_number = serial_number
        self.idempotency_key = idempotency_key
        self.instruction_id = instruction_id
        self.request = request

    def __str__(self) -> str:
        known = {
            "device": self.serial_number,
            "instruction": self.instruction_id,
            "idempotency key": self.idempotency_key,
        }
        where = ", ".join(f"{name} {value}" for name, value in known.items() if value)
        return f"{self._said()} ({where})"

    def _said(self) -> str:
        return "the instruction ended without its resource"


class InstructionFailedError(InstructionError):
    """The instruction failed on the device or at the gateway: no payment exists.

    Attributes:
        error_message: The gateway's reason, unchanged.
    """

    def __init__(self, error_message: str | None, **known: Any) -> None:
        super().__init__(**known)
        self.error_message = error_message

    def _said(self) -> str:
        return f"the instruction failed: {printable(self.error_message or 'no reason given')}"


class InstructionCanceledError(InstructionError):
    """The instruction was canceled, on the device or by another caller: no payment exists."""

    def _said(self) -> str:
        return "the instruction was canceled"


class InstructionTimeoutError(InstructionError):
    """``timeout`` passed, and the instruction is canceled: no money moved."""

    def _said(self) -> str:
        return "the timeout passed and the instruction was canceled"


class OutcomeUnknownError(InstructionError):
    """The outcome is unknown: money may have moved.

    ``__cause__`` has the reason. Resume by ``instruction_id``, or run the same request again under
    the same ``idempotency_key``; neither makes a second instruction.

    Attributes:
        request_sent: False if this call sent nothing. Then only an earlier call under the same
            caller-given key, or a process that finds its intent in the journal, can have made an
            instruction.
        may_have_taken_effect: False if this call certainly made no instruction and no process will
            make one for it, because it sent nothing or was refused (``__cause__`` is then the
            refusal). If no earlier call used the key, no money moved.
    """

    may_have_taken_effect = True
    request_sent = True

    def _said(self) -> str:
        if not self.may_have_taken_effect:
            said = "this call made no instruction, but an earlier call under the same key may have"
        elif self.kind == "signature":
            said = "the signature may have been taken"
        else:
            said = "money may have moved"
        go_on = "resume it by its id" if self.instruction_id else "repeat it under the same key"
        return f"the outcome is unknown: {said}; to learn it, {go_on}"

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}: {self.__cause__}" if self.__cause__ else said
