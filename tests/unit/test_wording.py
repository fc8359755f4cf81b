"""What error texts say: an article, the value unless it is a secret, and what to do."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

import payroc_async
from payroc_async import (
    Amount,
    AuthenticationError,
    ConfigurationError,
    Environment,
    Order,
    OutcomeUnknownError,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    RetryPolicy,
    SessionClosedError,
    Timeouts,
)
from payroc_async.errors import APIError, Problem
from payroc_async.journal import SQLiteJournal
from payroc_async.simulator import Simulator
from payroc_async.wording import a_type, show, with_article
from tests.conftest import EAGER, QUICK, SERIAL, sale

PACKAGE = Path(payroc_async.__file__).parent


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "None"),
        (1, "an int"),
        (True, "a bool"),
        (1.5, "a float"),
        (Decimal(1), "a Decimal"),
        ("x", "a str"),
        ({}, "a dict"),
        (object(), "an object"),
        (UUID(int=0), "a UUID"),
        (Order(order_id="o1", amount=1, currency="USD"), "an Order"),
        (Environment.UAT, "an Environment"),
        (APIError(400, Problem()), "an APIError"),
        (aiohttp.ClientSession, "a type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_has_its_article(value: object, named: str) -> None:
    """As one says it, abbreviations too."""
    assert a_type(value) == named


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SSLContext", "an SSLContext"),
        ("HTTPError", "an HTTPError"),
        ("URL", "a URL"),
        ("Undone", "an Undone"),
        ("User", "a User"),
        ("Space", "a Space"),
        ("EmvData", "an EmvData"),
    ],
)
def test_a_name_has_its_article(name: str, said: str) -> None:
    """By its sound, not by its letter."""
    assert with_article(name) == said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "-1"),
        (float("nan"), "nan"),
        (True, "True"),
        (None, "None"),
        ("60", "'60'"),
        ("line\nbreak \x1b[31m", r"'line\nbreak \x1b[31m'"),
        ("x" * 200, "'" + "x" * 59 + "…"),
        ([1], "a list"),
        (-(10**5000), "an int of more digits than any number here"),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_a_value_is_shown_on_one_short_line(value: object, text: str) -> None:
    """Scalars are shown, cut off and escaped; of anything else the type."""
    assert show(value) == text


def test_there_is_one_helper_for_types() -> None:
    """No error text of the SDK or its faces spells a type's name itself, without its article."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "wording.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = ast.unparse(node)
                if "not {type(" in text or "must be a {" in text or "must be an {" in text:
                    found.append(f"{path.name}:{node.lineno} {text}")
    # The kind of an IP address is no type, and says "ipv4" or "ipv6".
    assert [one for one in found if "instance.type" not in one] == []


# What callers get wrong most often ----------


def refusal(make: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize("amount", [49.99, 50.0, Decimal("49.99"), "4999", "49.99"])
def test_an_amount_that_is_no_int_is_refused_with_what_to_pass(amount: Any) -> None:
    """Of an order, an int or an Amount; where an int alone fits, its minor units."""
    named = a_type(amount)
    said = f"must be an int, in the currency's smallest unit, not {named}: for 49.99 USD, "
    order = refusal(lambda: Order(order_id="o1", amount=amount, currency="USD"))
    assert order == f'amount: {said}pass 4999 or Amount.parse("49.99", "USD")'
    tip = refusal(lambda: payroc_async.Tip(type="fixedAmount", amount=amount))
    assert tip == f'amount: {said}pass 4999 or Amount.parse("49.99", "USD").minor_units'
    assert Amount.parse("49.99", "USD").minor_units == 4999


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Timeouts(request=-1),
            "request: must be a positive number of seconds, not -1",
        ),
        (
            lambda: Timeouts(hold="60"),  # type: ignore[arg-type]
            "hold: must be a positive number of seconds, not '60'",
        ),
        (
            lambda: RetryPolicy(attempts=0),
            "attempts: must be a whole number of at least 1, not 0",
        ),
        (
            lambda: PayrocSession("k", environment="uat", max_connections=-5),
            "max_connections: must be a whole number, 0 for no limit, not -5",
        ),
        (
            lambda: PayrocSession("k", environment="uat", timeouts=30),  # type: ignore[arg-type]
            "timeouts: must be a Timeouts, not an int",
        ),
        (
            lambda: PayrocSession("k", environment="uat", journal="till.journal"),  # type: ignore[arg-type]
            'journal: must be a journal, as SQLiteJournal("till.journal"), not a str',
        ),
        (
            lambda: PayrocSession(5, environment="uat"),  # type: ignore[arg-type]
            "api_key: must be a string, or an async function that returns one, not an int",
        ),
        (
            lambda: SQLiteJournal("till.journal", busy_timeout="5"),  # type: ignore[arg-type]
            "busy_timeout: must be a positive number of seconds, not '5'",
        ),
        (
            lambda: Environment(api_url="api.payroc.com/v1", identity_url="https://x.example.com"),
            "api_url: must be an absolute https URL, such as https://api.payroc.com/v1, "
            "not 'api.payroc.com/v1'",
        ),
        (
            lambda: Environment(
                api_url="https://api.example.com/v2", identity_url="https://x.example.com"
            ),
            "api_url: must end in /v1, as https://api.payroc.com/v1, "
            "not 'https://api.example.com/v2'",
        ),
        (
            lambda: PaymentInstructionRequest(processing_terminal_id="1234001", order={}),  # type: ignore[arg-type]
            "order: must be an Order, not a dict",
        ),
    ],
)
def test_a_wrong_value_is_shown(make: Callable[[], object], said: str) -> None:
    """The text names the field, what it must be, and what it is."""
    assert refusal(make) == said


