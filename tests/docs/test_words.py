"""Comments, docstrings, texts and pages in plain words: those that slow a reader are listed."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.harness.programs import ROOT

BANNED = re.compile(
    r"\b(whoever|lest|nobody|mend|mends|mended|told|tells|thereof)\b"
    r"|\b(asked on|to its end|let go of|what is owed|of its own accord|for want of"
    r"|in the midst of|what stands between|begins? anew|is no longer to be had)\b"
    r"|\b(deeds?|behaviours?|colours?|honour(s|ed)?|grey)\b",
    re.IGNORECASE,
)
FOLDERS = ("payroc_async", "tests", "benchmarks", "examples", "docs", ".")
FILES = sorted(
    {
        path
        for folder in FOLDERS
        for kind in ("*.py", "*.md")
        for path in (ROOT.glob(kind) if folder == "." else (ROOT / folder).rglob(kind))
        if path.name != Path(__file__).name
    }
)


def prose_of_python(text: str) -> Iterator[tuple[int, str]]:
    """The lines of its comments, docstrings and texts of several words."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (
            token.type == tokenize.STRING and " " in token.string
        ):
            plain = re.sub(r"\{[^{}]*\}", "", token.string)  # of an f-string, what is code
            for offset, line in enumerate(plain.split("\n")):
                yield token.start[0] + offset, line


def prose_of_page(text: str) -> Iterator[tuple[int, str]]:
    """Its lines, without those of programs."""
    in_program = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            in_program = not in_program
        elif not in_program:
            yield number, re.sub(r"`[^`]*`", "", line)


def test_no_banned_word() -> None:
    """No word of the list stands in what a person reads."""
    found = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        prose = prose_of_python(text) if path.suffix == ".py" else prose_of_page(text)
        name = path.relative_to(ROOT)
        found += [f"{name}:{at}: {line.strip()}" for at, line in prose if BANNED.search(line)]
    assert "\n".join(found) == ""


def test_a_banned_word_is_found() -> None:
    """In a comment, a docstring and a page; not in a name or a program."""
    python = 'told = 1  # told\n"""Nobody knows."""\nprint("a text that tells")\n'
    assert [number for number, line in prose_of_python(python) if BANNED.search(line)] == [1, 2, 3]
    page = "It tells.\n```\ntells\n```\n`tells`\n"
    assert [number for number, line in prose_of_page(page) if BANNED.search(line)] == [1]
