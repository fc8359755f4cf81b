"""Freeze a till with PyInstaller, without an option, and run it: ``python -m tests.tools.frozen``.

Needs PyInstaller and the wheel of the project, installed: a hook is found by the wheel's entry
point. The till is frozen as a folder and as one file, and runs where no Python finds the source.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TILL = Path(__file__).with_name("frozen_till.py")
BUILD_SECONDS = 300
RUN_SECONDS = 90


def freeze(folder: Path, form: str) -> Path:
    """The program, frozen in this form: ``--onedir`` or ``--onefile``."""
    command = [sys.executable, "-P", "-m", "PyInstaller", form, "--noconfirm"]
    source = folder / "till.py"
    source.write_text(TILL.read_text(encoding="utf-8"), encoding="utf-8")
    built = subprocess.run(
        [*command, "--log-level", "ERROR", source.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if built.returncode:
        sys.exit(f"PyInstaller {form} failed:\n{built.stdout}{built.stderr}")
    return folder / "dist" / ("till/till" if form == "--onedir" else "till")


def check(form: str) -> None:
    """Freeze it and run it; fail with what it says, if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        program = freeze(Path(folder), form)
        variables = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        ran = subprocess.run(
            [program],
            cwd=folder,
            env={**variables, "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
    lines = ran.stdout.splitlines()
    if ran.returncode or lines[-1:] != ["all of it"]:
        sys.exit(f"the till that was frozen with {form} failed:\n{ran.stdout}{ran.stderr}")
    print(f"{form}: the frozen till did all of it, {len(lines)} lines")


if __name__ == "__main__":
    for form in sys.argv[1:] or ("--onedir", "--onefile"):
        check(form)
