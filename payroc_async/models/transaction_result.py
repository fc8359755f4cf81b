"""What the processor said of a payment or a refund. Source: contract section 5."""

from __future__ import annotations

from attrs import field, frozen

from .enums import EbtType, HealthcareIndicator, ResponseCode, TransactionStatus, TransactionType
from .shared import ReadOnDemand, size

__all__ = ["TransactionResult"]


@frozen(kw_only=True, eq=False, repr=False)
class TransactionResult(ReadOnDemand):
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
