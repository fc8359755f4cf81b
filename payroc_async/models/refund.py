"""A refund, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from attrs import frozen

from payroc_async.errors import RefundDeclinedError

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

    Its outcome is read as a payment's: from ``transaction_result.response_code``. Its sums are
    positive, whatever their sign in ``raw``.

    Attributes:
        payment: The payment that it refunds; None if it refers to none.
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    refund_id: str
    payment: PaymentSummary | None = None

    _is_refund = True

    @property
    def _resource_id(self) -> str:
        """The refund's id."""
        return self.refund_id

    @property
    def _refunded_payment_id(self) -> str | None:
        """The payment that is given back, where the answer says it."""
        return None if self.payment is None else self.payment.payment_id

    def raise_for_decline(self) -> None:
        """Returns if the refund was approved in full, in the manner of ``raise_for_status()``.

        The answers to a reversal and an adjustment of a refund are refunds too, and are given with
        HTTP 200 also where the change was declined: this says the two apart.

        Raises:
            RefundDeclinedError: It was not: declined, deferred, approved in part, or unknown.
        """
        if not self.approved:
            raise RefundDeclinedError(self)

    def __repr__(self) -> str:
        return f"Refund(refund_id={self.refund_id!r}, {self._summary()})"
