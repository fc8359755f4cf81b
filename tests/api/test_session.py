"""Opening, closing, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid1, uuid4

import aiohttp
import pytest

from payroc_async import (
    BadRequestError,
    ConfigurationError,
    Environment,
    NotFoundError,
    Order,
    PaymentInstructionRequest,
    PayrocSession,
    SessionClosedError,
    TransportError,
)
from payroc_async.simulator import Simulator, problem
from tests.conftest import EAGER, QUICK, SERIAL, sale


@pytest.mark.parametrize(
    ("serial_number", "options", "field"),
    [
        ("", {}, "serial_number"),
        ("a/b", {}, "serial_number"),
        ("a b", {}, "serial_number"),
        ("..", {}, "serial_number"),
        ("a?b", {}, "serial_number"),
        (None, {}, "serial_number"),
        (1850010868, {}, "serial_number"),
        (SERIAL, {"request": None}, "request"),
        (SERIAL, {"request": {"order": {}}}, "request"),
        (SERIAL, {"idempotency_key": "not a key"}, "idempotency_key"),
        (SERIAL, {"idempotency_key": str(uuid1())}, "idempotency_key"),
        (SERIAL, {"idempotency_key": uuid4().hex}, "idempotency_key"),
        (SERIAL, {"idempotency_key": 7}, "idempotency_key"),
        (SERIAL, {"timeout": 0}, "timeout"),
        (SERIAL, {"timeout": -1.0}, "timeout"),
        (SERIAL, {"timeout": True}, "timeout"),
        (SERIAL, {"timeout": float("nan")}, "timeout"),
        (SERIAL, {"timeout": float("inf")}, "timeout"),
        (SERIAL, {"timeout": "60"}, "timeout"),
        (SERIAL, {"on_cancel": "ignore"}, "on_cancel"),
        (SERIAL, {"on_event": "print"}, "on_event"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(
    gateway: Simulator,
    session: PayrocSession,
    serial_number: Any,
    options: dict[str, Any],
    field: str,
) -> None:
    """A wrong argument of a sale is named, and no request leaves."""
    request = options.pop("request", sale())
    for method in (session.run_sale, session.start_sale):
        with pytest.raises(ConfigurationError) as caught:
            await method(serial_number, request, **options)
        assert caught.value.field == field
    assert gateway.requests_of("submit") == []


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"amount": 49.99}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": "4999"}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "US"}, "currency"),
        ({"order_id": ""}, "order_id"),
    ],
)
def test_a_wrong_order_cannot_be_made(order: dict[str, Any], field: str) -> None:
    """A wrong amount or currency is refused where it is written down, by its field's name."""
    with pytest.raises(ConfigurationError) as caught:
        Order(**{"order_id": "OrderRef6543", "amount": 4999, "currency": "USD", **order})
    assert caught.value.field == field


def test_an_unknown_keyword_is_refused() -> None:
    """A misspelt field is not passed over."""
    with pytest.raises(TypeError, match="processing_terminal"):
        PaymentInstructionRequest(processing_terminal="1234001")  # type: ignore[call-arg]


async def test_an_unknown_option_is_refused(session: PayrocSession) -> None:
    """A misspelt option of a sale is not passed over."""
    with pytest.raises(TypeError, match="time_out"):
        await session.run_sale(SERIAL, sale(), time_out=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"api_key": ""}, "api_key"),
        ({"api_key": "space behind "}, "api_key"),
        ({"api_key": "line\nbreak"}, "api_key"),
        ({"api_key": None}, "api_key"),
        ({"environment": "UAT"}, "environment"),
        ({"timeouts": 30}, "timeouts"),
        ({"retries": 3}, "retries"),
        ({"max_connections": -1}, "max_connections"),
        ({"max_connections": True}, "max_connections"),
        ({"http_session": object()}, "http_session"),
        ({"ssl": False}, "ssl"),
        ({"proxy": "socks5://user:hunter2@127.0.0.1"}, "proxy"),
        ({"proxy": 3128}, "proxy"),
    ],
)
def test_a_wrong_session_cannot_be_built(options: dict[str, Any], field: str) -> None:
    """A wrong argument of a session is named, its value is not shown, and no loop is needed."""
    arguments: dict[str, Any] = {"api_key": "key", "environment": Environment.UAT, **options}
    with pytest.raises(ConfigurationError) as caught:
        PayrocSession(arguments.pop("api_key"), **arguments)
    assert caught.value.field == field
    assert "hunter2" not in str(caught.value)
    assert "line" not in str(caught.value)


