"""Everything that is measured, side by side: ``python -m benchmarks [--quick] [PART ...]``.

Results go to ``build/benchmarks``: ``results.json``, and a plot for each part as SVG. Every figure
is the median of rounds in which the contenders take turns, with the least and the most beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from . import plots, scale
from .contenders import CONTENDERS, LAYER_NAMES, available
from .loops import has
from .rounds import BARE, SDK, SLOW, Plan, alternate, contenders, plan, ratio, summary
from .worker import Gateway, Job, Worker

STRUCTURE = """
import sys, timeit, orjson
from payroc_async.wire.converter import decode, structure
from payroc_async.models import Payment
body = open("tests/samples/payment.json", "rb").read()
run = {"payroc_async": lambda: structure(decode(body), Payment), "orjson": lambda: decode(body)}
run = run[sys.argv[1]]
run()
print(timeit.timeit(run, number=2000) / 2000 * 1e6)
"""
IMPORT = """
import sys, time
began = time.perf_counter()
for name in sys.argv[1].split("+"):
    __import__(name)
print((time.perf_counter() - began) * 1000)
"""
UNDER_IT = "aiohttp+orjson+attrs+cattrs"


# The parts ----------


def cost(gateway: Gateway, plan: Plan) -> list[Job]:
    """Processor time of a sale, ms, by devices at once; all cardholders are done together."""
    rows = []
    for fast in (False, True):
        if fast and not has("uvloop"):
            print("   uvloop is not installed: left out")
            break
        for devices in plan.devices:
            sales = max(1, plan.sales // devices)

            def do(worker: Worker, devices: int = devices, sales: int = sales) -> float:
                slow = worker.name in SLOW
                options = {"sales": 1 if slow else sales, "warm": not slow}
                result = worker.do("cost", {"together": devices}, devices=devices, **options)
                taken: float = result["processor"]
                return taken

            names = [n for n in contenders(devices) if not (fast and n in SLOW)]
            values = alternate(gateway, names, plan.rounds, do, fast=fast)
            rows.append(summary(values, loop="uvloop" if fast else "asyncio", devices=devices))
    return rows


def steady(gateway: Gateway, plan: Plan) -> list[Job]:
    """Processor time of a sale, ms, where each cardholder takes a while of their own."""
    options = {"devices": plan.many, "sales": 2}

    def do(worker: Worker) -> float:
        taken: float = worker.do("cost", {"after": [1.0, 3.0]}, **options)["processor"]
        return taken

    values = alternate(gateway, [SDK, BARE, "floor"], plan.rounds, do)
    return [summary(values, devices=plan.many)]


def memory(gateway: Gateway, plan: Plan) -> list[Job]:
    """KB of memory of a sale in flight, by devices at once."""
    rows = []
    for devices in plan.devices[1:]:
        names = [name for name in contenders(devices) if name not in SLOW]
        more: dict[str, dict[str, list[float]]] = {
            what: {name: [] for name in names} for what in ("peak",)
        }

        def do(
            worker: Worker,
            devices: int = devices,
            more: dict[str, dict[str, list[float]]] = more,
        ) -> float:
            result = worker.do("held", {"together": 0}, devices=devices)
            for what, values in more.items():
                values[worker.name].append(result[what])
            held: float = result["held"]
            return held

        values = alternate(gateway, names, min(plan.rounds, 5), do)
        rows.append(summary(values, what="held", devices=devices))
        rows += [summary(values, what=what, devices=devices) for what, values in more.items()]
    return rows


def latency(gateway: Gateway, plan: Plan) -> list[Job]:
    """Milliseconds from the gateway's change of status to the awaited payment."""
    options = {"devices": plan.many, "sales": 3 if plan.quick else 6, "spread": 4.0}

    def do(worker: Worker) -> list[float]:
        taken: list[float] = worker.do("latency", {"after": [2.0, 6.0]}, **options)["latencies"]
        return taken

    values = alternate(gateway, [SDK, BARE, "floor"], 1 if plan.quick else 3, do)
    rows = []
    for percent in (50, 99, 99.9):
        row: dict[str, float] = {}
        for name, all_of_it in values.items():
            row[name] = sorted(all_of_it)[
                min(int(len(all_of_it) * percent / 100), len(all_of_it) - 1)
            ]
        rows.append({"percentile": percent, **row, "ratio": row[SDK] / row[BARE]})
        print("  ", f"p{percent}", *(f"{name} {value:.2f}" for name, value in row.items()))
    return rows


