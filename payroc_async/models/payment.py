"""A payment, as the gateway gives it. Source: contract section 5."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, frozen

from payroc_async.errors import PaymentDeclinedError

from .customers import RetrievedCustomer
from .enums import (
    AvsResult,
    BenefitCategory,
    CvvResult,
    EntryMethod,
    Outcome,
    ResponseCode,
    SupportedOperation,
    TransactionStatus,
    TransactionType,
)
from .orders import RetrievedOrder
from .shared import Link, Raw

__all__ = [
    "Balance",
    "Card",
    "CustomField",
    "EmvTag",
    "Payment",
    "RefundSummary",
    "SecureToken",
    "SecurityChecks",
    "TransactionResult",
]


@frozen(kw_only=True)
class SecureToken:
    """What stands for the card in Payroc's vault. Source: contract section 5."""

    secure_token_id: str = field(repr=False)
    customer_name: str = field(repr=False)
    token: str = field(repr=False)
    status: str
    link: Link | None = field(default=None, repr=False)  # its path ends in the token's id


@frozen(kw_only=True)
class SecurityChecks:
    """What the checks of security code and address gave. Source: contract section 5."""

    cvv_result: CvvResult | None = field(default=None, repr=False)
    avs_result: AvsResult | None = field(default=None, repr=False)


@frozen(kw_only=True)
class EmvTag:
    """One tag of what the chip said. Source: contract section 5."""

    hex: str = field(repr=False)
    value: str = field(repr=False)


@frozen(kw_only=True)
class Balance:
    """What is left on the card, in the currency's smallest unit. Source: contract section 5."""

    benefit_category: BenefitCategory
    amount: int
    currency: str


@frozen(kw_only=True)
class Card:
    """The card that paid. Source: contract section 5. Its repr tells brand and entry alone.

    Attributes:
        type: The brand.
        card_number: Masked: the first six digits and the last four.
        expiry_date: ``MMYY``.
    """

    type: str
    entry_method: EntryMethod | None = None
    cardholder_name: str | None = field(default=None, repr=False)
    cardholder_signature: str | None = field(default=None, repr=False)
    card_number: str = field(repr=False)
    expiry_date: str = field(repr=False)
    secure_token: SecureToken | None = field(default=None, repr=False)
    security_checks: SecurityChecks | None = field(default=None, repr=False)
    emv_tags: tuple[EmvTag, ...] = field(default=(), repr=False)
    balances: tuple[Balance, ...] = field(default=(), repr=False)


@frozen(kw_only=True)
class TransactionResult:
    """What the processor said. Source: contract section 5.

    Attributes:
        status: Where it stands in its settlement; says nothing about approval.
        authorized_amount: In the currency's smallest unit; less than the order's on a partial
            approval.
        response_code: What the outcome is read from.
    """

    type: TransactionType | None = None
    ebt_type: str | None = None
    status: TransactionStatus
    approval_code: str | None = None
    authorized_amount: int | None = None
    currency: str | None = None
    response_code: ResponseCode
    response_message: str | None = None
    processor_response_code: str | None = None
    card_scheme_reference_id: str | None = None


@frozen(kw_only=True)
class RefundSummary:
    """A refund of this payment; ``amount`` in the currency's smallest unit.

    Source: contract section 5.
    """

    refund_id: str
    date_time: datetime
    currency: str
    amount: int
    status: TransactionStatus
    response_code: ResponseCode
    response_message: str | None = None
    link: Link | None = None


@frozen(kw_only=True)
class CustomField:
    """A field of the merchant's own. Source: contract section 5."""

    name: str
    value: str = field(repr=False)


@frozen(kw_only=True, repr=False)
class Payment:
    """A payment: the approval or the decline is here. Source: contract section 5.

    Ask ``outcome``, which is read from ``transaction_result.response_code``. The classic mistake is
    to ask whether ``transaction_result.status`` is ``complete``: a card sale that was just approved
    is ``ready`` (authorized, queued for capture) and becomes ``complete`` hours later.

    Attributes:
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    payment_id: str
    processing_terminal_id: str
    operator: str | None = None
    order: RetrievedOrder
    customer: RetrievedCustomer | None = None
    card: Card
    refunds: tuple[RefundSummary, ...] = ()
    supported_operations: tuple[SupportedOperation, ...] = ()
    transaction_result: TransactionResult
    custom_fields: tuple[CustomField, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, eq=False)

    @property
    def outcome(self) -> Outcome:
        """What became of it, from the response code; ``UNKNOWN`` for a code not in the contract."""
        return self.transaction_result.response_code.outcome

    @property
    def approved(self) -> bool:
        """Whether it was approved in full. A partial approval is not: see ``authorized_amount``."""
        return self.outcome is Outcome.APPROVED

    def raise_for_decline(self) -> None:
        """Returns if the payment was approved in full, in the manner of ``raise_for_status()``.

        Raises:
            PaymentDeclinedError: It was not: declined, deferred, approved in part, or unknown.
        """
        if not self.approved:
            raise PaymentDeclinedError(self)

    def __repr__(self) -> str:
        result = self.transaction_result
        return (
            f"Payment(payment_id={self.payment_id!r}, outcome={self.outcome.name}, "
            f"amount={self.order.amount}, authorized_amount={result.authorized_amount}, "
            f"currency={self.order.currency!r}, status={result.status.value!r}, "
            f"order_id={self.order.order_id!r})"
        )
