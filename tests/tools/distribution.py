"""Build the sdist and the wheel, and check them: ``python -m tests.tools.distribution FOLDER``.

With ``--release`` the changelog has to be ready, too. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import payroc_async
from tests.harness.programs import ROOT

VERSION = payroc_async.__version__
NAME = f"payroc_async-{VERSION}"
FOLDERS = ["payroc_async", "tests", "examples", "benchmarks", "docs"]
FILES = {
    *(".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "PKG-INFO", "README.md"),
    *("SECURITY.md", "noxfile.py", "pyproject.toml", "pytest_payroc_async.py"),
}
MADE = {"docs/reference", "docs/project"}
KINDS = {
    ".conf",
    ".css",
    ".html",
    ".js",
    ".json",
    ".md",
    ".png",
    ".py",
    ".sql",
    ".svg",
    ".toml",
    ".typed",
    ".yml",
}


def belonging(folder: str) -> set[str]:
    """What a folder of the source has, without what tools have left there."""
    found = set()
    for path in (ROOT / folder).rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        left_by_tools = {"__pycache__", ".pytest_cache"} & {*path.parts} or name.startswith(
            tuple(f"{m}/" for m in MADE)
        )
        if path.is_file() and not left_by_tools:
            found.add(name)
    return found


def same(what: str, found: set[str], wanted: set[str]) -> None:
    """Fail with what is missing and what is too much."""
    if found != wanted:
        sys.exit(f"{what}: missing {sorted(wanted - found)}, too much {sorted(found - wanted)}")
    print(f"{what}: {len(found)} files, as they belong there")


def run(*command: str, cwd: Path = ROOT) -> None:
    """Fail with what a command says, if it fails."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(command)} failed")


def check_wheel(wheel: Path) -> None:
    """The package, its pytest plugin and what describes them; the version from its one place."""
    info = f"{NAME}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        same(
            wheel.name,
            set(archive.namelist()),
            belonging("payroc_async")
            | {"pytest_payroc_async.py"}
            | {f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
            | {f"{info}/licenses/LICENSE"},
        )
        assert "payroc_async/py.typed" in archive.namelist()
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
    assert metadata["Version"] == VERSION, metadata["Version"]
    assert metadata["Author"] == "The payroc_async authors", metadata["Author"]
    assert metadata["Project-URL"] == "Payroc API, https://docs.payroc.com/"


def check_sdist(sdist: Path, wheel: Path, folder: Path) -> None:
    """What it takes to build the wheel and to test it; its wheel is the same as the source's."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / NAME
    found = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    wanted = FILES.union(*map(belonging, FOLDERS))
    same(sdist.name, found, wanted)
    strangers = {name for name in wanted - FILES if Path(name).suffix not in KINDS}
    assert not strangers, strangers
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "again"), str(source))
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(folder / "again" / wheel.name) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {
            i.filename: i.CRC for i in other.infolist()
        }
    print("the sdist builds the same wheel")
    collect = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    run(
        *(sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.'); {collect}"),
        *("--collect-only", "--quiet", "--numprocesses=0", "-p", "no:cacheprovider"),
        cwd=source,
    )
    print("its tests can be collected")


def check_changelog() -> None:
    """The version has its section, with the day of its release, and nothing is left above it."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## \[(.*)\](.*)$", text, re.MULTILINE)
    head = next((head for head in heads if head[0] == VERSION), None)
    if head is None or not re.fullmatch(r" - \d{4}-\d\d-\d\d", head[1]):
        sys.exit(f"CHANGELOG.md: wants a heading ## [{VERSION}] - YYYY-MM-DD")


def main() -> None:
    """Build and check; what was built is left in the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--release", action="store_true")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    for left in folder.glob("payroc_async-*"):
        left.unlink()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    run(sys.executable, "-m", "build", "--sdist", "--wheel", "--outdir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_wheel(wheel)
    with tempfile.TemporaryDirectory() as temporary:
        check_sdist(sdist, wheel, Path(temporary))
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    print("twine has no complaint")
    if options.release:
        check_changelog()


if __name__ == "__main__":
    main()
