"""Sums as people write them, and as the gateway counts them; converted exactly, never as floats."""

from __future__ import annotations

import re
from decimal import Decimal

import iso4217

from payroc_async import ConfigurationError

__all__ = ["exponent_of", "in_words", "to_smallest_unit"]


def exponent_of(currency: str) -> int:
    """How many digits the currency has after the point: 2 for USD, 0 for JPY.

    Raises:
        ConfigurationError: There is no such currency, or it has no smallest unit, as gold.
    """
    entry = iso4217.raw_table.get(currency, {})
    digits = str(entry.get("CcyMnrUnts"))
    if not digits.isdigit():
        raise ConfigurationError("currency", "must be an ISO 4217 code, such as USD")
    return int(digits)


def to_smallest_unit(text: str, currency: str) -> int:
    """The amount in the currency's smallest unit: 4999 for ``49.99`` and USD.

    Raises:
        ConfigurationError: It is not plain decimal text, is zero, or has more digits after the
            point than the currency.
    """
    exponent = exponent_of(currency)
    found = re.fullmatch(r"[0-9]+(?:\.([0-9]+))?", text)
    if found is None:
        raise ConfigurationError("amount", "must be a plain number, such as 49.99")
    if len(found[1] or "") > exponent:
        digits = f"{exponent or 'no'} digit{'' if exponent == 1 else 's'} after the point"
        raise ConfigurationError("amount", f"has too many digits: {currency} has {digits}")
    # Digits alone: moving the point by appending is exact, whatever a decimal context's precision.
    amount = int(text.replace(".", "") + "0" * (exponent - len(found[1] or "")))
    if amount == 0:
        raise ConfigurationError("amount", "must be more than zero")
    return amount


def in_words(amount: int | None, currency: str) -> str:
    """The amount in major units with its currency, as in ``49.99 USD``."""
    if amount is None:
        return f"? {currency}"
    try:
        exponent = exponent_of(currency)
    except ConfigurationError:
        return f"{amount} of the smallest unit of {currency}"
    return f"{Decimal(amount).scaleb(-exponent):,.{exponent}f} {currency}"
