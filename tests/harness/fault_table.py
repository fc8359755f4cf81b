"""What must come out of a sale, whatever goes wrong with whichever of its requests.

A document first: at least one table for each request of a sale, with a line for each fault. The
columns say what comes out when the fault strikes once, twice in a row, and for ever.
`test_faults.py` goes through it on real sockets. It was written from the promises (P1 to P11) and
the contract, and says why where that is not plain.

How to read an outcome:

* ``PAID``: `run_sale` returns the payment that the gateway has.
* ``bare(E)``: the error E itself; there is no instruction, and never was.
* ``keyless(E)``: `OutcomeUnknownError` because of E, without an instruction id: the submission may
  have arrived. The same request under the error's key finds out.
* ``unknown(E)``: `OutcomeUnknownError` because of E, with the id: `resume_sale` finds out.
* ``CANCELED``: `InstructionCanceledError`; the gateway has confirmed it, no money moved.
* ``TIMED_OUT``: `InstructionTimeoutError`: the same, since the caller's ``timeout`` asked for it.
* ``None``: the case says nothing new, or can't be.

The rules behind most lines:

1. A fault that passes costs a retry and nothing else, whatever its number (E3, E4).
2. Only a problem document of the gateway's own refuses a first submission (E2: 400, 401, 403, 404,
   409, 413); once the instruction may exist, no refusal of anything proves anything (E1, E4).
3. A 401 to a submission is answered with one fresh token (P6): twice in a row is a refusal.
4. What may have moved money is unknown: a POST that may have arrived, a completed payment that
   can't be read (P5). `unreachable` releases the caller; the session goes on without one (C3).
5. The status, not the answer to a DELETE, says what became of it (E5), and a 404 is no state (E6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import field, frozen

from payroc_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    InstructionCanceledError,
    InstructionTimeoutError,
    NotFoundError,
    OutcomeUnknownError,
    PayrocError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseFormatError,
    ServerError,
    TransportError,
)
from payroc_async.simulator import (
    FaultAction,
    drop_after,
    drop_before,
    edit,
    empty,
    garbage,
    hang,
    hang_after,
    html,
    huge,
    problem,
    rate_limited,
    redirect,
    revoke_token,
    status,
    truncated,
    wrong_content_type,
)

__all__ = [
    "FAULTS",
    "REFUSED",
    "TABLE",
    "Expected",
    "Row",
    "Section",
]

# Outcomes ----------


@frozen
class Expected:
    """What comes out: a payment, or an error of exactly this class, with this class of cause.

    ``cause`` is looked for along the whole chain of causes: the nearest one may say what was being
    tried, and the next one how that failed.
    """

    error: type[PayrocError] | None = None
    cause: type[PayrocError] | None = None
    id_known: bool = True

    def cause_is_among(self, causes: Iterable[BaseException]) -> bool:
        if self.cause is None or self.cause is PayrocError:
            return True
        return self.cause in {type(cause) for cause in causes}

    def __str__(self) -> str:
        if self.error is None:
            return "a payment"
        said = self.error.__name__
        if self.cause is not None:
            said += f" because of {self.cause.__name__}"
        return said if self.id_known else f"{said}, without an instruction id"


PAID = Expected()
CANCELED = Expected(InstructionCanceledError)
TIMED_OUT = Expected(InstructionTimeoutError)


def bare(error: type[PayrocError], cause: type[PayrocError] | None = None) -> Expected:
    return Expected(error, cause, id_known=False)


def keyless(cause: type[PayrocError]) -> Expected:
    return Expected(OutcomeUnknownError, cause, id_known=False)


def unknown(cause: type[PayrocError]) -> Expected:
    return Expected(OutcomeUnknownError, cause)


# Faults ----------

REFUSED = "connection refused"
"""The gateway is stopped, and started again on its port."""

FAR = "Fri, 01 Jan 2100 00:00:00 GMT"
"""A Retry-After that would hold up a sale for decades if it were not capped."""
PAST = "Wed, 01 Jan 2020 00:00:00 GMT"

Json = dict[str, Any]


def _with(**changed: object) -> FaultAction:
    return edit(lambda data: {**data, **changed})


def _without(*names: str) -> FaultAction:
    return edit(lambda data: {key: value for key, value in data.items() if key not in names})


def _linking(rewrite: Callable[[str], str]) -> FaultAction:
    """Rewrites the id in the link of a completed instruction into another link."""

    def change(data: Json) -> Json:
        href = rewrite(data["link"]["href"].rpartition("/")[2])
        return {**data, "link": {**data["link"], "href": href}}

    return edit(change)


FAULTS: dict[str, Callable[[str], FaultAction]] = {
    # Each takes the URL of a server that no one may ever contact.
    "reset before it took effect": lambda _: drop_before(),
    "reset after it took effect": lambda _: drop_after(),
    "never answered": lambda _: hang(),
    "took effect, never answered": lambda _: hang_after(),
    "truncated body": lambda _: truncated(),
    "garbage": lambda _: garbage(),
    "HTML": lambda _: html(),
    "empty body": lambda _: empty(),
    "wrong content type": lambda _: wrong_content_type(),
    "a body of 50 MB": lambda _: huge(),
    "a JSON list": lambda _: status(200, body=b"[]", content_type="application/json"),
    "400": lambda _: problem(400, "bad-request"),
    "401": lambda _: problem(401, "not-authorized"),
    "token revoked": lambda _: revoke_token(),
    "403": lambda _: problem(403, "forbidden"),
    "404": lambda _: problem(404, "not-found"),
    "408": lambda _: status(408),
    "409": lambda _: problem(409, "cannot-be-modified"),
    "413": lambda _: problem(413, "payload-too-large"),
    "425": lambda _: status(425),
    "429": lambda _: rate_limited(),
    "429, Retry-After in seconds": lambda _: rate_limited("86400"),
    "429, Retry-After as a date": lambda _: rate_limited(FAR),
    "429, Retry-After in the past": lambda _: rate_limited(PAST),
    "500": lambda _: problem(500, "api-error"),
    "502": lambda _: html(502),
    "503": lambda _: status(503, headers={"Retry-After": "86400"}),
    "504": lambda _: html(504),
    "504, though it took effect": lambda _: status(504, effect=True),
    "redirect": lambda decoy: redirect(f"{decoy}/v1/payments/P"),
    "another instruction's id": lambda _: _with(paymentInstructionId="another"),
    "no instruction id": lambda _: _without("paymentInstructionId"),
    "neither instruction id nor link": lambda _: _without("paymentInstructionId", "link"),
    "another payment's id": lambda _: _with(paymentId="another"),
    "no payment id": lambda _: _without("paymentId"),
    "an unknown result": lambda _: edit(
        lambda data: {
            **data,
            "transactionResult": {**data["transactionResult"], "status": "settling"},
        }
    ),
    "no change": lambda _: _with(status="inProgress"),
    "missing link": lambda _: _without("link"),
    "link to another host": lambda decoy: _linking(lambda id_: f"{decoy}/v1/payments/{id_}"),
    "link outside the API": lambda decoy: _linking(lambda id_: f"{decoy}/admin/payments/{id_}"),
    "link that climbs out": lambda decoy: _linking(lambda id_: f"{decoy}/v1/payments/../../{id_}"),
    "link to another kind": lambda decoy: _linking(lambda id_: f"{decoy}/v1/refunds/{id_}"),
    "link that is no URL": lambda _: _linking(lambda id_: f"http://[/v1/payments/{id_}"),
    "link to another payment": lambda decoy: _linking(lambda id_: f"{decoy}/v1/payments/another"),
    "unknown status word": lambda _: _with(status="awaitingSignature"),
    "another instruction in a 200": lambda _: status(
        200,
        body=b'{"status": "completed", "paymentInstructionId": "another"}',
        content_type="application/json",
        effect=True,
    ),
}

# Tables ----------


@frozen
class Row:
    """One line: a fault, what comes out, and why."""

    fault: str
    once: Expected | None
    twice: Expected | None
    for_ever: Expected | None
    why: str = ""
    device: str = field(default="", kw_only=True)
    """What the device does, if not what the section says."""
    timeout: float | None = field(default=None, kw_only=True)
    """The caller's ``timeout``, in seconds."""
    left_running: bool = field(default=False, kw_only=True)
    """For ever alone: the fault leaves no way to cancel, so the instruction may be left running."""
    by_key: bool = field(default=False, kw_only=True)
    """The id that the error carries is wrong: only the key finds out."""
    last: str = field(default="for ever", kw_only=True)
    """How long the last column's fault goes on."""


