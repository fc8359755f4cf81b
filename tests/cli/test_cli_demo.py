"""``payroc-async demo``: what it shows, what it ends with, and that it notices what is wrong."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from click.testing import CliRunner, Result

from payroc_async import Event, Payment, PayrocSession, ResultReceived
from payroc_async.cli.app import cli
from payroc_async.cli.demo import cardholders

QUICK = ["--pace", "0.1", "--seed", "7"]
DEMO = [sys.executable, "-X", "dev", "-W", "error", "-m", "payroc_async", "demo", *QUICK]


def run_here(*options: str) -> Result:
    return CliRunner().invoke(cli, ["demo", *QUICK, *options])


def number_after(name: str, text: str) -> int:
    found = re.search(rf"{re.escape(name)}:? +(\d+)", text)
    assert found is not None, text
    return int(found[1])


def test_it_ends_well_and_says_so_line_by_line() -> None:
    """Without a terminal the demo prints lines, a summary with its zeroes, and exits with 0."""
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for zero in (
        "Double charges",
        "Outcomes lost",
        "Outcomes wrong",
        "Instructions left running",
        "Contract violations seen by the gateway",
    ):
        assert number_after(zero, done.stdout) == 0
    assert number_after("Faults recovered", done.stdout) > 5
    submitted, made = re.findall(r"Instructions submitted: (\d+), made: (\d+) \(", done.stdout)[0]
    assert 0 < int(submitted) == int(made) <= 36  # one that waits long for a token may time out
    assert "36 sales on 12 devices" in done.stdout
    assert "All well" in done.stdout
    assert "identity service down" in done.stdout
    assert "\x1b" not in done.stdout
    for ending in cardholders.MANNERS:
        assert ending.ending.value in done.stdout


def test_json() -> None:
    """--json prints one object on stdout, what was counted and what is wrong; no more there."""
    done = run_here("--json", "--devices", "2")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["devices"], said["seed"], said["interrupted"]) == (2, 7, False)
    # A sale whose timeout has passed before there was a token is never submitted.
    assert 0 < said["submitted"] == said["instructions_made"] <= sum(said["outcomes"].values())
    problems = ("doubled", "lost", "wrong", "left_running", "contract_violations")
    assert [said[name] for name in problems] == [[]] * 5
    assert 0 < said["added_seconds_p50"] <= said["added_seconds_p99"]
    assert "identity service down" in done.stderr


def test_it_shows_a_live_table_on_a_terminal() -> None:
    """On a terminal that is too low for all devices, the table says how many more there are."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for size in ("COLUMNS", "LINES"):
        environment.pop(
            size, None
        )  # a test runner's, which would count for more than the terminal's
    with subprocess.Popen(
        [*DEMO, "--devices", "30"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 65_536):
                shown += some
        except OSError:
            pass  # how Linux says that the other side of a terminal has gone
        finally:
            os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert process.returncode == 0, text
    assert re.search(r"Device +Sale +Amount +State +Time +Outcome", text)
    assert re.search(r"1850010801 +1/2 +[\d.]+ USD", text)
    assert re.search(r"and \d+ more devices, \d+ of them busy", text)
    assert "waiting for the card" in text
    assert "All well" in text


def test_ctrl_c_leaves_nothing_running() -> None:
    """Ctrl-C in the middle of the demo cancels what runs, says so, and exits with 130."""
    with subprocess.Popen(
        [*DEMO, "--pace", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "waiting for the card" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130, rest
    assert "Instructions left running: 0" in rest


class Forgetful(PayrocSession):
    """Leaves instructions running when their task is canceled."""

    async def run_sale(self, *args: Any, **options: Any) -> Payment:
        return await super().run_sale(*args, **{**options, "on_cancel": "detach"})


class Stuttering(PayrocSession):
    """Runs the first approved sale twice."""

    stuttered = False

    async def run_sale(self, *args: Any, **options: Any) -> Payment:
        payment = await super().run_sale(*args, **options)
        if payment.approved and not self.stuttered:
            self.stuttered = True
            payment = await super().run_sale(*args, **options)
        return payment


class Deaf(PayrocSession):
    """Never hears of its payments."""

    async def run_sale(self, *args: Any, **options: Any) -> Payment:
        tell = options["on_event"]

        def tell_in_part(event: Event) -> None:
            if not isinstance(event, ResultReceived):
                tell(event)

        await super().run_sale(*args, **{**options, "on_event": tell_in_part})
        raise RuntimeError("not heard")


class Hanging(PayrocSession):
    """Never gives the payment to its caller."""

    async def run_sale(self, *args: Any, **options: Any) -> Payment:
        payment = await super().run_sale(*args, **options)
        await asyncio.Event().wait()
        return payment


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        (Forgetful, "left running: instruction"),
        (Stuttering, "doubled: order"),
        (Deaf, "lost: payment"),
        (Deaf, "RuntimeError: not heard"),
        (Hanging, "lost: "),
    ],
)
def test_it_fails_if_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, session: type[PayrocSession], complaint: str
) -> None:
    """An SDK that leaves instructions running, doubles, loses or hangs makes it exit with 1."""
    if session is Hanging:
        monkeypatch.setattr("payroc_async.cli.demo.demo_command.LONGEST", 1.5)
    monkeypatch.setattr("payroc_async.cli.demo.demo_command.PayrocSession", session)
    done = run_here("--devices", "20")
    assert done.exit_code == 1
    assert complaint in done.output
    assert "FAILED" in done.output
    assert "All well" not in done.output


@pytest.mark.parametrize("devices", [1, 2, 12, 40, 500])
def test_a_seed_repeats_the_mix(devices: int) -> None:
    """The same seed gives the same plan, another seed another, and every manner comes."""
    tours = cardholders.plan(devices, 7, 1.0)
    assert tours == cardholders.plan(devices, 7, 1.0)
    assert tours != cardholders.plan(devices, 8, 1.0)
    assert len(tours) == devices
    visits = [visit for tour in tours for visit in tour.visits]
    assert {visit.manner for visit in visits} == set(cardholders.MANNERS)
    if devices > 2:
        assert {visit.trouble for visit in visits} == {None, *cardholders.TROUBLES}
    for tour in tours:
        assert sum(visit.after + visit.pause for visit in tour.visits) < 9.5


@pytest.mark.parametrize("devices", ["0", "501", "many"])
def test_too_many_or_too_few_devices_are_refused(devices: str) -> None:
    """A number of devices out of range exits with 2 and names the option."""
    done = run_here("--devices", devices)
    assert done.exit_code == 2
    assert "--devices" in done.output
