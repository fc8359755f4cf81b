"""The examples, as a user runs them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from payroc_async.simulator import Simulator, status
from tests.harness.programs import ROOT, run_python


async def run_example(
    name: str, *arguments: str, extra: dict[str, str] | None = None
) -> tuple[int | None, str, str]:
    """Exit code, output and errors of one example, with all warnings as errors."""
    return await run_python(str(ROOT / "examples" / name), *arguments, extra=extra)


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
    """Every sale is reported, though some of them fail."""
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


async def test_rolling_deploy() -> None:
    """The sale that the old server leaves running is ended by the new one, and paid for once."""
    # Of the servers too. The first aiohttp that is allowed, 3.14.0, warns of itself in debug mode.
    its_own = "ignore:Setting custom Request._transport_sockname:DeprecationWarning"
    strict = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": f"error,{its_own}"}
    code, output, errors = await run_example("rolling_deploy.py", extra=strict)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    for said in (
        "old server: asked to stop: running sales stay on their devices",
        "till: the old server says 202, asking the new one",
        "new server: resumed a payment on 1850010868: submitted and now completed",
    ):
        assert said in lines
    assert lines[-1].startswith("till: approved, payment ")
    assert lines[-1].endswith("the cardholder paid 1 time(s)")


def receipts_in(output: str) -> list[list[str]]:
    """The receipts among what was printed, each as its lines with single spaces."""
    blocks = output.split("HOPPER'S COFFEE")[1:]
    return [[" ".join(line.split()) for line in block.splitlines()] for block in blocks]


async def test_traced_sale() -> None:
    """The trace is a tree: the till's span, the sale's, and its four requests in order."""
    code, output, errors = await run_example("traced_sale.py")
    assert (code, errors) == (0, "")
    _, _, *lines = output.splitlines()
    assert [re.sub(r"^ *[\d.]+ s +[\d.]+ s  ", "", line) for line in lines] == [
        "checkout: ok",
        "  payroc sale order OrderRef6543: approved",
        "    POST /v1/devices/{id}/payment-instructions: 503",
        "    POST /v1/devices/{id}/payment-instructions (retry 1): 202",
        "    GET /v1/payment-instructions/{id}: 200",
        "    GET /v1/payments/{id}: 200",
    ]


async def test_day_at_the_till() -> None:
    """The morning's receipts say what a merchant and a card scheme want, and the sums agree."""
    code, output, errors = await run_example("day_at_the_till.py")
    assert (code, errors) == (0, "")
    assert "simulator" in output.splitlines()[0]
    receipts = receipts_in(output)
    wanted = [
        ["SALE", "CUSTOMER COPY", "Card Visa Credit", "TOTAL 49.99 USD", "APPROVED"],
        ["SALE", "MERCHANT COPY", "Order Morning-1", "SIGNED ON THE DEVICE"],
        ["Subtotal 20.00 USD", "Tip 3.00 USD", "TOTAL 23.00 USD", "PIN VERIFIED"],
        ["TOTAL 50.00 USD", "AUTHORIZED 20.00 USD", "STILL TO PAY 30.00 USD"],
        ["Order Morning-3", "TOTAL 30.00 USD", "APPROVED"],
        ["Order Morning-4", "TOTAL 12.50 USD", "APPROVED"],
        ["Order Morning-4", "AMOUNT 12.50 USD", "REVERSED", "NOT CHARGED"],
        ["REFUND", "Order Yesterday-7", "TOTAL 19.95 USD", "APPROVED"],
        ["PRE-AUTHORIZATION", "Order Tab-5", "TOTAL 30.00 USD", "APPROVED"],
    ]
    for receipt, lines in zip(receipts, wanted, strict=True):
        assert set(lines) <= set(receipt)
    assert "1230" not in re.sub(r"[0-9A-F]{6,}", "", output)  # the cards' expiry date
    captured, closed, *lines = output.splitlines()[-9:-1]
    assert captured == "Order Tab-5 is captured: 30.00 USD"
    assert re.fullmatch(r"The batch is closed at \d\d:\d\d America/Chicago", closed)
    totals = [line.split() for line in lines]
    assert [(words[0], words[-2]) for words in totals] == [
        ("Tab-5", "30.00"),
        ("Morning-4", "0.00"),
        ("Morning-3", "30.00"),
        ("Morning-3", "20.00"),
        ("Morning-2", "23.00"),
        ("Morning-1", "49.99"),
    ]
    assert output.endswith("\n6 payments, 152.99 USD taken\n")


