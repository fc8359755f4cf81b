"""What a pooler between the journal and the server changes about a connection.

Source: PgBouncer's features, "SQL feature map for pooling modes": in transaction mode the next
transaction may be another session's, so that a session's advisory lock belongs to no client.
"""

from __future__ import annotations

from uuid import uuid4

from payroc_async.errors import JournalError

from .pg_schema import SESSION
from .pg_server import Connection, Server, close_and_wait

__all__ = ["check_own_session", "session_of"]


async def check_own_session(server: Server, connection: Connection) -> None:
    """See that a connection has a session of its own, as a lock of the session's needs.

    A session that listens gets its notifications also while its client does nothing. A pooler in
    transaction mode has no client to give them to. The pool's order and load make no difference, as
    they would to a comparison of the sessions' numbers.

    Args:
        server: For a second connection, which is closed again.
        connection: The one that is to hold a lock. Nothing has used it yet.

    Raises:
        JournalError: A pooler gives the session to others between two transactions.
        psycopg.Error: A connection is lost or refused.
        TimeoutError: There is no second connection within the patience.
    """
    channel = f"payroc_{uuid4().hex}"
    await connection.execute(f"LISTEN {channel}".encode())
    other = await server.connect()
    try:
        await other.execute(f"NOTIFY {channel}".encode())
    finally:
        # Gone before the work's connection comes: there are never more than two.
        await close_and_wait(other, server.patience)
    heard = connection.notifies(timeout=server.patience, stop_after=1)
    if not [notify async for notify in heard]:
        raise JournalError(_refusal(server.patience))
    await connection.execute(f"UNLISTEN {channel}".encode())


async def session_of(connection: Connection) -> int:
    """The process id of the server's session. What the connection itself says may be a pooler's.

    Raises:
        psycopg.Error: The connection is lost.
    """
    row = await (await connection.execute(SESSION)).fetchone()
    assert row is not None
    return int(row[0])


def _refusal(seconds: float) -> str:
    return (
        "the connection has no session of the server's to itself (a notification did not arrive "
        f"within {seconds:g} s), as behind PgBouncer in transaction or statement mode: others "
        "would take over the sales of a living process. Connect to the server itself, or to a pool "
        "with pool_mode=session: docs/postgres.md"
    )
