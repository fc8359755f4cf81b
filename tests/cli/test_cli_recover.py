"""``payroc-async recover`` and ``sale`` tell what no one else would hear of."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from payroc_async import PayrocSession
from payroc_async.cli.app import cli
from payroc_async.journal import EntryState
from payroc_async.simulator import Simulator, delay
from tests.conftest import SERIAL, sale, variables
from tests.journal.test_recovery import entry, leave

from .test_cli_sale import SALE, Command, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


@pytest.mark.parametrize("as_json", [False, True], ids=["words", "json"])
@pytest.mark.parametrize("ending", ["payment", "canceled", "failed"])
async def test_what_ends_after_ctrl_c_is_told(
    gateway: Simulator, path: Path, ending: str, as_json: bool
) -> None:
    """The payment that came before the cancellation, above all, although no one waits for it."""
    device = gateway.device(SERIAL)
    if ending == "payment":
        device.completes_on_cancel()
    else:
        device.fails("Out of paper", after=60)
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        made = await session.payment_instructions.submit(SERIAL, sale())
    key = await leave(gateway, path, EntryState.SUBMITTED, instruction_id=made.instruction_id)
    gateway.faults.add("cancel", delay(0.3))
    options = ["--json"] if as_json else []
    command = ["recover", "--cancel", "--journal", str(path), *options]
    recovering = await Command.start(gateway, command=command)
    await until(lambda: gateway.requests_of("cancel"))
    if ending == "failed":
        gateway.instructions[made.instruction_id].change("failure")
    recovering.signal(signal.SIGINT)
    code, out, err = await recovering.end()
    assert code == 0, out + err
    assert "nothing was left" not in err
    said = {
        "payment": "Too late to cancel: the payment was made. APPROVED: 49.99 USD\n",
        "canceled": "CANCELED: as you asked, no money moved\n",
        "failed": "FAILED: Out of paper; no money moved\n",
    }[ending]
    state = {"payment": "completed"}.get(ending, ending)
    if as_json:
        one = json.loads(out)
        assert (one["idempotency_key"], one["state"], one["open"]) == (key, state, False)
        assert one["resource_id"] == next(iter(gateway.payments), None)
    else:
        assert out.startswith(said)
        assert all(payment in out for payment in gateway.payments)
    assert (await entry(path)).state == state


def refuse_updates(path: Path, state: str) -> None:
    """Have the journal refuse to write that state, as a full disk would."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            f"CREATE TRIGGER full BEFORE UPDATE ON entries WHEN NEW.state = '{state}' "
            "BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("command", ["sale", "recover"])
def test_a_journal_that_fails_meanwhile_is_told(
    served: Simulator, path: Path, command: str
) -> None:
    """The payment is reported as ever, and on stderr that the journal does not know of it."""
    left = CliRunner().invoke(
        cli, ["sale", SERIAL, *SALE, "--journal", str(path)], env=variables(served)
    )
    assert left.exit_code == 0, left.output
    if command == "recover":
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE entries SET state = 'submitted', owner = ''")
    refuse_updates(path, "completed")
    arguments = [command, *([SERIAL, *SALE] if command == "sale" else [])]
    done = CliRunner().invoke(cli, [*arguments, "--journal", str(path)], env=variables(served))
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("APPROVED: 49.99 USD\n")
    assert f"on device {SERIAL} is completed; the sale goes on: {path}: disk is" in done.stderr
    assert "closed with deferred writes that failed" in done.stderr
