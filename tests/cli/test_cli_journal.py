"""``payroc-async recover`` and ``journal``: what is ended, what is shown, what stays."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from payroc_async import PayrocSession
from payroc_async.cli.app import cli
from payroc_async.cli.device_operations import JobOptions
from payroc_async.cli.journal.recover_command import JOBS, RecoverOptions
from payroc_async.journal import Entry, EntryState, SQLiteJournal
from payroc_async.simulator import Simulator, delay, problem
from payroc_async.wire.converter import encode
from tests.conftest import EAGER, QUICK, SERIAL, sale, variables
from tests.journal.test_recovery import REFUND, SIGNATURE, leave

from .test_cli_device import ARGUMENTS
from .test_cli_sale import SALE, Command, until

pytestmark = pytest.mark.usefixtures("impatient")

NO_KEY: dict[str, str | None] = {"PAYROC_API_KEY": None, "PAYROC_ENVIRONMENT": None}
ENTRY = {
    "idempotency_key",
    "state",
    "kind",
    "serial_number",
    "gateway",
    "instruction_id",
    "resource_id",
    "begun",
    "changed",
    "age",
    "running",
}
COMMANDS = [
    ["list"],
    ["list", "--all", "--json"],
    ["show", "A1"],
    ["close", "A1", "--as", "failed"],
    ["purge"],
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


def recover(gateway: Simulator, path: Path, *options: str) -> Result:
    return CliRunner().invoke(
        cli, ["recover", "--journal", str(path), *options], env=variables(gateway)
    )


def journal(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["journal", *arguments, "--journal", str(path)], env=NO_KEY)


def left(gateway: Simulator, path: Path, *args: Any, **options: Any) -> str:
    return asyncio.run(leave(gateway, path, *args, **options))


def submitted(gateway: Simulator, path: Path, request: Any = None, **options: Any) -> str:
    """Leave an instruction behind that the gateway has; its key."""

    async def submit() -> str:
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
        ) as session:
            calls: Any = {
                "payment": session.payment_instructions,
                "refund": session.refund_instructions,
                "signature": session.signature_instructions,
            }[options.get("kind", "payment")]
            made = await calls.submit(SERIAL, request or sale())
        id_ = made.instruction_id
        state = EntryState.SUBMITTED
        return await leave(gateway, path, state, instruction_id=id_, request=request, **options)

    return asyncio.run(submit())


def kept(path: Path) -> dict[str, Entry]:
    async def read() -> list[Entry]:
        journal = SQLiteJournal(path)
        await journal.open()
        try:
            return await journal.entries()
        finally:
            await journal.aclose()

    return {entry.idempotency_key: entry for entry in asyncio.run(read())}


class TestRecover:
    def test_what_is_unfinished_is_ended(self, served: Simulator, path: Path) -> None:
        """What was submitted and what may not have been are both seen to the end, and reported."""
        keys = [submitted(served, path), left(served, path)]
        done = recover(served, path)
        assert done.exit_code == 0, done.output
        assert done.stdout.count("APPROVED: 49.99 USD") == 2
        assert "2 unfinished" in done.stderr
        for part in (*keys, *served.payments, SERIAL, "intent", "submitted; ", "resubmitted"):
            assert part.removesuffix("; ") in done.stdout
        assert {entry.state for entry in kept(path).values()} == {EntryState.COMPLETED}
        again = recover(served, path)
        assert (again.exit_code, again.stdout) == (0, "")
        assert again.stderr == "nothing to recover\n"

    @pytest.mark.parametrize(
        ("kind", "request_"),
        [("payment", sale()), ("refund", REFUND), ("signature", SIGNATURE)],
        ids=["payment", "refund", "signature"],
    )
    def test_json(self, served: Simulator, path: Path, kind: str, request_: Any) -> None:
        """--json prints one object for each, of the same members whatever its kind."""
        key = submitted(served, path, request_, kind=kind)
        done = recover(served, path, "--json")
        assert done.exit_code == 0, done.output
        (id_,) = getattr(served, f"{kind}s")
        (instruction_id,) = served.instructions
        said = json.loads(done.stdout)
        assert said.pop("age") < 60
        answered = kind != "signature"
        approval_code = said.pop("approval_code")
        assert (approval_code is not None) == answered
        assert said == {
            "idempotency_key": key,
            "kind": kind,
            "serial_number": SERIAL,
            "found": "submitted",
            "action": "resumed",
            "state": "completed",
            "open": False,
            "instruction_id": instruction_id,
            "resource_id": id_,
            "order_id": "OrderRef6543" if answered else None,
            "amount": 4999 if answered else None,
            "currency": "USD" if answered else None,
            "outcome": "approved" if answered else None,
            "in_effect": True if answered else None,
            "authorized_amount": 4999 if answered else None,
            "response_code": "A" if answered else None,
            "response_message": "APPROVED" if answered else None,
            "error": None,
        }

    @pytest.mark.parametrize(
        ("script", "said", "state"),
        [
            (lambda g: g.device(SERIAL).declines(), "DECLINED: 49.99 USD", EntryState.COMPLETED),
            (lambda g: g.device(SERIAL).fails("Out of paper"), "FAILED: Out", EntryState.FAILED),
            (lambda g: g.device(SERIAL).cardholder_cancels(), "CANCELED", EntryState.CANCELED),
        ],
    )
    def test_each_end_is_an_end(
        self,
        served: Simulator,
        path: Path,
        script: Callable[[Simulator], object],
        said: str,
        state: EntryState,
    ) -> None:
        """Declined, failed and canceled ones are over: 0, for nothing is left open."""
        script(served)
        key = submitted(served, path)
        done = recover(served, path)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(said)
        assert kept(path)[key].state is state

    def test_cancel(self, served: Simulator, path: Path) -> None:
        """--cancel ends at the gateway what would wait for its cardholder, and says so."""
        served.device(SERIAL).never_finishes()
        submitted(served, path)
        done = recover(served, path, "--cancel")
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("CANCELED: as you asked, no money moved\n")
        assert "canceling it" in done.stderr
        assert served.in_progress == []

    def test_what_is_old_is_sent_again_only_if_asked(self, served: Simulator, path: Path) -> None:
        """5 and a word about --resubmit for an old intent; with the option it is sent, and ends."""
        key = left(served, path, age=600)
        done = recover(served, path)
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("OUTCOME UNKNOWN: money may have moved\n")
        assert "the customer may have left" in done.stdout
        assert "--resubmit sends again" in done.stderr
        assert served.requests_of("submit") == []
        assert kept(path)[key].state is EntryState.INTENT
        done = recover(served, path, "--resubmit", "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["action"] == "resubmitted"
        assert len(served.payments) == 1

    def test_what_no_one_can_learn(self, served: Simulator, path: Path) -> None:
        """A key that the gateway may have forgotten exits with 5, once, and is kept as unknown."""
        left(served, path, age=7 * 86_400)
        done = recover(served, path, "--resubmit", "--json")
        assert done.exit_code == 5, done.output
        said = json.loads(done.stdout)
        assert (said["state"], said["open"]) == ("unknown", True)
        assert said["error"]["type"] == "OutcomeUnknownError"
        assert served.requests_of("submit") == []
        assert recover(served, path).exit_code == 0
        assert "1 of unknown outcome" in journal(path, "list").stderr

    def test_a_payment_that_cannot_be_read(self, served: Simulator, path: Path) -> None:
        """A payment that can't be read leaves the outcome unknown: 5, and it is found again."""
        lost = served.faults.add("payment", problem(404, "not-found"), times=None)
        submitted(served, path)
        done = recover(served, path)
        assert done.exit_code == 5, done.output
        assert "OUTCOME UNKNOWN" in done.stdout
        assert "HTTP 404" in done.stdout
        assert "1 still unfinished" in done.stderr
        lost.remove()
        assert recover(served, path).exit_code == 0

    def test_a_gateway_that_knows_no_such_key(self, served: Simulator, path: Path) -> None:
        """Where the gateway says nothing the outcome is unknown: 5, with the reason; it stays."""
        key = submitted(served, path)
        environment = {**variables(served), "PAYROC_API_KEY": "another"}
        done = CliRunner().invoke(cli, ["recover", "--journal", str(path)], env=environment)
        assert done.exit_code == 5, done.output
        assert "because:          HTTP 401" in done.stdout
        assert kept(path)[key].unfinished

    def test_what_is_not_for_it_is_told(self, served: Simulator, path: Path) -> None:
        """What lives, and what is another gateway's, is left alone and counted on stderr."""
        key = submitted(served, path)
        other = Simulator()
        asyncio.run(_leave_elsewhere(other, path))

        async def hold() -> Result:
            holder = SQLiteJournal(path)
            await holder.open()
            try:
                assert len(await holder.claim(served.environment.api_url)) == 1
                return await asyncio.to_thread(recover, served, path)
            finally:
                await holder.aclose()

        # The signals of a loop can be had in the main thread alone.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("payroc_async.cli.journal.recover_command.on_signal", _no_signals)
            done = asyncio.run(hold())
        assert done.exit_code == 0, done.output
        assert done.stdout == ""
        assert "1 more in progress" in done.stderr
        assert "1 more unfinished at another gateway" in done.stderr
        assert kept(path)[key].state is EntryState.SUBMITTED

    def test_the_variable_names_it_too(self, served: Simulator, path: Path) -> None:
        """Without --journal PAYROC_JOURNAL counts; with neither it is 2."""
        submitted(served, path)
        done = CliRunner().invoke(
            cli, ["recover"], env={**variables(served), "PAYROC_JOURNAL": str(path)}
        )
        assert done.exit_code == 0, done.output
        done = CliRunner().invoke(cli, ["recover"], env=variables(served))
        assert done.exit_code == 2
        assert done.stderr == "Error: --journal: is not given, nor is PAYROC_JOURNAL set\n"

    def test_a_missing_variable_exits_with_2(self, served: Simulator, path: Path) -> None:
        """Without a key nothing is asked for, and what is missing is named."""
        left(served, path)
        environment: dict[str, str | None] = {**variables(served), "PAYROC_API_KEY": None}
        done = CliRunner().invoke(cli, ["recover", "--journal", str(path)], env=environment)
        assert done.exit_code == 2
        assert done.stderr.startswith(
            "Error: PAYROC_API_KEY: is not set: set it in the environment"
        )


