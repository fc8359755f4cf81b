"""``payroc-async refund`` and ``signature``: the same life as a sale's, in other words."""

from __future__ import annotations

import json
import shlex
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, drop_after, edit, problem
from payroc_async.simulator.signatures import sample_png
from tests.conftest import SERIAL, variables

from .test_cli_sale import Command, until

REFUND = ["--terminal", "1234001", "--amount", "10.00", "--currency", "USD"]
REFUND += ["--description", "cold pizza"]
ARGUMENTS = {"refund": REFUND, "signature": ["--terminal", "1234001"]}
COMMANDS = sorted(ARGUMENTS)
KEY = str(uuid.uuid4())

Script = Callable[[Simulator], object]


def run(gateway: Simulator, command: str, *options: str) -> Result:
    arguments = [command, SERIAL, *ARGUMENTS[command], *options]
    return CliRunner().invoke(cli, arguments, env=variables(gateway))


def test_an_approved_refund_exits_with_0(served: Simulator) -> None:
    """A refund is sent as it was typed, and its id is said."""
    done = run(served, "refund", "--order-id", "OrderRef6543")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("APPROVED: 10.00 USD\n")
    (refund_id,) = served.refunds
    assert refund_id in done.stdout
    assert served.payments == {}
    (instruction,) = served.instructions.values()
    assert instruction.body == {
        "processingTerminalId": "1234001",
        "order": {
            "orderId": "OrderRef6543",
            "amount": 1000,
            "currency": "USD",
            "description": "cold pizza",
        },
    }
    assert "reading the refund" in done.stderr


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (lambda g: g.device(SERIAL).declines(), 3, "DECLINED: 10.00 USD was not refunded"),
        (
            lambda g: g.device(SERIAL).approves_partially(300),
            3,
            "PARTIALLY APPROVED: 3.00 USD of 10.00 USD refunded; 7.00 USD is still to be refunded",
        ),
        (lambda g: g.device(SERIAL).fails("Out of paper"), 4, "FAILED: Out of paper"),
        (lambda g: g.device(SERIAL).is_offline(), 4, "REFUSED by the gateway, HTTP 409"),
    ],
)
def test_each_refund_has_its_code(served: Simulator, script: Script, code: int, said: str) -> None:
    """What a refund ends in is reported by the codes that a sale has."""
    script(served)
    done = run(served, "refund")
    assert done.exit_code == code, done.output
    assert said in done.stdout


def test_json_of_a_refund(served: Simulator) -> None:
    """--json prints one object, with the refund's id in place of a payment's."""
    done = run(served, "refund", "--json", "--order-id", "A1", "--idempotency-key", KEY)
    assert done.exit_code == 0
    (refund,) = served.refunds.values()
    (instruction_id,) = served.instructions
    assert json.loads(done.stdout) == {
        "refund_id": refund["refundId"],
        "outcome": "approved",
        "in_effect": True,
        "instruction_id": instruction_id,
        "idempotency_key": KEY,
        "serial_number": SERIAL,
        "order_id": "A1",
        "amount": 1000,
        "authorized_amount": 1000,
        "currency": "USD",
        "response_code": "A",
        "response_message": "APPROVED",
        "approval_code": refund["transactionResult"]["approvalCode"],
        "error": None,
    }


def test_a_refund_needs_a_description(served: Simulator) -> None:
    """Without a reason, or with an empty one, nothing is sent."""
    without = ["refund", SERIAL, *REFUND[:-2]]
    for arguments in (without, [*without, "--description", ""]):
        done = CliRunner().invoke(cli, arguments, env=variables(served))
        assert done.exit_code == 2
        assert "--description" in done.stderr
    assert served.requests_of("submit") == []


def test_a_signature_is_saved(served: Simulator, tmp_path: Path) -> None:
    """--output gets the image, and the code is 0."""
    output = tmp_path / "signature.png"
    done = run(served, "signature", "--output", str(output))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("SIGNED\n")
    assert output.read_bytes() == sample_png()
    (signature_id,) = served.signatures
    assert signature_id in done.stdout


