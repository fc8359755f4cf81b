"""The command line: ``payroc-async``, also ``python -m payroc_async``.

Its extra dependencies are imported only here, and only when it runs.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

NEEDED = frozenset({"click", "dotenv", "rich"})


def main() -> None:
    """Run the command line with the process's arguments, and exit with its code."""
    try:
        from .app import cli

        cli(prog_name="payroc-async")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        print("the command line needs more: pip install 'payroc-async[cli]'", file=sys.stderr)
        sys.exit(2)
