"""``Amount``: parsed and shown exactly, in every currency, and how orders take it."""

from __future__ import annotations

import copy
import decimal
import functools
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import iso4217
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.errors import ConfigurationError
from payroc_async.models.amount import digits_after_point, in_words
from payroc_async.wire.converter import encode

Amount = m.Amount

# Read from the library's XML here, and not through the code under test.
CURRENCIES: dict[str, int] = {
    entry.findtext("Ccy", ""): int(entry.findtext("CcyMnrUnts", ""))
    for entry in iso4217.raw_xml.findall("CcyTbl/CcyNtry")
    if entry.findtext("CcyMnrUnts", "").isdigit()
}
LARGEST = 2**63 - 1
SUMS = st.builds(Amount, st.integers(0, LARGEST), st.sampled_from(sorted(CURRENCIES)))


def refused(field: str, *arguments: Any, by: Any = Amount.parse) -> str:
    with pytest.raises(ConfigurationError) as caught:
        by(*arguments)
    assert caught.value.field == field
    assert caught.value.__context__ is None
    return caught.value.reason


@pytest.mark.parametrize(
    ("text", "currency", "minor_units", "shown"),
    [
        ("49.99", "USD", 4999, "49.99 USD"),
        ("1200", "JPY", 1200, "1200 JPY"),
        ("1.234", "BHD", 1234, "1.234 BHD"),
        ("49.9", "USD", 4990, "49.90 USD"),
        ("49", "USD", 4900, "49.00 USD"),
        ("0", "USD", 0, "0.00 USD"),
        ("0.00", "USD", 0, "0.00 USD"),
        ("0.05", "USD", 5, "0.05 USD"),
        ("0.005", "BHD", 5, "0.005 BHD"),
        ("0.0001", "CLF", 1, "0.0001 CLF"),
        ("007.10", "EUR", 710, "7.10 EUR"),
        ("000", "JPY", 0, "0 JPY"),
        ("92233720368547758.07", "USD", LARGEST, "92233720368547758.07 USD"),
        ("0" * 50 + "1", "USD", 100, "1.00 USD"),
    ],
)
def test_parse(text: str, currency: str, minor_units: int, shown: str) -> None:
    """Plain decimal text gives the smallest units, and is shown with all of its digits."""
    amount = Amount.parse(text, currency)
    assert (amount.minor_units, amount.currency) == (minor_units, currency)
    assert type(amount.minor_units) is int
    assert str(amount) == shown
    assert amount == Amount(minor_units, currency)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ".", "-1", "+1", "1e2", "1E2", "1,000", "1.000,00", "1'000", "1_000", " 1", "1 ",
        "1\n", "1.", ".5", "1.2.3", "0x10", "\N{ARABIC-INDIC DIGIT ONE}", "²",
        "\N{FULLWIDTH DIGIT ONE}",
        "NaN", "Infinity", "$1", "1 USD", "\0", "1/2", "--1",
    ],
)  # fmt: skip
def test_what_is_no_plain_number(text: str) -> None:
    """Signs, exponents, separators, spaces, other digits than ASCII, and nothing are refused."""
    assert refused("amount", text, "USD") == "must be a plain number, such as 49.99"


@pytest.mark.parametrize(
    ("text", "currency", "said"),
    [
        ("49.999", "USD", "at most 2 digits after the point in USD, has 3"),
        ("49.990", "USD", "at most 2 digits after the point in USD, has 3"),
        ("1200.0", "JPY", "at most 0 digits after the point in JPY, has 1"),
        ("1.2345", "BHD", "at most 3 digits after the point in BHD, has 4"),
    ],
)
def test_too_many_digits(text: str, currency: str, said: str) -> None:
    """More digits than the currency has are refused, zeros too: they tell of a mistake."""
    assert refused("amount", text, currency) == f"must have {said}"


@pytest.mark.parametrize("text", ["92233720368547758.08", "9" * 26, "9" * 10_000])
def test_out_of_range(text: str) -> None:
    """What a signed 64-bit integer cannot hold is refused, however long it is."""
    said = refused("amount", text, "USD")
    assert said == "must not be more than 9223372036854775807 of the smallest unit"


