"""The format of every ``--help``: complete at any width.

click truncates the short help of a subcommand with three dots, and does not wrap the lines of an
epilog, so that the terminal breaks them within words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

import click

__all__ = ["CommandGroup"]

UNFILLED = "\b\n"
"""click's mark of a block that it does not wrap."""
COMMAND = "payroc-async "


class Formatter(click.HelpFormatter):
    """Breaks long lines of an epilog between words."""

    def write_text(self, text: str) -> None:
        """Write blocks; break long lines of the blocks that click does not wrap."""
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
    """The context of a command whose help `Formatter` writes."""

    formatter_class = Formatter


class CommandGroup(click.Group):
    """A group whose help shows the full short help of each command."""

    context_class = HelpContext

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, and give its help the same format."""
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
    """Split the line into parts that fit. A command continues after a backslash, to be copied."""
    if len(line) <= width:
        yield line
        return
    text = line.lstrip()
    indent = " " * (len(line) - len(text))
    if text.startswith((COMMAND, "--")):
        yield from _broken_command(text, indent, width)
        return
    # The description of an exit code or a variable continues in the same column.
    hanging = re.match(r"\S+ {2,}|\d+ +", text)
    below = indent + " " * len(hanging[0] if hanging else "")
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    yield from wrap(line, width, subsequent_indent=below, drop_whitespace=True, **options)


def _broken_command(text: str, indent: str, width: int) -> Iterator[str]:
    """Break before options, never between an option and its value."""
    first, *others = re.split(r" (?=--?\w)", text)
    row = indent + first
    for option in others:
        if len(f"{row} {option} \\") <= width:
            row += f" {option}"
        else:
            yield f"{row} \\"
            row = f"{indent}  {option}"
    yield row
