"""``payroc-async sale``: its result, its exit codes, and what Ctrl-C does."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from click.testing import CliRunner, Result

from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, delay, drop_after, problem, status
from tests.conftest import SERIAL, variables

SALE = ["--terminal", "1234001", "--amount", "49.99", "--currency", "USD"]
KEY = str(uuid.uuid4())


def run(gateway: Simulator, *options: str, serial_number: str = SERIAL) -> Result:
    arguments = ["sale", serial_number, *SALE, *options]
    return CliRunner().invoke(cli, arguments, env=variables(gateway))


def test_an_approved_sale_exits_with_0(served: Simulator) -> None:
    """An approval is said with its amount and ids on stdout, the progress on stderr."""
    done = run(served, "--order-id", "OrderRef6543", "--description", "one coffee")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("APPROVED: 49.99 USD\n")
    (payment_id,) = served.payments
    assert payment_id in done.stdout
    assert "OrderRef6543" in done.stdout
    assert "waiting for the cardholder" in done.stderr
    (instruction,) = served.instructions.values()
    assert instruction.body["order"] == {
        "orderId": "OrderRef6543",
        "amount": 4999,
        "currency": "USD",
        "description": "one coffee",
    }
    assert instruction.body["processingTerminalId"] == "1234001"


Script = Callable[[Simulator], object]


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (lambda g: g.device(SERIAL).declines(), 3, "DECLINED"),
        (
            lambda g: g.device(SERIAL).approves_partially(3000),
            3,
            "PARTIALLY APPROVED: 30.00 USD of 49.99 USD paid; 19.99 USD is still to be paid",
        ),
        (lambda g: g.device(SERIAL).answers("E"), 3, "NOT DECIDED YET"),
        (lambda g: g.device(SERIAL).answers("R"), 3, "call the issuer"),
        (lambda g: g.device(SERIAL).answers("C"), 3, "keep the card"),
        (lambda g: g.device(SERIAL).answers("Z"), 3, "UNKNOWN CODE: Z"),
        (lambda g: g.device(SERIAL).fails("Out of paper"), 4, "FAILED: Out of paper"),
        (lambda g: g.device(SERIAL).cardholder_cancels(), 4, "CANCELED: on the device"),
        (lambda g: g.device(SERIAL).is_offline(), 4, "REFUSED by the gateway, HTTP 409"),
        (lambda g: setattr(g, "api_key", "another"), 4, "REFUSED by the gateway, HTTP 401"),
        (
            lambda g: g.faults.add("submit", problem(403, "forbidden")),
            4,
            "REFUSED by the gateway, HTTP 403",
        ),
    ],
)
def test_each_ending_has_its_code(served: Simulator, script: Script, code: int, said: str) -> None:
    """3 for an answer other than an approval, 4 where there is no payment."""
    environment = variables(served)
    script(served)
    done = CliRunner().invoke(cli, ["sale", SERIAL, *SALE], env=environment)
    assert done.exit_code == code, done.output
    assert said in done.stdout


def test_a_timeout_exits_with_4(served: Simulator) -> None:
    """A cardholder who takes longer than --timeout is canceled, and the code is 4."""
    served.device(SERIAL).never_finishes()
    done = run(served, "--timeout", "0.2")
    assert done.exit_code == 4
    assert "CANCELED: timed out, no money moved" in done.stdout
    assert served.in_progress == []


def test_nobody_there_exits_with_4(served: Simulator) -> None:
    """A gateway that is not there gets no instruction: 4, and the reason."""
    done = CliRunner().invoke(
        cli,
        ["sale", SERIAL, *SALE, "--timeout", "0.2"],
        env={**variables(served), "PAYROC_IDENTITY_URL": "http://127.0.0.1:9/authorize"},
    )
    assert done.exit_code == 4
    assert served.instructions == {}


def test_an_unknown_outcome_exits_with_5_and_says_how_to_find_out(
    served: Simulator, impatient: None
) -> None:
    """The command that it prints finds the outcome, and makes no second instruction."""
    served.device(SERIAL).approves()
    lost = served.faults.add("payment", problem(404, "not-found"), times=None)
    done = run(served, "--description", "it's a gift")
    assert done.exit_code == 5
    assert "OUTCOME UNKNOWN" in done.stdout
    (instruction_id,) = served.instructions
    assert f"session.resume_sale('{instruction_id}')" in done.stdout
    lost.remove()
    (command,) = [line for line in done.stdout.splitlines() if "payroc-async sale" in line]
    again = CliRunner().invoke(cli, shlex.split(command)[1:], env=variables(served))
    assert again.exit_code == 0
    assert list(served.instructions) == [instruction_id]


MEMBERS = {
    "outcome",
    "in_effect",
    "payment_id",
    "instruction_id",
    "idempotency_key",
    "serial_number",
    "order_id",
    "amount",
    "authorized_amount",
    "currency",
    "response_code",
    "response_message",
    "approval_code",
    "error",
}


@pytest.mark.parametrize(("status", "word"), [("reversal", "REVERSED"), ("expired", "EXPIRED")])
def test_a_sale_that_was_voided_since_is_not_approved(
    served: Simulator, status: str, word: str
) -> None:
    """Run again under its key, it has the code of an approval, and takes no money."""
    again = ("--idempotency-key", KEY, "--order-id", "A1")
    assert run(served, *again).exit_code == 0
    (payment,) = served.payments.values()
    payment["transactionResult"]["status"] = status
    done = run(served, *again)
    assert done.exit_code == 3, done.output
    assert f"{word}: 49.99 USD was approved, but is not" in done.stdout
    said = json.loads(run(served, *again, "--json").stdout)
    assert (said["outcome"], said["in_effect"]) == ("approved", False)


def test_json_is_one_object_and_nothing_else(served: Simulator) -> None:
    """--json prints one object with the sale's facts, and no card data."""
    served.device(SERIAL).approves_partially(3000)
    done = run(served, "--json", "--order-id", "A1", "--idempotency-key", KEY)
    assert done.exit_code == 3
    said = json.loads(done.stdout)
    (payment,) = served.payments.values()
    (instruction_id,) = served.instructions
    assert said == {
        "outcome": "partially_approved",
        "in_effect": True,
        "payment_id": payment["paymentId"],
        "instruction_id": instruction_id,
        "idempotency_key": KEY,
        "serial_number": SERIAL,
        "order_id": "A1",
        "amount": 4999,
        "authorized_amount": 3000,
        "currency": "USD",
        "response_code": "P",
        "response_message": "PARTIAL APPROVAL",
        "approval_code": payment["transactionResult"]["approvalCode"],
        "error": None,
    }
    for secret in (payment["card"]["cardNumber"], payment["card"]["cardholderName"]):
        assert secret not in done.output


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            lambda g: g.device(SERIAL).fails("Out of paper"),
            {"type": "InstructionFailedError", "error_message": "Out of paper"},
        ),
    ],
)
def test_json_tells_of_errors_too(served: Simulator, script: Script, error: dict[str, Any]) -> None:
    """An error is reported by type and message, beside what is known of the sale."""
    script(served)
    done = run(served, "--json", "--idempotency-key", KEY)
    assert done.exit_code == 4
    said = json.loads(done.stdout)
    assert said.keys() == MEMBERS
    assert said["idempotency_key"] == KEY
    assert said["outcome"] is None
    assert said["error"].pop("message")
    assert said["error"] == error


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--amount", "49.999"], "--amount"),
        (["--amount", "0"], "--amount"),
        (["--amount", "99999999999999999999"], "--amount"),
        (["--currency", "usd"], "--currency"),
        (["--terminal", "12"], "--terminal"),
        (["--order-id", ""], "--order-id"),
        (["--idempotency-key", "no-uuid"], "--idempotency-key"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
        (["--timeout", "soon"], "--timeout"),
        (["--colour"], "--colour"),
    ],
)
def test_a_wrong_option_exits_with_2_and_is_named(
    served: Simulator, options: list[str], named: str
) -> None:
    """Usage errors exit with 2, name the option, and send nothing but perhaps for a token."""
    done = run(served, *options)
    assert done.exit_code == 2
    assert named in done.stderr
    assert done.stdout == ""
    assert served.requests_of("submit") == []


