"""What a captured or an adjusted amount is made of. Source: contract section 6.

Payroc has a schema of its own for each place: a capture may name items, duties and taxes as sums,
an adjustment a tip alone, and a request to a device neither (``Breakdown``).
"""

from __future__ import annotations

from attrs import field, frozen

from .enums import TaxType
from .field_checks import (
    above_zero,
    amount,
    as_tuple,
    each,
    is_a,
    name_the_field,
    number,
    optional,
    text,
    word,
)
from .orders import DualPricing, HealthcareExpense, Surcharge, Tax, Tip
from .shared import Model

__all__ = ["BreakdownAdjustment", "ItemTax", "ItemizedBreakdown", "LineItem", "TaxAmount"]

NO_ITEM = "leave the item out where nothing is paid for it"


@frozen(kw_only=True, eq=False, repr=False)
class TaxAmount(Model):
    """A tax, as a sum. Source: contract section 6.

    Args:
        amount: In the currency's smallest unit.
        name: 1 to 64 characters.
    """

    type: TaxType = field(default=TaxType.AMOUNT, init=False)
    amount: int = field(validator=amount)
    name: str = field(validator=text(1, 64))


ItemTax = Tax | TaxAmount
"""A tax of an itemized breakdown: as a rate, or as a sum. Source: contract section 6."""


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class LineItem(Model):
    """One item of an order. Source: contract section 6.

    Args:
        commodity_code: At most 45 characters.
        product_code: At most 45 characters.
        description: At most 250 characters.
        unit_of_measure: Payroc's word for it, such as ``EA`` or ``KGM``.
        unit_price: In the currency's smallest unit.
        quantity: How many, or how much.
        discount_rate: In percent.
        taxes: A list or a tuple.
    """

    commodity_code: str | None = field(default=None, validator=optional(text(0, 45)))
    product_code: str | None = field(default=None, validator=optional(text(0, 45)))
    description: str | None = field(default=None, validator=optional(text(0, 250)), repr=False)
    unit_of_measure: str | None = field(default=None, validator=optional(word))
    unit_price: int = field(validator=above_zero(amount, NO_ITEM))
    quantity: float = field(validator=above_zero(number, NO_ITEM))
    discount_rate: float | None = field(
        default=None,
        validator=optional(above_zero(number, "leave it out where there is no discount")),
    )
    taxes: tuple[ItemTax, ...] = field(
        default=(), converter=as_tuple, validator=each(Tax, TaxAmount)
    )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class ItemizedBreakdown(Model):
    """What a captured amount is made of. Source: contract section 6.

    Args:
        subtotal: Before tip, taxes and fees, in the currency's smallest unit.
        cashback_amount: In the currency's smallest unit.
        healthcare_expenses: A list or a tuple.
        taxes: A list or a tuple of rates and sums.
        duty_amount: In the currency's smallest unit.
        freight_amount: In the currency's smallest unit.
        items: A list or a tuple.
    """

    subtotal: int = field(validator=amount)
    cashback_amount: int | None = field(default=None, validator=optional(amount))
    tip: Tip | None = field(default=None, validator=optional(is_a(Tip)))
    surcharge: Surcharge | None = field(default=None, validator=optional(is_a(Surcharge)))
    dual_pricing: DualPricing | None = field(default=None, validator=optional(is_a(DualPricing)))
    healthcare_expenses: tuple[HealthcareExpense, ...] = field(
        default=(), converter=as_tuple, validator=each(HealthcareExpense, unique=True)
    )
    taxes: tuple[ItemTax, ...] = field(
        default=(), converter=as_tuple, validator=each(Tax, TaxAmount)
    )
    duty_amount: int | None = field(default=None, validator=optional(amount))
    freight_amount: int | None = field(default=None, validator=optional(amount))
    items: tuple[LineItem, ...] = field(default=(), converter=as_tuple, validator=each(LineItem))


@frozen(kw_only=True, eq=False, repr=False)
class BreakdownAdjustment(Model):
    """What of an adjusted amount is the tip, and nothing else. Source: contract section 6."""

    tip: Tip | None = field(default=None, validator=optional(is_a(Tip)))
