"""Run a sale, refund or signature on a device: from the options to the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import evolve

from payroc_async import (
    APIError,
    Canceled,
    ConfigurationError,
    Failed,
    InstructionCanceledError,
    InstructionError,
    InstructionFailedError,
    JournalError,
    OutcomeUnknownError,
    PayrocError,
    PayrocSession,
    ResultReceived,
    Signature,
)
from payroc_async.cli.device_operations import JobOptions
from payroc_async.cli.journal_location import journal_named, new_or_existing_journal
from payroc_async.cli.journal_warnings import report_journal_failures
from payroc_async.cli.output import SteadyConsole
from payroc_async.cli.progress import Progress
from payroc_async.cli.results import Result, in_option_names, show, show_json
from payroc_async.cli.settings import variables
from payroc_async.cli.signals import on_signal
from payroc_async.journal import Journal
from payroc_async.simulator import Simulator

__all__ = ["run_on_device"]

SIMULATED_SECONDS = 2.0
"""Seconds that a simulated cardholder takes."""


def run_on_device(options: JobOptions) -> int:
    """Run it; return the exit code. Progress goes to stderr, the result to stdout."""
    progress = Progress(SteadyConsole(stderr=True), options)
    request: Any = None
    try:
        request = options.job.request(options)
        with progress:
            result = asyncio.run(_main(options, request, progress, _session(options)))
    except ConfigurationError as error:
        result = Result(error=in_option_names(error))
    except JournalError as error:
        result = Result(error=error)  # the session can't be opened: nothing was sent
    if isinstance(result.resource, Signature) and options.output is not None:
        result = evolve(result, unsaved=_save(result.resource, options.output))
    order = getattr(request, "order", None)
    if options.as_json:
        show_json(options, order, result)
    else:
        show(options, order, result)
    return result.exit_code


def _save(signature: Signature, output: Path) -> str | None:
    try:
        signature.save(output)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def _session(options: JobOptions) -> AbstractAsyncContextManager[PayrocSession]:
    # With a simulator, write a journal only if ``--journal`` was given.
    place = options.journal if options.simulator else journal_named(options.journal)
    journal = None if place is None else new_or_existing_journal(place)
    if not options.simulator:
        return PayrocSession.from_env(variables(), journal=journal)
    return _simulated(options, journal)


@asynccontextmanager
async def _simulated(options: JobOptions, journal: Journal | None) -> AsyncIterator[PayrocSession]:
    async with Simulator() as gateway:
        gateway.device(options.serial_number).approves(after=SIMULATED_SECONDS)
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, journal=journal
        ) as session:
            yield session


async def _main(
    options: JobOptions,
    request: Any,
    progress: Progress,
    opening: AbstractAsyncContextManager[PayrocSession],
) -> Result:
    async with opening as session:
        report_journal_failures(session, progress.trouble)
        running = asyncio.create_task(
            options.job.runner(session)(
                options.serial_number,
                request,
                idempotency_key=options.idempotency_key,
                timeout=options.timeout,
                on_event=progress.note,
            ),
            name=f"payroc-async {options.job.command}",
        )
        progress.begin(getattr(request, "order", None))
        # Cancel the task once: the SDK then cancels the instruction, and waits for the gateway.
        with on_signal(lambda: _interrupt(running, progress), progress.already_cancelling):
            await asyncio.wait((running,))
            # Here, and not only below: the gateway's answers during the close count, too.
            await session.aclose()
    if running.cancelled():
        return _after_interrupt(options, request, progress)
    error = running.exception()
    if error is None:
        return Result(resource=running.result(), instruction_id=progress.instruction_id)
    if isinstance(error, ConfigurationError) or not isinstance(error, PayrocError):
        raise error
    if (
        isinstance(error, OutcomeUnknownError)
        and options.key_is_fresh
        and not error.may_have_taken_effect
    ):
        # The SDK can't know that the given key was generated just now.
        if isinstance(error.__cause__, APIError):
            error = error.__cause__
        else:
            error = InstructionCanceledError(
                serial_number=error.serial_number,
                idempotency_key=error.idempotency_key,
                instruction_id=None,
                request=request,
                kind=error.kind,
            )
    return Result(error=error, instruction_id=progress.instruction_id)


def _interrupt(running: asyncio.Task[Any], progress: Progress) -> None:
    progress.cancelling()
    running.cancel()


def _after_interrupt(options: JobOptions, request: Any, progress: Progress) -> Result:
    """Return the outcome after Ctrl-C, from the last event."""
    known: dict[str, Any] = {
        "serial_number": options.serial_number,
        "idempotency_key": options.idempotency_key,
        "instruction_id": progress.instruction_id,
        "request": request,
        "kind": options.job.noun,
    }
    last = progress.last
    error: InstructionError
    match last:
        case ResultReceived():
            return Result(
                resource=last.resource, instruction_id=progress.instruction_id, interrupted=True
            )
        case Canceled():
            error = InstructionCanceledError(**known)
        case Failed():
            error = InstructionFailedError(last.error_message, **known)
        case _:
            error = OutcomeUnknownError(**known)
    return Result(error=error, instruction_id=progress.instruction_id, interrupted=True)
