"""``payroc-async settlement`` and ``close-batch``, and what the doctor says of a terminal."""

from __future__ import annotations

import json
import shlex
import signal
from datetime import date, timedelta
from typing import Any

import pytest

from payroc_async import PayrocSession
from payroc_async.cli.settlement.day import Sums
from payroc_async.models import Payment
from payroc_async.simulator import Simulator, drop_after, hang, html, problem, status
from payroc_async.wire.converter import structure
from tests.conftest import SERIAL, sale, variables

from .test_cli_doctor import checks_of, doctor
from .test_cli_payments import pay, run
from .test_cli_sale import Command, until

pytestmark = pytest.mark.usefixtures("impatient")

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
AT = ["--terminal", "1234001"]


def payment(code: str = "A", state: str = "ready", **result: Any) -> Payment:
    """A payment, as the contract has it."""
    return structure(
        {
            "paymentId": "M2MJOG6O2Y",
            "order": {"orderId": "A1", "amount": 4999, "currency": "USD"},
            "transactionResult": {"status": state, "responseCode": code, **result},
        },
        Payment,
    )


class TestSums:
    @pytest.mark.parametrize(
        ("one", "amount"),
        [
            (payment(), 4999),
            (payment(state="complete", authorizedAmount=4000, currency="USD"), 4000),
            (payment("P", authorizedAmount=2000), 2000),
            (payment(authorizedAmount=-4999), 4999),
            (payment("D", "declined"), None),
            (payment("D"), None),
            (payment("R", "referral"), None),
            (payment(state="reversal"), None),
            (payment(state="expired"), None),
            (payment("X"), None),
        ],
    )
    def test_what_counts(self, one: Payment, amount: int | None) -> None:
        """The code decides, and that the money is held: no 2xx and no status alone."""
        sums = Sums()
        sums.add(one)
        assert sums.amounts == ({} if amount is None else {"USD": amount})

    def test_currencies_are_not_added_up(self) -> None:
        """Each currency has its own sum, and what is not known is counted and said."""
        sums = Sums()
        for one in (
            payment(),
            payment(authorizedAmount=100, currency="EUR"),
            payment("E", "accepted"),
            payment("P"),
        ):
            sums.add(one)
        assert sums.words("payment") == (
            "1 payment, 1.00 EUR; 1 payment, 49.99 USD; 1 payment not decided yet; "
            "1 payment of unknown amount"
        )
        assert Sums().words("payment") == "0 payments"


