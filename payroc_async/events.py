"""The events passed to ``on_event`` while an instruction runs: small frozen objects."""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen

from payroc_async.models.shared import Link, Model

from . import models

__all__ = [
    "CancelReason",
    "CancelRequested",
    "Canceled",
    "Completed",
    "Event",
    "Failed",
    "ResultReceived",
    "Retrying",
    "StillInProgress",
    "Submitted",
]

CancelReason = Literal["caller", "timeout", "close", "gave up"]
"""Why an instruction is being canceled.

``caller``: the awaiting task was canceled, or ``handle.cancel()`` was called; ``timeout``: its
``timeout`` passed; ``close``: the session closes; ``gave up``: the gateway no longer returns its
status.
"""


@frozen(kw_only=True, eq=False, repr=False)
class Event(Model):
    """The base of all events, which identifies the instruction.

    ``serial_number`` and ``idempotency_key`` are None for an instruction that was resumed by its
    id; ``instruction_id`` is None until the gateway has answered the submission.
    """

    serial_number: str | None
    idempotency_key: str | None
    instruction_id: str | None
    kind: Literal["payment", "refund", "signature"] = "payment"


class Submitted(Event):
    """The gateway has accepted the instruction and sends it to the device."""

    __slots__ = ()


class StillInProgress(Event):
    """A status request was answered or timed out without a change of status."""

    __slots__ = ()


@frozen(kw_only=True, eq=False, repr=False)
class Retrying(Event):
    """A request failed and is about to be retried.

    ``attempt`` counts the failures of this request so far, ``delay`` is in seconds.
    """

    error: Exception
    attempt: int
    delay: float


@frozen(kw_only=True, eq=False, repr=False)
class CancelRequested(Event):
    """The instruction is about to be canceled at the gateway."""

    reason: CancelReason


class Canceled(Event):
    """The instruction is canceled: it will not make a payment.

    ``instruction_id`` is None if the instruction was canceled before it was submitted.
    """

    __slots__ = ()


@frozen(kw_only=True, eq=False, repr=False)
class Failed(Event):
    """The instruction failed: it will not make a payment."""

    error_message: str | None


@frozen(kw_only=True, eq=False, repr=False)
class Completed(Event):
    """The instruction has completed; the link points to its payment, refund or signature."""

    link: Link


@frozen(kw_only=True, eq=False, repr=False)
class ResultReceived(Event):
    """The payment, refund or signature was retrieved: the outcome is known."""

    resource: models.Payment | models.Refund | models.Signature = field()
