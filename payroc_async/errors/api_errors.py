"""Error answers: the problem document, and an exception for each HTTP status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from payroc_async.wording import printable

from .base_errors import PayrocError

if TYPE_CHECKING:
    from payroc_async.models.shared import Link

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ForbiddenError",
    "IdempotencyKeyInUseError",
    "NotFoundError",
    "Problem",
    "ProblemDetail",
    "RateLimitedError",
    "ServerError",
]


@frozen
class ProblemDetail:
    """One entry of a problem document's ``errors``: the parameter, and what is wrong with it.

    Source: contract section 8.
    """

    parameter: str | None = None
    detail: str | None = None
    message: str | None = None


@frozen
class Problem:
    """An error answer's problem document (RFC 7807, and Payroc's own ``errors``).

    Source: contract section 8. Every part is optional: proxies between the SDK and the gateway
    answer in HTML or with an empty body.

    Attributes:
        type: One of Payroc's URLs, ending in ``#`` and the fragment.
        link: A link that some conflicts have. If a cancellation came too late, it points to the
            payment, refund or signature.
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
    """The gateway, or a proxy in front of it, answered with an error.

    Attributes:
        status: The HTTP status.
        problem: The problem document; empty if the answer had none.
        retry_after: Seconds to wait, from ``Retry-After`` in either form.
        headers: The answer's headers, with lower-case names.
        host: The host of the request; empty if unknown.
        own: Whether the gateway itself gave the answer.
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
        """Whether the gateway itself answered, not a proxy: the ``type`` is one of Payroc's URLs.

        The problem's ``status``, if present, must equal the HTTP status. The exception is a key in
        use, which Payroc publishes as 400 with 409 in the body. Source: contract sections 8 and 9.
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
    """401: the API key is wrong, or the gateway refused a fresh token, too."""

    def __str__(self) -> str:
        asked = f"{self.host} refused the API key" if self.host else "the API key is refused"
        return (
            f"{super().__str__()} ({asked}; keys are per environment: check that this one belongs "
            "to the environment of the session)"
        )


class ForbiddenError(APIError):
    """403: this API key lacks the permission."""


class NotFoundError(APIError):
    """404: the gateway does not know the device, instruction or payment."""


class ConflictError(APIError):
    """409: not possible in the present state, such as canceling a completed instruction."""


class IdempotencyKeyInUseError(ConflictError):
    """409 or 400: the idempotency key was already used with a different request."""


class RateLimitedError(APIError):
    """429: too many requests; ``retry_after`` is the time to wait, if known."""


class ServerError(APIError):
    """5xx: the gateway, or a proxy in front of it, failed."""
