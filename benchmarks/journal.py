"""The cost of a journal: ``python -m benchmarks.journal [--quick] [--dsn DSN]``.

Side by side, in rounds that take turns: the SDK without a journal, with one in SQLite, and with one
in PostgreSQL: the server that ``--dsn`` names, or one of its own on this machine, with all that
makes a commit durable. Then how recovery grows with what was left open.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson

from .worker import Gateway, Job, Worker

OUTPUT = Path("build", "benchmarks", "journal.json")
AT_ONCE = {"after": [0.0, 0.0]}
"""The cardholder takes no time: only the SDK, the gateway and the journal are measured."""


@contextmanager
def stores(dsn: str | None) -> Iterator[dict[str, str]]:
    """The contenders, by name."""
    from tests.harness.postgres import MISSING, server_in

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        found = {"none": "payroc_async", "sqlite": f"payroc_async+{folder}/sales.db"}
        if dsn is None and MISSING:
            print(MISSING)
        elif dsn is None:
            dsn = stack.enter_context(server_in(Path(folder), durable=True)).dsn()
        if dsn is not None:
            found["postgres"] = f"payroc_async+{dsn}"
        yield found


def rounds_of(
    gateway: Gateway, names: dict[str, str], job: str, rounds: int, shape: Job, **options: object
) -> dict[str, list[Job]]:
    """Run the job for each contender, in alternating rounds."""
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(contender, gateway))
            for name, contender in names.items()
        }
        results: dict[str, list[Job]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, worker in workers.items():
                results[name].append(worker.do(job, shape, **options))
    return results


def costs(gateway: Gateway, names: dict[str, str], *, quick: bool) -> list[Job]:
    """Processor time of a sale, sales a second, and how long a sale takes, by sales at once."""
    rows = []
    for devices in (1, 100) if quick else (1, 100, 1000):
        sales = max(1, (200 if quick else 1000) // devices)
        options = {"devices": devices, "sales": sales}
        rounds = 3 if quick else 7
        cost = rounds_of(gateway, names, "cost", rounds, AT_ONCE, **options)
        taken = rounds_of(gateway, names, "duration", rounds, AT_ONCE, **options)
        for name in names:
            processor = [one["processor"] for one in cost[name]]
            none = [one["processor"] for one in cost["none"]]
            ratios = [a / b for a, b in zip(processor, none, strict=True)]
            durations = sorted(ms for one in taken[name] for ms in one["durations"])
            row = {
                "devices": devices,
                "journal": name,
                "processor_ms": statistics.median(processor),
                "processor_ratio": statistics.median(ratios),
                "sales_a_second": 1000 / statistics.median(one["wall"] for one in cost[name]),
                "duration_ms_median": statistics.median(durations),
                "duration_ms_p99": durations[int(len(durations) * 0.99)],
            }
            rows.append(row)
            print(
                f"{devices:5} at once, {name:8}: {row['processor_ms']:.3f} ms of processor time a "
                f"sale ({row['processor_ratio']:.2f} x), {row['sales_a_second']:.0f} sales/s, "
                f"{row['duration_ms_median']:.2f} ms a sale (p99 {row['duration_ms_p99']:.2f})"
            )
    return rows


def recoveries(gateway: Gateway, names: dict[str, str], *, quick: bool) -> list[Job]:
    """Measure the duration of a recovery, by the number of open sales."""
    rows = []
    with_journal = {name: contender for name, contender in names.items() if name != "none"}
    for sales in (10, 100) if quick else (10, 100, 300, 1000, 3000):
        results = rounds_of(gateway, with_journal, "recovery", 3, AT_ONCE, sales=sales)
        for name, rounds in results.items():
            wall = statistics.median(one["wall"] for one in rounds)
            processor = statistics.median(one["processor"] for one in rounds)
            rows.append(
                {"open": sales, "journal": name, "wall_ms": wall, "processor_ms": processor}
            )
            print(
                f"{sales:5} open, {name:8}: recovered in {wall:.0f} ms, "
                f"{processor / sales:.3f} ms of processor time each"
            )
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Fewer rounds, fewer sales.")
    parser.add_argument("--dsn", help="A PostgreSQL server to use.")
    options = parser.parse_args()
    with stores(options.dsn) as names, Gateway() as gateway:
        results = {
            "costs": costs(gateway, names, quick=options.quick),
            "recoveries": recoveries(gateway, names, quick=options.quick),
        }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    print(f"results: {OUTPUT}")


if __name__ == "__main__":
    main()
