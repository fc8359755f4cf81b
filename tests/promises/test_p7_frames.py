"""P7 in the frames of tracebacks: error trackers and loggers keep each frame's local variables."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import loguru
import pytest
from aiohttp import web
from attrs import evolve

from payroc_async import ConfigurationError, Environment, PayrocError, PayrocSession, Timeouts
from payroc_async.api.payments import Payments
from payroc_async.api.refunds import Refunds
from payroc_async.api.secure_tokens import SecureTokens
from payroc_async.http.transport import Transport
from payroc_async.journal import PostgresJournal, SQLiteJournal, journal_at
from payroc_async.journal.postgres import pg_work
from payroc_async.secret import Secret, SecretBytes, chain_of, forget_frames
from payroc_async.simulator import (
    FaultAction,
    Simulator,
    drop_after,
    drop_before,
    edit,
    garbage,
    hang,
    problem,
    status,
    truncated,
)
from payroc_async.simulator.faults import Exchange
from tests.conftest import EAGER, SERIAL, UNIT, sale
from tests.harness.programs import run_python
from tests.harness.secret_scanner import ANY_SECRET, API_KEY, CARD, SECRETS

assert pg_work  # loaded here: importing the driver reads files, which no loop should wait for
HASTY = Timeouts(
    connect=1.0,
    request=0.5,
    hold=0.3,
    hold_margin=0.3,
    poll_interval=UNIT / 2,
    token=0.5,
    unreachable=0.5,
    cancel_grace=0.5,
)
ENDLESS = None
NAMES = ("the API key", "a token", "a Bearer header")


def frames_of(error: BaseException) -> Iterator[tuple[str, str]]:
    """Each local variable of ours, and of the libraries', in the frames of an error's chain."""
    for link in chain_of(error):
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if "/tests/" in frame.f_code.co_filename:
                continue  # a test holds what it gives
            for name, value in frame.f_locals.items():
                try:
                    text = repr(value)
                except Exception:  # of what was not finished: trackers pass over it, too
                    continue
                yield f"{frame.f_code.co_filename}:{frame.f_code.co_name}.{name}", text


def assert_blind(error: BaseException, *more: str) -> None:
    """No frame of the error's holds a secret, nor does what the chain says of itself."""
    shown = [
        *frames_of(error),
        *((type(link).__name__, f"{link!r} {link}") for link in chain_of(error)),
    ]
    found = [
        where
        for where, text in shown
        if ANY_SECRET.search(text) or any(secret in text for secret in more)
    ]
    assert not found, found
    # As trackers do it, contexts that are not shown left out.
    kept = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(kept.format())
    assert not any(SECRETS[name].search(text) for name in NAMES), text


async def failure_of(awaitable: Awaitable[object]) -> PayrocError:
    with pytest.raises(PayrocError) as caught:
        await awaitable
    return caught.value


def damaged(data: dict[str, Any]) -> object:
    """A payment of another id than was asked for, with its card; a page that is none."""
    return {**data, "paymentId": "another", "data": {"card": CARD}}


def cut_in_the_card() -> FaultAction:
    """The payment's JSON ends in its card."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        body = json.dumps({"paymentId": "P1", "card": CARD}).encode()[:-9]
        return web.Response(body=body, content_type="application/json")

    return FaultAction("cut in the card", run)


def half_sent() -> FaultAction:
    """The payment's card arrives, and then the connection breaks."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        body = json.dumps({"card": CARD}).encode()
        transport = exchange.request.transport
        assert transport is not None
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + body)
        await asyncio.sleep(UNIT)
        transport.close()
        await exchange.hang()
        raise AssertionError

    return FaultAction("half sent", run)


FAULTS: dict[str, Callable[[], FaultAction]] = {
    "drop before": drop_before,
    "drop after": drop_after,
    "hang": hang,
    "garbage": garbage,
    "truncated": truncated,
    "401": lambda: status(401),
    "407": lambda: status(407),
    "500": lambda: status(500),
    "400 own": lambda: problem(400, "bad-request"),
    "no JSON": lambda: status(200, body=b"{"),
    "a string": lambda: status(200, body=b'"x"'),
    "bad gzip": lambda: status(200, body=b"x", headers={"Content-Encoding": "gzip"}),
    "damaged card": lambda: edit(damaged),
    "cut in the card": cut_in_the_card,
    "half sent": half_sent,
}
CARD_FAULTS = ("damaged card", "cut in the card", "half sent")
SALES = [
    (on, fault)
    for on in ("authorize", "submit", "status", "payment")
    for fault in FAULTS
    if on == "payment" or fault not in CARD_FAULTS
]


