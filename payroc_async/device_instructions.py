"""What a session runs on devices: sales, refunds and signatures, each with the same guarantees."""

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
    """The calls that run an instruction on a device. ``PayrocSession`` has them."""

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
        """The payment that came of a sale on a device, approved or not: ask its ``outcome``.

        Args:
            serial_number: The device's serial number.
            request: The sale, or a pre-authorization (``auto_capture=False``).
            idempotency_key: A UUID v4; a fresh one by default. Run the same request again under the
                same key to learn a lost outcome: it makes no second instruction, and joins one
                that this session still runs. Under your own key, a sale that is refused, or is
                canceled before it is sent, is unknown: an earlier call may have sent it.
            timeout: Seconds that the cardholder may take. After them the instruction is canceled;
                if that comes too late, the payment is returned all the same.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_sale``.
            on_event: Called with each event as it happens.

        Returns:
            The payment. Amounts are in the currency's smallest unit.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open; nothing was sent.
            DeviceBusyError: This session already runs an instruction there; nothing was sent.
            APIError: The gateway refused the submission; this call has made no instruction. Under
                your own key it is the cause of an OutcomeUnknownError.
            TransportError: The gateway was never reached; this call has made no instruction.
            InstructionFailedError: The device or the gateway failed; no payment exists.
            InstructionCanceledError: It was canceled elsewhere; no payment exists.
            InstructionTimeoutError: ``timeout`` passed; no payment exists.
            OutcomeUnknownError: Money may have moved; carries what is needed to find out. The
                session goes on in the background, to cancel the instruction or read its payment:
                call again with the same key to join.

        Cancellation:
            The instruction is canceled at the gateway before the CancelledError goes on, within
            ``Timeouts.cancel_grace`` seconds; after them the session goes on with that in the
            background. If the payment came first, ``ResultReceived`` carries it.
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
        """The refund that came of a card on a device, approved or not: ask its ``outcome``.

        It refers to no payment. To give back a payment made through Payroc, ``payments.undo`` needs
        no card.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. When they have passed the instruction is
                canceled; if that comes too late, the refund is returned all the same.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_refund``.
            on_event: Called with each event as it happens.

        Returns:
            The refund. Amounts are in the currency's smallest unit.

        Raises:
            PayrocError: As for ``run_sale``, of a refund.

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
        """The signature that a cardholder drew on a device.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. As for ``run_sale``.
            timeout: Seconds that the cardholder may take. When they have passed the instruction is
                canceled; if that comes too late, the signature is returned all the same.
            on_cancel: What happens to the instruction if this task is canceled: ``"cancel"`` it,
                or ``"detach"``: leave it running for ``resume_signature``.
            on_event: Called with each event as it happens.

        Returns:
            The signature; its ``image`` is the picture.

        Raises:
            PayrocError: As for ``run_sale``, of a signature.

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
        options = Options(timeout, on_cancel, on_event)
        return self._open_supervisor().resume(SIGNATURE, instruction_id, options)
