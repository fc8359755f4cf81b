"""The index of the tests is what the tests say."""

from __future__ import annotations

from tests.tools.index import FOLDERS, PAGE, ROOT, drawn


def test_the_index_is_drawn_anew() -> None:
    """Run `python -m tests.tools.index` after a test was added or moved."""
    assert PAGE.read_text(encoding="utf-8") == drawn()


def test_every_test_is_in_a_folder_of_the_index() -> None:
    """No test lies about, and helpers are in `harness/`."""
    tests = ROOT / "tests"
    found = {path.parent.name for path in tests.rglob("test_*.py")}
    assert found <= set(FOLDERS)
    assert {path.name for path in tests.glob("*.py")} == {"__init__.py", "conftest.py"}
