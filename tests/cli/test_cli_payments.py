"""``payroc-async payments`` and ``devices``: what is found, and how it is shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from attrs import evolve
from click.testing import CliRunner, Result

from payroc_async import PayrocSession
from payroc_async.cli.app import cli
from payroc_async.simulator import Simulator, problem
from tests.conftest import SERIAL, sale, variables

pytestmark = pytest.mark.usefixtures("impatient")


def pay(gateway: Simulator, *order_ids: str, auto_capture: bool = True) -> str:
    """Runs sales of 49.99 USD; the last payment's id."""

    async def pay_all() -> str:
        async with PayrocSession.from_env(variables(gateway)) as session:
            ids = []
            for order_id in order_ids or ("OrderRef6543",):
                request = evolve(sale(order_id=order_id), auto_capture=auto_capture)
                ids.append((await session.run_sale(SERIAL, request)).payment_id)
            return ids[-1]

    return asyncio.run(pay_all())


def run(gateway: Simulator, *arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=variables(gateway))


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
        [
            ([], 20, True),
            (["--limit", "3"], 3, True),
            (["--limit", "22"], 22, False),
            (["--all"], 22, False),
        ],
    )
    def test_how_many(self, served: Simulator, options: list[str], count: int, more: bool) -> None:
        """Twenty if nothing is said, over all the pages it takes; there being more is said."""
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
        assert "no payment matches" in done.stderr
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
        """A gateway that refuses is reported on one line, with 4; its line break is spelled out."""
        served.faults.add("search", problem(403, "forbidden", detail="Not\nyou."))
        done = run(served, "payments", "list")
        assert done.exit_code == 4
        assert done.stderr == "Error: HTTP 403: Not\\nyou.\n"

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
        assert "no device matches" in done.stderr

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
    [
        ["payments", "list"],
        ["payments", "show", "A1"],
        ["devices", "list"],
        ["devices", "show", SERIAL],
        ["capture", "A1"],
        ["void", "A1", "--description", "wrong table"],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_a_missing_variable_exits_with_2(served: Simulator, arguments: list[str]) -> None:
    """Without its configuration nothing is asked for, and what is missing is named."""
    environment: dict[str, str | None] = {**variables(served), "PAYROC_API_KEY": None}
    done = CliRunner().invoke(cli, arguments, env=environment)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: PAYROC_API_KEY: is not set: set it in the environment")


@pytest.mark.parametrize(
    "arguments",
    [
        ["payments", "list"],
        ["devices", "list"],
        ["void", "", "--description", "x"],
        ["capture", ""],
    ],
)
def test_no_journal_is_opened(served: Simulator, tmp_path: Path, arguments: list[str]) -> None:
    """What sells nothing makes none, and needs none that can be opened."""
    id_ = pay(served, auto_capture=False)
    for place in (tmp_path / "sales.db", tmp_path / "none" / "sales.db"):
        done = CliRunner().invoke(
            cli,
            [word or id_ for word in arguments],
            env={**variables(served), "PAYROC_JOURNAL": str(place)},
        )
        assert "sales.db" not in done.output
        assert list(tmp_path.iterdir()) == []


def test_a_terminal_is_not_commanded(served: Simulator) -> None:
    """What a gateway or another till wrote is shown without its control characters."""
    id_ = pay(served)
    served.payments[id_]["order"]["orderId"] = "A\x1b[2J\x07"
    for arguments in (["list"], ["show", id_]):
        done = run(served, "payments", *arguments)
        assert "A?[2J?" in done.stdout
        assert "\x1b" not in done.stdout
