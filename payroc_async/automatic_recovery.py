"""Recovery that runs by itself: an option of the session, for as long as the session lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any

from attrs import Attribute, field, frozen

from .callbacks import Listener, check_callback
from .config import check_seconds
from .errors import ConfigurationError, PayrocError, SessionClosedError
from .logs import get_logger
from .recovery import OnFound, Recovered, RecoveryRun, check_recovery

__all__ = ["AutomaticRecovery", "Recovery"]

logger = get_logger(__name__)

PURGE_EVERY = 3600.0
"""Seconds between two purges."""


def _seconds(instance: Any, attribute: Attribute[float], value: Any) -> None:
    check_seconds(attribute.name, value)


def _seconds_or_none(instance: Any, attribute: Attribute[float | None], value: Any) -> None:
    if value is not None:
        check_seconds(attribute.name, value)


def _callback(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    check_callback(attribute.name, value)


@frozen(kw_only=True)
class Recovery:
    """How a session recovers, by itself, the sales that crashed processes have left behind.

    ``PayrocSession(journal=…, recovery=Recovery())``. The session looks into the journal now and
    again, claims what no living process drives, and drives it beside its own sales. It never waits
    for a sale that does not end, and stops with the session.

    Args:
        interval: Seconds between two looks. A killed process's sales go on within this time.
        on_found: ``"finish"`` sees what is found to the end, ``"cancel"`` cancels it.
        resubmit: Start again also what is older than two minutes and of which no payment is found.
            That may start a prompt before a customer who has left. Without it such a one is
            submitted again under its key only to be canceled at once, so that its device is free.
        timeout: Seconds that each instruction which is found may take; then it is canceled. None:
            as long as the cardholder takes. As ``timeout`` of ``run_sale``.
        on_recovered: A plain function that is called with each ``Recovered``. An entry that was
            left unfinished comes again: go by ``found.entry.idempotency_key``. What the function
            raises is logged.
        retention: Seconds after which entries that have ended are deleted, once an hour, those of
            the session's scope alone. None deletes nothing. Not below
            ``RetryPolicy.idempotency_window``.

    Raises:
        ConfigurationError: A value is wrong; it is named.
    """

    interval: float = field(default=15.0, validator=_seconds)
    on_found: OnFound = "finish"
    resubmit: bool = False
    timeout: float | None = field(default=None, validator=_seconds_or_none)
    on_recovered: Callable[[Recovered], object] | None = field(default=None, validator=_callback)
    retention: float | None = field(default=None, validator=_seconds_or_none)

    def __attrs_post_init__(self) -> None:
        check_recovery(self.on_found, self.resubmit, self.timeout)

    def check_retention(self, window: float) -> None:
        """Refuse to forget a key that may still be submitted again.

        Raises:
            ConfigurationError: ``retention`` is shorter than the window.
        """
        if self.retention is not None and self.retention < window:
            raise ConfigurationError(
                "retention",
                f"must not be below RetryPolicy.idempotency_window ({window:g} s), not "
                f"{self.retention:g}: without its entry an old key is submitted as a new one",
            )


class AutomaticRecovery:
    """The tasks of a session's ``recovery``.

    Args:
        options: What the caller wants.
        run: Finds and drives what was left; it never ends by itself.
        purge: Deletes what ended more than so many seconds ago, and gives how many.
    """

    def __init__(
        self, options: Recovery, run: RecoveryRun, purge: Callable[[float], Awaitable[int]]
    ) -> None:
        self._options = options
        self._run = run
        self._purge = purge
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: Listener | None = None
        if options.on_recovered is not None:
            self._listener = Listener(options.on_recovered, "on_recovered")

    def start(self) -> None:
        """Start, in the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._recover(), name="payroc recovery"))
        if self._options.retention is not None:
            purging = self._purge_by_and_by(self._options.retention)
            self._tasks.append(loop.create_task(purging, name="payroc journal purge"))

    async def stop(self) -> None:
        """End the tasks: what has not ended is released, and stays in the journal."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _recover(self) -> None:
        while True:
            try:
                async with aclosing(self._run.run()) as recovered:
                    async for found in recovered:
                        self._note(found)
            except SessionClosedError:
                return
            except Exception as error:
                if not isinstance(error, PayrocError):
                    logger.exception("the automatic recovery failed, and begins anew")
                else:
                    logger.error("nothing is recovered for now: %s", error)
            await asyncio.sleep(self._options.interval)

    def _note(self, found: Recovered) -> None:
        entry = found.entry
        fields = {
            "serial_number": entry.serial_number,
            "idempotency_key": entry.idempotency_key,
            "instruction_id": entry.instruction_id,
        }
        outcome = found.error or found.resource
        logger.info(
            "recovered: %s on device %s was %s, begun %.0f s ago: %s, now %s%s",
            *(entry.kind, entry.serial_number, entry.state.value, entry.age, found.action),
            found.state.value,
            f" ({outcome})" if isinstance(outcome, Exception) else "",
            extra=fields,
        )
        if self._listener is not None:
            self._listener.deliver(found, lambda: fields)

    async def _purge_by_and_by(self, retention: float) -> None:
        while True:
            with suppress(SessionClosedError):
                try:
                    if gone := await self._purge(retention):
                        logger.info("deleted %d entries that ended over %g s ago", gone, retention)
                except PayrocError as error:
                    logger.error("nothing is purged for now: %s", error)
            await asyncio.sleep(PURGE_EVERY)
