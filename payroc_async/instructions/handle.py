"""How a caller holds an instruction: await its result, or cancel it."""

from __future__ import annotations

from asyncio import Future
from typing import Generic, NoReturn, TypeVar

from payroc_async import models
from payroc_async.cancellation import wait_through_cancellation
from payroc_async.logs import get_logger
from payroc_async.models.enums import InstructionStatus

from .lifecycle import Seen
from .report import log_unheard
from .runner import InstructionRunner

__all__ = ["InstructionHandle", "RefundHandle", "SaleHandle", "SignatureHandle"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound=models.Instruction)
ResourceT = TypeVar("ResourceT")

_ENDED = frozenset(
    (InstructionStatus.COMPLETED, InstructionStatus.FAILURE, InstructionStatus.CANCELED)
)


class InstructionHandle(Generic[InstructionT, ResourceT]):
    """An instruction that the gateway has accepted.

    Returned by ``start_sale`` and its like, and by ``resume_sale``. The instruction goes on whether
    or not a caller awaits it here.
    """

    def __init__(self, runner: InstructionRunner[InstructionT, ResourceT]) -> None:
        self._runner = runner
        self._given = False  # to a caller, who keeps it

    @property
    def serial_number(self) -> str | None:
        """The device's serial number; None where the instruction was resumed by its id."""
        return self._runner.live.identity.serial_number

    @property
    def idempotency_key(self) -> str | None:
        """The key it was submitted under; None where it was resumed by its id."""
        return self._runner.live.identity.idempotency_key

    @property
    def instruction_id(self) -> str | None:
        """The gateway's id for the instruction."""
        return self._runner.live.identity.instruction_id

    @property
    def status(self) -> InstructionStatus | None:
        """The status that the gateway gave last; None before the first answer."""
        instruction = self._runner.live.instruction
        return instruction.status if instruction else None

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._runner.live.kind.noun} instruction "
            f"{self.instruction_id} on device {self.serial_number}: {self.status}>"
        )

    async def _accepted(self) -> None:
        """Wait until the gateway has accepted the instruction."""
        await self._wait(until=self._runner.accepted())
        if self._runner.live.identity.instruction_id is None:
            self._raise()
        self._given = True

    async def result(self) -> ResourceT:
        """The payment (refund, signature) that came of the instruction. May be awaited repeatedly.

        Returns:
            The payment, approved or not, as its ``outcome`` says.

        Raises:
            InstructionError: The instruction ended otherwise, or its outcome is unknown. While it
                is unknown, the instruction goes on in the background: await ``result()`` again.
            WrongEventLoopError: It is called outside of the session's loop or process.

        Cancellation:
            The instruction is canceled at the gateway, or with ``on_cancel="detach"`` left running,
            before the CancelledError goes on.
        """
        self._check_loop()
        self._runner.join()
        await self._wait()
        if self._runner.live.resource is None:
            self._raise()
        return self._runner.live.resource

    async def cancel(self) -> InstructionT:
        """Cancel the instruction at the gateway, unless it has ended.

        Returns:
            The instruction's final state, ``canceled`` or whatever came first. If it completed,
            ``result()`` has the payment.

        Raises:
            OutcomeUnknownError: Its final state could not be learned.
            WrongEventLoopError: It is called outside of the session's loop or process; nothing is
                canceled.

        Cancellation:
            The instruction is canceled all the same.
        """
        self._check_loop()
        self._runner.join()
        self._runner.cancel("caller")
        await self._wait()
        instruction = self._runner.live.instruction
        if instruction is None or instruction.status not in _ENDED:
            self._raise()
        return instruction

    def _check_loop(self) -> None:
        self._runner.services.loop_guard.check()

    def _raise(self) -> NoReturn:
        assert self._runner.live.error is not None
        raise self._runner.live.error

    async def _wait(self, until: Future[None] | None = None) -> None:
        runner = self._runner
        runner.waiting += 1
        try:
            await wait_through_cancellation(
                runner.reported,
                until=until,
                grace=runner.services.timeouts.cancel_grace,
                on_cancel=self._caller_canceled,
                on_left=self._left,
            )
        finally:
            runner.waiting -= 1

    def _caller_canceled(self) -> None:
        self._runner.waiting_canceled += 1
        self._runner.live.in_hand = self._given
        self._runner.cancel_or_detach("caller")

    def _left(self) -> None:
        """Log what the caller, who was canceled, can't be given."""
        runner = self._runner
        runner.waiting_canceled -= 1
        identity = runner.live.identity
        if not runner.reported.done():
            if runner.waiting <= 1:
                runner.feed(Seen.ALONE)
            logger.error(
                "not confirmed within %g s; the cancellation of %s instruction %s on device %s "
                "goes on in the background",
                runner.services.timeouts.cancel_grace,
                identity.kind,
                identity.instruction_id,
                identity.serial_number,
                extra=identity.log_fields(),
            )
        elif runner.live.resource is not None and runner.live.state.awaited:
            log_unheard(runner.live)


SaleHandle = InstructionHandle[models.PaymentInstruction, models.Payment]
"""What ``start_sale`` and ``resume_sale`` give."""
RefundHandle = InstructionHandle[models.RefundInstruction, models.Refund]
"""What ``start_refund`` and ``resume_refund`` give."""
SignatureHandle = InstructionHandle[models.SignatureInstruction, models.Signature]
"""What ``start_signature`` and ``resume_signature`` give."""
