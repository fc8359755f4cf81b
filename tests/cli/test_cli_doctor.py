"""``payroc-async doctor``: what is wrong, what to do, and that it asks no one else."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
from click.testing import CliRunner, Result

from payroc_async.cli.app import cli
from payroc_async.cli.setup.local_checks import Check, check_journal, check_open_files
from payroc_async.journal import EntryState, SQLiteJournal
from payroc_async.simulator import Simulator, problem, status
from tests.conftest import SERIAL, variables
from tests.harness.postgres import PostgresServer

from .test_cli import NO_GATEWAY
from .test_cli_journal import left

NAMES = [
    *("variables", "proxy", "tls identity", "tls api", "key", "api", "clock", "open files"),
    *("journal", "journal entries", "journal permissions"),
]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a proxy, whatever stands in the environment of who runs the tests."""
    for name in (*NO_GATEWAY, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sales.db"


def doctor(environment: dict[str, str], *options: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *options], env=environment)


def checks_of(done: Result) -> dict[str, dict[str, str]]:
    said = json.loads(done.stdout)
    assert said["ok"] == (done.exit_code == 0)
    return {one["name"]: one for one in said["checks"]}


# Beyond this machine ----------


@asynccontextmanager
async def over_tls(gateway: Simulator, certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """Where the gateway is to be had over TLS."""
    port = int(gateway.url.rpartition(":")[2])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(tls)
    tasks: set[asyncio.Task[Any]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", port)
        for pair in ((reader, inner[1]), (inner[0], writer)):
            tasks.add(asyncio.create_task(copy(*pair)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    if tasks:
        await asyncio.wait(tasks)


async def examined_over_tls(
    gateway: Simulator, base: str, *options: str
) -> dict[str, dict[str, str]]:
    urls = {"PAYROC_API_URL": f"{base}/v1", "PAYROC_IDENTITY_URL": f"{base}/authorize"}
    environment = {**variables(gateway), **urls}
    return checks_of(await asyncio.to_thread(doctor, environment, "--json", *options))


@pytest.mark.parametrize("days", [90, 5])
async def test_all_is_well(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Over TLS, every check passes, but for a certificate near its end; nothing is sold."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(path.with_name("ca.pem")))
    monkeypatch.setenv("SSL_CERT_FILE", str(path.with_name("ca.pem")))
    gateway.device(SERIAL)
    left_behind = SQLiteJournal(path)
    await left_behind.open()
    await left_behind.aclose()
    end = datetime.now(UTC) + timedelta(days=days)
    async with over_tls(gateway, authority.issue_cert("127.0.0.1", not_after=end)) as base:
        checks = await examined_over_tls(gateway, base, "--journal", str(path))
    assert list(checks) == NAMES
    assert "1 device in use at the gateway" in checks["open files"]["message"]
    for name, check in checks.items():
        soon = days < 14 and name.startswith("tls")
        assert check["status"] == ("warning" if soon else "ok"), check
        assert bool(check["advice"]) == soon
    assert f"TLSv1.3, certificate until {end:%Y-%m-%d}" in checks["tls api"]["message"]
    assert gateway.api_key not in json.dumps(checks)
    assert [one.kind for one in gateway.requests] == ["authorize", "search"]


async def test_a_certificate_that_nobody_vouches_for(gateway: Simulator) -> None:
    """It fails with the reason, and neither the key nor anything else is sent."""
    async with over_tls(gateway, trustme.CA().issue_cert("127.0.0.1")) as base:
        checks = await examined_over_tls(gateway, base)
    for name in ("tls identity", "tls api", "key"):
        assert checks[name]["status"] == "failed"
    assert "the certificate is not trusted" in checks["tls api"]["message"]
    assert "SSL_CERT_FILE" in checks["tls api"]["advice"]
    assert checks["api"]["status"] == checks["clock"]["status"] == "warning"
    assert gateway.requests == []


def test_authorities_that_are_not_there(
    served: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of authorities that is not there has no one believed, which is reported as such."""
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    check = checks_of(doctor(variables(served), "--json"))["tls authorities"]
    assert check["status"] == "failed"
    assert str(path) in check["message"]


def test_p7_a_key_that_is_refused(served: Simulator) -> None:
    """P7: It is reported in words, with 1 and what to do, and the key is not shown."""
    done = doctor({**variables(served), "PAYROC_API_KEY": "s3cret-key"})
    assert done.exit_code == 1
    assert "failed   key" in done.stdout
    assert "-> check that PAYROC_API_KEY is complete" in done.stdout
    assert "2 warnings" in done.stdout
    assert "s3cret-key" not in done.output


@pytest.mark.parametrize(
    ("kind", "fault", "name", "result"),
    [
        ("authorize", status(503), "key", "failed"),
        ("search", status(503), "api", "failed"),
        ("search", problem(403, "forbidden"), "api", "warning"),
    ],
)
def test_a_gateway_that_fails(
    served: Simulator, kind: Any, fault: Any, name: str, result: str
) -> None:
    """Each is asked once, and what it said is reported."""
    served.faults.add(kind, fault, times=None)
    checks = checks_of(doctor(variables(served), "--json"))
    assert checks[name]["status"] == result
    assert "HTTP " in checks[name]["message"]
    assert checks[name]["advice"]
    assert len(served.requests_of(kind)) == 1


def test_nobody_there(served: Simulator) -> None:
    """A gateway that can't be reached is no traceback: it fails, and says where that was."""
    base = "https://127.0.0.1:9"
    urls = {"PAYROC_API_URL": f"{base}/v1", "PAYROC_IDENTITY_URL": f"{base}/authorize"}
    checks = checks_of(doctor({**variables(served), **urls}, "--json"))
    assert {checks[name]["status"] for name in ("tls identity", "tls api", "key")} == {"failed"}
    assert checks["tls api"]["message"].startswith("127.0.0.1:9: no connection: ")


@pytest.mark.parametrize(
    ("ahead", "result", "said"),
    [(60, "warning", "ahead of"), (-60, "warning", "behind"), (-3600, "failed", "behind")],
)
def test_the_clock(
    served: Simulator, monkeypatch: pytest.MonkeyPatch, ahead: float, result: str, said: str
) -> None:
    """A clock that is wrong by more than an answer takes is worth a warning, by minutes fails."""
    wrong = SimpleNamespace(time=lambda: time.time() + ahead)
    monkeypatch.setattr("payroc_async.cli.setup.network_checks.time", wrong)
    clock = checks_of(doctor(variables(served), "--json"))["clock"]
    assert (clock["status"], said in clock["message"]) == (result, True)
    assert "timedatectl" in clock["advice"]


# On this machine ----------


def test_what_is_missing_is_named_at_once() -> None:
    """Without variables it says which, asks no one, and goes on with what else there is."""
    checks = checks_of(doctor({"PAYROC_API_KEY": "a b\n"}, "--json"))
    assert checks["variables"]["status"] == "failed"
    assert "PAYROC_ENVIRONMENT: is not set" in checks["variables"]["message"]
    assert "PAYROC_API_KEY: must be printable" in checks["variables"]["message"]
    assert list(checks) == ["variables", "proxy", "open files", "journal"]
    assert checks["journal"]["status"] == "warning"
    assert "PAYROC_JOURNAL" in checks["journal"]["advice"]


def test_variables_and_where_they_are_from(served: Simulator, tmp_path: Path) -> None:
    """Those of the process and of the file are distinguished; a wrong file fails, unshown."""
    file = tmp_path / "uat.env"
    file.write_text(f"PAYROC_API_KEY={served.api_key}\n")
    urls = {name: one for name, one in variables(served).items() if "URL" in name}
    arguments = ["--env-file", str(file), "doctor", "--json"]
    checks = checks_of(CliRunner().invoke(cli, arguments, env=urls))
    assert f"PAYROC_API_KEY from {file}" in checks["variables"]["message"]
    assert "PAYROC_API_URL, PAYROC_IDENTITY_URL of the process" in checks["variables"]["message"]
    file.write_text("PAYROC_API_KEY='s3cret\n")
    done = CliRunner().invoke(cli, arguments, env=urls)
    assert "line 1 can't be read" in checks_of(done)["variables"]["message"]
    assert "s3cret" not in done.output


def test_a_proxy_that_is_not_used(served: Simulator) -> None:
    """A proxy in the variables is named, without its password, and not connected to."""
    proxy = {"HTTP_PROXY": "http://till:s3cret@127.0.0.1:9"}
    done = doctor({**variables(served), **proxy}, "--json")
    assert checks_of(done)["proxy"]["status"] == "warning"
    assert "HTTP_PROXY" in checks_of(done)["proxy"]["message"]
    assert "s3cret" not in done.output
    assert done.exit_code == 0, done.output
    proxy["NO_PROXY"] = "127.0.0.1"
    done = doctor({**variables(served), **proxy}, "--json")
    assert checks_of(done)["proxy"]["status"] == "ok"


@pytest.mark.parametrize(
    ("devices", "result"),
    [(None, "ok"), (18, "ok"), (19, "warning"), (36, "warning"), (37, "failed")],
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, devices: int | None, result: str) -> None:
    """Two for each device and some to spare; with fewer than one for each, sales would fail."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 200))
    check = check_open_files(devices, counted=False)
    assert check.status == result
    assert bool(check.advice) == (result != "ok")


def journal_checks(place: Path | str) -> dict[str, Check]:
    return {one.name: one for one in check_journal(str(place))}


class TestJournal:
    def test_what_is_open(self, served: Simulator, path: Path) -> None:
        """Orphaned and unknown entries are counted, with advice for each."""
        left(served, path)
        left(served, path, EntryState.UNKNOWN)
        check = journal_checks(path)["journal entries"]
        assert check.status == "warning"
        assert check.message == ("0 in progress, 1 orphaned, 1 of unknown outcome")
        assert "recover" in check.advice
        assert "journal close" in check.advice

    def test_who_has_it_open(self, served: Simulator, path: Path) -> None:
        """An owner that lives is counted, and what it drives is no one's business."""
        left(served, path)

        async def look() -> dict[str, Check]:
            holder = SQLiteJournal(path)
            await holder.open()
            try:
                assert await holder.claim(served.environment.api_url)
                return await asyncio.to_thread(journal_checks, path)
            finally:
                await holder.aclose()

        checks = asyncio.run(look())
        assert "others hold 1" in checks["journal"].message
        assert "version 3" in checks["journal"].message
        assert checks["journal entries"].status == "ok"
        assert checks["journal entries"].message.startswith("1 in progress, 0 orphaned")

    def test_who_may_read_it(self, served: Simulator, path: Path) -> None:
        """Rights of others are a warning, with the command that takes them away."""
        left(served, path)
        assert journal_checks(path)["journal permissions"].status == "ok"
        path.chmod(0o640)
        check = journal_checks(path)["journal permissions"]
        assert check.status == "warning"
        assert f"chmod 600 {path}" in check.advice

    def test_a_newer_version(self, served: Simulator, path: Path) -> None:
        """What this version does not know it fails on, as a session would."""
        left(served, path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 99")
        check = journal_checks(path)["journal"]
        assert check.status == "failed"
        assert "version 99" in check.message

    def test_one_that_is_not_there(self, path: Path) -> None:
        """None is made: it says whether the first session could."""
        assert journal_checks(path)["journal"].status == "ok"
        assert list(path.parent.iterdir()) == []
        assert journal_checks(path / "none.db")["journal"].status == "failed"
        assert journal_checks("")["journal"].status == "failed"

    def test_in_postgresql(self, postgres: PostgresServer) -> None:
        """A server's is opened as well, and asked what is open."""
        with postgres.schema() as schema:
            checks = journal_checks(f"{postgres.dsn()}?options=-csearch_path%3D{schema}")
        assert [one.status for one in checks.values()] == ["ok", "ok"]
        assert "PostgreSQL, version 2" in checks["journal"].message
