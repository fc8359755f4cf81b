"""What an instruction is called, in its errors, events and log records."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from payroc_async.wire.converter import order_id_in

__all__ = ["Identity"]


class Identity:
    """The names of one instruction, as far as they are known.

    Args:
        kind: ``"payment"``, ``"refund"`` or ``"signature"``.
        serial_number: The device's serial number; None for an instruction resumed by its id.
        idempotency_key: The key; None for an instruction resumed by its id.
        instruction_id: The gateway's id, once known.
        request: The caller's request.
        body: Its bytes.
    """

    __slots__ = (
        *("body", "idempotency_key", "instruction_id", "kind", "request", "serial_number"),
        "task",
    )

    def __init__(
        self,
        kind: Literal["payment", "refund", "signature"],
        serial_number: str | None = None,
        idempotency_key: str | None = None,
        instruction_id: str | None = None,
        *,
        request: object = None,
        body: bytes = b"",
    ) -> None:
        self.kind: Literal["payment", "refund", "signature"] = kind
        self.serial_number = serial_number
        self.idempotency_key = idempotency_key
        self.instruction_id = instruction_id
        self.request = request
        self.body = body
        self.task: asyncio.Task[None] | None = None  # the runner's, while it runs

    def names(self) -> dict[str, str | None]:
        """What names the instruction."""
        return {
            "serial_number": self.serial_number,
            "idempotency_key": self.idempotency_key,
            "instruction_id": self.instruction_id,
        }

    def log_fields(self) -> dict[str, str | None]:
        """What every log record about the instruction says of it."""
        return {**self.names(), "order_id": self.order_id()}

    def order_id(self) -> str | None:
        """The caller's id of the order; None where there is none."""
        if self.request is None:
            return order_id_in(self.body)
        order_id: str | None = getattr(getattr(self.request, "order", None), "order_id", None)
        return order_id

    def fields_of_record(self) -> dict[str, str | None]:
        """The same, in the runner's task and timers alone: not in a task that a listener starts."""
        running = asyncio.current_task()
        return self.log_fields() if running is None or running is self.task else {}

    def for_errors(self) -> dict[str, Any]:
        """What every error about the instruction carries."""
        return {**self.names(), "request": self.request, "kind": self.kind}
