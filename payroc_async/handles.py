"""How a caller holds an instruction: await its result, cancel it, let it go."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable
from typing import Generic, NoReturn, TypeVar

from . import models
from .instructions import ENDED, InstructionRun
from .logs import get_logger
from .models.enums import InstructionStatus
from .tasks import outlast

__all__ = ["InstructionHandle"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")


class InstructionHandle(Generic[InstructionT, ResourceT]):
    """An instruction that the gateway has accepted.

    Got from ``start_sale`` and its like, or from ``resume_sale``. The instruction goes on whether
    or not somebody awaits it here.
    """

    def __init__(self, run: InstructionRun[InstructionT, ResourceT], grace: float) -> None:
        self._run = run
        self._grace = grace

    @property
    def serial_number(self) -> str | None:
        """The device's serial number; None where the instruction was resumed by its id."""
        return self._run.serial_number

    @property
    def idempotency_key(self) -> str | None:
        """The key it was submitted under; None where it was resumed by its id."""
        return self._run.idempotency_key

    @property
    def instruction_id(self) -> str | None:
        """The gateway's id for it."""
        return self._run.instruction_id

    @property
    def status(self) -> InstructionStatus | None:
        """The status that the gateway gave last; None before the first answer."""
        return self._run.instruction.status if self._run.instruction else None

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._run.kind.noun} instruction {self.instruction_id} "
            f"on device {self.serial_number}: {self.status}>"
        )

    async def _accepted(self) -> None:
        """Wait until the gateway has accepted the instruction."""
        await self._wait(until=self._run.accepted())
        if self._run.instruction_id is None:
            self._raise()

    async def result(self) -> ResourceT:
        """The payment (refund, signature) that came of the instruction. May be awaited repeatedly.

        Returns:
            The payment, approved or not, as its ``outcome`` says.

        Raises:
            InstructionError: The instruction ended otherwise, or its outcome is unknown.

        Cancellation:
            The instruction is cancelled at the gateway, or with ``on_cancel="detach"`` left
            running, before the CancelledError goes on.
        """
        await self._wait()
        if self._run.resource is None:
            self._raise()
        return self._run.resource

    async def cancel(self) -> InstructionT:
        """Cancel the instruction at the gateway, unless it has ended.

        Returns:
            The instruction's final state, ``canceled`` or whatever came first. If it completed,
            ``result()`` has the payment.

        Raises:
            OutcomeUnknownError: Its final state could not be learned.

        Cancellation:
            The instruction is cancelled all the same.
        """
        self._run.request_cancel("caller")
        await self._wait()
        instruction = self._run.instruction
        if instruction is None or instruction.status not in ENDED:
            self._raise()
        return instruction

    def _raise(self) -> NoReturn:
        assert self._run.error is not None
        raise self._run.error

    def _wait(self, until: Future[None] | None = None) -> Awaitable[None]:
        return outlast(
            self._run.task,
            until=until,
            grace=self._grace,
            on_cancel=self._let_go,
            on_left=self._left,
        )

    def _let_go(self) -> None:
        self._run.let_go("caller")

    def _left(self) -> None:
        """Say what the caller, who was cancelled, is not told."""
        run = self._run
        if not run.task.done():
            run.unwatched = True
            logger.error(
                "not confirmed in %g s, going on in the background: cancelling the %s "
                "instruction %s on device %s",
                self._grace,
                run.kind.noun,
                run.instruction_id,
                run.serial_number,
                extra=run.log_fields(),
            )
        elif run.resource is not None and not run.unwatched:
            run.log_unheard()
