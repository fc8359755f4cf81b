"""README says what is so: its programs run, its tables are complete."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

import payroc_async
from payroc_async import PayrocError, PayrocSession, RetryPolicy, Timeouts, errors
from payroc_async.journal import SQLiteJournal
from payroc_async.simulator import Device, Simulator, faults
from payroc_async.simulator.cards import CARDS
from payroc_async.simulator.routes import REQUEST_KINDS

from .conftest import SERIAL, sale
from .programs import ROOT, marked_blocks, run_python

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

MARKED = marked_blocks(README)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FRAGMENTS = [block for block in BLOCKS if block not in MARKED.values()]
PAYMENT_LINE = re.compile(r"\w+ Outcome\.APPROVED\n")

TO_SIMULATOR = """
import os
from payroc_async import Environment
Environment.UAT = Environment(api_url=os.environ["TEST_API"], identity_url=os.environ["TEST_ID"])
"""


def rows(heading: str) -> dict[str, list[str]]:
    """The table rows below a heading or a bold word, by the name that stands first in each."""
    text = README[README.index(heading) :]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None
    cells = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in table[0].splitlines()[2:]
    ]
    return {name: row[1:] for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_every_program_is_marked() -> None:
    """The commands and programs that are run below stand in README under their names."""
    assert set(MARKED) == {
        "command: environment",
        "command: demo",
        "command: tests",
        "program: uat",
        "program: simulator",
        "program: pytest",
    }
    assert all("import" not in fragment.split("\n")[0] for fragment in FRAGMENTS)


async def test_simulator_program_prints_the_payment_alone() -> None:
    """P10: The program prints its payment, and no warning beside it."""
    code, output, problems = await run_python("-c", MARKED["program: simulator"])
    assert (code, problems) == (0, "")
    assert PAYMENT_LINE.fullmatch(output)


async def test_uat_program(gateway: Simulator) -> None:
    """The first program runs as it stands, once UAT is the simulator."""
    gateway.api_key = "your-api-key"
    code, output, problems = await run_python(
        *("-c", TO_SIMULATOR + MARKED["program: uat"]),
        extra={
            "TEST_API": gateway.environment.api_url,
            "TEST_ID": gateway.environment.identity_url,
        },
    )
    assert (code, problems) == (0, "")
    assert PAYMENT_LINE.fullmatch(output)
    assert len(gateway.payments) == 1


async def test_pytest_module(tmp_path: Path) -> None:
    """The fixture and its tests pass in a project without settings for pytest-asyncio."""
    module = tmp_path / "test_pos.py"
    module.write_text(MARKED["program: pytest"], encoding="utf-8")
    ini = tmp_path / "pytest.ini"
    ini.write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    code, output, _ = await run_python(
        *("-m", "pytest", "-c", str(ini), "-p", "no:cacheprovider", str(module)),
        extra={"PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""},
    )
    assert code == 0, output
    assert "2 passed" in output


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda text: text.split("\n")[0][:40])
async def test_fragment(
    fragment: str,
    gateway: Simulator,
    session: PayrocSession,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fragment runs as it stands, with a session, a gateway and a request at hand."""
    gateway.device(SERIAL).approves(after=0.3)
    monkeypatch.chdir(tmp_path)
    left_key = None
    if "SQLiteJournal" in fragment:
        async with PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            journal=SQLiteJournal("till.journal"),
        ) as dying:
            left = await dying.start_sale(SERIAL, sale(), on_cancel="detach")
            left_key = left.idempotency_key
    names: dict[str, Any] = {
        **{name: getattr(payroc_async, name) for name in payroc_async.__all__},
        "SQLiteJournal": SQLiteJournal,
        "aiohttp": aiohttp,
        "asyncio": asyncio,
        "api_key": gateway.api_key,
        "environment": gateway.environment,
        "gateway": gateway,
        "request": sale(),
        "session": session,
    }
    code = compile(fragment, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)
    if inspect.iscoroutine(running):
        await running
    if "http_session" in names:
        await names["http_session"].close()
    if "paid" in names:
        assert capsys.readouterr().out == "no money moved\n"
    if "journal" in names:
        (payment,) = gateway.payments
        told = capsys.readouterr().out
        assert told.startswith(f"{left_key} completed Payment(")
        assert payment in told
    if "payment" in names:
        assert names["payment"].approved
    assert gateway.in_progress == []


