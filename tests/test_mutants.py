"""What mutation testing found that no other test would have noticed if it broke."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve

from payroc_async import errors as e
from payroc_async import token as token_module
from payroc_async.config import Environment, RetryPolicy, Timeouts
from payroc_async.events import Canceled, Completed, Event, Retrying, Settled, Submitted
from payroc_async.kinds import PAYMENT
from payroc_async.protocol import (
    Answer,
    Request,
    Token,
    decipher_resource,
    decipher_success,
    resource_request,
)
from payroc_async.retry import Backoff
from payroc_async.session import PayrocSession
from payroc_async.simulator import Simulator, drop_after, drop_before, status
from payroc_async.tasks import Steps
from payroc_async.token import TokenKeeper
from payroc_async.transport import Transport

from .conftest import EAGER, QUICK, SERIAL, UNIT, sale

LONG = 10.0
"""Seconds; a wait that no test waits for."""


async def steps(n: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(n):
        await asyncio.sleep(0)


async def test_p4_a_second_interruption_is_heard_after_a_step_that_swallowed_the_first() -> None:
    """A step that ends on its own in spite of an interruption leaves the next one interruptible."""
    begun = 0

    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(0)

    async def obedient() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(LONG)

    async def body() -> None:
        for step in (stubborn, obedient):
            with steps_.interruptible:
                await step()

    steps_ = Steps(on_stranger=lambda: None)
    task = asyncio.create_task(body(), name="stepper")
    steps_.belong_to(task)
    await steps()
    steps_.interrupt()
    await steps()
    steps_.interrupt()
    await asyncio.wait((task,), timeout=50 * UNIT)
    ended = task.done()
    steps_.abort()
    await asyncio.wait((task,))
    assert begun == 1
    assert ended
    assert not task.cancelled()


def test_only_a_409_says_that_a_key_is_in_use() -> None:
    """The problem's type refines a conflict; under another status the status decides."""
    body = b'{"type": "https://docs.payroc.com/api/errors#idempotency-key-in-use"}'
    with pytest.raises(e.APIError) as caught:
        decipher_success(Answer(400, {}, body))
    assert type(caught.value) is e.BadRequestError


def test_p7_an_answers_id_is_compared_as_one_segment() -> None:
    """A payment whose id only ends in the path that was asked for is another payment."""
    payment = json.loads((Path(__file__).parent / "samples" / "payment.json").read_bytes())
    payment["paymentId"] = "payments/M2MJOG6O2Y"
    with pytest.raises(e.ResponseFormatError, match="another payment"):
        decipher_resource(
            PAYMENT,
            Answer(200, {}, json.dumps(payment).encode()),
            resource_request(PAYMENT, "M2MJOG6O2Y"),
        )


async def test_p8_a_reset_of_a_kept_connection_is_not_repeated_by_aiohttp() -> None:
    """A TCP reset, unlike a closed connection an OSError, is told after the one try that it met."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while await reader.readuntil(b"\r\n\r\n"):
            seen += 1
            if seen > 1:
                linger = struct.pack("ii", 1, 0)  # closing sends RST in place of FIN
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    class Bearer:
        async def get(self) -> str:
            return "token"

        def reject(self, token: str) -> None:
            raise AssertionError(token)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
    transport = Transport(environment, timeouts=QUICK, retries=EAGER)
    transport.bearer = Bearer()
    await transport.open()
    try:
        await transport.call(Request("GET", "/any"), decipher_success)
        with pytest.raises(e.TransportError) as caught:
            await transport.call(
                Request("GET", "/any"),
                decipher_success,
                backoff=lambda: Backoff(RetryPolicy(attempts=1)),
            )
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()
    assert caught.value.request_sent
    assert isinstance(caught.value.__cause__, e.TransportError | OSError)
    assert seen == 2


@pytest.mark.parametrize("answer", [400, 406, 413, 415])
async def test_p5_a_refusal_of_the_request_itself_settles_a_lost_try(
    gateway: Simulator, session: PayrocSession, answer: int
) -> None:
    """The answer under the key is the first try's too: there is no instruction, nothing unknown."""
    gateway.faults.add("submit", drop_before())
    gateway.faults.add("submit", status(answer))
    with pytest.raises(e.APIError) as caught:
        await session.run_sale(SERIAL, sale())
    assert caught.value.status == answer
    assert gateway.instructions == {}


