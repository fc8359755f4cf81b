"""How contenders take turns, how much is measured, and what is kept of it."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable

import attrs

from .contenders import CONTENDERS, available
from .worker import Gateway, Job, Worker

__all__ = [
    "BARE",
    "SDK",
    "SLOW",
    "Plan",
    "alternate",
    "contenders",
    "plan",
    "ratio",
    "spread",
    "summary",
]

SDK, BARE = "payroc_async", "aiohttp"
SLOW = ("httpx", "payroc")
"""Their pool looks at every connection for every request: beyond this they take minutes."""
SLOW_AT_MOST = 1000


@attrs.frozen
class Plan:
    """How much is measured."""

    quick: bool
    devices: list[int]
    rounds: int
    many: int
    """Devices at once where one number has to do."""
    soak: int
    sales: int
    """For the cost of one, on all devices together; as many before, to warm up."""


def plan(quick: bool, rounds: int = 0) -> Plan:
    """The plan, scaled down where the process may not open so many connections."""
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        most = hard
    wanted = [10, 100] if quick else [10, 100, 1000, 5000, 10_000, 15_000]
    devices = [n for n in wanted if n + 200 < most]
    if devices != wanted:
        print(f"ulimit -n is {most}: no more than {devices[-1]} devices at once")
    many = min(devices[-1], 1000)
    return Plan(
        quick,
        devices,
        rounds or (3 if quick else 5),
        many,
        2000 if quick else 50_000,
        1000 if quick else 3000,
    )


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def ratio(values: dict[str, list[float]], a: str = SDK, b: str = BARE) -> float:
    """The median of each round's ratio."""
    return statistics.median(x / y for x, y in zip(values[a], values[b], strict=False))


def summary(values: dict[str, list[float]], **more: object) -> Job:
    """What is kept of the rounds of all contenders, as one row."""
    row: Job = {**more, **{name: spread(rounds) for name, rounds in values.items()}}
    if values.get(SDK) and values.get(BARE):
        row["ratio"] = ratio(values)
    shown = ", ".join(f"{name} {statistics.median(rounds):.3f}" for name, rounds in values.items())
    print("  ", *(f"{key} {value}" for key, value in more.items()), shown, end="")
    print(f": ratio {row['ratio']:.2f}" if "ratio" in row else "")
    return row


def contenders(devices: int) -> list[str]:
    """Who takes part with so many devices at once."""
    names = [name for name in CONTENDERS if available(name)]
    return [name for name in names if devices <= SLOW_AT_MOST or name not in SLOW]


def alternate(
    gateway: Gateway,
    names: list[str],
    rounds: int,
    do: Callable[[Worker], float | list[float]],
    *,
    fast: bool = False,
    fresh: bool = True,
) -> dict[str, list[float]]:
    """What ``do`` gives of each contender, in alternating rounds; a ``fresh`` process for each.

    Fresh: no one meets connections that grew old while the others had their turn.
    """
    values: dict[str, list[float]] = {name: [] for name in names}
    workers: dict[str, Worker] = {}
    for number in range(rounds):
        for name in names:
            if name in SLOW and number > 0:
                continue  # one round of theirs takes as long as all of the others'
            if name not in workers:
                workers[name] = Worker(name, gateway, fast=fast)
            result = do(workers[name])
            values[name] += result if isinstance(result, list) else [result]
            if fresh or name in SLOW:
                workers.pop(name).end()
    for worker in workers.values():
        worker.end()
    return values
