"""What is paid for: the order as the caller gives it, and as the gateway gives it back.

Every sum is an integer in the currency's smallest unit: 4999 is 49.99 USD. A request model is
checked when it is made. Its ``Retrieved`` counterpart takes what comes.
"""

from __future__ import annotations

from attrs import Factory, field, frozen
from attrs.converters import optional as maybe

from payroc_async.errors import ConfigurationError

from .amount import (
    currency_of_amount,
    int_or_amount,
    is_currency_of_amount,
    is_sum,
    keep_minor_units,
)
from .enums import (
    AlternativeTender,
    HealthcareExpenseType,
    TaxType,
    TipMode,
    TipType,
)
from .field_checks import (
    above_zero,
    amount,
    as_tuple,
    at_most,
    each,
    flag,
    is_a,
    name_the_field,
    optional,
    percentage,
    text,
    word,
)
from .shared import Model

__all__ = [
    "Breakdown",
    "ChoiceRate",
    "DualPricing",
    "HealthcareExpense",
    "Order",
    "RefundOrder",
    "Surcharge",
    "Tax",
    "Tip",
]

NO_TIP = "leave it out where no tip is given"
NO_SURCHARGE = "leave it out where there is no surcharge"
NO_CHOICE = "leave dual_pricing out where there is no other price"


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class Tip(Model):
    """A tip. Source: contract section 4.

    Args:
        type: Whether it is a percentage or a sum.
        mode: Whether the device asks for it, or it is added later. Payroc describes it as
            read-only, and sends it in examples.
        amount: In the currency's smallest unit.
        percentage: Of the total after taxes, in percent, at most 100.
    """

    type: TipType = field(converter=TipType, validator=word)
    mode: TipMode | None = field(default=None, converter=maybe(TipMode), validator=optional(word))
    amount: int | None = field(default=None, validator=optional(above_zero(amount, NO_TIP)))
    percentage: float | None = field(
        default=None, validator=optional(above_zero(percentage, NO_TIP))
    )


@frozen(kw_only=True, eq=False, repr=False)
class Surcharge(Model):
    """A surcharge for paying by card. Source: contract section 4.

    Args:
        bypass: True to leave it out of this sale.
        amount: In the currency's smallest unit. Payroc describes both as read-only, and sends them
            in examples: do not rely on them.
        percentage: In percent.
    """

    bypass: bool | None = field(default=None, validator=optional(flag))
    amount: int | None = field(default=None, validator=optional(above_zero(amount, NO_SURCHARGE)))
    percentage: float | None = field(
        default=None, validator=optional(above_zero(percentage, NO_SURCHARGE))
    )


@frozen(kw_only=True, eq=False, repr=False)
class ChoiceRate(Model):
    """The rate that the customer chose under dual pricing. Source: contract section 4.

    Args:
        applied: Whether it was applied.
        rate: In percent.
        amount: In the currency's smallest unit.
    """

    applied: bool = field(validator=flag)
    rate: float = field(validator=above_zero(percentage, NO_CHOICE))
    amount: int = field(validator=above_zero(amount, NO_CHOICE))


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class DualPricing(Model):
    """Whether the customer was offered another price for another tender.

    Source: contract section 4.

    Args:
        offered: True needs the other two.
    """

    offered: bool = field(validator=flag)
    choice_rate: ChoiceRate | None = field(default=None, validator=optional(is_a(ChoiceRate)))
    alternative_tender: AlternativeTender | None = field(
        default=None, converter=maybe(AlternativeTender), validator=optional(word)
    )

    def __attrs_post_init__(self) -> None:
        for name in ("choice_rate", "alternative_tender"):
            if self.offered and getattr(self, name) is None:
                raise ConfigurationError(name, "is needed where offered is True")


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class Tax(Model):
    """A tax, as a rate in percent, at most 99.99999. Source: contract section 4.

    Args:
        name: 1 to 64 characters. The gateway checks the rate that is stored for it.
    """

    type: TaxType = field(default=TaxType.RATE, converter=TaxType, validator=word)
    rate: float = field(validator=at_most(99.99999))
    name: str = field(validator=text(1, 64))


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class HealthcareExpense(Model):
    """A part of the order that is a healthcare expense. Source: contract section 4.

    Args:
        type: What it is for.
        amount: In the currency's smallest unit.
    """

    type: HealthcareExpenseType = field(converter=HealthcareExpenseType, validator=word)
    amount: int = field(validator=above_zero(amount, "leave out an expense of nothing"))


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class Breakdown(Model):
    """What an order's amount is made of. Source: contract section 4.

    Args:
        subtotal: Before tip, taxes and fees, in the currency's smallest unit.
        cashback_amount: In the currency's smallest unit.
        taxes: A list or a tuple.
        healthcare_expenses: A list or a tuple.
    """

    subtotal: int = field(validator=amount)
    cashback_amount: int | None = field(default=None, validator=optional(amount))
    tip: Tip | None = field(default=None, validator=optional(is_a(Tip)))
    surcharge: Surcharge | None = field(default=None, validator=optional(is_a(Surcharge)))
    dual_pricing: DualPricing | None = field(default=None, validator=optional(is_a(DualPricing)))
    taxes: tuple[Tax, ...] = field(default=(), converter=as_tuple, validator=each(Tax))
    healthcare_expenses: tuple[HealthcareExpense, ...] = field(
        default=(), converter=as_tuple, validator=each(HealthcareExpense, unique=True)
    )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class Order(Model):
    """What is paid for. Source: contract section 4.

    Args:
        order_id: The merchant's own id for it, 1 to 24 characters.
        amount: In the currency's smallest unit: 4999 is 49.99 USD. Or an ``Amount``, of which the
            order keeps the int.
        currency: ISO 4217 code; may be left out beside an ``Amount``, else must agree with it.
        description: At most 1024 characters.
        accept_partial_amount: Whether a part of the amount may be authorized. The gateway's
            default is False.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    order_id: str = field(validator=text(1, 24))
    amount: int = field(converter=int_or_amount, validator=is_sum)
    currency: str = field(
        default=Factory(currency_of_amount, takes_self=True), validator=is_currency_of_amount
    )
    description: str | None = field(default=None, validator=optional(text(0, 1024)), repr=False)
    accept_partial_amount: bool | None = field(default=None, validator=optional(flag))
    breakdown: Breakdown | None = field(default=None, validator=optional(is_a(Breakdown)))

    def __attrs_post_init__(self) -> None:
        keep_minor_units(self)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class RefundOrder(Model):
    """What is refunded. Source: contract section 4.

    Args:
        order_id: The merchant's own id for it, 1 to 24 characters.
        description: Why it is refunded, at most 1024 characters.
        amount: In the currency's smallest unit: 4999 is 49.99 USD. Or an ``Amount``, of which the
            order keeps the int.
        currency: ISO 4217 code; may be left out beside an ``Amount``, else must agree with it.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    order_id: str = field(validator=text(1, 24))
    description: str = field(validator=text(0, 1024), repr=False)
    amount: int = field(converter=int_or_amount, validator=is_sum)
    currency: str = field(
        default=Factory(currency_of_amount, takes_self=True), validator=is_currency_of_amount
    )

    def __attrs_post_init__(self) -> None:
        keep_minor_units(self)
