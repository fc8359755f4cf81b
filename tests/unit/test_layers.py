"""The layers of the design, held by the imports in the source: they point down only."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "payroc_async"

# Design section 4, from the bottom: a module imports from what stands before it, nothing else.
# A folder counts as one layer. A module that is missing here has no place: find it one.
ORDER = [
    "version",
    "secret",
    "wording",
    "logs",
    "errors",
    "config",
    "models",
    "events",
    "retry",
    "kinds",
    "wire",
    "codec",
    "callbacks",
    "loop_guard",
    "cancellation",
    "shared_timeout",
    "http",
    "journal",
    "api",
    "instructions",
    "telemetry",
    "supervisor",
    "device_instructions",
    "order_search",
    "recovery",
    "automatic_recovery",
    "session_options",
    "session",
    "otel",
    "__init__",
    "simulator",
    "cli",
    "testing",
    "pyinstaller",
    "__main__",
]
PURE = {
    "version",
    "secret",
    "wording",
    "logs",
    "errors",
    "config",
    "models",
    "events",
    "retry",
    "kinds",
    "wire",
    "codec",
}
IMPURE_MODULES = {"asyncio", "anyio", "aiohttp", "socket", "threading", "sqlite3"}
MAY_USE_AIOHTTP = {"http", "simulator"}
FOLDERS = sorted(
    {path.parent for path in PACKAGE.rglob("*.py") if len(list(path.parent.glob("*.py"))) > 2}
)
"""Inside of these, too, imports lead one way only."""
LONGEST = {"session.py": 450}
"""Lines of a module; of all others 400."""
OPTIONAL = {"click", "dotenv", "opentelemetry", "rich", "psycopg", "pytest"}
FACES = {"cli", "testing", "simulator", "__main__"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def statements(tree: ast.AST, *, checked: bool = False) -> Iterator[ast.stmt]:
    """Every import, wherever it stands; those under `if TYPE_CHECKING` only with ``checked``."""
    for node in ast.iter_child_nodes(tree):
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if guarded and isinstance(node, ast.If) and not checked:
            for other in node.orelse:
                yield from statements(ast.Module([other], []))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from statements(node, checked=checked)


def imported(path: Path, *, checked: bool = False, package: Path = PACKAGE) -> set[str]:
    """The absolute names of the modules that a file imports; for packages, what of them too."""
    folder = ["payroc_async", *path.relative_to(package).parts[:-1]]
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text()), checked=checked):
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


def test_imports_point_down() -> None:
    """Every import of ours leads to a lower layer, or stays within its own folder."""
    for path in modules():
        layer = layer_of(path)
        within = {layer} if path.parent != PACKAGE else set()
        below = set(ORDER[: ORDER.index(layer)])
        assert layers_used(path) - within <= below, path.relative_to(PACKAGE)


def test_only_the_faces_stand_on_the_package_itself() -> None:
    """Anyone who imports from `payroc_async` imports the whole: only what is above may."""
    users = {layer_of(path) for path in modules() if "__init__" in layers_used(path)}
    assert users <= FACES


@pytest.mark.parametrize("layer", sorted(PURE))
def test_the_pure_layers_do_no_input_or_output(layer: str) -> None:
    """Bytes in, values or errors out: no asyncio, anyio, aiohttp, nor what waits or connects."""
    paths = [path for path in modules() if layer_of(path) == layer]
    assert paths
    assert not {name for path in paths for name in foreign(path)} & IMPURE_MODULES


def test_errors_import_their_words_alone() -> None:
    """The errors are what all others stand on."""
    used = [layers_used(path) for path in (PACKAGE / "errors").glob("*.py")]
    assert set().union(*used) == {"errors", "wording"}


def test_only_http_and_the_simulator_know_aiohttp() -> None:
    """All HTTP goes through one folder; the gateway's own server aside."""
    assert {layer_of(path) for path in modules() if "aiohttp" in foreign(path)} == MAY_USE_AIOHTTP


