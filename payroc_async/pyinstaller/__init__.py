"""What PyInstaller has to know of this package: it finds the hooks by the wheel's entry point.

A frozen program so has the table of currencies, the models and the simulator's pages, without an
option of its own.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["hook_folders"]


def hook_folders() -> list[str]:
    """The folders with hooks, for the entry point ``pyinstaller40``: one file for each package."""
    return [str(Path(__file__).parent)]
