"""Programs as a user runs them, and those that stand in the documentation."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import payroc_async

__all__ = ["ROOT", "marked_blocks", "run_pytest_module", "run_python", "without_slow_steps"]

ROOT = Path(__file__).parents[2]
SOURCE = Path(payroc_async.__file__).parents[1]


def marked_blocks(text: str) -> dict[str, str]:
    """The code blocks of a page that stand under a comment with a name."""
    found = re.findall(r"^<!-- (\w+: \w+) -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return dict(found)


def without_slow_steps(problems: str) -> str:
    """What is left without asyncio's debug lines on slow steps: a busy machine causes them."""
    return re.sub(r"^Executing <.* took \d+\.\d+ seconds\n", "", problems, flags=re.MULTILINE)


async def run_python(
    *arguments: str, extra: dict[str, str] | None = None
) -> tuple[int | None, str, str]:
    """Exit code, output and errors of Python with all warnings as errors.

    Of the variables that name a gateway it has none but what is in ``extra``.
    """
    variables = {name: value for name, value in os.environ.items() if "PAYROC" not in name}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", *arguments),
        env={**variables, "PYTHONPATH": str(SOURCE), **(extra or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, problems = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(), without_slow_steps(problems.decode())


async def run_pytest_module(text: str, folder: Path, *, passed: int) -> None:
    """See a module of tests pass, in a project without settings for pytest-asyncio."""
    module = folder / "test_pos.py"
    module.write_text(text, encoding="utf-8")
    ini = folder / "pytest.ini"
    ini.write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    code, output, _ = await run_python(
        *("-m", "pytest", "-c", str(ini), "-p", "no:cacheprovider", str(module)),
        extra={"PYTEST_ADDOPTS": "", "PYTEST_XDIST_WORKER": ""},
    )
    assert code == 0, output
    assert f"{passed} passed" in output