@pytest.mark.parametrize("kind", ["submit", "payment"])
async def test_what_became_of(kind: str, gateway: Simulator, session: PayrocSession) -> None:
    """README's recovery finds the payment, and makes no second instruction."""
    (fragment,) = [block for block in FRAGMENTS if "def what_became_of" in block]
    names: dict[str, Any] = {name: getattr(payroc_async, name) for name in payroc_async.__all__}
    exec(fragment, names)
    what_became_of: Callable[..., Awaitable[payroc_async.Payment]] = names["what_became_of"]
    lost = gateway.faults.add(kind, faults.drop_after(), times=None)
    with pytest.raises(payroc_async.OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert (caught.value.instruction_id is None) == (kind == "submit")
    lost.remove()
    payment = await what_became_of(session, caught.value)
    assert [payment.payment_id] == list(gateway.payments)
    assert len(gateway.instructions) == 1


def test_every_error_is_in_the_table() -> None:
    """The error table names each public error class, and no other."""
    public = {
        name
        for name in errors.__all__
        if issubclass(error := getattr(payroc_async, name), PayrocError)
        and error is not PayrocError
    }
    table = rows("## Errors")
    assert set(table) == public
    assert all(len(row) == 3 and all(row) for row in table.values())


@pytest.mark.parametrize("options", [Timeouts, RetryPolicy])
def test_every_field_is_in_its_table(options: type[Any]) -> None:
    """Each field is documented with its default."""
    table = rows(f"`{options.__name__}(...)`")
    assert {name: float(row[0]) for name, row in table.items()} == {
        field.name: field.default for field in attrs.fields(options)
    }
    assert all(f"`{name}`" in CHANGELOG for name in table)


@pytest.mark.parametrize(
    ("function", "heading"),
    [(PayrocSession.__init__, "Its options:"), (PayrocSession.run_sale, "`run_sale(serial_number")],
)
def test_every_option_is_in_its_table(function: Callable[..., Any], heading: str) -> None:
    """Each keyword of a session and of a sale is documented, and in the changelog."""
    positional = {"self", "serial_number", "request"}
    options = set(inspect.signature(function).parameters) - positional
    assert set(rows(heading)) == options
    assert all(f"`{name}`" in CHANGELOG for name in options)


def test_every_script_and_fault_is_named() -> None:
    """The simulator's scripts and faults are listed."""
    section = README[README.index("## Testing your own POS") : README.index("## Command line")]
    no_scripts = {"next_behaviour", *(field.name for field in attrs.fields(Device))}
    for name in (*faults.__all__, *vars(Device)):
        if name[0].islower() and name not in no_scripts:
            assert f"`{name}`" in section, name


def test_every_kind_of_request_is_named() -> None:
    """What a fault can be set on is listed, and so is what else the simulator can be told."""
    section = README[README.index("Faults are set on") : README.index("The faults:")]
    assert set(re.findall(r'`"(\w+)"`', section)) == {*REQUEST_KINDS, "any"}
    scripting = README[README.index("## Testing your own POS") : README.index("## Command line")]
    told = ("close_batch", "add_closed_loop_read", "list_spelling", "tip", "card", *CARDS)
    for name in told:
        assert re.search(rf"`(gateway\.|approves\()?{name}\W", scripting), name


def test_links_lead_somewhere() -> None:
    """Each relative link names a file or a heading that exists."""
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in headings, target
        else:
            assert (ROOT / target).exists(), target


def test_every_promise_names_its_proof() -> None:
    """Each promise names tests that exist, and its own test files among them."""
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## P(\d+) .*\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
    assert sorted(map(int, sections)) == list(range(1, 12))
    for number, section in sections.items():
        named = set(re.findall(r"`(tests/\w+\.py)`", section))
        assert named, f"P{number} names no test"
        assert {name for name in named if not (ROOT / name).is_file()} == set()
        own = {f"tests/{path.name}" for path in (ROOT / "tests").glob(f"test_p{number}_*.py")}
        assert own <= named
