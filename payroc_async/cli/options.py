"""Options and help that commands share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import click

__all__ = ["JOURNAL", "JSON_LINES", "JSON_OBJECT", "KEY", "epilog", "fresh_or_given_key"]

# Variables are named by hand in the help: click's own support would read them from the process
# only, not from the file.
JOURNAL = click.option(
    "--journal",
    metavar="PLACE",
    help="The journal: an SQLite file, or a postgresql:// URL.  [env var: PAYROC_JOURNAL]",
)
JSON_LINES = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line on stdout, nothing else."
)
JSON_OBJECT = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else."
)
KEY = click.option(
    "--idempotency-key",
    metavar="UUID",
    help="The key of an earlier attempt, to learn its outcome. A fresh one if left out.",
)


def fresh_or_given_key(idempotency_key: str | None) -> dict[str, Any]:
    """Return the key, and whether it was generated just now."""
    fresh = idempotency_key is None
    return {
        "idempotency_key": str(uuid.uuid4()) if fresh else idempotency_key,
        "key_is_fresh": fresh,
    }


def epilog(*examples: str, codes: Mapping[int, str] | None = None, more: str = "") -> str:
    """Return the text below a command's options: exit codes, another block, and examples.

    Args:
        examples: Command lines, without the prompt.
        codes: The meaning of each exit code.
        more: The lines of another block, unchanged.
    """
    blocks = []
    if codes:
        blocks.append(["Exit codes:", *(f"  {code:<3}  {what}" for code, what in codes.items())])
    if more:
        blocks.append(more.splitlines())
    blocks.append([f"Example{'s' if len(examples) > 1 else ''}:", *(f"  {_}" for _ in examples)])
    # The \b keeps click from filling the lines.
    return "\n\n".join("\b\n" + "\n".join(block) for block in blocks)
