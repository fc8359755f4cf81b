"""Many sales by one seed, and the shortest schedule of one that fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from attrs import define, evolve, field

from .clock import VirtualLoop
from .sale import Plan, run_sale

__all__ = ["Report", "simulate", "simulate_one"]

AT_ONCE = 100


@define
class Report:
    """What a simulation has seen."""

    ends: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    """Of each sale that went wrong: its seed, what was wrong, and its shortest schedule."""


def simulate(seed: str, first: int, count: int) -> Report:
    """So many sales, a hundred at a time in one loop."""
    report = Report()
    failed: list[Plan] = []

    async def lane(numbers: list[int]) -> None:
        for number in numbers:
            plan = Plan.of(f"{seed}/{number}")
            wrong, how = await run_sale(plan)
            report.ends[how if not wrong else "WRONG"] += 1
            if wrong:
                failed.append(plan)

    async def all_lanes() -> None:
        numbers = range(first, first + count)
        await asyncio.gather(*(lane(list(numbers[start::AT_ONCE])) for start in range(AT_ONCE)))

    _run(all_lanes)
    report.wrong = [_describe(plan) for plan in failed[:5]]
    return report


def simulate_one(plan: Plan) -> tuple[list[str], str]:
    """One sale, alone."""
    result: list[tuple[list[str], str]] = []

    async def one() -> None:
        result.append(await run_sale(plan))

    _run(one)
    return result[0]


def _run(main: object) -> None:
    loop = VirtualLoop()
    loop.set_debug(False)  # which makes each step many times as slow, and time is virtual here
    try:
        loop.run_until_complete(main())  # type: ignore[operator]
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    finally:
        loop.close()


def _describe(plan: Plan) -> str:
    """The shortest plan that still fails: part after part is left out."""
    changes: tuple[dict[str, Any], ...] = (
        {"joins": None},
        {"closes": None},
        {"killed": None},
        {"timeout": None},
        {"cancels": []},
        {"cancels": plan.cancels[:1]},
        {"on_cancel": "cancel"},
        {"journaled": False, "killed": None},
        {"rate": plan.rate / 2},
    )
    for change in changes:
        shorter = evolve(plan, **change)
        if shorter != plan and simulate_one(shorter)[0]:
            plan = shorter
    wrong, how = simulate_one(plan)
    return f"{plan}: {wrong} ({how})"
