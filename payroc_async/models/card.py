"""The card that a payment or a refund was made with. Source: contract section 5."""

from __future__ import annotations

from attrs import field, frozen

from .enums import AvsResult, BenefitCategory, CvvResult, EntryMethod, SecureTokenStatus
from .shared import Link, Model, ReadOnDemand

__all__ = ["Balance", "Card", "EmvTag", "SecureToken", "SecurityChecks"]


@frozen(kw_only=True, eq=False, repr=False)
class SecureToken(Model):
    """What stands for the card in Payroc's vault. Source: contract sections 5 and 15."""

    secure_token_id: str = field(repr=False)
    customer_name: str | None = field(default=None, repr=False)
    token: str = field(repr=False)
    status: SecureTokenStatus | None = None
    link: Link | None = field(default=None, repr=False)  # its path ends in the token's id


@frozen(kw_only=True, eq=False, repr=False)
class SecurityChecks(Model):
    """What the checks of security code and address gave. Source: contract section 5."""

    cvv_result: CvvResult | None = field(default=None, repr=False)
    avs_result: AvsResult | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class EmvTag(Model):
    """One tag of what the chip said. Source: contract section 5."""

    hex: str | None = field(default=None, repr=False)
    value: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class Balance(Model):
    """What is left on the card, in the currency's smallest unit. Source: contract section 5."""

    benefit_category: BenefitCategory | None = None
    amount: int | None = None
    currency: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Card(ReadOnDemand):
    """The card that paid. Source: contract section 5. Its repr tells brand and entry alone.

    Attributes:
        type: The brand.
        card_number: Masked: the first six digits and the last four.
        expiry_date: ``MMYY``.
    """

    type: str | None = None
    entry_method: EntryMethod | None = None
    cardholder_name: str | None = field(default=None, repr=False)
    cardholder_signature: str | None = field(default=None, repr=False)
    card_number: str | None = field(default=None, repr=False)
    expiry_date: str | None = field(default=None, repr=False)
    secure_token: SecureToken | None = field(default=None, repr=False)
    security_checks: SecurityChecks | None = field(default=None, repr=False)
    emv_tags: tuple[EmvTag, ...] = field(default=(), repr=False)
    balances: tuple[Balance, ...] = field(default=(), repr=False)