@pytest.mark.parametrize(("on", "fault"), SALES)
async def test_p7_no_frame_of_a_sales_error_shows_a_secret(
    gateway: Simulator, on: str, fault: str
) -> None:
    """Each fault, of each request, for good."""
    gateway.faults.add(on, FAULTS[fault](), times=ENDLESS)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=HASTY, retries=EAGER
    ) as session:
        error = await failure_of(session.run_sale(SERIAL, sale()))
    assert_blind(error)


@pytest.mark.parametrize(
    ("on", "fault"),
    [
        (on, fault)
        for on in ("authorize", "payment", "change", "search")
        for fault in FAULTS
        if on != "authorize" or fault not in CARD_FAULTS
    ],
)
async def test_p7_no_frame_of_a_single_calls_error_shows_a_secret(
    gateway: Simulator, on: str, fault: str
) -> None:
    """A read, a change and a search; the filters of a search name a cardholder."""
    gateway.device(SERIAL).approves()
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=HASTY, retries=EAGER
    ) as session:
        payment = await session.run_sale(SERIAL, sale())
    gateway.faults.add(on, FAULTS[fault](), times=ENDLESS)

    async def search() -> None:
        async for _ in session.payments.search(cardholder_name=CARD["cardholderName"]):
            pass

    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=HASTY, retries=EAGER
    ) as session:

        def read() -> Awaitable[object]:
            return session.payments.retrieve(payment.payment_id)

        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "search": search,
            "change": lambda: session.payments.refund(
                payment.payment_id, amount=1, description="cold"
            ),
        }
        error = await failure_of(calls.get(on, read)())
    assert_blind(error)