@frozen
class Section:
    """The lines for one request of a sale."""

    title: str
    on: str
    """The request, in the simulator's words."""
    device: str
    """What the device does."""
    rows: tuple[Row, ...]
    after_no_change: bool = False
    """Whether the first request of the kind passes, and shows no change."""
    timeout: float | None = None


R = Row

AUTHORIZE = Section(
    "authorize",
    on="authorize",
    device="approves",
    # P6: callers wait for Timeouts.token, then get the reason: nothing has been sent, so the error
    # is bare. It is a RequestTimeoutError, whose cause is what the identity service did last.
    # A refusal fails fast, the first time, for a wrong API key does not fix itself.
    rows=(
        # fault                         once        twice       for ever
        R(REFUSED, PAID, PAID, bare(RequestTimeoutError, TransportError)),
        R("reset before it took effect", PAID, PAID, bare(RequestTimeoutError, TransportError)),
        R(
            "reset after it took effect",
            PAID,
            PAID,
            bare(RequestTimeoutError, TransportError),
            "a token no one has heard of costs nothing; the next is asked for",
        ),
        R("never answered", PAID, PAID, bare(RequestTimeoutError, RequestTimeoutError)),
        R("took effect, never answered", PAID, None, bare(RequestTimeoutError)),
        R("truncated body", PAID, PAID, bare(RequestTimeoutError, TransportError)),
        R("garbage", PAID, PAID, bare(RequestTimeoutError, ResponseFormatError)),
        R("HTML", PAID, PAID, bare(RequestTimeoutError, ResponseFormatError)),
        R("empty body", PAID, PAID, bare(RequestTimeoutError, ResponseFormatError)),
        R("a JSON list", PAID, PAID, bare(RequestTimeoutError, ResponseFormatError)),
        R("a body of 50 MB", PAID, PAID, bare(RequestTimeoutError, ResponseFormatError)),
        R("wrong content type", PAID, None, PAID, "the body decides: it is a token"),
        R("400", bare(BadRequestError), None, bare(BadRequestError), "rule 2"),
        R("401", bare(AuthenticationError), None, bare(AuthenticationError), "P6: fails fast"),
        R("403", bare(ForbiddenError), None, bare(ForbiddenError), "rule 2"),
        R("404", bare(NotFoundError), None, bare(NotFoundError), "rule 2"),
        R("409", bare(ConflictError), None, bare(ConflictError), "rule 2"),
        R("413", bare(APIError), None, bare(APIError), "rule 2"),
        R("408", PAID, PAID, bare(RequestTimeoutError, APIError)),
        R("425", PAID, PAID, bare(RequestTimeoutError, APIError)),
        R("429", PAID, PAID, bare(RequestTimeoutError, RateLimitedError)),
        R("429, Retry-After in seconds", PAID, PAID, bare(RequestTimeoutError, RateLimitedError)),
        R("429, Retry-After as a date", PAID, PAID, bare(RequestTimeoutError, RateLimitedError)),
        R("429, Retry-After in the past", PAID, PAID, bare(RequestTimeoutError, RateLimitedError)),
        R("500", PAID, PAID, bare(RequestTimeoutError, ServerError)),
        R("502", PAID, PAID, bare(RequestTimeoutError, ServerError)),
        R("503", PAID, PAID, bare(RequestTimeoutError, ServerError)),
        R("504", PAID, PAID, bare(RequestTimeoutError, ServerError)),
        R(
            "redirect",
            PAID,
            PAID,
            bare(RequestTimeoutError, ResponseFormatError),
            "P7: never followed, or the API key would go along",
        ),
    ),
)

