"""The API's resources and the kinds of instruction that make them, as data.

All instructions share one lifecycle; this module has the differences between their kinds.

Source: contract section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from attrs import frozen

from . import models

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

InstructionT = TypeVar("InstructionT", bound=models.Instruction)
ResourceT = TypeVar("ResourceT")


@frozen(kw_only=True, eq=False, repr=False)
class Resource(Generic[ResourceT]):
    """A resource with a collection in the API."""

    noun: str
    resources: str
    """The collection's path segment."""
    resource_type: type[ResourceT]
    resource_id: Callable[[ResourceT], str | None]
    """Its id; None if an answer may omit it."""


@frozen(kw_only=True, eq=False, repr=False)
class Kind(Resource[ResourceT], Generic[InstructionT, ResourceT]):
    """A kind of instruction, and the resource that a completed instruction links to."""

    collection: str
    """The instructions' path segment."""
    request_type: type
    instruction_type: type[InstructionT]
    noun: Literal["payment", "refund", "signature"]


PAYMENT: Kind[models.PaymentInstruction, models.Payment] = Kind(
    noun="payment",
    resources="payments",
    resource_type=models.Payment,
    resource_id=lambda payment: payment.payment_id,
    collection="payment-instructions",
    request_type=models.PaymentInstructionRequest,
    instruction_type=models.PaymentInstruction,
)
REFUND: Kind[models.RefundInstruction, models.Refund] = Kind(
    noun="refund",
    resources="refunds",
    resource_type=models.Refund,
    resource_id=lambda refund: refund.refund_id,
    collection="refund-instructions",
    request_type=models.RefundInstructionRequest,
    instruction_type=models.RefundInstruction,
)
SIGNATURE: Kind[models.SignatureInstruction, models.Signature] = Kind(
    noun="signature",
    resources="signatures",
    resource_type=models.Signature,
    resource_id=lambda signature: signature.signature_id,
    collection="signature-instructions",
    request_type=models.SignatureInstructionRequest,
    instruction_type=models.SignatureInstruction,
)
KINDS: dict[str, Kind[Any, Any]] = {kind.noun: kind for kind in (PAYMENT, REFUND, SIGNATURE)}
CLOSED_LOOP_READ: Resource[models.ClosedLoopRead] = Resource(
    noun="closed-loop read",
    resources="closed-loop-reads",
    resource_type=models.ClosedLoopRead,
    resource_id=lambda read: read.closed_loop_read_id,
)
DEVICE: Resource[models.Device] = Resource(
    noun="device",
    resources="devices",
    resource_type=models.Device,
    resource_id=lambda device: device.serial_number,
)
