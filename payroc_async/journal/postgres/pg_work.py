"""What a journal in PostgreSQL does in the background: group commit, and the owner's lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import psycopg

from payroc_async.errors import JournalError, PayrocError
from payroc_async.logs import get_logger

from .pg_jobs import Job
from .pg_pooler import check_own_session, session_of
from .pg_schema import END_SESSION, LOCK, LOCK_WORK, NEXT_OWNER, TRY_LOCK
from .pg_server import Connection, Row, Server, close_and_wait, force_close, is_lost, migrate

__all__ = ["OwnerLock", "Worker"]

logger = get_logger(__name__)

T = TypeVar("T")

LARGEST_GROUP = 512
"""Jobs in one transaction at most: those behind them wait for its commit."""
SHORTEST_DELAY = 0.02
LONGEST_DELAY = 1.0
"""Seconds between two tries to connect."""


Attempt = Callable[[Connection, Sequence[Job[Any]]], Awaitable[list[Job[Any]]]]


class Worker:
    """Does what is asked of the database, all that has come meanwhile in one transaction.

    Args:
        server: Where to.
        owner: Whose work it is.
    """

    def __init__(self, server: Server, owner: OwnerLock) -> None:
        self._server = server
        self._owner = owner
        self._queue: asyncio.Queue[Job[Any] | None] = asyncio.Queue()
        self._connection: Connection | None = None
        self._last_session: int | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Connect, and start the task that does the work.

        Raises:
            psycopg.Error: There is no connection to be had.
            TimeoutError: Not within the patience.
        """
        await self._connected()
        self._task = self._loop.create_task(self._serve(), name="payroc journal")

    def refuse(self) -> None:
        """Take nothing any more: it is about to be closed."""
        self._closing = True

    async def aclose(self) -> None:
        """Do what was asked for, and disconnect."""
        self.refuse()
        if self._task is not None:
            self._queue.put_nowait(None)
            await asyncio.wait((self._task,))
        await self._disconnect()

    async def do(self, job: Job[T]) -> T:
        """What comes of a job, once it is committed.

        Raises:
            JournalError: It is not known to be done.
        """
        if self._closing or self._task is None or self._task.done():
            raise JournalError(f"journal in PostgreSQL ({self._server}): it is not open")
        self._put(job)
        return await job.done

    def _put(self, job: Job[Any]) -> None:
        job.done = self._loop.create_future()
        job.deadline = self._loop.time() + self._server.patience
        self._queue.put_nowait(job)

    async def _serve(self) -> None:
        group: list[Job[Any]] = []
        try:
            while (job := await self._queue.get()) is not None:
                group = [job]
                while len(group) < LARGEST_GROUP and not self._queue.empty():
                    job = self._queue.get_nowait()
                    if job is None:
                        self._queue.put_nowait(None)
                        break
                    group.append(job)
                quick = [job for job in group if job.statement is not None]
                more = await self._insist(quick, self._together)
                more += [job for job in group if job.statement is None]
                await self._insist(more, self._one_by_one)
        finally:
            # Whatever has ended this task, no one waits for it in vain.
            while not self._queue.empty():
                group += filter(None, (self._queue.get_nowait(),))
            for job in group:
                if not job.done.done():
                    job.done.set_exception(
                        self._server.as_journal_error(JournalError("it was closed"))
                    )
            await self._disconnect()

    async def _insist(self, jobs: Sequence[Job[Any]], attempt: Attempt) -> list[Job[Any]]:
        """Attempt it until it is done or the jobs' time is up; what is left for another attempt."""
        delay, in_doubt = 0.0, False
        while jobs:
            connection: Connection | None = None
            try:
                connection = await self._connected()
                return await self._bounded(connection, attempt(connection, jobs))
            except Exception as error:
                lost = is_lost(connection, error)
                in_doubt = in_doubt or (lost and connection is not None)
                await self._disconnect()  # for what it is in the middle of
                if not lost and len(jobs) > 1:
                    return [left for job in jobs for left in await self._insist([job], attempt)]
                if lost and not delay:
                    logger.warning("%s; connecting again", self._server.as_journal_error(error))
                now = self._loop.time()
                for job in jobs:
                    if not lost or now >= job.deadline:
                        told = self._server.as_journal_error(error)
                        told.may_be_written = in_doubt
                        _fail(job, told)
                jobs = [job for job in jobs if lost and now < job.deadline]
                if jobs:
                    latest = max(job.deadline for job in jobs)
                    await asyncio.sleep(min(delay, max(latest - now, 0.0)))
                    delay = min(max(2 * delay, SHORTEST_DELAY), LONGEST_DELAY)
        return []

    async def _together(self, connection: Connection, jobs: Sequence[Job[Any]]) -> list[Job[Any]]:
        """The statements of all, in one transaction and one round trip."""
        async with connection.pipeline():
            await connection.execute(b"BEGIN")
            cursors = [await connection.execute(_.statement or b"", _.values) for _ in jobs]
            await connection.execute(b"COMMIT")
        more = []
        for job, cursor in zip(jobs, cursors, strict=True):
            assert job.parse_rows is not None
            try:
                result = job.parse_rows(await cursor.fetchall())
            except PayrocError as error:
                _fail(job, error)
            else:
                if result is None:
                    more.append(job)
                else:
                    self._succeed(job, result)
        return more

    async def _one_by_one(self, connection: Connection, jobs: Sequence[Job[Any]]) -> list[Job[Any]]:
        """The work of each in turn, in one transaction."""
        results: list[tuple[Job[Any], Any, PayrocError | None]] = []
        async with connection.transaction():
            for job in jobs:
                assert job.work is not None
                try:
                    results.append((job, await job.work(connection), None))
                except PayrocError as error:
                    results.append((job, None, error))
        for job, result, refused in results:
            if refused is None:
                self._succeed(job, result)
            else:
                _fail(job, refused)
        return []

    def _succeed(self, job: Job[Any], result: Any) -> None:
        if not job.done.done():
            job.done.set_result(result)
        elif job.undo is not None:
            for undoing in job.undo(result):
                self._put(undoing)
                undoing.done.cancel()  # no one waits for this one either

    async def _bounded(self, connection: Connection, attempt: Awaitable[T]) -> T:
        timer = self._loop.call_later(self._server.patience, force_close, connection)
        try:
            return await attempt
        except psycopg.Error as error:
            if self._loop.time() >= timer.when():
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()

    async def _connected(self) -> Connection:
        if self._connection is None:
            self._connection, self._last_session = await _connected_as(
                self._server, LOCK_WORK, self._owner.owner, self._last_session
            )
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _fail(job: Job[Any], error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)