SUBMIT = Section(
    "submit",
    on="submit",
    device="approves",
    # P1: repeated under its key, so that no fault makes a second instruction. What may have
    # arrived is repeated for Timeouts.unreachable and ends without an id; what has not,
    # RetryPolicy.attempts times, and ends in the error itself.
    rows=(
        # fault                         once        twice       for ever
        R(REFUSED, PAID, PAID, bare(TransportError), "never reached: nothing can have happened"),
        R(
            "reset before it took effect",
            PAID,
            PAID,
            keyless(TransportError),
            "from outside it looks as the next one does",
        ),
        R("reset after it took effect", PAID, PAID, keyless(TransportError)),
        R("never answered", PAID, PAID, keyless(RequestTimeoutError)),
        R("took effect, never answered", PAID, PAID, keyless(RequestTimeoutError)),
        R("truncated body", PAID, PAID, keyless(TransportError)),
        R("garbage", PAID, PAID, keyless(ResponseFormatError), "a 200 may have taken effect"),
        R("HTML", PAID, PAID, keyless(ResponseFormatError)),
        R("empty body", PAID, PAID, keyless(ResponseFormatError)),
        R("a JSON list", PAID, PAID, keyless(ResponseFormatError)),
        R("a body of 50 MB", PAID, PAID, keyless(ResponseFormatError)),
        R("wrong content type", PAID, None, PAID, "the body decides: it is an instruction"),
        R("400", bare(BadRequestError), None, bare(BadRequestError), "rule 2"),
        R("401", PAID, bare(AuthenticationError), bare(AuthenticationError), "rule 3"),
        R("token revoked", PAID, bare(AuthenticationError), bare(AuthenticationError), "rule 3"),
        R("403", bare(ForbiddenError), None, bare(ForbiddenError), "rule 2"),
        R("404", bare(NotFoundError), None, bare(NotFoundError), "rule 2"),
        R("409", bare(ConflictError), None, bare(ConflictError), "rule 2; a busy device, too"),
        R("413", bare(APIError), None, bare(APIError), "rule 2"),
        R("408", PAID, PAID, keyless(APIError), "a proxy's word; the gateway may have had it"),
        R("425", PAID, PAID, keyless(APIError), "not a refusal (E2)"),
        R("429", PAID, PAID, keyless(RateLimitedError), "not a refusal (E2)"),
        R("429, Retry-After in seconds", PAID, PAID, keyless(RateLimitedError)),
        R("429, Retry-After as a date", PAID, PAID, keyless(RateLimitedError)),
        R("429, Retry-After in the past", PAID, PAID, keyless(RateLimitedError)),
        R("500", PAID, PAID, keyless(ServerError), "it may have failed after its work was done"),
        R("502", PAID, PAID, keyless(ServerError)),
        R("503", PAID, PAID, keyless(ServerError)),
        R("504", PAID, PAID, keyless(ServerError)),
        R("504, though it took effect", PAID, PAID, keyless(ServerError)),
        R("redirect", PAID, PAID, keyless(ResponseFormatError), "P7: not followed; rule 4"),
        R(
            "another instruction's id",
            None,
            None,
            unknown(NotFoundError),
            "nothing shows that it is wrong; the key still finds the sale",
            by_key=True,
            left_running=True,
        ),
        R("no instruction id", PAID, None, PAID, "its link to itself has it"),
        R("neither instruction id nor link", PAID, PAID, keyless(ResponseFormatError)),
        R("missing link", PAID, None, PAID, "an instruction in progress links to itself at best"),
        R("link to another host", PAID, None, PAID, "not a link that is followed"),
        R("link outside the API", PAID, None, PAID, "not a link that is followed"),
        R("unknown status word", PAID, None, PAID, "it is not an end: the status is asked for"),
    ),
)

