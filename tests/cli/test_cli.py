"""The command line as a whole: how it starts and ends, its help, its variables."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from payroc_async import PayrocSession, __version__
from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, hang, problem
from tests.conftest import SERIAL, sale, variables
from tests.harness.programs import without_slow_steps

from .test_cli_sale import SALE, Command, until

NO_GATEWAY: dict[str, str | None] = dict.fromkeys(
    (
        "PAYROC_API_KEY",
        "PAYROC_ENVIRONMENT",
        "PAYROC_API_URL",
        "PAYROC_IDENTITY_URL",
        "PAYROC_JOURNAL",
    )
)


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
        "sys.exit(len({'click', 'dotenv', 'rich', 'payroc_async.cli'} & set(sys.modules)))"
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


def commands(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Every command and group of commands below this one, by its words."""
    yield " ".join(words), group
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *words, word)
        else:
            yield " ".join((*words, word)), command


COMMANDS = dict(commands(cli))
LEAVES = {words: one for words, one in COMMANDS.items() if not isinstance(one, click.Group)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command: str) -> None:
    """Every command has an example that its parser takes, its exit codes, and --json."""
    done = CliRunner().invoke(cli, [*command.split(), "--help"], terminal_width=200)
    assert done.exit_code == 0
    help_, _, examples = done.output.partition("  Example")
    assert "--pace" not in help_
    if command in LEAVES:
        assert re.search(r"^  --json ", help_, re.MULTILINE)
        codes = re.findall(r"^    (\d+) +\S", help_, re.MULTILINE)
        assert {"0", "2"} <= set(codes)
        assert codes == sorted(codes, key=int)
    lines = examples.partition("\n")[2].replace("\\\n", "").splitlines()
    words = [shlex.split(line.strip(), comments=True) for line in lines if line.strip()]
    assert words
    for example in words:
        assert example[0] == "payroc-async" or example[0] == "eval", example
        assert command in " ".join(example)
        if example[0] == "payroc-async":
            parse(example[1:])


def parse(words: list[str]) -> None:
    """Have click parse a command, and not run it."""
    if words[0] == "--env-file":
        del words[:2]
    words = [*itertools.takewhile(lambda word: word not in {">", "2>/dev/null"}, words)]
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context(command.name, words).close()


