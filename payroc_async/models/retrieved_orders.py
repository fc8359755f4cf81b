"""The order as the gateway gives it back. It takes what comes. Source: contract section 5."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from .enums import (
    AlternativeTender,
    HealthcareExpenseType,
    ProcessingModel,
    StandingInstructionsSequence,
    TipMode,
    TipType,
)
from .shared import Model, ReadOnDemand, size

__all__ = [
    "ConvenienceFee",
    "DccOffer",
    "FirstTransactionReference",
    "RetrievedBreakdown",
    "RetrievedChoiceRate",
    "RetrievedDualPricing",
    "RetrievedHealthcareExpense",
    "RetrievedLineItem",
    "RetrievedOrder",
    "RetrievedSurcharge",
    "RetrievedTax",
    "RetrievedTip",
    "StandingInstructions",
]


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedTip(Model):
    """A tip as read back. Source: contract section 4."""

    type: TipType | None = None
    mode: TipMode | None = None
    amount: int | None = None
    percentage: float | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedSurcharge(Model):
    """A surcharge as read back. Source: contract section 4."""

    bypass: bool | None = None
    amount: int | None = None
    percentage: float | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedChoiceRate(Model):
    """The chosen rate as read back. Source: contract section 4."""

    applied: bool | None = None
    rate: float | None = None
    amount: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedDualPricing(Model):
    """Dual pricing as read back. Source: contract section 4."""

    offered: bool | None = None
    choice_rate: RetrievedChoiceRate | None = None
    alternative_tender: AlternativeTender | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedTax(Model):
    """A tax as charged: ``rate`` in percent, ``amount`` in the currency's smallest unit.

    Source: contract section 5.
    """

    name: str | None = None
    rate: float | None = None
    amount: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedHealthcareExpense(Model):
    """A healthcare expense as read back. Source: contract section 4."""

    type: HealthcareExpenseType | None = None
    amount: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class ConvenienceFee(Model):
    """A fee for the way of paying, in the currency's smallest unit. Source: contract section 5."""

    amount: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedLineItem(Model):
    """One item of an order, as read back. Source: contract section 5.

    ``unit_price`` is in the currency's smallest unit, ``discount_rate`` in percent.
    """

    commodity_code: str | None = None
    product_code: str | None = None
    description: str | None = field(default=None, repr=False)
    unit_of_measure: str | None = None
    unit_price: int | None = None
    quantity: float | None = None
    discount_rate: float | None = None
    taxes: tuple[RetrievedTax, ...] = ()


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedBreakdown(Model):
    """What a payment's amount is made of. Source: contract section 5.

    Every sum is in the currency's smallest unit.
    """

    subtotal: int | None = None
    cashback_amount: int | None = None
    tip: RetrievedTip | None = None
    surcharge: RetrievedSurcharge | None = None
    dual_pricing: RetrievedDualPricing | None = None
    taxes: tuple[RetrievedTax, ...] = ()
    healthcare_expenses: tuple[RetrievedHealthcareExpense, ...] = ()
    duty_amount: int | None = None
    freight_amount: int | None = None
    convenience_fee: ConvenienceFee | None = None
    items: tuple[RetrievedLineItem, ...] = ()


@frozen(kw_only=True, eq=False, repr=False)
class DccOffer(Model):
    """The offer to pay in the card's own currency. Source: contract section 5.

    ``fx_amount`` is in the smallest unit of ``fx_currency``.
    """

    accepted: bool | None = None
    offer_reference: str | None = None
    fx_amount: int | None = field(default=None, converter=size)
    fx_currency: str | None = None
    fx_currency_code: str | None = None
    fx_currency_exponent: int | None = None
    fx_rate: float | None = None
    markup: float | None = None
    markup_text: str | None = None
    provider: str | None = None
    source: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class FirstTransactionReference(Model):
    """Which payment a standing agreement began with. Source: contract section 5."""

    payment_id: str | None = None
    card_scheme_reference_id: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class StandingInstructions(Model):
    """The standing agreement that a payment is part of. Source: contract section 5."""

    sequence: StandingInstructionsSequence | None = None
    processing_model: ProcessingModel | None = None
    reference_data_of_first_txn: FirstTransactionReference | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedOrder(ReadOnDemand):
    """What was paid for, as read back. Source: contract section 5.

    ``amount`` is what was asked for, in the currency's smallest unit; what was authorized is on the
    transaction result.
    """

    order_id: str | None = None
    amount: int | None = field(default=None, converter=size)
    currency: str | None = None
    date_time: datetime | None = None
    description: str | None = field(default=None, repr=False)
    accept_partial_amount: bool | None = None
    breakdown: RetrievedBreakdown | None = None
    dcc_offer: DccOffer | None = None
    standing_instructions: StandingInstructions | None = None
