"""What a journal's setting may name, in the library and on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from payroc_async import ConfigurationError, JournalError, PayrocSession
from payroc_async.cli.app import cli
from payroc_async.cli.setup.local_checks import check_journal
from payroc_async.journal import PostgresJournal, SQLiteJournal, journal_at

NO_KEY: dict[str, str | None] = {"PAYROC_API_KEY": None, "PAYROC_JOURNAL": None}

SECRET = "s3cr3tPASS"
NO_PLACE = [
    "",
    " ",
    "\t\n",
    ":memory:",
    " :MEMORY: ",
    "file::memory:?cache=shared",
    "file:till.db?mode=rwc",
    "sqlite:till.db",
    "sqlite:////var/lib/till.db",
    f"postgresql+psycopg://till:{SECRET}@db/tills",
    f"Postgres+AsyncPG://till:{SECRET}@db/tills",
    f"postgresql:/till:{SECRET}@db/tills",
    f"postgresql:till:{SECRET}@db/tills",
    f"jdbc:postgresql://db/tills?user=till&password={SECRET}",
    f"cockroachdb://till:{SECRET}@db/tills",
    f"mysql://till:{SECRET}@db/tills",
    f"mongodb+srv://till:{SECRET}@db",
    f"redis://:{SECRET}@db/0",
    f"till:{SECRET}@tcp(db:3306)/tills",
    f"//till:{SECRET}@db/tills",
    f"till:{SECRET}@db:5432/tills",
    f"till/{SECRET}@db:1521/tills",
    f"{SECRET}@db/tills",
    f"host=db user=till password={SECRET}",
    f"  dbname = tills password = {SECRET}",
    f"PASSWORD={SECRET}",
    f"Server=db;Database=tills;User Id=till;Pwd={SECRET}",
    f"user=till sslkey=/etc/key sslpassword={SECRET}",
    f"/run/postgresql password={SECRET}",
    f"./postgresql://till:{SECRET}@db/tills",
    f"/data/postgresql:/till:{SECRET}@db/tills",
    f'{{"host": "db", "password": "{SECRET}"}}',
    f"/x password: {SECRET}",
    f"postgresql%3A%2F%2Ftill%3A{SECRET}%40db%2Ftills",
    f"postgresql%253A%252F%252Ftill%253A{SECRET}%2540db%252Ftills",
    f"%70assword%25253D{SECRET}",
    f"postgres ql://till:{SECRET}@db/tills",
    f"postgresql:\\\\till:{SECRET}@db\\tills",
    f"\ufeffpostgresql://till:{SECRET}@db/tills",
    f"service=till password={SECRET}",
    f"/data/till.db?password={SECRET}",
    f"C:\\tills\\till:{SECRET}@db",
    "\u200b",
    "\ud800",
    "journals/",
    "/var/lib/payroc/",
    "C:\\tills\\",
    f"'postgresql://till:{SECRET}@db/tills'",
    f'"postgresql://till:{SECRET}@db/tills"',
    f"DATABASE_URL=postgresql://till:{SECRET}@db/tills",
    '"till.db"',
    "till.db\n",
    " till.db",
    "till\0.db",
]
PLACES = [
    "till.db",
    "journals/till 1.db",
    "./store=12/till.db",
    "../till:1.db",
    "/var/lib/payroc@1/till.db",
    "/var/lib/store=12/till;a?.db",
    "/run/secrets/password/till.db",
    "C:\\ProgramData\\Till\\till.db",
    "d:/tills/till.db",
    "\\\\server\\tills\\till.db",
    "kasse-ä.db",
    "~/till.db",
]


def refusal(make: object, *arguments: object) -> ConfigurationError:
    """What is raised; without the secret, in no frame of the journal's modules either."""
    assert callable(make)
    with pytest.raises(ConfigurationError) as caught:
        make(*arguments)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"
    for frame in caught.traceback:
        if "payroc_async" in Path(frame.path).parts:
            its = frame.frame.f_locals
            assert SECRET not in repr({name: its[name] for name in its if name != "self"})
    return caught.value


