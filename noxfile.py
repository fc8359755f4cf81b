"""Everything the project checks, each as a session: ``nox`` runs tests, lint and types."""

import os
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "lint", "types"]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite in asyncio's debug mode, on every interpreter that the machine has."""
    session.install("-e", ".[dev]")
    # Debug mode makes every step of the loop slow: no more workers than the steps leave time for.
    workers = f"--numprocesses={2 * (os.cpu_count() or 1)}"
    session.run("pytest", workers, *session.posargs, env={"PYTHONASYNCIODEBUG": "1"})


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The suite with the lowest version of each dependency that pyproject.toml allows."""
    session.install("uv")  # pip has no such resolution
    python = os.path.join(session.bin, "python")
    session.run(
        *("uv", "pip", "install", "--python", python, "--resolution", "lowest-direct"),
        *("--editable", ".[dev]"),
    )
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and format."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Both type checkers, strict where it counts; the samples of README and docs, too."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")
    session.run("python", "-m", "tests.tools.page_samples", session.create_tmp())
    session.run("mypy", "--allow-untyped-defs", "--allow-incomplete-defs", session.create_tmp())


@nox.session
def docs(session: nox.Session) -> None:
    """The site, as HTML in build/site: what warns or leads nowhere is an error."""
    session.install("-e", ".[docs,otel,postgres]", "pytest")
    session.run(
        *("sphinx-build", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"),
        *("--fresh-env", "--doctree-dir", "build/doctrees", "docs", "build/site", *session.posargs),
    )


@nox.session
def release(session: nox.Session) -> None:
    """The sdist and the wheel in dist, with all that can be checked before an upload."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.tools.distribution", "dist", "--release")


@nox.session
def frozen(session: nox.Session) -> None:
    """A till that PyInstaller freezes, from the wheel, without an option: it is built and run."""
    session.install(".[cli,otel,postgres]", "pyinstaller>=6.11")
    session.run("python", "-m", "tests.tools.frozen", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage of the suite, by module."""
    session.install("-e", ".[dev]")
    session.run("coverage", "run", "-m", "pytest", "--numprocesses=0", *session.posargs)
    session.run("coverage", "report", "--show-missing")


@nox.session
def examples(session: nox.Session) -> None:
    """The tests that the examples have of their own."""
    session.install("-e", ".[dev]")
    session.run("pytest", "examples/pos", *session.posargs)


@nox.session
def kill(session: nox.Session) -> None:
    """Five hundred processes killed in the middle of sales, and recovered; prints the counts."""
    session.install("-e", ".[dev]")
    program = "import sys; from tests.harness.crash_harness import main; sys.exit(main())"
    session.run("python", "-c", program, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What a sale costs beside other ways to run it; ``-- --quick`` for the short run."""
    session.install("-e", ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def model(session: nox.Session) -> None:
    """Every state that a sale can reach with up to four faults: the rules of evidence hold."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.model", *(session.posargs or ["--faults", "4"]))


@nox.session
def simulate(session: nox.Session) -> None:
    """A million sales in virtual time, on every processor; prints how they ended."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.simulation", *(session.posargs or ["--sales", "1000000"]))


@nox.session
def contract(session: nox.Session) -> None:
    """The simulator, driven by Payroc's own description: ``-- --spec PATH``."""
    given = list(session.posargs)
    if "--spec" not in given:
        spec = Path("../shared/payroc-openapi.yaml")
        if not spec.exists():
            session.skip(f"Payroc's description is not part of the project, nor at {spec}: --spec")
        given += ["--spec", str(spec)]
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.tools.contract_drive", *given)


@nox.session
def soak(session: nox.Session) -> None:
    """Ten thousand sales in random order under random faults; prints the counts."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.tools.soak", *(session.posargs or ["--sales", "10000"]))


@nox.session
def fleet(session: nox.Session) -> None:
    """Three processes on one PostgreSQL, killed, stopped and replaced at random; prints counts."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.fleet", *session.posargs)
