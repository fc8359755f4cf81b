"""A refund, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from attrs import frozen

from .payment import Summary
from .transaction import Transaction

__all__ = ["PaymentSummary", "Refund"]


@frozen(kw_only=True, eq=False, repr=False)
class PaymentSummary(Summary):
    """The payment that a refund gives back; ``amount`` in the currency's smallest unit.

    Source: contract section 5, which leaves its fields open; these are a refund summary's, with the
    payment's id.
    """

    payment_id: str


@frozen(kw_only=True, eq=False, repr=False)
class Refund(Transaction):
    """A refund, of a payment or without one. Source: contract section 5.

    Its outcome is read as a payment's: from ``transaction_result.response_code``.

    Attributes:
        payment: The payment that it refunds; None if it refers to none.
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    refund_id: str
    payment: PaymentSummary | None = None

    def __repr__(self) -> str:
        return f"Refund(refund_id={self.refund_id!r}, {self._summary()})"
