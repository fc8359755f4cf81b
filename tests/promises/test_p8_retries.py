"""P8: what is retried, how often, how soon, and with what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from attrs import evolve

from payroc_async import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    Event,
    ForbiddenError,
    NotFoundError,
    OutcomeUnknownError,
    PayrocError,
    PayrocSession,
    RateLimitedError,
    Retrying,
    RetryPolicy,
    ServerError,
    TransportError,
)
from payroc_async.simulator import (
    FaultAction,
    Simulator,
    drop_after,
    drop_before,
    garbage,
    hang_after,
    html,
    problem,
    rate_limited,
    redirect,
    revoke_token,
    status,
    truncated,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale

EAGER_AND_PATIENT = evolve(EAGER, retry_after_maximum=60.0)
FAR = "Fri, 01 Jan 2100 00:00:00 GMT"

CALLS: dict[str, Callable[[PayrocSession, str], Awaitable[object]]] = {
    "submit": lambda session, _: session.payment_instructions.submit("another", sale()),
    "status": lambda session, id_: session.payment_instructions.retrieve(id_),
    "cancel": lambda session, id_: session.payment_instructions.cancel(id_),
    "payment": lambda session, id_: session.payments.retrieve(id_),
}

PASSING: list[tuple[FaultAction, type[PayrocError]]] = [
    (drop_before(), TransportError),
    (status(408), APIError),
    (status(425), APIError),
    (rate_limited(), RateLimitedError),
    (problem(500, "api-error"), ServerError),
    (html(502), ServerError),
    (status(503), ServerError),
    (html(504), ServerError),
]
FINAL: list[tuple[FaultAction, type[PayrocError]]] = [
    (problem(400, "bad-request"), BadRequestError),
    (problem(403, "forbidden"), ForbiddenError),
    (problem(404, "not-found"), NotFoundError),
    (problem(409, "cannot-be-modified"), ConflictError),
    (problem(413, "payload-too-large"), APIError),
    (status(501), ServerError),
]
REFUSED = FINAL[:-1]
"""The gateway's own problem documents: a 5xx is no refusal (E3)."""


def kind_of(error: object) -> str | None:
    return error.__name__ if isinstance(error, type) else None


async def prepared(gateway: Simulator, session: PayrocSession, on: str) -> str:
    """The id of what a call is about: of an instruction that runs, or of a payment."""
    if on == "payment":
        made = (await session.run_sale(SERIAL, sale())).payment_id
    else:
        gateway.device(SERIAL).never_finishes()
        made = (await session.payment_instructions.submit(SERIAL, sale())).instruction_id
    gateway.requests.clear()
    return made


@pytest.mark.parametrize(("fault", "error"), PASSING, ids=kind_of)
@pytest.mark.parametrize("on", CALLS)
async def test_p8_attempts_are_bounded(
    gateway: Simulator, session: PayrocSession, on: str, fault: FaultAction, error: type
) -> None:
    """A fault that never passes is stood as often as the policy says, then it is the error."""
    about = await prepared(gateway, session, on)
    gateway.faults.add(on, fault, times=None)
    with pytest.raises(error) as caught:
        await CALLS[on](session, about)
    assert type(caught.value) is error
    assert len(gateway.requests_of(on)) == EAGER.attempts


@pytest.mark.parametrize("on", CALLS)
async def test_p8_the_last_attempt_counts(
    gateway: Simulator, session: PayrocSession, on: str
) -> None:
    """A fault that passes just in time has cost nothing but time."""
    about = await prepared(gateway, session, on)
    gateway.faults.add(on, status(503), times=EAGER.attempts - 1)
    await CALLS[on](session, about)
    assert len(gateway.requests_of(on)) == EAGER.attempts


@pytest.mark.parametrize(("fault", "error"), FINAL, ids=kind_of)
@pytest.mark.parametrize("on", CALLS)
async def test_p8_a_refusal_is_never_retried(
    gateway: Simulator, session: PayrocSession, on: str, fault: FaultAction, error: type
) -> None:
    """What will not succeed later either is asked once."""
    about = await prepared(gateway, session, on)
    gateway.faults.add(on, fault, times=None)
    with pytest.raises(error) as caught:
        await CALLS[on](session, about)
    assert type(caught.value) is error
    assert len(gateway.requests_of(on)) == 1


