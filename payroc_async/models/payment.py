"""A payment, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from payroc_async.errors import PaymentDeclinedError

from .enums import ResponseCode, TransactionStatus
from .shared import Link, Model
from .transaction import Transaction

__all__ = ["Payment", "RefundSummary"]


@frozen(kw_only=True, eq=False, repr=False)
class Summary(Model):
    """What a payment and a refund say of each other. Source: contract section 5.

    Its id alone is there for sure.
    """

    date_time: datetime | None = None
    currency: str | None = None
    amount: int | None = None
    status: TransactionStatus | None = None
    response_code: ResponseCode | None = None
    response_message: str | None = None
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RefundSummary(Summary):
    """A refund of this payment; ``amount`` in the currency's smallest unit.

    Source: contract section 5.
    """

    refund_id: str


@frozen(kw_only=True, eq=False, repr=False)
class Payment(Transaction):
    """A payment: the approval or the decline is here. Source: contract section 5.

    Ask ``outcome``, which is read from ``transaction_result.response_code``. The classic mistake is
    to ask whether ``transaction_result.status`` is ``complete``: a card sale that was just approved
    is ``ready`` (authorized, queued for capture) and becomes ``complete`` hours later.

    Attributes:
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    payment_id: str
    refunds: tuple[RefundSummary, ...] = ()

    def raise_for_decline(self) -> None:
        """Returns if the payment was approved in full, in the manner of ``raise_for_status()``.

        Raises:
            PaymentDeclinedError: It was not: declined, deferred, approved in part, or unknown.
        """
        if not self.approved:
            raise PaymentDeclinedError(self)

    def __repr__(self) -> str:
        return f"Payment(payment_id={self.payment_id!r}, {self._summary()})"
