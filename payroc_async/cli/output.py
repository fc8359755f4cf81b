"""Output helpers: results on stdout, all else on stderr. A closed pipe never aborts a sale.

A closed pipe (``| head``) or a full disk must neither end a sale nor change the exit code, which
scripts rely on. Lists write with `click.echo`: they stop when the reader closes the pipe.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import click
from rich.console import Console

from payroc_async import APIError, InstructionFailedError, PayrocError

from .palette import COLORS

__all__ = [
    "SteadyConsole",
    "as_json",
    "error_members",
    "mute",
    "note",
    "plain",
    "say",
    "say_error",
    "say_json",
]


def mute(stream: IO[str]) -> None:
    """Discard everything written to this stream from now on."""
    with suppress(OSError, ValueError):  # not a file, such as a test's stream
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def say(
    text: str, *, err: bool = False, nl: bool = True, fg: str | None = None, **style: Any
) -> None:
    """Print to stdout, or to stderr with ``err``. An output error is ignored.

    Args:
        text: The text to print.
        err: Whether to print to stderr.
        nl: Whether to end the line.
        fg: The name of a color in `palette.COLORS`.
        style: Further arguments of `click.style`.
    """
    try:
        click.secho(text, err=err, nl=nl, fg=None if fg is None else COLORS[fg], **style)
    except OSError as error:
        mute(sys.stderr if err else sys.stdout)
        if not err and not isinstance(error, BrokenPipeError):
            note(f"Error: stdout could not be written: {error.strerror}")


def note(text: str, **style: Any) -> None:
    """Print to stderr: progress and hints, not results."""
    say(text, err=True, **style)


def say_json(members: Mapping[str, Any]) -> None:
    """Print one JSON object on its own line."""
    say(json.dumps(members))


def as_json() -> bool:
    """Whether the running command was given ``--json``."""
    return bool(click.get_current_context().params.get("as_json"))


def say_error(error: PayrocError | str, type: str = "") -> None:
    """Report a failure: a line on stderr, or with --json an object on stdout.

    Args:
        error: The error, or its text.
        type: The error's type for scripts, if it is not one of the SDK's.
    """
    if not as_json():
        note(f"Error: {plain(error)}")
    elif isinstance(error, PayrocError):
        say_json({"error": error_members(error)})
    else:
        say_json({"error": {"type": type, "message": error}})


def error_members(error: PayrocError | None) -> dict[str, Any] | None:
    """Return an error for JSON."""
    if error is None:
        return None
    members: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, APIError):
        members["status"] = error.status
    if isinstance(error, InstructionFailedError):
        members["error_message"] = error.error_message
    return members


def plain(text: object) -> str:
    """Return foreign text as one line, without a terminal's control sequences."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else "?" for one in line)


class SteadyConsole(Console):
    """A console that survives a closed pipe; rich's own ends the process."""

    def on_broken_pipe(self) -> None:
        """Discard all further output."""
        mute(self.file)

    def print(self, *what: Any, **options: Any) -> None:
        """Print; ignore an output error."""
        try:
            super().print(*what, **options)
        except OSError:
            mute(self.file)
