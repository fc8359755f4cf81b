"""A real PgBouncer on loopback before the tests' PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from .nginx import free_port
from .postgres import OWNER, PATIENCE, PostgresServer, give, run_as

__all__ = ["PGBOUNCER", "pgbouncer_before"]

# Debian's is where only root looks for programs.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")

CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {pool_size}
server_round_robin = {round_robin}
logfile = {folder}/log
admin_users = {admin}
"""


@contextmanager
def pgbouncer_before(
    server: PostgresServer, mode: str, *, pool_size: int = 20, round_robin: bool = False
) -> Iterator[str]:
    """The URL of the server's database through a PgBouncer.

    Args:
        server: Where it leads.
        mode: ``session``, ``transaction`` or ``statement``.
        pool_size: How many sessions of the server's it has at most.
        round_robin: Whether it takes its sessions in turn, rather than the one last used.
    """
    assert PGBOUNCER is not None
    with tempfile.TemporaryDirectory(prefix="payroc-pgbouncer-") as name:
        folder, port = Path(name), free_port()
        (folder / "pgbouncer.ini").write_text(
            CONFIGURATION.format(
                upstream=server.port,
                port=port,
                mode=mode,
                pool_size=pool_size,
                round_robin=int(round_robin),
                folder=folder,
                admin=OWNER,
            )
        )
        (folder / "users").write_text(f'"{OWNER}" ""\n')
        give(folder)
        process = subprocess.Popen(
            [PGBOUNCER, "--quiet", folder / "pgbouncer.ini"],
            **run_as(),
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql://{OWNER}@127.0.0.1:{port}"
            deadline = time.monotonic() + PATIENCE
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    # Its own console: no session of the server's is had for that.
                    psycopg.connect(f"{url}/pgbouncer", autocommit=True).close()
                    break
                except psycopg.OperationalError:
                    assert time.monotonic() < deadline, "PgBouncer has not started in time"
                    time.sleep(0.01)
            yield f"{url}/postgres"
        finally:
            process.kill()
            process.wait(PATIENCE)
