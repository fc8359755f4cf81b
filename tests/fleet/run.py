"""A run of the fleet, and what is held against the gateway's truth."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
from attrs import define, field, frozen

from payroc_async.journal import EntryState, PostgresJournal
from payroc_async.simulator import Observed, SimInstruction, Simulator
from tests.harness.postgres import PostgresServer

from .backend import NAME_HEADER
from .overlaps import Overlaps
from .processes import Chaos, Member, fleet
from .sales import Sale, Tills

__all__ = ["Plan", "Report", "run_fleet"]

UNDER_WAY = (EntryState.INTENT, EntryState.SUBMITTED, EntryState.CANCELING)
OVERLAP = "was sent while another status request for that instruction was open."
SETTLE = 60.0
"""Seconds for what is under way when the chaos ends."""


@frozen(kw_only=True)
class Plan:
    """What a run is to be.

    Args:
        seconds: How long the chaos goes on.
        seed: Decides all that is left to chance.
        devices: How many devices sell.
        processes: How many processes drive them.
        pace: Seconds that a cardholder takes, on average.
        pause: The longest time between two strokes, in seconds.
        rivals: The share of the sales that a second one on the same device competes with.
        interval: Seconds between two looks for what dead processes have left.
    """

    seconds: float
    seed: int = 1
    devices: int = 300
    processes: int = 3
    pace: float = 4.0
    pause: float = 6.0
    rivals: float = 0.1
    interval: float = 1.0


@define
class Report:
    """What came of a run. The lists are to be empty."""

    sales: int = 0
    ends: Counter[str] = field(factory=Counter)
    strokes: Counter[str] = field(factory=Counter)
    doubled: list[str] = field(factory=list)
    lost: list[str] = field(factory=list)
    left_running: list[str] = field(factory=list)
    two_on_a_device: list[str] = field(factory=list)
    violations: list[str] = field(factory=list)
    crashes: list[str] = field(factory=list)
    """What processes said that ended by themselves."""
    overlapping: list[str] = field(factory=list)
    """Instructions of which two processes asked for the status at once."""
    excused: int = 0
    """The same, where one of them was stopped, or had gone on just now."""
    read_late: list[float] = field(factory=list)
    """Seconds by which the gateway read late that the first request's connection was closed."""
    driven_again: list[float] = field(factory=list)
    """Seconds from the kill of a process to the first request about a sale of it by another."""

    def good(self) -> bool:
        """Whether nothing went wrong."""
        return not any(self._wrong().values())

    def _wrong(self) -> dict[str, list[str]]:
        return {
            "doubled": self.doubled,
            "lost": self.lost,
            "left running": self.left_running,
            "two sales on one device": self.two_on_a_device,
            "overlapping": self.overlapping,
            "violations of the contract": self.violations,
            "crashed processes": self.crashes,
        }

    def share(self, of: float) -> float:
        """A percentile of the times until a sale is driven again, in seconds."""
        times = sorted(self.driven_again)
        return times[min(int(of * len(times)), len(times) - 1)] if times else float("nan")

    def __str__(self) -> str:
        wrong = self._wrong()
        counted = (Counter(dict(sorted(counts.items()))) for counts in (self.ends, self.strokes))
        ends, strokes = (", ".join(f"{n} {what}" for what, n in one.items()) for one in counted)
        return "\n".join(
            [
                f"{self.sales} sales: {ends}",
                f"strokes: {strokes}",
                ", ".join(f"{len(found)} {name}" for name, found in wrong.items()),
                f"driven again after a kill: {len(self.driven_again)} sales, "
                f"p50 {self.share(0.5):.2f} s, p99 {self.share(0.99):.2f} s, "
                f"longest {max(self.driven_again, default=float('nan')):.2f} s",
                f"overlapping with a process that was stopped: {self.excused}; seemingly, for the "
                f"gateway read late that the connection was closed: {len(self.read_late)}, by "
                f"{max(self.read_late, default=0.0):.3f} s at most",
                *(f"{name}: {one}" for name, found in wrong.items() for one in found[:20]),
            ]
        )