# What a status request has to stand whichever it is; what differs is below.
_POLL = (
    # fault                         once        twice       for ever
    R(REFUSED, PAID, PAID, unknown(TransportError), left_running=True),
    R("reset before it took effect", PAID, PAID, unknown(TransportError)),
    R("reset after it took effect", PAID, PAID, unknown(TransportError)),
    R("never answered", PAID, PAID, unknown(RequestTimeoutError), "P2: silence is no good answer"),
    R("took effect, never answered", PAID, PAID, unknown(RequestTimeoutError)),
    R("truncated body", PAID, PAID, unknown(TransportError)),
    R("garbage", PAID, PAID, unknown(ResponseFormatError)),
    R("HTML", PAID, PAID, unknown(ResponseFormatError)),
    R("empty body", PAID, PAID, unknown(ResponseFormatError)),
    R("a JSON list", PAID, PAID, unknown(ResponseFormatError)),
    R("a body of 50 MB", PAID, PAID, unknown(ResponseFormatError)),
    R("wrong content type", PAID, None, PAID, "the body decides: it is an instruction"),
    R("400", PAID, PAID, unknown(BadRequestError), "E4"),
    R("401", PAID, PAID, unknown(AuthenticationError), "E4"),
    R("token revoked", PAID, PAID, unknown(AuthenticationError), "E4"),
    R("403", PAID, PAID, unknown(ForbiddenError), "E4"),
    R("404", PAID, PAID, unknown(NotFoundError), "E6"),
    R("409", PAID, PAID, unknown(ConflictError), "E4"),
    R("413", PAID, PAID, unknown(APIError), "E4"),
    R("408", PAID, PAID, unknown(APIError), "said at once it is no sign of life"),
    R("425", PAID, PAID, unknown(APIError)),
    R("429", PAID, PAID, unknown(RateLimitedError)),
    R("429, Retry-After in seconds", PAID, PAID, unknown(RateLimitedError)),
    R("429, Retry-After as a date", PAID, PAID, unknown(RateLimitedError)),
    R("429, Retry-After in the past", PAID, PAID, unknown(RateLimitedError)),
    R("500", PAID, PAID, unknown(ServerError)),
    R("502", PAID, PAID, unknown(ServerError)),
    R("503", PAID, PAID, unknown(ServerError)),
    R("504", PAID, PAID, unknown(ServerError), "said at once it is no sign of life"),
    R(
        "504, though it took effect",
        PAID,
        PAID,
        unknown(ServerError),
        "after a real wait it means 'no change'; once the sale has completed there is no wait",
    ),
    R("redirect", PAID, PAID, unknown(ResponseFormatError), "P7: not followed"),
    R("another instruction's id", PAID, PAID, unknown(ResponseFormatError)),
    R("no instruction id", PAID, PAID, unknown(ResponseFormatError)),
)

