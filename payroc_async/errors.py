"""Every error that the SDK raises, in one tree::

    PayrocError
    ├─ ConfigurationError                       also a ValueError
    ├─ SessionClosedError
    ├─ WrongEventLoopError                      called outside of the session's loop or process
    ├─ TransportError                           no answer: refused, reset, DNS, TLS …
    │   └─ RequestTimeoutError
    ├─ ResponseFormatError                      an answer that breaks the contract
    ├─ APIError                                 the gateway answered with an error
    │   ├─ BadRequestError 400
    │   ├─ AuthenticationError 401
    │   ├─ ForbiddenError 403
    │   ├─ NotFoundError 404
    │   ├─ ConflictError 409
    │   │   └─ IdempotencyKeyInUseError
    │   ├─ RateLimitedError 429
    │   └─ ServerError 5xx
    ├─ DeviceBusyError                          another instruction is unfinished on that device
    ├─ JournalError                             the journal can't be read or written
    │   └─ LeaseLost                            another process or session runs that instruction
    ├─ PaymentDeclinedError                     from Payment.raise_for_decline() alone
    ├─ RefundDeclinedError                      from Refund.raise_for_decline() alone
    └─ InstructionError                         an instruction that did not end in its resource
        ├─ InstructionFailedError
        ├─ InstructionCanceledError
        ├─ InstructionTimeoutError
        └─ OutcomeUnknownError

Errors keep their data as attributes and say it in their text. No text holds an API key, a token or
card data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from .wording import printable

if TYPE_CHECKING:
    from .models import Payment, Refund
    from .models.shared import Link

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigurationError",
    "ConflictError",
    "DeviceBusyError",
    "ForbiddenError",
    "IdempotencyKeyInUseError",
    "InstructionCanceledError",
    "InstructionError",
    "InstructionFailedError",
    "InstructionTimeoutError",
    "JournalError",
    "LeaseLost",
    "NotFoundError",
    "OutcomeUnknownError",
    "PaymentDeclinedError",
    "PayrocError",
    "Problem",
    "ProblemDetail",
    "RateLimitedError",
    "RefundDeclinedError",
    "RequestTimeoutError",
    "ResponseFormatError",
    "ServerError",
    "SessionClosedError",
    "TransportError",
    "WrongEventLoopError",
]


class PayrocError(Exception):
    """The base of every error that this package raises on purpose.

    Attributes:
        idempotency_key: The key of the POST that failed, if it was one. Repeated with the same
            arguments under it, a call takes no second effect.
        may_have_taken_effect: Whether that POST may have done its work all the same: this try, or
            one before it whose answer was lost. If not, nothing was done under this key by this
            call.
    """

    idempotency_key: str | None = None
    may_have_taken_effect: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and pickled without calling __init__, whose parameters are not its args.
        return _restore, (type(self), self.args), self.__dict__


def _restore(error_type: type[PayrocError], args: tuple[Any, ...]) -> PayrocError:
    return error_type.__new__(error_type, *args)


class ConfigurationError(PayrocError, ValueError):
    """A value that the caller gave is wrong; nothing was sent.

    Attributes:
        field: The name of the parameter or field, as the caller spells it.
        reason: What is wrong with it. Never holds a secret.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class SessionClosedError(PayrocError):
    """The session is not open: not yet, no longer, or its token task has died."""