def half_sent_and_held() -> FaultAction:
    """The payment's card arrives, and then nothing."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        transport = exchange.request.transport
        assert transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        transport.write(head + json.dumps({"card": CARD}).encode())
        await exchange.hang()
        raise AssertionError

    return FaultAction("half sent and held", run)


@pytest.mark.parametrize("fault", [hang, half_sent_and_held])
async def test_p7_a_cancellation_that_goes_through_a_call_shows_no_secret(
    gateway: Simulator, fault: Callable[[], FaultAction]
) -> None:
    """Its traceback has the frames of the HTTP library, and of what reads the answer."""
    gateway.faults.add("payment", fault(), times=ENDLESS)
    patient = evolve(HASTY, request=5.0)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=patient, retries=EAGER
    ) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.6):
                await session.payments.retrieve("P1")
    names = [name for name, _ in frames_of(caught.value)]
    assert any(("aiohttp" if fault is hang else "read_body.chunks") in name for name in names)
    assert_blind(caught.value)


@pytest.mark.parametrize("answer", [b'{"access_token": "canary token"}', b'{"token": "canary"}'])
async def test_p7_no_frame_of_a_token_requests_error_shows_a_secret(
    gateway: Simulator, answer: bytes
) -> None:
    """The answer has something in place of a token; `doctor` asks for one without a session."""
    gateway.faults.add("authorize", status(200, body=answer), times=ENDLESS)
    transport = Transport(gateway.environment, timeouts=HASTY, retries=EAGER)
    await transport.open()
    error = await failure_of(transport.authorize(gateway.api_key))
    await transport.close()
    assert_blind(error, "canary")


async def test_p7_a_vaults_frames_do_not_reach_a_caller(gateway: Simulator) -> None:
    """What the callable holds and says when it fails: its class alone is known."""

    async def vault() -> str:
        password = "vault-" + "canary"
        raise RuntimeError(f"wrong password: {password}")

    async with PayrocSession(vault, environment=gateway.environment, timeouts=HASTY) as session:
        error = await failure_of(session.run_sale(SERIAL, sale()))
    assert "RuntimeError" in str(error)
    assert_blind(error, "vault-canary")


# Configuration ----------


def not_asked() -> Transport:
    raise AssertionError


BAD_KEY = "canary-key "
DSN = "postgresql://till:canary-password@db.example.com/till"


@pytest.mark.parametrize(
    "make",
    [
        lambda: PayrocSession(BAD_KEY, environment=Environment.UAT),
        lambda: PayrocSession("canary-key", environment="uat!"),  # type: ignore[arg-type]
        lambda: PayrocSession(
            "canary-key", environment=Environment.UAT, proxy="socks5://u:canary-p@h"
        ),
        lambda: PayrocSession(
            "canary-key", environment=Environment.UAT, proxy="http://u:canary-p@a..b"
        ),
        lambda: PayrocSession(
            "canary-key", environment=Environment.UAT, proxy="http://a%3Ab:canary-p@h"
        ),
        lambda: PayrocSession.from_env(
            {"PAYROC_API_KEY": "canary-key", "X": "canary-x", "PAYROC_ENVIRONMENT": "no"}
        ),
        lambda: PayrocSession.from_env({"PAYROC_API_KEY": BAD_KEY, "PAYROC_ENVIRONMENT": "uat"}),
        lambda: PayrocSession.from_env({"X": "canary-x"}),
        lambda: PayrocSession.from_env(
            {"PAYROC_API_KEY": "k", "PAYROC_JOURNAL": "postgresql://u:p@canary@h:canary/y"}
        ),
        lambda: PostgresJournal("postgresql://u:p@canary@h:canary/y"),
        lambda: PostgresJournal("no canary-password dsn"),
        lambda: PostgresJournal(DSN, patience=-1),
        lambda: PostgresJournal(DSN, schema=""),
        lambda: PostgresJournal(DSN.encode()),  # type: ignore[arg-type]
        lambda: SQLiteJournal(""),
        lambda: SQLiteJournal("host=db password=canary"),
        lambda: journal_at("postgresql://u:p@canary@h:canary/y"),
        lambda: journal_at("mysql://u:canary@h"),
        # In the wrong place, or of the wrong type.
        lambda: PayrocSession(b"canary-key", environment=Environment.UAT),  # type: ignore[arg-type]
        lambda: PayrocSession(["canary"], environment=Environment.UAT),  # type: ignore[arg-type]
        lambda: PayrocSession("k", environment="canary-key"),  # type: ignore[arg-type]
        lambda: PayrocSession("k", environment="uat", journal=DSN),  # type: ignore[arg-type]
        lambda: PayrocSession("k", environment="uat", timeouts="canary"),  # type: ignore[arg-type]
        lambda: PayrocSession("k", environment="uat", telemetry=DSN),  # type: ignore[arg-type]
        lambda: PayrocSession("k", environment="uat", ssl="canary"),  # type: ignore[arg-type]
        lambda: PayrocSession(
            "k",
            environment="uat",
            proxy={"https": "http://u:canary@h"},  # type: ignore[arg-type]
        ),
        lambda: PayrocSession.from_env({"PAYROC_API_KEY": "k", "PAYROC_ENVIRONMENT": "canary-key"}),
        lambda: PayrocSession.from_env({"PAYROC_API_KEY": "k", "PAYROC_API_URL": "https://canary"}),
        lambda: Environment(api_url="https://u:canary@h/v1", identity_url="https://h/authorize"),
        lambda: Environment(api_url="https://h/v1", identity_url="https://h/a?key=canary"),
        lambda: Payments(not_asked).search(first6="4539canary7062"),
        lambda: Refunds(not_asked).search(first6="4539canary7062"),
        lambda: SecureTokens(not_asked).search("1234001", last4="4539canary7062"),
        lambda: Payments(not_asked).search(last4="4539canary7062"),
        lambda: Payments(not_asked).search(cardholder_name=["canary"]),  # type: ignore[arg-type]
    ],
)
def test_p7_no_frame_of_a_configurations_error_shows_a_secret(make: Callable[[], object]) -> None:
    """A key, a proxy's or a database's password; of an environment nothing but what is read.

    What was refused is not finished, and can be shown all the same.
    """
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert_blind(caught.value, "canary")


async def test_p7_no_frame_of_a_databases_error_shows_its_password() -> None:
    """No one listens there; the driver has the whole connection string in its frames."""
    dsn = "postgresql://till:canary-password@127.0.0.1:9/till"
    journal = PostgresJournal(dsn, patience=1.0)
    with pytest.raises(PayrocError) as caught:
        await journal.open()
    assert caught.value.__cause__ is not None
    assert_blind(caught.value, "canary-password")


# Trackers and loggers as they are ----------

SENTRY = """
import asyncio, json, sys
import sentry_sdk
from payroc_async import Order, PaymentInstructionRequest, PayrocError, PayrocSession, Timeouts
from payroc_async.simulator import Simulator, drop_before, status

kept = []

