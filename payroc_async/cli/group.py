"""The top-level command: its exit code if a subcommand sets none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from .help_text import CommandGroup
from .output import mute, note, say_json

__all__ = ["INTERRUPTED", "NOBODY_READS", "CommandLine"]

INTERRUPTED = 130
"""The exit code after Ctrl-C, as in shells, if the command has none that says more."""
NOBODY_READS = 141
"""The exit code after a closed pipe, as in shells, for commands that only print."""


class CommandLine(CommandGroup):
    """A group of commands that writes errors as JSON to stdout with ``--json``."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        """Run the command with these arguments, and exit with its code."""
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments  # check before parsing, which may fail
        extra["standalone_mode"] = False
        try:
            code = super().main(arguments, *more, **extra)
        except click.ClickException as error:
            if as_json:
                say_error_json("UsageError", error.format_message())
            else:
                error.show()
            code = error.exit_code
        except click.Abort:
            if as_json:
                say_error_json("Interrupted", "interrupted")
            else:
                note("interrupted")
            code = INTERRUPTED
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            mute(sys.stdout)
            return ctx.exit(NOBODY_READS)


def say_error_json(type: str, message: str) -> None:
    """Report an error that no command reported."""
    say_json({"error": {"type": type, "message": message}})
