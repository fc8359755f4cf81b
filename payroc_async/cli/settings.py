"""The variables that configure a command: those of the process, then those of a file.

A file is read by the command line alone: never when the package is imported, nor by a session. What
it says is not put into the process's environment, so that others' variables in it change nothing.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

import click

from payroc_async import ConfigurationError

__all__ = ["env_file", "from_file", "variables"]

ENV_FILE = Path(".env")
PREFIX = "PAYROC_"
GATEWAY = frozenset({"PAYROC_ENVIRONMENT", "PAYROC_API_URL", "PAYROC_IDENTITY_URL"})
"""What says together where the gateway is."""


def env_file() -> Path | None:
    """What ``--env-file`` names; None if it was not given."""
    context = click.get_current_context(silent=True)
    path: Path | None = context.find_root().params.get("env_file") if context else None
    return path


def variables() -> Mapping[str, str]:
    """The variables of the process, and those that it does not have from the file.

    Raises:
        ConfigurationError: The file can't be read. No line of it is shown.
    """
    return {**from_file(), **os.environ}


def from_file() -> Mapping[str, str]:
    """What of the file counts: nothing that the process has as well.

    Where the gateway is, one of the two says alone: half of it from each would be a third.

    Raises:
        ConfigurationError: The file can't be read. No line of it is shown.
    """
    path = env_file()
    if path is None:
        path = ENV_FILE
        if not path.is_file():
            return {}
    read = _read(path)
    known = set(os.environ)
    if known & GATEWAY:
        known |= GATEWAY
    return {name: value for name, value in read.items() if name not in known}


def _read(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError("--env-file", f"{path} can't be read: {reason}") from None
    for binding in parse_stream(io.StringIO(text)):
        if binding.error and PREFIX in binding.original.string:  # other lines are others' business
            blank = re.match(r"\s*", binding.original.string)
            line = binding.original.line + (blank[0].count("\n") if blank else 0)
            raise ConfigurationError("--env-file", f"{path}: line {line} can't be read")
    found = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value is not None}
