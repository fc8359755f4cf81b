"""``payroc-async payments``, ``devices``, ``void`` and ``capture``."""

from __future__ import annotations

import asyncio
import functools
import json
import shlex
import signal
import uuid
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from payroc_async import PayrocSession
from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, drop_after, drop_before, edit, hang, problem, status

from .conftest import EAGER, QUICK, SERIAL, sale, variables
from .test_cli_sale import Command, until

KEY = str(uuid.uuid4())
VOID = ["--description", "wrong table"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands give up as soon as the tests do."""
    from_env = functools.partial(PayrocSession.from_env, timeouts=QUICK, retries=EAGER)
    monkeypatch.setattr(PayrocSession, "from_env", from_env)


def pay(gateway: Simulator, *order_ids: str, auto_capture: bool = True) -> str:
    """Runs sales of 49.99 USD; the last payment's id."""

    async def pay_all() -> str:
        async with PayrocSession.from_env(variables(gateway)) as session:
            for order_id in order_ids or ("OrderRef6543",):
                request = evolve(sale(order_id=order_id), auto_capture=auto_capture)
                payment = await session.run_sale(SERIAL, request)
            return payment.payment_id

    return asyncio.run(pay_all())


def run(gateway: Simulator, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables(gateway))


def posted(gateway: Simulator) -> list[str]:
    """What was done to payments: the path's last part."""
    return [one.path.rpartition("/")[2] for one in gateway.requests_of("change")]


class TestVoid:
    def test_while_the_batch_is_open(self, served: Simulator) -> None:
        """A payment of today is reversed, and that is said."""
        id_ = pay(served)
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("REVERSED: 49.99 USD\n")
        assert served.payments[id_]["transactionResult"]["status"] == "reversal"

    def test_after_the_batch_has_closed(self, served: Simulator) -> None:
        """A payment of yesterday is refunded, with the reason, and that is said."""
        id_ = pay(served)
        served.close_batch()
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("REFUNDED: 49.99 USD\n")
        (refund_id,) = served.refunds
        assert refund_id in done.stdout
        assert served.refunds[refund_id]["order"]["description"] == "wrong table"

    @pytest.mark.parametrize("closed", [False, True])
    def test_a_part(self, served: Simulator, closed: bool) -> None:
        """--amount is in major units of the payment's currency."""
        id_ = pay(served)
        if closed:
            served.close_batch()
        done = run(served, "void", id_, *VOID, "--amount", "9.99", "--currency", "USD", "--json")
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert said["how"] == ("refunded" if closed else "reversed")
        assert said["payment_id"] == id_
        assert said["authorized_amount"] == (4999 if closed else 4000)
        assert said["refund_id"] == (next(iter(served.refunds)) if closed else None)
        assert [one["amount"] for one in said["refunds"]] == ([999] if closed else [])

    def test_a_refund_that_is_not_approved_exits_with_3(self, served: Simulator) -> None:
        """That the gateway made a refund does not say that money went back."""
        id_ = pay(served)
        served.close_batch()

        def decline(payment: dict[str, Any]) -> dict[str, Any]:
            return {**payment, "refunds": [{**payment["refunds"][-1], "responseCode": "D"}]}

        served.faults.add("change", edit(decline))
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 3, done.output
        assert done.stdout.startswith("NOT REFUNDED: 49.99 USD\n")

    def test_what_cannot_be_undone_exits_with_4(self, served: Simulator) -> None:
        """A declined payment is left alone, and why is one line."""
        served.device(SERIAL).declines()
        id_ = pay(served)
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 4
        assert "it supports nothing" in done.stderr
        assert done.stdout == ""
        assert posted(served) == []

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--amount", "9.999"], "--amount"),
            (["--amount", "0"], "--amount"),
            (["--currency", "EUR"], "--currency"),
            (["--idempotency-key", "none"], "--idempotency-key"),
            (["--description", ""], "--description"),
        ],
    )
    def test_usage(self, served: Simulator, options: list[str], named: str) -> None:
        """A wrong option is named, exits with 2, and changes nothing."""
        done = run(served, "void", pay(served), *VOID, *options)
        assert done.exit_code == 2, done.output
        assert named in done.stderr
        assert done.stdout == ""
        assert posted(served) == []

    def test_needs_a_description(self, served: Simulator) -> None:
        """Without a reason nothing is undone, for a refund needs one."""
        done = run(served, "void", "A1")
        assert done.exit_code == 2
        assert "--description" in done.stderr

    @pytest.mark.parametrize("amount", [None, "9.99"])
    @pytest.mark.parametrize("closed", [False, True])
    def test_an_unknown_outcome_is_found_out(
        self, served: Simulator, closed: bool, amount: str | None
    ) -> None:
        """The command that is printed tells what became of the first, and undoes nothing more."""
        id_ = pay(served)
        if closed:
            served.close_batch()
        lost = served.faults.add("change", drop_after(), times=None)
        done = run(served, "void", id_, *VOID, *(["--amount", amount] if amount else []))
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("OUTCOME UNKNOWN")
        assert done.stdout.count("\n") == 1
        keys = {one.headers["idempotency-key"] for one in served.requests_of("change")}
        (key,) = keys
        assert done.stdout.count(key) == 2
        lost.remove()
        after = served.payments[id_]
        again = run(served, *shlex.split(done.stdout[done.stdout.index("payroc-async") :])[1:])
        assert again.exit_code == 0, again.output
        assert again.stdout.startswith("REFUNDED" if closed else "REVERSED")
        assert served.payments[id_] == after
        assert len(served.refunds) == int(closed)

    def test_a_key_that_was_never_used_undoes_nothing_twice(self, served: Simulator) -> None:
        """A payment that another has reversed is not said to be this one's work."""
        id_ = pay(served)
        assert run(served, "void", id_, *VOID).exit_code == 0
        done = run(served, "void", id_, *VOID, "--idempotency-key", KEY)
        assert done.exit_code == 4
        assert "HTTP 409" in done.stderr

    def test_ends_of_another_try_stay_unknown(self, served: Simulator) -> None:
        """With the key of an earlier try, not reaching the gateway says nothing about that one."""
        id_ = pay(served)
        served.faults.add("payment", drop_before(), times=None)
        done = run(served, "void", id_, *VOID, "--idempotency-key", KEY)
        assert done.exit_code == 5
        assert KEY in done.stdout
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 4
        assert done.stderr.startswith("Error: connection lost")


