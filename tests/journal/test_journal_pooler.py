"""A journal behind a real PgBouncer: in transaction mode a session's lock belongs to no client."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from payroc_async import JournalError
from payroc_async.journal import PostgresJournal
from tests.harness.journal_process import GATEWAY, intent
from tests.harness.pgbouncer import PGBOUNCER, pgbouncer_before
from tests.harness.postgres import PostgresServer

DAY = 86_400.0

pytestmark = pytest.mark.skipif(
    PGBOUNCER is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"
)


@pytest.fixture
def schema(postgres: PostgresServer) -> Iterator[str]:
    with postgres.schema() as schema:
        yield schema


@pytest.mark.parametrize("round_robin", [False, True], ids=["last used", "in turn"])
@pytest.mark.parametrize("pool_size", [1, 20])
async def test_transaction_mode_is_refused(
    postgres: PostgresServer, schema: str, pool_size: int, round_robin: bool
) -> None:
    """The error says why and what to do, whatever session the pool gives next; no table is made."""
    with pgbouncer_before(
        postgres, "transaction", pool_size=pool_size, round_robin=round_robin
    ) as dsn:
        journal = PostgresJournal(dsn, schema=schema, patience=1.0)
        with pytest.raises(JournalError, match=r"no session .* transaction .*pool_mode=session"):
            await journal.open()
    assert tables_in(postgres, schema) == 0


async def test_transaction_mode_is_refused_on_a_busy_pool(
    postgres: PostgresServer, schema: str
) -> None:
    """Others take and leave the pool's sessions meanwhile, so that their order proves nothing."""
    stop = threading.Event()
    with pgbouncer_before(postgres, "transaction", pool_size=4) as dsn:

        def work() -> None:
            with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
                while not stop.is_set():
                    connection.execute("SELECT pg_sleep(0.002)")

        busy = [threading.Thread(target=work) for _ in range(5)]
        for thread in busy:
            thread.start()
        try:
            for _ in range(3):
                journal = PostgresJournal(dsn, schema=schema, patience=1.0)
                with pytest.raises(JournalError, match="pool_mode=session"):
                    await journal.open()
        finally:
            stop.set()
            for thread in busy:
                thread.join()
    assert tables_in(postgres, schema) == 0


async def test_statement_mode_is_refused(postgres: PostgresServer, schema: str) -> None:
    """It keeps no session either."""
    with (
        pgbouncer_before(postgres, "statement") as dsn,
        pytest.raises(JournalError, match="pool_mode=session"),
    ):
        await PostgresJournal(dsn, schema=schema, patience=1.0).open()
    assert tables_in(postgres, schema) == 0


async def test_session_mode_serves_and_tells_the_living_from_the_dead(
    postgres: PostgresServer, schema: str
) -> None:
    """A living owner keeps what it has; what a closed one has left is claimed."""
    with pgbouncer_before(postgres, "session") as dsn:
        one = PostgresJournal(dsn, schema=schema)
        other = PostgresJournal(dsn, schema=schema)
        await one.open()
        await other.open()
        await one.begin(intent("k"), window=DAY)
        assert await other.claim(GATEWAY) == []
        await one.aclose()
        assert [entry.idempotency_key for entry in await other.claim(GATEWAY)] == ["k"]
        await other.aclose()


async def test_in_session_mode_a_loss_that_the_pooler_has_not_noticed_is_not_waited_for(
    postgres: PostgresServer, schema: str
) -> None:
    """The session that is ended is the server's, whose number the pooler does not pass on."""
    with pgbouncer_before(postgres, "session") as dsn:
        journal = PostgresJournal(dsn, schema=schema, patience=1.0)
        await journal.open()
        worker = journal._worker
        assert worker is not None
        lost, worker._connection = worker._connection, None
        assert lost is not None
        assert await journal.get("k") is None
        await lost.close()
        await journal.aclose()


def tables_in(server: PostgresServer, schema: str) -> int:
    rows = server.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s", (schema,))
    count: int = rows[0][0]
    return count
