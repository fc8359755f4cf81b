"""What a search is narrowed by. Source: contract section 7."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError
from payroc_async.wording import a_type, show

from .field_checks import Check, calendar_date, flag, optional, text, word
from .shared import Model

__all__ = ["CardPaymentFilters", "DeviceFilters", "Filters", "PaymentFilters", "RefundFilters"]

LARGEST_PAGE = 100


def digits(count: int) -> Check:
    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        word(instance, attribute, value)
        if not (len(value) == count and value.isascii() and value.isdigit()):
            # What it is, is not said: it may be a whole card number.
            raise ConfigurationError(attribute.name, f"must be a string of {count} digits")

    return check


def _page_size(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_PAGE:
        raise ConfigurationError(
            attribute.name, f"must be a whole number from 1 to {LARGEST_PAGE}, not {show(value)}"
        )


def _day_or_moment(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, date):
        raise ConfigurationError(
            attribute.name, f"must be a date or a datetime, not {a_type(value)}"
        )
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ConfigurationError(
            attribute.name,
            "must have a UTC offset, as datetime.now(UTC) has: a naive time says no moment",
        )


def _words(value: object) -> Any:
    """One word or several, as a tuple."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else value


def _each_word(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple):
        raise ConfigurationError(
            attribute.name, f"must be a word or a list of words, not {a_type(value)}"
        )
    for one in value:
        word(instance, attribute, one)


@frozen(kw_only=True, eq=False, repr=False)
class Filters(Model):
    """What every search is narrowed by. Source: contract section 7."""

    limit: int | None = field(default=None, validator=optional(_page_size))
    before: str | None = field(default=None, validator=optional(word))
    after: str | None = field(default=None, validator=optional(word))

    def __attrs_post_init__(self) -> None:
        if self.before is not None and self.after is not None:
            raise ConfigurationError(
                "before", "can't be used together with after: leave one of them out"
            )


@frozen(kw_only=True, eq=False, repr=False)
class CardPaymentFilters(Filters):
    """What payments and refunds are narrowed by alike. Source: contract section 7.

    Args:
        status: A word, or several: what has one of them fits.
    """

    processing_terminal_id: str | None = field(default=None, validator=optional(text(4, 50)))
    order_id: str | None = field(default=None, validator=optional(text(1, 24)))
    operator: str | None = field(default=None, validator=optional(text(1, 50)))
    cardholder_name: str | None = field(default=None, validator=optional(text(1, 50)), repr=False)
    first6: str | None = field(default=None, validator=optional(digits(6)), repr=False)
    last4: str | None = field(default=None, validator=optional(digits(4)), repr=False)
    tender: str | None = field(default=None, validator=optional(word))
    status: tuple[str, ...] = field(default=(), converter=_words, validator=_each_word)
    date_from: date | datetime | None = field(default=None, validator=optional(_day_or_moment))
    date_to: date | datetime | None = field(default=None, validator=optional(_day_or_moment))
    settlement_state: str | None = field(default=None, validator=optional(word))
    settlement_date: date | None = field(default=None, validator=optional(calendar_date))


@frozen(kw_only=True, eq=False, repr=False)
class PaymentFilters(CardPaymentFilters):
    """Which payments. Source: contract section 7."""

    tip_mode: tuple[str, ...] = field(default=(), converter=_words, validator=_each_word)
    type: tuple[str, ...] = field(default=(), converter=_words, validator=_each_word)
    payment_link_id: str | None = field(default=None, validator=optional(word))


@frozen(kw_only=True, eq=False, repr=False)
class RefundFilters(CardPaymentFilters):
    """Which refunds. Source: contract section 7."""


@frozen(kw_only=True, eq=False, repr=False)
class DeviceFilters(Filters):
    """Which devices. Source: contract section 7."""

    serial_number: str | None = field(default=None, validator=optional(text(1, 64)))
    ksi: str | None = field(default=None, validator=optional(text(1, 16)))
    model: str | None = field(default=None, validator=optional(text(1, 30)))
    active: bool | None = field(default=None, validator=optional(flag))
