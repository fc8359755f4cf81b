"""Sums of money: what people write, and the smallest units that Payroc counts in.

Converted exactly, never by way of a float. How many digits a currency has is asked of ``iso4217``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn, cast

from attrs import Attribute, field, frozen

from payroc_async.errors import ConfigurationError
from payroc_async.logs import get_logger
from payroc_async.wording import a_type

from . import field_checks as checks
from .field_checks import LARGEST
from .shared import Model

__all__ = ["Amount", "digits_after_point", "in_words"]

logger = get_logger(__name__)

NO_TABLE = (
    "this program was packaged without table.xml of the package iso4217; PyInstaller takes it with "
    "`--collect-data iso4217`"
)
MOST_DIGITS = 25
"""More than any sum in range has; asked first, for ``int`` refuses text of 4,300 digits itself."""


@cache
def _digits() -> dict[str, int] | None:
    """The digits of each currency; None where the program was packaged without the table."""
    try:
        # Imported here: it reads an XML file, which takes longer than importing this package.
        import iso4217

        return {
            str(code): int(digits)
            for code, entry in iso4217.raw_table.items()
            if (digits := str(entry.get("CcyMnrUnts"))).isdigit()  # gold has none, nor a test code
        }
    except Exception as error:  # a sale that was approved must get its receipt, whatever is missing
        logger.error("the table of currencies can't be read (%s): %s", error, NO_TABLE)
        return None


def digits_after_point(currency: str) -> int | None:
    """How many digits a sum has after the point: 2 for USD, 0 for JPY.

    Returns:
        The exponent of ISO 4217; None if it has no such currency, or one without a smallest unit,
        or if the program was packaged without the table of currencies.
    """
    return (_digits() or {}).get(currency)


def in_words(minor_units: int | None, currency: str | None, *, digits: int | None = None) -> str:
    """Any sum that an answer may hold, for people: ``49.99 USD``.

    Args:
        minor_units: In the currency's smallest unit, whatever its sign; None if it is not known.
        currency: Whatever the gateway calls it; None if it is not known.
        digits: How many there are after the point, where something else than ISO 4217 says so.
    """
    if minor_units is None:
        return f"? {currency}" if currency else "?"
    if currency is None:
        return f"{minor_units} of the smallest unit of an unknown currency"
    if digits is None:
        digits = digits_after_point(currency)
    if digits is None:
        return f"{minor_units} of the smallest unit of {currency}"
    return f"{_with_point(minor_units, digits)} {currency}"


def _with_point(minor_units: int, digits: int) -> str:
    # Text, and not Decimal: exact, whatever the precision of the caller's decimal context.
    sign = "-" if minor_units < 0 else ""
    text = str(abs(minor_units)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def _in_iso_4217(instance: Amount, attribute: Attribute[str], value: str) -> None:
    checks.currency(instance, attribute, value)
    if digits_after_point(value) is None:
        _refuse_currency()


def _refuse_currency() -> NoReturn:
    if _digits() is None:
        raise ConfigurationError("currency", f"can't be looked up: {NO_TABLE}")
    raise ConfigurationError("currency", "must be an ISO 4217 code with a smallest unit, as USD")


@frozen(order=False, eq=False, repr=False)
class Amount(Model):
    """A sum of money in one currency, exact, and never negative.

    ``Amount(4999, "USD")`` and ``Amount.parse("49.99", "USD")`` are the same. The first one that a
    process makes takes a few milliseconds more, to read the table of currencies.

    Amounts of one currency add up, subtract down to zero, and compare. What would mix currencies or
    fall below zero is an error. To add many: ``sum(amounts, start=Amount(0, "USD"))``.

    Source: contract section 4 (sums are integers in the currency's smallest unit).

    Args:
        minor_units: In the currency's smallest unit; never a float.
        currency: ISO 4217 code.

    Raises:
        ConfigurationError: A value is wrong, ISO 4217 has no such currency, or the program was
            packaged without the table of currencies.
    """

    minor_units: int = field(validator=checks.amount)
    currency: str = field(validator=_in_iso_4217)

    @classmethod
    def parse(cls, text: str, currency: str) -> Amount:
        """The amount that a plain decimal number says: 4999 minor units for ``49.99`` and USD.

        Args:
            text: ASCII digits, with a point and more digits if need be: no sign, no exponent, no
                thousands separators, no spaces.
            currency: ISO 4217 code.

        Raises:
            ConfigurationError: It is not such a number, or has more digits after the point than the
                currency.
        """
        digits = digits_after_point(currency) if isinstance(currency, str) else None
        if digits is None:
            _refuse_currency()
        if not isinstance(text, str):
            _refuse_type(text)
        found = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text)
        if found is None:
            raise ConfigurationError("amount", "must be a plain number, such as 49.99")
        whole, part = found[1].lstrip("0"), found[2] or ""
        if len(part) > digits:
            said = f"{digits} digit{'' if digits == 1 else 's'} after the point"
            raise ConfigurationError(
                "amount", f"must have at most {said} in {currency}, has {len(part)}"
            )
        minor_units = whole + part.ljust(digits, "0")
        if len(minor_units) > MOST_DIGITS or int(minor_units or "0") > LARGEST:
            raise ConfigurationError(
                "amount", f"must not be more than {LARGEST} of the smallest unit"
            )
        return cls(int(minor_units or "0"), currency)

    @property
    def decimal(self) -> Decimal:
        """In major units, exact: ``Decimal("49.99")``."""
        digits = digits_after_point(self.currency)
        if digits is None:  # made by a process that has the table, and pickled
            _refuse_currency()
        return Decimal(_with_point(self.minor_units, digits))

    def __str__(self) -> str:
        return in_words(self.minor_units, self.currency)

    def __repr__(self) -> str:
        return f"Amount({self.minor_units}, {self.currency!r})"

    def __add__(self, other: Amount) -> Amount:
        if not isinstance(other, Amount):
            return NotImplemented
        return Amount(self.minor_units + self._same(other), self.currency)

    def __sub__(self, other: Amount) -> Amount:
        if not isinstance(other, Amount):
            return NotImplemented
        return Amount(self.minor_units - self._same(other), self.currency)

    def __lt__(self, other: Amount) -> bool:
        return self.minor_units < self._same(other) if isinstance(other, Amount) else NotImplemented

    def __le__(self, other: Amount) -> bool:
        return (
            self.minor_units <= self._same(other) if isinstance(other, Amount) else NotImplemented
        )

    def __gt__(self, other: Amount) -> bool:
        return self.minor_units > self._same(other) if isinstance(other, Amount) else NotImplemented

    def __ge__(self, other: Amount) -> bool:
        return (
            self.minor_units >= self._same(other) if isinstance(other, Amount) else NotImplemented
        )

    def _same(self, other: Amount) -> int:
        if other.currency != self.currency:
            raise ConfigurationError(
                "currency",
                f"{self.currency} and {other.currency} do not mix",
            )
        return other.minor_units


def _refuse_type(value: object) -> NoReturn:
    why = ""
    if isinstance(value, float):
        why = ": a binary float holds most sums only nearly, so pass what was typed"
    elif isinstance(value, int):
        why = ", which says no unit: for smallest units, there is Amount(4999, 'USD')"
    elif isinstance(value, Decimal):
        why = ": pass str() of it"
    raise ConfigurationError(
        "amount", f"must be a string, such as '49.99', not {a_type(value)}{why}"
    )


# How an order takes an Amount, or an int beside a currency; it keeps the int, which is sent.


def int_or_amount(value: int | Amount) -> int:
    """As it came, until the order is checked: a converter, for what it says the type checkers."""
    return cast(int, value)


def is_sum(instance: Any, attribute: Attribute[Any], value: object) -> None:
    """Checks for an ``Amount``, or a sum in the currency's smallest unit."""
    if isinstance(value, Amount):
        return
    if isinstance(value, bool) or not isinstance(value, int):
        checks.refuse_sum(attribute, value, 'pass 4999 or Amount.parse("49.99", "USD")')
    checks.amount(instance, attribute, value)


def currency_of_amount(instance: Any) -> str:
    """The currency where none was given: that of the ``Amount``."""
    if isinstance(instance.amount, Amount):
        return instance.amount.currency
    raise ConfigurationError(
        "currency", 'is needed, as currency="USD", unless the amount is an Amount'
    )


def is_currency_of_amount(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for a currency that agrees with the ``Amount``, if there is one."""
    checks.currency(instance, attribute, value)
    if isinstance(instance.amount, Amount) and instance.amount.currency != value:
        raise ConfigurationError(
            attribute.name,
            f"is {value}, but the amount is in {instance.amount.currency}: leave it out",
        )


def keep_minor_units(instance: Any) -> None:
    """Leaves the int of an ``Amount`` in a frozen model; for its ``__attrs_post_init__``."""
    if isinstance(instance.amount, Amount):
        object.__setattr__(instance, "amount", instance.amount.minor_units)
