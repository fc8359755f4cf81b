"""What mutation testing found that no other test would have noticed if it broke."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve

from payroc_async import errors as e
from payroc_async.config import Environment, RetryPolicy, Timeouts
from payroc_async.events import Completed, Event, ResultReceived, Retrying, Submitted
from payroc_async.http import token as token_module
from payroc_async.http.token import TokenManager
from payroc_async.http.transport import Transport
from payroc_async.kinds import PAYMENT
from payroc_async.session import PayrocSession
from payroc_async.simulator import Simulator, drop_after, drop_before, status
from payroc_async.wire.protocol import (
    Answer,
    Request,
    Token,
    decipher_resource,
    decipher_success,
    resource_request,
)
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale

LONG = 10.0
"""Seconds; a wait that no test waits for."""


async def steps(n: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(n):
        await asyncio.sleep(0)


def test_p7_an_answers_id_is_compared_as_one_segment() -> None:
    """A payment whose id only ends in the path that was asked for is another payment."""
    payment = json.loads((Path(__file__).parents[1] / "samples" / "payment.json").read_bytes())
    payment["paymentId"] = "payments/M2MJOG6O2Y"
    with pytest.raises(e.ResponseFormatError, match="another payment"):
        decipher_resource(
            PAYMENT,
            Answer(200, {}, json.dumps(payment).encode()),
            resource_request(PAYMENT, "M2MJOG6O2Y"),
        )


async def test_p6_a_retry_bears_the_token_of_its_own_time() -> None:
    """A token that was renewed while a retry waited is the one that the retry sends."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"503 Unavailable", b"200 OK"):
            sent.append(await reader.readuntil(b"\r\n\r\n"))
            bearer.token = "renewed"
            writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    class Bearer:
        token = "first"

        def at_hand(self) -> str:
            return self.token

        async def get(self) -> str:
            return self.token

        def reject(self, token: str) -> None:
            raise AssertionError(token)

    bearer = Bearer()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
    transport = Transport(environment, timeouts=QUICK, retries=EAGER)
    transport.token_provider = bearer
    await transport.open()
    try:
        await transport.call(Request("GET", "/any"), decipher_success)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()
    assert [b"Bearer first" in head for head in sent] == [True, False]
    assert b"Bearer renewed" in sent[1]


async def test_p6_the_pause_after_failed_fetches_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure in a row is given to the backoff with its number, and a success ends the row."""
    numbers: list[int] = []

    def delay(error: BaseException, attempt: int, policy: RetryPolicy) -> float:
        numbers.append(attempt)
        return 0.0

    async def authorize(api_key: str) -> Token:
        if len(numbers) == 3 and not succeeded:
            succeeded.append(True)
            return Token("token", 3600.0)
        raise e.TransportError("down", request_sent=False)

    succeeded: list[bool] = []
    monkeypatch.setattr(token_module, "backoff_delay", delay)
    policy = RetryPolicy(initial=UNIT / 10)
    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
    keeper.start()
    try:
        assert await keeper.get() == "token"
        assert numbers == [1, 2, 3]
        keeper.reject("token")
        async with asyncio.timeout(100 * UNIT):
            while len(numbers) < 5:
                await asyncio.sleep(UNIT / 4)
        assert numbers[:5] == [1, 2, 3, 1, 2]
    finally:
        await keeper.stop()


async def test_p6_a_failure_that_was_overcome_is_not_told_of_a_later_trouble() -> None:
    """When no token comes, the cause is what went wrong since the last one, not before it."""
    answers: list[Exception | Token] = [
        e.TransportError("down", request_sent=False),
        Token("token", 3600.0),
    ]

    async def authorize(api_key: str) -> Token:
        if not answers:
            await asyncio.sleep(LONG)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=10 * UNIT), retries=EAGER)
    keeper.start()
    try:
        assert await keeper.get() == "token"
        keeper.reject("token")
        with pytest.raises(e.RequestTimeoutError) as caught:
            await keeper.get()
        assert caught.value.__cause__ is None
    finally:
        await keeper.stop()


def sale_task() -> asyncio.Task[None]:
    """The task that drives the one sale under way."""
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("payroc pay"))
    return task


def gone_for_good(gateway: Simulator) -> None:
    """From now on every status request and every DELETE is lost."""
    for kind in ("status", "cancel"):
        gateway.faults.add(kind, drop_before(), times=None)


async def test_p3_a_cancellation_that_nobody_answers_has_an_end(
    gateway: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """With `timeout` no status request bounds the sale; its cancellation does, and says so."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        gone_for_good(gateway)
        async with asyncio.timeout(250 * UNIT):
            with pytest.raises(e.OutcomeUnknownError):
                await session.run_sale(SERIAL, sale(), timeout=15 * UNIT)
    assert "ERROR" in [record.levelname for record in caplog.records]