@pytest.mark.parametrize("url", ["user:canary@host/v1", "host/v1?key=canary", "host/v1#canary"])
def test_p7_a_url_that_may_hold_a_secret_is_not_shown(url: str) -> None:
    """Nor is it where it is wrong for another reason."""
    for wrong in (url, f"https://{url}", f"ftp://{url}"):
        said = refusal(
            lambda: Environment(api_url=wrong, identity_url="https://x.example.com")  # noqa: B023
        )
        assert "canary" not in said


async def test_the_arguments_of_a_sale_are_shown(session: PayrocSession) -> None:
    """An identifier, a key, a timeout and a word are no secrets."""
    wrong: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: session.run_sale(1850010868, sale()),  # type: ignore[arg-type]
            "serial_number: must be a string, not an int",
        ),
        (
            lambda: session.run_sale("18/5", sale()),
            "serial_number: must not hold spaces, slashes or any other character that changes a "
            "path, is '18/5'",
        ),
        (
            lambda: session.run_sale(SERIAL, {}),  # type: ignore[arg-type]
            "request: must be a PaymentInstructionRequest, not a dict",
        ),
        (
            lambda: session.run_sale(SERIAL, sale(), timeout=0),
            "timeout: must be a positive number of seconds, not 0",
        ),
        (
            lambda: session.run_sale(SERIAL, sale(), on_cancel="ignore"),  # type: ignore[arg-type]
            'on_cancel: must be "cancel" or "detach", not \'ignore\'',
        ),
        (
            lambda: session.run_sale(SERIAL, sale(), idempotency_key="till-7"),
            "idempotency_key: must be a UUID v4 with its hyphens, as str(uuid.uuid4()), "
            "not 'till-7'",
        ),
        (
            lambda: session.run_sale(SERIAL, sale(), idempotency_key=7),  # type: ignore[arg-type]
            "idempotency_key: must be a UUID v4, as str(uuid.uuid4()), not an int",
        ),
        (
            lambda: session.payments.undo("M2MJOG6O2Y", description="cold"),  # type: ignore[arg-type]
            "payment: must be a Payment, as payments.retrieve gives one, not a str",
        ),
    ]
    for call, said in wrong:
        with pytest.raises(ConfigurationError) as caught:
            await call()
        assert str(caught.value) == said


async def test_recover_refuses_what_only_looks_like_a_wish(session: PayrocSession) -> None:
    """``resubmit="no"`` would be true, and might start a prompt: it is refused."""
    for wrong in ("no", 0, None):
        with pytest.raises(ConfigurationError, match="resubmit: must be True or False, not"):
            session.recover(resubmit=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"on_found: must be .* not 'delete'"):
        session.recover("delete")  # type: ignore[arg-type]


# The environment ----------


def test_an_environment_may_be_its_word() -> None:
    """The words of ``PAYROC_ENVIRONMENT`` are words of ``environment``, too."""
    for word, environment in (("uat", Environment.UAT), ("production", Environment.PRODUCTION)):
        session = PayrocSession("key", environment=word)  # type: ignore[arg-type]
        assert environment.api_url in repr(session)


@pytest.mark.parametrize("wrong", ["UAT", "prod", "", "canary", None, 1, ["uat"], {"uat": 1}])
def test_another_word_is_no_environment(wrong: Any) -> None:
    """The text lists what there is, and shows no string: a key may stand in the wrong place."""
    said = refusal(lambda: PayrocSession("key", environment=wrong))
    assert said.startswith('environment: must be "uat", "production" or an Environment(')
    assert "canary" not in said


def test_from_env_has_the_keywords_of_a_session() -> None:
    """Editors and type checkers see each; all but ``journal`` with the same default."""
    ours = inspect.signature(PayrocSession.from_env).parameters
    theirs = inspect.signature(PayrocSession).parameters
    assert set(ours) - {"environ"} == set(theirs) - {"api_key", "environment"}
    assert not [one for one in ours.values() if one.kind is one.VAR_KEYWORD]
    for name in set(ours) - {"environ", "journal"}:
        assert ours[name].default == theirs[name].default
        assert ours[name].annotation == theirs[name].annotation


