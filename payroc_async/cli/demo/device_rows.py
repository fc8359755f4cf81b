"""A device's row in the demo's live table: one line, or on a narrow terminal a few."""

from __future__ import annotations

from typing import Protocol

from attrs import frozen
from rich.text import Text

__all__ = ["NARROW", "Cells", "Layout", "layout_for"]

NARROW = 70
"""Below this width, rows are stacked: a table would cut off values."""
LONGEST = 60
"""The width at which the longest state and the longest outcome fit side by side."""
WITH_SALE = 90
"""The width from which the sale's number fits."""


@frozen(kw_only=True)
class Cells:
    """A row's values, and the rich styles of its state and outcome."""

    device: str
    sale: str = ""
    amount: str = ""
    state: str = ""
    time: str = ""
    outcome: str = ""
    state_style: str = ""
    outcome_style: str = ""


HEADER = Cells(
    device="Device",
    sale="Sale",
    amount="Amount",
    state="State",
    time="Time",
    outcome="Outcome",
    state_style="bold",
    outcome_style="bold",
)


class Layout(Protocol):
    """The layout of rows for a terminal's width."""

    height: int
    """Lines of a row."""

    def head(self) -> list[Text]:
        """Return the lines above the rows."""
        ...

    def rows(self, cells: Cells) -> list[Text]:
        """Return the lines of one row."""
        ...


def layout_for(width: int) -> Layout:
    """Return the layout for a terminal of this width."""
    return Stacked(width) if width < NARROW else Columns(width)


class Columns:
    """One line per device. Text that does not fit ends with an ellipsis."""

    height = 1

    def __init__(self, width: int) -> None:
        self._width = width
        self._sale = 6 if width >= WITH_SALE else 0
        rest = max(16, width - 12 - self._sale - 12 - 8)
        self._state = min(36, max(8, rest * 27 // 50))
        self._outcome = rest - self._state

    def head(self) -> list[Text]:
        """Return the headings, and a line below them."""
        return [*self.rows(HEADER), Text("\u2500" * self._width, style="dim")]

    def rows(self, cells: Cells) -> list[Text]:
        """Return the row's only line."""
        bold = "bold" if cells is HEADER else ""
        sale = f"{cells.sale:>4}  " if self._sale else ""
        row = Text.assemble(
            (f"{cells.device:<12.10}{sale}{cells.amount:>10}  ", bold),
            (_fit(cells.state, self._state), cells.state_style),
            (f"{cells.time:>6}  ", bold),
            (_fit(cells.outcome, self._outcome), cells.outcome_style or cells.state_style),
            no_wrap=True,
            overflow="crop",
        )
        return [row]


class Stacked:
    """Two lines per device, or three on a very narrow terminal, so that no value is cut off."""

    def __init__(self, width: int) -> None:
        self._beside = width >= LONGEST
        self.height = 2 if self._beside else 3

    def head(self) -> list[Text]:
        """Return no lines: the values need no headings."""
        return []

    def rows(self, cells: Cells) -> list[Text]:
        """Return the device, the amount and the time; below them the state and the outcome."""
        first = f"{cells.device:<12.10}{cells.amount:>10}  {cells.time:>6}"
        if cells.sale:
            first += f"  {cells.sale:>4}"
        state = Text("  ").append(cells.state, cells.state_style)
        outcome = Text("  ").append(cells.outcome, cells.outcome_style or cells.state_style)
        lines = [Text(first), *([state + outcome] if self._beside else [state, outcome])]
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines


def _fit(text: str, width: int) -> str:
    """Fit the text into a column of this width, followed by a space."""
    if len(text) >= width:
        text = text[: width - 2] + "\u2026"
    return text.ljust(width)
