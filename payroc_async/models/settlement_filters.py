"""What a search of settlement reports is narrowed by. Source: contract section 11."""

from __future__ import annotations

import datetime
from typing import Any

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError

from .field_checks import calendar_date, optional, record_id, word
from .filters import Filters

__all__ = ["AuthorizationFilters", "BatchFilters", "TransactionFilters"]


def _record_id(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    record_id(attribute.name, value)


@frozen(kw_only=True, eq=False, repr=False)
class BatchFilters(Filters):
    """Which batches. Source: contract section 11."""

    date: datetime.date = field(validator=calendar_date)
    merchant_id: str | None = field(default=None, validator=optional(word))


@frozen(kw_only=True, eq=False, repr=False)
class AuthorizationFilters(Filters):
    """Which authorizations; a day or a batch is needed. Source: contract section 11."""

    date: datetime.date | None = field(default=None, validator=optional(calendar_date))
    batch_id: int | None = field(default=None, validator=optional(_record_id))
    merchant_id: str | None = field(default=None, validator=optional(word))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.date is None and self.batch_id is None:
            raise ConfigurationError("date", "is needed, or else batch_id: give one of them")


@frozen(kw_only=True, eq=False, repr=False)
class TransactionFilters(AuthorizationFilters):
    """Which transactions; a day or a batch is needed. Source: contract section 11."""

    transaction_type: str | None = field(default=None, validator=optional(word))