def _no_signals(*_: Any) -> Any:
    return nullcontext()


async def _leave_elsewhere(other: Simulator, path: Path) -> None:
    async with other:
        await leave(other, path)


@pytest.mark.parametrize("options", [[], ["--cancel"]], ids=["finish", "cancel"])
async def test_ctrl_c_lets_go(gateway: Simulator, path: Path, options: list[str]) -> None:
    """Ctrl-C leaves what has not ended in the journal, with 5; what --cancel asked for is ended."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", delay(0.4))  # it is under way when the signal comes
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    key = await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    wanted = "cancel" if options else "status"
    before = len(gateway.requests_of(wanted))
    running = await Command.start(gateway, command=["recover", "--journal", str(path), *options])
    await until(lambda: len(gateway.requests_of(wanted)) > before)
    running.signal(signal.SIGINT)
    code, out, err = await running.end()
    assert "Traceback" not in err
    entry = (await asyncio.to_thread(kept, path))[key]
    if options:
        assert code == 0, out + err
        assert "releasing the unfinished entries" in err
        assert gateway.in_progress == []
        assert entry.state is EntryState.CANCELED
        return
    assert code == 5, out + err
    assert out == ""
    assert "interrupted: 1 still unfinished" in err
    assert (entry.state, entry.running) == (EntryState.SUBMITTED, False)
    assert len(gateway.in_progress) == 1


class TestJournal:
    def test_list(self, served: Simulator, path: Path) -> None:
        """What is unfinished is a row with what is known of it, and needs no API key."""
        keys = [submitted(served, path), left(served, path, age=7200)]
        done = journal(path, "list")
        assert done.exit_code == 0, done.output
        heading, oldest, newest = done.stdout.splitlines()
        assert heading.split()[:5] == ["state", "kind", "device", "age", "running"]
        assert oldest.split() == ["intent", "payment", SERIAL, "2", "h", "no", keys[1]]
        assert newest.split()[-2:] == [keys[0], *served.instructions]
        assert "2 orphaned: run" in done.stderr

    def test_json_lines(self, served: Simulator, path: Path) -> None:
        """--json prints one object a line; --all has what ended, and nothing shows a body."""
        ended = submitted(served, path)
        assert recover(served, path).exit_code == 0
        open_ = left(served, path)
        (one,) = journal(path, "list", "--json").stdout.splitlines()
        said = json.loads(one)
        assert said.keys() == ENTRY
        assert (said["idempotency_key"], said["state"], said["running"]) == (open_, "intent", False)
        done = journal(path, "list", "--all", "--json")
        first, second = map(json.loads, done.stdout.splitlines())
        assert (first["idempotency_key"], first["state"]) == (ended, "completed")
        assert first["resource_id"] in served.payments
        assert first["gateway"] == served.environment.api_url
        assert second == {**said, "age": second["age"]}
        for told in (done, journal(path, "list"), journal(path, "show", open_)):
            assert "OrderRef6543" not in told.output
        assert b"OrderRef6543" in encode(sale())

    def test_a_process_that_lives(self, served: Simulator, path: Path) -> None:
        """What a living process drives is distinguished from what no one does."""
        left(served, path)

        async def look() -> Result:
            holder = SQLiteJournal(path)
            await holder.open()
            try:
                await holder.claim(served.environment.api_url)
                return await asyncio.to_thread(journal, path, "list", "--json")
            finally:
                await holder.aclose()

        done = asyncio.run(look())
        assert json.loads(done.stdout)["running"] is True
        assert done.stderr == ""

    def test_show(self, served: Simulator, path: Path) -> None:
        """One entry by its key, in lines or as an object; another key exits with 4."""
        key = submitted(served, path)
        done = journal(path, "show", key)
        assert done.exit_code == 0, done.output
        for part in (key, *served.instructions, "submitted", SERIAL, served.environment.api_url):
            assert part in done.stdout
        done = journal(path, "show", key, "--json")
        assert json.loads(done.stdout).keys() == ENTRY
        done = journal(path, "show", "A\x1b1")
        assert done.exit_code == 4
        assert done.stderr == "Error: there is no entry A?1 in the journal\n"

    def test_purge(self, served: Simulator, path: Path) -> None:
        """What ended longer ago is deleted, by default than 90 days; what has no outcome stays."""
        submitted(served, path)
        assert recover(served, path).exit_code == 0
        open_ = left(served, path, age=1e8)
        done = journal(path, "purge")
        assert done.stdout == "0 deleted that ended more than 90 days ago\n"
        done = journal(path, "purge", "--older-than", "0")
        assert (done.exit_code, done.stdout[:2]) == (0, "1 ")
        assert list(kept(path)) == [open_]

        done = journal(path, "purge", "--json")
        assert json.loads(done.stdout) == {"deleted": 0, "older_than_days": 90.0}

    def test_close(self, served: Simulator, path: Path) -> None:
        """What a person found out about an unknown one is written and shown, and stays so."""
        keys = [left(served, path, EntryState.UNKNOWN) for _ in range(2)]
        done = journal(path, "close", keys[0], "--as", "completed", "--resource-id", "M2MJOG6O2Y")
        assert done.exit_code == 0, done.output
        assert "completed" in done.stdout
        assert "M2MJOG6O2Y" in done.stdout
        done = journal(path, "close", keys[1], "--as", "failed", "--json")
        said = json.loads(done.stdout)
        assert said.keys() == ENTRY
        assert (said["state"], said["resource_id"], said["running"]) == ("failed", None, False)
        assert kept(path)[keys[0]].resource_id == "M2MJOG6O2Y"
        again = journal(path, "close", keys[1], "--as", "canceled", "--json")
        assert again.exit_code == 4
        assert json.loads(again.stdout)["error"]["type"] == "JournalError"
        assert kept(path)[keys[1]].state is EntryState.FAILED

    def test_close_leaves_alone_what_may_end(self, served: Simulator, path: Path) -> None:
        """What is driven again by a process that lives; but not what a dead one has left."""
        unfinished = left(served, path)
        driven = left(served, path, EntryState.UNKNOWN, instruction_id="I1")

        async def hold() -> Result:
            holder = SQLiteJournal(path)
            await holder.open()
            try:
                gateway = served.environment.api_url
                assert await holder.adopt("payment", gateway, "I1") is not None
                return await asyncio.to_thread(journal, path, "close", driven, "--as", "failed")
            finally:
                await holder.aclose()

        done = asyncio.run(hold())
        assert done.exit_code == 4
        assert "another process" in done.stderr
        done = journal(path, "close", unfinished, "--as", "failed")
        assert done.exit_code == 0
        states = {key: entry.state for key, entry in kept(path).items()}
        assert states == {unfinished: EntryState.FAILED, driven: EntryState.UNKNOWN}
        done = journal(path, "close", unfinished, "--as", "canceled")
        assert done.exit_code == 4
        assert "is failed" in done.stderr

    @pytest.mark.parametrize(
        "options",
        [
            [],
            ["--as", "unknown"],
            ["--as", "completed"],
            ["--as", "failed", "--resource-id", "M2MJOG6O2Y"],
        ],
    )
    def test_close_usage(self, served: Simulator, path: Path, options: list[str]) -> None:
        """An outcome that is none, or that the id does not go with, exits with 2."""
        key = left(served, path, EntryState.UNKNOWN)
        done = journal(path, "close", key, *options)
        assert done.exit_code == 2, done.output
        assert "--resource-id" in done.stderr or "--as" in done.stderr
        assert kept(path)[key].state is EntryState.UNKNOWN

    @pytest.mark.parametrize("days", ["-1", "nan", "soon"])
    def test_purge_usage(self, served: Simulator, path: Path, days: str) -> None:
        """An age that is none exits with 2, by the option's name."""
        left(served, path)
        done = journal(path, "purge", "--older-than", days)
        assert done.exit_code == 2
        assert "--older-than" in done.stderr

    def test_an_empty_one(self, path: Path) -> None:
        """A journal with nothing in it is asked to be so, with 0 and nothing on stdout."""
        kept(path)
        done = journal(path, "list")
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr == "nothing in the journal is unfinished\n"
        assert journal(path, "list", "--all").stderr == "the journal is empty\n"