def test_errors_are_json_too() -> None:
    """With --json a wrong option of any command is an object on stdout, and nothing else."""
    for command in (*LEAVES, "nonsense"):
        done = CliRunner().invoke(cli, [*command.split(), "--json", "--no-such-option"])
        assert (done.exit_code, done.stderr) == (2, ""), command
        error = json.loads(done.stdout)["error"]
        assert error["type"] == "UsageError"
        assert error["message"]
    done = CliRunner().invoke(cli, ["sale", "--no-such-option"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error: No such option" in done.stderr


def test_colors_are_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR has it print none, also on a terminal."""
    for value, colored in (("", True), ("1", False)):
        # Its runner strips colors unless it is reported not to, as a terminal shows them.
        done = CliRunner().invoke(
            cli, ["doctor"], color=True, env={**NO_GATEWAY, "NO_COLOR": value}
        )
        assert ("\x1b[" in done.stdout) == colored


# A reader that goes, Ctrl-C ----------


async def unread(gateway: Simulator, *words: str, both: bool = True) -> tuple[int | None, str]:
    """A command whose stdout, or stderr too, no one reads: its exit code, and its stderr."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "payroc_async", *words),
            stdout=theirs,
            stderr=theirs if both else asyncio.subprocess.PIPE,
            env={**os.environ, **variables(gateway)},
        )
    finally:
        os.close(theirs)
    _, err = await process.communicate()
    return process.returncode, without_slow_steps((err or b"").decode())


async def test_p5_a_sale_goes_on_when_its_reader_has_gone(gateway: Simulator) -> None:
    """P5: With neither stdout nor stderr to write to, it ends as it would, in its exit code."""
    gateway.device(SERIAL).declines()
    code, _ = await unread(gateway, "sale", SERIAL, *SALE)
    assert code == 3
    assert len(gateway.payments) == 1


async def test_what_only_reads_stops_when_its_reader_has_gone(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A list whose reader has gone, as with `| head`, ends at once and in silence."""
    for _ in range(11):
        await session.run_sale(SERIAL, sale())
    words = ["payments", "list", "--all", "--json"]
    code, err = await unread(gateway, *words, both=False)
    assert (code, err) == (141, "")
    assert len(gateway.requests_of("search")) == 1


async def test_ctrl_c_on_what_only_reads(gateway: Simulator) -> None:
    """Ctrl-C ends a list with 130, and with --json says so in an object."""
    gateway.faults.add("search", hang())
    listing = await Command.start(gateway, command=["payments", "list", "--json"])
    await until(lambda: gateway.requests_of("search"))
    listing.signal()
    code, out, err = await listing.end()
    assert code == 130, err
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert "Traceback" not in err


# Completion ----------


async def test_bash_completes() -> None:
    """Bash, given the script, completes commands and their words."""
    code = (
        'eval "$(payroc-async completion bash)"; COMP_WORDS=(payroc-async journal cl); '
        'COMP_CWORD=2; _payroc_async_completion payroc-async; echo "${COMPREPLY[@]}"'
    )
    scripts = sysconfig.get_path("scripts")
    process = await asyncio.create_subprocess_exec(
        *("bash", "--norc", "-c", code),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"},
    )
    out, _ = await process.communicate()
    assert out == b"close\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """The script asks the command as it answers, and is the same in JSON."""
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert f"_PAYROC_ASYNC_COMPLETE={shell}_complete" in done.stdout
    told = json.loads(CliRunner().invoke(cli, ["completion", shell, "--json"]).stdout)
    assert told == {"shell": shell, "script": done.stdout.removesuffix("\n")}
    asked = {
        "_PAYROC_ASYNC_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "payroc-async journal",
        "COMP_CWORD": "" if shell == "fish" else "2",
    }
    answered = CliRunner().invoke(cli, [], prog_name="payroc-async", env=asked)
    assert all(word in answered.stdout for word in ("list", "show", "close", "purge"))


# .env ----------


class TestEnvFile:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("payroc_async.cli.settings.ENV_FILE", Path(".env"))
        monkeypatch.chdir(tmp_path)
        for name in NO_GATEWAY:
            monkeypatch.delenv(name, raising=False)

    def write(self, known: dict[str, str], name: str = ".env") -> None:
        Path(name).write_text("".join(f"{word}='{value}'\n" for word, value in known.items()))

    def test_it_is_read_in_this_folder(self, served: Simulator) -> None:
        """Its variables lead to the gateway and to the journal, beside lines for others."""
        self.write({**variables(served), "PAYROC_JOURNAL": "sales.db", "OTHER": "x"})
        with Path(".env").open("a") as file:
            file.write("what another program makes of its lines\n")
        done = CliRunner().invoke(cli, ["sale", SERIAL, *SALE])
        assert done.exit_code == 0, done.output
        assert Path("sales.db").exists()
        assert "OTHER" not in os.environ

    def test_the_process_wins(self, served: Simulator) -> None:
        """A variable that the process has counts, and for where the gateway is all of them."""
        self.write({"PAYROC_API_KEY": "wrong", "PAYROC_ENVIRONMENT": "nowhere"})
        done = CliRunner().invoke(cli, ["devices", "list"], env=variables(served))
        assert done.exit_code == 0, done.output

    def test_the_one_that_is_named(self, served: Simulator, impatient: None) -> None:
        """--env-file goes before `.env`; a command that is asked to be run again has it too."""
        self.write({"PAYROC_API_KEY": "wrong", "PAYROC_ENVIRONMENT": "nowhere"})
        self.write(variables(served), "my uat.env")
        lost = served.faults.add("payment", problem(404, "not-found"), times=None)
        done = CliRunner().invoke(cli, ["--env-file", "my uat.env", "sale", SERIAL, *SALE])
        assert done.exit_code == 5, done.output
        lost.remove()
        (line,) = [line for line in done.stdout.splitlines() if "  payroc-async " in line]
        again = CliRunner().invoke(cli, shlex.split(line)[1:])
        assert again.exit_code == 0, again.output
        assert len(served.instructions) == 1

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"\nPAYROC_API_KEY='s3cret\n", "line 2 can't be read"),
            (b"PAYROC_API_KEY=s3cret\xff\n", "it is not UTF-8"),
        ],
    )
    def test_one_that_cannot_be_read(self, text: bytes, reason: str) -> None:
        """It is named with the line, and nothing of it is shown; who needs none goes on."""
        Path(".env").write_bytes(text)
        done = CliRunner().invoke(cli, ["payments", "list"])
        assert done.exit_code == 2
        assert done.stderr.startswith("Error: --env-file: .env")
        assert reason in done.stderr
        assert "s3cret" not in done.output
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("payroc_async.cli.device.device_run.SIMULATED_SECONDS", 0.0)
            done = CliRunner().invoke(cli, ["sale", SERIAL, *SALE, "--simulator"])
        assert done.exit_code == 0, done.output

    def test_one_that_is_not_there(self) -> None:
        """A file that was named must be there; the one in this folder need not."""
        done = CliRunner().invoke(cli, ["--env-file", "none.env", "payments", "list"])
        assert done.exit_code == 2
        assert "none.env" in done.stderr
        done = CliRunner().invoke(cli, ["payments", "list"])
        assert done.stderr.startswith(
            "Error: PAYROC_API_KEY: is not set: set it in the environment"
        )
