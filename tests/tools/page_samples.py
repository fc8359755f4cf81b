"""Writes the Python of README and docs for a type checker.

``python -m tests.tools.page_samples FOLDER``.

A sample under a comment such as ``<!-- program: simulator -->`` is a whole program. Any other is a
fragment: it is run where the names below are at hand, unless a comment before it begins with
``sample:`` and says why that can't be.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from attrs import frozen

from tests.harness.programs import ROOT, marked_blocks

__all__ = ["PAGES", "Fragment", "fragments"]

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
}
SAMPLE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^(?P<indent> *)```python\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
HEAD = '''"""{page}"""
import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from payroc_async import *
from payroc_async.journal import *
from payroc_async.simulator import Simulator


'''
NAMES = """async def fragment{number}(
    api_key: str,
    environment: Environment,
    gateway: Simulator,
    journal: SQLiteJournal,
    key: str,
    request: PaymentInstructionRequest,
    serve: Callable[[PayrocSession], Awaitable[None]],
    session: PayrocSession,
    store: Callable[..., None],
    store_for_later: Callable[..., None],
    stores: list[Any],
    tell_the_cashier: Callable[[str], None],
) -> None:
"""


@frozen
class Fragment:
    """A piece of Python that needs some names."""

    page: str
    text: str
    not_run: str
    """Why it can't be run; empty where it is."""

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:40]}"


def fragments(page: str) -> list[Fragment]:
    """What a page has beside its programs."""
    return [
        Fragment(
            page, textwrap.dedent(found["text"]), (found["mark"] or "").partition("sample: ")[2]
        )
        for found in SAMPLE.finditer(PAGES[page])
        if not (found["mark"] or "").startswith(("program: ", "web: "))
    ]


def main(folder: Path) -> None:
    """Write every program and every page's fragments into modules of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for page, text in PAGES.items():
        name = re.sub(r"\W", "_", page.removesuffix(".md").lower())
        for mark, program in marked_blocks(text).items():
            if mark.startswith("program: "):
                (folder / f"{name}_{mark[9:]}.py").write_text(program, encoding="utf-8")
        functions = [
            NAMES.format(number=number) + textwrap.indent(fragment.text, "    ")
            for number, fragment in enumerate(fragments(page))
        ]
        if functions:
            module = HEAD.format(page=page) + "\n\n".join(functions)
            (folder / f"{name}.py").write_text(module, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