# Which journal ----------


def error_of(done: Result) -> str:
    """Why nothing came of it, in words or as JSON; nothing else was said."""
    if done.stdout:
        (said,) = json.loads(done.stdout).values()
        assert said["type"] in {"ConfigurationError", "JournalError"}
        assert done.stderr == ""
        return f"Error: {said['message']}\n"
    return done.stderr


@pytest.mark.parametrize("command", [["recover"], *(["journal", *one] for one in COMMANDS)])
class TestPlaces:
    def test_a_path_that_is_not_there(self, path: Path, command: list[str]) -> None:
        """It is named in one line, with 4, and no journal is made there."""
        done = CliRunner().invoke(cli, [*command, "--journal", str(path)], env=NO_KEY)
        assert done.exit_code == 4
        said = f"Error: there is no journal {path}: No such file or directory\n"
        assert error_of(done) == said
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize(
        "place",
        [
            "",
            "postgresql+psycopg://till:s3cret@db/sales",
            ":memory:",
            "postgresql:/till:s3cret@db/sales",
            "host=db user=till password=s3cret",
        ],
    )
    def test_a_wrong_place(self, command: list[str], place: str) -> None:
        """What is neither a path nor such a URL exits with 2, and no password is shown."""
        done = CliRunner().invoke(cli, [*command, "--journal", place], env=NO_KEY)
        assert done.exit_code == 2
        said = error_of(done)
        assert said.startswith("Error: --journal: must ")
        assert "the path of an SQLite file, or a postgresql:// URL" in said
        assert "s3cret" not in done.output


