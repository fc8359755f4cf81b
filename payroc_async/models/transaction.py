"""What a payment and a refund have in common. Source: contract section 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from .card import Card
from .customers import RetrievedCustomer
from .enums import (
    EbtType,
    HealthcareIndicator,
    Outcome,
    ResponseCode,
    SupportedOperation,
    TransactionStatus,
    TransactionType,
    holds,
)
from .orders import RetrievedOrder
from .shared import Model, Raw, ReadOnDemand, size

if TYPE_CHECKING:
    from .receipt import Copy, Receipt

__all__ = ["CustomField", "Transaction", "TransactionResult"]

NO_ORDER, NO_CARD = RetrievedOrder(), Card()


@frozen(kw_only=True, eq=False, repr=False)
class TransactionResult(Model):
    """What the processor said. Source: contract section 5.

    Attributes:
        status: Where it stands in its settlement; says nothing about approval. None if the answer
            does not say.
        authorized_amount: In the currency's smallest unit; less than the order's on a partial
            approval. Never negative: Payroc gives a refund's with a minus sign, which ``raw`` has.
        response_code: What the outcome is read from; an empty word where an entry of a list has
            none that can be read.
    """

    type: TransactionType | None = None
    ebt_type: EbtType | None = None
    status: TransactionStatus | None = None
    approval_code: str | None = None
    authorized_amount: int | None = field(default=None, converter=size)
    currency: str | None = None
    response_code: ResponseCode
    response_message: str | None = None
    processor_response_code: str | None = None
    card_scheme_reference_id: str | None = None
    healthcare_indicator: HealthcareIndicator | None = None


@frozen(kw_only=True, eq=False, repr=False)
class CustomField(Model):
    """A field of the merchant's own. Source: contract section 5."""

    name: str | None = None
    value: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class Transaction(ReadOnDemand):
    """What a payment and a refund have in common. Source: contract sections 5 and 15.

    Its id and its response code are there for sure, for they are its outcome. What else an answer
    lacks, or has in a form that can't be read, is None; ``raw`` has it as it came. ``order`` and
    ``card`` are always there, at the worst with nothing but None in them.

    Attributes:
        raw: The whole JSON object, with the fields that no model knows. It may hold card data.
    """

    processing_terminal_id: str | None = None
    operator: str | None = None
    order: RetrievedOrder = NO_ORDER
    customer: RetrievedCustomer | None = None
    card: Card = NO_CARD
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

    @property
    def in_effect(self) -> bool:
        """Whether money moves or is reserved by it, now or with the batch.

        It was approved, in full or in part, and has neither been reversed nor expired: the code of
        an approval stays when what was approved is reversed or expires. A refund of a payment
        leaves the payment in effect: it is a second transaction.
        """
        return holds(self.outcome, self.transaction_result.status)

    def receipt(
        self,
        *,
        merchant: Sequence[str] = (),
        copy: Copy = "customer",
        date_time: datetime | None = None,
    ) -> Receipt:
        """The receipt, as data and with ``text()`` as what a printer prints.

        Args:
            merchant: The lines on top: at least the name and the place that the acquirer knows the
                merchant by. Payroc does not send them.
            copy: Whose copy it is, ``"customer"`` or ``"merchant"``.
            date_time: When it happened, in the time of the place; the order's own time if left out.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        from .receipt import make_receipt  # it needs this module

        return make_receipt(self, merchant=merchant, copy=copy, date_time=date_time)

    def _summary(self) -> str:
        result, order = self.transaction_result, self.order
        return (
            f"outcome={self.outcome.name}, "
            f"amount={order.amount}, authorized_amount={result.authorized_amount}, "
            f"currency={order.currency!r}, status={result.status and result.status.value!r}, "
            f"order_id={order.order_id!r}"
        )