def test_json_of_a_signature(served: Simulator, tmp_path: Path) -> None:
    """--json prints one object, which does not hold the image."""
    output = tmp_path / "signature.png"
    options = ["--json", "--idempotency-key", KEY, "--output", str(output)]
    done = run(served, "signature", *options)
    assert done.exit_code == 0
    (signature_id,) = served.signatures
    (instruction_id,) = served.instructions
    assert json.loads(done.stdout) == {
        "signature_id": signature_id,
        "instruction_id": instruction_id,
        "idempotency_key": KEY,
        "serial_number": SERIAL,
        "content_type": "image/png",
        "output": str(output),
        "error": None,
    }


def test_an_image_that_cannot_be_saved_exits_with_3(served: Simulator, tmp_path: Path) -> None:
    """The signature is there all the same: its id is said, and nothing is left in the file."""
    served.faults.add("signature", edit(lambda read: {**read, "signature": "not Base64"}), times=2)
    output = tmp_path / "signature.png"
    done = run(served, "signature", "--output", str(output))
    assert done.exit_code == 3, done.output
    assert "SIGNED, BUT THE IMAGE IS NOT SAVED" in done.stdout
    (signature_id,) = served.signatures
    assert signature_id in done.stdout
    assert not output.exists()
    done = run(served, "signature", "--output", str(output), "--json")
    said = json.loads(done.stdout)
    assert said["signature_id"]
    assert said["output"] is None
    assert "not Base64" in said["error"]["message"]


def test_a_folder_that_is_not_there_exits_with_2(served: Simulator, tmp_path: Path) -> None:
    """No one signs for an image that can't be saved."""
    done = run(served, "signature", "--output", str(tmp_path / "none" / "signature.png"))
    assert done.exit_code == 2
    assert "--output" in done.stderr
    assert served.instructions == {}


@pytest.mark.parametrize("command", COMMANDS)
def test_on_a_simulator_of_its_own(command: str) -> None:
    """--simulator needs no variables, and ends well."""
    done = CliRunner().invoke(cli, [command, SERIAL, *ARGUMENTS[command], "--simulator"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_timeout_exits_with_4(served: Simulator, command: str) -> None:
    """A cardholder who takes longer than --timeout is canceled, and the code is 4."""
    served.device(SERIAL).never_finishes()
    done = run(served, command, "--timeout", "0.2")
    assert done.exit_code == 4
    nothing = {"refund": "no money moved", "signature": "nothing was signed"}[command]
    assert f"CANCELED: timed out, {nothing}" in done.stdout
    assert served.in_progress == []


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_outcome_exits_with_5_and_says_how_to_find_out(
    served: Simulator, tmp_path: Path, impatient: None, command: str
) -> None:
    """The command that it prints finds the outcome, and makes no second instruction."""
    lost = served.faults.add(command, problem(404, "not-found"), times=None)
    output = tmp_path / "signature.png"
    done = run(served, command, *(["--output", str(output)] if command == "signature" else []))
    assert done.exit_code == 5
    assert "OUTCOME UNKNOWN" in done.stdout
    (instruction_id,) = served.instructions
    assert f"session.resume_{command}('{instruction_id}')" in done.stdout
    lost.remove()
    (line,) = [line for line in done.stdout.splitlines() if "  payroc-async" in line]
    again = CliRunner().invoke(cli, shlex.split(line)[1:], env=variables(served))
    assert again.exit_code == 0, again.output
    assert list(served.instructions) == [instruction_id]
    assert output.exists() == (command == "signature")


@pytest.mark.parametrize("command", COMMANDS)
async def test_ctrl_c_cancels_the_instruction(gateway: Simulator, command: str) -> None:
    """Ctrl-C cancels at the gateway, says so, and exits with 4."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("submit", drop_after())
    running = await Command.start(gateway, command=[command, SERIAL, *ARGUMENTS[command]])
    await until(lambda: gateway.in_progress)
    running.signal(signal.SIGINT)
    code, out, err = await running.end()
    assert code == 4, out + err
    assert out.startswith("CANCELED: as you asked")
    assert f"canceling the {command}" in err
    assert gateway.in_progress == []


async def test_ctrl_c_after_the_refund(gateway: Simulator) -> None:
    """If the refund comes first, Ctrl-C says so, and exits with its code."""
    gateway.device(SERIAL).completes_on_cancel()
    running = await Command.start(gateway, command=["refund", SERIAL, *REFUND])
    await until(lambda: gateway.in_progress)
    running.signal(signal.SIGINT)
    code, out, err = await running.end()
    assert code == 0, out + err
    assert "Too late to cancel: the refund was made. APPROVED: 10.00 USD" in out