class Memory(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        kept.append(envelope.serialize().decode("utf-8", "replace"))

sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", transport=Memory, default_integrations=False)
times = Timeouts(request=0.5, token=0.3, unreachable=0.3, cancel_grace=0.3)
order = Order(order_id="Ref", amount=4999, currency="USD")
sale = PaymentInstructionRequest(processing_terminal_id="1234001", order=order)

async def main():
    for on in ("authorize", "submit", "status", "payment"):
        async with Simulator() as gateway:
            gateway.faults.add(on, drop_before(), times=None)
            session = PayrocSession(
                gateway.api_key, environment=gateway.environment, timeouts=times
            )
            async with session:
                try:
                    await session.run_sale("1850010868", sale)
                except PayrocError as error:
                    sentry_sdk.capture_exception(error)
    plain = sys.argv[1]
    try:
        raise ValueError
    except ValueError as error:
        sentry_sdk.capture_exception(error)

asyncio.run(main())
print(json.dumps(kept))
"""


async def test_p7_sentry_keeps_no_secret() -> None:
    """At its defaults, which keep all local variables; events stay in memory."""
    code, output, problems = await run_python("-W", "default", "-c", SENTRY, "hex-5ec2e7")
    assert code == 0, problems
    *sales, control = json.loads(output.strip().splitlines()[-1])
    assert len(sales) == 4
    assert "hex-5ec2e7" in control  # it does keep variables
    for event in sales:
        assert "OutcomeUnknownError" in event or "RequestTimeoutError" in event
        assert not any(SECRETS[name].search(event) for name in NAMES)


@pytest.mark.parametrize("on", ["authorize", "status", "payment"])
async def test_p7_loguru_writes_no_secret(gateway: Simulator, on: str) -> None:
    """At its defaults, with the values of variables beside each line."""
    gateway.faults.add(on, drop_before(), times=ENDLESS)
    written: list[str] = []
    sink = loguru.logger.add(written.append)
    try:
        async with PayrocSession(
            gateway.api_key, environment=gateway.environment, timeouts=HASTY, retries=EAGER
        ) as session:
            try:
                await session.run_sale(SERIAL, sale())
            except PayrocError:
                loguru.logger.exception("the sale failed")
        secret = "hex-" + "5ec2e7"
        try:
            raise ValueError(len(secret))
        except ValueError:
            loguru.logger.exception("control")
    finally:
        loguru.logger.remove(sink)
    told, control = map(str, written)
    assert "hex-5ec2e7" in control  # it does write values
    assert "OutcomeUnknownError" in told or "RequestTimeoutError" in told
    assert not any(SECRETS[name].search(told) for name in NAMES)


# The means ----------


def test_a_secret_is_a_string_that_does_not_show() -> None:
    """Its text is there for who formats or sends it, and in no repr, slices included."""
    secret = Secret("canary-secret")
    assert secret == "canary-secret"
    assert f"{secret}" == str(secret) == "canary-secret"
    assert f"Bearer {secret}" == "Bearer canary-secret"
    assert secret.encode() == b"canary-secret"
    for shown in (secret, secret[:6], secret[0], [secret], {"a": secret}, (secret,)):
        assert "canary" not in repr(shown)
    assert secret[:6] == "canary"
    assert repr(SecretBytes(b"canary")) == "b'***'"
    assert SecretBytes(b"canary") == b"canary"


def test_forgotten_frames() -> None:
    """Texts, causes and later frames stay; what is hidden by `from None` goes."""

    def inner(secret: str) -> None:
        try:
            raise ValueError("hidden")
        except ValueError:
            raise KeyError("shown") from None

    def outer() -> None:
        try:
            inner("canary")
        except KeyError as error:
            group = ExceptionGroup("g", [error])
            raise RuntimeError("outer") from group

    with pytest.raises(RuntimeError, match="outer") as caught:
        outer()
    error = forget_frames(caught.value)
    assert {type(link) for link in chain_of(error)} == {RuntimeError, KeyError, ExceptionGroup}
    assert all(link.__traceback__ is None for link in chain_of(error))


def test_p7_these_eyes_see() -> None:
    """A secret in a frame, in a cause's frame, in a hidden context's: each is found."""

    def fail(kept: str) -> None:
        raise ValueError

    code = compile("def call(f, kept):\n    f(kept)\n", "library.py", "exec")
    space: dict[str, Any] = {}
    exec(code, space)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        space["call"](fail, API_KEY)
    for error in (caught.value, hidden(caught.value)):
        with pytest.raises(AssertionError):
            assert_blind(error)


def hidden(context: BaseException) -> BaseException:
    error = RuntimeError()
    error.__context__ = context
    error.__suppress_context__ = True
    return error
