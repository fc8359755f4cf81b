"""The pages in docs say what is so: their programs run, the table of endpoints is complete."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any, get_origin, get_type_hints

import aiohttp
import click
import pytest
from attrs import fields
from click.testing import CliRunner

import payroc_async
from payroc_async import PayrocSession, errors
from payroc_async.cli.app import cli
from payroc_async.cli.demo.audit import Report
from payroc_async.cli.demo.summary import report_members
from payroc_async.cli.formatting import payment_members
from payroc_async.cli.setup.local_checks import Check
from payroc_async.journal import Journal, SQLiteJournal
from payroc_async.simulator import Simulator
from payroc_async.simulator.ledger import CHANGES
from payroc_async.simulator.routes import READS, SEARCHES, find_route
from payroc_async.simulator.simulated_kinds import KINDS
from tests.cli.test_cli import COMMANDS, LEAVES
from tests.cli.test_cli_journal import ENTRY
from tests.conftest import SERIAL, sale, variables
from tests.harness.programs import ROOT, marked_blocks, run_pytest_module, run_python
from tests.tools.page_samples import PAGES as ALL_PAGES
from tests.tools.page_samples import Fragment, fragments

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
JOBS = [
    *("amounts", "close-the-day", "journal", "receipts", "refunds-and-voids", "sales"),
    *("saved-cards", "searches", "signatures", "simulator"),
]
FRAGMENTS = [fragment for page in ALL_PAGES for fragment in fragments(page)]

ENDPOINTS = [
    tuple(re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1])
    for line in PAGES["endpoints"].splitlines()
    if line.startswith("| `")
]


def calls_of_a_session() -> set[str]:
    """Every public call that reaches the gateway, as a caller writes it after ``session.``."""
    groups = get_type_hints(PayrocSession)
    in_groups = {
        f"{name}.{call}"
        for name, group in groups.items()
        for call in dir(get_origin(group) or group)
        if not call.startswith("_")
    }
    runs = {name for name in dir(PayrocSession) if re.match("(run|start|resume|capture)_", name)}
    return in_groups | runs | {"open"}


def known_endpoints() -> set[str]:
    """Every endpoint that the simulator serves, with its identifiers left blank."""
    return {
        "POST /authorize",
        *(f"POST /devices/{{}}/{kind}" for kind in KINDS),
        *(f"{method} /{kind}/{{}}" for kind in KINDS for method in ("GET", "DELETE")),
        *(f"GET /{collection}/{{}}" for collection in READS),
        *(f"GET /{collection}" for collection in SEARCHES),
        *(f"POST /{collection}/{{}}/{action}" for collection, action in CHANGES),
        "POST /payments",
        "GET /processing-terminals/{}/host-configurations",
        "GET /processing-terminals/{}/device-configurations/{}",
        "GET /processing-accounts/{}/processing-terminals",
        "POST /cards/bin-lookup",
        "POST /cards/balance",
        "POST /processing-terminals/{}/close-batch",
        "GET /processing-terminals/{}/secure-tokens",
        *(
            f"{method} /processing-terminals/{{}}/secure-tokens/{{}}"
            for method in ("GET", "DELETE")
        ),
    }


def test_every_endpoint_is_in_the_table() -> None:
    """The table has each endpoint that the simulator serves, once, and no other."""
    listed = [re.sub(r"\{\w+\}", "{}", name) for (name,), _, _ in ENDPOINTS]
    assert sorted(listed) == sorted(known_endpoints())
    for name in set(listed) - {"POST /authorize"}:  # which is not under the API's path
        method, _, path = name.partition(" ")
        assert find_route(method, "/v1" + path.replace("{}", "x")).kind != "other", name


def test_every_call_is_in_the_table() -> None:
    """The table has each call of a session, and names none that does not exist."""
    assert {call for _, calls, _ in ENDPOINTS for call in calls} == calls_of_a_session()
    assert all(calls for _, calls, _ in ENDPOINTS)


@pytest.mark.parametrize(
    "proof", sorted({proof for _, _, proofs in ENDPOINTS for proof in proofs}), ids=str
)
def test_every_proof_exists(proof: str) -> None:
    """What the table names as proof is a file of tests, or a test in one."""
    path, _, test = proof.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    defined = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef | ast.ClassDef)
    }
    assert any(name.startswith("test_") for name in defined)
    assert set(test.split("::")) - {""} <= defined


def test_every_endpoint_has_a_proof() -> None:
    """No endpoint stands there on trust."""
    assert all(proofs for _, _, proofs in ENDPOINTS)


def same_shape(text: str) -> str:
    """A text with what differs from run to run (ids and codes) blotted out."""
    return re.sub(r"\b[0-9A-F]{6,}\b", lambda found: "#" * len(found[0]), text)


@pytest.mark.parametrize("page", JOBS)
async def test_program(page: str) -> None:
    """P10: A page's program prints what the page says, and no warning beside it."""
    blocks = marked_blocks(PAGES[page])
    assert set(blocks) == {"program: simulator", "output: simulator"}
    code, output, problems = await run_python("-c", blocks["program: simulator"])
    assert (code, problems) == (0, "")
    assert same_shape(output) == same_shape(blocks["output: simulator"])


