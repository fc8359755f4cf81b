"""The SQL of the journals: it is read from files, and every statement of a file is used."""

from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest

from payroc_async.journal.postgres import pg_schema
from payroc_async.journal.sql_files import read_migrations, read_statements
from payroc_async.journal.sqlite import sqlite_schema


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "package_with_sql"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "some.sql").write_text(
        "-- first --\n-- Why; it is so.\nSELECT {columns}\nFROM t -- here\n\n-- second --\nDELETE\n"
    )
    (folder / "up_1.sql").write_text("CREATE TABLE t;\n")
    (folder / "up_2.sql").write_text("-- Why; it is so.\nALTER TABLE t WHERE {columns};\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_a_section_is_a_statement_without_its_comments(package: str) -> None:
    assert read_statements(package, "some.sql", {"columns": "a, b"}) == {
        "first": "SELECT a, b\nFROM t -- here\n",
        "second": "DELETE\n",
    }


def test_a_migration_is_a_file_for_each_version(package: str) -> None:
    """A semicolon in a comment ends no statement, for there are no comments left."""
    assert read_migrations(package, "up_", 2, {"columns": "c"}) == (
        "CREATE TABLE t;\n",
        "ALTER TABLE t WHERE c;\n",
    )
    with pytest.raises(FileNotFoundError):
        read_migrations(package, "up_", 3, {"columns": "c"})


def test_a_name_that_stands_for_nothing_is_refused(package: str) -> None:
    with pytest.raises(KeyError, match="columns"):
        read_statements(package, "some.sql", {})


@pytest.mark.parametrize(
    ("schema", "name"),
    [(sqlite_schema, "sqlite_statements.sql"), (pg_schema, "pg_statements.sql")],
)
def test_every_statement_of_a_file_is_used(schema: ModuleType, name: str) -> None:
    texts = read_statements(str(schema.__package__), name, schema.SHARED)
    used = {value for value in vars(schema).values() if isinstance(value, str | bytes)}
    assert {key for key, text in texts.items() if not {text, text.encode()} & used} == set()


@pytest.mark.parametrize("schema", [sqlite_schema, pg_schema])
def test_every_migration_in_the_folder_is_one_of_a_version(schema: ModuleType) -> None:
    there = [one.name for one in files(str(schema.__package__)).iterdir()]
    assert sum("_migration_" in name for name in there) == schema.VERSION
