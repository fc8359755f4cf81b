"""The form of every ``--help``: complete at any width.

click ends the help of a subcommand that is too long for its line with three dots, and leaves the
lines of an epilog as they are, for the terminal to break within words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import click

__all__ = ["CommandGroup"]

UNFILLED = "\b\n"
"""How click marks a block whose lines it does not fill."""
COMMAND = "payroc-async "


class Formatter(click.HelpFormatter):
    """Breaks long lines of an epilog between words."""

    def write_text(self, text: str) -> None:
        """Write blocks; lines that click does not fill are broken where they are too long."""
        if UNFILLED not in text:
            super().write_text(text)
            return
        width = max(self.width - self.current_indent, 20)
        blocks = [block.removeprefix(UNFILLED) for block in text.split("\n\n")]
        indent = " " * self.current_indent
        for number, block in enumerate(blocks):
            if number:
                self.write("\n")
            for line in block.splitlines():
                for part in _broken(line, width):
                    self.write(f"{indent}{part}\n")


class HelpContext(click.Context):
    """The context of a command whose help is written by `Formatter`."""

    formatter_class = Formatter


class CommandGroup(click.Group):
    """A group whose help says all of what each of its commands does."""

    context_class = HelpContext

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, and have its help written in the same form."""
        cmd.context_class = HelpContext
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its short help, on as many lines as that takes."""
        names = self.list_commands(ctx)
        found = [(name, self.get_command(ctx, name)) for name in names]
        rows = [(name, _short_help(one)) for name, one in found if one and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _short_help(command: click.Command) -> str:
    return command.get_short_help_str(limit=10_000)


def _broken(line: str, width: int) -> Iterator[str]:
    """The line in parts that fit. A command goes on after a backslash, so that it can be copied."""
    if len(line) <= width:
        yield line
        return
    text = line.lstrip()
    indent = " " * (len(line) - len(text))
    if text.startswith((COMMAND, "--")):
        yield from _broken_command(text, indent, width)
        return
    # What an exit code or a variable means goes on below its beginning.
    hanging = re.match(r"\S+ {2,}|\d+ +", text)
    below = indent + " " * len(hanging[0] if hanging else "")
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    yield from wrap(line, width, subsequent_indent=below, drop_whitespace=True, **options)


def _broken_command(text: str, indent: str, width: int) -> Iterator[str]:
    """Broken before options, and never between an option and its value."""
    first, *others = re.split(r" (?=--?\w)", text)
    row = indent + first
    for option in others:
        if len(f"{row} {option} \\") <= width:
            row += f" {option}"
        else:
            yield f"{row} \\"
            row = f"{indent}  {option}"
    yield row
