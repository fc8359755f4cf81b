"""The PostgreSQL server of a journal: how to connect to it, and its tables."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from payroc_async.errors import ConfigurationError, JournalError
from payroc_async.secret import Secret, concealed, forget_frames

from .pg_schema import (
    LOCK_MIGRATION,
    MIGRATIONS,
    SCHEMA,
    SET_UP,
    TABLES,
    VERSION,
    VERSION_THERE,
)

__all__ = ["Connection", "Row", "Server", "close_and_wait", "force_close", "is_lost", "migrate"]

Row = tuple[Any, ...]
Connection = psycopg.AsyncConnection[Row]

# Both sides notice within half a minute that the other's machine is gone: the client, so that it
# locks again; the server, so that it releases a dead owner's lock.
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
SERVER_KEEPALIVES = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
# The connection is of no more use after these, though some leave it open: the server shuts down,
# has taken a transaction for abandoned, or has become a standby.
LOST = ("08", "57P", "25P03", "25P04", "25006")


class Server:
    """Where a journal's tables are, and what it is reported about that.

    Args:
        dsn: A libpq connection string or URL.
        schema: The schema of the tables; by default the first of the user's search path.
        patience: Seconds to wait for an answer.

    Raises:
        ConfigurationError: The connection string can't be read. The text does not show it.
    """

    def __init__(self, dsn: str, schema: str | None, patience: float) -> None:
        parameters: dict[str, Any] | None = None
        with suppress(psycopg.Error):  # whose text may show a part of the password
            parameters = {name: concealed(value) for name, value in conninfo_to_dict(dsn).items()}
        dsn = Secret(dsn)  # this frame is in the traceback of what is refused
        if parameters is None:
            raise ConfigurationError("dsn", "is no connection string that libpq understands")
        # A password that is not percent-encoded, read as something that is shown.
        names = ["service", "host", "hostaddr", "port", "dbname"]
        shown = {name: str(parameters[name]) for name in names if name in parameters}
        ports = shown.get("port", "").split(",")
        if any("@" in value for value in shown.values()) or not all(
            port.isdecimal() or not port for port in ports
        ):
            del shown, ports  # parts of a password, perhaps
            raise ConfigurationError(
                "dsn", "can't be read: what is special in its password must be percent-encoded"
            )
        self._password = Secret(parameters.get("password") or "")
        self._parameters = {
            **KEEPALIVES,
            "target_session_attrs": "read-write",  # of several hosts, the one that is no standby
            "application_name": "payroc_async journal",
            **parameters,
            "client_encoding": "UTF8",
        }
        milliseconds = max(int(patience * 1000), 5)
        self._settings = {
            **SERVER_KEEPALIVES,
            "synchronous_commit": "on",
            "default_transaction_isolation": "read committed",
            "idle_session_timeout": "0",
            # A process that is stopped within a transaction must not keep others from its rows.
            "idle_in_transaction_session_timeout": str(milliseconds),
            "statement_timeout": str(milliseconds),
            # Shorter: who waits for a lock holds up those in the same transaction.
            "lock_timeout": str(milliseconds // 5),
        }
        if schema is not None:
            shown["schema"] = schema
            self._settings["search_path"] = '"' + schema.replace('"', '""') + '"'
        self._place = " ".join(f"{name}={value}" for name, value in shown.items()) or "local"
        self.patience = patience

    def __str__(self) -> str:
        return self._place

    async def connect(self) -> Connection:
        """A new connection, in autocommit mode, with the session's settings.

        Raises:
            psycopg.Error: It can't be had.
            TimeoutError: Not within the patience.
        """
        async with asyncio.timeout(self.patience):
            connection = await Connection.connect(autocommit=True, **self._parameters)
            _open_connections.add(connection)
            try:
                await connection.execute(
                    SET_UP, (list(self._settings), list(self._settings.values()))
                )
            except BaseException:
                await connection.close()
                raise
        return connection

    def as_journal_error(self, error: BaseException) -> JournalError:
        """What the caller is informed: never the password, nor what was to be written."""
        text = isinstance(error, psycopg.Error) and error.diag.message_primary
        text = text or " ".join(str(error).split())
        if isinstance(error, TimeoutError) or not text:
            text = f"no answer within {self.patience:g} s"
        if self._password:
            text = text.replace(self._password, "…")
        told = JournalError(f"journal in PostgreSQL ({self}): {text}")
        told.__cause__ = forget_frames(error)  # the driver's hold the connection string
        return told


def is_lost(connection: Connection | None, error: BaseException) -> bool:
    """Whether the connection is lost, rather than a statement refused."""
    if connection is None or connection.closed or isinstance(error, OSError):
        return True
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return state is not None and state.startswith(LOST)


def force_close(connection: Connection) -> None:
    """Break a connection off at once: anyone who waits for its answer gets an error.

    Canceling the waiter instead would have psycopg ask the server to cancel the statement, and
    wait for that; and a canceled commit reports success before a synchronous standby has it.
    """
    with (
        suppress(OSError, psycopg.Error),
        socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)


async def close_and_wait(connection: Connection, seconds: float) -> None:
    """Close a connection, and wait until the server has released the locks it held.

    The server closes its end after that; a connection that is lost is not waited for.
    """
    twin: socket.socket | None = None
    with suppress(OSError, psycopg.Error):
        twin = socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
        twin.setblocking(False)
    await connection.close()
    if twin is not None:
        with twin, suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                while await asyncio.get_running_loop().sock_recv(twin, 4096):
                    pass


async def migrate(connection: Connection, schema: str | None) -> None:
    """Make the tables or bring them up to date; processes that do it at once do it once.

    Raises:
        JournalError: They can't be made, or are of a newer version.
    """
    if schema is not None:
        found = await connection.execute(SCHEMA, (schema,))
        if not await found.fetchone():
            raise JournalError(f"there is no schema {schema!r}, or it is not for this user")
    version = await _version(connection)
    if version < VERSION:
        await _migrate(connection)
    elif version > VERSION:
        raise JournalError(
            f"the journal is of version {version}, made by a newer payroc_async; this one knows "
            f"version {VERSION}"
        )


async def _migrate(connection: Connection) -> None:
    """Make the tables, or bring them up to date: all of it, or nothing."""
    version = 0
    try:
        async with connection.transaction():
            await connection.execute(LOCK_MIGRATION)
            # An index over a long history takes its time.
            await connection.execute(b"SET LOCAL statement_timeout = 0")
            version = await _version(connection)
            for migration in MIGRATIONS[version:]:
                for statement in filter(str.strip, migration.split(";")):
                    await connection.execute(statement.encode())
    except (errors.InsufficientPrivilege, errors.InvalidSchemaName) as error:
        missing = "are missing" if version == 0 else f"are of version {version}"
        raise JournalError(
            f"the journal's tables {missing} and this user may not "
            f"{'make' if version == 0 else 'migrate'} them "
            f"({error.diag.message_primary}): docs/postgres.md has the SQL"
        ) from error


async def _version(connection: Connection) -> int:
    """Of which version the tables are; 0 if there are none."""
    if not await _have_tables(connection):
        return 0
    cursor = await connection.execute(VERSION_THERE)
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise JournalError("the table payroc_journal_version is empty: make the tables anew")
    return int(row[0])


async def _have_tables(connection: Connection) -> bool:
    return await (await connection.execute(TABLES)).fetchone() is not None


_open_connections: WeakSet[Connection] = WeakSet()


def _let_go_in_child() -> None:
    """In a forked child, close what it has of the parent's connections, without a word.

    Otherwise the server would hold the locks of a parent that is dead for as long as a child lives.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for connection in list(_open_connections):
        with suppress(psycopg.Error, OSError):
            # The number stays taken: libpq may still use it.
            os.dup2(null, connection.fileno(), inheritable=False)
    os.close(null)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
