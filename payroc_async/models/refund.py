"""A refund, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from .enums import ResponseCode, TransactionStatus
from .shared import Link
from .transaction import Transaction

__all__ = ["PaymentSummary", "Refund"]


@frozen(kw_only=True)
class PaymentSummary:
    """The payment that a refund gives back; ``amount`` in the currency's smallest unit.

    Source: contract section 5, which leaves its fields open; these are a refund summary's, with the
    payment's id.
    """

    payment_id: str
    date_time: datetime
    currency: str
    amount: int
    status: TransactionStatus
    response_code: ResponseCode
    response_message: str | None = None
    link: Link | None = None


@frozen(kw_only=True, repr=False)
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
