"""The session: owns the connections, the token task and all running instructions."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Literal, Self

import anyio

from payroc_async.api.single_calls import SingleCalls
from payroc_async.http.token import APIKey, TokenManager, check_api_key
from payroc_async.http.transport import Transport
from payroc_async.instructions.live import Services
from payroc_async.journal.writer import JournalWriter, NullWriter
from payroc_async.wire.converter import prepare

from .automatic_recovery import AutomaticRecovery, Recovery
from .callbacks import OnEvent, check_async_callback, check_callback
from .cancellation import wait_through_cancellation
from .config import Environment, EnvironmentName, RetryPolicy, Timeouts
from .device_instructions import DeviceInstructions
from .errors import ConfigurationError, OutcomeUnknownError, SessionClosedError
from .journal import Entry, Journal, journal_at
from .kinds import PAYMENT, REFUND, SIGNATURE
from .loop_guard import GuardedGenerator, LoopGuard
from .recovery import OnFound, Recovered, RecoveryRun, TakeUp, check_recovery
from .secret import concealed, refusing_unseen
from .session_options import (
    as_environment,
    check_journaling,
    check_options,
    environment_of,
    settings,
)
from .supervisor import Supervisor
from .telemetry import Telemetry

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

__all__ = ["PayrocSession"]

_NOT_OPEN = {
    "new": 'the session is not open: use "async with PayrocSession(...)", or await its open()',
    "closing": "the session is closing and accepts no new calls: create another one",
    "closed": "the session is closed: create another one",
}


class PayrocSession(DeviceInstructions, SingleCalls):
    """A session with Payroc Cloud: one per process, for any number of devices.

    Creating it needs no running loop. Open it with ``async with``, or with ``open()`` and
    ``aclose()``, which may be called in different tasks of one loop.

    Args:
        api_key: The API key, or an async callable that returns it, called at each token fetch.
        environment: The gateway: an ``Environment``, ``"uat"`` or ``"production"``. There is no
            default, so that production is never used by omission.
        timeouts: How long to wait for connections, answers, tokens and the journal.
        retries: How failed requests are retried.
        journal: Records instructions and their outcomes, so that ``recover`` can continue them
            after a crash. Several sessions of one event loop may share a journal: the first opens
            it, the last closes it.
        scope: The merchant of the session's journal entries: a name of your choice, never the key.
            The session lists, recovers and purges only the entries of its scope.
        recovery: ``Recovery()`` to recover, while the session is open, sales left behind by crashed
            processes. Needs a journal.
        max_connections: The maximum number of connections; 0 for no limit. Every sale that waits
            for its cardholder holds one.
        http_session: Your own aiohttp session. It is not closed with this session, and its
            connector's limit (aiohttp's default is 100) replaces ``max_connections``.
        ssl: A TLS context in place of the default one.
        proxy: The URL of an HTTP proxy.
        telemetry: ``OpenTelemetry()`` of ``payroc_async.otel`` for spans and metrics. Without it,
            nothing is measured and OpenTelemetry is not imported.

    Raises:
        ConfigurationError: An argument is wrong; the error names it, and never shows a secret.
    """

    @refusing_unseen(ConfigurationError)
    def __init__(
        self,
        api_key: APIKey,
        *,
        environment: Environment | EnvironmentName,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        journal: Journal | None = None,
        scope: str = "",
        recovery: Recovery | None = None,
        max_connections: int = 0,
        http_session: aiohttp.ClientSession | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        # Tracebacks of other errors, and warnings, show this frame's variables.
        api_key, proxy = concealed(api_key), concealed(proxy)
        if callable(api_key):
            check_async_callback("api_key", api_key)
        else:
            check_api_key(api_key)
        environment = as_environment(environment)
        check_options(timeouts, retries, journal, telemetry, max_connections, proxy)
        check_journaling(journal, scope, recovery, retries)
        self._environment = environment
        self._timeouts = timeouts
        self._writer: JournalWriter | NullWriter = NullWriter()
        if journal is not None:
            self._writer = JournalWriter(
                journal, environment.api_url, timeouts, retries, scope=scope
            )
        self._recovery = recovery
        self._automatic: AutomaticRecovery | None = None
        self._recoveries: set[RecoveryRun] = set()
        self._transport = (Transport if telemetry is None else telemetry.transport)(
            environment,
            timeouts=timeouts,
            retries=retries,
            http_session=http_session,
            max_connections=max_connections,
            ssl=ssl,
            proxy=proxy,
        )
        self._token_manager = TokenManager(
            self._transport.authorize, api_key, timeouts=timeouts, retries=retries
        )
        self._transport.token_provider = self._token_manager
        self._loop_guard = LoopGuard()
        services = Services(
            self._transport,
            self._writer,
            timeouts,
            retries,
            environment.api_url,
            self._loop_guard,
        )
        self._supervisor = Supervisor(services, telemetry)
        self._closing: asyncio.Task[None] | None = None
        SingleCalls.__init__(self, self._channel)

    @classmethod
    @refusing_unseen(ConfigurationError)
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        journal: Journal | EllipsisType | None = ...,
        scope: str = "",
        recovery: Recovery | None = None,
        max_connections: int = 0,
        http_session: aiohttp.ClientSession | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> Self:
        """Create a session from environment variables.

        Reads ``PAYROC_API_KEY``, and either ``PAYROC_ENVIRONMENT`` (``uat`` or ``production``) or
        ``PAYROC_API_URL`` with ``PAYROC_IDENTITY_URL``. ``PAYROC_JOURNAL``, if set, is the journal:
        the path of an SQLite file, or a ``postgresql://`` URL. ``PAYROC_SCOPE``, if set, is the
        scope of the session's journal entries.

        Args:
            environ: The variables; the process's own by default.
            timeouts: As for ``PayrocSession``, like all the others.
            retries: How failed requests are repeated.
            journal: Replaces ``PAYROC_JOURNAL``; None for no journal.
            scope: Replaces ``PAYROC_SCOPE``.
            recovery: ``Recovery()`` for automatic recovery.
            max_connections: The maximum number of connections; 0 for no limit.
            http_session: Your own aiohttp session.
            ssl: A TLS context in place of the default one.
            proxy: The URL of an HTTP proxy.
            telemetry: ``OpenTelemetry()`` of ``payroc_async.otel``.

        Raises:
            ConfigurationError: A variable is missing, wrong or contradicts another; the error names
                it.
        """
        variables = settings(os.environ if environ is None else environ)
        if "PAYROC_API_KEY" not in variables:
            raise ConfigurationError(
                "PAYROC_API_KEY", "is not set: set it in the environment of this process"
            )
        if journal is ...:
            place = variables.get("PAYROC_JOURNAL")
            journal = journal_at(place) if place else None
        return cls(
            variables["PAYROC_API_KEY"],
            environment=environment_of(variables),
            timeouts=timeouts,
            retries=retries,
            journal=journal,
            scope=scope or variables.get("PAYROC_SCOPE", ""),
            recovery=recovery,
            max_connections=max_connections,
            http_session=http_session,
            ssl=ssl,
            proxy=proxy,
            telemetry=telemetry,
        )

    def __repr__(self) -> str:
        # An option was refused, and an error tracker may show this frame.
        if not hasattr(self, "_supervisor"):
            return f"<{type(self).__name__} unfinished>"
        count = len(self._supervisor)
        running = f"{count} instruction{'' if count == 1 else 's'}"
        return f"<{type(self).__name__} {self._environment.api_url} {self._state}, {running}>"

    # Opening and closing ----------

    async def open(self) -> Self:
        """Open the session in the running loop. The first token is fetched in the background.

        Returns:
            The session itself.

        Raises:
            SessionClosedError: The session was already opened; it can be opened only once.
            JournalError: The journal can't be opened.

        Cancellation:
            The session is not opened.
        """
        self._check_new()
        for kind in (PAYMENT, REFUND, SIGNATURE):
            for loaded in (kind.request_type, kind.instruction_type, kind.resource_type):
                prepare(loaded)
                await asyncio.sleep(0)  # each takes a while, once per process
        # anyio loads its backend at first use. Load it now: at the first cancellation it would
        # cause a delay, and fail if the process can open no more files.
        with anyio.CancelScope():
            await asyncio.sleep(0)
        self._check_new()
        self._state = "open"
        self._loop_guard.open()
        await self._transport.open()
        self._token_manager.start()
        try:
            await self._writer.open()
        except BaseException:
            await self.aclose()
            raise
        if self._recovery is not None:
            self._start_recovery(self._recovery)
        return self

    def _check_new(self) -> None:
        if self._state in ("open", "closing"):
            self._loop_guard.check()
        if self._state != "new":
            raise SessionClosedError(
                f"the session is {self._state}: a session opens only once; create another one"
            )

    async def aclose(self) -> tuple[OutcomeUnknownError, ...]:
        """Close the session. It is safe to call this twice, and from any task of its loop.

        From now on, new calls are refused. Each running instruction is canceled, or with
        ``on_cancel="detach"`` left running. The call waits up to ``Timeouts.cancel_grace`` seconds
        for them; then the token task and the connections are closed.

        Returns:
            The instructions of the whole session whose outcome is unknown and was not reported to a
            caller. Each has what ``resume_sale`` or ``run_sale`` needs to continue.

        Raises:
            WrongEventLoopError: Called outside of the session's loop or process; the session stays
                open.

        Cancellation:
            The session is still closed, within the same time limits, before the CancelledError is
            re-raised.
        """
        if self._state == "new":
            self._state = "closed"
        if self._state != "closed":
            self._loop_guard.check()
        cancelled: asyncio.CancelledError | None = None
        while not self._is_closed():
            self._state = "closing"
            if self._closing is None or self._closing.done():
                # Run it once, unless the task was canceled before its first step.
                self._closing = asyncio.create_task(self._close(), name="payroc session close")
            try:
                await wait_through_cancellation(
                    self._closing, grace=4 * self._timeouts.cancel_grace, on_cancel=lambda: None
                )
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return tuple(self._supervisor.unresolved)

    def _is_closed(self) -> bool:
        return self._state == "closed"

    async def _close(self) -> None:
        try:
            await self._supervisor.close(self._timeouts.cancel_grace)
        finally:
            await self._close_rest()

    async def _close_rest(self) -> None:
        try:
            if self._automatic is not None:
                await self._automatic.stop()
            for recovery in list(self._recoveries):
                await recovery.stop()
            await self._token_manager.stop()
        finally:
            try:
                await self._transport.close()
                await self._writer.close()
            finally:
                self._state = "closed"

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # What others have left unfinished ----------

    def recover(
        self,
        on_found: OnFound = "finish",
        *,
        resubmit: bool = False,
        timeout: float | None = None,
        on_event: OnEvent | None = None,
    ) -> AsyncGenerator[Recovered, None]:
        """Recover orphaned sales, refunds and signatures, and yield each when it ends.

        This is for scripts; on a server, use ``recovery=Recovery()``. Claims the unfinished journal
        entries of the session's scope that no live process runs, because their process died or
        released them. Each entry is claimed by exactly one caller, however many race. All run
        concurrently. The journal is polled every two seconds, so that a sale that does not end does
        not delay entries that are orphaned later.

        An instruction with a known id is polled, or canceled if a cancellation had begun. An
        instruction that may or may not have been submitted is resubmitted within two minutes, with
        the same bytes under the same key, which shows its outcome. After two minutes, its payment
        is first searched for by order id. After ``RetryPolicy.idempotency_window`` it is never
        resubmitted.

        Args:
            on_found: ``"finish"`` runs the instructions to their ends, ``"cancel"`` cancels them.
            resubmit: Also resubmit instructions that are older than two minutes and without a
                payment at the gateway. That may start a prompt when the customer has left.
            timeout: Seconds that each instruction may take; then it is canceled. None: as long as
                the cardholder takes.
            on_event: Called with each event of all instructions.

        Yields:
            Each recovered instruction: the entry, the action, and the result.

        Raises:
            ConfigurationError: An argument is wrong, or the session has no journal.
            SessionClosedError: The session is not open, or is closed meanwhile.
            JournalError: The journal can't be read.

        Cancellation:
            Unfinished entries are released, and stay in the journal for another recovery. The same
            happens if the caller leaves the loop. With ``"cancel"``, the gateway is still asked to
            cancel them.
        """
        check_recovery(on_found, resubmit, timeout)
        check_callback("on_event", on_event)
        take_up = partial(self._supervisor.take_over, timeout=timeout, on_event=on_event)
        return GuardedGenerator(self._recovery_run(take_up, on_found, resubmit).run())

    async def unfinished(self) -> list[Entry]:
        """Return the journal's unfinished entries for this gateway, oldest first.

        An entry's ``running`` says whether a live process, perhaps this one, runs it.

        Raises:
            ConfigurationError: The session has no journal.
            SessionClosedError: The session is not open.
            JournalError: The journal can't be read.

        Cancellation:
            The call changes nothing.
        """
        return await self._journaled().unfinished()

    def _recovery_run(
        self, take_up: TakeUp, on_found: OnFound, resubmit: bool, every: float | None = None
    ) -> RecoveryRun:
        return RecoveryRun(
            self._journaled(),
            take_up,
            self.payments,
            self._channel,
            on_found=on_found,
            resubmit=resubmit,
            grace=self._timeouts.cancel_grace,
            running=self._recoveries,
            every=every,
        )

    def _start_recovery(self, options: Recovery) -> None:
        take_up = partial(self._supervisor.take_over, timeout=options.timeout)
        run = self._recovery_run(take_up, options.on_found, options.resubmit, options.interval)
        self._automatic = AutomaticRecovery(options, run, self._journaled().purge)
        self._automatic.start()

    def _journaled(self) -> JournalWriter:
        self._channel()
        if isinstance(self._writer, NullWriter):
            raise ConfigurationError(
                "journal",
                'is not set: give the session one, as journal=SQLiteJournal("till.journal")',
            )
        return self._writer

    def _channel(self) -> Transport:
        if self._state != "open":
            raise SessionClosedError(_NOT_OPEN[self._state])
        self._loop_guard.check()
        return self._transport

    def _open_supervisor(self) -> Supervisor:
        self._channel()
        return self._supervisor
