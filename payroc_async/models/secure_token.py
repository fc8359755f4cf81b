"""Saved cards: secure tokens. Source: contract section 12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError

from .customers import RetrievedCustomer
from .enums import MitAgreement, SecureTokenStatus
from .field_checks import optional, text
from .filters import Filters, digits
from .shared import Model, Raw, ReadOnDemand
from .transaction import CustomField

__all__ = [
    "RetrievedSecureToken",
    "SecureTokenFilters",
    "SecureTokenSource",
    "Surcharging",
]


@frozen(kw_only=True, eq=False, repr=False)
class Surcharging(Model):
    """Whether a surcharge may be added to the card's payments. Source: contract section 13.

    Attributes:
        amount: In the currency's smallest unit.
        percentage: In percent.
        disclosure: What the customer has to be shown.
    """

    allowed: bool | None = None
    amount: int | None = None
    percentage: float | None = None
    disclosure: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class SecureTokenSource(Model):
    """What a secure token stands for. Source: contract section 12. Its repr shows the kind alone.

    Attributes:
        type: ``card``, or the kind of bank account, of which only this is read.
        card_number: Masked: the first six digits and the last four.
        expiry_date: ``MMYY``.
    """

    type: str | None = None
    cardholder_name: str | None = field(default=None, repr=False)
    card_number: str | None = field(default=None, repr=False)
    expiry_date: str | None = field(default=None, repr=False)
    card_type: str | None = None
    currency: str | None = None
    debit: bool | None = None
    surcharging: Surcharging | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedSecureToken(ReadOnDemand):
    """A saved card. Source: contract section 12. Its repr shows neither token nor customer.

    ``secure_token_id`` and ``token`` are there for sure.

    Attributes:
        secure_token_id: Names the record: what ``secure_tokens.retrieve`` and ``delete`` take.
        token: What a ``SecureTokenPayload`` charges.
        status: Whether the card was validated, and how.
        raw: The whole JSON object.
    """

    secure_token_id: str = field(repr=False)
    processing_terminal_id: str | None = None
    mit_agreement: MitAgreement | None = None
    customer: RetrievedCustomer | None = field(default=None, repr=False)
    source: SecureTokenSource | None = None
    token: str = field(repr=False)
    status: SecureTokenStatus | None = None
    custom_fields: tuple[CustomField, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


def _token(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    text()(instance, attribute, value)
    if not (12 <= len(value) <= 19 and value.isascii() and value.isdigit()):
        raise ConfigurationError(attribute.name, "must be a string of 12 to 19 digits")


@frozen(kw_only=True, eq=False, repr=False)
class SecureTokenFilters(Filters):
    """Which secure tokens. Source: contract section 12."""

    secure_token_id: str | None = field(default=None, validator=optional(text(1, 200)), repr=False)
    customer_name: str | None = field(default=None, validator=optional(text(1, 50)), repr=False)
    phone: str | None = field(default=None, validator=optional(text(1, 15)), repr=False)
    email: str | None = field(default=None, validator=optional(text(1, 100)), repr=False)
    token: str | None = field(default=None, validator=optional(_token), repr=False)
    first6: str | None = field(default=None, validator=optional(digits(6)), repr=False)
    last4: str | None = field(default=None, validator=optional(digits(4)), repr=False)