class WrongEventLoopError(PayrocError):
    """A session was used outside of the event loop or the process that it was opened in.

    Nothing was sent, and the session goes on undisturbed where it belongs.

    Attributes:
        session_loop: The loop that the session was opened in, as text.
        running_loop: The loop that the call came from, as text; None if no loop was running.
        loop_closed: Whether the session's loop is closed: then this session is of no more use.
        parent_pid: The id of the process that opened the session; None where this one did, and is
            no forked child of it.
    """

    def __init__(
        self,
        *,
        session_loop: str,
        running_loop: str | None,
        loop_closed: bool = False,
        parent_pid: int | None = None,
    ) -> None:
        super().__init__(session_loop, running_loop)
        self.session_loop = session_loop
        self.running_loop = running_loop
        self.loop_closed = loop_closed
        self.parent_pid = parent_pid

    def __str__(self) -> str:
        if self.parent_pid is not None:
            return (
                f"the session was opened in process {self.parent_pid} and used in a process forked "
                "from it: open one session, in one event loop, in each process after the fork"
            )
        if self.loop_closed:
            return (
                f"the session's event loop is closed ({self.session_loop}): open one session in a "
                "loop that runs as long as the process; asyncio.run() closes its loop at its end"
            )
        used = f"from another ({self.running_loop})" if self.running_loop else "where no loop runs"
        return (
            f"the session belongs to one event loop ({self.session_loop}) and was used {used}: "
            "call it in its own loop, from other threads with asyncio.run_coroutine_threadsafe() "
            "or anyio.from_thread.start_blocking_portal()"
        )


class TransportError(PayrocError):
    """No answer came: refused, reset, DNS, TLS, a broken or oversized reply.

    Attributes:
        request_sent: False if the request certainly never reached the gateway, as when the
            connection was refused. True if it may have taken effect.
        proxy_status: The status with which a proxy refused to make a tunnel; None otherwise.
    """

    proxy_status: int | None = None

    def __init__(self, message: str, *, request_sent: bool) -> None:
        super().__init__(message)
        self.request_sent = request_sent


class RequestTimeoutError(TransportError):
    """No answer came in time."""


class ResponseFormatError(PayrocError):
    """An answer that breaks the contract: not JSON, a field missing, a link to elsewhere."""


@frozen
class ProblemDetail:
    """One entry of a problem document's ``errors``: which parameter failed, and how.

    Source: contract section 8.
    """

    parameter: str | None = None
    detail: str | None = None
    message: str | None = None


@frozen
class Problem:
    """An error answer's problem document (RFC 7807, and Payroc's own ``errors``).

    Source: contract section 8. Every part is optional: between the SDK and the gateway stand
    proxies that answer in HTML or with nothing.

    Attributes:
        type: A URL of Payroc's that ends in ``#`` and the fragment.
        link: Where some conflicts lead: that of a cancellation which came too late leads to the
            payment, refund or signature that came first.
        raw: The whole document.
    """

    type: str | None = None
    title: str | None = None
    status: int | None = None
    detail: str | None = None
    instance: str | None = None
    link: Link | None = None
    errors: tuple[ProblemDetail, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, repr=False)

    @property
    def fragment(self) -> str:
        """The last part of ``type``, such as ``idempotency-key-in-use``; empty without one."""
        return (self.type or "").partition("#")[2].strip()

    def __str__(self) -> str:
        said = self.detail or self.title or self.fragment
        fields = "; ".join(
            ": ".join(part for part in (e.parameter, e.detail or e.message) if part)
            for e in self.errors
        )
        return printable(f"{said} ({fields})" if said and fields else said or fields)


_PAYROC_ERROR = re.compile(
    r"(?ai)\s*https?://(?:[a-z0-9-]+\.)*payroc\.com(?::\d*)?(?:[/?][^#]*)?#\s*\S.*"
).fullmatch


class APIError(PayrocError):
    """The gateway, or something before it, answered with an error.

    Attributes:
        status: The HTTP status.
        problem: The problem document; empty when the answer held none.
        retry_after: Seconds that the answer asked to wait, from ``Retry-After`` in either form.
        headers: The answer's headers; look them up in lower case.
        host: The host that was asked; empty if it is not known.
        own: Whether the answer is the gateway's own.
    """

    host: str = ""

    def __init__(
        self,
        status: int,
        problem: Problem,
        *,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, problem)
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        self.headers: Mapping[str, str] = headers or {}

    @property
    def own(self) -> bool:
        """Whether the gateway gave the answer, and no proxy: its ``type`` is a URL of Payroc's.

        And its ``status``, if it has one, is the answer's; but for a key in use, which Payroc
        publishes as 400 with 409 in the body. Source: contract sections 8 and 9.
        """
        problem, said = self.problem, self.problem.status
        same = said == self.status or (said is None and problem.raw.get("status") is None)
        if problem.fragment == "idempotency-key-in-use":
            same = same or {said, self.status} == {400, 409}
        return same and _PAYROC_ERROR(problem.type or "") is not None

    def __str__(self) -> str:
        said = str(self.problem)
        return f"HTTP {self.status}: {said}" if said else f"HTTP {self.status}"


