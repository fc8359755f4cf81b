"""``payroc-async recover``: recover sales left unfinished by crashed processes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from attrs import define, field, frozen

from payroc_async import (
    Canceled,
    ConfigurationError,
    Event,
    Failed,
    InstructionCanceledError,
    InstructionFailedError,
    LeaseLost,
    OutcomeUnknownError,
    PayrocError,
    PayrocSession,
    Recovered,
    RecoveryAction,
    ResultReceived,
    Transaction,
)
from payroc_async.cli.device_operations import REFUND, SALE, SIGNATURE, Job, run_with_amounts
from payroc_async.cli.journal_location import existing_journal
from payroc_async.cli.journal_warnings import report_journal_failures
from payroc_async.cli.output import error_members, note, plain, say, say_error, say_json
from payroc_async.cli.results import (
    DONE,
    NOT_DONE,
    UNKNOWN,
    Result,
    answer_members,
    exit_code_of,
    headline,
    resource_id,
    show_details,
)
from payroc_async.cli.settings import variables
from payroc_async.cli.signals import on_signal
from payroc_async.journal import Entry, EntryState, Journal
from payroc_async.journal.entries import OPEN, UNFINISHED

from .entry_table import age_in_words

__all__ = ["RecoverOptions", "run_recovery"]

JOBS: dict[str, Job] = {job.noun: job for job in (SALE, REFUND, SIGNATURE)}


@frozen(kw_only=True)
class RecoverOptions:
    """The command's options.

    Args:
        journal: The value of ``--journal``.
        cancel: Cancel the instructions that are found.
        resubmit: Resubmit old instructions, too.
        as_json: Write only JSON to stdout, one object per line.
    """

    journal: str | None = field(default=None, repr=False)
    cancel: bool
    resubmit: bool
    as_json: bool


@define(eq=False)
class Search:
    """The progress of the recovery.

    Attributes:
        before: The unfinished entries at the start, by key.
        ends: The last event of each instruction that has ended, by key.
        found: The instructions that have ended or were left unchanged, by key.
        stray: How many entries are still unfinished, without a running process.
        driven: How many entries other processes run.
        elsewhere: How many entries are unfinished at another gateway.
        error: The error that stopped the recovery.
        interrupted: Whether Ctrl-C interrupted the recovery.
    """

    options: RecoverOptions
    before: dict[str, Entry] = field(factory=dict)
    ends: dict[str, Event] = field(factory=dict)
    found: dict[str, Recovered] = field(factory=dict)
    stray: int = 0
    driven: int = 0
    elsewhere: int = 0
    error: PayrocError | None = None
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0: nothing is left open, 4: stopped by an error, 5: an outcome is unknown."""
        if self.stray or any(_is_open(one) for one in self.found.values()):
            return UNKNOWN
        return NOT_DONE if self.error else DONE

    def note(self, event: Event) -> None:
        """Record the last event of an instruction."""
        if (
            isinstance(event, ResultReceived | Canceled | Failed)
            and event.idempotency_key is not None
        ):
            self.ends[event.idempotency_key] = event

    def tell(self, found: Recovered) -> None:
        """Print one recovered instruction, and store it."""
        self.found[found.entry.idempotency_key] = found
        (_show_json if self.options.as_json else _show)(found)


def run_recovery(options: RecoverOptions) -> int:
    """Run the recovery, and return the exit code. Results go to stdout, all else to stderr."""
    return exit_code_of(lambda: _run(options))


def _run(options: RecoverOptions) -> int:
    journal = existing_journal(options.journal)
    session = PayrocSession.from_env(variables(), journal=journal)
    search = Search(options)
    report_journal_failures(session, lambda what: note(plain(what)))
    run_with_amounts(lambda: _main(search, session, journal))
    _conclude(search)
    return search.exit_code


async def _main(search: Search, opening: PayrocSession, journal: Journal) -> None:
    async with opening as session:
        working = asyncio.create_task(_recover(search, session), name="payroc-async recover")

        def interrupt() -> None:
            if working.cancel():
                search.interrupted = True
                note("releasing the unfinished entries")

        with on_signal(interrupt, lambda: note("already releasing")):
            await asyncio.wait((working,))
            error = None if working.cancelled() else working.exception()
            if error is not None and not isinstance(error, PayrocError):
                raise error
            if isinstance(error, ConfigurationError):
                raise error
            search.error = error
            _tell_the_rest(search)
            try:
                await _look_around(search, session, journal)
            except PayrocError as failure:
                search.error = error or failure
            await session.aclose()


async def _recover(search: Search, session: PayrocSession) -> None:
    search.before = {entry.idempotency_key: entry for entry in await session.unfinished()}
    waiting = sum(not entry.running for entry in search.before.values())
    if waiting:
        verb = "canceling" if search.options.cancel else "recovering"
        note(f"{waiting} unfinished: {verb} {'it' if waiting == 1 else 'them'}")
    recovery = session.recover(
        "cancel" if search.options.cancel else "finish",
        resubmit=search.options.resubmit,
        on_event=search.note,
    )
    async with aclosing(recovery):
        async for found in recovery:
            search.tell(found)


