"""What holds for entries in every store. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from payroc_async.errors import (
    ConfigurationError,
    DeviceBusyError,
    JournalError,
    LeaseLost,
)
from payroc_async.wording import show

from .entries import OPEN, Entry, EntryState, Intent, Query

__all__ = [
    "check_device",
    "check_older_than",
    "check_outcome",
    "check_same_request",
    "check_window",
    "conditions",
    "entry_of",
    "forgets_body",
    "listed",
    "new_entry",
    "to_be_resolved",
]


def check_same_request(known: Entry, intent: Intent, *, same_body: bool) -> None:
    """Refuse a key that was used for something else.

    Raises:
        ConfigurationError: The kind, gateway, scope, device or body is another.
    """
    same = (known.kind, known.gateway, known.scope, known.serial_number) == (
        *(intent.kind, intent.gateway, intent.scope, intent.serial_number),
    )
    if not (same and same_body):
        raise ConfigurationError(
            "idempotency_key",
            "was used for another request before, as the journal shows: a new request needs a new "
            "key",
        )


def check_device(unfinished: Sequence[Entry], idempotency_key: str) -> None:
    """Refuse a device on which another instruction is unfinished: it would be a second prompt.

    Args:
        unfinished: The unfinished entries of the device.
        idempotency_key: The one that is about to be submitted.

    Raises:
        DeviceBusyError: One of them is another.
    """
    for entry in unfinished:
        if entry.idempotency_key != idempotency_key:
            raise DeviceBusyError(
                entry.serial_number,
                idempotency_key=entry.idempotency_key,
                since=entry.begun,
                running=entry.running,
            )


def check_window(known: Entry, window: float) -> None:
    """Refuse to submit under a key that the gateway may have forgotten: it would charge again.

    Raises:
        ConfigurationError: It is older than ``window`` seconds, and has no id to ask for instead;
            or a clock that was set back leaves no one knowing how old it is.
    """
    # One that runs is the asker's own, which it asks for again: that was let in before.
    if known.instruction_id is None and known.age < 0 and not known.running:
        raise ConfigurationError(
            "idempotency_key",
            f"was first used {-known.age:.0f} s from now, as the journal shows: a clock was set "
            "back, so it is unknown whether the gateway still knows the key; correct the clock, "
            f"and try again; the journal has it as {known.state.value}",
        )
    if known.instruction_id is None and known.age > window:
        raise ConfigurationError(
            "idempotency_key",
            f"was first used {known.age / 3600:.1f} h ago, longer than the gateway is trusted to "
            f"know a key; the journal has it as {known.state.value}: look the payment up by its "
            "order id, and use a new key only if there is none",
        )


def forgets_body(entry: Entry, state: EntryState, instruction_id: str | None) -> bool:
    """Whether a write drops the body: the id is known, or nothing is left to find out."""
    return (entry.instruction_id or instruction_id) is not None or state not in OPEN


def check_older_than(older_than: float) -> None:
    """Refuse what is no age.

    Raises:
        ConfigurationError: It is not a number of seconds, 0 or more.
    """
    number = isinstance(older_than, int | float) and not isinstance(older_than, bool)
    if not number or not older_than >= 0:
        raise ConfigurationError(
            "older_than", f"must be a number of seconds, 0 or more, not {show(older_than)}"
        )


def check_outcome(state: EntryState, resource_id: str | None) -> None:
    """Refuse what is no outcome that a person can have found out.

    Raises:
        ConfigurationError: The state is not one, or the resource's id does not go with it.
    """
    if state in OPEN:
        raise ConfigurationError(
            "state", f"must be completed, failed or canceled, not {show(state)}"
        )
    if bool(resource_id) != (state is EntryState.COMPLETED):
        raise ConfigurationError(
            "resource_id", "must be given for completed, and left out for failed and canceled"
        )


def to_be_resolved(
    known: Entry, state: EntryState, resource_id: str | None, *, driven: bool
) -> bool:
    """Whether the outcome is to be written; not if it was already.

    Raises:
        JournalError: It has another outcome, or may have one yet.
        LeaseLost: It is driven by a process that lives.
    """
    if (known.state, known.resource_id) == (state, resource_id):
        return False
    if known.state not in OPEN:
        raise JournalError(
            f"the entry {known.idempotency_key} is {known.state.value}: only one that has no "
            "outcome can be closed by hand"
        )
    if driven:
        raise LeaseLost(known.idempotency_key)
    return True


def conditions(query: Query, in_open: str) -> tuple[list[str], list[Any]]:
    """What a query asks for, in SQL with question marks, and its values.

    ``resource_ids`` and ``after`` are left to the engine.

    Args:
        query: The query.
        in_open: What the engine's indexes of open entries are on.
    """
    equal = {
        "gateway": query.gateway,
        "scope": query.scope,
        "serial_number": query.serial_number,
        "instruction_id": query.instruction_id,
    }
    found = [f"{name} = ?" for name, value in equal.items() if value is not None]
    values: list[Any] = [value for value in equal.values() if value is not None]
    if query.states is not None:
        wanted = frozenset(query.states)
        found.append(f"state IN ({listed(wanted)})" if wanted else "1 = 0")
        if wanted <= OPEN:
            found.append(in_open)
    if query.with_body:
        found.append("body IS NOT NULL")
    if query.resource_ids is not None:
        found.append("resource_id IS NOT NULL")
    return found or ["1 = 1"], values


def entry_of(
    stored: Sequence[Any], age: float, owner: str, fence: int, scope: str, *, running: bool
) -> Entry:
    """The entry that a row holds; its times are seconds since 1970."""
    return Entry(
        idempotency_key=stored[0],
        kind=stored[1],
        gateway=stored[2],
        serial_number=stored[3],
        body=stored[4],
        instruction_id=stored[5],
        state=EntryState(stored[6]),
        resource_id=stored[7],
        begun=datetime.fromtimestamp(stored[8], UTC),
        changed=datetime.fromtimestamp(stored[9], UTC),
        age=age,
        owner=owner,
        fence=fence,
        running=running,
        scope=scope,
    )


def new_entry(intent: Intent, now: float, owner: str) -> Entry:
    """The entry of an intent that was entered just now, in seconds since 1970."""
    begun = datetime.fromtimestamp(now, UTC)
    return Entry(
        idempotency_key=intent.idempotency_key,
        kind=intent.kind,
        gateway=intent.gateway,
        serial_number=intent.serial_number,
        body=intent.body,
        instruction_id=None,
        state=EntryState.INTENT,
        resource_id=None,
        begun=begun,
        changed=begun,
        age=0.0,
        owner=owner,
        fence=1,
        running=True,
        scope=intent.scope,
    )


def listed(states: frozenset[EntryState] | set[EntryState]) -> str:
    """The states as SQL has them between brackets."""
    return ", ".join(f"'{state.value}'" for state in sorted(states))
