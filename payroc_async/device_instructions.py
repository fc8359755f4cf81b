"""Sales, refunds and signatures on devices, all with the same guarantees."""

from __future__ import annotations

from uuid import UUID

from payroc_async.instructions.handle import InstructionHandle
from payroc_async.instructions.live import OnCancel, Options

from . import models
from .callbacks import OnEvent
from .kinds import PAYMENT, REFUND, SIGNATURE
from .supervisor import Supervisor

__all__ = ["DeviceInstructions"]


class DeviceInstructions:
    """The methods of ``PayrocSession`` that run an instruction on a device."""

    def _open_supervisor(self) -> Supervisor:
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
        """Run a sale on a device, and return its payment, approved or not: check its ``outcome``.

        Args:
            serial_number: The device's serial number.
            request: The sale, or a pre-authorization (``auto_capture=False``).
            idempotency_key: A UUID v4; a fresh one by default. To learn a lost outcome, run the
                same request again under the same key: this makes no second instruction, and joins
                one that this session still runs. If a sale under your own key is refused, or
                canceled before it is sent, its outcome is unknown: an earlier call may have sent
                it.
            timeout: Seconds that the cardholder may take. Then the instruction is canceled; if the
                cancellation comes too late, the payment is returned.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it,
                or ``"detach"`` and leave it running for ``resume_sale``.
            on_event: Called with each event as it happens.

        Returns:
            The payment. Amounts are in the currency's smallest unit.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open; nothing was sent.
            DeviceBusyError: This session already runs an instruction there; nothing was sent.
            APIError: The gateway refused the submission; this call made no instruction. Under your
                own key, this error is the cause of an OutcomeUnknownError.
            TransportError: The gateway was never reached; this call made no instruction.
            InstructionFailedError: The device or the gateway failed; no payment exists.
            InstructionCanceledError: The instruction was canceled elsewhere; no payment exists.
            InstructionTimeoutError: ``timeout`` passed; no payment exists.
            OutcomeUnknownError: Money may have moved; the error has the ids to find out. The
                session continues in the background to cancel the instruction or to retrieve its
                payment: call again with the same key to join.

        Cancellation:
            The instruction is canceled at the gateway before the CancelledError is re-raised. After
            ``Timeouts.cancel_grace`` seconds the error is re-raised anyway, and the session
            continues the cancellation in the background. If the payment came first,
            ``ResultReceived`` carries it.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            PAYMENT, serial_number, request, idempotency_key, options
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
        """Start a sale, and return its handle once the gateway has accepted it.

        The sale continues in the background.

        Args:
            serial_number: As for ``run_sale``, like all the others.
            request: The sale.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: As above; also applied when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``run_sale``, up to the gateway's acceptance.

        Cancellation:
            As for ``run_sale``.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            PAYMENT, serial_number, request, idempotency_key, options
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
        """Return a handle on a sale that was started before, perhaps by another process.

        If this session already runs the sale, the handle joins it and keeps its options.

        Args:
            instruction_id: The id from an event, an error or a handle.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``run_sale``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        options = Options(timeout, on_cancel, on_event)
        return self._open_supervisor().resume(PAYMENT, instruction_id, options)

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
        """Refund a card on a device, and return the refund, approved or not: check its ``outcome``.

        The refund is not linked to a payment. To refund a payment made through Payroc, use
        ``payments.undo``, which needs no card.

        Args:
            serial_number: The device's serial number.
            request: The instruction for the device.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. Then the instruction is canceled; if the
                cancellation comes too late, the refund is returned.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it, or
                ``"detach"`` and leave it running for ``resume_refund``.
            on_event: Called with each event as it happens.

        Returns:
            The refund. Amounts are in the currency's smallest unit.

        Raises:
            PayrocError: As for ``run_sale``.

        Cancellation:
            As for ``run_sale``.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            REFUND, serial_number, request, idempotency_key, options
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
        """Start a refund, and return its handle once the gateway has accepted it.

        The refund continues in the background.

        Args:
            serial_number: As for ``run_refund``, like all the others.
            request: The instruction for the device.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: As above; also applied when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``run_refund``, up to the gateway's acceptance.

        Cancellation:
            As for ``run_refund``.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            REFUND, serial_number, request, idempotency_key, options
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
        """Return a handle on a refund that was started before, perhaps by another process.

        If this session already runs the refund, the handle joins it and keeps its options.

        Args:
            instruction_id: The id from an event, an error or a handle.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``run_refund``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        options = Options(timeout, on_cancel, on_event)
        return self._open_supervisor().resume(REFUND, instruction_id, options)

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
        """Capture a cardholder's signature on a device.

        Args:
            serial_number: The device's serial number.
            request: The instruction for the device.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. Then the instruction is canceled; if the
                cancellation comes too late, the signature is returned.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it, or
                ``"detach"`` and leave it running for ``resume_signature``.
            on_event: Called with each event as it happens.

        Returns:
            The signature, with its ``image``.

        Raises:
            PayrocError: As for ``run_sale``.

        Cancellation:
            As for ``run_sale``.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            SIGNATURE, serial_number, request, idempotency_key, options
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
        """Start to capture a signature, and return a handle once the gateway has accepted it.

        The signature instruction continues in the background.

        Args:
            serial_number: As for ``capture_signature``, like all the others.
            request: The instruction for the device.
            idempotency_key: A UUID v4; a fresh one by default.
            timeout: Seconds that the cardholder may take.
            on_cancel: As above; also applied when the session closes.
            on_event: Called with each event as it happens.

        Raises:
            PayrocError: As for ``capture_signature``, up to the gateway's acceptance.

        Cancellation:
            As for ``capture_signature``.
        """
        options = Options(timeout, on_cancel, on_event)
        handle = self._open_supervisor().begin(
            SIGNATURE, serial_number, request, idempotency_key, options
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
        """Return a handle on a signature that was started before, perhaps by another process.

        If this session already runs the signature, the handle joins it and keeps its options.

        Args:
            instruction_id: The id from an event, an error or a handle.
            timeout: Seconds that the cardholder may take from now on.
            on_cancel: As for ``capture_signature``.
            on_event: Called with each event from now on.

        Raises:
            ConfigurationError: An argument is wrong.
            SessionClosedError: The session is not open.
        """
        options = Options(timeout, on_cancel, on_event)
        return self._open_supervisor().resume(SIGNATURE, instruction_id, options)
