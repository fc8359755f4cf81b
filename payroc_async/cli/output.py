"""Where it is said: results on stdout, all else on stderr, and nothing ends for lack of a reader.

A reader that has gone (``| head``), or a full disk, is no reason to give up a sale, nor to change
the exit code by which a script learns what became of it. A list writes with `click.echo`: it stops
when no one reads on.
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
    """Whatever is written there from now on goes nowhere."""
    with suppress(OSError, ValueError):  # one that is no file, such as a test's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def say(
    text: str, *, err: bool = False, nl: bool = True, fg: str | None = None, **style: Any
) -> None:
    """Print it, on stdout unless ``err``; where it can't be, go on without.

    Args:
        text: What to print.
        err: Whether it goes to stderr.
        nl: Whether the line ends with it.
        fg: The name of a color in `palette.COLORS`.
        style: What else `click.style` takes.
    """
    try:
        click.secho(text, err=err, nl=nl, fg=None if fg is None else COLORS[fg], **style)
    except OSError as error:
        mute(sys.stderr if err else sys.stdout)
        if not err and not isinstance(error, BrokenPipeError):
            note(f"Error: stdout could not be written: {error.strerror}")


def note(text: str, **style: Any) -> None:
    """What is no result: print it on stderr."""
    say(text, err=True, **style)


def say_json(members: Mapping[str, Any]) -> None:
    """Print one object on a line of its own."""
    say(json.dumps(members))


def as_json() -> bool:
    """Whether the command that runs has ``--json``."""
    return bool(click.get_current_context().params.get("as_json"))


def say_error(error: PayrocError | str, type: str = "") -> None:
    """Tell why nothing came of it: a line on stderr, or with --json an object on stdout.

    Args:
        error: The error, or what to say.
        type: What scripts know it by, where it is none of ours.
    """
    if not as_json():
        note(f"Error: {plain(error)}")
    elif isinstance(error, PayrocError):
        say_json({"error": error_members(error)})
    else:
        say_json({"error": {"type": type, "message": error}})


def error_members(error: PayrocError | None) -> dict[str, Any] | None:
    """An error, for JSON."""
    if error is None:
        return None
    members: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, APIError):
        members["status"] = error.status
    if isinstance(error, InstructionFailedError):
        members["error_message"] = error.error_message
    return members


def plain(text: object) -> str:
    """What others wrote as one line, without what would command a terminal."""
    line = " ".join(str(text).split())
    return "".join(one if one.isprintable() else "?" for one in line)


class SteadyConsole(Console):
    """A console that goes on when its reader has gone; rich's own ends the process."""

    def on_broken_pipe(self) -> None:
        """Write nowhere from now on."""
        mute(self.file)

    def print(self, *what: Any, **options: Any) -> None:
        """Print it; where it can't be, go on without."""
        try:
            super().print(*what, **options)
        except OSError:
            mute(self.file)