def layers(gateway: Gateway, plan: Plan) -> list[Job]:
    """Processor time of a sale, ms, with one layer of the SDK after the other; by collector."""
    rows = []
    for devices in (100, plan.many):
        for collector in ("on", "frozen", "off"):

            def do(worker: Worker, devices: int = devices, collector: str = collector) -> float:
                options = {"sales": max(1, plan.sales // devices), "collector": collector}
                result = worker.do("cost", {"together": devices}, devices=devices, **options)
                taken: float = result["processor"]
                return taken

            values = alternate(gateway, [BARE, *LAYER_NAMES, SDK], 2 * plan.rounds, do)
            row = summary(values, devices=devices, collector=collector)
            row["ratios"] = {name: ratio(values, name) for name in (*LAYER_NAMES, SDK)}
            print("    ", *(f"{name} {value:.2f}" for name, value in row["ratios"].items()))
            rows.append(row)
    return rows


def growth(gateway: Gateway, plan: Plan) -> list[Job]:
    """Processor time of a sale, ms, by status requests without a change and by refusals."""
    rows = []
    devices = min(plan.many, 100)
    for what, counts in (("looks", (0, 1, 3, 7)), ("refusals", (0, 1, 2, 4))):
        for number in counts:
            shape = {"together": devices, what: number, "hold": 0.05}

            def do(worker: Worker, shape: Job = shape) -> float:
                taken: float = worker.do("cost", shape, devices=devices, sales=5)["processor"]
                return taken

            values = alternate(gateway, [SDK, BARE], plan.rounds, do)
            rows.append(summary(values, what=what, number=number))
    return rows


def soak(gateway: Gateway, plan: Plan) -> list[Job]:
    """MB of memory, and objects, along sales one after the other on a hundred devices."""
    with Worker(SDK, gateway) as worker:
        options = {"devices": 100, "sales": plan.soak, "every": plan.soak // 50}
        course = worker.do("soak", {"after": [0.0, 0.001]}, **options)["course"]
    rows = [{"sales": sales, "memory": size, "objects": objects} for sales, size, objects in course]
    for row in (rows[0], rows[-1]):
        print("  ", f"{row['sales']} sales: {row['memory']:.1f} MB, {row['objects']} objects")
    return rows


def once(program: str, argument: str) -> float:
    """What a program of its own prints."""
    command = [sys.executable, "-c", program, argument]
    # Or else each import would compile the source anew; the SDK's alone, if it is no wheel.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return float(ended.stdout)


def imports(gateway: Gateway, plan: Plan) -> list[Job]:
    """Milliseconds that an import takes in a new process."""
    values: dict[str, list[float]] = {SDK: [], UNDER_IT: []}
    for _ in range(5 * plan.rounds):
        for name, taken in values.items():
            taken.append(once(IMPORT, name))
    row = summary(values)
    row["ratio"] = ratio(values, SDK, UNDER_IT)
    print("   ratio", round(row["ratio"], 2))
    return [row]


def structuring(gateway: Gateway, plan: Plan) -> list[Job]:
    """Microseconds from a payment's bytes to a model, and to plain dicts."""
    values: dict[str, list[float]] = {SDK: [], "orjson": []}
    for _ in range(plan.rounds):
        for name, taken in values.items():
            taken.append(once(STRUCTURE, name))
    return [summary(values)]


def start(gateway: Gateway, plan: Plan) -> list[Job]:
    """Milliseconds from nothing to the end of a first sale, and of a second, in a new process."""
    rows = []
    for what in ("cold", "warm"):

        def do(worker: Worker, what: str = what) -> float:
            taken: float = worker.do("start", {"together": 1})[what]
            return taken

        values = alternate(gateway, [SDK, BARE, "floor"], 3 * plan.rounds, do)
        rows.append(summary(values, connection=what))
    return rows


PARTS: dict[str, Callable[[Gateway, Plan], list[Job]]] = {
    part.__name__: part
    for part in (
        cost,
        steady,
        layers,
        memory,
        latency,
        growth,
        soak,
        imports,
        structuring,
        start,
        *scale.PARTS,
    )
}


def machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.partition(": ")[2] for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    packages = ("aiohttp", "orjson", "attrs", "cattrs", "httpx", "uvloop", "payroc")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages if has(name)},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--quick", action="store_true", help="small numbers, in a minute or two")
    parser.add_argument("--rounds", type=int, default=0, help="how many, instead of the plan's")
    parser.add_argument("--output", type=Path, default=Path("build", "benchmarks"))
    options = parser.parse_args()
    for name, (_, package) in CONTENDERS.items():
        if not available(name):
            print(f"{package} is not installed: {name} takes no part")
    kept = options.output / "results.json"
    results: Job = orjson.loads(kept.read_bytes()) if kept.exists() else {}
    results["machine"] = machine()
    for name in options.parts or PARTS:
        print(f"{name}: {PARTS[name].__doc__}")
        with Gateway() as gateway:
            results[name] = PARTS[name](gateway, plan(options.quick, options.rounds))
        options.output.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    plots.draw(results, options.output)


if __name__ == "__main__":
    main()
