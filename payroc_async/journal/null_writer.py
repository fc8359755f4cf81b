"""How a session without a journal writes: not at all."""

from __future__ import annotations

from .entries import EntryState

__all__ = ["NO_ENTRY", "NullEntry", "NullWriter"]


class NullEntry:
    """The entry of an instruction that no journal keeps."""

    state = EntryState.INTENT
    instruction_id = serial_number = idempotency_key = None
    inherited = False

    async def write(self, *_: object, **__: object) -> bool:
        """Nothing has to be written, so that it always is."""
        return True

    def defer_release(self) -> None:
        """No one else can claim it."""


NO_ENTRY = NullEntry()


class NullWriter:
    """How a session without a journal writes: not at all."""

    journaled = False

    async def open(self) -> None:
        """Nothing has to be opened."""

    async def close(self) -> None:
        """Nothing has to be closed."""

    async def begin(self, *_: object) -> NullEntry:
        """No entry."""
        return NO_ENTRY

    async def adopt(self, *_: object) -> NullEntry:
        """No entry."""
        return NO_ENTRY

    def expect(self, _: str) -> None:
        """No recovery is there."""

    def ended(self, _: str, *, claimed: bool) -> None:
        """Nothing was noted."""

    async def is_withdrawn(self, _: str) -> bool:
        """Nothing was written."""
        return True