FIRST_STATUS = Section(
    "the first status request",
    on="status",
    device="approves",
    # P2: a network hiccup never abandons a live payment. Without one good answer for
    # Timeouts.unreachable it is canceled, too late here, and its status still can't be had.
    rows=_POLL,
)

LATER_STATUS = Section(
    "a later status request, after an answer without a change",
    on="status",
    device="approves",
    after_no_change=True,
    rows=_POLL,
)

LAST_STATUS = Section(
    "the status request that shows that the sale has completed",
    on="status",
    device="approves",
    # P5: a completed instruction without a link that can be followed is an unknown outcome; until
    # Timeouts.unreachable it is asked for again, as any answer that breaks the contract.
    rows=(
        # fault                         once        twice       for ever
        R("missing link", PAID, PAID, unknown(ResponseFormatError)),
        R("link to another host", PAID, None, PAID, "contract 9: followed by its path"),
        R("link outside the API", PAID, PAID, unknown(ResponseFormatError)),
        R("link that climbs out", PAID, PAID, unknown(ResponseFormatError)),
        R("link to another kind", PAID, PAID, unknown(ResponseFormatError)),
        R("link that is no URL", PAID, PAID, unknown(ResponseFormatError)),
        R(
            "link to another payment",
            PAID,
            PAID,
            unknown(NotFoundError),
            "the gateway does not know that payment, so the link is asked for again",
        ),
        R("unknown status word", PAID, PAID, None, "P2: it keeps the poll going"),
        R(
            "unknown status word",
            None,
            None,
            unknown(PayrocError),
            "with a timeout: its cancellation comes too late, and no end is ever shown",
            timeout=0.4,
        ),
    ),
)

