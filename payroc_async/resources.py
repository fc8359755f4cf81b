"""The endpoints, one call each, typed. Source: contract section 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from .codec import encode
from .errors import ConfigurationError, ConflictError, NotFoundError
from .models import Instruction, InstructionStatus, Payment
from .protocol import (
    PAYMENT,
    Kind,
    cancel_request,
    check_idempotency_key,
    check_identifier,
    decipher_instruction,
    decipher_resource,
    decipher_success,
    new_idempotency_key,
    resource_request,
    status_request,
    submit_request,
)
from .transport import Transport

__all__ = ["Instructions", "Payments", "check_request"]

InstructionT = TypeVar("InstructionT", bound=Instruction)

Channel = Callable[[], Transport]
"""Gives the session's transport, or raises SessionClosedError."""


def check_request(kind: Kind[Any, Any], request: object) -> None:
    """Refuse what is not this kind's request.

    Raises:
        ConfigurationError: It is of another type.
    """
    if not isinstance(request, kind.request_type):
        raise ConfigurationError(
            "request", f"must be a {kind.request_type.__name__}, not {type(request).__name__}"
        )


class Instructions(Generic[InstructionT]):
    """The instructions of one kind, a call at a time.

    Nothing here watches an instruction: ``run_sale`` and ``start_sale`` do.
    """

    def __init__(self, kind: Kind[InstructionT, Any], channel: Channel) -> None:
        self._kind = kind
        self._channel = channel

    async def submit(
        self, serial_number: str, request: object, *, idempotency_key: str | UUID | None = None
    ) -> InstructionT:
        """The instruction that the gateway has accepted for a device.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. The same request under the same key
                makes no second instruction.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            APIError: The gateway refused.
            TransportError: No answer came; the instruction may exist.

        Cancellation:
            The instruction may exist and run on the device; nobody cancels it.
        """
        check_identifier("serial_number", serial_number)
        check_request(self._kind, request)
        key = new_idempotency_key()
        if idempotency_key is not None:
            key = check_idempotency_key(idempotency_key)
        return await self._channel().call(
            submit_request(self._kind, serial_number, encode(request), key),
            lambda answer: decipher_instruction(self._kind, answer),
        )

    async def retrieve(self, instruction_id: str) -> InstructionT:
        """The instruction's state; while it is in progress, the gateway holds the answer.

        Args:
            instruction_id: The instruction's id. Wait for the answer before you ask again.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the instruction.
            TransportError: No answer came.

        Cancellation:
            The request is dropped; the instruction goes on.
        """
        check_identifier("instruction_id", instruction_id)
        return await self._channel().call(
            status_request(self._kind, instruction_id),
            lambda answer: decipher_instruction(self._kind, answer, instruction_id),
            held=True,
        )

    async def cancel(self, instruction_id: str) -> None:
        """Cancel an instruction that is in progress. One that is cancelled already stays so.

        Args:
            instruction_id: The instruction's id.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            ConflictError: It has ended otherwise: retrieve it to see how.
            APIError: The gateway refused; NotFoundError if it does not know the instruction.
            TransportError: No answer came; it may be cancelled.

        Cancellation:
            The request may have taken effect.
        """
        check_identifier("instruction_id", instruction_id)
        try:
            await self._channel().call(cancel_request(self._kind, instruction_id), decipher_success)
        except (ConflictError, NotFoundError):
            # A try before this one, its answer lost, may have done it: what counts is the status.
            if not await self._is_canceled(instruction_id):
                raise

    async def _is_canceled(self, instruction_id: str) -> bool:
        try:
            instruction = await self.retrieve(instruction_id)
        except NotFoundError:
            return False
        return instruction.status == InstructionStatus.CANCELED


class Payments:
    """The payments: where an approval or a decline is found."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def retrieve(self, payment_id: str) -> Payment:
        """The payment. Source: contract section 5.

        Args:
            payment_id: The payment's id, which is not the instruction's.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the payment.
            TransportError: No answer came.

        Cancellation:
            The request is dropped.
        """
        check_identifier("payment_id", payment_id)
        request = resource_request(PAYMENT, payment_id)
        return await self._channel().call(
            request, lambda answer: decipher_resource(PAYMENT, answer, request)
        )