class TestSettlement:
    def test_a_day(self, served: Simulator) -> None:
        """What was sold and settled, what is still unsettled, and what is not captured."""
        settled = pay(served, "A1")
        served.close_batch(date.today())
        pay(served, "A2", "A3")
        held = pay(served, "Tab-7", auto_capture=False)
        served.device(SERIAL).declines()
        pay(served, "A4")
        done = run(served, "settlement", *AT)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[0] == f"Terminal 1234001, {date.today()}"
        assert [line.partition(":")[2].strip() for line in lines[1:5]] == [
            "3 payments, 149.97 USD",
            "0 refunds",
            "2 payments, 99.98 USD",
            "0 refunds",
        ]
        assert lines[5].endswith("1 pre-authorization, 49.99 USD")
        (row,) = [line for line in lines if held in line]
        assert "Tab-7" in row
        assert "Batches submitted on that day" in lines
        assert "4525644354" in lines[-1]
        assert served.payments[settled]["card"]["cardNumber"] not in done.output

    def test_json(self, served: Simulator) -> None:
        """--json prints one object with the same."""
        pay(served, "A1")
        served.close_batch(date.today())
        held = pay(served, "Tab-7", auto_capture=False)
        done = run(served, "settlement", *AT, "--json")
        said = json.loads(done.stdout)
        one = {"currency": "USD", "count": 1, "amount": 4999}
        assert said["sold"] == {"currencies": [one], "undecided": 0, "unknown": 0}
        assert said["unsettled"]["currencies"] == []
        assert [one["payment_id"] for one in said["uncaptured"]] == [held]
        (batch,) = said["batches"]
        assert (batch["sale_amount"], batch["transaction_count"]) == (4999, 1)
        assert (said["processing_terminal_id"], said["date"]) == (
            "1234001",
            date.today().isoformat(),
        )

    def test_refunds(self, served: Simulator) -> None:
        """Those of the day, and those still unsettled, beside the payments and not taken off."""
        for amount in ("9.99", "5.00"):
            id_ = pay(served)
            served.close_batch(date.today())
            options = ["--description", "cold", "--amount", amount]
            assert run(served, "void", id_, *options).exit_code == 0
        said = json.loads(run(served, "settlement", *AT, "--json").stdout)
        sums = {
            name: [(one["count"], one["amount"]) for one in said[name]["currencies"]]
            for name in ("sold", "refunded", "unsettled", "unsettled_refunds")
        }
        assert sums == {
            "sold": [(2, 9998)],
            "refunded": [(2, 1499)],
            "unsettled": [],
            "unsettled_refunds": [(1, 500)],
        }

    def test_another_day_and_terminal(self, served: Simulator) -> None:
        """What another day or terminal has sold is not in it; what is unsettled of it, is."""
        pay(served, "A1")
        yesterday = (date.today() - timedelta(days=1)).isoformat()
        said = json.loads(run(served, "settlement", *AT, "--date", yesterday, "--json").stdout)
        assert (said["sold"]["currencies"], said["unsettled"]["currencies"][0]["count"]) == ([], 1)
        said = json.loads(run(served, "settlement", "--terminal", "9999", "--json").stdout)
        assert said["unsettled"]["currencies"] == []

    def test_a_key_that_may_not_see_batches(self, served: Simulator) -> None:
        """403 for the reports leaves the rest, and says so."""
        pay(served, "A1")
        served.faults.add("search", problem(403, "forbidden"), skip=5)
        done = run(served, "settlement", *AT, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["batches"] is None
        assert "may not list them" in done.stderr

    def test_refused(self, served: Simulator) -> None:
        """What can't be read is no sum of 0: one line, and 4."""
        served.faults.add("search", problem(403, "forbidden"))
        done = run(served, "settlement", *AT)
        assert (done.exit_code, done.stdout) == (4, "")
        assert done.stderr.startswith("Error: HTTP 403")

    @pytest.mark.parametrize(
        ("options", "named"),
        [([], "--terminal"), ([*AT, "--date", "yesterday"], "--date"), (["--terminal", ""], "--")],
    )
    def test_usage(self, served: Simulator, options: list[str], named: str) -> None:
        """A wrong option is named, exits with 2, and nothing is asked."""
        done = run(served, "settlement", *options)
        assert done.exit_code == 2, done.output
        assert named in done.stderr
        assert served.requests_of("search") == []


class TestCloseBatch:
    def test_what_is_not_captured_is_named_first(self, served: Simulator) -> None:
        """Before the batch is closed, on stderr, with the command that captures it."""
        sold = pay(served, "A1")
        held = pay(served, "Tab-7", auto_capture=False)
        done = run(served, "close-batch", *AT)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("ACCEPTED: the gateway closes the batch at ")
        assert "America/Chicago" in done.stdout
        first, second, *_ = done.stderr.splitlines()
        assert "49.99 USD of order Tab-7" in first
        assert f"payroc-async capture {held}" in first
        assert second.startswith("idempotency key ")
        asked = [one.kind for one in served.requests if one.kind in ("search", "close_batch")]
        assert asked == ["search", "close_batch"]
        states = [served.payments[one]["transactionResult"]["status"] for one in (sold, held)]
        assert states == ["complete", "pending"]

    def test_json(self, served: Simulator) -> None:
        """--json prints one object."""
        held = pay(served, "Tab-7", auto_capture=False)
        done = run(served, "close-batch", *AT, "--json", "--idempotency-key", KEY)
        said = json.loads(done.stdout)
        assert (said["idempotency_key"], said["timezone"]) == (KEY, "America/Chicago")
        assert [one["payment_id"] for one in said["uncaptured"]] == [held]
        assert said["error"] is None

    @pytest.mark.parametrize("fault", [drop_after(), status(503), html()])
    def test_an_unknown_close_is_found_out(self, served: Simulator, fault: Any) -> None:
        """The command that is printed says what became of the first, and closes nothing more."""
        pay(served, "A1")
        lost = served.faults.add("close_batch", fault, times=None)
        done = run(served, "close-batch", *AT)
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("UNKNOWN: the batch may be closed")
        (key,) = {one.headers["idempotency-key"] for one in served.requests_of("close_batch")}
        lost.remove()
        again = run(served, *shlex.split(done.stdout[done.stdout.index("payroc-async") :])[1:])
        assert again.exit_code == 0, again.output
        assert served.requests_of("close_batch")[-1].headers["idempotency-key"] == key

    def test_a_proxys_refusal_proves_nothing(self, served: Simulator) -> None:
        """Only the gateway's own refusal says that the batch is open."""
        pay(served, "A1")
        served.faults.add("close_batch", status(403))
        assert run(served, "close-batch", *AT).exit_code == 5
        served.faults.add("close_batch", problem(403, "forbidden"))
        done = run(served, "close-batch", *AT, "--json")
        assert done.exit_code == 4
        assert json.loads(done.stdout)["error"]["status"] == 403

    def test_nothing_is_closed_unlooked_at(self, served: Simulator) -> None:
        """Where open pre-authorizations can't be looked for, the batch is left alone."""
        pay(served, "A1")
        served.faults.add("search", problem(403, "forbidden"), times=None)
        assert run(served, "close-batch", *AT).exit_code == 4
        # Under the key of an earlier try, that one may have closed it.
        assert run(served, "close-batch", *AT, "--idempotency-key", KEY).exit_code == 5
        assert served.requests_of("close_batch") == []

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ([], "--terminal"),
            (["--terminal", "a/b"], "--terminal"),
            ([*AT, "--idempotency-key", "none"], "--idempotency-key"),
        ],
    )
    def test_usage(self, served: Simulator, options: list[str], named: str) -> None:
        """A wrong option is named, exits with 2, and closes nothing."""
        done = run(served, "close-batch", *options)
        assert done.exit_code == 2, done.output
        assert named in done.stderr
        assert served.requests_of("close_batch") == []