def _tell_the_rest(search: Search) -> None:
    """Collect instructions that ended during the release: the recovery no longer yields them."""
    for key, event in search.ends.items():
        entry = search.before.get(key)
        if entry is not None and key not in search.found:
            search.tell(_recovered(entry, event, cancel=search.options.cancel))


def _recovered(entry: Entry, event: Event, *, cancel: bool) -> Recovered:
    """Build the result that the recovery would have yielded."""
    action: RecoveryAction = "resumed" if entry.instruction_id else "resubmitted"
    if cancel or entry.state is EntryState.CANCELING:
        action = "canceled"
    known: dict[str, Any] = {
        "serial_number": entry.serial_number,
        "idempotency_key": entry.idempotency_key,
        "instruction_id": event.instruction_id,
        "kind": entry.kind,
    }
    match event:
        case ResultReceived():
            state, resource = EntryState.COMPLETED, event.resource
            return Recovered(entry=entry, action=action, state=state, resource=resource)
        case Failed():
            failure = InstructionFailedError(event.error_message, **known)
            return Recovered(entry=entry, action=action, state=EntryState.FAILED, error=failure)
        case _:
            canceled = InstructionCanceledError(**known)
            return Recovered(entry=entry, action=action, state=EntryState.CANCELED, error=canceled)


async def _look_around(search: Search, session: PayrocSession, journal: Journal) -> None:
    """Count the entries that are still unfinished in the journal."""
    here = await session.unfinished()
    search.stray = sum(not entry.running for entry in here)
    search.driven = sum(
        entry.running and entry.idempotency_key not in search.found for entry in here
    )
    search.elsewhere = len(await journal.entries(states=UNFINISHED)) - len(here)


def _is_open(found: Recovered) -> bool:
    """Whether the outcome is still unknown."""
    if found.resource is not None:
        return False
    return found.state in OPEN or isinstance(found.error, OutcomeUnknownError | LeaseLost)


# Shown ----------


def _show(found: Recovered) -> None:
    entry, job = found.entry, JOBS[found.entry.kind]
    error = found.error if isinstance(found.error, PayrocError) else None
    if _is_open(found):
        said, color = f"OUTCOME UNKNOWN: {job.perhaps}", "red"
    else:
        result = Result(
            resource=found.resource, error=error, interrupted=found.action == "canceled"
        )
        said, color = headline(job, getattr(found.resource, "order", None), result)
    say(plain(said), fg=color, bold=True)
    because = error.__cause__ if isinstance(error, OutcomeUnknownError) else error
    show_details(
        {
            job.noun: resource_id(found.resource),
            "because": str(because) if because is not None and _is_open(found) else None,
            "device": entry.serial_number,
            "found": f"{entry.state.value}, {age_in_words(entry.age)} old; {found.action}",
            "state": found.state.value,
            "instruction": _instruction_id(found),
            "idempotency key": entry.idempotency_key,
        }.items()
    )


def _show_json(found: Recovered) -> None:
    entry, resource = found.entry, found.resource
    transaction = resource if isinstance(resource, Transaction) else None
    members: dict[str, Any] = {
        "idempotency_key": entry.idempotency_key,
        "kind": entry.kind,
        "serial_number": entry.serial_number,
        "found": entry.state.value,
        "age": round(entry.age, 1),
        "action": found.action,
        "state": found.state.value,
        "open": _is_open(found),
        "instruction_id": _instruction_id(found),
        "resource_id": resource_id(resource),
        "order_id": transaction.order.order_id if transaction else None,
        "amount": transaction.order.amount if transaction else None,
        "currency": transaction.order.currency if transaction else None,
        **answer_members(transaction),
        "error": error_members(found.error if isinstance(found.error, PayrocError) else None),
    }
    say_json(members)


def _instruction_id(found: Recovered) -> str | None:
    return found.entry.instruction_id or getattr(found.error, "instruction_id", None)


def _conclude(search: Search) -> None:
    """Print the summary and hints to stderr."""
    if search.error is not None:
        say_error(search.error)
    elif not search.found and not search.stray:
        note("nothing to recover")
    if search.stray:
        said = "interrupted: " if search.interrupted else ""
        stays = f"{said}{search.stray} still unfinished, in the journal for the next `recover`"
        note(stays)
    if any(map(_may_be_sent_again, search.found.values())) and not search.options.resubmit:
        note("--resubmit sends again what may never have arrived: the device may prompt")
    if search.driven:
        note(f"{search.driven} more in progress in other processes")
    if search.elsewhere:
        note(f"{search.elsewhere} more unfinished at another gateway, see `journal list --json`")


def _may_be_sent_again(found: Recovered) -> bool:
    return found.action == "left" and isinstance(found.error, OutcomeUnknownError)