def test_a_wrong_serial_number_exits_with_2(served: Simulator) -> None:
    """A serial number that would change the path is refused by the argument's name."""
    done = run(served, serial_number="1850/../1")
    assert done.exit_code == 2
    assert "Error: SERIAL" in done.stderr


@pytest.mark.parametrize("missing", ["PAYROC_API_KEY", "PAYROC_API_URL", "PAYROC_IDENTITY_URL"])
def test_a_missing_variable_exits_with_2_and_is_named(served: Simulator, missing: str) -> None:
    """Without its configuration no sale is tried; with --json the error is an object too."""
    environment: dict[str, str | None] = {**variables(served), missing: None}
    done = CliRunner().invoke(cli, ["sale", SERIAL, *SALE], env=environment)
    assert done.exit_code == 2
    assert missing in done.stderr
    done = CliRunner().invoke(cli, ["sale", SERIAL, *SALE, "--json"], env=environment)
    assert done.exit_code == 2
    said = json.loads(done.stdout)
    assert said.keys() == MEMBERS
    assert said["error"]["type"] == "ConfigurationError"
    assert missing in said["error"]["message"]


# Ctrl-C, on a real process ----------


class Command:
    """A ``payroc-async`` in a process of its own; by default a sale."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls,
        gateway: Simulator,
        *options: str,
        code: str | None = None,
        command: Sequence[str] = ("sale", SERIAL, *SALE),
    ) -> Command:
        program = ["-c", code] if code else ["-m", "payroc_async"]
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", *program),
                *(*command, *options),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **variables(gateway)},
            )
        )

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        self._process.send_signal(number)

    async def end(self) -> tuple[int, str, str]:
        out, err = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, out.decode(), err.decode()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_cancels_the_instruction(gateway: Simulator, number: signal.Signals) -> None:
    """Ctrl-C, and SIGTERM, cancel at the gateway, say so, and exit with 4."""
    gateway.device(SERIAL).never_finishes()
    command = await Command.start(gateway)
    await until(lambda: gateway.in_progress)
    command.signal(number)
    code, out, err = await command.end()
    assert code == 4, out + err
    assert out.startswith("CANCELED: as you asked, no money moved")
    assert "canceling the sale" in err
    (instruction,) = gateway.instructions.values()
    assert instruction.status == "canceled"
    assert instruction.id in out


async def test_ctrl_c_twice_still_cancels(gateway: Simulator) -> None:
    """A second Ctrl-C while the gateway takes its time is answered, and changes nothing."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", delay(0.5))
    command = await Command.start(gateway, "--json")
    await until(lambda: gateway.in_progress)
    command.signal()
    await until(lambda: gateway.requests_of("cancel"))
    for _ in range(3):
        command.signal()
        await asyncio.sleep(0.02)
    code, out, err = await command.end()
    assert code == 4, out + err
    assert "already canceling" in err
    assert json.loads(out)["error"]["type"] == "InstructionCanceledError"
    assert gateway.in_progress == []


