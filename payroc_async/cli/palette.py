"""The colors of the command line: legible on a light and on a dark background.

Terminals define the eight ANSI colors themselves: yellow, cyan and bright green are often illegible
on white. These are fixed colors of the 256-color palette, of medium brightness: each has a contrast
of at least 3 with white and with black.
"""

from __future__ import annotations

__all__ = ["COLORS", "style_of"]

COLORS = {"green": 28, "olive": 64, "teal": 30, "yellow": 130, "red": 160, "purple": 133}
"""The number of each color; that of yellow is a dark orange."""


def style_of(color: str, *, bold: bool = False) -> str:
    """A color of `COLORS` as rich names it; `say` takes the name."""
    return f"{'bold ' if bold else ''}color({COLORS[color]})"