def test_a_session_has_no_default_environment() -> None:
    """No one reaches production by leaving something out."""
    with pytest.raises(TypeError, match="environment"):
        PayrocSession("key")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("variables", "environment"),
    [
        ({"PAYROC_ENVIRONMENT": "uat"}, Environment.UAT),
        ({"PAYROC_ENVIRONMENT": "production"}, Environment.PRODUCTION),
        (
            {
                "PAYROC_API_URL": "http://localhost:1/v1",
                "PAYROC_IDENTITY_URL": "http://localhost:2/authorize",
            },
            Environment(
                api_url="http://localhost:1/v1", identity_url="http://localhost:2/authorize"
            ),
        ),
    ],
)
def test_from_env(variables: dict[str, str], environment: Environment) -> None:
    """The variables name the environment."""
    session = PayrocSession.from_env({"PAYROC_API_KEY": "key", **variables}, max_connections=5)
    assert environment.api_url in repr(session)


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"PAYROC_ENVIRONMENT": "uat"}, "PAYROC_API_KEY"),
        ({"PAYROC_API_KEY": "key"}, "PAYROC_ENVIRONMENT"),
        ({"PAYROC_API_KEY": "key", "PAYROC_ENVIRONMENT": "UAT "}, "PAYROC_ENVIRONMENT"),
        (
            {
                "PAYROC_API_KEY": "key",
                "PAYROC_ENVIRONMENT": "uat",
                "PAYROC_API_URL": "https://api.payroc.com/v1",
            },
            "PAYROC_ENVIRONMENT",
        ),
        (
            {"PAYROC_API_KEY": "key", "PAYROC_API_URL": "https://api.payroc.com/v1"},
            "PAYROC_IDENTITY_URL",
        ),
        (
            {"PAYROC_API_KEY": "key", "PAYROC_IDENTITY_URL": "https://identity.payroc.com/a"},
            "PAYROC_API_URL",
        ),
    ],
)
def test_from_env_names_what_is_wrong(variables: dict[str, str], field: str) -> None:
    """A missing, wrong or contradicting variable is named."""
    with pytest.raises(ConfigurationError) as caught:
        PayrocSession.from_env(variables)
    assert caught.value.field == field


def test_from_env_reads_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument, the process's own variables count."""
    monkeypatch.setenv("PAYROC_API_KEY", "key")
    monkeypatch.setenv("PAYROC_ENVIRONMENT", "uat")
    assert Environment.UAT.api_url in repr(PayrocSession.from_env())


def test_the_repr_shows_no_secret() -> None:
    """A session's repr names its environment, not its key."""
    session = PayrocSession("the-key", environment=Environment.UAT)
    assert "the-key" not in repr(session)
    assert "new" in repr(session)


async def test_nothing_works_before_opening_or_after_closing(gateway: Simulator) -> None:
    """A session that is not open says so, and sends nothing."""
    session = PayrocSession(gateway.api_key, environment=gateway.environment)

    async def refused() -> None:
        with pytest.raises(SessionClosedError):
            await session.run_sale(SERIAL, sale())
        with pytest.raises(SessionClosedError):
            session.resume_sale("instruction")
        with pytest.raises(SessionClosedError):
            await session.payments.retrieve("payment")
        with pytest.raises(SessionClosedError):
            await session.payment_instructions.retrieve("instruction")

    await refused()
    async with session:
        await session.run_sale(SERIAL, sale())
    seen = len(gateway.requests)
    await refused()
    with pytest.raises(SessionClosedError):
        await session.open()
    await session.aclose()
    assert len(gateway.requests) == seen


async def test_a_session_never_opened_can_be_closed() -> None:
    """Closing what was never opened is nothing, and it can't be opened afterwards."""
    session = PayrocSession("key", environment=Environment.UAT)
    await session.aclose()
    with pytest.raises(SessionClosedError):
        await session.open()