class BadRequestError(APIError):
    """400: the request is wrong; ``problem.errors`` names the fields."""


class AuthenticationError(APIError):
    """401: the API key is wrong, or a fresh token was refused too."""

    def __str__(self) -> str:
        asked = f"{self.host} refused the API key" if self.host else "the API key is refused"
        return (
            f"{super().__str__()} ({asked}; keys are per environment: check that this one belongs "
            "to the environment of the session)"
        )


class ForbiddenError(APIError):
    """403: this API key may not do that."""


class NotFoundError(APIError):
    """404: the gateway does not know the device, instruction or payment."""


class ConflictError(APIError):
    """409: not possible in the present state, as canceling what has completed."""


class IdempotencyKeyInUseError(ConflictError):
    """409 or 400: the idempotency key was used before, with a different request."""


class RateLimitedError(APIError):
    """429: too many requests; ``retry_after`` says for how long to wait, if known."""


class ServerError(APIError):
    """5xx: the gateway, or a proxy before it, failed."""


class DeviceBusyError(PayrocError):
    """Another instruction runs on that device, or is unfinished there; nothing was sent.

    Attributes:
        serial_number: The device's serial number.
        idempotency_key: The key of the instruction that the device is busy with, where known.
        since: When the journal entered that instruction; None if this session runs it.
        running: Whether a living process drives it. False: its process has died or released it, and
            recovery ends it; a person who knows how it ended can, with
            ``payroc-async journal close KEY``.
    """

    def __init__(
        self,
        serial_number: str,
        *,
        idempotency_key: str | None = None,
        since: datetime | None = None,
        running: bool = True,
    ) -> None:
        super().__init__(serial_number)
        self.serial_number = serial_number
        self.idempotency_key = idempotency_key
        self.since = since
        self.running = running

    def __str__(self) -> str:
        busy = f"device {self.serial_number} is busy: "
        if self.since is None:
            return (
                f"{busy}this session already runs an instruction on it; await its end or cancel it "
                "first"
            )
        begun = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        found = f"{busy}the instruction under key {self.idempotency_key}, begun {begun}, "
        if self.running:
            return (
                f"{found}is unfinished, and a living process drives it; await its end or cancel it "
                "there"
            )
        return (
            f"{found}is unfinished, and no living process drives it: recover it "
            "(PayrocSession(recovery=Recovery()), session.recover() or payroc-async recover), or, "
            f"if you know how it ended, run payroc-async journal close {self.idempotency_key}"
        )


class JournalError(PayrocError):
    """The journal can't be read or written. Where a sale was about to begin, nothing was sent.

    Attributes:
        may_be_written: False if the write that failed has certainly left nothing in the journal.
    """

    may_be_written: bool = True


class LeaseLost(JournalError):
    """Another drives that instruction: a process that has taken it over, a session, a recovery.

    Attributes:
        idempotency_key: The key it was submitted under.
    """

    def __init__(self, idempotency_key: str) -> None:
        super().__init__(idempotency_key)
        self.idempotency_key = idempotency_key

    def __str__(self) -> str:
        return (
            "another process or session drives the instruction under key "
            f"{self.idempotency_key}: wait for its outcome, or look it up in the journal"
        )


def _what_was_answered(what: str, answer: Payment | Refund) -> str:
    message = answer.transaction_result.response_message
    return f"{what} is {answer.outcome.name}" + (f": {printable(message)}" if message else "")


