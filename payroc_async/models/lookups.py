"""What a card is, and what is left on it: look-ups that move no money. Source: contract section 13.

A request is checked when it is made, and raises ``ConfigurationError``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError

from .card import Card
from .charge import SecureTokenPayload
from .customers import Customer
from .enums import OpenEnum, ResponseCode
from .field_checks import above_zero, amount, currency, is_a, optional, text
from .requests import EbtDetails
from .secure_token import Surcharging
from .shared import Model, Raw, ReadOnDemand

__all__ = [
    "BalanceInquiry",
    "BinLookup",
    "CardBalance",
    "CardBinPayload",
    "CardInfo",
    "ServiceFee",
    "ServiceFeeBasis",
    "SingleUseTokenPayload",
]


class ServiceFeeBasis(OpenEnum):
    """What a service fee is reckoned by. Source: contract section 13."""

    CREDIT_PERCENTAGE = "creditPercentage"
    DEBIT_PERCENTAGE = "debitPercentage"
    DEBIT_AMOUNT = "debitAmount"


def _bin(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    text()(instance, attribute, value)
    if not (6 <= len(value) <= 12 and value.isascii() and value.isdigit()):
        # What it is, is not said: it may be a whole card number.
        raise ConfigurationError(
            attribute.name, "must be 6 to 12 digits: the first ones of a card's number, not all"
        )


@frozen(kw_only=True, eq=False, repr=False)
class CardBinPayload(Model):
    """The beginning of a card's number. Source: contract section 13.

    Args:
        bin: 6 to 12 digits.
    """

    type: str = field(default="cardBin", init=False)
    bin: str = field(validator=_bin, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class SingleUseTokenPayload(Model):
    """A token that stands for a card once, as a payment page makes one.

    Source: contract section 13.

    Args:
        token: Its 128 characters.
        ebt_details: Which EBT benefit is meant.
    """

    type: str = field(default="singleUseToken", init=False)
    token: str = field(validator=text(128, 128), repr=False)
    ebt_details: EbtDetails | None = field(default=None, validator=optional(is_a(EbtDetails)))


def _card(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, CardBinPayload):
        is_a(SecureTokenPayload)(instance, attribute, value)


@frozen(kw_only=True, eq=False, repr=False)
class BinLookup(Model):
    """Asks what a card is. Source: contract section 13.

    Args:
        card: A saved card, or the beginning of a card's number.
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters; without
            it, what is said of a surcharge may not be the merchant's.
        amount: What is to be paid, in the currency's smallest unit, so that a surcharge is said as
            an amount.
        currency: ISO 4217 code; needed beside ``amount``.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    card: CardBinPayload | SecureTokenPayload = field(validator=_card)
    processing_terminal_id: str | None = field(default=None, validator=optional(text(4, 50)))
    amount: int | None = field(
        default=None,
        validator=optional(above_zero(amount, "leave it out where no amount is known yet")),
    )
    currency: str | None = field(default=None, validator=optional(currency))

    def __attrs_post_init__(self) -> None:
        if self.amount is not None and self.currency is None:
            raise ConfigurationError("currency", 'is needed beside amount, as currency="USD"')


@frozen(kw_only=True, eq=False, repr=False)
class BalanceInquiry(Model):
    """Asks what is left on an EBT card. Source: contract section 13.

    Args:
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters. One
            outside a sharing group for EBT is refused with 400.
        currency: ISO 4217 code.
        card: The card, as a single-use token: no device can ask for a balance.
        operator: Who asks.
        customer: Whose card it is.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    processing_terminal_id: str = field(validator=text(4, 50))
    currency: str = field(validator=currency)
    card: SingleUseTokenPayload = field(validator=is_a(SingleUseTokenPayload))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))
    customer: Customer | None = field(default=None, validator=optional(is_a(Customer)))


@frozen(kw_only=True, eq=False, repr=False)
class ServiceFee(Model):
    """The fee that comes on top. Source: contract section 13.

    Attributes:
        amount: In the currency's smallest unit.
        percentage: In percent.
        disclosure: What the customer has to be shown.
    """

    applicable: bool | None = None
    amount: int | None = None
    percentage: float | None = None
    basis: ServiceFeeBasis | None = None
    disclosure: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class CardInfo(ReadOnDemand):
    """What a card is. Source: contract section 13. Any part may be missing.

    Attributes:
        type: The brand.
        card_number: Masked: the first six digits and the last four.
        country: Where it was issued, two letters.
        surcharging: Only where the merchant surcharges.
        raw: The whole JSON object.
    """

    type: str | None = None
    card_number: str | None = field(default=None, repr=False)
    country: str | None = None
    currency: str | None = None
    debit: bool | None = None
    healthcare: bool | None = None
    surcharging: Surcharging | None = None
    service_fee: ServiceFee | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


@frozen(kw_only=True, eq=False, repr=False)
class CardBalance(ReadOnDemand):
    """What is left on a card. Source: contract section 13. Any part may be missing.

    A refusal is answered with HTTP 200 too: its balances are not to be used, unless ``approved``.

    Attributes:
        card: The card; its ``balances`` are what is left, in the currency's smallest unit.
        response_code: What the issuer said.
        raw: The whole JSON object.
    """

    processing_terminal_id: str | None = None
    operator: str | None = None
    card: Card | None = None
    response_code: ResponseCode | None = None
    response_message: str | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

    @property
    def approved(self) -> bool:
        """Whether the issuer answered, so that the balances may be used."""
        return self.response_code == ResponseCode.A