@pytest.mark.parametrize("answer", [401, 403, 404, 405, 409, 410, 412, 414, 416])
async def test_p5_any_other_refusal_leaves_a_lost_try_open(
    gateway: Simulator, session: PayrocSession, answer: int
) -> None:
    """The first try may have made an instruction: only the refusal of this one is known."""
    gateway.faults.add("submit", drop_after())
    gateway.faults.add("submit", status(answer), times=2)
    with pytest.raises(e.OutcomeUnknownError) as caught:
        await session.run_sale(SERIAL, sale())
    assert isinstance(caught.value.__cause__, e.APIError)
    assert caught.value.__cause__.status == answer


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

        async def get(self) -> str:
            return self.token

        def reject(self, token: str) -> None:
            raise AssertionError(token)

    bearer = Bearer()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
    transport = Transport(environment, timeouts=QUICK, retries=EAGER)
    transport.bearer = bearer
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
    keeper = TokenKeeper(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
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

    keeper = TokenKeeper(authorize, "key", timeouts=Timeouts(token=10 * UNIT), retries=EAGER)
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
    """A sale whose task is cancelled from outside ends in `cancel_grace`, not `unreachable`."""
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


async def test_p3_a_status_that_is_refused_is_not_asked_for_again(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Who may not see the status does not go on watching: what nobody watches is cancelled."""
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", status(403))
    with pytest.raises(e.InstructionCanceledError):
        await session.run_sale(SERIAL, sale())
    kinds = [seen.kind for seen in gateway.requests if seen.kind != "authorize"]
    assert kinds == ["submit", "status", "cancel", "status"]


async def test_p3_what_can_not_be_watched_is_given_up_after_the_grace(gateway: Simulator) -> None:
    """The cancellation of a sale whose status is refused is bound by `cancel_grace`."""
    gateway.hold = UNIT
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("status", status(403))
    gateway.faults.add("cancel", status(202), times=None)
    timeouts = evolve(QUICK, unreachable=1000 * UNIT, cancel_grace=4 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        async with asyncio.timeout(250 * UNIT):
            with pytest.raises(e.OutcomeUnknownError) as caught:
                await session.run_sale(SERIAL, sale())
    assert isinstance(caught.value.__cause__, e.APIError)


async def test_p6_failed_fetches_keep_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the jitter comes to nothing, half of `initial` lies between two fetches."""
    times: list[float] = []

    async def authorize(api_key: str) -> Token:
        times.append(asyncio.get_running_loop().time())
        raise e.TransportError("down", request_sent=False)

    monkeypatch.setattr(token_module, "backoff_delay", lambda *given: 0.0)
    policy = RetryPolicy(initial=4 * UNIT)
    keeper = TokenKeeper(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
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
    assert "still in progress" in str(caught.value.__cause__)
    assert len(gateway.requests_of("cancel")) > 1


async def test_p3_a_cancellation_that_is_refused_says_so(gateway: Simulator) -> None:
    """Where the instruction goes on because its DELETE is refused, the error names the refusal."""
    gateway.hold = UNIT
    gateway.device(SERIAL).never_finishes()
    gateway.faults.add("cancel", status(403), times=None)
    timeouts = evolve(QUICK, unreachable=3 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=timeouts, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale())
        with pytest.raises(e.OutcomeUnknownError) as caught:
            await handle.cancel()
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value.__cause__.__cause__, e.APIError)


async def test_p3_what_was_never_seen_is_not_taken_for_cancelled(
    gateway: Simulator, session: PayrocSession
) -> None:
    """An id that no status is found for is told so, though its DELETE is accepted."""
    gateway.device(SERIAL).never_finishes()
    submitted = await session.payment_instructions.submit(SERIAL, sale())
    gateway.faults.add("status", status(404), times=None)
    with pytest.raises(e.OutcomeUnknownError) as caught:
        await session.resume_sale(submitted.instruction_id).result()
    assert isinstance(caught.value.__cause__, e.NotFoundError)
    assert [seen.status for seen in gateway.requests_of("cancel")] == [204]


async def test_p3_a_refused_delete_is_repeated_before_the_status_is_asked_for(
    gateway: Simulator, session: PayrocSession
) -> None:
    """What surely had no effect is sent again at once: a status request would be held first."""
    gateway.device(SERIAL).never_finishes()
    refused = 2 * EAGER.attempts
    gateway.faults.add("cancel", status(429), times=refused)
    handle = await session.start_sale(SERIAL, sale())
    assert (await handle.cancel()).status == "canceled"
    kinds = [seen.kind for seen in gateway.requests]
    assert kinds[-refused - 2 :] == ["cancel"] * (refused + 1) + ["status"]


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
    assert [type(event) for event in events] == [Submitted, Completed, Retrying, Retrying, Settled]


@pytest.mark.parametrize("times", [3, None], ids=["back in time", "gone"])
async def test_p5_whoever_ends_all_tasks_waits_a_little_for_the_payment(
    gateway: Simulator, times: int | None
) -> None:
    """A task cancelled while it reads the payment goes on, for `cancel_grace` and no longer."""
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


async def test_p3_a_sale_that_was_never_let_in_is_dropped_at_once(gateway: Simulator) -> None:
    """Turned away each time, a sale whose `timeout` passes makes no further try, and says so."""
    gateway.faults.add("submit", status(429), times=None)
    events: list[Event] = []
    async with stubborn(gateway, 1000 * UNIT) as session, asyncio.timeout(250 * UNIT):
        with pytest.raises(e.InstructionTimeoutError) as caught:
            await session.run_sale(SERIAL, sale(), timeout=15 * UNIT, on_event=events.append)
    assert isinstance(caught.value.__cause__, e.RateLimitedError)
    assert isinstance(events[-1], Canceled)


async def test_p5_a_submission_lost_for_ever_is_not_told_as_cancelled(gateway: Simulator) -> None:
    """Each try may have made an instruction: `unreachable` after the first it is unknown."""
    gateway.faults.add("submit", drop_after(), times=None)
    events: list[Event] = []
    async with stubborn(gateway, 20 * UNIT) as session, asyncio.timeout(250 * UNIT):
        with pytest.raises(e.OutcomeUnknownError):
            await session.run_sale(SERIAL, sale(), timeout=15 * UNIT, on_event=events.append)
    assert {type(event) for event in events} == {Retrying}


async def test_p3_a_request_that_is_wrong_is_not_insisted_on(gateway: Simulator) -> None:
    """After a lost try 400 settles it: no instruction, though the caller has gone."""
    gateway.faults.add("submit", drop_before())
    gateway.faults.add("submit", status(400), times=None)
    events: list[Event] = []

    def leave(event: Event) -> None:
        events.append(event)
        if isinstance(event, Retrying):
            task.cancel()

    async with stubborn(gateway, 20 * UNIT) as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=leave))
        await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(event) for event in events] == [Retrying, Canceled]
    assert len(gateway.requests_of("submit")) == 2