class PaymentDeclinedError(PayrocError):
    """A payment, or a change of it, was not approved in full.

    Raised by ``Payment.raise_for_decline()`` alone.

    Attributes:
        payment: The payment, as the gateway's answer has it.
    """

    def __init__(self, payment: Payment) -> None:
        super().__init__(payment)
        self.payment = payment

    def __str__(self) -> str:
        return _what_was_answered(f"payment {self.payment.payment_id}", self.payment)


class RefundDeclinedError(PayrocError):
    """A refund, or a change of it, was not approved in full.

    Raised by ``Refund.raise_for_decline()`` alone.

    Attributes:
        refund: The refund, as the gateway's answer has it.
    """

    def __init__(self, refund: Refund) -> None:
        super().__init__(refund)
        self.refund = refund

    def __str__(self) -> str:
        return _what_was_answered(f"refund {self.refund.refund_id}", self.refund)


class InstructionError(PayrocError):
    """An instruction did not end in its payment, refund or signature.

    Attributes:
        serial_number: The device's serial number; None where an instruction was resumed by its id.
        idempotency_key: The key it was submitted under; None where it was resumed by its id.
        instruction_id: The gateway's id for it; None if that is not known yet. With it,
            ``resume_sale`` or its like goes on; without it, ``run_sale`` or its like with the same
            request and ``idempotency_key`` does, and makes no second instruction.
        request: The request as submitted; None where it was resumed by its id.
        kind: ``"payment"``, ``"refund"`` or ``"signature"``: what to resume or run it as.
    """

    def __init__(
        self,
        *,
        serial_number: str | None,
        idempotency_key: str | None,
        instruction_id: str | None,
        request: Any = None,
        kind: str = "payment",
    ) -> None:
        super().__init__(serial_number, idempotency_key, instruction_id)
        self.kind = kind
        self.serial_number = serial_number
        self.idempotency_key = idempotency_key
        self.instruction_id = instruction_id
        self.request = request

    def __str__(self) -> str:
        known = {
            "device": self.serial_number,
            "instruction": self.instruction_id,
            "idempotency key": self.idempotency_key,
        }
        where = ", ".join(f"{name} {value}" for name, value in known.items() if value)
        return f"{self._said()} ({where})"

    def _said(self) -> str:
        return "the instruction did not end in its resource"


class InstructionFailedError(InstructionError):
    """The instruction failed on the device or at the gateway: no payment exists.

    Attributes:
        error_message: What the gateway gave as the reason, unchanged.
    """

    def __init__(self, error_message: str | None, **known: Any) -> None:
        super().__init__(**known)
        self.error_message = error_message

    def _said(self) -> str:
        return f"the instruction failed: {printable(self.error_message or 'no reason given')}"


class InstructionCanceledError(InstructionError):
    """The instruction was canceled, on the device or by another caller: no payment exists."""

    def _said(self) -> str:
        return "the instruction was canceled"


class InstructionTimeoutError(InstructionError):
    """``timeout`` passed, and the instruction is canceled: no money moved."""

    def _said(self) -> str:
        return "the timeout passed and the instruction was canceled"


class OutcomeUnknownError(InstructionError):
    """The outcome could not be learned: money may have moved.

    ``__cause__`` says why. Resume by ``instruction_id``, or run the same request again under the
    same ``idempotency_key``; neither makes a second instruction.

    Attributes:
        request_sent: False if this call sent nothing: then only an earlier one under the same key,
            which the caller gave, can have made an instruction.
        may_have_taken_effect: False if this call has surely made no instruction, since it sent
            nothing or was refused (``__cause__`` is then the refusal): who knows that no earlier
            call has used the key knows that no money moved.
    """

    may_have_taken_effect = True
    request_sent = True

    def _said(self) -> str:
        if not self.may_have_taken_effect:
            said = "this call has made nothing, but an earlier one under the same key may have"
        elif self.kind == "signature":
            said = "the signature may have been taken"
        else:
            said = "money may have moved"
        go_on = "resume it by its id" if self.instruction_id else "repeat it under the same key"
        return f"the outcome is unknown, {said}; {go_on} to learn it"

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}: {self.__cause__}" if self.__cause__ else said
