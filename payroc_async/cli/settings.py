"""The variables that configure a command: from the process, then from a file.

Only the command line reads a file, never an import of the package or a session. The file's
variables do not enter the process's environment, so that unrelated ones have no effect.
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
"""The variables that together select the gateway."""


def env_file() -> Path | None:
    """Return the value of ``--env-file``; None if not given."""
    context = click.get_current_context(silent=True)
    path: Path | None = context.find_root().params.get("env_file") if context else None
    return path


def variables() -> Mapping[str, str]:
    """Return the process's variables, completed from the file.

    Raises:
        ConfigurationError: The file can't be read. The text shows no line of it.
    """
    return {**from_file(), **os.environ}


def from_file() -> Mapping[str, str]:
    """Return the file's variables that the process does not have.

    The gateway's variables come from only one of the two: a mix would select a third gateway.

    Raises:
        ConfigurationError: The file can't be read. The text shows no line of it.
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
        # other lines are not for this program
        if binding.error and PREFIX in binding.original.string:
            blank = re.match(r"\s*", binding.original.string)
            line = binding.original.line + (blank[0].count("\n") if blank else 0)
            raise ConfigurationError("--env-file", f"{path}: line {line} can't be read")
    found = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value is not None}