async def test_a_callers_own_http_session_is_used_and_left_open(gateway: Simulator) -> None:
    """The SDK sends through the caller's aiohttp session and does not close it."""
    async with aiohttp.ClientSession(headers={"X-Till": "7"}) as http:
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, http_session=http
        ) as session:
            assert (await session.run_sale(SERIAL, sale())).approved
        assert not http.closed
    assert {seen.headers.get("x-till") for seen in gateway.requests} == {"7"}


async def test_a_callers_http_session_with_auth_is_refused() -> None:
    """Credentials of the session's own would take the place of the token: that is said at once."""
    with pytest.warns(DeprecationWarning, match="deprecated"):
        http = aiohttp.ClientSession(auth=aiohttp.BasicAuth("till", "hunter2"))
    async with http:
        with pytest.raises(ConfigurationError, match="auth") as caught:
            PayrocSession("key", environment=Environment.UAT, http_session=http)
        assert "hunter2" not in str(caught.value)


async def test_a_callers_http_session_closed_under_it(gateway: Simulator) -> None:
    """If the caller closes its aiohttp session too early, that is said."""
    async with (
        aiohttp.ClientSession() as http,
        PayrocSession(
            gateway.api_key, environment=gateway.environment, http_session=http, timeouts=QUICK
        ) as session,
    ):
        await session.run_sale(SERIAL, sale())
        await http.close()
        with pytest.raises(SessionClosedError):
            await session.payments.retrieve("payment")


async def test_max_connections_is_a_limit(gateway: Simulator) -> None:
    """With a limit of two connections no more than two requests are ever open."""
    gateway.hold = 0.05
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=QUICK,
        retries=EAGER,
        max_connections=2,
    ) as session:
        for n in range(10):
            gateway.device(f"device{n}").approves(after=0.05)
        await asyncio.gather(*(session.run_sale(f"device{n}", sale()) for n in range(10)))
    seen = [each for each in gateway.requests if each.ended is not None]
    at_once = [
        sum(other.started <= each.started < (other.ended or 0) for other in seen) for each in seen
    ]
    assert len(seen) >= 31
    assert max(at_once) == 2


async def test_a_refused_sale_names_the_fields(gateway: Simulator, session: PayrocSession) -> None:
    """A 400 is a BadRequestError with the gateway's list of fields."""
    gateway.faults.add(
        "submit",
        problem(
            400,
            "bad-request",
            errors=[{"parameter": "order.amount", "detail": "too large", "message": "no"}],
        ),
    )
    with pytest.raises(BadRequestError, match=r"order\.amount: too large") as caught:
        await session.run_sale(SERIAL, sale())
    assert caught.value.status == 400
    assert caught.value.problem.fragment == "bad-request"
    assert caught.value.problem.errors[0].parameter == "order.amount"


async def test_nobody_listening(gateway: Simulator) -> None:
    """A gateway that can't be reached is a TransportError: nothing was sent."""
    await gateway.stop()
    session = PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    )
    async with session:
        with pytest.raises(TransportError) as caught:
            await session.run_sale(SERIAL, sale())
    assert not caught.value.request_sent


async def test_the_calls_one_by_one(gateway: Simulator, session: PayrocSession) -> None:
    """Submit, retrieve, cancel and the payment, each as one typed call."""
    gateway.device(SERIAL).approves().never_finishes()
    submitted = await session.payment_instructions.submit(SERIAL, sale())
    completed = await session.payment_instructions.retrieve(submitted.instruction_id)
    assert completed.link is not None
    (payment_id,) = gateway.payments
    payment = await session.payments.retrieve(payment_id)
    assert payment.payment_id == payment_id
    assert payment.raw["paymentId"] == payment_id
    second = await session.payment_instructions.submit(SERIAL, sale())
    await session.payment_instructions.cancel(second.instruction_id)
    assert gateway.instructions[second.instruction_id].status == "canceled"
    for call in (session.payments.retrieve, session.payment_instructions.retrieve):
        with pytest.raises(NotFoundError):
            await call("nothing")
        with pytest.raises(ConfigurationError):
            await call("a/b")