@define
class Watch:
    """Reads what the gateway has seen, and forgets it: ten minutes are a million requests."""

    gateway: Simulator
    members: list[Member]
    report: Report
    overlaps: Overlaps
    _polled: dict[tuple[str, str], float] = field(factory=dict)
    """By process and instruction: when its last status request ended."""
    _driver: dict[str, tuple[str, float]] = field(factory=dict)
    """By key: the process that sent the last request about it, and when."""

    def look(self) -> None:
        """Take in what has been seen since the last look."""
        killed = {name: at for member in self.members for name, at in member.killed.items()}
        for seen in self._taken():
            key = self._key(seen)
            name = seen.headers.get(NAME_HEADER, "")
            if key is None:
                continue
            if seen.kind == "submit" and seen.status == 409:
                self.report.two_on_a_device.append(f"{key} by {name}: {seen.answer!r}")
            if seen.kind == "status":
                self._check_poll(name, seen)
                self.overlaps.note(name, seen)
            last, _ = self._driver.get(key, (name, 0.0))
            if last != name and last in killed and seen.started > killed[last]:
                self.report.driven_again.append(seen.started - killed[last])
            self._driver[key] = (name, seen.started)

    def _check_poll(self, name: str, seen: Observed) -> None:
        """P2, within each process: which one sends a request, the gateway does not know."""
        place = name, seen.instruction_id or ""
        if seen.started < self._polled.get(place, 0.0):
            self.report.violations.append(f"{name}: two status requests at once for {place[1]}")
        self._polled[place] = max(seen.ended or 0.0, self._polled.get(place, 0.0))

    def _taken(self) -> list[Observed]:
        records = self.gateway._records
        done = [one for one in records.requests if one.ended is not None]
        done.sort(key=lambda one: one.started)
        records.requests[:] = [one for one in records.requests if one.ended is None]
        return done

    def _key(self, seen: Observed) -> str | None:
        made = self.gateway.instructions.get(seen.instruction_id or "")
        return made.idempotency_key if made else seen.headers.get("idempotency-key")


async def run_fleet(plan: Plan, server: PostgresServer, schema: str) -> Report:
    """Run it, and hold every caller's word and every entry against what the gateway knows."""
    report, rng = Report(), random.Random(plan.seed)
    dsn = f"{server.dsn()}?options=-csearch_path%3D{schema}"
    with tempfile.TemporaryDirectory(prefix="payroc-fleet-") as folder:
        async with (
            Simulator(hold=3.0) as gateway,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
            fleet(gateway, dsn, plan.processes, plan.interval, Path(folder)) as members,
        ):
            tills = Tills(
                gateway, members, http, random.Random(rng.random()), plan.pace, plan.rivals
            )
            chaos = Chaos(members, server, random.Random(rng.random()), plan.pause)
            watch = Watch(gateway, members, report, Overlaps(members))
            watching = asyncio.create_task(_watch(watch))
            selling = asyncio.create_task(tills.run(plan.devices))
            await chaos.run(plan.seconds)
            tills.closing = True
            await asyncio.wait([selling], timeout=SETTLE)
            journal = PostgresJournal(server.dsn(), schema=schema)
            await journal.open()
            await _settled(gateway, journal)
            watching.cancel()
            watch.look()
            report.overlapping, report.excused = watch.overlaps.wrong, watch.overlaps.excused
            report.read_late = watch.overlaps.read_late
            report.strokes = chaos.counts
            report.crashes = [crash for member in members for crash in member.crashes]
            report.strokes["failed start"] = sum(member.failed_starts for member in members)
            await _check(report, tills.sales, gateway, journal)
            await journal.aclose()
            selling.cancel()
            await asyncio.wait([selling])
    return report


async def _watch(watch: Watch) -> None:
    while True:
        await asyncio.sleep(1)
        watch.look()


async def _settled(gateway: Simulator, journal: PostgresJournal) -> None:
    """Wait until nothing is under way, or for as long as that may take."""
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        if not gateway.in_progress and not await journal.entries(states=UNDER_WAY):
            return
        await asyncio.sleep(0.5)


async def _check(
    report: Report, sales: list[Sale], gateway: Simulator, journal: PostgresJournal
) -> None:
    made: dict[str, list[SimInstruction]] = {}
    for instruction in gateway.instructions.values():
        made.setdefault(instruction.idempotency_key, []).append(instruction)
    entries = {entry.idempotency_key: entry for entry in await journal.entries()}
    report.sales = len(sales)
    report.left_running = [f"{one.serial_number}: {one.id}" for one in gateway.in_progress]
    # Which process sends a request the simulator does not know: ``Overlaps`` and ``Watch`` do.
    report.violations += [one for one in gateway.violations if not one.endswith(OVERLAP)]
    for sale in sales:
        report.ends[sale.said or "never known"] += 1
        instructions = made.pop(sale.key, [])
        if len(instructions) > 1:
            report.doubled.append(f"{sale.key}: {len(instructions)} instructions")
        truth = instructions[0].payment_id if instructions else None
        entry = entries.get(sale.key)
        said = {"paid": sale.payment, "none": None, "busy": None}.get(sale.said, "")
        if said != truth:
            report.lost.append(f"{sale}: truly {truth}, {instructions}")
        elif instructions and (entry is None or entry.unfinished or entry.resource_id != truth):
            report.lost.append(f"{sale}: in the journal {entry}, truly {truth}")
    report.doubled += [f"{key}: of no sale" for key in made]
    for one, other in _overlaps(gateway):
        report.two_on_a_device.append(f"{one.serial_number}: {one.id} and {other.id}")


def _overlaps(gateway: Simulator) -> list[tuple[SimInstruction, SimInstruction]]:
    by_device: dict[str, list[SimInstruction]] = {}
    for instruction in gateway.instructions.values():
        by_device.setdefault(instruction.serial_number, []).append(instruction)
    return [
        (one, other)
        for several in by_device.values()
        for one, other in itertools.pairwise(sorted(several, key=lambda each: each.created_at))
        if other.created_at < one.changed_at
    ]
