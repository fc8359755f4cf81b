"""What a journal keeps, and what a session asks of one.

Every write is fenced: it names the owner and the fence that it believes in, and changes nothing
where somebody else has taken the entry over since. An owner is one opened journal; it holds a lock
for as long as its process lives, which the engine releases when the process dies. So no clocks
are compared to tell the living from the dead.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from attrs import field, frozen

from payroc_async.models.shared import Model

__all__ = [
    "NO_OWNER",
    "OPEN",
    "UNFINISHED",
    "Entry",
    "EntryKind",
    "EntryState",
    "Intent",
    "Journal",
    "Query",
]

EntryKind = Literal["payment", "refund", "signature"]

NO_OWNER = ""
"""The owner of an entry that was let go: anybody may claim it."""


class EntryState(StrEnum):
    """How far an instruction has come, as far as the journal was reported."""

    __hash__ = str.__hash__  # the own one of an enumeration is a Python function

    INTENT = "intent"
    """About to be submitted: the gateway may or may not know of it."""
    SUBMITTED = "submitted"
    """The gateway has accepted it."""
    CANCELING = "canceling"
    """It is wanted canceled; the gateway may or may not know of that."""
    COMPLETED = "completed"
    """It led to a payment, refund or signature."""
    FAILED = "failed"
    """It failed, or was refused: nothing came of it."""
    CANCELED = "canceled"
    """It was canceled, or never sent: nothing came of it."""
    UNKNOWN = "unknown"
    """Its outcome can't be learned by continuing to poll: a person has to look at it."""


UNFINISHED: frozenset[EntryState] = frozenset(
    (EntryState.INTENT, EntryState.SUBMITTED, EntryState.CANCELING)
)
"""What recovery looks for."""
OPEN: frozenset[EntryState] = UNFINISHED | {EntryState.UNKNOWN}
"""What has no outcome yet."""


@frozen(kw_only=True, eq=False, repr=False)
class Intent(Model):
    """What is about to be submitted.

    Args:
        idempotency_key: The key it goes under.
        kind: What is to come of it.
        gateway: The API's base URL.
        serial_number: The device's serial number.
        body: The exact bytes.
        scope: The merchant that it belongs to, as the caller names it.
    """

    idempotency_key: str
    kind: EntryKind
    gateway: str
    serial_number: str
    body: bytes = field(repr=False)
    scope: str = ""