class TestCapture:
    @pytest.mark.parametrize(("options", "taken"), [([], 4999), (["--amount", "30.00"], 3000)])
    def test_capture(self, served: Simulator, options: list[str], taken: int) -> None:
        """All of a pre-authorization is captured, or what --amount says."""
        id_ = pay(served, auto_capture=False)
        done = run(served, "capture", id_, *options)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"CAPTURED: {taken / 100:.2f} USD\n")
        result = served.payments[id_]["transactionResult"]
        assert (result["type"], result["authorizedAmount"]) == ("preAuthorizationCompletion", taken)

    def test_json(self, served: Simulator) -> None:
        """--json prints one object, without card data."""
        id_ = pay(served, auto_capture=False)
        done = run(served, "capture", id_, "--json", "--idempotency-key", KEY)
        said = json.loads(done.stdout)
        card = served.payments[id_]["card"]
        assert said["how"] == "captured"
        assert said["idempotency_key"] == KEY
        assert said["status"] == "ready"
        assert said["error"] is None
        for secret in (card["cardNumber"], card["cardholderName"]):
            assert secret not in done.output

    def test_refused(self, served: Simulator) -> None:
        """What is no pre-authorization can't be captured: one line, and 4."""
        id_ = pay(served)
        done = run(served, "capture", id_)
        assert done.exit_code == 4
        assert done.stderr.splitlines()[-1].startswith("Error: HTTP 409")
        done = run(served, "capture", id_, "--json")
        said = json.loads(done.stdout)
        assert (said["error"]["type"], said["error"]["status"]) == ("ConflictError", 409)
        assert said["how"] is None

    @pytest.mark.parametrize("fault", [drop_after(), status(503), problem(429, "too-many")])
    def test_an_unknown_outcome_is_found_out(self, served: Simulator, fault: Any) -> None:
        """Whatever kept the answer away, the printed command captures once."""
        id_ = pay(served, auto_capture=False)
        lost = served.faults.add("change", fault, times=None)
        done = run(served, "capture", id_, "--amount", "30.00", "--json")
        assert done.exit_code == 5, done.output
        key = json.loads(done.stdout)["idempotency_key"]
        assert {one.headers["idempotency-key"] for one in served.requests_of("change")} == {key}
        lost.remove()
        again = run(served, "capture", id_, "--amount", "30.00", "--idempotency-key", key)
        assert again.exit_code == 0, again.output
        assert served.payments[id_]["transactionResult"]["authorizedAmount"] == 3000