class OwnerLock:
    """A new owner's lock, on a connection of its own; taken again when that is lost.

    Args:
        server: Where to.
        on_again: Called each time that it is held again.

    Attributes:
        owner: The owner's number.
    """

    def __init__(self, server: Server, on_again: Callable[[], object]) -> None:
        self._server = server
        self._on_again = on_again
        self._held = asyncio.Event()
        self._connection: Connection | None = None
        self._last_session: int | None = None
        self._task: asyncio.Task[None] | None = None
        self.owner = 0

    async def open(self, schema: str | None) -> None:
        """Make the tables if they are missing, become an owner and lock it.

        Raises:
            psycopg.Error: There is no connection to be had.
            TimeoutError: Not within the patience.
            JournalError: As ``migrate``, or a pooler stands between that keeps no session.
        """
        self._connection = connection = await self._server.connect()
        await check_own_session(self._server, connection)
        await migrate(connection, schema)
        locked = False
        # A number comes twice if the sequence was set back, as an asynchronous standby may do.
        while not locked:
            (self.owner,) = await _row(connection, NEXT_OWNER)
            (locked,) = await _row(connection, TRY_LOCK, self.owner)
        self._last_session = await session_of(connection)
        self._held.set()
        self._task = asyncio.create_task(self._keep(connection), name="payroc journal lock")

    async def aclose(self) -> None:
        """Release it: from here on, what is still owned may be claimed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._connection is not None:
            await close_and_wait(self._connection, self._server.patience)

    async def held(self) -> None:
        """Wait until it is held: before, what is begun would pass for a dead owner's.

        Raises:
            JournalError: It could not be taken again within the patience.
        """
        if not self._held.is_set():
            try:
                async with asyncio.timeout(self._server.patience):
                    await self._held.wait()
            except TimeoutError as error:
                raise self._server.as_journal_error(error) from error

    async def _keep(self, connection: Connection) -> None:
        while True:
            error = await self._lost(connection)
            self._held.clear()
            logger.warning(
                "%s; the lock of owner %d is lost until it is connected again, and "
                "others may take over what it drives",
                self._server.as_journal_error(error),
                self.owner,
            )
            connection = await self._again()
            self._held.set()
            logger.warning(
                "journal in PostgreSQL (%s): the lock of owner %d is held again",
                self._server,
                self.owner,
            )
            self._on_again()

    async def _lost(self, connection: Connection) -> Exception:
        """Why the connection is lost, once it is: nothing else is ever received on it."""
        try:
            async with aclosing(connection.notifies()) as notifies:
                async for _ in notifies:
                    pass
        except Exception as error:
            await connection.close()
            return error
        await connection.close()
        return JournalError("the connection has ended")

    async def _again(self) -> Connection:
        delay = 0.0
        while True:
            await asyncio.sleep(delay)
            try:
                # Claims under way come to the end first.
                connection, self._last_session = await _connected_as(
                    self._server, LOCK, self.owner, self._last_session
                )
            except Exception as error:
                logger.debug("%s", self._server.as_journal_error(error))
            else:
                self._connection = connection
                return connection
            delay = min(max(2 * delay, SHORTEST_DELAY), LONGEST_DELAY)


async def _connected_as(
    server: Server, lock: bytes, owner: int, last_session: int | None
) -> tuple[Connection, int]:
    """A connection that holds a lock of the owner's, and its session.

    The server may still have the last session, which is ended first.
    """
    connection = await server.connect()
    try:
        async with asyncio.timeout(server.patience):
            if last_session is not None:
                await connection.execute(END_SESSION, (last_session, owner))
            await connection.execute(lock, (owner,))
            return connection, await session_of(connection)
    except BaseException:
        await connection.close()
        raise


async def _row(connection: Connection, statement: bytes, *values: Any) -> Row:
    row = await (await connection.execute(statement, values)).fetchone()
    assert row is not None
    return row