@frozen(kw_only=True, eq=False, repr=False)
class Entry(Model):
    """One instruction in the journal, as it stood when it was read.

    Attributes:
        idempotency_key: The key that it is submitted under, and known by here.
        kind: ``"payment"``, ``"refund"`` or ``"signature"``.
        gateway: The base URL of the API that it belongs to.
        serial_number: The device's serial number.
        body: The exact bytes to submit; None once the instruction's id is known.
        instruction_id: The gateway's id for the instruction, once known.
        state: How far it has come.
        resource_id: The id of the payment, refund or signature, where it has completed.
        begun: When it was entered, by the journal's clock.
        changed: When it was last written.
        age: Seconds since ``begun`` when it was read, by the same clock. Negative if that clock was
            set back meanwhile.
        owner: Who drives it, or did. Empty where it was let go.
        fence: How often it has changed hands.
        running: Whether its owner lives. Always false for what has ended.
        scope: The merchant that it belongs to, as the caller names it.
    """

    idempotency_key: str
    kind: EntryKind
    gateway: str
    serial_number: str
    body: bytes | None = field(repr=False)
    instruction_id: str | None
    state: EntryState
    resource_id: str | None
    begun: datetime
    changed: datetime
    age: float
    owner: str
    fence: int
    running: bool = False
    scope: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether it is for recovery to end it."""
        return self.state in UNFINISHED


@frozen(kw_only=True)
class Query:
    """Which entries are asked for; None is any.

    Args:
        states: In any of these states.
        gateway: Of this API's base URL.
        scope: Of this merchant.
        serial_number: On this device.
        instruction_id: Of the instruction with this id.
        resource_ids: That led to one of these.
        with_body: Whose body is kept.
        after: A portion: those whose key comes after this one, ordered by their keys.
        limit: How many at most.
    """

    states: Collection[EntryState] | None = None
    gateway: str | None = None
    scope: str | None = None
    serial_number: str | None = None
    instruction_id: str | None = None
    resource_ids: Collection[str] | None = None
    with_body: bool = False
    after: str | None = None
    limit: int | None = None


@runtime_checkable
class Journal(Protocol):
    """What a session asks of a journal: ``SQLiteJournal`` and ``PostgresJournal`` are two.

    A journal object serves any number of sessions of one event loop, each of which opens and closes
    it: the first ``open`` opens it, the last ``aclose`` closes it.

    Each method either has its effect on disk when it returns, or raises. All may be called again
    after a failure or a cancellation: the effect is the same as of one call.

    Every method raises ``JournalError`` if the journal can't be read or written.
    """

    async def open(self) -> None:
        """Open it, and take the lock by which others see that this owner lives."""
        ...

    async def aclose(self) -> None:
        """Release the lock and close, with the last that has it open."""
        ...

    async def begin(self, intent: Intent, *, window: float) -> Entry:
        """The entry of what is about to be submitted, owned by this journal.

        A key that was entered before is taken over, unless somebody alive drives it. Its id is
        kept, so that it need not be submitted again; without one its state is ``intent``.

        A device runs one instruction: where another entry of the gateway and scope is unfinished on
        it, nothing is entered. That is decided in the transaction that enters the intent.

        Args:
            intent: What is to be submitted.
            window: Seconds for which the gateway is trusted to know a key.

        Raises:
            LeaseLost: Somebody alive drives it.
            DeviceBusyError: Another entry is unfinished on its device.
            ConfigurationError: The key was used for another request; or there is no id to ask for
                instead, and it was used longer than ``window`` ago, or at a time that is yet to
                come, since a clock was set back.
        """
        ...

    async def adopt(
        self, kind: EntryKind, gateway: str, instruction_id: str, *, scope: str = ""
    ) -> Entry | None:
        """The entry without an outcome that has this id, taken over; None if there is none.

        Raises:
            LeaseLost: Somebody alive drives it.
        """
        ...

    async def write(
        self,
        entry: Entry,
        state: EntryState,
        *,
        instruction_id: str | None = None,
        resource_id: str | None = None,
        release: bool = False,
    ) -> None:
        """Write how far an entry has come; ids that are None stay as they are.

        Args:
            entry: As ``begin``, ``adopt`` or ``claim`` gave it: its owner and fence count.
            state: Its state from now on.
            instruction_id: The gateway's id; with one, the body is dropped.
            resource_id: The id of what came of it.
            release: Release it as well, so that anybody may claim it.

        Raises:
            LeaseLost: Somebody else has taken it over.
        """
        ...

    async def claim(
        self, gateway: str, *, scope: str = "", but: Collection[str] = (), limit: int = 100
    ) -> list[Entry]:
        """Unfinished entries whose owner is dead, the oldest first, now owned by this journal.

        Each is given to exactly one caller, however many race. They are as they were found, but for
        ``owner`` and ``fence``.

        Args:
            gateway: The API's base URL.
            scope: The merchant that they belong to.
            but: Keys of entries that are left as they are.
            limit: How many at most.
        """
        ...

    async def get(self, idempotency_key: str) -> Entry | None:
        """The entry under a key; None if there is none."""
        ...

    async def find(self, query: Query) -> list[Entry]:
        """The entries that are asked for, the oldest first; by their keys where it is a portion."""
        ...

    async def entries(
        self,
        *,
        states: Collection[EntryState] | None = None,
        gateway: str | None = None,
        scope: str | None = None,
    ) -> list[Entry]:
        """The entries in any of these states, the oldest first; all by default."""
        ...

    async def purge(self, older_than: float, *, scope: str | None = None) -> int:
        """How many entries were deleted that ended more than ``older_than`` seconds ago.

        In portions, so that sales go on beside it. What has no outcome stays, however old:
        unfinished and unknown ones.

        Args:
            older_than: Seconds.
            scope: Of this merchant alone; by default of all.
        """
        ...