@pytest.mark.parametrize(("sent", "code"), [("change", 5), ("payment", 4)])
async def test_ctrl_c(gateway: Simulator, session: PayrocSession, sent: str, code: int) -> None:
    """Ctrl-C ends it at once; once it may have been done, it says how to find out."""
    payment = await session.run_sale(SERIAL, sale())
    gateway.clear()
    gateway.faults.add(sent, hang(), times=None)
    running = await Command.start(gateway, command=["void", payment.payment_id, *VOID])
    await until(lambda: gateway.requests_of(sent))
    running.signal(signal.SIGINT)
    ended, out, err = await running.end()
    assert ended == code, out + err
    assert ("payroc-async void" in out) == (code == 5)
    assert ("interrupted, nothing was sent" in err) == (code == 4)


class TestPayments:
    def test_a_table(self, served: Simulator) -> None:
        """Every payment is a row, with what a till asks for and nothing of the card's number."""
        id_ = pay(served, "A1", "A2")
        done = run(served, "payments", "list")
        assert done.exit_code == 0, done.output
        heading, *rows = done.stdout.splitlines()
        assert heading.split()[:3] == ["when", "payment", "order"]
        assert len(rows) == 2
        (row,) = [row for row in rows if id_ in row]
        for part in ("A2", "sale", "approved", "ready", "49.99 USD", "Visa Credit"):
            assert part in row
        assert served.payments[id_]["card"]["cardNumber"] not in done.stdout

    def test_json_lines(self, served: Simulator) -> None:
        """--json prints one object a line."""
        pay(served, "A1", "A2")
        done = run(served, "payments", "list", "--json")
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert {one["order_id"] for one in said} == {"A1", "A2"}
        assert {one["payment_id"] for one in said} == set(served.payments)
        assert said[0]["amount"] == 4999
        assert "fullyReverse" in said[0]["supported_operations"]

    @pytest.mark.parametrize(
        ("options", "count", "more"),
        [([], 20, True), (["--limit", "3"], 3, True), (["--limit", "22"], 22, False)]
        + [(["--all"], 22, False)],
    )
    def test_how_many(self, served: Simulator, options: list[str], count: int, more: bool) -> None:
        """Twenty if nothing is said, over as many pages as it takes; that there are more is told."""
        pay(served, *(f"A{number}" for number in range(22)))
        done = run(served, "payments", "list", "--json", *options)
        assert done.exit_code == 0
        assert len(done.stdout.splitlines()) == count
        assert ("there are more" in done.stderr) == more

    def test_filters(self, served: Simulator) -> None:
        """Every filter of the API is an option, and reaches the gateway as it should."""
        options = {
            "--terminal": ("processingTerminalId", "1234001"),
            "--order-id": ("orderId", "A1"),
            "--operator": ("operator", "Jane"),
            "--cardholder-name": ("cardholderName", "Sarah"),
            "--first6": ("first6", "453985"),
            "--last4": ("last4", "7062"),
            "--tender": ("tender", "ebt"),
            "--tip-mode": ("tipMode", "prompted"),
            "--type": ("type", "sale"),
            "--status": ("status", "ready"),
            "--settlement-state": ("settlementState", "settled"),
            "--payment-link": ("paymentLinkId", "L1"),
            "--from": ("dateFrom", "2026-05-01"),
            "--to": ("dateTo", "2026-05-01T09%3A30%3A00Z"),
            "--settled-on": ("settlementDate", "2026-05-02"),
        }
        typed = {
            **{name: value for name, (_, value) in options.items()},
            "--to": "2026-05-01T09:30Z",
        }
        arguments = [word for option in typed.items() for word in option]
        done = run(served, "payments", "list", *arguments)
        assert done.exit_code == 0, done.output
        assert "no payment fits" in done.stderr
        (seen,) = served.requests_of("search")
        assert set(seen.query.split("&")) == {f"{name}={value}" for name, value in options.values()}

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--last4", "123"),
            ("--from", "yesterday"),
            ("--to", "2026-05-01T09:30"),
            ("--settled-on", "2026-05-01T09:30Z"),
            ("--limit", "0"),
        ],
    )
    def test_usage(self, served: Simulator, option: str, value: str) -> None:
        """A wrong filter is named, exits with 2, and nothing is searched."""
        done = run(served, "payments", "list", option, value)
        assert done.exit_code == 2
        assert option in done.stderr
        assert served.requests_of("search") == []

    def test_refused(self, served: Simulator) -> None:
        """A gateway that refuses is told of in one line, with 4."""
        served.faults.add("search", problem(403, "forbidden"))
        done = run(served, "payments", "list")
        assert done.exit_code == 4
        assert done.stderr.startswith("Error: HTTP 403")
        assert done.stderr.count("\n") == 1

    def test_show(self, served: Simulator) -> None:
        """One payment, in words or as an object."""
        id_ = pay(served)
        done = run(served, "payments", "show", id_)
        assert done.exit_code == 0
        assert id_ in done.stdout
        assert "49.99 USD" in done.stdout
        done = run(served, "payments", "show", id_, "--json")
        assert json.loads(done.stdout)["payment_id"] == id_

    @pytest.mark.parametrize("width", [32, 42])
    def test_receipt(self, served: Simulator, width: int) -> None:
        """--receipt prints what a printer of that width takes."""
        id_ = pay(served)
        done = run(served, "payments", "show", id_, "--receipt", str(width))
        assert done.exit_code == 0, done.output
        assert max(len(line) for line in done.stdout.splitlines()) == width
        assert "CUSTOMER COPY" in done.stdout

    def test_show_what_is_not_there(self, served: Simulator) -> None:
        """An unknown payment exits with 4, an id that can't be one with 2, each in one line."""
        done = run(served, "payments", "show", "NONE")
        assert done.exit_code == 4
        assert done.stderr.startswith("Error: HTTP 404")
        done = run(served, "payments", "show", "a/b")
        assert done.exit_code == 2
        assert done.stderr.startswith("Error: PAYMENT_ID: ")
        done = run(served, "payments", "show", "NONE", "--json", "--receipt", "32")
        assert done.exit_code == 2


