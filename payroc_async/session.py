"""The session: owns the connections, the token's task and every instruction that it runs."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from uuid import UUID

import anyio

from .codec import encode, prepare
from .config import Environment, RetryPolicy, Timeouts, is_http_url
from .errors import ConfigurationError, DeviceBusyError, SessionClosedError
from .handles import InstructionHandle
from .instructions import InstructionRun, OnCancel, OnEvent
from .models import Instruction, Payment, PaymentInstruction, PaymentInstructionRequest
from .protocol import (
    PAYMENT,
    Kind,
    check_idempotency_key,
    check_identifier,
    new_idempotency_key,
)
from .resources import Instructions, Payments, check_request
from .tasks import outlast, settle
from .token import APIKey, TokenKeeper, check_api_key
from .transport import Transport

if TYPE_CHECKING:
    import ssl as ssl_module

    import aiohttp

__all__ = ["PayrocSession", "SaleHandle"]

logger = logging.getLogger(__name__)

InstructionT = TypeVar("InstructionT", bound=Instruction)
ResourceT = TypeVar("ResourceT")

SaleHandle = InstructionHandle[PaymentInstruction, Payment]
"""What ``start_sale`` and ``resume_sale`` give."""


class PayrocSession:
    """A session with Payroc Cloud: one for the whole process, whatever the number of devices.

    Building it needs no running loop. Open it with ``async with``, or with ``open()`` and
    ``aclose()``, which may be called in different tasks of one loop.

    Args:
        api_key: The API key, or an async callable that returns it and is asked at each token fetch.
        environment: Where the gateway is. There is no default: nobody reaches production by leaving
            something out.
        timeouts: How long to wait for what.
        retries: How failed requests are repeated.
        max_connections: The most connections at once; 0 is no limit. Every sale that waits for its
            cardholder holds one.
        http_session: An aiohttp session of the caller's to send through. It is not closed here, and
            its connector's limit (aiohttp's default is 100) holds in place of ``max_connections``.
        ssl: A TLS context in place of the default one.
        proxy: The URL of an HTTP proxy.

    Raises:
        ConfigurationError: An argument is wrong; it is named, and a secret is never shown.
    """

    payment_instructions: Instructions[PaymentInstruction]
    """The payment instructions, a call at a time."""
    payments: Payments
    """The payments, a call at a time."""

    def __init__(
        self,
        api_key: APIKey,
        *,
        environment: Environment,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        max_connections: int = 0,
        http_session: aiohttp.ClientSession | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        if not callable(api_key):
            check_api_key(api_key)
        _check_type("environment", environment, Environment)
        _check_type("timeouts", timeouts, Timeouts)
        _check_type("retries", retries, RetryPolicy)
        _check_max_connections(max_connections)
        _check_proxy(proxy)
        self._environment = environment
        self._timeouts = timeouts
        self._retries = retries
        self._transport = Transport(
            environment,
            timeouts=timeouts,
            retries=retries,
            http_session=http_session,
            max_connections=max_connections,
            ssl=ssl,
            proxy=proxy,
        )
        self._keeper = TokenKeeper(
            self._transport.authorize, api_key, timeouts=timeouts, retries=retries
        )
        self._transport.bearer = self._keeper
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        self._closing: asyncio.Task[None] | None = None
        self._runs: set[InstructionRun[Any, Any]] = set()
        self._busy: dict[str, InstructionRun[Any, Any]] = {}
        self.payment_instructions = Instructions(PAYMENT, self._channel)
        self.payments = Payments(self._channel)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A session configured by environment variables.

        ``PAYROC_API_KEY``, and either ``PAYROC_ENVIRONMENT`` (``uat`` or ``production``) or
        ``PAYROC_API_URL`` with ``PAYROC_IDENTITY_URL``.

        Args:
            environ: The variables; the process's own by default.
            options: Any other keyword of ``PayrocSession``.

        Raises:
            ConfigurationError: A variable is missing, wrong or contradicts another; it is named.
        """
        variables = os.environ if environ is None else environ
        api_key = variables.get("PAYROC_API_KEY")
        if not api_key:
            raise ConfigurationError("PAYROC_API_KEY", "is not set")
        return cls(api_key, environment=_environment_of(variables), **options)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._environment.api_url} {self._state}, "
            f"{len(self._runs)} instructions>"
        )

    # Opening and closing ----------

    async def open(self) -> Self:
        """Open the session in the running loop. The first token is fetched in the background.

        Returns:
            The session itself.

        Raises:
            SessionClosedError: It was opened before; a session is opened once.

        Cancellation:
            The session is not opened.
        """
        for cls in (PAYMENT.request_type, PAYMENT.instruction_type, PAYMENT.resource_type):
            prepare(cls)
            await asyncio.sleep(0)  # each takes a while, once in a process
        # anyio loads its backend at first use. That must not be the first cancellation, which it
        # would delay, and break where the process can open no more files.
        with anyio.CancelScope():
            await asyncio.sleep(0)
        if self._state != "new":
            raise SessionClosedError(f"the session is {self._state}: a session is opened once")
        self._state = "open"
        await self._transport.open()
        self._keeper.start()
        return self

    async def aclose(self) -> None:
        """Close the session and lose nothing: safe to call twice, and from any task of its loop.

        New work is refused from here on. Each live instruction is cancelled, or with
        ``on_cancel="detach"`` left running, and waited for, for ``Timeouts.cancel_grace`` seconds;
        then the token's task and the connections end.

        Cancellation:
            The closing is finished all the same, in its bounds, before the CancelledError goes on.
        """
        if self._state == "new":
            self._state = "closed"
        if self._state == "closed":
            return
        self._state = "closing"
        cancelled: asyncio.CancelledError | None = None
        while not self._is_closed():
            if self._closing is None or self._closing.done():
                # Once, unless somebody cancelled that task before its first step.
                self._closing = asyncio.create_task(self._close(), name="payroc session close")
            try:
                await outlast(
                    self._closing, grace=2 * self._timeouts.cancel_grace, on_cancel=lambda: None
                )
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _is_closed(self) -> bool:
        return self._state == "closed"

    async def _close(self) -> None:
        runs = list(self._runs)
        for run in runs:
            run.let_go("close")
        try:
            # Also where somebody cancels all tasks of the loop, this one among them.
            await settle([run.task for run in runs], self._timeouts.cancel_grace)
        finally:
            await self._end([run for run in runs if not run.task.done()])

    async def _end(self, late: list[InstructionRun[Any, Any]]) -> None:
        try:
            for run in late:
                logger.error(
                    "closing without knowing how %s instruction %s on device %s ends",
                    run.kind.noun,
                    run.instruction_id,
                    run.serial_number,
                    extra=run.identity(),
                )
                run.abort()
            await settle([run.task for run in late], self._timeouts.cancel_grace)
            await self._keeper.stop()
        finally:
            try:
                await self._transport.close()
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

    def _channel(self) -> Transport:
        if self._state != "open":
            raise SessionClosedError(f"the session is {self._state}")
        return self._transport

    # Sales ----------

    async def run_sale(
        self,
        serial_number: str,
        request: PaymentInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> Payment:
        """The payment that came of a sale on a device, approved or not: ask its ``outcome``.

        Args:
            serial_number: The device's serial number.
            request: The sale, or a pre-authorization (``auto_capture=False``).
            idempotency_key: A UUID v4; a fresh one by default. Run the same request again under the
                same key to learn of a sale whose outcome was lost: it makes no second instruction.
                Under a key of yours, a sale that ends before anything is sent is unknown, since an
                earlier call may have sent it.
            timeout: Seconds that the cardholder may take. When they have passed the instruction is
                cancelled; if that comes too late, the payment is returned all the same.
            on_cancel: What happens to the instruction if this task is cancelled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_sale``.
            on_event: Called with each event as it happens.

        Returns:
            The payment. Amounts are in the currency's smallest unit.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open; nothing was sent.
            DeviceBusyError: This session already runs an instruction there; nothing was sent.
            APIError: The gateway refused the submission; this call has made no instruction.
            TransportError: The gateway was never reached; this call has made no instruction.
            InstructionFailedError: The device or the gateway failed; no payment exists.
            InstructionCanceledError: It was cancelled elsewhere; no payment exists.
            InstructionTimeoutError: ``timeout`` passed; no payment exists.
            OutcomeUnknownError: Money may have moved; carries what is needed to find out.

        Cancellation:
            The instruction is cancelled at the gateway before the CancelledError goes on, within
            ``Timeouts.cancel_grace`` seconds. If the payment came first, ``Settled`` tells of it.
        """
        handle = self._begin(
            PAYMENT,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        return await handle.result()

    async def start_sale(
        self,
        serial_number: str,
        request: PaymentInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> SaleHandle:
        """A handle on a sale that the gateway has accepted; the sale goes on in the background.

        Args:
            serial_number: As for ``run_sale``, like all the others.
            request: The sale.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: Also what happens to it when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``run_sale``, up to the gateway's acceptance.

        Cancellation:
            As for ``run_sale``.
        """
        handle = self._begin(
            PAYMENT,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        await handle._accepted()
        return handle

    def resume_sale(
        self,
        instruction_id: str,
        *,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> SaleHandle:
        """A handle on a sale that was started before, perhaps by another process.

        A sale that this session already runs is joined, with the options it was started with.

        Args:
            instruction_id: As an event, an error or a handle has given it.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``run_sale``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        return self._resume(
            PAYMENT, instruction_id, timeout=timeout, on_cancel=on_cancel, on_event=on_event
        )

    # Every kind of instruction ----------

    def _begin(
        self,
        kind: Kind[InstructionT, ResourceT],
        serial_number: str,
        request: object,
        *,
        idempotency_key: str | UUID | None,
        timeout: float | None,
        on_cancel: OnCancel,
        on_event: OnEvent | None,
    ) -> InstructionHandle[InstructionT, ResourceT]:
        transport = self._channel()
        check_identifier("serial_number", serial_number)
        check_request(kind, request)
        _check_options(timeout, on_cancel, on_event)
        key = new_idempotency_key()
        if idempotency_key is not None:
            key = check_idempotency_key(idempotency_key)
        last = self._busy.get(serial_number)
        # Not only until it is disowned, which is a step of the loop later.
        if last is not None and not last.task.done():
            raise DeviceBusyError(serial_number)
        run = InstructionRun(
            kind,
            transport,
            timeouts=self._timeouts,
            retries=self._retries,
            serial_number=serial_number,
            request=request,
            body=encode(request),
            idempotency_key=key,
            key_is_callers=idempotency_key is not None,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        self._busy[serial_number] = run
        return self._own(run)

    def _resume(
        self,
        kind: Kind[InstructionT, ResourceT],
        instruction_id: str,
        *,
        timeout: float | None,
        on_cancel: OnCancel,
        on_event: OnEvent | None,
    ) -> InstructionHandle[InstructionT, ResourceT]:
        transport = self._channel()
        check_identifier("instruction_id", instruction_id)
        _check_options(timeout, on_cancel, on_event)
        for run in self._runs:
            # A second run would send status requests beside the first one's (P2).
            same = run.kind is kind and run.instruction_id == instruction_id
            if same and not run.task.done():
                return InstructionHandle(run, self._timeouts.cancel_grace)
        return self._own(
            InstructionRun(
                kind,
                transport,
                timeouts=self._timeouts,
                retries=self._retries,
                instruction_id=instruction_id,
                timeout=timeout,
                on_cancel=on_cancel,
                on_event=on_event,
            )
        )

    def _own(
        self, run: InstructionRun[InstructionT, ResourceT]
    ) -> InstructionHandle[InstructionT, ResourceT]:
        run.start()
        self._runs.add(run)
        run.task.add_done_callback(lambda _: self._disown(run))
        return InstructionHandle(run, self._timeouts.cancel_grace)

    def _disown(self, run: InstructionRun[Any, Any]) -> None:
        self._runs.discard(run)
        if run.serial_number is not None and self._busy.get(run.serial_number) is run:
            del self._busy[run.serial_number]


def _check_type(name: str, value: object, expected: type) -> None:
    if not isinstance(value, expected):
        raise ConfigurationError(
            name, f"must be of type {expected.__name__}, not {type(value).__name__}"
        )


def _check_max_connections(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError("max_connections", "must be a whole number, 0 for no limit")


def _check_proxy(value: object) -> None:
    if value is None:
        return
    # Its text may hold a password: it is never shown.
    if not isinstance(value, str) or not is_http_url(value):
        raise ConfigurationError("proxy", "must be an http or https URL")


def _check_options(timeout: object, on_cancel: object, on_event: object) -> None:
    if timeout is not None:
        number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if not (number and math.isfinite(timeout) and timeout > 0):  # type: ignore[arg-type, operator]
            raise ConfigurationError("timeout", "must be a positive number of seconds")
    if on_cancel not in ("cancel", "detach"):
        raise ConfigurationError("on_cancel", 'must be "cancel" or "detach"')
    if on_event is not None and not callable(on_event):
        raise ConfigurationError("on_event", "must be callable")


def _environment_of(variables: Mapping[str, str]) -> Environment:
    name = variables.get("PAYROC_ENVIRONMENT")
    api_url = variables.get("PAYROC_API_URL")
    identity_url = variables.get("PAYROC_IDENTITY_URL")
    if name:
        if api_url or identity_url:
            raise ConfigurationError(
                "PAYROC_ENVIRONMENT", "is set, and so is PAYROC_API_URL or PAYROC_IDENTITY_URL"
            )
        named = {"uat": Environment.UAT, "production": Environment.PRODUCTION}
        if name not in named:
            raise ConfigurationError("PAYROC_ENVIRONMENT", "must be uat or production")
        return named[name]
    if not api_url and not identity_url:
        raise ConfigurationError(
            "PAYROC_ENVIRONMENT", "is not set, nor are PAYROC_API_URL and PAYROC_IDENTITY_URL"
        )
    for variable, value in (("PAYROC_API_URL", api_url), ("PAYROC_IDENTITY_URL", identity_url)):
        if not value:
            raise ConfigurationError(variable, "is not set, but the other URL is")
    return Environment(api_url=api_url or "", identity_url=identity_url or "")