@pytest.mark.parametrize("on", CALLS)
async def test_p8_a_401_is_repeated_once(
    gateway: Simulator, session: PayrocSession, on: str
) -> None:
    """P6: with a fresh token; if that is refused too, it is the error."""
    about = await prepared(gateway, session, on)
    gateway.faults.add(on, revoke_token(), times=None)
    with pytest.raises(AuthenticationError):
        await CALLS[on](session, about)
    assert len(gateway.requests_of(on)) == 2


@pytest.mark.parametrize(("fault", "error"), REFUSED, ids=kind_of)
async def test_p8_a_refused_sale_is_submitted_once(
    gateway: Simulator, session: PayrocSession, fault: FaultAction, error: type
) -> None:
    """A sale is no different: the gateway's own refusal reaches the caller as it is."""
    gateway.faults.add("submit", fault, times=None)
    events: list[Event] = []
    with pytest.raises(error) as caught:
        await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert type(caught.value) is error
    assert len(gateway.requests_of("submit")) == 1
    assert events == []


@pytest.mark.parametrize(
    "fault",
    [
        drop_before(),
        drop_after(),
        hang_after(),
        truncated(),
        garbage(),
        redirect("http://127.0.0.1:1/"),
        status(408, effect=True),
        status(425),
        rate_limited("0"),
        status(500, effect=True),
        status(502),
        status(503),
        status(504, effect=True),
        revoke_token(),
    ],
    ids=lambda fault: fault.kind,
)
async def test_p8_every_try_of_a_post_is_the_same(
    gateway: Simulator, session: PayrocSession, fault: FaultAction
) -> None:
    """The same bytes under the same key, whatever was in the way."""
    times = 1 if fault.kind in ("revoke_token", "hang_after") else 3
    gateway.faults.add("submit", fault, times=times)
    await session.payment_instructions.submit(SERIAL, sale())
    tries = gateway.requests_of("submit")
    assert len(tries) == times + 1
    assert len({seen.body for seen in tries}) == 1
    assert len({seen.headers["idempotency-key"] for seen in tries}) == 1
    assert {seen.headers["content-type"] for seen in tries} == {"application/json"}
    assert len(gateway.instructions) == 1


# Delays ----------


async def retried(
    gateway: Simulator, fault: FaultAction, policy: RetryPolicy, times: int = 1
) -> list[Retrying]:
    """What a sale reports its submission's retries."""
    gateway.faults.add("submit", fault, times=times)
    events: list[Event] = []
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, unreachable=1000 * UNIT),
        retries=policy,
    ) as session:
        await session.run_sale(SERIAL, sale(), on_event=events.append)
    return [event for event in events if isinstance(event, Retrying)]


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_p8_retry_after_is_honoured(gateway: Simulator, code: int, form: str) -> None:
    """In both forms: the next try comes no sooner than the gateway asked for."""
    asked_for = "1"
    if form == "date":
        # Whole seconds, here and in the answer's own date: between one and three are left.
        asked_for = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    fault = status(code, headers={"Retry-After": asked_for})
    (event,) = await retried(gateway, fault, EAGER_AND_PATIENT)
    assert 0.9 <= event.delay <= 3 + EAGER.initial
    assert isinstance(event.error, RateLimitedError | ServerError)
    assert event.error.retry_after is not None
    assert event.error.retry_after == pytest.approx(event.delay, abs=EAGER.initial)
    first, second = gateway.requests_of("submit")
    # Two clocks, of the loop and of the gateway: they agree to a millisecond or so.
    assert second.started - first.started >= event.error.retry_after - UNIT / 4


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("asked_for", ["86400", FAR], ids=["seconds", "date"])
async def test_p8_retry_after_is_capped(gateway: Simulator, code: int, asked_for: str) -> None:
    """A gateway that asks for a day, or for decades, gets `retry_after_maximum`."""
    fault = status(code, headers={"Retry-After": asked_for})
    (event,) = await retried(gateway, fault, EAGER)
    longest = EAGER.retry_after_maximum
    assert longest <= event.delay <= longest + EAGER.initial


