"""What the demo looks like while it runs: a live table on a terminal, else plain lines."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from payroc_async.models.amount import in_words

from .cardholders import Ending
from .records import Line, Sale

__all__ = ["STYLES", "Board", "LiveBoard", "PlainBoard"]

STYLES = {
    Ending.APPROVED: "green",
    Ending.PARTIAL: "bright_green",
    Ending.DECLINED: "red",
    Ending.FAILED: "magenta",
    Ending.REFUSED_BY_CARDHOLDER: "yellow",
    Ending.TIMED_OUT: "yellow",
    Ending.CANCELED_BY_TILL: "cyan",
    Ending.WRONG: "bold white on red",
}
REFRESH = 0.1
"""Seconds between two pictures; drawing takes time from the sales themselves."""
FRAME = 10
"""Lines of the picture that are not devices."""


class Board(Protocol):
    """What shows the demo as it goes on."""

    def showing(self, lines: Sequence[Line]) -> AbstractAsyncContextManager[None]:
        """Shows these lines within it."""
        ...

    def tell(self, line: Line, what: str, style: str) -> None:
        """Something happened on this line."""

    def ended(self, line: Line, sale: Sale) -> None:
        """A sale ended."""

    def say(self, what: str, style: str) -> None:
        """Something happened that is about all of them."""


def outcome_in_words(sale: Sale) -> str:
    """How a sale ended; with the sum, where that is not the whole amount."""
    assert sale.ending is not None
    if sale.ending is Ending.PARTIAL and sale.payment is not None:
        paid = in_words(sale.payment.transaction_result.authorized_amount, "USD")
        return f"part paid: {paid}"
    if sale.ending is Ending.APPROVED and sale.visit.manner.patience is not None:
        return f"{sale.ending.value} just in time"
    if sale.ending is Ending.WRONG:
        return f"WRONG: {type(sale.error or sale.payment).__name__}"
    return str(sale.ending.value)


class PlainBoard:
    """A line for each event worth telling, for logs and pipes."""

    def __init__(self, console: Console, devices: int, url: str) -> None:
        self._console = console
        self._began = time.monotonic()
        self._print("", f"{devices} devices, one session, a simulated gateway at {url}")

    @asynccontextmanager
    async def showing(self, lines: Sequence[Line]) -> AsyncIterator[None]:
        """Nothing to be kept up."""
        yield

    def tell(self, line: Line, what: str, style: str) -> None:
        """Print it with the device and the amount."""
        assert line.sale is not None
        amount = in_words(line.sale.visit.amount, "USD")
        self._print(f"{line.serial_number}  {amount:>10}", what)

    def ended(self, line: Line, sale: Sale) -> None:
        """Print the outcome."""
        if sale.ending is not None:
            self.tell(line, f"{outcome_in_words(sale)} after {sale.elapsed:.1f} s", "")

    def say(self, what: str, style: str) -> None:
        """Print it."""
        self._print("*" * 22, what)

    def _print(self, who: str, what: str) -> None:
        seconds = time.monotonic() - self._began
        self._console.print(
            f"{seconds:6.2f} s  {who + '  ' if who else ''}{what}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class LiveBoard:
    """A table with a row for each device, as many as fit."""

    def __init__(self, console: Console, devices: int, url: str) -> None:
        self._console = console
        self._title = f"{devices} devices, one session, a simulated gateway at {url}"
        self._began = time.monotonic()
        self._notice = Text("all quiet", style="dim")
        self._lines: Sequence[Line] = ()
        self._spinner = Spinner("dots", style="cyan")

    @asynccontextmanager
    async def showing(self, lines: Sequence[Line]) -> AsyncIterator[None]:
        """Draws in a task of this loop: no thread beside it, so nothing changes while it draws."""
        self._lines = lines
        with Live(
            self.picture(), console=self._console, auto_refresh=False, vertical_overflow="crop"
        ) as live:
            drawing = asyncio.create_task(self._draw(live), name="demo board")
            try:
                yield
            finally:
                drawing.cancel()
                await asyncio.wait((drawing,))
                live.update(self.picture(), refresh=True)

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self.picture(), refresh=True)
            await asyncio.sleep(REFRESH)

    def tell(self, line: Line, what: str, style: str) -> None:
        """The row shows it by itself."""

    def ended(self, line: Line, sale: Sale) -> None:
        """The row shows it by itself."""

    def say(self, what: str, style: str) -> None:
        """Show it above the table until something else is said."""
        self._notice = Text(what, style=style)

    def picture(self) -> RenderableType:
        """The whole screen as it is now."""
        # Each row is one Text, laid out by hand: a rich Table takes ten times as long to draw, and
        # in that time no sale goes on.
        lines = sorted(self._lines, key=lambda line: not line.active)  # stable: no dancing rows
        fit = max(1, self._console.size.height - FRAME)
        shown, hidden = (lines, []) if len(lines) <= fit else (lines[:fit], lines[fit:])
        columns = Columns(self._console.width)
        now = self._spinner.render(time.monotonic())
        spinner = now.plain if isinstance(now, Text) else ""
        body = [columns.row(HEADER, "bold"), Text("\u2500" * columns.width, style="dim")]
        for line in shown:
            body.append(columns.row(*_cells(line, spinner)))
        return Group(*self._head(), *body, *self._foot(hidden))

    def _head(self) -> list[RenderableType]:
        planned = sum(line.planned for line in self._lines)
        done = sum(sale.ended is not None for line in self._lines for sale in line.sales)
        seconds = time.monotonic() - self._began
        told = f"  {done} of {planned} sales {seconds:5.1f} s"
        width = max(10, self._console.width - len(told))
        full = width * done // max(1, planned)
        bar = Text.assemble(("\u2501" * full, "green"), ("\u2501" * (width - full), "dim"), told)
        title = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        return [title, bar, self._notice, Text()]

    def _foot(self, hidden: Sequence[Line]) -> list[RenderableType]:
        foot: list[RenderableType] = [Text()]
        if hidden:
            busy = sum(line.active for line in hidden)
            foot = [Text(f"and {len(hidden)} more devices, {busy} of them busy", style="dim")]
        counted = Counter(
            sale.ending for line in self._lines for sale in line.sales if sale.ending is not None
        )
        parts = [Text(f"{n} {one.value}", style=STYLES[one]) for one, n in counted.most_common()]
        return [*foot, Text(", ", no_wrap=True, overflow="ellipsis").join(parts)]


HEADER = ("Device", "Sale", "Amount", "State", "Time", "Outcome")


class Columns:
    """The widths of the table's columns, for a terminal of this width."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._sale = 6 if width >= 90 else 0
        rest = max(16, width - 12 - self._sale - 12 - 8 - 2)
        self._state = min(36, max(8, rest * 27 // 50))
        self._outcome = rest - self._state

    def row(self, cells: tuple[str, ...], state_style: str = "", style: str = "") -> Text:
        """One row; what does not fit is cut off."""
        device, sale, amount, state, seconds, outcome = cells
        head = f"{device:<12.10}" + (f"{sale:>4}  " if self._sale else "") + f"{amount:>10}  "
        return Text.assemble(
            (head, "bold" if device == HEADER[0] else ""),
            (_fit(state, self._state), state_style),
            (f"{seconds:>6}  ", "bold" if device == HEADER[0] else ""),
            (_fit(outcome, self._outcome), style or state_style),
            no_wrap=True,
            overflow="crop",
        )


def _fit(text: str, width: int) -> str:
    return text[: width - 1].ljust(width)


def _cells(line: Line, spinner: str) -> tuple[tuple[str, ...], str, str]:
    """The cells of a device's row, the style of its state and that of its outcome."""
    sale = line.sale
    if sale is None:
        return (line.serial_number, "", "", "no customer yet", "", ""), "dim", ""
    who = (
        line.serial_number,
        f"{len(line.sales)}/{line.planned}",
        in_words(sale.visit.amount, "USD"),
    )
    seconds = f"{sale.elapsed:.1f} s"
    if sale.ending is not None:
        state = "next, please" if len(line.sales) < line.planned else "done"
        return (*who, state, seconds, outcome_in_words(sale)), "dim", STYLES[sale.ending]
    style = "yellow" if sale.in_trouble else ""
    before = line.sales[-2].ending if len(line.sales) > 1 else None
    outcome = f"before: {before.value}" if before else ""
    return (*who, f"{spinner} {sale.state}", seconds, outcome), style, "dim"