@pytest.mark.parametrize("place", NO_PLACE)
def test_p7_what_is_no_place_is_refused_unseen(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the setting, by the class and by a command: nothing of it is shown, no file is made."""
    monkeypatch.chdir(tmp_path)
    assert refusal(journal_at, place).field == "journal"
    assert refusal(SQLiteJournal, place).field == "path"
    for command in (["journal", "list"], ["recover"]):
        done = CliRunner().invoke(cli, [*command, "--journal", place], env=NO_KEY)
        assert done.exit_code == 2
        assert "--journal: must" in done.stderr
        assert SECRET not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [f"POSTGRESQL://till:{SECRET}@db/t", " Postgres://db/t?a=b\n"])
def test_p7_the_scheme_of_a_path_object_counts(place: str) -> None:
    """A Path made of a URL is as little a path as the URL, though it has lost a slash."""
    assert refusal(SQLiteJournal, Path(place)).field == "path"


@pytest.mark.parametrize("place", PLACES)
def test_a_path_is_taken_as_it_is(place: str) -> None:
    """Whatever begins as a path may hold what is refused in a bare name."""
    journal = journal_at(place)
    assert isinstance(journal, SQLiteJournal)
    assert repr(journal) == f"<SQLiteJournal {Path(place)}>"


@pytest.mark.parametrize(
    "place",
    [
        f"postgresql://till:{SECRET}@db/tills",
        f"POSTGRESQL://till:{SECRET}@db/tills",
        f"Postgres://till:{SECRET}@db/tills",
        f"  postgresql://till:{SECRET}@db/tills\n",
        f"postgresql://db/tills?user=till&password={SECRET}",
    ],
)
def test_a_url_is_taken_in_any_case(place: str) -> None:
    """Its scheme may be written in capitals and have blanks around it."""
    journal = journal_at(place)
    assert isinstance(journal, PostgresJournal)
    assert repr(journal) == "<PostgresJournal host=db dbname=tills>"


@pytest.mark.parametrize(
    "dsn",
    [
        f"host=db password='{SECRET}",
        f"mysql://till:{SECRET}@db/tills",
        f"POSTGRESQL://till:{SECRET}/x@db/tills",
        f"postgresql://till:{SECRET}@db:port/tills",
        *("", " ", "\n"),
        f"host=db\0 password={SECRET}",
        f"postgresql://till:{SECRET}@db/tills\0",
        f"postgresql://till:{SECRET}\ud800@db/tills",
    ],
)
def test_p7_a_server_that_is_none_is_refused_unseen(dsn: str) -> None:
    """By the class for a server, too: neither the error nor a frame of it holds the password."""
    assert refusal(PostgresJournal, dsn).field == "dsn"


TYPES = {
    type(None): "None",
    int: "an int",
    bytes: "a bytes",
    list: "a list",
    type(Path()): f"a {type(Path()).__name__}",
}


@pytest.mark.parametrize("dsn", [None, 5, b"host=db", Path("postgresql://db/tills")])
def test_a_server_of_another_type(dsn: object) -> None:
    """It is refused by its type."""
    assert f"not {TYPES[type(dsn)]}" in str(refusal(PostgresJournal, dsn))


@pytest.mark.parametrize("schema", ["", " ", "a\0b", 5, b"tills", ["tills"]])
def test_a_schema_that_is_no_name(schema: Any) -> None:
    """It is refused when the journal is made."""
    with pytest.raises(ConfigurationError, match="schema: must be"):
        PostgresJournal("host=db", schema=schema)


def test_a_server_by_its_key_words() -> None:
    """The class for a server takes them, and a URL in capitals."""
    shown = "<PostgresJournal host=db dbname=tills>"
    assert repr(PostgresJournal(f"host=db dbname=tills password={SECRET}")) == shown
    assert repr(PostgresJournal(f" POSTGRES://till:{SECRET}@db/tills ")) == shown


@pytest.mark.parametrize("place", [None, 5, b"till.db", Path("till.db"), ["till.db"]])
def test_a_place_of_another_type(place: object) -> None:
    """It is refused by its type."""
    assert f"not {TYPES[type(place)]}" in str(refusal(journal_at, place))
    if not isinstance(place, Path):
        assert f"not {TYPES[type(place)]}" in str(refusal(SQLiteJournal, place))


def test_p7_a_variable_that_is_no_place() -> None:
    """A session from the environment is not made, and its error does not show the variable."""
    variables = {
        "PAYROC_API_KEY": "key",
        "PAYROC_ENVIRONMENT": "uat",
        "PAYROC_JOURNAL": f"asyncpg://till:{SECRET}@db/tills",
    }
    assert "postgresql:// URL" in str(refusal(PayrocSession.from_env, variables))


async def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    """Its target is not made, for a new journal there would have none of the open sales."""
    target, link = tmp_path / "unmounted.db", tmp_path / "till.db"
    link.symlink_to(target)
    journal = SQLiteJournal(link)
    with pytest.raises(JournalError, match=r"till\.db is a symbolic link to a file that is not"):
        await journal.open()
    assert os.listdir(tmp_path) == ["till.db"]
    target.touch()
    await journal.open()
    await journal.aclose()


async def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    """It leads nowhere, too."""
    link = tmp_path / "till.db"
    link.symlink_to(link)
    with pytest.raises(JournalError, match="symbolic link"):
        await SQLiteJournal(link).open()


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
async def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A folder, a pipe or a device can't be a journal, and stays as it is."""
    place = tmp_path / "till.db"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place = Path("/dev/null")
    with pytest.raises(JournalError, match="is not a regular file"):
        await SQLiteJournal(place).open()
    assert os.listdir(tmp_path) == ([] if kind == "device" else ["till.db"])


def test_the_doctor_sees_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """It does not promise that the first session makes the file."""
    link = tmp_path / "till.db"
    link.symlink_to(tmp_path / "unmounted.db")
    (check,) = check_journal(str(link))
    assert (check.name, check.status) == ("journal", "failed")
    assert "No such file" in check.message
