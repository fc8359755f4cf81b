"""The command line and answers of which little can be read: the outcome is shown, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, edit
from tests.conftest import SERIAL, variables

from .test_cli_payments import pay
from .test_cli_sale import SALE

pytestmark = pytest.mark.usefixtures("impatient")

Document = dict[str, Any]


def bare(document: Document) -> Document:
    """With what decides, and nothing else."""
    code = document["transactionResult"]["responseCode"]
    ids = {name: id_ for name, id_ in document.items() if name in ("paymentId", "refundId")}
    return {**ids, "transactionResult": {"responseCode": code}}


def null(document: Document) -> Document:
    """With null in every other field, two levels deep."""
    keep = ("paymentId", "refundId", "transactionResult")
    damaged: Document = {name: document[name] if name in keep else None for name in document}
    for block in ("order", "card"):
        damaged[block] = dict.fromkeys(document[block])
    code = document["transactionResult"]["responseCode"]
    return {**damaged, "transactionResult": {"status": None, "responseCode": code}}


def odd(document: Document) -> Document:
    """With another type in every other field."""
    keep = ("paymentId", "refundId", "transactionResult")
    return {name: document[name] if name in keep else [{"a": 1.5}] for name in document}


DAMAGE = pytest.mark.parametrize("damage", [bare, null, odd])
Damage = Callable[[Document], Document]


def run(gateway: Simulator, *arguments: str) -> Result:
    done = CliRunner().invoke(cli, arguments, env=variables(gateway))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done


def each(damage: Damage) -> Damage:
    return lambda page: {**page, "data": [damage(one) for one in page["data"]]}


@DAMAGE
def test_a_sale(served: Simulator, damage: Damage) -> None:
    """Approved is approved, in words and as JSON."""
    served.faults.add("payment", edit(damage), times=None)
    done = run(served, "sale", SERIAL, *SALE)
    assert (done.exit_code, done.stdout.split("\n")[0]) == (0, "APPROVED: 49.99 USD")
    done = run(served, "sale", SERIAL, *SALE, "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["outcome"], said["payment_id"] in served.payments) == (
        0,
        "approved",
        True,
    )


@DAMAGE
def test_a_refund(served: Simulator, damage: Damage) -> None:
    """A refund's outcome is as safe as a payment's."""
    served.faults.add("refund", edit(damage), times=None)
    done = run(served, "refund", SERIAL, *SALE, "--description", "cold")
    assert (done.exit_code, done.stdout.split("\n")[0]) == (0, "APPROVED: 49.99 USD")


@DAMAGE
def test_lists_and_one_payment(served: Simulator, damage: Damage) -> None:
    """What is known is shown; the rest is empty, also on the receipt."""
    id_ = pay(served, "A1")
    served.faults.add("search", edit(each(damage)), times=None)
    served.faults.add("payment", edit(damage), times=None)
    for options in ([], ["--json"]):
        listed = run(served, "payments", "list", *options)
        shown = run(served, "payments", "show", id_, *options)
        assert listed.exit_code == shown.exit_code == 0, listed.output + shown.output
        assert id_ in listed.stdout
        assert id_ in shown.stdout
        assert "approved" in listed.stdout
    receipt = run(served, "payments", "show", id_, "--receipt", "42")
    assert receipt.exit_code == 0, receipt.output
    assert "APPROVED" in receipt.stdout


@DAMAGE
@pytest.mark.parametrize("command", ["void", "capture"])
def test_a_change(served: Simulator, damage: Damage, command: str) -> None:
    """A void or a capture whose answer is damaged is done, and said to be."""
    id_ = pay(served, "A1", auto_capture=command != "capture")
    served.faults.add("change", edit(damage), times=None)
    reason = ["--description", "cold"] if command == "void" else []
    done = run(served, command, id_, *reason)
    assert done.exit_code == 0, done.output
    assert id_ in done.output
    (payment,) = served.payments.values()
    assert payment["transactionResult"]["status"] == ("reversal" if command == "void" else "ready")


def test_a_part_of_a_payment_of_no_currency(served: Simulator) -> None:
    """What 10.00 is of a currency that is not known is not guessed at; nothing is sent."""
    id_ = pay(served, "A1")
    served.faults.add("payment", edit(bare), times=None)
    done = run(served, "void", id_, "--description", "cold", "--amount", "10.00")
    assert done.exit_code != 0
    assert "currency" in done.output
    assert served.requests_of("change") == []


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_signature_without_its_image(
    served: Simulator, tmp_path: Path, options: list[str]
) -> None:
    """That it was signed is said, and that the image is not saved; no file is left."""
    served.faults.add("signature", edit(lambda page: {**page, "signature": None}), times=None)
    output = tmp_path / "signature.png"
    done = run(
        served, "signature", SERIAL, "--terminal", "1234001", "--output", str(output), *options
    )
    assert "without an image" in done.stdout
    assert not output.exists()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_device_without_a_serial_number(served: Simulator, options: list[str]) -> None:
    """A device is listed with what is known of it."""
    served.device(SERIAL)
    served.faults.add("search", edit(each(lambda one: {"deviceId": "D1", "tender": 5})), times=None)
    assert run(served, "devices", "list", *options).exit_code == 0
