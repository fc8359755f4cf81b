"""README says what is so: its programs run, its tables are complete, and those that it leads to."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

import payroc_async
from payroc_async import PayrocError, PayrocSession, RetryPolicy, Timeouts, errors
from payroc_async.simulator import Device, Simulator, faults
from payroc_async.simulator.cards import CARDS
from payroc_async.simulator.routes import REQUEST_KINDS
from tests.conftest import SERIAL, sale
from tests.harness.programs import ROOT, marked_blocks, run_pytest_module, run_python
from tests.tools.page_samples import fragments

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

MARKED = marked_blocks(README)
PAYMENT_LINE = re.compile(r"\w+ Outcome\.APPROVED\n")

TO_SIMULATOR = """
import os
from payroc_async import Environment
Environment.UAT = Environment(api_url=os.environ["TEST_API"], identity_url=os.environ["TEST_ID"])
"""


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The table rows below some words of a page, by the name that stands first in each."""
    table = re.search(r"(?:^\|.*\n)+", page[page.index(heading) :], re.MULTILINE)
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
    await run_pytest_module(MARKED["program: pytest"], tmp_path, passed=1)


@pytest.mark.parametrize("kind", ["submit", "payment"])
async def test_what_became_of(kind: str, gateway: Simulator, session: PayrocSession) -> None:
    """What is to be done about an unknown outcome finds the payment, and sends no second one."""
    (fragment,) = [f for f in fragments("docs/troubleshooting.md") if "what_became_of" in f.text]
    names: dict[str, Any] = {name: getattr(payroc_async, name) for name in payroc_async.__all__}
    exec(fragment.text, names)
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
    table = rows(DOCS["errors"], "# Errors")
    assert set(table) == public
    assert all(len(row) == 3 and all(row) for row in table.values())


@pytest.mark.parametrize("options", [Timeouts, RetryPolicy])
def test_every_field_is_in_its_table(options: type[Any]) -> None:
    """Each field is documented with its default."""
    table = rows(DOCS["timeouts"], f"`{options.__name__}(...)`")
    assert {name: float(row[0]) for name, row in table.items()} == {
        field.name: field.default for field in attrs.fields(options)
    }
    assert all(f"`{name}`" in CHANGELOG for name in table)


@pytest.mark.parametrize(
    ("function", "heading"),
    [
        (PayrocSession.__init__, "## Options of a session"),
        (PayrocSession.run_sale, "## Options of a sale"),
    ],
)
def test_every_option_is_in_its_table(function: Callable[..., Any], heading: str) -> None:
    """Each keyword of a session and of a sale is documented, and in the changelog."""
    positional = {"self", "serial_number", "request"}
    options = set(inspect.signature(function).parameters) - positional
    assert set(rows(DOCS["sessions"], heading)) == options
    assert all(f"`{name}`" in CHANGELOG for name in options)


def test_every_script_and_fault_is_named() -> None:
    """The simulator's scripts and faults are listed."""
    no_scripts = {"next_behaviour", *(field.name for field in attrs.fields(Device))}
    for name in (*faults.__all__, *vars(Device)):
        if name[0].islower() and name not in no_scripts:
            assert f"`{name}`" in DOCS["simulator"], name


def test_every_kind_of_request_is_named() -> None:
    """What a fault can be set on is listed, and so is what else the simulator can be known."""
    page = DOCS["simulator"]
    section = page[page.index("A fault applies to a kind") : page.index("The faults:")]
    assert set(re.findall(r'`"(\w+)"`', section)) == {*REQUEST_KINDS, "any"}
    told = ("close_batch", "add_closed_loop_read", "list_spelling", "tip", "card", *CARDS)
    for name in told:
        assert re.search(rf"`(gateway\.|approves\()?{name}\W", page), name


def headings(page: str) -> set[str]:
    """What a link can lead to in a page."""
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }


def test_links_lead_somewhere() -> None:
    """Each relative link names a file that exists, and a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, heading = target.partition("#")
        assert (ROOT / path).exists(), target
        if heading:
            assert heading in headings(DOCS[Path(path).stem] if path else README), target


def test_every_promise_names_its_proof() -> None:
    """Each promise names tests that exist, and its own test files among them."""
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## P(\d+) .*\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
    assert sorted(map(int, sections)) == list(range(1, 13))
    for number, section in sections.items():
        named = set(re.findall(r"`(tests/[\w/]+\.py)`", section))
        assert named, f"P{number} names no test"
        assert {name for name in named if not (ROOT / name).is_file()} == set()
        paths = (ROOT / "tests").rglob(f"test_p{number}_*.py")
        own = {path.relative_to(ROOT).as_posix() for path in paths}
        assert own
        assert own <= named