@pytest.mark.parametrize(
    "nonsense", ["soon", "", "-5", "nan", "inf", "Wed, 01 Jan 2020 00:00:00 GMT", "Wed, 99 Foo"]
)
async def test_p8_retry_after_that_says_nothing(gateway: Simulator, nonsense: str) -> None:
    """What can't be read, or has passed, leaves the backoff as it is."""
    (event,) = await retried(gateway, rate_limited(nonsense), EAGER)
    assert 0 <= event.delay <= EAGER.initial


async def test_p8_retrying_tells_each_attempt(gateway: Simulator) -> None:
    """One event for each failure: its number, its error, and its delay, growing up to a cap."""
    policy = RetryPolicy(attempts=9, initial=UNIT / 8, maximum=UNIT)
    events = await retried(gateway, html(502), policy, times=8)
    assert [event.attempt for event in events] == [*range(1, 9)]
    for event in events:
        assert isinstance(event.error, ServerError)
        assert event.serial_number == SERIAL
        assert event.idempotency_key == gateway.requests_of("submit")[0].headers["idempotency-key"]
        assert 0 <= event.delay <= min(policy.maximum, policy.initial * 2 ** (event.attempt - 1))
    tries = gateway.requests_of("submit")
    for event, (earlier, later) in zip(events, pairwise(tries), strict=True):
        assert later.started - earlier.started >= event.delay - UNIT / 4


async def test_p8_a_sale_that_was_never_let_in_is_unknown_after_its_attempts(
    gateway: Simulator, session: PayrocSession
) -> None:
    """E2: a 4xx that is no refusal of the gateway's own is repeated a few times, then unknown."""
    fault = gateway.faults.add("submit", rate_limited(), times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert fault.hits == EAGER.attempts
    assert "not Payroc's: HTTP 429 from 127.0.0.1" in str(caught.value)
    gateway.faults.clear()


# DELETE, then verified ----------

LOST = [drop_after(), hang_after(), truncated(), status(502, effect=True)]


@pytest.mark.parametrize("lost", LOST, ids=lambda fault: fault.kind)
async def test_p8_a_cancellation_whose_answer_was_lost_is_verified(
    gateway: Simulator, session: PayrocSession, lost: FaultAction
) -> None:
    """The second DELETE comes too late for the first; the status shows that it is canceled."""
    about = await prepared(gateway, session, "cancel")
    gateway.faults.add("cancel", lost)
    await session.payment_instructions.cancel(about)
    assert gateway.in_progress == []
    assert [seen.status for seen in gateway.requests_of("cancel")][1:] == [409]
    assert len(gateway.requests_of("status")) == 1


@pytest.mark.parametrize("lost", LOST, ids=lambda fault: fault.kind)
async def test_p8_a_cancellation_that_came_too_late_is_no_success(
    gateway: Simulator, session: PayrocSession, lost: FaultAction
) -> None:
    """The first DELETE's answer was lost, and it was 409: the sale has completed."""
    gateway.device(SERIAL).completes_on_cancel()
    instruction = await session.payment_instructions.submit(SERIAL, sale())
    gateway.faults.add("cancel", lost)
    with pytest.raises(ConflictError):
        await session.payment_instructions.cancel(instruction.instruction_id)
    assert len(gateway.payments) == 1


async def test_p8_a_conflict_is_what_the_status_says(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A 409 to what has completed is a conflict; what is canceled already is canceled."""
    await session.run_sale(SERIAL, sale())
    (id_,) = gateway.instructions
    with pytest.raises(ConflictError):
        await session.payment_instructions.cancel(id_)
    gateway.device(SERIAL).never_finishes()
    instruction = await session.payment_instructions.submit(SERIAL, sale())
    for _ in range(2):
        await session.payment_instructions.cancel(instruction.instruction_id)
    assert [seen.status for seen in gateway.requests_of("cancel")] == [409, 204, 409]
