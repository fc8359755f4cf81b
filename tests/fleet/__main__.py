"""``nox -s fleet``: prints the counts, and how soon a killed process's sales are driven again."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.harness.postgres import MISSING, server_in

from .run import Plan, run_fleet


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="nox -s fleet --", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--devices", type=int, default=300)
    parser.add_argument("--rivals", type=float, default=0.1)
    parser.add_argument("--interval", type=float, default=1)
    parser.add_argument("--processes", type=int, default=3)
    options = parser.parse_args()
    if MISSING:
        print(MISSING)
        return 2
    with tempfile.TemporaryDirectory() as name, server_in(Path(name), durable=True) as server:
        with server.schema() as schema:
            report = asyncio.run(run_fleet(Plan(**vars(options)), server, schema))
        print(report)
    return 0 if report.good() else 1


if __name__ == "__main__":
    sys.exit(main())