@pytest.mark.parametrize(
    "code", ["", "usd", "US", "USDX", "ZZZ", "XXX", "XAU", "XTS", "None", None, 5, b"USD", ["USD"]]
)
def test_no_such_currency(code: Any) -> None:
    """A code that ISO 4217 lacks, or gives no smallest unit, is refused everywhere."""
    assert "as USD" in refused("currency", "1", code)
    refused("currency", 1, code, by=Amount)


@pytest.mark.parametrize("value", [49.99, 50.0, float("nan"), 0.0])
def test_floats_are_refused_and_told_why(value: float) -> None:
    """A float is refused wherever a sum belongs, with the reason."""
    order = {"order_id": "o1", "currency": "USD"}
    for said in (
        refused("amount", value, "USD"),
        refused("minor_units", value, "USD", by=Amount),
        refused("amount", by=lambda: m.Order(**order, amount=value)),  # type: ignore[arg-type]
    ):
        assert "not a float" in said
    assert 'pass 4999 or Amount.parse("49.99", "USD")' in said


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (4999, "an int"),
        (Decimal("49.99"), "a Decimal: pass str() of it"),
        (49.99, "a float: a binary float holds most sums only nearly"),
        (True, "a bool"),
        (None, "None"),
        (b"49.99", "a bytes"),
    ],
)
def test_only_text_is_parsed(value: Any, named: str) -> None:
    """What is not text is refused; of an int no one knows the unit."""
    said = refused("amount", value, "USD")
    assert said.startswith(f"must be a string, such as '49.99', not {named}")
    assert ("Amount(4999, 'USD')" in said) is isinstance(value, int)


@pytest.mark.parametrize("value", [True, "4999", Decimal(1), None, -1, 2**63])
def test_minor_units_are_checked(value: Any) -> None:
    """Minor units are an int from 0 to what 64 bits hold."""
    refused("minor_units", value, "USD", by=Amount)
    refused("minor_units", 10**5000, "USD", by=Amount)


@settings(deadline=None)
@given(amount=SUMS)
def test_parse_and_show_go_round(amount: m.Amount) -> None:
    """In every currency of ISO 4217, what is shown is read as the same amount, exactly."""
    text, currency = str(amount).split(" ")
    assert Amount.parse(text, currency) == amount
    assert currency == amount.currency
    assert len(text.partition(".")[2]) == CURRENCIES[currency]
    assert str(amount.decimal) == text or amount.decimal == Decimal(text)
    assert in_words(amount.minor_units, currency) == str(amount)
    with decimal.localcontext(prec=1):
        assert amount.decimal.as_tuple() == Decimal(text).as_tuple()
    assert eval(repr(amount)) == amount
    assert pickle.loads(pickle.dumps(amount)) == copy.deepcopy(amount) == amount


def test_the_table_of_currencies() -> None:
    """Every currency with a smallest unit is there, with its digits, and nothing else."""
    assert len(CURRENCIES) > 150
    for currency, digits in CURRENCIES.items():
        assert digits_after_point(currency) == digits
        assert str(Amount(0, currency)).startswith("0." + "0" * digits if digits else "0 ")
    assert digits_after_point("XAU") is None


@settings(deadline=None)
@given(a=st.integers(0, LARGEST), b=st.integers(0, LARGEST))
def test_arithmetic(a: int, b: int) -> None:
    """Sums add, subtract and compare as ints do, and what is out of range is an error."""
    one, other = Amount(a, "USD"), Amount(b, "USD")
    assert (one < other, one <= other, one > other, one >= other) == (a < b, a <= b, a > b, a >= b)
    assert (one == other) is (a == b)
    assert max(one, other).minor_units == max(a, b)
    if a >= b:
        assert one - other == Amount(a - b, "USD")
    else:
        assert "negative" in refused("minor_units", by=lambda: one - other)
    if a + b <= LARGEST:
        assert one + other == Amount(a + b, "USD")
        assert sum([one, other], start=Amount(0, "USD")) == one + other
    else:
        assert refused("minor_units", by=lambda: one + other).startswith("must not be more")


