"""An instruction's state, as the gateway gives it: the same for every kind, but for its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .enums import InstructionStatus
from .shared import Link, Raw, ReadOnDemand

__all__ = ["Instruction", "PaymentInstruction", "RefundInstruction", "SignatureInstruction"]

NO_STATUS, FAILURE = InstructionStatus(""), InstructionStatus.FAILURE


@frozen(kw_only=True, eq=False, repr=False)
class Instruction(ReadOnDemand):
    """What every kind of instruction says. Source: contract section 3.

    ``completed`` means that the device is done, not that anything was approved: that is on what the
    link leads to.

    Attributes:
        status: How far it is; an empty word, which says nothing, where the answer has none that can
            be read.
        error_message: Why it failed; None on any other status, where the gateway's word for it
            means nothing.
        link: To the instruction itself while in progress, to what came of it once completed.
        raw: The whole JSON object.
    """

    _at_once = ("status",)

    status: InstructionStatus = NO_STATUS
    error_message: str | None = None
    link: Link | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.status != FAILURE:
            object.__setattr__(self, "error_message", None)  # the way into a frozen class's init

    @property
    def instruction_id(self) -> str:
        """The gateway's id for it, whatever its kind calls it."""
        raise NotImplementedError


@frozen(kw_only=True, eq=False, repr=False)
class PaymentInstruction(Instruction):
    """The state of a sale or a pre-authorization on a device. Source: contract section 3.

    Its id is not the payment's: that comes from the completed instruction's link alone.
    """

    payment_instruction_id: str

    @property
    def instruction_id(self) -> str:
        """The gateway's id for it: ``payment_instruction_id``."""
        return self.payment_instruction_id


@frozen(kw_only=True, eq=False, repr=False)
class RefundInstruction(Instruction):
    """The state of an unreferenced refund on a device. Source: contract section 3.

    Its id is not the refund's: that comes from the completed instruction's link alone.
    """

    refund_instruction_id: str

    @property
    def instruction_id(self) -> str:
        """The gateway's id for it: ``refund_instruction_id``."""
        return self.refund_instruction_id


@frozen(kw_only=True, eq=False, repr=False)
class SignatureInstruction(Instruction):
    """The state of a signature capture on a device. Source: contract section 3.

    Its id is not the signature's: that comes from the completed instruction's link alone.
    """

    signature_instruction_id: str

    @property
    def instruction_id(self) -> str:
        """The gateway's id for it: ``signature_instruction_id``."""
        return self.signature_instruction_id
