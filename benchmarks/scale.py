"""What changes with scale: the collector, objects in flight, a steady pace; and instructions."""

from __future__ import annotations

import re
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from .loops import has
from .rounds import BARE, SDK, Plan, alternate, ratio, spread, summary
from .worker import Gateway, Job, Worker

__all__ = ["PARTS"]

SETTINGS = ("usual", "frozen", "10000 20 50", "50000 20 100", "frozen 50000 20 100", "off")
"""How garbage is collected: see ``collecting`` of the worker."""
INSTRUCTIONS = re.compile(r"I\s+refs:\s+([\d,]+)")


def objects(gateway: Gateway, plan: Plan) -> list[Job]:
    """Objects that the collector tracks for each sale in flight, with its connection."""

    def do(worker: Worker) -> float:
        result = worker.do("held", {"together": 0}, devices=plan.many, count=True)
        count: float = result["objects"]
        return count

    return [summary(alternate(gateway, [SDK, BARE, "floor"], 1, do), devices=plan.many)]


def collector(gateway: Gateway, plan: Plan) -> list[Job]:
    """Processor time of a sale, the collector's part of it and its longest pause, ms, by settings.

    Beside the bare loop as Python collects for it; ``grown``: MB that the sales have left.
    """
    rows = []
    turns = [(BARE, "usual"), *((SDK, how) for how in SETTINGS)]
    for devices in plan.devices[1:]:
        results: dict[tuple[str, str], list[Job]] = {turn: [] for turn in turns}
        for _ in range(plan.rounds):
            for name, how in turns:
                options = {"sales": max(1, plan.sales // devices), "warm_up": plan.sales}
                with Worker(name, gateway) as worker:
                    shape = {"together": devices}
                    results[name, how].append(
                        worker.do("cost", shape, devices=devices, collector=how, **options)
                    )
        bare = [one["processor"] for one in results[BARE, "usual"]]
        for (name, how), rounds in results.items():
            row: Job = {"devices": devices, "name": name, "how": how}
            for what in ("processor", "collected", "pause", "grown"):
                row[what] = spread([one[what] for one in rounds])
            row["ratio"] = ratio({name: [one["processor"] for one in rounds], "": bare}, name, "")
            print("  ", *(x["median"] if isinstance(x, dict) else x for x in row.values()))
            rows.append(row)
    return rows


def pace(gateway: Gateway, plan: Plan) -> list[Job]:
    """Lag of the loop and added latency, ms: each device sells every ten seconds, for a while."""
    devices, every, seconds = (50, 0.2, 1.0) if plan.quick else (2 * plan.many, 10.0, 60.0)
    shape = {"after": [0.2 * every, 0.6 * every]}
    rows = []
    for fast in (False, True) if has("uvloop") else (False,):
        for how in ("on", "frozen 50000 20 100"):
            results: dict[str, list[Job]] = {SDK: [], BARE: []}

            def do(
                worker: Worker, how: str = how, results: dict[str, list[Job]] = results
            ) -> float:
                options = {"every": every, "seconds": seconds, "collector": how}
                result = worker.do("pace", shape, devices=devices, **options)
                results[worker.name].append(result)
                taken: float = result["processor"]
                return taken

            values = alternate(gateway, [SDK, BARE], min(plan.rounds, 3), do, fast=fast)
            row = summary(values, devices=devices, loop="uvloop" if fast else "asyncio", how=how)
            for what in ("lags", "added"):
                row[what] = {name: percentiles(of, what) for name, of in results.items()}
                print("    ", what, row[what])
            rows.append(row)
    return rows


def percentiles(results: list[Job], what: str) -> dict[str, float]:
    """p50, p99, p99.9 and the most, each the median of the rounds' own."""
    rounds = [sorted(result[what]) for result in results]
    row: dict[str, float] = {}
    for percent in (50, 99, 99.9, 100):
        found = [
            values[min(int(len(values) * percent / 100), len(values) - 1)] for values in rounds
        ]
        row[f"p{percent:g}"] = round(statistics.median(found), 2)
    return row


def instructions(gateway: Gateway, plan: Plan) -> list[Job]:
    """Millions of instructions of a sale, by valgrind: they repeat to a percent, time does not."""
    if not shutil.which("valgrind"):
        print("   valgrind is not installed: left out")
        return []
    devices, few, many = (10, 1, 11) if plan.quick else (100, 2, 22)
    row: Job = {"devices": devices}
    for name in (SDK, BARE, "floor"):
        less, more = (executed(name, gateway, devices, sales) for sales in (few, many))
        row[name] = (more - less) / devices / (many - few) / 1e6
    row["ratio"] = row[SDK] / row[BARE]
    print("  ", row)
    return [row]


def executed(name: str, gateway: Gateway, devices: int, sales: int) -> int:
    """The instructions of a whole process that makes so many sales on each device."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        tool = ("--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
        with Worker(name, gateway, under=("valgrind", *tool, f"--log-file={log}")) as worker:
            options = {"devices": devices, "sales": sales, "warm_up": 10 * devices}
            worker.do("cost", {"together": devices}, **options)
        found = INSTRUCTIONS.search(log.read_text())
    assert found is not None
    return int(found[1].replace(",", ""))


PARTS: tuple[Callable[[Gateway, Plan], list[Job]], ...] = (objects, collector, pace, instructions)