async def serve(session: PayrocSession) -> None:
    """An application, here until all that was left has ended and is reported."""
    async with asyncio.timeout(10):
        while await session.unfinished():
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("fragment", [one for one in FRAGMENTS if not one.not_run], ids=str)
async def test_fragment(
    fragment: Fragment,
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
    if "SQLiteJournal" in fragment.text:
        async with PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            journal=SQLiteJournal("till.journal"),
        ) as dying:
            left = await dying.start_sale(SERIAL, sale(), on_cancel="detach")
            left_key = left.idempotency_key
    names: dict[str, Any] = {
        **{name: getattr(payroc_async, name) for name in payroc_async.__all__},
        "Journal": Journal,
        "SQLiteJournal": SQLiteJournal,
        "aiohttp": aiohttp,
        "asyncio": asyncio,
        "api_key": gateway.api_key,
        "environment": gateway.environment,
        "gateway": gateway,
        "request": sale(),
        "serve": serve,
        "session": session,
    }
    running = eval(compile_sample(fragment), names)
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


def compile_sample(fragment: Fragment) -> CodeType:
    code = compile(fragment.text, fragment.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    return code


def test_what_is_not_run_says_why() -> None:
    """A sample that is not run is Python, and says why it is not."""
    not_run = [fragment for fragment in FRAGMENTS if fragment.not_run]
    assert not_run
    for fragment in not_run:
        compile_sample(fragment)
        assert re.match(r"compiled only, \w+ .{20}", fragment.not_run), fragment


async def test_tutorial(gateway: Simulator) -> None:
    """The till of the tutorial prints what it says, for a sale, a decline and a cancellation."""
    blocks = marked_blocks(PAGES["tutorial"])
    gateway.device(SERIAL).approves(after=0.05).declines().cardholder_cancels()
    for way in ("approved", "declined", "canceled"):
        code, output, problems = await run_python(
            "-c", blocks["program: till"], extra=variables(gateway)
        )
        assert (code, output, problems) == (0, blocks[f"output: {way}"], "")


async def test_tutorials_test(tmp_path: Path) -> None:
    """The test of the tutorial passes in a project without settings for pytest-asyncio."""
    await run_pytest_module(marked_blocks(PAGES["tutorial"])["program: pytest"], tmp_path, passed=1)


def sections(page: str) -> dict[str, str]:
    """A page's sections by their headings."""
    return dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", PAGES[page], re.MULTILINE))


def test_every_error_has_a_section() -> None:
    """Each error class says what it means, whether money has moved, and what to do."""
    classes = {
        name
        for name in errors.__all__
        if issubclass(getattr(errors, name), payroc_async.PayrocError)
    }
    found = {
        name: text
        for name, text in sections("troubleshooting").items()
        if "Error" in name or "Lease" in name
    }
    assert set(found) == classes
    for name, text in found.items():
        if name != "PayrocError":
            assert re.findall(r"^\*\*(\w+):\*\*", text, re.MULTILINE) == ["Means", "Money", "Do"], (
                name
            )


def test_every_call_has_a_place_in_the_migration() -> None:
    """The table has each single call of a session, and names none that does not exist."""
    table = sections("migration")["Call by call"]
    named, group = set(), ""
    for cell in [line.split(" | ")[1] for line in table.splitlines() if line.startswith("| `")]:
        for name in re.findall(r"`(\w*\.\w+)`", cell):
            group = name.partition(".")[0] or group
            named.add(f"{group}.{name.partition('.')[2]}")
    named -= {"Environment.UAT", "Environment.PRODUCTION", "signature.image"}
    assert named <= {call for call in calls_of_a_session() if "." in call}
    assert {call for call in calls_of_a_session() if "." in call} - named == {
        "closed_loop_reads.retrieve",  # which the generated client
        "devices.search",  # does not
        "terminals.close_batch",  # have
        "terminals.device_configuration",
        "terminals.search",
    }


def test_contributing_names_files_that_exist() -> None:
    """Anyone who adds an endpoint finds each file, and each layer, where the guide says."""
    text = ALL_PAGES["CONTRIBUTING.md"]
    for name in re.findall(r"`((?:payroc_async|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
    table = text[text.index("| layer |") : text.index("## Rules")]
    package = ROOT / "payroc_async"
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    layers = {name for row in rows for name in re.findall(r"`(\w+(?:\.py|/))`", row[1])}
    assert len(layers) > 15
    assert layers <= {path.name + "/" * path.is_dir() for path in package.iterdir()}
    for row in rows:
        folders = [package / name for name in re.findall(r"`(\w+)/`", row[1])]
        for name in re.findall(r"`(\w+\.py)`", row[2]):
            assert any((folder / name).exists() for folder in folders), f"{name}: {row[1]}"


def test_every_page_is_in_the_index() -> None:
    """The index, from which the site's table of contents is made, has each page once."""
    listed = re.findall(r"^\* \[[^]]+\]\((\S+)\.md\): ", PAGES["index"], re.MULTILINE)
    assert sorted(listed) == sorted(
        [*(set(PAGES) - {"index"}), "../CHANGELOG", "../CONTRIBUTING", "../SECURITY"]
    )
    assert "](docs/index.md)" in ALL_PAGES["README.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_its_page(name: str) -> None:
    """The page has each command, its options, exit codes and JSON; the changelog its options."""
    page, changelog = PAGES["command-line"], (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and not option.hidden:
            for word in (*option.opts, *option.secondary_opts):
                assert word in page
                assert f"`{word}`" in changelog
    if name not in LEAVES:
        return
    assert f"`payroc-async {name}" in page
    section = page[page.index("## Exit codes") : page.index("## JSON")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines()]
    tables = {row[0].strip("`"): row[1:] for row in rows if row}
    shown = {code for code, cell in zip(tables["command"], tables[name], strict=True) if cell}
    help_ = CliRunner().invoke(cli, [*name.split(), "--help"]).output
    assert shown == set(re.findall(r"^    (\d+) +\S", help_, re.MULTILINE))
    assert name in members_of_json()


def members_of_json() -> dict[str, str]:
    """What the page says of the members of each command's JSON."""
    section = PAGES["command-line"].partition("## JSON")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", section, re.MULTILINE)
    return {name: said for names, said in rows for name in re.findall(r"`([^`]+)`", names)}


def test_members_of_json_are_on_the_page() -> None:
    """What is printed is what the page names, no more and no less."""
    counted = {"devices", "seed", "seconds", "interrupted", *report_members(Report())}
    for command, printed in (
        ("payments show", {*payment_members(None), "refund_id"}),
        ("journal close", ENTRY),
        ("doctor", {"ok", "version", "checks", *(one.name for one in fields(Check))}),
        ("demo", counted),
    ):
        named = set(re.findall(r"`(\w+)`", members_of_json()[command]))
        assert named == printed, command


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each relative link of a page names a file that exists."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            assert (DOCS / path).exists(), target
            if heading and path.removesuffix(".md") in (*PAGES, ""):
                assert heading in headings(path.removesuffix(".md") or page), target


def headings(page: str) -> set[str]:
    """What a link to a part of a page can name."""
    found = re.findall("^#+ (.+)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize(
    ("page", "folder"),
    [("README.md", ROOT), ("docs/virtual-device.md", DOCS), ("docs/pos-backends.md", DOCS)],
)
def test_pictures_are_there(page: str, folder: Path) -> None:
    """Each picture is there in light and dark, says what it shows, and is small enough."""
    text = (ROOT / page).read_text(encoding="utf-8")
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert {name.rpartition("-")[2] for name in pictures} == {"light.png", "dark.png"}
    assert all((folder / name).stat().st_size < 150_000 for name in pictures)
    assert text.count("<img") == text.count('alt="')


def test_every_key_of_the_virtual_device_is_named() -> None:
    """The keys of the page are those of its table."""
    static = ROOT / "payroc_async" / "simulator" / "static"
    html = (static / "device.html").read_text(encoding="utf-8")
    keys = {key.upper() for key in re.findall(r'data-key="(\w)"', html)}
    table = re.findall(r"^\| [^|]+ \| (`[^|]+`) \|", PAGES["virtual-device"], re.MULTILINE)
    named = {key for cell in table for key in re.findall(r"`(\w+)`", cell)}
    # Of tips that are made for each sale, of none, and of what is no letter.
    assert named == keys | {"1", "2", "3", "N", "Esc", "Enter"}
