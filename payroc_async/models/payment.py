"""A payment, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from payroc_async.errors import PaymentDeclinedError

from .enums import Outcome, ResponseCode, TransactionStatus, holds
from .shared import Link, Model, size
from .transaction import Transaction

__all__ = ["Payment", "RefundSummary"]


@frozen(kw_only=True, eq=False, repr=False)
class Summary(Model):
    """What a payment and a refund say of each other. Source: contract section 5.

    Its id alone is there for sure.

    Attributes:
        amount: In the currency's smallest unit, and never negative, whichever way the money goes.
    """

    date_time: datetime | None = None
    currency: str | None = None
    amount: int | None = field(default=None, converter=size)
    status: TransactionStatus | None = None
    response_code: ResponseCode | None = None
    response_message: str | None = None
    link: Link | None = None

    @property
    def outcome(self) -> Outcome:
        """What became of it, from the response code; ``UNKNOWN`` without one."""
        return self.response_code.outcome if self.response_code is not None else Outcome.UNKNOWN

    @property
    def in_effect(self) -> bool:
        """Whether it was approved, in full or in part, and neither voided nor returned since."""
        return holds(self.outcome, self.status)


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

    A payment that was approved and later reversed, or has expired, keeps the outcome of its
    approval: ask ``in_effect`` whether it still takes money.

    Attributes:
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    payment_id: str
    refunds: tuple[RefundSummary, ...] = ()

    @property
    def _resource_id(self) -> str:
        """The payment's id."""
        return self.payment_id

    @property
    def uncaptured(self) -> bool:
        """Whether it is reserved, and takes no money until it is captured.

        A pre-authorization, or a sale that was set to pending. Its status says so, its ``type``
        does not: Payroc's samples give an uncaptured pre-authorization the type ``sale``.
        """
        return self.in_effect and self.transaction_result.status == TransactionStatus.PENDING

    def raise_for_decline(self) -> None:
        """Returns if the payment was approved in full, in the manner of ``raise_for_status()``.

        The answers to a capture, a reversal, an adjustment and a refund are payments too, and are
        given with HTTP 200 also where the change was declined: this says the two apart.

        Raises:
            PaymentDeclinedError: It was not: declined, deferred, approved in part, or unknown.
        """
        if not self.approved:
            raise PaymentDeclinedError(self)

    def __repr__(self) -> str:
        return f"Payment(payment_id={self.payment_id!r}, {self._summary()})"
