"""A real PostgreSQL server on loopback, with a data directory of its own."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from attrs import define, field

from payroc_async.journal.postgres.pg_rows import CONNECTED_AGAIN

from .nginx import free_port

__all__ = ["MISSING", "OWNER", "PATIENCE", "PostgresServer", "give", "run_as", "server_in"]

HOST = "127.0.0.1"
PATIENCE = 30.0
"""Seconds within which it starts and stops, however slow the machine."""
SETTINGS = {
    "listen_addresses": HOST,
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "2MB",
    "shared_buffers": "16MB",
    "jit": "off",
    "restart_after_crash": "off",
}
DURABLE = {"fsync": "on", "full_page_writes": "on", "autovacuum": "on"}
# Ends with the server, which it stops when its input ends: also where the tests were killed. The
# server's clients are not waited for.
WATCH = """
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
(cat <&3 >/dev/null; kill -INT $server) &
exec 3<&-
wait $server
"""
# Who has a password is asked for it.
ACCESS = "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
OWNER = "till"


def _programs() -> Path | None:
    """The folder of the newest server: Debian's is not where programs are looked for."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    versions = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    folders += sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
    return next((path for path in folders if (path / "postgres").exists()), None)


def _user() -> str | None:
    """Whom it runs as: it refuses to run as root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


PROGRAMS, USER = _programs(), _user()
MISSING = (
    "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if PROGRAMS is None
    else "PostgreSQL does not run as root, and there is no other user"
    if USER is None
    else ""
)
"""Why there is no server; empty if there is one."""


def run_as() -> dict[str, Any]:
    """What has subprocess run a program as that user."""
    assert USER is not None
    if os.geteuid():
        return {}
    found = pwd.getpwnam(USER)
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def give(folder: Path) -> None:
    """Make a folder that user's."""
    if os.geteuid() == 0:
        assert USER is not None
        shutil.chown(folder, USER)


def _template(shared: Path) -> Path:
    """A data directory to copy, made by whichever process of the test run comes first."""
    assert PROGRAMS is not None
    template = shared / "postgres-template"
    with (shared / "postgres-template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            with tempfile.TemporaryDirectory(prefix="payroc-initdb-") as name:
                give(Path(name))
                subprocess.run(
                    [
                        *(PROGRAMS / "initdb", "--pgdata", f"{name}/data", "--username", OWNER),
                        *("--auth=trust", "--encoding=UTF8", "--locale=C"),
                        *("--no-sync", "--wal-segsize=1"),
                    ],
                    **run_as(),
                    cwd=name,
                    env={"LC_ALL": "C", "PATH": os.defpath},
                    check=True,
                    capture_output=True,
                )
                subprocess.run(["cp", "-a", f"{name}/data", template], check=True)
    return template


@define(eq=False)
class PostgresServer:
    """One server, in a folder of its own.

    Args:
        folder: That folder; a Unix socket's path has to be short.
        durable: Whether what is committed is on disk, as it has to be where money is.
    """

    folder: Path
    durable: bool = False
    port: int = field(factory=free_port)
    _process: subprocess.Popen[Any] | None = None

    def dsn(self, user: str = OWNER, password: str = "", database: str = "postgres") -> str:
        """The URL of a database of it."""
        secret = f":{password}" if password else ""
        return f"postgresql://{user}{secret}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        assert PROGRAMS is not None
        assert self._process is None
        settings = {
            **SETTINGS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **(DURABLE if self.durable else {}),
        }
        with (self.folder / "log").open("ab") as log:
            process = self._process = subprocess.Popen(
                [
                    *("sh", "-c", WATCH, "sh"),
                    *(PROGRAMS / "postgres", "-D", self.folder / "data"),
                    *(
                        part
                        for name, value in settings.items()
                        for part in ("-c", f"{name}={value}")
                    ),
                ],
                **run_as(),
                cwd=self.folder,
                env={"LC_ALL": "C", "PATH": os.defpath},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, (self.folder / "log").read_text()
            with suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            assert time.monotonic() < deadline, "PostgreSQL has not started in time"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it, and return when it has ended. Does nothing if it is stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def settled(self) -> None:
        """Return when journals take an owner whose lock is free for dead: not after a restart."""
        (running,) = self.execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")[
            0
        ]
        time.sleep(max(CONNECTED_AGAIN - float(running), 0.0))

    def execute(self, statement: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a statement, which is committed."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def schema(self) -> Iterator[str]:
        """A new schema; what is still connected at the end has forgotten to disconnect."""
        name = f"journal_{uuid4().hex}"
        self.execute(f"CREATE SCHEMA {name}")
        yield name
        self.execute(f"DROP SCHEMA {name} CASCADE")

    def clients(self) -> list[int]:
        """The process ids of the journals' connections, the oldest first."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'payroc_async journal' "
            "ORDER BY backend_start"
        )
        return [pid for (pid,) in rows]

    def terminate(self, pid: int) -> None:
        """Break a client's connection off."""
        self.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


@contextmanager
def server_in(shared: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """A running server.

    Args:
        shared: A folder for what the processes of this test run share.
        durable: As for ``PostgresServer``.
    """
    template = _template(shared)
    # Not in pytest's folder, which is for its own user alone.
    with tempfile.TemporaryDirectory(prefix="payroc-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Keeps whose it is; and takes a tenth of the time that shutil.copytree does.
        subprocess.run(["cp", "-a", template, folder / "data"], check=True)
        (folder / "data" / "pg_hba.conf").write_text(ACCESS)
        give(folder)
        server = PostgresServer(folder, durable)
        try:
            server.start()
            yield server
        finally:
            server.stop()
