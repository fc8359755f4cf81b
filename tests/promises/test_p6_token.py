"""P6 over the wire: the token, fetched from a real identity service."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from payroc_async import (
    AuthenticationError,
    Canceled,
    Event,
    OutcomeUnknownError,
    PayrocSession,
    RequestTimeoutError,
    Timeouts,
)
from payroc_async.simulator import OMIT, Simulator, delay, hang, html, problem, rate_limited, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.step_canceller import until


async def test_p6_one_token_serves_a_hundred_sales(
    gateway: Simulator, patient_session: PayrocSession
) -> None:
    """However many sales start at once, the first token is fetched once."""
    asyncio.get_running_loop().set_debug(False)
    await asyncio.gather(*(patient_session.run_sale(f"device{n}", sale()) for n in range(100)))
    assert len(gateway.requests_of("authorize")) == 1


async def test_p6_a_hundred_refusals_fetch_one_token(
    gateway: Simulator, patient_session: PayrocSession
) -> None:
    """A hundred requests that are refused together are repeated with one new token."""
    payment_id = (await patient_session.run_sale(SERIAL, sale())).payment_id
    gateway.faults.add("authorize", delay(0.5))  # so that many are refused before it comes
    gateway.revoke_tokens()
    payments = await asyncio.gather(
        *(patient_session.payments.retrieve(payment_id) for _ in range(100))
    )
    assert {payment.payment_id for payment in payments} == {payment_id}
    refused = [seen for seen in gateway.requests if seen.status == 401]
    assert len(refused) > 10
    assert len(gateway.requests_of("payment")) == 101 + len(refused)
    assert len(gateway.requests_of("authorize")) == 2


@pytest.mark.parametrize("expires_in", [1, 0, -5, "3600", "soon", None, OMIT, 1e300, [], 0.5])
async def test_p6_any_expires_in(
    gateway: Simulator, session: PayrocSession, expires_in: object
) -> None:
    """Whatever the identity service says of a token's life, sales run, and it is not stormed."""
    gateway.expires_in = expires_in
    for _ in range(5):
        assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.requests_of("authorize")) == 1


async def test_p6_a_sale_outlives_its_token(gateway: Simulator) -> None:
    """The next token is there before the old one expires: no request is ever refused."""
    gateway.token_lifetime = 1.2
    gateway.expires_in = 1.2
    gateway.device(SERIAL).approves(after=1.5)
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=Timeouts(hold=0.2, hold_margin=1, poll_interval=UNIT),
    ) as session:
        gateway.hold = 0.2
        assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.requests_of("authorize")) == 2
    assert [seen for seen in gateway.requests if seen.status == 401] == []


@pytest.mark.parametrize(
    "fault", [status(500), html(), rate_limited("0"), problem(503, "api-error")]
)
async def test_p6_an_identity_outage_at_the_start_is_waited_out(
    gateway: Simulator, session: PayrocSession, fault: object
) -> None:
    """A sale waits for an identity service that recovers in time."""
    gateway.faults.add("authorize", fault, times=3)  # type: ignore[arg-type]
    assert (await session.run_sale(SERIAL, sale())).approved
    assert len(gateway.requests_of("authorize")) == 4


async def test_p6_without_a_token_callers_wait_bounded_and_get_the_reason(
    gateway: Simulator,
) -> None:
    """No token in `Timeouts.token` seconds: an error with the reason, and nothing was submitted."""
    gateway.faults.add("authorize", problem(503, "api-error", detail="on fire"), times=None)
    timeouts = Timeouts(token=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        with pytest.raises(RequestTimeoutError, match="on fire") as caught:
            await session.run_sale(SERIAL, sale())
    assert not caught.value.request_sent
    assert gateway.requests_of("submit") == []


async def test_p6_a_wrong_key_fails_fast(gateway: Simulator) -> None:
    """A wrong API key is reported at once to all, without showing it, and no one hammers on."""
    async with PayrocSession(
        "wrong-key", environment=gateway.environment, timeouts=QUICK
    ) as session:
        results = await asyncio.gather(
            *(session.run_sale(f"device{n}", sale()) for n in range(20)), return_exceptions=True
        )
    assert {type(result) for result in results} == {AuthenticationError}
    assert not any("wrong-key" in str(result) for result in results)
    assert len(gateway.requests_of("authorize")) == 1


async def test_p6_a_rotated_key_needs_no_restart(gateway: Simulator) -> None:
    """An async callable is asked for the key at each fetch."""

    async def vault() -> str:
        return gateway.api_key

    async with PayrocSession(
        vault, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
        gateway.api_key = "rotated-key"
        gateway.revoke_tokens()
        assert (await session.run_sale(SERIAL, sale())).approved
    assert [seen.status for seen in gateway.requests_of("authorize")] == [200, 200]


async def test_p6_tokens_refused_for_ever_end_the_sale_and_storm_nobody(
    gateway: Simulator, session: PayrocSession
) -> None:
    """An API that refuses every token is an AuthenticationError after one repetition."""
    gateway.faults.add("submit", problem(401, "not-authorized"), times=None)
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await session.run_sale(SERIAL, sale())
    assert len(gateway.requests_of("submit")) == 4
    gateway.faults.clear()
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", problem(401, "not-authorized"), times=None)
    with pytest.raises(OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert isinstance(caught.value.__cause__, AuthenticationError)
    # The session goes on in the background, and its DELETE is not refused.
    await until(lambda: gateway.in_progress == [])
    gateway.faults.clear()


async def test_p6_the_task_has_a_name_and_ends_with_the_session(gateway: Simulator) -> None:
    """The token's task is called by its name, and is gone when the session has closed."""
    async with PayrocSession(gateway.api_key, environment=gateway.environment):
        assert "payroc token" in {task.get_name() for task in asyncio.all_tasks()}
    assert "payroc token" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_p6_an_identity_outage_in_the_midst_of_a_sale_is_sat_out(gateway: Simulator) -> None:
    """Without a token no status request can be sent: that is no answer, and it is sent later."""
    gateway.device(SERIAL).approves(60 * UNIT)
    gateway.hold = UNIT
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, token=2 * UNIT, unreachable=20.0),
        retries=EAGER,
    ) as session:
        selling = asyncio.create_task(session.run_sale(SERIAL, sale()))
        while not gateway.requests_of("status"):
            await asyncio.sleep(UNIT / 4)
        down = gateway.faults.add("authorize", status(503), times=None)
        gateway.revoke_tokens()
        while down.hits < 10:
            await asyncio.sleep(UNIT / 4)
        down.remove()
        assert (await selling).approved
    assert len(gateway.instructions) == 1


async def test_p3_cancelled_while_there_is_no_token_sends_nothing(gateway: Simulator) -> None:
    """A sale that waits for its first token is dropped at once, and reported as canceled."""
    gateway.faults.add("authorize", hang(), times=None)
    events: list[Event] = []
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as session:
        selling = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=events.append))
        while not gateway.requests_of("authorize"):
            await asyncio.sleep(UNIT / 4)
        await asyncio.sleep(UNIT)
        selling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await selling
    assert [type(event) for event in events] == [Canceled]
    assert gateway.requests_of("submit") == []
