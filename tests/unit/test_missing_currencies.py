"""A program that was packaged without the table of currencies: sales end, and receipts are made."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import iso4217
import pytest

from payroc_async import Amount, ConfigurationError, Outcome, PayrocSession
from payroc_async.models import amount
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, QUICK, SERIAL, sale
from tests.harness.programs import run_python

PROGRAM = """
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
from payroc_async import Amount, ConfigurationError
from payroc_async.models.amount import in_words
print(in_words(4999, "USD"), in_words(500, "JPY"), sep="; ")
for make in (lambda: Amount(4999, "USD"), lambda: Amount.parse("49.99", "USD")):
    try:
        make()
    except ConfigurationError as error:
        print(error)
"""


@pytest.fixture(params=["no module", "no table", "another module"])
def without_table(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The package iso4217 as a freezer leaves it out, in whole or in part."""
    left: ModuleType | None = None
    if request.param != "no module":
        left = ModuleType("iso4217")
        if request.param == "another module":
            left.__dict__["raw_table"] = {"USD": None}
    monkeypatch.setitem(sys.modules, "iso4217", left)
    amount._digits.cache_clear()
    yield
    monkeypatch.undo()
    amount._digits.cache_clear()


@pytest.mark.usefixtures("without_table")
@pytest.mark.parametrize("make", [Amount, lambda minor, code: Amount.parse(f"{minor}", code)])
def test_an_amount_says_what_is_missing(make: type[Amount]) -> None:
    """It names what to package, and does not say that there is no such currency."""
    with pytest.raises(ConfigurationError) as caught:
        make(4999, "USD")
    assert caught.value.field == "currency"
    assert "--collect-data iso4217" in caught.value.reason
    assert "must be" not in caught.value.reason


@pytest.mark.usefixtures("without_table")
async def test_a_receipt_is_made(caplog: pytest.LogCaptureFixture) -> None:
    """A sale that was approved gets its receipts, in smallest units, and the log says why, once."""
    async with (
        Simulator() as gateway,
        PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
        ) as session,
    ):
        gateway.device(SERIAL).approves_partially(1000)
        payment = await session.run_sale(SERIAL, sale())
    assert payment.outcome is Outcome.PARTIALLY_APPROVED
    for copy in ("customer", "merchant"):
        for width in (24, 32, 42):
            text = " ".join(payment.receipt(merchant=["Shop"], copy=copy).text(width).split())
            assert "TOTAL 4999 of the smallest unit of USD" in text
            assert "STILL TO PAY 3999 of the smallest unit of USD" in text
    (record,) = [one for one in caplog.records if one.name == "payroc_async.models.amount"]
    assert record.levelname == "ERROR"
    assert "--collect-data iso4217" in record.getMessage()


def test_an_amount_of_another_process_is_shown() -> None:
    """One that was pickled where the table is can be shown where it is not."""
    made = pickle.dumps(Amount(4999, "USD"))
    assert str(pickle.loads(made)) == "49.99 USD"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "iso4217", None)
        amount._digits.cache_clear()
        try:
            known = pickle.loads(made)
            assert str(known) == "4999 of the smallest unit of USD"
            with pytest.raises(ConfigurationError, match="iso4217"):
                _ = known.decimal
        finally:
            amount._digits.cache_clear()


async def test_without_the_file(tmp_path: Path) -> None:
    """The package is there, and its file is not: as PyInstaller leaves it without our hook."""
    where = Path(iso4217.__file__).parent
    shutil.copytree(
        where, tmp_path / "iso4217", ignore=shutil.ignore_patterns("table.xml", "*.pyc")
    )
    head = f"import sys; sys.path.insert(0, {str(tmp_path)!r})"
    code, output, errors = await run_python("-c", f"{head}\n{PROGRAM}")
    assert (code, errors) == (0, "")
    logged, shown, *refused = output.splitlines()
    assert logged.startswith(
        "ERROR payroc_async.models.amount the table of currencies can't be read"
    )
    assert shown == "4999 of the smallest unit of USD; 500 of the smallest unit of JPY"
    assert len(refused) == 2
    assert all(one.startswith("currency: can't be looked up: this program") for one in refused)