def test_the_sdk_needs_no_optional_package() -> None:
    """What comes with an extra is imported by its own face alone."""
    allowed = {*FACES, "journal", "otel"}
    users = {layer_of(path) for path in modules() if foreign(path) & OPTIONAL}
    assert users <= allowed


def siblings_used(path: Path, folder: Path, package: Path = PACKAGE) -> set[str]:
    """The modules and folders inside a folder that a file imports, for type checkers alone or not.

    The folder itself, which is its `__init__`, counts where one of its names is imported.
    """
    place = ".".join(["payroc_async", *folder.relative_to(package).parts])
    names = {other.stem for other in folder.iterdir()} - {"__init__"}
    used: set[str] = set()
    for name in imported(path, checked=True, package=package):
        if name == place or name.startswith(place + "."):
            first = name.removeprefix(place).lstrip(".").split(".")[0]
            used.add(first if first in names else "__init__")
    return used


def circles(folder: Path, package: Path = PACKAGE) -> list[str]:
    """The modules of a folder, and the folders in it, that lead back to themselves."""
    graph = {path.stem: siblings_used(path, folder, package) for path in folder.glob("*.py")}
    for inner in {path.parent for path in folder.glob("*/*.py")}:
        used = [siblings_used(path, folder, package) for path in inner.rglob("*.py")]
        graph[inner.name] = set().union(*used) - {inner.name}
    found = []
    for start in sorted(graph):
        reached: set[str] = set()
        waiting = set(graph[start])
        while waiting:
            reached |= waiting
            waiting = {name for one in waiting for name in graph.get(one, set())} - reached
        if start in reached:
            found.append(start)
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_no_imports_lead_in_a_circle_inside_a_folder(folder: Path) -> None:
    """What is imported for type checkers alone counts, too: it is a dependency all the same."""
    # What an error was raised for is a model, and its annotation says so; models raise errors.
    known = ["errors", "models"] if folder == PACKAGE else []
    assert circles(folder) == known


def test_the_finder_of_circles_finds_them(tmp_path: Path) -> None:
    """Over two files, over the folder itself, over a folder in it, and hidden from Python."""
    folder = tmp_path / "journal"
    (folder / "inner").mkdir(parents=True)
    for name, source in {
        "__init__": "from .first import x\n",
        "first": "from . import second\n",
        "second": "if TYPE_CHECKING:\n    from .first import x\n",
        "third": "from payroc_async.journal import x\nfrom payroc_async.journal_other import z\n",
        "fourth": "def f():\n    import payroc_async.journal.fourth\n",
        "fifth": "from .third import y\nfrom payroc_async.errors import fourth\n",
        "sixth": "from .inner.deep import y\n",
        "inner/deep": "from payroc_async.journal.sixth import y\nfrom .deeper import z\n",
    }.items():
        (folder / f"{name}.py").write_text(source)
    found = ["first", "fourth", "inner", "second", "sixth"]
    assert circles(folder, tmp_path) == found
    (folder / "__init__.py").write_text("from .third import y\n")
    assert circles(folder, tmp_path) == ["__init__", *found, "third"]


def test_no_two_modules_have_one_name() -> None:
    """A name in a traceback or a search leads to one file."""
    names = Counter(path.name for path in modules() if path.name != "__init__.py")
    assert [name for name, times in names.items() if times > 1] == []


def test_no_module_is_long() -> None:
    """What is longer asks for a second thought."""
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {path.name: n for path, n in lengths.items() if n > LONGEST.get(path.name, 400)} == {}


def test_the_lifecycle_stands_on_nothing() -> None:
    """The rules of evidence are pure: two modules for its types, not one of ours, and short."""
    path = PACKAGE / "instructions" / "lifecycle.py"
    assert foreign(path) == {"__future__", "enum", "typing"}
    assert len(path.read_text().splitlines()) <= 300


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
