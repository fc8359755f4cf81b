"""An entry that an earlier call has begun, where the call that begins it again sends nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from payroc_async.errors import LeaseLost, OutcomeUnknownError
from payroc_async.journal import EntryState, SQLiteJournal
from payroc_async.simulator import Simulator, problem
from tests.conftest import SERIAL, sale

from .test_recovery import entry, leave, session_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal"


async def test_a_canceled_retry_leaves_the_earlier_calls_entry_open(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J6: the wish comes while the entry is begun again; recovery finds it."""
    request = sale()
    key = await leave(gateway, path, request=request)
    begins, may_begin = asyncio.Event(), asyncio.Event()
    begin = SQLiteJournal.begin

    async def begin_late(*args: Any, **options: Any) -> Any:
        begins.set()
        await may_begin.wait()
        return await begin(*args, **options)

    monkeypatch.setattr(SQLiteJournal, "begin", begin_late)
    async with session_of(gateway, path) as session:
        retry = asyncio.create_task(session.run_sale(SERIAL, request, idempotency_key=key))
        await begins.wait()
        retry.cancel()
        await asyncio.sleep(0)
        may_begin.set()
        with pytest.raises(asyncio.CancelledError):
            await retry
    assert (await entry(path)).state is EntryState.CANCELING
    assert not gateway.instructions


async def test_a_refusal_is_unknown_where_another_process_has_the_entry(
    gateway: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4: the process that holds the entry may submit the sale: it is not reported as refused."""
    gateway.faults.add("submit", problem(409, "cannot-be-modified"))

    async def write(*_: Any, **__: Any) -> None:
        raise LeaseLost("key")

    monkeypatch.setattr(SQLiteJournal, "write", write)
    async with session_of(gateway, path) as session:
        with pytest.raises(OutcomeUnknownError):
            await session.run_sale(SERIAL, sale())
