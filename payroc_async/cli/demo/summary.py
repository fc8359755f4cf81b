"""The demo's summary: the numbers, and whether all is well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from payroc_async.cli.palette import style_of
from payroc_async.cli.phrases import counted

from .audit import Report
from .device_rows import NARROW
from .live_table import STYLES

__all__ = ["print_summary", "report_members"]

RED = style_of("red")
MOST_OF_A_KIND = 6
"""How many problems of one kind are listed."""


def print_summary(
    console: Console, report: Report, *, devices: int, took: float, seed: int
) -> None:
    """Print the numbers, then the verdict: in green if all is well, else the problems in red."""
    total = report.endings.total()
    sales = f"{counted(total, 'sale')} on {counted(devices, 'device')} in {took:.1f} s"
    rows = list(_rows(report))
    if console.is_terminal:
        console.print()
        title = f"[bold]{sales}"
        body = _stacked(rows) if console.width < NARROW else _grid(rows)
        console.print(Panel(body, title=title, title_align="left", padding=(1, 2)))
    else:
        console.print(f"\n{sales}", soft_wrap=True)
        for name, value in rows:
            console.print(f"  {name}: {value.plain}", soft_wrap=True, markup=False)
    _verdict(console, report, devices, seed)


def _grid(rows: list[tuple[str, Text]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _stacked(rows: list[tuple[str, Text]]) -> Group:
    """Print each value below its name, for narrow terminals."""
    return Group(
        *(one for name, value in rows for one in (Text(name, "bold"), Padding(value, (0, 0, 0, 2))))
    )


def report_members(report: Report) -> dict[str, Any]:
    """Return the summary for JSON: the counts, and each problem in words."""
    return {
        "outcomes": {ending.value: times for ending, times in report.endings.most_common()},
        "retries_survived": dict(report.failures.most_common()),
        "submitted": report.submitted,
        "submissions_sent": report.submissions,
        "instructions_made": report.made,
        "doubled": report.doubled,
        "lost": report.lost,
        "wrong": report.wrong,
        "left_running": report.left_running,
        "contract_violations": report.violations,
        "added_seconds_p50": report.added_at(0.5),
        "added_seconds_p99": report.added_at(0.99),
    }


def _verdict(console: Console, report: Report, devices: int, seed: int) -> None:
    again = f"payroc-async demo --devices {devices} --seed {seed}"
    problems = report.problems
    if not problems:
        wraps = not console.is_terminal
        well = f"[{style_of('green', bold=True)}]All well:[/]"
        said = "every sale ended as scripted."
        console.print(f"{well} {said}", soft_wrap=wraps, highlight=False)
        # The timing differs, and with it the number of retries.
        note = f"Reproduce with: {again} (the same cardholders, amounts and faults; not the timing)"
        console.print(Text(note, style="dim"), soft_wrap=wraps)
        return
    for kind in report.kinds_of_problems:
        for problem in kind[:MOST_OF_A_KIND]:
            console.print(f"[{RED}]{escape(problem)}[/]", soft_wrap=True, highlight=False)
        if len(kind) > MOST_OF_A_KIND:
            console.print(f"[{RED}]and {len(kind) - MOST_OF_A_KIND} more like these[/]")
    what = "1 thing is" if len(problems) == 1 else f"{len(problems)} things are"
    style = style_of("red", bold=True)
    console.print(f"[{style}]FAILED: {what} not as it should be. Reproduce with: {again}")


def _rows(report: Report) -> Iterator[tuple[str, Text]]:
    yield "Outcomes", _counted(report)
    told = ", ".join(f"{times} x {name}" for name, times in report.failures.most_common())
    yield "Faults recovered", Text(f"{report.failures.total()} ({told or 'none needed'})")
    sent = counted(report.submissions, "submission")
    yield (
        "Instructions submitted",
        Text(f"{report.submitted}, made: {report.made} ({sent} sent)"),
    )
    yield "Double charges", _zero(report.doubled)
    yield "Outcomes lost", _zero(report.lost)
    yield "Outcomes wrong", _zero(report.wrong)
    yield "Instructions left running", _zero(report.left_running)
    yield "Contract violations seen by the gateway", _zero(report.violations)
    yield "Time added by the SDK", _added(report)


def _counted(report: Report) -> Text:
    parts = [
        Text(f"{times} {ending.value}", style=STYLES[ending])
        for ending, times in report.endings.most_common()
    ]
    return Text(", ").join(parts)


def _zero(problems: list[str]) -> Text:
    return Text(str(len(problems)), style=style_of("red" if problems else "green", bold=True))


def _added(report: Report) -> Text:
    p50, p99 = report.added_at(0.5), report.added_at(0.99)
    if p50 is None or p99 is None:
        return Text("not measured: no sale was undisturbed")
    return Text.assemble(
        (f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms", "bold"),
        f", from the gateway's change of status to the awaited result"
        f" ({counted(len(report.added), 'sale')}; not counted: those hit by a fault or the outage,"
        " and those canceled from here)",
    )