async def test_from_env_passes_each_keyword_on(
    gateway: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given reaches the session, under its name."""
    given: dict[str, object] = {}
    names = set(inspect.signature(PayrocSession.from_env).parameters) - {"environ"}

    class Noted(PayrocSession):
        def __init__(self, api_key: Any, **options: Any) -> None:
            given.update(options)

    marks = {name: object() for name in names}
    Noted.from_env({"PAYROC_API_KEY": "key", "PAYROC_ENVIRONMENT": "uat"}, **marks)  # type: ignore[arg-type]
    assert given == {**marks, "environment": Environment.UAT}


# The state of a session ----------


async def test_a_session_that_is_not_open_says_how_to_open_it(gateway: Simulator) -> None:
    """Before it is opened, while it closes and after: each in its own words."""
    session = PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    )
    said = 'the session is not open: use "async with PayrocSession(...)", or await its open()'
    with pytest.raises(SessionClosedError) as caught:
        await session.run_sale(SERIAL, sale())
    assert str(caught.value) == said
    gateway.device(SERIAL).never_finishes()
    await session.open()
    handle = await session.start_sale(SERIAL, sale())
    closing = asyncio.create_task(session.aclose())
    await asyncio.sleep(0)
    with pytest.raises(SessionClosedError, match="the session is closing and accepts no new calls"):
        await session.run_sale("1850010869", sale())
    await closing
    assert handle.status == "canceled"
    with pytest.raises(SessionClosedError, match="is closed: create another one"):
        session.resume_sale("e743a9165d134678a9100ebba3b29597")
    with pytest.raises(SessionClosedError, match="opens only once; create another one"):
        await session.open()


# What the gateway says ----------


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[Environment]:
    """A server whose answers are written by hand, one for each request; the last one stays."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = [
                    line for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")
                ]
                if length:
                    await reader.readexactly(int(length[0].partition(b":")[2]))
                writer.write(left.pop(0) if len(left) > 1 else left[0])
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield Environment(api_url=f"{url}/v1", identity_url=f"{url}/authorize")
        server.close()


def http(status: str, body: object) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(),
        len(text),
        text,
    )


TOKEN = http("200 OK", {"access_token": "abc", "expires_in": 3600, "token_type": "Bearer"})
REFUSED = http("401 Unauthorized", {"title": "Unauthorized", "status": 401})


@pytest.mark.parametrize(
    "answers",
    [(REFUSED,), (http("401 Unauthorized", b""),), (TOKEN, REFUSED, TOKEN, REFUSED)],
    ids=["identity", "identity without a body", "API"],
)
async def test_a_401_names_the_host_and_the_usual_reason(answers: tuple[bytes, ...]) -> None:
    """Whether the identity service refuses the key or the API the token."""
    async with (
        answering(*answers) as environment,
        PayrocSession("key", environment=environment, timeouts=QUICK, retries=EAGER) as session,
    ):
        with pytest.raises(AuthenticationError) as caught:
            await session.payments.retrieve("M2MJOG6O2Y")
    assert caught.value.host == "127.0.0.1"
    assert str(caught.value).startswith("HTTP 401")
    assert "127.0.0.1 refused the API key; keys are per environment" in str(caught.value)


@pytest.mark.parametrize("kind", ["payment", "refund", "signature"])
@pytest.mark.parametrize("instruction_id", ["e743", None])
def test_an_unknown_outcome_says_what_it_means_and_what_to_do(
    kind: str, instruction_id: str | None
) -> None:
    """If this call made no instruction, the text does not say that money may have moved."""
    error = OutcomeUnknownError(
        serial_number=SERIAL, idempotency_key="key", instruction_id=instruction_id, kind=kind
    )
    moved = "money may have moved" if kind != "signature" else "the signature may have been taken"
    assert moved in str(error)
    how = "resume it by its id" if instruction_id else "repeat it under the same key"
    assert how in str(error)
    error.may_have_taken_effect = False
    assert "money" not in str(error)
    said = "this call made no instruction, but an earlier call under the same key may have"
    assert said in str(error)


async def test_an_unknown_outcome_of_a_refused_call_speaks_of_no_money(
    gateway: Simulator, session: PayrocSession
) -> None:
    """As it comes out of a sale: refused under the caller's own key (E8)."""
    gateway.device(SERIAL).is_offline()
    with pytest.raises(PayrocError) as caught:
        await session.run_sale(
            SERIAL, sale(), idempotency_key="6e8d3ba1-2f23-4a59-8a79-3d1be9e9d3f1"
        )
    assert isinstance(caught.value, OutcomeUnknownError)
    assert not caught.value.may_have_taken_effect
    assert "money may have moved" not in str(caught.value)