STUCK = Section(
    "a status request while the device never finishes",
    on="status",
    device="never finishes",
    # E4, C8: one odd answer cancels nothing. For ever, the caller is released as unknown, and the
    # session cancels the instruction in the background; also where the fault ends with that.
    rows=(
        # fault                         once        twice       for ever
        R("400", None, None, unknown(BadRequestError)),
        R("401", None, None, unknown(AuthenticationError)),
        R("token revoked", None, None, unknown(AuthenticationError)),
        R("403", None, None, unknown(ForbiddenError)),
        R("404", None, None, unknown(NotFoundError), "E6"),
        R("409", None, None, unknown(ConflictError)),
        R("413", None, None, unknown(APIError)),
        R(REFUSED, None, None, unknown(TransportError)),
        R("reset before it took effect", None, None, unknown(TransportError)),
        R("never answered", None, None, unknown(RequestTimeoutError)),
        R("garbage", None, None, unknown(ResponseFormatError)),
        R("429, Retry-After in seconds", None, None, unknown(RateLimitedError)),
        R("503", None, None, unknown(ServerError)),
        R("504", None, None, unknown(ServerError)),
        R("redirect", None, None, unknown(ResponseFormatError)),
        R("another instruction's id", None, None, unknown(ResponseFormatError)),
        *(
            R(fault, None, None, unknown(PayrocError), last="until it is being canceled")
            for fault in (REFUSED, "never answered", "401", "403", "404", "502")
        ),
        *(
            R(
                fault,
                None,
                None,
                unknown(PayrocError),
                "P3: the cancellation came too late, so that the payment is found afterwards",
                last="until it is being canceled",
                device="completes on cancel",
            )
            for fault in (REFUSED, "reset before it took effect", "garbage", "401", "404", "502")
        ),
        R("404", None, None, unknown(NotFoundError), "E6", device="completes on cancel"),
        R(
            "unknown status word",
            None,
            None,
            unknown(PayrocError),
            "it keeps the poll going until the timeout; its end is never shown",
            timeout=0.4,
        ),
        R(
            "504, though it took effect",
            TIMED_OUT,
            TIMED_OUT,
            None,
            "after the hold it means 'no change', until the timeout",
            timeout=0.5,
        ),
    ),
)

CANCEL = Section(
    "cancel",
    on="cancel",
    device="never finishes",
    timeout=0.3,
    # The sale's `timeout` has passed. DELETE and a look at the status alternate until the gateway
    # shows an end (C1); a device that still asks for a card is not left to itself (P3).
    rows=(
        # fault                         once       twice      for ever
        R(REFUSED, TIMED_OUT, TIMED_OUT, unknown(TransportError), left_running=True),
        R(
            "reset before it took effect",
            TIMED_OUT,
            TIMED_OUT,
            unknown(TransportError),
            left_running=True,
        ),
        R("reset after it took effect", TIMED_OUT, None, TIMED_OUT, "the status says"),
        R("never answered", TIMED_OUT, TIMED_OUT, unknown(RequestTimeoutError), left_running=True),
        R("took effect, never answered", TIMED_OUT, None, TIMED_OUT, "the status says"),
        R("truncated body", TIMED_OUT, None, TIMED_OUT, "it took effect: the status says"),
        R("wrong content type", TIMED_OUT, None, TIMED_OUT, "contract 9: body ignored"),
        R("another instruction in a 200", TIMED_OUT, None, TIMED_OUT, "contract 9: body ignored"),
        R(
            "garbage",
            TIMED_OUT,
            TIMED_OUT,
            unknown(PayrocError),
            "contract 9: any 2xx will do; but the status does not bear it out",
            left_running=True,
        ),
        R("HTML", TIMED_OUT, TIMED_OUT, unknown(PayrocError), left_running=True),
        R("empty body", TIMED_OUT, TIMED_OUT, unknown(PayrocError), left_running=True),
        R(
            "a body of 50 MB",
            TIMED_OUT,
            TIMED_OUT,
            unknown(ResponseFormatError),
            left_running=True,
        ),
        R("400", TIMED_OUT, TIMED_OUT, unknown(BadRequestError), left_running=True),
        R("401", TIMED_OUT, TIMED_OUT, unknown(AuthenticationError), left_running=True),
        R("token revoked", TIMED_OUT, TIMED_OUT, unknown(AuthenticationError), left_running=True),
        R("403", TIMED_OUT, TIMED_OUT, unknown(ForbiddenError), left_running=True),
        R("404", TIMED_OUT, TIMED_OUT, unknown(NotFoundError), left_running=True),
        R("409", TIMED_OUT, TIMED_OUT, unknown(ConflictError), left_running=True),
        R("413", TIMED_OUT, TIMED_OUT, unknown(APIError), left_running=True),
        R("408", TIMED_OUT, TIMED_OUT, unknown(APIError), left_running=True),
        R("425", TIMED_OUT, TIMED_OUT, unknown(APIError), left_running=True),
        R("429", TIMED_OUT, TIMED_OUT, unknown(RateLimitedError), left_running=True),
        R(
            "429, Retry-After in seconds",
            TIMED_OUT,
            TIMED_OUT,
            unknown(RateLimitedError),
            left_running=True,
        ),
        R(
            "429, Retry-After as a date",
            TIMED_OUT,
            TIMED_OUT,
            unknown(RateLimitedError),
            left_running=True,
        ),
        R("500", TIMED_OUT, TIMED_OUT, unknown(ServerError), left_running=True),
        R("502", TIMED_OUT, TIMED_OUT, unknown(ServerError), left_running=True),
        R("503", TIMED_OUT, TIMED_OUT, unknown(ServerError), left_running=True),
        R("504", TIMED_OUT, TIMED_OUT, unknown(ServerError), left_running=True),
        R("504, though it took effect", TIMED_OUT, None, TIMED_OUT, "the status says"),
        R("redirect", TIMED_OUT, TIMED_OUT, unknown(ResponseFormatError), left_running=True),
        *(
            R(
                fault,
                PAID,
                None,
                PAID,
                "P5: too late; it has completed",
                device="completes on cancel",
            )
            for fault in (
                "reset after it took effect",
                "took effect, never answered",
                "truncated body",
                "504, though it took effect",
            )
        ),
    ),
)

