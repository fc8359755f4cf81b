"""What can be done with a payment later: refund, reverse, capture, adjust.

Source: contract sections 2 and 6. A request is checked when it is made, and raises
``ConfigurationError``. Sums are integers in the payment's currency's smallest unit.
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from .customers import ContactMethod, ShippingAddress
from .enums import AdjustmentStatus, Outcome
from .field_checks import (
    above_zero,
    amount,
    as_tuple,
    each,
    is_a,
    name_the_field,
    optional,
    text,
    word,
)
from .itemized import BreakdownAdjustment, ItemizedBreakdown
from .payment import Payment, RefundSummary
from .shared import Model

__all__ = [
    "Adjustment",
    "AdjustmentRequest",
    "CaptureRequest",
    "CustomerAdjustment",
    "OrderAdjustment",
    "ReferencedRefundRequest",
    "RefundAdjustment",
    "RefundAdjustmentRequest",
    "ReversalRequest",
    "SignatureAdjustment",
    "StatusAdjustment",
    "Undone",
]

ALL_OF_IT = "pass how much, or leave it out for all of the payment"


@frozen(kw_only=True, eq=False, repr=False)
class ReferencedRefundRequest(Model):
    """Gives back a payment whose batch is closed, whole or in part. Source: contract section 2.

    Args:
        amount: How much, in the currency's smallest unit.
        description: Why it is refunded, 1 to 100 characters.
        operator: Who runs the refund.
    """

    amount: int = field(validator=above_zero(amount, "pass what is given back"))
    description: str = field(validator=text(1, 100), repr=False)
    operator: str | None = field(default=None, validator=optional(text(0, 50)))


@frozen(kw_only=True, eq=False, repr=False)
class ReversalRequest(Model):
    """Voids a payment while its batch is open. Source: contract section 6.

    Args:
        amount: How much, in the currency's smallest unit; all of it if left out.
        operator: Who runs the reversal.
    """

    amount: int | None = field(default=None, validator=optional(above_zero(amount, ALL_OF_IT)))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))


@frozen(kw_only=True, eq=False, repr=False)
class CaptureRequest(Model):
    """Captures a pre-authorization. Source: contract section 2.

    Args:
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters.
        operator: Who runs the capture.
        amount: How much, in the currency's smallest unit; all of it if left out.
        breakdown: What the amount is made of.
    """

    processing_terminal_id: str | None = field(default=None, validator=optional(text(4, 50)))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))
    amount: int | None = field(default=None, validator=optional(above_zero(amount, ALL_OF_IT)))
    breakdown: ItemizedBreakdown | None = field(
        default=None, validator=optional(is_a(ItemizedBreakdown))
    )


@frozen(kw_only=True, eq=False, repr=False)
class OrderAdjustment(Model):
    """Another amount for a payment, as when a tip is added. Source: contract section 6.

    Args:
        amount: The new total, tip included, in the currency's smallest unit.
        breakdown: What of it is the tip.
    """

    type: str = field(default="order", init=False)
    amount: int = field(
        validator=above_zero(amount, "pass the new total, or reverse the payment instead")
    )
    breakdown: BreakdownAdjustment | None = field(
        default=None, validator=optional(is_a(BreakdownAdjustment))
    )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class StatusAdjustment(Model):
    """Lets a payment settle with the next batch, or keeps it from it. Source: contract section 6.

    Args:
        to_status: ``READY`` to let it settle, ``PENDING`` to hold it back.
    """

    type: str = field(default="status", init=False)
    to_status: AdjustmentStatus = field(converter=AdjustmentStatus, validator=word)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class CustomerAdjustment(Model):
    """Where the customer is to be reached now. Source: contract section 6.

    Args:
        contact_methods: A list or a tuple.
    """

    type: str = field(default="customer", init=False)
    shipping_address: ShippingAddress | None = field(
        default=None, validator=optional(is_a(ShippingAddress))
    )
    contact_methods: tuple[ContactMethod, ...] = field(
        default=(), converter=as_tuple, validator=each(ContactMethod, unique=True)
    )


@frozen(kw_only=True, eq=False, repr=False)
class SignatureAdjustment(Model):
    """A signature for a payment. Source: contract section 6.

    Args:
        cardholder_signature: As Payroc gave it: ``signature`` of a captured ``Signature``.
    """

    type: str = field(default="signature", init=False)
    cardholder_signature: str = field(validator=word, repr=False)


Adjustment = OrderAdjustment | StatusAdjustment | CustomerAdjustment | SignatureAdjustment
"""One thing to change about a payment. Source: contract section 6."""
RefundAdjustment = StatusAdjustment | CustomerAdjustment
"""One thing to change about a refund. Source: contract section 6."""


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class AdjustmentRequest(Model):
    """Changes a payment while its batch is open. Source: contract sections 2 and 6.

    Args:
        adjustments: What to change; a list or a tuple of at least one.
        operator: Who makes the change.
    """

    adjustments: tuple[Adjustment, ...] = field(
        converter=as_tuple,
        validator=each(
            OrderAdjustment,
            StatusAdjustment,
            CustomerAdjustment,
            SignatureAdjustment,
            least=1,
            unique=True,
        ),
    )
    operator: str | None = field(default=None, validator=optional(text(0, 50)))


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class RefundAdjustmentRequest(Model):
    """Changes a refund while its batch is open. Source: contract section 6.

    Args:
        adjustments: What to change; a list or a tuple of at least one.
        operator: Who makes the change.
    """

    adjustments: tuple[RefundAdjustment, ...] = field(
        converter=as_tuple,
        validator=each(StatusAdjustment, CustomerAdjustment, least=1, unique=True),
    )
    operator: str | None = field(default=None, validator=optional(text(0, 50)))


@frozen(kw_only=True, eq=False, repr=False)
class Undone(Model):
    """How a payment was undone, and what it is now. Source: contract section 6.

    Attributes:
        how: ``"reversed"`` if it was taken out of its open batch, ``"refunded"`` if a refund gives
            it back; None if the answer shows neither: the payment may still take its money.
        asked: What was asked for. A refund that was asked for while the batch was open became a
            reversal: then ``how`` is ``"reversed"`` all the same.
        outcome: What the gateway said of it, such as ``DECLINED``. ``UNKNOWN`` where the answer is
            not clear: retrieve the payment before you try again.
        payment: The payment as the answer has it.
        refund: The refund that was made or declined; None after a reversal, or if it can't be found
            among the payment's. ``refunds.retrieve`` has it whole, with its receipt.
    """

    how: Literal["reversed", "refunded"] | None
    asked: Literal["reverse", "refund"]
    outcome: Outcome
    payment: Payment
    refund: RefundSummary | None = None
