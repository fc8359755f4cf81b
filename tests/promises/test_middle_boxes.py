"""The SDK through a real nginx over TLS: what load balancers and proxies do to connections.

All is real but the gateway: TLS, nginx's timers, its closing of connections. nginx takes its times
in milliseconds too, so nothing waits for long. The gateway's records tell what came of a sale, and
nginx's log whether what was to happen has happened.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme

from payroc_async import (
    APIError,
    CancelRequested,
    Environment,
    Event,
    NotFoundError,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    Problem,
    ProblemDetail,
    Retrying,
    ServerError,
    StillInProgress,
    Timeouts,
    TransportError,
)
from payroc_async.simulator import (
    FaultAction,
    Observed,
    Simulator,
    drop_after,
    drop_before,
    hang,
    problem,
    truncated,
)
from payroc_async.simulator.faults import Exchange
from payroc_async.simulator.replies import Answer
from tests.conftest import EAGER, SERIAL, UNIT, sale
from tests.harness.nginx import NGINX, Logged, Nginx
from tests.harness.step_canceller import until

pytestmark = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)"
)

PATIENT = Timeouts(poll_interval=UNIT / 2, unreachable=10.0)
"""With a hold of 60 s, as the gateway here has: nothing waits for its end."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    """A context that trusts this authority, and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture
async def nginx(gateway: Simulator, authority: trustme.CA, tmp_path: Path) -> AsyncIterator[Nginx]:
    """Before the gateway; the test configures and starts it."""
    gateway.hold = PATIENT.hold
    certificate = authority.issue_cert("localhost")
    nginx = Nginx(tmp_path, gateway.url.removeprefix("http://"), certificate)
    yield nginx
    await nginx.stop()


def session_through(
    nginx: Nginx,
    gateway: Simulator,
    trust: ssl.SSLContext | None,
    *,
    timeouts: Timeouts = PATIENT,
    environment: Environment | None = None,
) -> PayrocSession:
    return PayrocSession(
        gateway.api_key,
        environment=environment or nginx.environment,
        timeouts=timeouts,
        retries=EAGER,
        ssl=trust,
    )


def past_identity(nginx: Nginx, gateway: Simulator) -> Environment:
    """The API behind nginx, and the identity service without it."""
    return Environment(
        api_url=nginx.environment.api_url, identity_url=gateway.environment.identity_url
    )


def gated(gate: asyncio.Event) -> FaultAction:
    """Holds a request at the gateway until the gate opens."""

    async def run(exchange: Exchange) -> Answer:
        await gate.wait()
        return await exchange.proceed()

    return FaultAction("gated", run)


async def held_poll(gateway: Simulator) -> Observed:
    """The status request that is open at the gateway, as soon as there is one."""
    await until(lambda: [one for one in gateway.open_requests if one.kind == "status"])
    (poll,) = gateway.open_requests
    return poll


def failures(events: list[Event]) -> list[Exception]:
    return [event.error for event in events if isinstance(event, Retrying)]


def polls(log: list[Logged]) -> list[Logged]:
    return [one for one in log if one.method == "GET" and "/payment-instructions/" in one.path]


def assert_one_sale(gateway: Simulator, payment: Payment) -> None:
    """The payment is the gateway's only one, of its only instruction; nothing was canceled."""
    assert payment.approved
    (instruction,) = gateway.instructions.values()
    assert instruction.payment_id == payment.payment_id
    assert payment.raw == gateway.payments[payment.payment_id]
    assert gateway.requests_of("cancel") == []


# TLS ----------


async def test_a_sale_runs_through(nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext) -> None:
    """A sale runs over TLS, its token included, on one connection."""
    nginx.configure()
    await nginx.start()
    gateway.device(SERIAL).approves(after=UNIT)

    async with session_through(nginx, gateway, trust) as session:
        payment = await session.run_sale(SERIAL, sale())

    assert_one_sale(gateway, payment)
    log = await nginx.logged(4)
    assert [one.method for one in log] == ["POST", "POST", "GET", "GET"]
    assert len({one.connection for one in log}) == 1