def test_a_server_s_password_is_not_shown() -> None:
    """Neither the command to run again nor a traceback's options hold it."""
    place = "postgresql://till:s3cret@db/sales"
    job = JobOptions(
        job=JOBS["payment"],
        serial_number=SERIAL,
        processing_terminal_id="1234001",
        timeout=None,
        idempotency_key="A1",
        key_is_fresh=True,
        as_json=False,
        simulator=False,
        journal=place,
    )
    recovery = RecoverOptions(journal=place, cancel=False, resubmit=False, as_json=False)
    assert "s3cret" not in f"{job} {job.again()} {recovery}"


def test_a_file_that_is_no_journal(served: Simulator, path: Path) -> None:
    """What can't be opened is informed of in one line, with 4, and is left as it was."""
    path.write_text("not a database, but long enough to be read as the header of one" * 4)
    for done in (journal(path, "list"), recover(served, path)):
        assert done.exit_code == 4, done.output
        assert done.stderr == f"Error: {path}: file is not a database\n"


class TestSale:
    @pytest.mark.parametrize("command", ["sale", "refund", "signature"])
    def test_it_is_entered(self, served: Simulator, path: Path, command: str) -> None:
        """--journal keeps what runs, over what the variable names."""
        arguments = {**ARGUMENTS, "sale": SALE}[command]
        other = path.with_name("other.db")
        done = CliRunner().invoke(
            cli,
            [command, SERIAL, *arguments, "--journal", str(path)],
            env={**variables(served), "PAYROC_JOURNAL": str(other)},
        )
        assert done.exit_code == 0, done.output
        (entry,) = kept(path).values()
        assert entry.state is EntryState.COMPLETED
        assert entry.resource_id is not None
        assert entry.resource_id in done.stdout
        assert not other.exists()

    def test_on_a_simulator_of_its_own(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """--simulator keeps a journal if the option says so, and not by the variable."""
        monkeypatch.setattr("payroc_async.cli.device.device_run.SIMULATED_SECONDS", 0.0)
        arguments = ["sale", SERIAL, *SALE, "--simulator"]
        done = CliRunner().invoke(cli, arguments, env={"PAYROC_JOURNAL": str(path)})
        assert done.exit_code == 0, done.output
        assert not path.exists()
        done = CliRunner().invoke(cli, [*arguments, "--journal", str(path)])
        assert done.exit_code == 0, done.output
        assert len(kept(path)) == 1

    def test_a_journal_that_cannot_be_opened(self, served: Simulator, tmp_path: Path) -> None:
        """Nothing is sent without the journal that was asked for: 4, in words and as JSON."""
        place = str(tmp_path / "none" / "sales.db")
        arguments = ["sale", SERIAL, *SALE, "--journal", place]
        done = CliRunner().invoke(cli, arguments, env=variables(served))
        assert done.exit_code == 4
        assert done.stdout.startswith(f"NOT SENT: {place}: ")
        done = CliRunner().invoke(cli, [*arguments, "--json"], env=variables(served))
        assert done.exit_code == 4
        assert json.loads(done.stdout)["error"]["type"] == "JournalError"
        assert served.requests_of("submit") == []

    def test_what_it_prints_to_run_again(self, served: Simulator, path: Path) -> None:
        """The command that finds the outcome names the journal as well, and ends the entry."""
        lost = served.faults.add("payment", problem(404, "not-found"), times=None)
        done = CliRunner().invoke(
            cli, ["sale", SERIAL, *SALE, "--journal", str(path)], env=variables(served)
        )
        assert done.exit_code == 5, done.output
        lost.remove()
        (line,) = [line for line in done.stdout.splitlines() if "  payroc-async sale" in line]
        assert f"--journal {path}" in line
        again = CliRunner().invoke(cli, shlex.split(line)[1:], env=variables(served))
        assert again.exit_code == 0, again.output
        (entry,) = kept(path).values()
        assert entry.state is EntryState.COMPLETED

    def test_another_process_drives_it(self, served: Simulator, path: Path) -> None:
        """A key that a living process drives may yet end in a payment: 5, and nothing is sent."""
        arguments = ["sale", SERIAL, *SALE, "--order-id", "OrderRef6543", "--journal", str(path)]
        key = left(served, path)

        async def hold() -> Result:
            holder = SQLiteJournal(path)
            await holder.open()
            try:
                await holder.claim(served.environment.api_url)
                return await asyncio.to_thread(
                    CliRunner().invoke,
                    cli,
                    [*arguments, "--idempotency-key", key],
                    env=variables(served),
                )
            finally:
                await holder.aclose()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("payroc_async.cli.device.device_run.on_signal", _no_signals)
            done = asyncio.run(hold())
        assert done.exit_code == 5, done.output
        assert "another process or session runs" in done.stdout
        assert served.requests_of("submit") == []