OPERATIONS = ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_currencies_do_not_mix(operation: str) -> None:
    """What would mix two currencies is an error, and they are never equal."""
    dollars, euros = Amount(5, "USD"), Amount(5, "EUR")
    said = refused("currency", euros, by=getattr(dollars, operation))
    assert said == "USD and EUR do not mix"
    assert dollars != euros
    assert len({dollars, euros, Amount(5, "USD")}) == 2


@pytest.mark.parametrize("other", [1, 1.5, "1.00 USD", None, Decimal(1)])
def test_an_amount_mixes_with_nothing_else(other: Any) -> None:
    """An amount and a bare number neither add up, nor compare, nor are equal."""
    amount: Any = Amount(1, "USD")
    for operation in OPERATIONS:
        assert getattr(amount, operation)(other) is NotImplemented
    for do in (
        lambda: amount + other,
        lambda: other - amount,
        lambda: amount < other,
        lambda: amount * other,
        lambda: -amount,
        lambda: float(amount),
    ):
        with pytest.raises(TypeError):
            do()
    assert amount != other


def test_an_amount_does_not_change() -> None:
    """An amount is frozen."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Amount(1, "USD").minor_units = 2  # type: ignore[misc]


# Orders


@pytest.mark.parametrize(
    ("cls", "more"), [(m.Order, {}), (m.RefundOrder, {"description": "Broken"})]
)
def test_an_order_takes_an_amount(cls: Any, more: dict[str, str]) -> None:
    """An amount, with its currency or without it, is the same as an int and a currency."""
    make = functools.partial(cls, order_id="o1", **more)
    amount = Amount.parse("49.99", "USD")
    plain = make(amount=4999, currency="USD")
    for order in (make(amount=amount), make(amount=amount, currency="USD")):
        assert order == plain
        assert hash(order) == hash(plain)
        assert type(order.amount) is int
        assert encode(order) == encode(plain)
        assert pickle.loads(pickle.dumps(order)) == plain
    assert attrs.evolve(plain, amount=Amount(1, "USD")).amount == 1
    for wrong in ("EUR", "usd", "", None, 5):
        refused("currency", by=lambda wrong=wrong: make(amount=amount, currency=wrong))
    said = refused("currency", by=lambda: make(amount=amount, currency="EUR"))
    assert said == "is EUR, but the amount is in USD: leave it out"
    said = refused("currency", by=lambda: make(amount=4999))
    assert said == 'is needed, as currency="USD", unless the amount is an Amount'


def test_an_order_takes_a_currency_that_we_do_not_know() -> None:
    """Beside an int any code of the right shape is sent: the gateway decides."""
    assert m.Order(order_id="o1", amount=1, currency="ZZZ").currency == "ZZZ"


# Any sum of an answer, in words


@pytest.mark.parametrize(
    ("minor_units", "currency", "shown"),
    [
        (-5, "USD", "-0.05 USD"),
        (-1234, "JPY", "-1234 JPY"),
        (2**70, "USD", "11805916207174113034.24 USD"),
        (None, "USD", "? USD"),
        (5, "ZZZ", "5 of the smallest unit of ZZZ"),
        (5, "dollars", "5 of the smallest unit of dollars"),
    ],
)
def test_in_words(minor_units: int | None, currency: str, shown: str) -> None:
    """An answer's sum is shown whatever it is."""
    assert in_words(minor_units, currency) == shown


def test_in_words_with_the_gateways_digits() -> None:
    """Where the gateway says how many digits there are, that counts."""
    assert in_words(4599, "ZZZ", digits=2) == "45.99 ZZZ"
    assert in_words(4599, "EUR", digits=0) == "4599 EUR"


def test_importing_reads_no_table() -> None:
    """P10: the table of currencies is read for the first amount, not on import."""
    script = (
        "import sys, payroc_async; from payroc_async.models import Amount, Order;"
        "Order(order_id='1', amount=1, currency='USD'); assert 'iso4217' not in sys.modules;"
        "Amount(1, 'USD'); assert 'iso4217' in sys.modules"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": root})
