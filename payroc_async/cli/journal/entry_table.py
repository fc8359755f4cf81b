"""``payroc-async journal``: list, show, close and purge entries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from payroc_async import ConfigurationError
from payroc_async.cli.formatting import Summary, print_table
from payroc_async.cli.journal_location import existing_journal
from payroc_async.cli.output import note, plain, say, say_error, say_json
from payroc_async.cli.phrases import moment_in_words
from payroc_async.cli.results import DONE, NOT_DONE, exit_code_of, show_details
from payroc_async.journal import Entry, EntryState
from payroc_async.journal.entries import OPEN

if TYPE_CHECKING:
    from payroc_async.cli.journal_location import AnyJournal

__all__ = ["age_in_words", "ask", "close_entry", "list_entries", "purge_entries", "show_entry"]

T = TypeVar("T")

DAY = 86400.0


def list_entries(place: str | None, *, everything: bool, as_json: bool) -> int:
    """Print the unfinished or all entries; return the exit code."""
    return exit_code_of(lambda: _list(place, everything, as_json))


def show_entry(place: str | None, key: str, *, as_json: bool) -> int:
    """Print one entry; return the exit code."""
    return exit_code_of(lambda: _show(place, key, as_json))


def close_entry(
    place: str | None, key: str, outcome: str, resource_id: str | None, *, as_json: bool
) -> int:
    """Write the outcome of an unknown entry, and print the entry; return the exit code."""
    return exit_code_of(lambda: _close(place, key, EntryState(outcome), resource_id, as_json))


def purge_entries(place: str | None, *, days: float, as_json: bool) -> int:
    """Delete entries that ended longer ago; return the exit code."""
    return exit_code_of(lambda: _purge(place, days, as_json))


def _list(place: str | None, everything: bool, as_json: bool) -> int:
    found = ask(
        existing_journal(place),
        lambda journal: journal.entries(states=None if everything else OPEN),
    )
    shown = [entry for entry in found if everything or entry.unfinished]
    if as_json:
        for entry in shown:
            click.echo(json.dumps(ENTRIES.members(entry)))
    elif shown:
        print_table([ENTRIES.row(entry) for entry in shown])
    if not shown:
        note("the journal is empty" if everything else "nothing in the journal is unfinished")
    stray = sum(entry.unfinished and not entry.running for entry in found)
    if stray:
        note(f"{stray} orphaned: run `payroc-async recover`")
    unknown = sum(entry.state is EntryState.UNKNOWN for entry in found)
    if unknown:
        more = (
            f"{unknown} of unknown outcome: check the device's payments, "
            "then `payroc-async journal close` it"
        )
        click.echo(more if everything else f"{more}; --all shows them", err=True)
    return DONE


def _show(place: str | None, key: str, as_json: bool) -> int:
    entry = ask(existing_journal(place), lambda journal: journal.get(key))
    if entry is None:
        say_error(f"there is no entry {plain(key)} in the journal", "NotFound")
        return NOT_DONE
    _print(entry, as_json)
    return DONE


def _close(
    place: str | None, key: str, outcome: EntryState, resource_id: str | None, as_json: bool
) -> int:
    entry = ask(
        existing_journal(place),
        lambda journal: journal.resolve(key, outcome, resource_id=resource_id),
    )
    _print(entry, as_json)
    return DONE


def _print(entry: Entry, as_json: bool) -> None:
    if as_json:
        say_json(ENTRIES.members(entry))
    else:
        show_details({**ENTRIES.row(entry), **_more(entry)}.items())


def _purge(place: str | None, days: float, as_json: bool) -> int:
    try:
        gone = ask(existing_journal(place), lambda journal: journal.purge(days * DAY))
    except ConfigurationError as error:
        if error.field != "older_than":
            raise
        raise ConfigurationError("older_than", "must be a number of days, 0 or more") from error
    if as_json:
        say_json({"deleted": gone, "older_than_days": days})
    else:
        age = f"{days:g} day{'' if days == 1 else 's'}"
        say(f"{gone} deleted that ended more than {age} ago")
    return DONE


def ask(journal: AnyJournal, question: Callable[[AnyJournal], Awaitable[T]]) -> T:
    """Open the journal, run the query, and return its result."""

    async def main() -> T:
        await journal.open()
        try:
            return await question(journal)
        finally:
            await journal.aclose()

    return asyncio.run(main())


# Shown ----------


def age_in_words(seconds: float) -> str:
    """Return an age in words. It is negative if the clock was set back."""
    for unit, length in (("d", DAY), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _members(entry: Entry) -> dict[str, Any]:
    """Return an entry for JSON, without its body."""
    return {
        "idempotency_key": entry.idempotency_key,
        "state": entry.state.value,
        "kind": entry.kind,
        "serial_number": entry.serial_number,
        "gateway": entry.gateway,
        "instruction_id": entry.instruction_id,
        "resource_id": entry.resource_id,
        "begun": entry.begun.isoformat(),
        "changed": entry.changed.isoformat(),
        "age": round(entry.age, 1),
        "running": entry.running,
    }


def _row(entry: Entry) -> dict[str, str | None]:
    return {
        "state": entry.state.value,
        "kind": entry.kind,
        "device": entry.serial_number,
        "age": age_in_words(entry.age),
        "running": ("yes" if entry.running else "no") if entry.unfinished else None,
        "idempotency key": entry.idempotency_key,
        "instruction": entry.instruction_id,
        "resource": entry.resource_id,
    }


def _more(entry: Entry) -> dict[str, str | None]:
    return {
        "gateway": entry.gateway,
        "begun": moment_in_words(entry.begun),
        "changed": moment_in_words(entry.changed),
    }


ENTRIES: Summary[Entry] = Summary(noun="entry", members=_members, row=_row)