@pytest.mark.parametrize("identity", ["behind nginx", "elsewhere"])
@pytest.mark.parametrize("wrong", ["authority", "host name"])
async def test_a_certificate_that_proves_nothing_stops_a_sale_before_it_is_sent(
    nginx: Nginx,
    gateway: Simulator,
    authority: trustme.CA,
    trust: ssl.SSLContext,
    wrong: str,
    identity: str,
) -> None:
    """An unknown authority or another host's name gives TransportError, and nothing was sent."""
    if wrong == "host name":
        nginx.certificate = authority.issue_cert("elsewhere.test")
    nginx.configure()
    await nginx.start()

    async with session_through(
        nginx,
        gateway,
        trust if wrong == "host name" else None,
        # Where it is the token that can't be had, that is waited for.
        timeouts=Timeouts(token=10 * UNIT),
        environment=past_identity(nginx, gateway) if identity == "elsewhere" else None,
    ) as session:
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await session.run_sale(SERIAL, sale())

    assert not caught.value.request_sent
    assert {one.kind for one in gateway.requests} <= {"authorize"}
    assert gateway.instructions == {}
    assert nginx.log() == []


# Connections that are kept, and closed ----------


async def test_p1_connections_closed_around_a_post_make_no_second_instruction(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """However close a sale comes to the end of a kept connection, it makes one instruction."""
    kept = 2 * UNIT
    limit = f"keepalive_timeout {round(kept * 1000)}ms;"
    nginx.configure(limit, upstream_options=f"keepalive 8; {limit}")
    await nginx.start()
    count = 24

    async with session_through(nginx, gateway, trust) as session:
        for number in range(count):
            payment = await session.run_sale(SERIAL, sale(order_id=f"{number}"))
            assert payment.raw["order"]["orderId"] == f"{number}"
            # From 15 % before it is closed to 15 % after.
            await asyncio.sleep(kept * (0.85 + 0.3 * number / count))

    made = list(gateway.instructions.values())
    assert [one.body["order"]["orderId"] for one in made] == [f"{one}" for one in range(count)]
    assert len(gateway.payments) == count
    # Some were closed meanwhile.
    assert len({one.connection for one in nginx.log()}) > 1


async def test_p1_a_post_on_a_connection_that_is_closed_is_repeated_under_its_key(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """A submission sent on a connection that nginx has just closed is sent again, and paid once."""
    nginx.configure(f"keepalive_timeout {round(UNIT * 1000)}ms;")
    await nginx.start()
    events: list[Event] = []
    count = 10

    async with session_through(nginx, gateway, trust) as session:
        for number in range(count):
            await session.run_sale(SERIAL, sale(order_id=f"{number}"), on_event=events.append)
            # The whole loop, so that the sale comes before the news of the close.
            _stall(2 * UNIT)

    assert len(gateway.instructions) == len(gateway.payments) == count
    lost = [one for one in failures(events) if isinstance(one, TransportError)]
    assert lost
    assert all(one.request_sent for one in lost)


def _stall(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_connection_for_each_request(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """Where no connection serves two requests, sales run all the same, and nothing is lost."""
    nginx.configure("keepalive_requests 1;", upstream_options="")
    await nginx.start()
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        for number in range(3):
            await session.run_sale(SERIAL, sale(order_id=f"{number}"), on_event=events.append)

    assert len(gateway.instructions) == len(gateway.payments) == 3
    assert failures(events) == []
    log = await nginx.logged(10)
    assert {one.requests_on_connection for one in log} == {1}


# Status requests cut short ----------


async def test_p2_a_proxy_less_patient_than_the_gateway_ends_no_sale(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """A sale outlasts a proxy that answers each status request with 504 while it is held."""
    patience = 10 * UNIT
    nginx.configure(f"proxy_read_timeout {round(patience * 1000)}ms;")
    await nginx.start()
    gateway.device(SERIAL).approves(after=6 * patience)
    # Each 504 after a wait shows that somebody is there: none of them counts as silence.
    times = Timeouts(poll_interval=UNIT, unreachable=2 * patience)
    events: list[Event] = []

    async with session_through(nginx, gateway, trust, timeouts=times) as session:
        payment = await session.run_sale(SERIAL, sale(), on_event=events.append)

    assert_one_sale(gateway, payment)
    cut = [one for one in polls(await nginx.logged(4)) if one.status == 504]
    assert len(cut) >= 2
    told = [event for event in events if isinstance(event, StillInProgress)]
    assert len(told) == len(cut)
    assert failures(events) == []


async def test_p2_a_status_request_given_up_is_closed_before_the_next_is_sent(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """A status request that times out here is closed, through TLS and nginx, before the next."""
    # That no two were open at once, the gateway's fixture checks. nginx passes a close on at once,
    # unless it has `proxy_ignore_client_abort on`: then the gateway sees two, and the SDK has
    # no way to know.
    nginx.configure()
    await nginx.start()
    gateway.device(SERIAL).approves(after=30 * UNIT)
    times = Timeouts(hold=3 * UNIT, hold_margin=5 * UNIT, poll_interval=UNIT / 2)

    async with session_through(nginx, gateway, trust, timeouts=times) as session:
        payment = await session.run_sale(SERIAL, sale())

    assert_one_sale(gateway, payment)
    closed = [one for one in polls(await nginx.logged(4)) if one.status == 499]
    assert closed, "nginx has not seen the client go away"


# nginx reloaded and restarted ----------


async def test_a_reload_lets_a_held_status_request_end(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """A sale begun before a reload of nginx ends with its payment after it."""
    nginx.configure()
    await nginx.start()
    gate = asyncio.Event()
    gateway.faults.add("status", gated(gate))
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        running = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=events.append))
        await held_poll(gateway)
        nginx.configure()
        await nginx.reload()
        gate.set()
        payment = await running

    assert_one_sale(gateway, payment)
    assert failures(events) == []
    # The poll by the old worker, the payment by the new one.
    assert [one.generation for one in await nginx.logged(4)] == [1, 1, 1, 2]


@pytest.mark.parametrize("how", ["reload", "restart"])
async def test_p2_a_status_request_cut_off_by_nginx_is_sent_again(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext, how: str
) -> None:
    """A status request that dies with its nginx, or with its worker, does not end the sale."""
    nginx.configure(main="worker_shutdown_timeout 10ms;")
    await nginx.start()
    gateway.faults.add("status", hang())
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        running = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=events.append))
        poll = await held_poll(gateway)
        nginx.configure()
        if how == "reload":
            await nginx.reload()
        else:
            await nginx.stop()
            await until(lambda: len(failures(events)) > 1)  # refused, while it is down
            await nginx.start()
        payment = await running

    assert_one_sale(gateway, payment)
    assert poll.status is None
    # A poll and the payment; a worker that is asked to stop does not log what it was at.
    log = await nginx.logged(5 if how == "reload" else 4)
    assert [one.generation for one in log][-2:] == [2, 2]


# Answers that are stored, passed on and packed ----------


@pytest.mark.parametrize("gzip", ["on", "off"])
@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_answers_are_read_however_they_are_passed_on(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext, buffering: str, gzip: str
) -> None:
    """Payments and problems are read right with and without buffering and compression."""
    nginx.configure(
        f"proxy_buffering {buffering}; gzip {gzip}; gzip_min_length 1;"
        "gzip_types application/json application/problem+json;"
        # A payment does not fit into one.
        "proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 1k;"
    )
    await nginx.start()
    gateway.device(SERIAL).approves(after=UNIT)
    detail = {"parameter": "order.amount", "detail": "Wrong.", "message": "Wrong amount."}
    refusal = gateway.faults.add("submit", problem(404, "not-found", errors=[detail]))
    # Cut off in the middle, as well.
    gateway.faults.add("status", truncated())
    gateway.faults.add("payment", truncated())
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        with pytest.raises(NotFoundError) as caught:
            await session.run_sale(SERIAL, sale())
        payment = await session.run_sale(SERIAL, sale(), on_event=events.append)

    assert refusal.hits == 1
    assert caught.value.problem.errors == (ProblemDetail(**detail),)
    assert_one_sale(gateway, payment)
    assert len(failures(events)) == 2
    log = await nginx.logged(7)
    # nginx packs what is answered with 200, 403 and 404.
    packed = [one for one in log if one.status != 202]
    assert {one.encoding for one in packed} == {"gzip" if gzip == "on" else "-"}


# Answers of nginx's own ----------


async def test_a_request_too_large_for_nginx_is_unknown_after_its_attempts(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """E2: the HTML page of a 413 is no refusal of the gateway's: it is repeated, then unknown."""
    nginx.configure("client_max_body_size 1;")
    await nginx.start()

    async with session_through(nginx, gateway, trust) as session:
        with pytest.raises(OutcomeUnknownError, match="not Payroc's: HTTP 413") as caught:
            await session.run_sale(SERIAL, sale())

    assert caught.value.__cause__ is not None
    refusal = caught.value.__cause__.__cause__
    assert type(refusal) is APIError
    assert refusal.status == 413
    assert refusal.problem == Problem()
    assert refusal.headers["content-type"] == "text/html"
    assert gateway.instructions == {}
    assert gateway.requests_of("submit") == []


async def test_nginx_down_at_the_submission(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """Without anybody to connect to, the error says that the sale was never sent."""
    events: list[Event] = []
    environment = past_identity(nginx, gateway)

    async with session_through(nginx, gateway, trust, environment=environment) as session:
        with pytest.raises(TransportError) as caught:
            await session.run_sale(SERIAL, sale(), on_event=events.append)

    assert not caught.value.request_sent
    assert len(failures(events)) == EAGER.attempts - 1
    assert gateway.instructions == {}
    assert {one.kind for one in gateway.requests} == {"authorize"}


async def test_p8_a_gateway_that_is_down_behind_nginx_is_waited_for(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """While nginx answers 502 the submission is repeated; with the gateway back, it is paid."""
    nginx.configure()
    await nginx.start()
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        await session.run_sale("1850010869", sale())  # fetches the token
        gateway.clear()
        await gateway.stop()
        running = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=events.append))
        # More often than a request is otherwise: the answer does not tell that nothing has arrived.
        await until(lambda: len(failures(events)) > EAGER.attempts)
        await gateway.start()
        payment = await running

    assert_one_sale(gateway, payment)
    assert {type(one) for one in failures(events)} == {ServerError}
    assert {one.status for one in failures(events) if isinstance(one, APIError)} == {502}


@pytest.mark.parametrize("fault", [drop_before, drop_after])
async def test_p1_a_submission_lost_behind_nginx_is_repeated_under_its_key(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext, fault: Callable[[], FaultAction]
) -> None:
    """A 502 that hides whether the submission took effect costs no second instruction."""
    nginx.configure()
    await nginx.start()
    struck = gateway.faults.add("submit", fault())
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        payment = await session.run_sale(SERIAL, sale(), on_event=events.append)

    assert struck.hits == 1
    assert_one_sale(gateway, payment)
    (error,) = failures(events)
    assert isinstance(error, ServerError)
    assert error.status == 502
    first, second = gateway.requests_of("submit")
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


# Cancellation ----------


@pytest.mark.parametrize("ignored", ["off", "on"])
async def test_p3_a_sale_cancelled_in_a_held_status_request_leaves_nothing(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext, ignored: str
) -> None:
    """A canceled sale is canceled at the gateway, and nginx keeps no status request of it."""
    nginx.configure(f"proxy_ignore_client_abort {ignored};")
    await nginx.start()
    gateway.device(SERIAL).never_finishes()
    events: list[Event] = []

    async with session_through(nginx, gateway, trust) as session:
        running = asyncio.create_task(session.run_sale(SERIAL, sale(), on_event=events.append))
        poll = await held_poll(gateway)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        (instruction,) = gateway.instructions.values()
        assert instruction.status == "canceled"
        assert instruction.delete_count == 1
        assert gateway.open_requests == []
        assert len([one for one in events if isinstance(one, CancelRequested)]) == 1
        # nginx closes its request when it sees the client's closed, and the DELETE comes by another
        # connection, later; unless it is reported not to look: then the DELETE has it answered.
        assert poll.status == (None if ignored == "off" else 200)


async def test_p2_a_sale_left_running_is_resumed_by_another_session_at_once(
    nginx: Nginx, gateway: Simulator, trust: ssl.SSLContext
) -> None:
    """A detached sale's status request is gone when the session is, before others resume it."""
    nginx.configure()
    await nginx.start()
    gateway.device(SERIAL).approves(after=20 * UNIT)

    async with session_through(nginx, gateway, trust) as session:
        handle = await session.start_sale(SERIAL, sale(), on_cancel="detach")
        poll = await held_poll(gateway)
    async with session_through(nginx, gateway, trust) as session:
        assert handle.instruction_id is not None
        payment = await session.resume_sale(handle.instruction_id).result()

    assert_one_sale(gateway, payment)
    assert poll.status is None
