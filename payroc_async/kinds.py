"""What the API serves, as data: its resources, and the kinds of instruction that lead to them.

The life of an instruction is written once; what tells a sale from a refund stands here.

Source: contract section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from attrs import frozen

from .models import (
    ClosedLoopRead,
    Device,
    Instruction,
    Payment,
    PaymentInstruction,
    PaymentInstructionRequest,
    Refund,
    RefundInstruction,
    RefundInstructionRequest,
    Signature,
    SignatureInstruction,
    SignatureInstructionRequest,
)

__all__ = [
    "CLOSED_LOOP_READ",
    "DEVICE",
    "KINDS",
    "PAYMENT",
    "REFUND",
    "SIGNATURE",
    "Kind",
    "Resource",
]

InstructionT = TypeVar("InstructionT", bound=Instruction)
ResourceT = TypeVar("ResourceT")


@frozen(kw_only=True)
class Resource(Generic[ResourceT]):
    """Something that the API has a collection of."""

    noun: str
    resources: str
    """The collection's path segment."""
    resource_type: type[ResourceT]
    resource_id: Callable[[ResourceT], str | None]
    """Its id; None where an answer may leave it out."""


@frozen(kw_only=True)
class Kind(Resource[ResourceT], Generic[InstructionT, ResourceT]):
    """A kind of instruction, and the resource that a completed one links to."""

    collection: str
    """The instructions' path segment."""
    request_type: type
    instruction_type: type[InstructionT]
    noun: Literal["payment", "refund", "signature"]


PAYMENT: Kind[PaymentInstruction, Payment] = Kind(
    noun="payment",
    resources="payments",
    resource_type=Payment,
    resource_id=lambda payment: payment.payment_id,
    collection="payment-instructions",
    request_type=PaymentInstructionRequest,
    instruction_type=PaymentInstruction,
)
REFUND: Kind[RefundInstruction, Refund] = Kind(
    noun="refund",
    resources="refunds",
    resource_type=Refund,
    resource_id=lambda refund: refund.refund_id,
    collection="refund-instructions",
    request_type=RefundInstructionRequest,
    instruction_type=RefundInstruction,
)
SIGNATURE: Kind[SignatureInstruction, Signature] = Kind(
    noun="signature",
    resources="signatures",
    resource_type=Signature,
    resource_id=lambda signature: signature.signature_id,
    collection="signature-instructions",
    request_type=SignatureInstructionRequest,
    instruction_type=SignatureInstruction,
)
KINDS: dict[str, Kind[Any, Any]] = {kind.noun: kind for kind in (PAYMENT, REFUND, SIGNATURE)}
CLOSED_LOOP_READ: Resource[ClosedLoopRead] = Resource(
    noun="closed-loop read",
    resources="closed-loop-reads",
    resource_type=ClosedLoopRead,
    resource_id=lambda read: read.closed_loop_read_id,
)
DEVICE: Resource[Device] = Resource(
    noun="device",
    resources="devices",
    resource_type=Device,
    resource_id=lambda device: device.serial_number,
)