PAYMENT = Section(
    "the payment",
    on="payment",
    device="approves",
    # P5: a completed instruction whose payment can't be read is an unknown outcome, and the sale is
    # complete at the gateway in every case. Passing faults are stood for Timeouts.unreachable.
    rows=(
        # fault                         once        twice       for ever
        R(REFUSED, PAID, PAID, unknown(TransportError)),
        R("reset before it took effect", PAID, PAID, unknown(TransportError)),
        R("reset after it took effect", PAID, PAID, unknown(TransportError)),
        R("never answered", PAID, PAID, unknown(RequestTimeoutError)),
        R("took effect, never answered", PAID, PAID, unknown(RequestTimeoutError)),
        R("truncated body", PAID, PAID, unknown(TransportError)),
        R("garbage", PAID, PAID, unknown(ResponseFormatError)),
        R("HTML", PAID, PAID, unknown(ResponseFormatError)),
        R("empty body", PAID, PAID, unknown(ResponseFormatError)),
        R("a JSON list", PAID, PAID, unknown(ResponseFormatError)),
        R("a body of 50 MB", PAID, PAID, unknown(ResponseFormatError)),
        R("wrong content type", PAID, None, PAID, "the body decides: it is a payment"),
        R("400", PAID, PAID, unknown(BadRequestError), "E4"),
        R("401", PAID, PAID, unknown(AuthenticationError), "E4"),
        R("token revoked", PAID, PAID, unknown(AuthenticationError), "E4"),
        R("403", PAID, PAID, unknown(ForbiddenError), "E4"),
        R("404", PAID, PAID, unknown(NotFoundError), "E6"),
        R("409", PAID, PAID, unknown(ConflictError), "E4"),
        R("413", PAID, PAID, unknown(APIError), "E4"),
        R("408", PAID, PAID, unknown(APIError)),
        R("425", PAID, PAID, unknown(APIError)),
        R("429", PAID, PAID, unknown(RateLimitedError)),
        R("429, Retry-After in seconds", PAID, PAID, unknown(RateLimitedError)),
        R("429, Retry-After as a date", PAID, PAID, unknown(RateLimitedError)),
        R("429, Retry-After in the past", PAID, PAID, unknown(RateLimitedError)),
        R("500", PAID, PAID, unknown(ServerError)),
        R("502", PAID, PAID, unknown(ServerError)),
        R("503", PAID, PAID, unknown(ServerError)),
        R("504", PAID, PAID, unknown(ServerError)),
        R("redirect", PAID, PAID, unknown(ResponseFormatError), "P7: not followed"),
        R("another payment's id", PAID, PAID, unknown(ResponseFormatError)),
        R("no payment id", PAID, PAID, unknown(ResponseFormatError)),
        R("an unknown result", PAID, None, PAID, "the outcome is in responseCode alone"),
    ),
)

TABLE = (
    AUTHORIZE,
    SUBMIT,
    FIRST_STATUS,
    LATER_STATUS,
    LAST_STATUS,
    STUCK,
    CANCEL,
    PAYMENT,
)