async def test_p3_whoever_ends_all_tasks_waits_for_the_grace_alone(gateway: Simulator) -> None:
    """A sale whose task is canceled from outside ends in `cancel_grace`, not `unreachable`."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=30.0, cancel_grace=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        await session.start_sale(SERIAL, sale())
        gone_for_good(gateway)
        task = sale_task()
        task.cancel()
        await asyncio.wait((task,), timeout=100 * UNIT)
        assert task.cancelled()


async def test_p6_failed_fetches_keep_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the jitter comes to nothing, half of `initial` lies between two fetches."""
    times: list[float] = []

    async def authorize(api_key: str) -> Token:
        times.append(asyncio.get_running_loop().time())
        raise e.TransportError("down", request_sent=False)

    monkeypatch.setattr(token_module, "backoff_delay", lambda *given: 0.0)
    policy = RetryPolicy(initial=4 * UNIT)
    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
    keeper.start()
    async with asyncio.timeout(200 * UNIT):
        while len(times) < 5:
            await asyncio.sleep(UNIT)
    await keeper.stop()
    shortest = min(later - earlier for earlier, later in pairwise(times))
    assert 2 * UNIT - UNIT / 10 <= shortest < 3 * UNIT


async def test_p5_a_sale_that_goes_well_is_nothing_to_warn_of(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A payment that its caller was given is in no log, and its task has ended as any other."""
    gateway.hold = UNIT / 2
    gateway.device(SERIAL).approves(after=2 * UNIT)
    handle = await session.start_sale(SERIAL, sale())
    task = sale_task()
    assert task.get_name() == f"payroc payment instruction, {SERIAL}"
    await handle.result()
    assert not task.cancelled()
    resumed = session.resume_sale(str(handle.instruction_id))
    assert sale_task().get_name() == f"payroc payment instruction, {handle.instruction_id}"
    await resumed.result()
    assert [record for record in caplog.records if record.name.startswith("payroc")] == []


async def test_p3_a_sale_left_running_on_purpose_says_so(
    gateway: Simulator, session: PayrocSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Detached, a sale's outcome is unknown for that reason, which is no ERROR in the log."""
    gateway.device(SERIAL).never_finishes()
    handle = await session.start_sale(SERIAL, sale(), on_cancel="detach")
    waiting = asyncio.create_task(handle.result())
    await asyncio.sleep(UNIT)
    with caplog.at_level("INFO", logger="payroc_async"):
        waiting.cancel()
        await asyncio.wait((waiting,))
    with pytest.raises(e.OutcomeUnknownError) as caught:
        await handle.result()
    assert type(caught.value.__cause__) is e.PayrocError
    assert "on purpose" in str(caught.value.__cause__)
    assert [record.levelname for record in caplog.records if "payroc" in record.name] == ["INFO"]


@pytest.mark.parametrize("hold", [0.0, 2 * UNIT], ids=["at once", "after a hold"])
async def test_p3_a_cancellation_that_changes_nothing_has_an_end(
    gateway: Simulator, hold: float
) -> None:
    """However often the gateway says that it goes on, the sale is given up in its time."""
    gateway.hold = hold
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", status(202), times=None)
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(250 * UNIT):
            handle = await session.start_sale(SERIAL, sale())
            began = loop.time()
            with pytest.raises(e.OutcomeUnknownError) as caught:
                await handle.cancel()
    assert loop.time() - began >= 8 * UNIT - UNIT / 10
    assert "showed no end" in str(caught.value.__cause__)
    assert len(gateway.requests_of("cancel")) > 1


async def test_p3_a_cancellation_that_is_refused_says_so(gateway: Simulator) -> None:
    """Where the instruction goes on because its DELETE is refused, the error names the refusal."""
    gateway.hold = UNIT
    gateway.device(SERIAL).never_finishes()
    refusals = gateway.faults.add("cancel", status(403), times=None)
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        with pytest.raises(e.OutcomeUnknownError) as caught:
            await handle.cancel()
        refusals.remove()
    assert isinstance(caught.value.__cause__, e.ForbiddenError)


async def test_p3_what_was_never_seen_is_not_taken_for_canceled(gateway: Simulator) -> None:
    """E5, E6: an accepted DELETE and no status to be had do not make a cancellation."""
    gateway.device(SERIAL).never_finishes()
    timeouts = evolve(QUICK, unreachable=8 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        submitted = await session.payment_instructions.submit(SERIAL, sale())
        hidden = gateway.faults.add("status", status(404), times=None)
        handle = session.resume_sale(submitted.instruction_id)
        with pytest.raises(e.OutcomeUnknownError):
            await handle.cancel()
        assert gateway.requests_of("cancel")[0].status == 204
        hidden.remove()


async def test_p3_whoever_ends_all_tasks_has_the_instruction_canceled_at_once(
    gateway: Simulator, session: PayrocSession
) -> None:
    """The cancellation that ends the poll does not also break off the DELETE that follows."""
    gateway.device(SERIAL).never_finishes()
    await session.start_sale(SERIAL, sale())
    while not gateway.requests_of("status"):
        await asyncio.sleep(UNIT / 4)
    task = sale_task()
    task.cancel()
    await asyncio.wait((task,))
    kinds = [seen.kind for seen in gateway.requests if seen.kind != "authorize"]
    assert kinds == ["submit", "status", "cancel", "status"]


async def test_p3_an_end_is_seen_although_the_delete_goes_on_failing(gateway: Simulator) -> None:
    """A DELETE is repeated for `cancel_grace`, then the status is looked at all the same."""
    gateway.device(SERIAL).approves(after=8 * UNIT)
    gateway.faults.add("cancel", status(429), times=None)
    timeouts = evolve(QUICK, unreachable=1000 * UNIT, cancel_grace=4 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        async with asyncio.timeout(250 * UNIT):
            assert (await handle.cancel()).status == "completed"
        assert (await handle.result()).approved


async def test_p5_with_a_timeout_a_payment_that_is_never_to_be_had_has_an_end(
    gateway: Simulator,
) -> None:
    """The caller's `timeout` bounds the cardholder; the reading of the payment, `unreachable`."""
    gateway.faults.add("payment", status(503), times=None)
    timeouts = evolve(QUICK, unreachable=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        async with asyncio.timeout(250 * UNIT):
            with pytest.raises(e.OutcomeUnknownError):
                await session.run_sale(SERIAL, sale(), timeout=1000 * UNIT)


async def test_p8_the_retries_of_a_payments_reading_are_told(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Each failure on the way to the payment is a `Retrying` event, as in the steps before."""
    gateway.faults.add("payment", status(503), times=2)
    events: list[Event] = []
    await session.run_sale(SERIAL, sale(), on_event=events.append)
    assert [type(event) for event in events] == [
        Submitted,
        Completed,
        Retrying,
        Retrying,
        ResultReceived,
    ]


@pytest.mark.parametrize("times", [3, None], ids=["back in time", "gone"])
async def test_p5_whoever_ends_all_tasks_waits_a_little_for_the_payment(
    gateway: Simulator, times: int | None
) -> None:
    """A task canceled while it reads the payment goes on, for `cancel_grace` and no longer."""
    lost = gateway.faults.add("payment", status(503), times=times)
    timeouts = evolve(QUICK, unreachable=1000 * UNIT, cancel_grace=30 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        task = sale_task()
        while not lost.hits:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,), timeout=300 * UNIT)
        assert task.cancelled()
        if times is None:
            with pytest.raises(e.OutcomeUnknownError):
                await handle.result()
        else:
            assert (await handle.result()).approved


def stubborn(gateway: Simulator, unreachable: float) -> PayrocSession:
    """A session that by its number of attempts would try for ever."""
    return PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=evolve(QUICK, unreachable=unreachable),
        retries=evolve(EAGER, attempts=10_000),
    )


async def test_p5_a_submission_lost_for_ever_is_not_told_as_cancelled(gateway: Simulator) -> None:
    """Each try may have made an instruction: `unreachable` after the first it is unknown."""
    gateway.faults.add("submit", drop_after(), times=None)
    events: list[Event] = []
    async with stubborn(gateway, 20 * UNIT) as session, asyncio.timeout(250 * UNIT):
        with pytest.raises(e.OutcomeUnknownError):
            await session.run_sale(SERIAL, sale(), timeout=15 * UNIT, on_event=events.append)
    assert {type(event) for event in events} == {Retrying}
