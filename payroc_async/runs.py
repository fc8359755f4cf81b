"""What a session runs: sales, refunds and signatures, each with the same life."""

from __future__ import annotations

import math
from typing import Any, TypeVar
from uuid import UUID

from . import models
from .codec import encode
from .config import RetryPolicy, Timeouts
from .errors import ConfigurationError, DeviceBusyError
from .handles import InstructionHandle
from .instructions import InstructionRun, OnCancel, OnEvent
from .kinds import KINDS, PAYMENT, REFUND, SIGNATURE, Kind
from .protocol import check_identifier
from .records import Record, Records
from .resources import check_request, given_or_new_key
from .telemetry import Telemetry
from .transport import Transport

__all__ = ["Runs", "check_on_event"]

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")


class Runs:
    """The instructions of a session, from their start to their end. ``PayrocSession`` is one."""

    def __init__(self, timeouts: Timeouts, retries: RetryPolicy) -> None:
        self._timeouts = timeouts
        self._retries = retries
        self._records: Records | None = None
        self._telemetry: Telemetry | None = None
        self._runs: set[InstructionRun[Any, Any]] = set()
        self._busy: dict[str, InstructionRun[Any, Any]] = {}
        self._on_end = self._disown  # one method object for all
        self._recovered: dict[str, set[InstructionRun[Any, Any]]] = {}
        """Those that another process has left, by device: of one there may be several."""

    def _channel(self) -> Transport:
        raise NotImplementedError

    # Sales ----------

    async def run_sale(
        self,
        serial_number: str,
        request: models.PaymentInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> models.Payment:
        """The payment that came of a sale on a device, approved or not: ask its ``outcome``.

        Args:
            serial_number: The device's serial number.
            request: The sale, or a pre-authorization (``auto_capture=False``).
            idempotency_key: A UUID v4; a fresh one by default. Run the same request again under the
                same key to learn of a sale whose outcome was lost: it makes no second instruction.
                Under a key of yours, a sale that is refused, or ends before anything is sent, is
                unknown, since an earlier call may have sent it.
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
            APIError: The gateway refused the submission; this call has made no instruction. Under a
                key that may have been used before, it is the cause of an OutcomeUnknownError.
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
        request: models.PaymentInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[models.PaymentInstruction, models.Payment]:
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
    ) -> InstructionHandle[models.PaymentInstruction, models.Payment]:
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

    # Refunds ----------

    async def run_refund(
        self,
        serial_number: str,
        request: models.RefundInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> models.Refund:
        """The refund that came of a card on a device, approved or not: ask its ``outcome``.

        It refers to no payment. To give back a payment made through Payroc, ``payments.undo`` needs
        no card.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. When they have passed the instruction is
                cancelled; if that comes too late, the refund is returned all the same.
            on_cancel: What happens to the instruction if this task is cancelled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_refund``.
            on_event: Called with each event as it happens.

        Returns:
            The refund. Amounts are in the currency's smallest unit.

        Raises:
            PayrocError: As for ``run_sale``, of a refund.

        Cancellation:
            As for ``run_sale``.
        """
        handle = self._begin(
            REFUND,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        return await handle.result()

    async def start_refund(
        self,
        serial_number: str,
        request: models.RefundInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[models.RefundInstruction, models.Refund]:
        """A handle on a refund that the gateway has accepted; it goes on in the background.

        Args:
            serial_number: As for ``run_refund``, like all the others.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: Also what happens to it when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``run_refund``, up to the gateway's acceptance.

        Cancellation:
            As for ``run_refund``.
        """
        handle = self._begin(
            REFUND,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        await handle._accepted()
        return handle

    def resume_refund(
        self,
        instruction_id: str,
        *,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[models.RefundInstruction, models.Refund]:
        """A handle on a refund that was started before, perhaps by another process.

        One that this session already runs is joined, with the options it was started with.

        Args:
            instruction_id: As an event, an error or a handle has given it.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``run_refund``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        return self._resume(
            REFUND, instruction_id, timeout=timeout, on_cancel=on_cancel, on_event=on_event
        )

    # Signatures ----------

    async def capture_signature(
        self,
        serial_number: str,
        request: models.SignatureInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> models.Signature:
        """The signature that a cardholder drew on a device.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. When they have passed the instruction is
                cancelled; if that comes too late, the signature is returned all the same.
            on_cancel: What happens to the instruction if this task is cancelled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_signature``.
            on_event: Called with each event as it happens.

        Returns:
            The signature; its ``image`` is the picture.

        Raises:
            PayrocError: As for ``run_sale``, of a signature.

        Cancellation:
            As for ``run_sale``.
        """
        handle = self._begin(
            SIGNATURE,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        return await handle.result()

    async def start_signature(
        self,
        serial_number: str,
        request: models.SignatureInstructionRequest,
        *,
        idempotency_key: str | UUID | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[models.SignatureInstruction, models.Signature]:
        """A handle on a signature that the gateway has accepted; it goes on in the background.

        Args:
            serial_number: As for ``capture_signature``, like all the others.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: Also what happens to it when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``capture_signature``, up to the gateway's acceptance.

        Cancellation:
            As for ``capture_signature``.
        """
        handle = self._begin(
            SIGNATURE,
            serial_number,
            request,
            idempotency_key=idempotency_key,
            timeout=timeout,
            on_cancel=on_cancel,
            on_event=on_event,
        )
        await handle._accepted()
        return handle

    def resume_signature(
        self,
        instruction_id: str,
        *,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
    ) -> InstructionHandle[models.SignatureInstruction, models.Signature]:
        """A handle on a signature that was started before, perhaps by another process.

        One that this session already runs is joined, with the options it was started with.

        Args:
            instruction_id: As an event, an error or a handle has given it.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``capture_signature``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        return self._resume(
            SIGNATURE, instruction_id, timeout=timeout, on_cancel=on_cancel, on_event=on_event
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
        key = given_or_new_key(idempotency_key)
        last = self._busy.get(serial_number)
        # Not only until it is disowned, which is a step of the loop later.
        if last is not None and not last.task.done():
            raise DeviceBusyError(serial_number)
        if self._recovered and any(
            not one.task.done() for one in self._recovered.get(serial_number, ())
        ):
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
            records=self._records,
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
                records=self._records,
            )
        )

    def _take_up(
        self, record: Record, *, cancel: bool, on_event: OnEvent | None
    ) -> InstructionHandle[Any, Any]:
        """Go on with what another process has left: to its end, or to its cancellation."""
        entry = record.entry
        run = InstructionRun(
            KINDS[entry.kind],
            self._channel(),
            timeouts=self._timeouts,
            retries=self._retries,
            serial_number=entry.serial_number,
            body=entry.body or b"",
            idempotency_key=entry.idempotency_key,
            instruction_id=entry.instruction_id,
            on_cancel="cancel" if cancel else "detach",
            on_event=on_event,
            records=self._records,
            record=record,
        )
        handle = self._own(run)
        self._recovered.setdefault(entry.serial_number, set()).add(run)
        if cancel:
            run.request_cancel("caller")
        return handle

    def _own(
        self, run: InstructionRun[InstructionT, ResourceT]
    ) -> InstructionHandle[InstructionT, ResourceT]:
        run.on_end = self._on_end
        if self._telemetry is None:
            run.start()
        else:
            self._telemetry.start(run)
        self._runs.add(run)
        return InstructionHandle(run, self._timeouts.cancel_grace)

    def _disown(self, run: InstructionRun[Any, Any]) -> None:
        self._runs.discard(run)
        if run.serial_number is not None and self._busy.get(run.serial_number) is run:
            del self._busy[run.serial_number]
        if self._recovered and run.serial_number in self._recovered:
            left = self._recovered[run.serial_number]
            left.discard(run)
            if not left:
                del self._recovered[run.serial_number]


def _check_options(timeout: object, on_cancel: object, on_event: object) -> None:
    if timeout is not None:
        number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if not (number and math.isfinite(timeout) and timeout > 0):  # type: ignore[arg-type, operator]
            raise ConfigurationError("timeout", "must be a positive number of seconds")
    if on_cancel not in ("cancel", "detach"):
        raise ConfigurationError("on_cancel", 'must be "cancel" or "detach"')
    check_on_event(on_event)


def check_on_event(on_event: object) -> None:
    """Refuse what can't be called."""
    if on_event is not None and not callable(on_event):
        raise ConfigurationError("on_event", "must be callable")