class TestDevices:
    def test_list(self, served: Simulator) -> None:
        """Every device is a row or an object; the options narrow it."""
        served.device(SERIAL)
        served.device("1850010869").deactivated_date = "2026-05-01"
        done = run(served, "devices", "list")
        assert done.exit_code == 0, done.output
        assert len(done.stdout.splitlines()) == 3
        for option, serial_number in (("--active", SERIAL), ("--inactive", "1850010869")):
            done = run(served, "devices", "list", option, "--json", "--model", "A920Pro")
            said = json.loads(done.stdout)
            assert said["serial_number"] == serial_number
            assert said["active"] == (option == "--active")
        done = run(served, "devices", "list", "--ksi", "none")
        assert (done.exit_code, done.stdout) == (0, "")
        assert "no device fits" in done.stderr

    def test_show(self, served: Simulator) -> None:
        """One device by its serial number; an unknown one exits with 4."""
        pay(served, "A1")
        done = run(served, "devices", "show", SERIAL, "--json")
        assert json.loads(done.stdout)["last_order_id"] == "A1"
        done = run(served, "devices", "show", SERIAL)
        assert done.exit_code == 0
        assert "A920Pro" in done.stdout
        done = run(served, "devices", "show", "1850010869")
        assert done.exit_code == 4
        assert done.stderr == "Error: there is no device 1850010869\n"


@pytest.mark.parametrize(
    "arguments",
    [["payments", "list"], ["payments", "show", "A1"], ["devices", "list"]]
    + [["devices", "show", SERIAL], ["capture", "A1"], ["void", "A1", *VOID]],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_a_missing_variable_exits_with_2(served: Simulator, arguments: list[str]) -> None:
    """Without its configuration nothing is asked for, and what is missing is named."""
    environment: dict[str, str | None] = {**variables(served), "PAYROC_API_KEY": None}
    done = CliRunner().invoke(cli, arguments, env=environment)
    assert done.exit_code == 2
    assert done.stderr == "Error: PAYROC_API_KEY: is not set\n"


def test_a_terminal_is_not_commanded(served: Simulator) -> None:
    """What a gateway or another till wrote is shown without its control characters."""
    id_ = pay(served)
    served.payments[id_]["order"]["orderId"] = "A\x1b[2J\x07"
    for arguments in (["list"], ["show", id_]):
        done = run(served, "payments", *arguments)
        assert "A?[2J?" in done.stdout
        assert "\x1b" not in done.stdout
