"""Two versions of the SDK, side by side: ``python -m benchmarks.compare BASE``.

BASE is any commit. Its source is laid out beside this one's, each runs in a process of its own, and
they take turns; printed are ratios of this version to BASE, where below 1 is better. A guard
against regressions that asks no machine to be as fast as another.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from .rounds import ratio, spread
from .worker import ROOT, Gateway, Worker

NOW, BASE = "now", "base"


def compare(base: Path, devices: int, rounds: int) -> None:
    """Alternate the two, and print what each costs."""
    values: dict[str, dict[str, list[float]]] = {}
    with Gateway() as gateway:
        sources = {NOW: ROOT, BASE: base}
        workers = {
            side: Worker("payroc_async", gateway, source=source) for side, source in sources.items()
        }
        for _ in range(rounds):
            for side, worker in workers.items():
                options = {"devices": devices, "sales": max(1, 5000 // devices)}
                for what, figure in worker.do("cost", {"together": devices}, **options).items():
                    values.setdefault(f"{what} time, ms", {}).setdefault(side, []).append(figure)
        for worker in workers.values():
            worker.end()
        for _ in range(min(rounds, 5)):
            for side, source in sources.items():
                with Worker("payroc_async", gateway, source=source) as worker:
                    held = worker.do("held", {"together": 0}, devices=devices)["held"]
                values.setdefault("memory in flight, KB", {}).setdefault(side, []).append(held)
    for what, sides in values.items():
        told = ", ".join(
            "{} {median:.3f} ({least:.3f} to {most:.3f})".format(side, **spread(figures))
            for side, figures in sides.items()
        )
        print(f"{what} a sale: {told}; ratio {ratio(sides, NOW, BASE):.3f}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "base")
        subprocess.run([*git, "add", "--quiet", "--detach", str(base), options.base], check=True)
        try:
            compare(base, options.devices, options.rounds)
        finally:
            subprocess.run([*git, "remove", "--force", str(base)], check=True)


if __name__ == "__main__":
    main()