async def test_ctrl_c_while_submitting(gateway: Simulator) -> None:
    """Ctrl-C before the gateway has answered the submission leaves nothing running either."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("submit", delay(0.3))
    gateway.faults.add("submit", drop_after())
    command = await Command.start(gateway)
    await until(lambda: gateway.requests_of("submit"))
    command.signal()
    code, out, err = await command.end()
    assert code == 4, out + err
    assert "CANCELED: as you asked" in out
    (instruction,) = gateway.instructions.values()
    assert instruction.status == "canceled"


async def test_ctrl_c_after_the_payment(gateway: Simulator) -> None:
    """If the payment comes first, Ctrl-C says so, what it is, and exits with its code."""
    gateway.device(SERIAL).completes_on_cancel()
    command = await Command.start(gateway)
    await until(lambda: gateway.in_progress)
    command.signal()
    code, out, err = await command.end()
    assert code == 0, out + err
    assert "Too late to cancel: the payment was made. APPROVED: 49.99 USD" in out
    (payment_id,) = gateway.payments
    assert payment_id in out


IMPATIENT = """
import functools
from payroc_async import PayrocSession, RetryPolicy, Timeouts
from payroc_async.cli import main
PayrocSession.from_env = functools.partial(
    PayrocSession.from_env,
    timeouts=Timeouts(cancel_grace=0.3, unreachable=0.3, request=0.3),
    retries=RetryPolicy(initial=0.05, maximum=0.05),
)
main()
"""


async def test_ctrl_c_that_the_gateway_does_not_confirm(gateway: Simulator) -> None:
    """Ctrl-C with a gateway that fails exits with 5, and says how to find out."""
    gateway.device(SERIAL).never_finishes()
    command = await Command.start(gateway, code=IMPATIENT)
    await until(lambda: gateway.in_progress and gateway.requests_of("status"))
    gateway.faults.add("cancel", status(503), times=None)
    gateway.faults.add("status", status(503), times=None)
    command.signal()
    code, out, err = await command.end()
    assert code == 5, out + err
    assert "OUTCOME UNKNOWN" in out
    (instruction_id,) = gateway.instructions
    assert f"session.resume_sale('{instruction_id}')" in out
