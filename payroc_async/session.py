"""The session: owns the connections, the token's task and every instruction that it runs."""

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
    "closing": "the session is closing, and starts nothing new: build another one to go on",
    "closed": "the session is closed: build another one to go on",
}


class PayrocSession(DeviceInstructions, SingleCalls):
    """A session with Payroc Cloud: one for the whole process, whatever the number of devices.

    Building it needs no running loop. Open it with ``async with``, or with ``open()`` and
    ``aclose()``, which may be called in different tasks of one loop.

    Args:
        api_key: The API key, or an async callable that returns it and is asked at each token fetch.
        environment: Where the gateway is: an ``Environment``, ``"uat"`` or ``"production"``. There
            is no default, so production is never reached by leaving something out.
        timeouts: How long to wait for what.
        retries: How failed requests are repeated.
        journal: Where to keep what is started and how it ends, so that ``recover`` can go on with
            it after the process has died. Any number of sessions of one event loop may be given the
            same one: the first opens it, the last closes it.
        scope: The merchant that the session's entries in the journal belong to: a name of the
            caller's, never the key. The session sees, recovers and purges those of its scope alone.
        recovery: ``Recovery()`` to have the session recover what crashed processes have left
            behind, by itself, for as long as it is open. Needs a journal.
        max_connections: The most connections at once; 0 is no limit. Every sale that waits for its
            cardholder holds one.
        http_session: An aiohttp session of the caller's to send through. It is not closed here, and
            its connector's limit (aiohttp's default is 100) holds in place of ``max_connections``.
        ssl: A TLS context in place of the default one.
        proxy: The URL of an HTTP proxy.
        telemetry: ``OpenTelemetry()`` of ``payroc_async.otel`` for spans and metrics. Without it
            nothing is measured, and nothing of OpenTelemetry imported.

    Raises:
        ConfigurationError: An argument is wrong; it is named, and a secret is never shown.
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
        # This frame is in the traceback of errors of other kinds, and of warnings.
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
        """A session configured by environment variables.

        ``PAYROC_API_KEY``, and either ``PAYROC_ENVIRONMENT`` (``uat`` or ``production``) or
        ``PAYROC_API_URL`` with ``PAYROC_IDENTITY_URL``. ``PAYROC_JOURNAL``, if set, is the journal:
        the path of an SQLite file, or a ``postgresql://`` URL. ``PAYROC_SCOPE``, if set, is the
        scope of the session's entries in it.

        Args:
            environ: The variables; the process's own by default.
            timeouts: As for ``PayrocSession``, like all the others.
            retries: How failed requests are repeated.
            journal: In place of the one that ``PAYROC_JOURNAL`` names; None for no journal.
            scope: In place of the one that ``PAYROC_SCOPE`` names, if any.
            recovery: ``Recovery()`` to recover by itself.
            max_connections: The most connections at once; 0 is no limit.
            http_session: An aiohttp session of the caller's to send through.
            ssl: A TLS context in place of the default one.
            proxy: The URL of an HTTP proxy.
            telemetry: ``OpenTelemetry()`` of ``payroc_async.otel``.

        Raises:
            ConfigurationError: A variable is missing, wrong or contradicts another; it is named.
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
        if not hasattr(self, "_supervisor"):  # it was refused, and a tracker shows its frames
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
            SessionClosedError: It was opened before; a session is opened once.
            JournalError: Its journal can't be opened.

        Cancellation:
            The session is not opened.
        """
        self._check_new()
        for kind in (PAYMENT, REFUND, SIGNATURE):
            for loaded in (kind.request_type, kind.instruction_type, kind.resource_type):
                prepare(loaded)
                await asyncio.sleep(0)  # each takes a while, once in a process
        # anyio loads its backend at first use. That must not be the first cancellation, which it
        # would delay, and break where the process can open no more files.
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
                f"the session is {self._state}: a session is opened once, build another one"
            )

    async def aclose(self) -> tuple[OutcomeUnknownError, ...]:
        """Close the session: safe to call twice, and from any task of its loop.

        New work is refused from here on. Each live instruction is canceled, or with
        ``on_cancel="detach"`` left running, and waited for, for ``Timeouts.cancel_grace`` seconds;
        then the token's task and the connections end.

        Returns:
            The instructions whose outcome is unknown and that no caller was given, those of the
            whole session. Each carries what ``resume_sale`` or ``run_sale`` needs to go on.

        Raises:
            WrongEventLoopError: It is called outside of the session's loop or process; the session
                stays open.

        Cancellation:
            The closing is finished all the same, within its bounds, before the CancelledError goes
            on.
        """
        if self._state == "new":
            self._state = "closed"
        if self._state != "closed":
            self._loop_guard.check()
        cancelled: asyncio.CancelledError | None = None
        while not self._is_closed():
            self._state = "closing"
            if self._closing is None or self._closing.done():
                # Once, unless somebody canceled that task before its first step.
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
        """Every unfinished sale, refund and signature that no process drives, each as it ends.

        For scripts; a server has ``recovery=Recovery()`` do it. What the journal has unfinished in
        the session's scope, and whose process has died or released it, is claimed by exactly one
        caller, however many race, and driven to the end, all at once. Every two seconds it looks
        again, so that a sale which does not end holds up nothing that is left later.

        An instruction whose id is known is polled, or canceled if it was being canceled. One that
        may or may not have been submitted is submitted again within two minutes, with the same
        bytes under the same key, which shows the outcome. Later on its payment is searched for by
        the order's id first; and past ``RetryPolicy.idempotency_window`` it is never submitted
        again.

        Args:
            on_found: ``"cancel"`` cancels what is found, in place of seeing it to the end.
            resubmit: Submit again also what is older than two minutes and of which no payment is
                found. That may start a prompt before a customer who has left.
            timeout: Seconds that each instruction may take; then it is canceled. None: as long as
                the cardholder takes.
            on_event: Called with each event, of all of them.

        Yields:
            What was found, what was done, and what is known now.

        Raises:
            ConfigurationError: An argument is wrong, or the session has no journal.
            SessionClosedError: The session is not open, or is closed meanwhile.
            JournalError: The journal can't be read.

        Cancellation:
            What has not ended is released, and stays in the journal for another recovery; so it is
            where the caller leaves the loop. With ``"cancel"`` it is canceled all the same.
        """
        check_recovery(on_found, resubmit, timeout)
        check_callback("on_event", on_event)
        take_up = partial(self._supervisor.take_over, timeout=timeout, on_event=on_event)
        return GuardedGenerator(self._recovery_run(take_up, on_found, resubmit).run())

    async def unfinished(self) -> list[Entry]:
        """What the journal has unfinished at this gateway, the oldest first.

        An entry's ``running`` says whether a process that lives drives it, be it this one.

        Raises:
            ConfigurationError: The session has no journal.
            SessionClosedError: The session is not open.
            JournalError: The journal can't be read.

        Cancellation:
            Nothing is changed in any case.
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
