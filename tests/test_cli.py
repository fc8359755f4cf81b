"""The command line as a whole: how it starts, its help, and the sums it reads."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from payroc_async import ConfigurationError, __version__
from payroc_async.cli.app import cli
from payroc_async.cli.money import in_words, to_smallest_unit


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_importing_the_sdk_imports_none_of_it() -> None:
    """Neither the SDK nor the simulator imports what only the command line needs."""
    done = python(
        "import sys, payroc_async, payroc_async.simulator\n"
        "sys.exit(len({'click', 'rich', 'iso4217', 'payroc_async.cli'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["click", "rich", "iso4217"])
def test_what_is_missing_is_said_in_one_line(missing: str) -> None:
    """Without click, rich or iso4217 the command names the extra to install, and exits with 2."""
    # None in sys.modules makes the import fail as if it were not installed.
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\n"
        "sys.argv = ['payroc-async', 'demo', '--devices', '1']\n"
        "from payroc_async.cli import main; main()"
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'payroc-async[cli]'" in done.stderr


def test_another_missing_module_is_not_hidden() -> None:
    """A module of our own that can't be imported is an error like any other."""
    done = python(
        "import sys; sys.modules['payroc_async.cli.app'] = None\n"
        "from payroc_async.cli import main; main()"
    )
    assert done.returncode == 1
    assert "payroc_async.cli.app" in done.stderr


def test_it_says_its_version() -> None:
    """``python -m payroc_async --version`` prints the version."""
    done = subprocess.run(
        [sys.executable, "-m", "payroc_async", "--version"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert __version__ in done.stdout


@pytest.mark.parametrize("command", ["", "demo", "sale", "simulate"])
def test_help_helps(command: str) -> None:
    """Every command has help, and the hidden option stays hidden."""
    done = CliRunner().invoke(cli, [*filter(None, [command]), "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output
    assert "--pace" not in done.output


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("49.99", "USD", 4999),
        ("49.9", "USD", 4990),
        ("49", "USD", 4900),
        ("0.01", "USD", 1),
        ("007", "USD", 700),
        ("500", "JPY", 500),
        ("1.234", "BHD", 1234),
        ("90071992547409.93", "USD", 9007199254740993),
        ("12345678901234567890123456789012.34", "USD", 1234567890123456789012345678901234),
    ],
)
def test_an_amount_is_converted_exactly(text: str, currency: str, amount: int) -> None:
    """Decimal text becomes the smallest unit by the currency's exponent, to the last digit."""
    assert to_smallest_unit(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "currency", "field"),
    [
        ("49.999", "USD", "amount"),
        ("49.990", "USD", "amount"),
        ("500.0", "JPY", "amount"),
        ("1e3", "USD", "amount"),
        ("-1", "USD", "amount"),
        ("+1", "USD", "amount"),
        ("0", "USD", "amount"),
        ("0.00", "USD", "amount"),
        ("1,000.00", "USD", "amount"),
        ("1_000", "USD", "amount"),
        (".5", "USD", "amount"),
        ("5.", "USD", "amount"),
        ("٤٩", "USD", "amount"),
        ("5\n", "USD", "amount"),
        ("nan", "USD", "amount"),
        ("", "USD", "amount"),
        ("1", "usd", "currency"),
        ("1", "XYZ", "currency"),
        ("1", "XAU", "currency"),
        ("1", "", "currency"),
    ],
)
def test_any_other_amount_is_refused(text: str, currency: str, field: str) -> None:
    """What is not a plain positive sum of that currency is refused, and the field named."""
    with pytest.raises(ConfigurationError) as caught:
        to_smallest_unit(text, currency)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        (4999, "USD", "49.99 USD"),
        (100, "JPY", "100 JPY"),
        (123456789, "USD", "1,234,567.89 USD"),
        (None, "USD", "? USD"),
        (5, "XYZ", "5 of the smallest unit of XYZ"),
    ],
)
def test_an_amount_is_said_in_words(amount: int | None, currency: str, words: str) -> None:
    """An amount is shown in major units, and whatever the currency it is shown."""
    assert in_words(amount, currency) == words
