"""The command line as a whole: how it starts, and its help."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from payroc_async import __version__
from payroc_async.cli.app import cli


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
        "sys.exit(len({'click', 'rich', 'payroc_async.cli'} & set(sys.modules)))"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_what_is_missing_is_said_in_one_line(missing: str) -> None:
    """Without click or rich the command names the extra to install, and exits with 2."""
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


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "sale",
        "refund",
        "signature",
        "payments",
        "payments list",
        "payments show",
        "devices",
        "devices list",
        "devices show",
        "void",
        "capture",
        "recover",
        "journal",
        "journal list",
        "journal show",
        "journal purge",
        "simulate",
    ],
)
def test_help_helps(command: str) -> None:
    """Every command has help, and the hidden option stays hidden."""
    done = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output
    assert "--pace" not in done.output
