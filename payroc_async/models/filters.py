"""What a search is narrowed by. Source: contract section 7."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError
from payroc_async.wording import a_type, show

from .checks import Check, calendar_date, flag, optional, word
from .shared import Model

__all__ = ["DeviceFilters", "Filters", "PaymentFilters"]

LARGEST_PAGE = 1_000_000


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
class PaymentFilters(Filters):
    """Which payments. Source: contract section 7."""

    processing_terminal_id: str | None = field(default=None, validator=optional(word))
    order_id: str | None = field(default=None, validator=optional(word))
    operator: str | None = field(default=None, validator=optional(word))
    cardholder_name: str | None = field(default=None, validator=optional(word), repr=False)
    first6: str | None = field(default=None, validator=optional(digits(6)), repr=False)
    last4: str | None = field(default=None, validator=optional(digits(4)), repr=False)
    tender: str | None = field(default=None, validator=optional(word))
    tip_mode: str | None = field(default=None, validator=optional(word))
    type: str | None = field(default=None, validator=optional(word))
    status: str | None = field(default=None, validator=optional(word))
    date_from: date | datetime | None = field(default=None, validator=optional(_day_or_moment))
    date_to: date | datetime | None = field(default=None, validator=optional(_day_or_moment))
    settlement_state: str | None = field(default=None, validator=optional(word))
    settlement_date: date | None = field(default=None, validator=optional(calendar_date))
    payment_link_id: str | None = field(default=None, validator=optional(word))


@frozen(kw_only=True, eq=False, repr=False)
class DeviceFilters(Filters):
    """Which devices. Source: contract section 7."""

    serial_number: str | None = field(default=None, validator=optional(word))
    ksi: str | None = field(default=None, validator=optional(word))
    model: str | None = field(default=None, validator=optional(word))
    active: bool | None = field(default=None, validator=optional(flag))
