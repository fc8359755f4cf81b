"""What all commands have in common on a screen: width, colors, counts, times and help."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from payroc_async import Device, Payment
from payroc_async.cli.app import cli
from payroc_async.cli.demo import audit, cardholders, device_rows, records, summary
from payroc_async.cli.demo import live_table as board
from payroc_async.cli.formatting import DEVICES, PAYMENTS
from payroc_async.cli.journal import entry_table as journal
from payroc_async.cli.palette import COLORS
from payroc_async.cli.phrases import counted, duration_in_words, moment_in_words
from payroc_async.codec import structure
from payroc_async.journal import Entry, EntryState
from tests.unit.test_errors import SAMPLES

DEMO = [sys.executable, "-m", "payroc_async", "demo", "--pace", "0.1", "--seed", "7"]
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MOMENT = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def on_terminal(arguments: list[str], columns: int, lines: int = 50) -> str:
    """What a process writes to a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("PYTHONASYNCIODEBUG", "COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    shown = b""
    with subprocess.Popen(
        arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        try:
            while some := os.read(ours, 65_536):
                shown += some
        except OSError:
            pass  # how Linux says that the other side of a terminal has gone
        finally:
            os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


# Width ----------


@pytest.mark.parametrize("columns", [40, 60, 69])
def test_the_demo_stacks_on_a_narrow_terminal(columns: int) -> None:
    """Below 70 columns nothing is cut off: neither in the rows, nor in the summary."""
    shown = CODES.sub("", on_terminal([*DEMO, "--devices", "3"], columns))
    lines = shown.replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= columns
    assert "\u2026" not in shown
    # Each device has a row with its serial number and its amount, and its outcome below.
    last = shown[shown.rindex("1850010801 ") :].splitlines()
    assert re.fullmatch(r"1850010801 +\d+\.\d\d USD +\d+ ms +9/9", last[0].rstrip())
    below = " ".join(line.strip() for line in last[1:3])
    endings = "|".join(one.value for one in cardholders.Ending) + r"|part paid: [\d.]+ USD"
    assert re.match(rf"done\s+(?:{endings})", below)
    words = " ".join(re.sub(r"[\u2500-\u257f]", " ", shown).split())
    assert "Contract violations seen by the gateway 0" in words
    assert re.search(r"p50 [\d.]+ ms, p99 [\d.]+ ms", words)
    # A value has its own line: it is not squeezed into a column beside its name.
    assert re.search(r"Double charges *\u2502\s+\u2502 +0 ", shown)


def everything_a_row_may_show() -> Iterator[device_rows.Cells]:
    states = [*records.WHY_CANCELING.values(), "still waiting, poll 12"]
    states += [f"{why}, retrying" for why in ("unreadable answer", "connection lost", "HTTP 503")]
    outcomes = [f"before: {one.value}" for one in cardholders.Ending]
    outcomes += ["approved just in time", "part paid: 129.00 USD", "WRONG: OutcomeUnknownError"]
    for state, outcome in itertools.product(states, outcomes):
        yield device_rows.Cells(
            device="1850010801",
            sale="9/9",
            amount="129.00 USD",
            time="999 ms",
            state=f"x {state}",
            outcome=outcome,
        )


@pytest.mark.parametrize("columns", [36, 45, 59, 64, 69])
def test_no_value_is_cut_off_when_stacked(columns: int) -> None:
    """The longest state and the longest outcome are whole in every stacked row."""
    layout = device_rows.layout_for(columns)
    for cells in everything_a_row_may_show():
        console = Console(width=columns, color_system=None)
        with console.capture() as captured:
            console.print(*layout.rows(cells), sep="\n")
        text = captured.get()
        for value in (cells.device, cells.amount, cells.time, cells.state, cells.outcome):
            assert value in text
        assert len(text.splitlines()) == layout.height


@pytest.mark.parametrize("columns", [70, 80, 100, 120])
def test_a_table_says_where_it_cuts(columns: int) -> None:
    """Where a state is too long for its column, an ellipsis shows that."""
    layout = device_rows.layout_for(columns)
    for cells in everything_a_row_may_show():
        (row,) = layout.rows(cells)
        assert len(row.plain) <= columns
        assert cells.state in row.plain or "\u2026" in row.plain
        assert cells.amount in row.plain


# Colors ----------


def luminance(color: int) -> float:
    """The relative luminance of a color of xterm's 6x6x6 cube, as WCAG 2 defines it."""
    assert 16 <= color < 232
    levels = (0, 95, 135, 175, 215, 255)
    index = color - 16
    parts = [levels[one] / 255 for one in (index // 36, index // 6 % 6, index % 6)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("color", COLORS)
def test_colors_are_legible_on_light_and_dark(color: str) -> None:
    """The contrast with white and with black is at least 3."""
    own = luminance(COLORS[color])
    assert 1.05 / (own + 0.05) >= 3
    assert (own + 0.05) / 0.05 >= 3


def test_no_command_uses_the_colors_of_the_terminal() -> None:
    """A terminal's own yellow, cyan or bright green may be invisible on its background."""
    shown = on_terminal([*DEMO, "--devices", "3"], 100)
    done = CliRunner().invoke(cli, ["doctor"], color=True, env={"PAYROC_API_KEY": ""})
    assert "38;5;" in shown
    assert "38;5;" in done.stdout
    shown = shown.replace("\x1b[1;37;41m", "")  # white on red brings its background along
    for code in re.findall(r"\x1b\[([\d;]+)m", shown + done.stdout):
        parts = re.sub(r"[34]8;5;\d+", "", code).split(";")
        assert not [one for one in parts if one and 30 <= int(one) <= 107], code


# Counts and times ----------


def test_counts() -> None:
    """A count of one has a singular."""
    assert [counted(count, "sale") for count in (0, 1, 2)] == ["0 sales", "1 sale", "2 sales"]
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"


def test_one_of_everything_in_the_demo() -> None:
    """One device, one sale, one submission: never a plural."""
    console = Console(width=100, record=True, color_system=None)
    report = audit.Report(
        endings=Counter({cardholders.Ending.APPROVED: 1}), submissions=1, submitted=1, made=1
    )
    report.added = [0.001]
    summary.print_summary(console, report, devices=1, took=1.0, seed=7)
    tours = cardholders.plan(2, 7, 1.0)
    lines = [records.Line(tour.serial_number, 1, lambda *_: None) for tour in tours]
    live = board.LiveBoard(Console(width=100, height=9, color_system=None), 1, "URL")
    live._lines = lines
    console.print(live.picture())
    live._lines = lines[:1]
    console.print(live.picture())
    board.PlainBoard(console, 1, "URL")
    text = console.export_text()
    for singular in ("1 sale on 1 device", "1 submission sent", "(1 sale;", "and 1 more device,"):
        assert singular in text
    assert "0 of 1 sale " in text
    assert text.count("1 device, one session") == 3
    assert not re.search(r"\b1 (more )?(devices|sales|submissions)", text)


def test_one_form_of_times() -> None:
    """Moments have a date, seconds and a zone; durations a unit that fits."""
    zone = timezone(timedelta(hours=2), "CEST")
    assert moment_in_words(datetime(2026, 5, 1, 9, 5, 7, tzinfo=UTC)) == "2026-05-01 09:05:07 UTC"
    assert moment_in_words(datetime(2026, 5, 1, 9, 5, tzinfo=zone)) == "2026-05-01 09:05:00 CEST"
    assert moment_in_words(datetime(2026, 5, 1)) == "2026-05-01 00:00:00"
    assert moment_in_words(None) is None
    assert [duration_in_words(one) for one in (0, 0.0314, 0.9996, 61.26)] == [
        "0 ms",
        "31 ms",
        "1.0 s",
        "61.3 s",
    ]


def test_every_list_has_that_form_of_times() -> None:
    """Payments, devices and the journal write moments in the same form."""
    payment = structure(json.loads((SAMPLES / "payment.json").read_bytes()), Payment)
    last = {"orderId": "A1", "dateTime": "2026-05-01T14:30:05Z"}
    device = structure({"serialNumber": "1", "lastTransaction": last}, Device)
    moments = [PAYMENTS.row(payment)["when"], DEVICES.row(device)["last used"]]
    assert moments[1] == "2026-05-01 14:30:05 UTC"
    more = journal._more(entry(datetime(2026, 5, 1, tzinfo=UTC)))
    moments += [more["begun"], more["changed"]]
    for moment in moments:
        assert moment is not None
        assert re.fullmatch(MOMENT, moment)


def entry(moment: datetime) -> Entry:
    """An entry of the journal that was begun and changed then."""
    return Entry(
        idempotency_key="key",
        kind="payment",
        gateway="https://api.example/v1",
        serial_number="1",
        body=None,
        instruction_id=None,
        state=EntryState.INTENT,
        resource_id=None,
        begun=moment,
        changed=moment,
        age=0.0,
        owner="",
        fence=0,
    )


# Help ----------


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command and subcommand."""
    yield path, command
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from commands(one, *path, name)


COMMANDS = dict(commands(cli))


def help_of(path: tuple[str, ...], columns: int) -> str:
    """Its help on a terminal of this width."""
    done = CliRunner().invoke(
        cli, [*path, "--help"], prog_name="payroc-async", terminal_width=columns
    )
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("columns", [50, 60, 80, 120])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_complete_at_any_width(path: tuple[str, ...], columns: int) -> None:
    """Nothing is truncated, and a line is longer than the terminal only where one word is."""
    text = help_of(path, columns)
    for line in text.splitlines():
        assert not line.endswith("...") or "[ARGS]..." in line or "[SCENARIO]..." in line
        assert len(line) <= columns or len(line.split()) <= 5, line
    command = COMMANDS[path]
    words = " ".join(text.split())
    for one in getattr(command, "commands", {}).values():
        assert " ".join(one.get_short_help_str(10_000).split()) in words
    # An example is whole, and can be copied: broken only by the shell's backslash.
    joined = re.sub(r" \\\n +", " ", text)
    wide = re.sub(r" \\\n +", " ", help_of(path, 400))
    examples = re.findall(r"^ +(payroc-async .+)$", wide, re.MULTILINE)
    assert examples
    for example in examples:
        assert shlex.split(example, comments=True)
        assert example in joined


# The seed ----------


def test_the_demo_says_what_a_seed_repeats() -> None:
    """The printed command repeats the outcomes, on as many devices; the timing is not promised."""
    first = subprocess.run(
        [*DEMO, "--devices", "2"], capture_output=True, text=True, timeout=50, check=True
    )
    found = re.search(r"Reproduce with: payroc-async (demo .+) \((.+)\)$", first.stdout, re.M)
    assert found is not None
    assert found[1] == "demo --devices 2 --seed 7"
    assert "cardholders, amounts and faults" in found[2]
    assert "not the timing" in found[2]
    again = subprocess.run(
        [sys.executable, "-m", "payroc_async", *found[1].split(), "--pace", "0.1", "--json"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    outcomes = json.loads(again.stdout)["outcomes"]
    said = re.search(r"Outcomes: (.+)$", first.stdout, re.M)
    assert said is not None
    assert set(said[1].split(", ")) == {f"{times} {name}" for name, times in outcomes.items()}
