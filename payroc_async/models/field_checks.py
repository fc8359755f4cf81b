"""The checks that request models make on construction, as attrs validators and converters.

Each raises ``ConfigurationError`` with the field's name. A reason may show a number, but never a
string: that may be a name or an address.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, NoReturn

from attrs import Attribute
from attrs import validators as attrs_validators

from payroc_async.errors import ConfigurationError
from payroc_async.wording import a_type, show, with_article

__all__ = [
    "LARGEST",
    "above_zero",
    "amount",
    "as_tuple",
    "at_most",
    "calendar_date",
    "currency",
    "each",
    "flag",
    "is_a",
    "name_the_field",
    "number",
    "optional",
    "percentage",
    "record_id",
    "refuse_sum",
    "text",
    "word",
]

Check = Callable[[Any, "Attribute[Any]", Any], None]

optional = attrs_validators.optional

LARGEST = 2**63 - 1  # what a signed 64-bit integer holds; orjson writes hardly more


def _refuse_type(attribute: Attribute[Any], wanted: str, value: object) -> NoReturn:
    raise ConfigurationError(attribute.name, f"must be {wanted}, not {a_type(value)}")


def text(least: int = 0, most: int | None = None) -> Check:
    """Checks for a string of ``least`` to ``most`` characters."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, str):
            _refuse_type(attribute, "a string", value)
        if len(value) < least or (most is not None and len(value) > most):
            wanted = f"{least} to {most} characters" if most else f"at least {least} character"
            wanted = f"{most} characters" if least == most else wanted
            raise ConfigurationError(attribute.name, f"must have {wanted}, has {len(value)}")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigurationError(
                attribute.name,
                "must be valid text: it holds half a surrogate pair, as a broken emoji does",
            )

    return check


word = text(least=1)
"""Checks an enum's word; which word is open, for the gateway may know more than the contract."""


def currency(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for the shape of an ISO 4217 code."""
    text()(instance, attribute, value)
    if not (len(value) == 3 and value.isascii() and value.isalpha() and value.isupper()):
        raise ConfigurationError(attribute.name, "must be three upper-case letters, as in USD")


def amount(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for a sum in the currency's smallest unit."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse_sum(attribute, value, 'pass 4999 or Amount.parse("49.99", "USD").minor_units')
    if value < 0:
        raise ConfigurationError(attribute.name, f"must not be negative, is {show(value)}")
    if value > LARGEST:
        raise ConfigurationError(attribute.name, f"must not be more than {LARGEST}")


def refuse_sum(attribute: Attribute[Any], value: object, instead: str) -> NoReturn:
    """Refuse what is no int, and say what to pass for 49.99 USD."""
    raise ConfigurationError(
        attribute.name,
        f"must be an int, in the currency's smallest unit, not {a_type(value)}: "
        f"for 49.99 USD, {instead}",
    )


def record_id(name: str, value: object) -> int:
    """The id of a record that is named by a number, as those of settlement are.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(name, f"must be an int, not {a_type(value)}")
    if not 0 <= value <= LARGEST:
        raise ConfigurationError(
            name, f"must be from 0 to {LARGEST}, as the gateway gave it, is {show(value)}"
        )
    return value


def above_zero(check: Check, instead: str) -> Check:
    """Checks with ``check``, and for more than 0; ``instead`` says what to do where there is none.

    Payroc refuses a 0 where it means nothing, such as a tip of 0.
    """

    def more_than_0(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
            raise ConfigurationError(
                attribute.name, f"must be more than 0, is {show(value)}: {instead}"
            )
        check(instance, attribute, value)

    return more_than_0


def number(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for a finite number of at least 0, such as a rate."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse_type(attribute, "a number", value)
    if not 0 <= value <= LARGEST:  # not a number is neither
        raise ConfigurationError(
            attribute.name, f"must be a finite number of at least 0, not {show(value)}"
        )


def at_most(most: float) -> Check:
    """Checks for a number from 0 to ``most``, such as a percentage."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        number(instance, attribute, value)
        if value > most:
            raise ConfigurationError(
                attribute.name, f"must not be more than {most}, is {show(value)}"
            )

    return check


percentage = at_most(100)


def flag(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for True or False."""
    if not isinstance(value, bool):
        _refuse_type(attribute, "True or False", value)


def calendar_date(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for a date without a time."""
    if isinstance(value, datetime) or not isinstance(value, date):
        _refuse_type(attribute, "a date", value)


def is_a(model: type) -> Check:
    """Checks for an instance of ``model``."""

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, model):
            _refuse_type(attribute, with_article(model.__name__), value)

    return check


def each(*models: type, least: int = 0, unique: bool = False) -> Check:
    """Checks that a tuple holds instances of ``models`` alone, and at least so many.

    ``unique`` refuses one that is there twice, as Payroc does of some lists.
    """
    names = " or ".join(model.__name__ for model in models)

    def check(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        if len(value) < least:
            raise ConfigurationError(attribute.name, f"must have at least {least} item")
        for item in value:
            if not isinstance(item, models):
                raise ConfigurationError(
                    attribute.name, f"must hold {names} alone, and holds {a_type(item)}"
                )
        twice = next((at for at, item in enumerate(value) if item in value[:at]), None)
        if unique and twice is not None:
            raise ConfigurationError(
                attribute.name,
                f"must not hold the same {type(value[twice]).__name__} twice: leave out item "
                f"{twice}, which is item {value.index(value[twice])} again, counted from 0",
            )

    return check


def as_tuple(value: list[Any] | tuple[Any, ...]) -> tuple[Any, ...]:
    """A list or tuple as a tuple, so that a frozen model cannot change."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"must be a list or a tuple, not {a_type(value)}")
    return tuple(value)


def name_the_field(cls: type, fields: list[Attribute[Any]]) -> list[Attribute[Any]]:
    """Puts the field's name on what a converter refuses: a hook for ``field_transformer``.

    A converter is not reported which field it works for, as a validator is.
    """
    return [
        field.evolve(converter=_naming(field.name, field.converter)) if field.converter else field
        for field in fields
    ]


def _naming(name: str, converter: Any) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        try:
            return converter(value)
        except (TypeError, ValueError) as error:
            reason = str(error)
        # Raised out here, so that no context carries the value along.
        raise ConfigurationError(name, reason)

    return convert