@pytest.mark.parametrize(("sent", "code"), [("close_batch", 5), ("search", 4)])
async def test_ctrl_c(gateway: Simulator, session: PayrocSession, sent: str, code: int) -> None:
    """Ctrl-C ends it at once; once the batch may be closed, it says how to find out."""
    await session.run_sale(SERIAL, sale())
    gateway.faults.add(sent, hang(), times=None)
    running = await Command.start(gateway, command=["close-batch", *AT])
    await until(lambda: any(one.fault for one in gateway.requests_of(sent)))
    running.signal(signal.SIGINT)
    ended, out, err = await running.end()
    assert ended == code, out + err
    assert ("payroc-async close-batch" in out) == (code == 5)
    assert ("interrupted, nothing was sent" in err) == (code == 4)


class TestDoctor:
    def check(self, served: Simulator, terminal: str = "1234001") -> dict[str, str]:
        return checks_of(doctor(variables(served), "--json", "--terminal", terminal))["terminal"]

    def test_what_a_terminal_can_do(self, served: Simulator) -> None:
        """Its status, its features, and who closes its batch."""
        check = self.check(served)
        assert check["status"] == "ok"
        assert "pre-authorizations: yes, tips: yes" in check["message"]
        assert "closed by hand" in check["message"]
        served.set_terminal(
            "1234001",
            {
                "features": {"preAuthorizations": False},
                "batchClosure": {"batchCloseType": "automatic", "batchCloseTime": "23:40"},
            },
        )
        message = self.check(served)["message"]
        assert "pre-authorizations: no" in message
        assert "its batch is closed at 23:40 America/Chicago" in message

    def test_an_inactive_one_fails(self, served: Simulator) -> None:
        """A sale on it would fail: that is said before the first one."""
        served.set_terminal("1234001", {"status": "inactive"})
        assert self.check(served)["status"] == "failed"

    @pytest.mark.parametrize("fault", [None, problem(403, "forbidden"), status(503), html()])
    def test_one_that_is_not_shown_is_a_warning(self, served: Simulator, fault: Any) -> None:
        """Contract section 10: sales may work on a terminal that is not found."""
        if fault is not None:
            served.faults.add("terminal", fault)
        check = self.check(served, "7654321")
        assert check["status"] == "warning"
        assert "sales may still work" in check["advice"]

    def test_it_is_left_out_where_no_terminal_is_named(self, served: Simulator) -> None:
        """Nothing is asked of a terminal that was not named."""
        assert "terminal" not in checks_of(doctor(variables(served), "--json"))
        assert served.requests_of("terminal") == []