async def test_day_with_trouble(gateway: Simulator) -> None:
    """What a first card paid is given back if no second one pays the rest, at any gateway."""
    device = gateway.device("1850010868")
    device.approves(card="visa").cardholder_cancels()  # the cardholder does not sign there
    device.approves_partially(1000, card="amex").cardholder_cancels()
    device.approves_partially(500, card="amex").declines()
    device.fails("Out of paper")
    code, output, errors = await run_example("day_at_the_till.py", extra=variables_of(gateway))
    assert (code, errors) == (0, "")
    assert "Not signed on the device: " in output
    assert f"\nX{'_' * 41}\n" in output
    assert output.count("is reversed: Not paid in full") == 2
    assert "No payment: the instruction failed: Out of paper" in output
    assert output.endswith("\n4 payments, 49.99 USD taken\n")
    assert gateway.in_progress == []
    left = [one["transactionResult"] for one in gateway.payments.values()]
    assert [one["authorizedAmount"] for one in left if one["status"] == "complete"] == [4999]


async def test_day_with_a_lost_answer(gateway: Simulator) -> None:
    """A key is informed that a call is to be repeated under, when its answer was lost for good."""
    gateway.device("1850010868").approves(card="amex")
    gateway.faults.add("change", status(524, effect=True))
    code, output, errors = await run_example("day_at_the_till.py", extra=variables_of(gateway))
    assert (code, errors) == (1, "")
    (key,) = {one.headers["idempotency-key"] for one in gateway.requests_of("change")}
    assert f"No usable answer, repeat it under the key {key}: " in output


async def test_kiosk() -> None:
    """What was paid without goods is given back, and no one gets any who has not paid in full."""
    code, output, errors = await run_example("kiosk.py")
    assert (code, errors) == (0, "")
    assert [line for line in output.splitlines() if ": " in line] == [
        "PAYROC_API_KEY is not set: these sales run on a simulator, no money moves",
        "canceled what was running: completed",
        "tea: approved, and reversed. Sorry",
        "coffee: here you are",
        "tea: declined. Another card?",
        "tea: here you are",
        "cake: partially approved, and reversed. Sorry",
    ]


async def test_kiosk_after_a_power_cut(gateway: Simulator, tmp_path: Path) -> None:
    """A kiosk that was killed in a sale cancels it, or gives it back, before it sells on."""
    gateway.device("1850010868").completes_on_cancel().approves()
    extra = {**variables_of(gateway), "KIOSK_DATA": str(tmp_path)}
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(ROOT / "examples" / "kiosk.py")),
        env={**os.environ, **extra},
    )
    while not gateway.in_progress:
        assert killed.returncode is None
        await asyncio.sleep(0.01)
    killed.kill()
    await killed.wait()
    code, output, errors = await run_example("kiosk.py", "1850010868", "tea", extra=extra)
    assert (code, errors) == (0, "")
    assert "coffee: approved, and reversed. Sorry" in output
    assert output.endswith("tea: here you are\n")
    results = [one["transactionResult"]["status"] for one in gateway.payments.values()]
    assert sorted(results) == ["ready", "reversal"]


async def test_many_stores() -> None:
    """A store whose key is refused keeps no other from selling."""
    code, output, errors = await run_example("many_stores.py")
    assert code == 0
    assert errors.startswith("no token from the identity service, attempt 1: HTTP 401: ")
    assert errors.count("\n") == 1
    _, *stores, summary = output.splitlines()
    north, south, west = sorted(stores)
    assert north.startswith("north   approved, payment ")
    assert south.startswith("south   declined, payment ")
    assert west.startswith("west    no payment: HTTP 401: ")
    assert summary == "3 of 3 outcomes known"


@pytest.mark.parametrize("name", ["one_sale.py", "many_devices.py", "detach_and_resume.py"])
async def test_gateway_of_the_environment(name: str, gateway: Simulator) -> None:
    """With the variables set, the sale runs at the gateway that they name."""
    gateway.device("1850010868").approves(after=2.0 if name.startswith("detach") else 0.0)
    code, output, errors = await run_example(name, "1850010868", extra=variables_of(gateway))
    assert (code, errors) == (0, "")
    assert "simulator" not in output
    assert [i.serial_number for i in gateway.instructions.values()] == ["1850010868"]
    assert gateway.in_progress == []


async def test_till() -> None:
    """A till's own suite, of under twenty lines, passes in its own folder with its own settings."""
    till = ROOT / "examples" / "till"
    lines = (till / "test_till.py").read_text(encoding="utf-8").splitlines()
    assert sum(1 for line in lines if line.strip()) < 20
    code, output, _ = await run_python(
        *("-m", "pytest", "-c", str(till / "pyproject.toml"), "-p", "no:cacheprovider", str(till)),
        *("-p", "asyncio", "-p", "payroc_async"),
        extra={
            "PYTEST_ADDOPTS": "",
            "PYTEST_XDIST_WORKER": "",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )
    assert code == 0, output
    assert "3 passed" in output


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
