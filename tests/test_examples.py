"""The examples, as a user runs them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

import payroc_async
from payroc_async.simulator import Simulator

from .test_readme import without_slow_steps

ROOT = Path(__file__).parents[1]
SOURCE = Path(payroc_async.__file__).parents[1]


async def run_example(
    name: str, *arguments: str, extra: dict[str, str] | None = None
) -> tuple[int | None, str, str]:
    """Exit code, output and errors of one example, with all warnings as errors."""
    variables = {name: value for name, value in os.environ.items() if "PAYROC" not in name}
    variables["PYTHONPATH"] = str(SOURCE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", str(ROOT / "examples" / name), *arguments),
        env=variables | (extra or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(), without_slow_steps(errors.decode())


def variables_of(gateway: Simulator) -> dict[str, str]:
    """What makes an example use this gateway."""
    return {
        "PAYROC_API_KEY": gateway.api_key,
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
    }


async def test_one_sale() -> None:
    """One sale is approved, and the simulator is named."""
    code, output, errors = await run_example("one_sale.py")
    assert (code, errors) == (0, "")
    first, asks, outcome = output.splitlines()
    assert "simulator" in first
    assert "asks for a card" in asks
    assert outcome.startswith("approved: payment ")
    assert outcome.endswith(", 49.99 USD")


async def test_many_devices() -> None:
    """Every sale is told, though some of them fail."""
    code, output, errors = await run_example("many_devices.py")
    assert (code, errors) == (0, "")
    _, *sales, summary = output.splitlines()
    assert sorted(line.split()[0] for line in sales) == [f"18500108{n:02}" for n in range(1, 13)]
    for ending in ("  approved,", "  declined,", "  partially approved,", "failed: Out of paper"):
        assert sum(ending in line for line in sales) == 2
    assert sum("no payment: " in line for line in sales) == 6
    assert summary == "12 of 12 outcomes known"


async def test_detach_and_resume() -> None:
    """The sale that was left running is resumed to its payment."""
    code, output, errors = await run_example("detach_and_resume.py")
    assert (code, errors) == (0, "")
    _, left, resumed, outcome = output.splitlines()
    assert "left running" in left
    assert resumed.startswith("Started again: resuming instruction ")
    assert outcome.startswith("approved: payment ")


@pytest.mark.parametrize("name", ["one_sale.py", "many_devices.py", "detach_and_resume.py"])
async def test_gateway_of_the_environment(name: str, gateway: Simulator) -> None:
    """With the variables set, the sale runs at the gateway that they name."""
    gateway.device("1850010868").approves(after=2.0 if name.startswith("detach") else 0.0)
    code, output, errors = await run_example(name, "1850010868", extra=variables_of(gateway))
    assert (code, errors) == (0, "")
    assert "simulator" not in output
    assert [i.serial_number for i in gateway.instructions.values()] == ["1850010868"]
    assert gateway.in_progress == []


async def test_failure_shows_in_the_exit_code(gateway: Simulator) -> None:
    """A sale without a payment is no success."""
    gateway.device("1850010868").fails("Out of paper")
    code, output, _ = await run_example("one_sale.py", "1850010868", extra=variables_of(gateway))
    assert code == 1
    assert "No payment: the instruction failed: Out of paper" in output


async def test_wrong_key_shows_in_the_exit_code(gateway: Simulator) -> None:
    """What an example does not expect ends it with an error."""
    variables = variables_of(gateway) | {"PAYROC_API_KEY": "wrong"}
    code, _, errors = await run_example("one_sale.py", "1850010868", extra=variables)
    assert code == 1
    assert "AuthenticationError" in errors
