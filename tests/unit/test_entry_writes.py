"""A write of an instruction's entry goes on although the task is canceled, unless it is killed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from payroc_async.instructions.entry import InstructionEntry
from payroc_async.instructions.lifecycle import Durable, Existence, State
from payroc_async.journal import EntryState


class Entry:
    """An entry whose first writes are canceled."""

    state = EntryState.INTENT

    def __init__(self, canceled: int) -> None:
        self.canceled = canceled
        self.written: list[object] = []

    async def write(self, *what: object) -> bool:
        self.written.append(what)
        if len(self.written) <= self.canceled:
            raise asyncio.CancelledError
        return True


def writes_to(entry: Entry, *, goes_on: bool) -> InstructionEntry:
    live = SimpleNamespace(
        services=SimpleNamespace(writer=SimpleNamespace(journaled=True)),
        identity=SimpleNamespace(instruction_id="e743", idempotency_key="k"),
        state=State(existence=Existence.KNOWN),
    )
    guard = SimpleNamespace(settle=lambda: goes_on, run_to_completion=None)
    return InstructionEntry(cast(Any, live), cast(Any, entry), cast(Any, guard), lambda _: None)


async def test_a_canceled_write_is_done_again() -> None:
    """However often: the same, until it is written."""
    entry = Entry(canceled=2)
    assert await writes_to(entry, goes_on=True)._write(Durable.SUBMITTED)
    assert entry.written == [(EntryState.SUBMITTED, "e743")] * 3


async def test_a_task_that_is_killed_writes_no_more() -> None:
    """The session ends: what is left is another's."""
    entry = Entry(canceled=2)
    with pytest.raises(asyncio.CancelledError):
        await writes_to(entry, goes_on=False)._write(Durable.SUBMITTED)
    assert len(entry.written) == 1
