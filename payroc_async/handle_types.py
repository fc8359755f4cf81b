"""What the handles are called, by what they lead to. Apart, for it needs the models: see there."""

from __future__ import annotations

from payroc_async.instructions.handle import InstructionHandle

from .models import (
    Payment,
    PaymentInstruction,
    Refund,
    RefundInstruction,
    Signature,
    SignatureInstruction,
)

__all__ = ["RefundHandle", "SaleHandle", "SignatureHandle"]

SaleHandle = InstructionHandle[PaymentInstruction, Payment]
"""What ``start_sale`` and ``resume_sale`` give."""
RefundHandle = InstructionHandle[RefundInstruction, Refund]
"""What ``start_refund`` and ``resume_refund`` give."""
SignatureHandle = InstructionHandle[SignatureInstruction, Signature]
"""What ``start_signature`` and ``resume_signature`` give."""
