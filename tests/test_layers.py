"""The layers of the design, held by the imports in the source: they point down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "payroc_async"

# Design section 4, from the bottom: a module imports from what stands before it, nothing else.
# A folder counts as one layer. A module that is missing here has no place: find it one.
ORDER = [
    "version",
    "logs",
    "errors",
    "config",
    "models",
    "events",
    "codec",
    "retry",
    "kinds",
    "protocol",
    "tasks",
    "transport",
    "token",
    "journal",
    "resources",
    "payments",
    "records",
    "instructions",
    "handles",
    "handle_types",
    "telemetry",
    "runs",
    "recovery",
    "session",
    "otel",
    "__init__",
    "simulator",
    "cli",
    "testing",
    "__main__",
]
PURE = {
    "version",
    "logs",
    "errors",
    "config",
    "models",
    "events",
    "codec",
    "retry",
    "kinds",
    "protocol",
}
IMPURE_MODULES = {"asyncio", "anyio", "aiohttp", "stamina", "socket", "threading", "sqlite3"}
MAY_USE_AIOHTTP = {"transport", "simulator"}
OPTIONAL = {"click", "dotenv", "opentelemetry", "rich", "psycopg", "pytest"}
FACES = {"cli", "testing", "simulator", "__main__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every import, wherever it stands, but for those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from statements(ast.Module([other], []))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from statements(node)


def imported(path: Path) -> set[str]:
    """The absolute names of the modules that a file imports; for packages, what of them too."""
    folder = ["payroc_async", *path.relative_to(PACKAGE).parts[:-1]]
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            # `from . import x` may name a module or what the package's __init__ has.
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def layers_used(path: Path) -> set[str]:
    used = set()
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "payroc_async":
            used.add(parts[1] if len(parts) > 1 and parts[1] in ORDER else "__init__")
    return used


def foreign(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def test_every_module_has_a_layer() -> None:
    """A module that the table does not know must be given its place in it."""
    assert {layer_of(path) for path in modules()} <= set(ORDER)


def test_the_table_has_the_modules_of_the_design() -> None:
    """The table is not about modules that are gone; what is planned may be missing."""
    planned = {"journal", "cli", "testing", "__main__"}
    assert set(ORDER) - {layer_of(path) for path in modules()} <= planned


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """Every import of ours leads to a lower layer, or stays within its own folder."""
    layer = layer_of(path)
    within = {layer} if path.parent != PACKAGE else set()
    below = set(ORDER[: ORDER.index(layer)])
    assert layers_used(path) - within <= below


def test_only_the_faces_stand_on_the_package_itself() -> None:
    """Whoever imports from `payroc_async` imports the whole: only what is above may."""
    users = {layer_of(path) for path in modules() if "__init__" in layers_used(path)}
    assert users <= FACES


@pytest.mark.parametrize("layer", sorted(PURE))
def test_the_pure_layers_do_no_input_or_output(layer: str) -> None:
    """Bytes in, values or errors out: no asyncio, anyio, aiohttp, nor what waits or connects."""
    paths = [path for path in modules() if layer_of(path) == layer]
    assert paths
    assert not {name for path in paths for name in foreign(path)} & IMPURE_MODULES


def test_errors_imports_nothing_of_ours() -> None:
    """The errors are what all others stand on."""
    assert layers_used(PACKAGE / "errors.py") == set()


def test_only_the_transport_and_the_simulator_know_aiohttp() -> None:
    """All HTTP goes through one module; the gateway's own server aside."""
    assert {layer_of(path) for path in modules() if "aiohttp" in foreign(path)} == MAY_USE_AIOHTTP


def test_the_sdk_needs_no_optional_package() -> None:
    """What comes with an extra is imported by its own face alone."""
    allowed = {*FACES, "journal", "otel"}
    users = {layer_of(path) for path in modules() if foreign(path) & OPTIONAL}
    assert users <= allowed


def test_the_reader_of_imports_sees_them_all(tmp_path: Path) -> None:
    """Imports in functions and in else branches count, those for type checkers alone do not."""
    source = tmp_path / "a.py"
    source.write_text(
        "import a.b\nfrom c import d\n"
        "if TYPE_CHECKING:\n    import e\nelse:\n    import f\n"
        "def g():\n    try:\n        import h\n    except ImportError:\n        import i\n"
    )
    names = {
        name
        for node in statements(ast.parse(source.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names == {"a.b", "c", "f", "h", "i"}
