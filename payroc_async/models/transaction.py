"""What a payment and a refund have in common. Source: contract section 5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from attrs import field, frozen

from .card import Card
from .customers import RetrievedCustomer
from .enums import (
    Outcome,
    SupportedOperation,
    holds,
)
from .receipt import Copy, Receipt
from .receipt_builder import make_receipt
from .retrieved_orders import RetrievedOrder
from .shared import Model, Raw, ReadOnDemand
from .transaction_result import TransactionResult

__all__ = ["CustomField", "Transaction"]

NO_ORDER, NO_CARD = RetrievedOrder(), Card()


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

    _is_refund: ClassVar[bool] = False
    """Whether it gives money back."""

    @property
    def _resource_id(self) -> str:
        """The payment's or the refund's id."""
        raise NotImplementedError

    @property
    def _refunded_payment_id(self) -> str | None:
        """The payment that a refund gives back, where the answer says it."""
        return None

    @property
    def uncaptured(self) -> bool:
        """Whether it only holds the money: a pre-authorization that was approved, not captured."""
        return False

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
        return make_receipt(self, merchant=merchant, copy=copy, date_time=date_time)

    def _summary(self) -> str:
        result, order = self.transaction_result, self.order
        return (
            f"outcome={self.outcome.name}, "
            f"amount={order.amount}, authorized_amount={result.authorized_amount}, "
            f"currency={order.currency!r}, status={result.status and result.status.value!r}, "
            f"order_id={order.order_id!r}"
        )
