"""Who pays: the customer as the caller gives it, and as the gateway gives it back.

A request model is checked when it is made. Its ``Retrieved`` counterpart takes what comes.
No repr shows what would tell who the customer is.
"""

from __future__ import annotations

from datetime import date

from attrs import Attribute, field, frozen
from attrs.converters import optional as maybe

from .enums import ContactType, NotificationLanguage
from .field_checks import as_tuple, calendar_date, each, is_a, name_the_field, optional, text, word
from .shared import Model

__all__ = [
    "Address",
    "ContactMethod",
    "Customer",
    "RetrievedAddress",
    "RetrievedContactMethod",
    "RetrievedCustomer",
    "RetrievedShippingAddress",
    "ShippingAddress",
]


@frozen(kw_only=True, eq=False, repr=False)
class Address(Model):
    """A postal address to send. Source: contract section 4."""

    address1: str = field(validator=text(0, 150), repr=False)
    address2: str | None = field(default=None, validator=optional(text(0, 150)), repr=False)
    address3: str | None = field(default=None, validator=optional(text(0, 150)), repr=False)
    city: str = field(validator=text(0, 50), repr=False)
    state: str = field(validator=text(0, 50), repr=False)
    country: str = field(validator=text(2, 2), repr=False)
    postal_code: str = field(validator=text(0, 10), repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class ShippingAddress(Model):
    """Where an order goes, and to whom. Source: contract section 4."""

    recipient_name: str | None = field(default=None, validator=optional(text(0, 50)), repr=False)
    address: Address | None = field(default=None, validator=optional(is_a(Address)))


def _fits_type(instance: ContactMethod, attribute: Attribute[str], value: str) -> None:
    known = isinstance(instance.type, ContactType) and instance.type.known
    most = 15 if known and instance.type != ContactType.EMAIL else 50
    text(0, most)(instance, attribute, value)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class ContactMethod(Model):
    """A way to reach the customer. Source: contract section 4.

    Args:
        value: At most 50 characters of an email address, 15 of a number.
    """

    type: ContactType = field(converter=ContactType, validator=word)
    value: str = field(validator=_fits_type, repr=False)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class Customer(Model):
    """Who pays. Source: contract section 4.

    Args:
        contact_methods: A list or a tuple.
    """

    first_name: str | None = field(default=None, validator=optional(text(0, 60)), repr=False)
    last_name: str | None = field(default=None, validator=optional(text(0, 60)), repr=False)
    date_of_birth: date | None = field(default=None, validator=optional(calendar_date), repr=False)
    reference_number: str | None = field(default=None, validator=optional(text(0, 48)), repr=False)
    billing_address: Address | None = field(default=None, validator=optional(is_a(Address)))
    shipping_address: ShippingAddress | None = field(
        default=None, validator=optional(is_a(ShippingAddress))
    )
    contact_methods: tuple[ContactMethod, ...] = field(
        default=(), converter=as_tuple, validator=each(ContactMethod, unique=True)
    )
    notification_language: NotificationLanguage | None = field(
        default=None,
        converter=maybe(NotificationLanguage),
        validator=optional(text(2, 2)),
    )


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedAddress(Model):
    """A postal address as read back; any part may be missing. Source: contract section 4."""

    address1: str | None = field(default=None, repr=False)
    address2: str | None = field(default=None, repr=False)
    address3: str | None = field(default=None, repr=False)
    city: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    country: str | None = field(default=None, repr=False)
    postal_code: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedShippingAddress(Model):
    """Where an order goes, as read back. Source: contract section 4."""

    recipient_name: str | None = field(default=None, repr=False)
    address: RetrievedAddress | None = None


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedContactMethod(Model):
    """A way to reach the customer, as read back. Source: contract section 4."""

    type: ContactType | None = None
    value: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class RetrievedCustomer(Model):
    """Who paid, as read back. Source: contract sections 4 and 5."""

    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    date_of_birth: date | None = field(default=None, repr=False)
    reference_number: str | None = field(default=None, repr=False)
    billing_address: RetrievedAddress | None = None
    shipping_address: RetrievedShippingAddress | None = None
    contact_methods: tuple[RetrievedContactMethod, ...] = ()
    notification_language: NotificationLanguage | None = None
