"""The kinds of instruction of a device, as data. They all have the same lifecycle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from .behaviours import Result
from .signatures import make_signature
from .simulated_payments import make_payment, make_refund
from .validation import (
    PAYMENT_INSTRUCTION,
    REFUND_INSTRUCTION,
    SIGNATURE_INSTRUCTION,
    Check,
)

__all__ = ["KINDS", "InstructionKind"]


@frozen(kw_only=True)
class InstructionKind:
    """One kind of instruction.

    Source: contract sections 2 and 3.

    Args:
        collection: The last segment of the submission's path, and the first segment of the path for
            status and cancellation.
        id_field: The name of the id in JSON.
        resource: The collection of the resulting resource.
        rel: The ``rel`` of a completed instruction's link.
        check: The check of the request body.
        make: Builds the resource from its id, the instruction's body and the device's result.
    """

    collection: str
    id_field: str
    resource: str
    rel: str
    check: Check
    make: Callable[[str, dict[str, Any], Result], dict[str, Any]]

    def asks_for_tip(self, body: dict[str, Any]) -> bool:
        """Whether the device asks for a tip (contract section 4)."""
        if self.resource != "payments":
            return False
        tip = body["order"].get("breakdown", {}).get("tip", {})
        return bool(tip.get("mode") == "prompted")


KINDS = {
    kind.collection: kind
    for kind in (
        InstructionKind(
            collection="payment-instructions",
            id_field="paymentInstructionId",
            resource="payments",
            rel="payment",
            check=PAYMENT_INSTRUCTION,
            make=make_payment,
        ),
        InstructionKind(
            collection="refund-instructions",
            id_field="refundInstructionId",
            resource="refunds",
            rel="refund",
            check=REFUND_INSTRUCTION,
            make=make_refund,
        ),
        InstructionKind(
            collection="signature-instructions",
            id_field="signatureInstructionId",
            resource="signatures",
            rel="signature",
            check=SIGNATURE_INSTRUCTION,
            make=make_signature,
        ),
    )
}
