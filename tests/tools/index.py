"""Draws `tests/README.md`, the index of the tests: ``python -m tests.tools.index``."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "tests" / "README.md"
FOLDERS = {
    "unit": "One module at a time; no gateway, or bytes written by hand.",
    "api": "The single calls and the session, against the simulator and against bytes.",
    "promises": "P1 to P12 from outside, over real sockets, whatever goes wrong.",
    "model": "The lifecycle in the product with a model of the world, explored to its last state.",
    "simulation": "The real runner in virtual time: thousands of sales by seed.",
    "journal": "The journal on real SQLite and PostgreSQL, recovery, killed processes.",
    "fleet": "Three processes on one PostgreSQL, killed, stopped and replaced.",
    "cli": "The command line, as a user runs it.",
    "simulator": "The simulator, its pages in a real browser, and the pytest plugin.",
    "docs": "README, docs and examples: their programs run, their tables are complete.",
}
HEAD = """# The tests

Made by `python -m tests.tools.index` from the tests themselves. Helpers are in `harness/`, programs
that are run by hand or by `nox` in `tools/`, the published samples in `samples/`, and what type
checkers must
accept or refuse in `typing/`.
"""


def drawn() -> str:
    """The page."""
    files = {name: sorted((ROOT / "tests" / name).glob("test_*.py")) for name in FOLDERS}
    lines = [HEAD, "## By folder"]
    for name, about in FOLDERS.items():
        lines += [f"\n### {name}\n\n{about}\n\n| file | what it holds |\n|---|---|"]
        lines += [f"| `{path.name}` | {_sentence(path)} |" for path in files[name]]
    lines += ["\n## By promise\n\n| promise | tests |\n|---|---|", *_promises()]
    lines += ["\n## By module\n\nWhat tests import.\n\n| module | tests |\n|---|---|"]
    users: dict[str, list[str]] = defaultdict(list)
    for name, paths in files.items():
        for path in paths:
            for module in _modules(path):
                users[module].append(f"`{name}/{path.name}`")
    lines += [f"| `{module}` | {', '.join(users[module])} |" for module in sorted(users)]
    return "\n".join(lines) + "\n"


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def _promises() -> list[str]:
    page = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (P\d+) (.*)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE)
    rows = []
    for number, title, text in sections:
        named = dict.fromkeys(re.findall(r"`tests/([\w/]+\.py)`", text))
        rows.append(f"| {number} {title} | {', '.join(f'`{name}`' for name in named)} |")
    return rows


def _modules(path: Path) -> set[str]:
    """The modules of the package that a file imports, as paths."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("payroc_async."):
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                module = Path(*str(name).split(".")).with_suffix(".py")
                if (ROOT / module).is_file():
                    found.add(module.relative_to("payroc_async").as_posix())
    return found


if __name__ == "__main__":
    PAGE.write_text(drawn(), encoding="utf-8")
