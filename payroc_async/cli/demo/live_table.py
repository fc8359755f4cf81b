"""The demo's display: a live table on a terminal, otherwise plain lines."""

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

from payroc_async.cli.palette import style_of
from payroc_async.cli.phrases import counted, duration_in_words
from payroc_async.models.amount import in_words

from .cardholders import Ending
from .device_rows import Cells, layout_for
from .records import Line, Sale

__all__ = ["STYLES", "Board", "LiveBoard", "PlainBoard"]

STYLES = {
    Ending.APPROVED: style_of("green"),
    Ending.PARTIAL: style_of("olive"),
    Ending.DECLINED: style_of("red"),
    Ending.FAILED: style_of("purple"),
    Ending.REFUSED_BY_CARDHOLDER: style_of("yellow"),
    Ending.TIMED_OUT: style_of("yellow"),
    Ending.CANCELED_BY_TILL: style_of("teal"),
    Ending.WRONG: "bold white on red",
}
REFRESH = 0.1
"""Seconds between two frames; drawing takes time from the sales."""
SPARE = 2
"""Lines to leave free below the table: for the cursor, and for the shell's own line."""


class Board(Protocol):
    """The protocol of a display of the demo."""

    def showing(self, lines: Sequence[Line]) -> AbstractAsyncContextManager[None]:
        """Display these lines while the context is open."""
        ...

    def tell(self, line: Line, what: str, style: str) -> None:
        """Display an event on this line."""

    def ended(self, line: Line, sale: Sale) -> None:
        """Display the end of a sale."""

    def say(self, what: str, style: str) -> None:
        """Display an event that concerns all devices."""


def outcome_in_words(sale: Sale) -> str:
    """Return a sale's ending, with the amount of a partial approval."""
    assert sale.ending is not None
    if sale.ending is Ending.PARTIAL and sale.payment is not None:
        paid = in_words(sale.payment.transaction_result.authorized_amount, "USD")
        return f"part paid: {paid}"
    if sale.ending is Ending.APPROVED and sale.visit.manner.patience is not None:
        return f"{sale.ending.value} just in time"
    if sale.ending is Ending.WRONG:
        return f"WRONG: {type(sale.error or sale.payment).__name__}"
    return str(sale.ending.value)


def title_of(devices: int, url: str) -> str:
    """Return the title."""
    return f"{counted(devices, 'device')}, one session, a simulated gateway at {url}"


class PlainBoard:
    """A display with one line per event, for logs and pipes."""

    def __init__(self, console: Console, devices: int, url: str) -> None:
        self._console = console
        self._began = time.monotonic()
        self._print("", title_of(devices, url))

    @asynccontextmanager
    async def showing(self, lines: Sequence[Line]) -> AsyncIterator[None]:
        """Do nothing: lines are printed as they come."""
        yield

    def tell(self, line: Line, what: str, style: str) -> None:
        """Print the event with the device and the amount."""
        assert line.sale is not None
        amount = in_words(line.sale.visit.amount, "USD")
        self._print(f"{line.serial_number}  {amount:>10}", what)

    def ended(self, line: Line, sale: Sale) -> None:
        """Print the outcome."""
        if sale.ending is not None:
            self.tell(line, f"{outcome_in_words(sale)} after {duration_in_words(sale.elapsed)}", "")

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
    """A table with one row per device, as many as fit."""

    def __init__(self, console: Console, devices: int, url: str) -> None:
        self._console = console
        self._title = title_of(devices, url)
        self._began = time.monotonic()
        self._notice = Text("all quiet", style="dim")
        self._lines: Sequence[Line] = ()
        self._spinner = Spinner("dots", style="cyan")

    @asynccontextmanager
    async def showing(self, lines: Sequence[Line]) -> AsyncIterator[None]:
        """Draw in a task of this loop, not in a thread, so that nothing changes during a draw."""
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
        """Do nothing: the row shows the event."""

    def ended(self, line: Line, sale: Sale) -> None:
        """Do nothing: the row shows the event."""

    def say(self, what: str, style: str) -> None:
        """Show the text above the table until the next one."""
        self._notice = Text(what, style=style)

    def picture(self) -> RenderableType:
        """Return the current screen."""
        # Each row is one Text, laid out by hand: a rich Table takes ten times as long to draw, and
        # the sales wait meanwhile.
        width, height = self._console.size
        layout = layout_for(width)
        # a stable sort, so that rows keep their places
        lines = sorted(self._lines, key=lambda line: not line.active)
        head, table_head = self._head(), layout.head()
        # Measure with all devices hidden, when the line is longest.
        frame = self._height([*head, *table_head, *self._foot(lines)]) + SPARE
        fit = max(1, (height - frame) // layout.height)
        shown, hidden = (lines, []) if len(lines) <= fit else (lines[:fit], lines[fit:])
        now = self._spinner.render(time.monotonic())
        spinner = now.plain if isinstance(now, Text) else ""
        body = [row for line in shown for row in layout.rows(cells_of(line, spinner))]
        return Group(*head, *table_head, *body, *self._foot(hidden))

    def _height(self, texts: Sequence[Text]) -> int:
        width = self._console.width
        return sum(1 if one.no_wrap else len(one.wrap(self._console, width)) for one in texts)

    def _head(self) -> list[Text]:
        planned = sum(line.planned for line in self._lines)
        done = sum(sale.ended is not None for line in self._lines for sale in line.sales)
        seconds = time.monotonic() - self._began
        told = f"  {done} of {counted(planned, 'sale')} {seconds:5.1f} s"
        width = max(10, self._console.width - len(told))
        full = width * done // max(1, planned)
        bar = Text.assemble(
            ("\u2501" * full, style_of("green")), ("\u2501" * (width - full), "dim"), told
        )
        return [Text(self._title, style="bold"), bar, self._notice, Text()]

    def _foot(self, hidden: Sequence[Line]) -> list[Text]:
        foot = [Text()]
        if hidden:
            busy = sum(line.active for line in hidden)
            more = f"and {counted(len(hidden), 'more device')}, {busy} of them busy"
            foot = [Text(more, style="dim")]
        endings = Counter(
            sale.ending for line in self._lines for sale in line.sales if sale.ending is not None
        )
        parts = [Text(f"{n} {one.value}", style=STYLES[one]) for one, n in endings.most_common()]
        return [*foot, Text(", ").join(parts)]


def cells_of(line: Line, spinner: str) -> Cells:
    """Return a device's row."""
    sale = line.sale
    if sale is None:
        return Cells(device=line.serial_number, state="no customer yet", state_style="dim")
    common = {
        "device": line.serial_number,
        "sale": f"{len(line.sales)}/{line.planned}",
        "amount": in_words(sale.visit.amount, "USD"),
        "time": duration_in_words(sale.elapsed),
    }
    if sale.ending is not None:
        state = "next, please" if len(line.sales) < line.planned else "done"
        return Cells(
            **common,
            state=state,
            outcome=outcome_in_words(sale),
            state_style="dim",
            outcome_style=STYLES[sale.ending],
        )
    before = line.sales[-2].ending if len(line.sales) > 1 else None
    return Cells(
        **common,
        state=f"{spinner} {sale.state}",
        outcome=f"before: {before.value}" if before else "",
        state_style=style_of("yellow") if sale.in_trouble else "",
        outcome_style="dim",
    )
