"""Automatic recovery: a session's background task that recovers orphaned sales."""

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
    """Options of a session's automatic recovery of sales left behind by crashed processes.

    ``PayrocSession(journal=…, recovery=Recovery())``. The session polls the journal, claims
    orphaned instructions, and runs them beside its own. A recovered instruction that does not end
    does not delay the others. The recovery stops with the session.

    Args:
        interval: Seconds between two polls of the journal. A killed process's sales continue within
            this time.
        on_found: ``"finish"`` runs orphaned instructions to their ends, ``"cancel"`` cancels them.
        resubmit: Also resubmit instructions that are older than two minutes and without a payment
            at the gateway. That may start a prompt when the customer has left. Without it such an
            instruction is resubmitted only to be canceled at once, so that its device is free.
        timeout: Seconds that each recovered instruction may take; then it is canceled. None: as
            long as the cardholder takes. As ``timeout`` of ``run_sale``.
        on_recovered: A plain function that is called with each ``Recovered``. An entry that stays
            unfinished is reported again: identify it by ``found.entry.idempotency_key``.
            Exceptions of the function are logged.
        retention: Seconds after which ended entries of the session's scope are deleted, once an
            hour. None deletes nothing. Not below ``RetryPolicy.idempotency_window``.

    Raises:
        ConfigurationError: A value is wrong; the error names the argument.
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
        """Refuse a retention that deletes keys which may still be resubmitted.

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
    """The background tasks of a session's ``recovery``.

    Args:
        options: The caller's options.
        run: Finds and runs orphaned instructions; it never ends by itself.
        purge: Deletes entries that ended more than this many seconds ago, and returns their number.
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
        """Start the tasks in the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._recover(), name="payroc recovery"))
        if self._options.retention is not None:
            purging = self._purge_by_and_by(self._options.retention)
            self._tasks.append(loop.create_task(purging, name="payroc journal purge"))

    async def stop(self) -> None:
        """End the tasks. Unfinished instructions are released, and stay in the journal."""
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
                    logger.exception("automatic recovery failed; restarting it")
                else:
                    logger.error("automatic recovery failed; will retry: %s", error)
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
                    logger.error("purge failed; will retry: %s", error)
            await asyncio.sleep(PURGE_EVERY)
