"""P7: secrets stay in."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from payroc_async import OutcomeUnknownError, PayrocError, PayrocSession
from payroc_async.simulator import (
    FaultAction,
    Simulator,
    edit,
    redirect,
    status,
)
from payroc_async.simulator.faults import Exchange
from payroc_async.simulator.tokens import TOKEN_MARK
from payroc_async.wire.protocol import Answer, Request, Token
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.secret_scanner import API_KEY, CARD, SECRETS, Ears, everything_heard

from .test_faults import Decoy

# That no fault of any request brings a secret to light is tested with the faults: test_faults.py.


@pytest.fixture(autouse=True)
def at_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `test_faults.py`."""
    monkeypatch.setattr("payroc_async.http.token.LEAST_INTERVAL", UNIT / 2)
    monkeypatch.setattr("asyncio.constants.DEBUG_STACK_DEPTH", 1)
    monkeypatch.setattr(sys, "tracebacklimit", 3, raising=False)


# Servers that say the secret themselves ----------


def echoing(code: int, content_type: str) -> FaultAction:
    """A proxy's error page that repeats the request's headers, in its headers too."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        given = exchange.request.headers
        said = given.get("Authorization") or given.get("x-api-key") or ""
        body = f"you sent {said}"
        if content_type == "application/problem+json":
            body = (
                f'{{"title": "{said}", "detail": "{said}", "type": "#{said}", "instance": "{said}",'
                f' "errors": [{{"parameter": "{said}", "detail": "{said}", "message": "{said}"}}]}}'
            )
        headers = {"Content-Type": content_type, "X-Debug": said, "Location": f"/{said}"}
        return web.Response(status=code, body=body.encode(), headers=headers)

    return FaultAction("echoing", run)


def raw(kind: str, answer: str) -> FaultAction:
    """Sends these bytes, with what the request said of itself in place of ``{said}``."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        given = exchange.request.headers
        said = given.get("Authorization") or given.get("x-api-key") or ""
        transport = exchange.request.transport
        assert transport is not None
        transport.write(answer.format(said=said).encode())
        await exchange.hang()
        raise AssertionError

    return FaultAction(kind, run)


ECHOES = [
    echoing(200, "text/html"),
    echoing(307, "text/html"),
    echoing(400, "application/problem+json"),
    echoing(401, "application/problem+json"),
    echoing(409, "application/problem+json"),
    echoing(429, "text/html"),
    echoing(500, "application/problem+json"),
    raw("no HTTP", "{said}\r\nX: {said}\r\n\r\n"),
    raw("a broken header", "HTTP/1.1 200 OK\r\n{said}\r\n\r\n"),
    raw("a header too many", "HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\n"),
    raw("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n\r\n"),
    raw("an unknown encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: {said}\r\n\r\n"),
    status(200, body=b"not gzip", headers={"Content-Encoding": "gzip"}),
    status(200, body=b"{}", headers={"Content-Type": "application/json; charset=nonsense"}),
]


@pytest.mark.parametrize("on", ["authorize", "submit", "status", "payment"])
@pytest.mark.parametrize(
    "fault", ECHOES, ids=[f"{number} {fault.kind}" for number, fault in enumerate(ECHOES)]
)
async def test_p7_what_a_server_echoes_is_not_passed_on(
    ears: Ears, gateway: Simulator, on: str, fault: FaultAction
) -> None:
    """Answers that repeat the token, or the key, or are no HTTP: no error repeats it."""
    gateway.faults.add(on, fault, times=None)
    times = QUICK.__class__(
        connect=1.0,
        request=10 * UNIT,
        hold=5 * UNIT,
        hold_margin=5 * UNIT,
        poll_interval=5 * UNIT,
        token=5 * UNIT,
        unreachable=10 * UNIT,
        cancel_grace=5 * UNIT,
    )
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=times, retries=EAGER
    ) as session:
        with pytest.raises(PayrocError) as caught:
            await session.run_sale(SERIAL, sale(), on_event=ears.witness)
        ears.witness(caught.value)
        ears.witness(session)


async def test_p7_an_answer_longer_than_it_says_is_not_shown(
    ears: Ears, gateway: Simulator
) -> None:
    """The payment's last bytes are taken for the next answer's first ones: no error shows them."""

    async def overrun(exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.proceed()
        transport = exchange.request.transport
        assert transport is not None
        # All but the first byte are too many.
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n"
        transport.write(head.encode() + answer.body)
        await exchange.hang()
        raise AssertionError

    gateway.faults.add("payment", FaultAction("overrun", overrun), times=3)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as session:
        ears.witness(await session.run_sale(SERIAL, sale(), on_event=ears.witness))


async def test_p7_nothing_shows_itself(ears: Ears, gateway: Simulator) -> None:
    """The reprs of all that a live session is made of, and of what crosses the wire."""
    gateway.device(SERIAL).approves(after=5 * UNIT)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as session:
        handle = await session.start_sale(SERIAL, sale(), on_event=ears.witness)
        inside: list[object] = [
            session._transport,
            session._token_manager,
            *session._supervisor._runners,
        ]
        for thing in (session, handle, gateway.environment, *inside):
            ears.witness(thing)
        payment = await handle.result()
        ears.witness(payment)
        instruction = await session.payment_instructions.retrieve(handle.instruction_id or "")
        ears.witness(instruction)
    card = f'{{"card": {{"cardNumber": "{CARD["cardNumber"]}"}}}}'.encode()
    ears.witness(Answer(200, {"x": API_KEY}, card))
    ears.witness(Request("POST", "/", card, "key"))
    ears.witness(Token(TOKEN_MARK + "x", 1.0))
    # And still it is there for who asks.
    assert payment.card.card_number == CARD["cardNumber"]


async def test_p7_these_ears_hear(gateway: Simulator) -> None:
    """A secret in a log record, in an event, deep in an error's causes: each is found."""
    with everything_heard() as ears:
        logging.getLogger("aiohttp.client").debug("sent %s", f"Bearer {TOKEN_MARK}x")
        logging.getLogger("stamina").warning("retrying", extra={"key": API_KEY})
        try:
            try:
                raise ValueError(CARD["cardNumber"])
            except ValueError as error:
                raise OutcomeUnknownError(
                    serial_number=None, idempotency_key=None, instruction_id=None
                ) from error
        except PayrocError as error:
            ears.witness(error)
        ears.witness({"cardholderName": CARD["cardholderName"], "x": f"'{CARD['expiryDate']}'"})
    found = {line.partition(" in ")[0] for line in ears.found}
    assert found == {*SECRETS}


# Where the token goes ----------


@pytest.fixture
async def decoy() -> AsyncIterator[Decoy]:
    """A second server on loopback, which no one may ever contact."""
    async with Decoy().listening() as decoy:
        yield decoy
        assert decoy.contacts == 0


@pytest.mark.parametrize(
    "href",
    [
        "{decoy}/v1/payments/{id}",
        "{decoy}/other/v1/payments/{id}",
        "//{netloc}/v1/payments/{id}",
        "http://api.payroc.com@{netloc}/v1/payments/{id}",
        "{decoy}/v1/payments/{id}?next={decoy}#x",
    ],
)
async def test_p7_a_links_host_is_never_contacted(
    gateway: Simulator, session: PayrocSession, decoy: Decoy, href: str
) -> None:
    """A completed instruction's link is followed by its path, on the configured API."""

    def relink(data: dict[str, dict[str, str]]) -> object:
        id_ = data["link"]["href"].rpartition("/")[2]
        there = href.format(decoy=decoy.url, netloc=decoy.url.removeprefix("http://"), id=id_)
        return {**data, "link": {"rel": "payment", "method": "GET", "href": there}}

    gateway.faults.add("status", edit(relink), times=None)
    payment = await session.run_sale(SERIAL, sale())
    assert [seen.path for seen in gateway.requests_of("payment")] == [
        f"/v1/payments/{payment.payment_id}"
    ]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("on", ["authorize", "submit", "status", "cancel", "payment"])
async def test_p7_redirects_are_not_followed(
    gateway: Simulator, session: PayrocSession, decoy: Decoy, on: str, code: int
) -> None:
    """Neither key nor token goes where a redirect leads; once it is gone, the sale goes on."""
    headers = {"Location": f"{decoy.url}/v1/payments/x", "Refresh": f"0; url={decoy.url}"}
    action = redirect(f"{decoy.url}/") if code == 307 else status(code, headers=headers)
    if on == "cancel":
        gateway.device(SERIAL).never_finishes()
    fault = gateway.faults.add(on, action, times=2)
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=QUICK, retries=EAGER
    ) as another:
        if on == "cancel":
            handle = await another.start_sale(SERIAL, sale())
            assert (await handle.cancel()).status == "canceled"
        else:
            assert (await another.run_sale(SERIAL, sale())).approved
    assert fault.hits == 2


@pytest.mark.parametrize(
    "href",
    [
        "{decoy}/admin/{id}",
        "{decoy}/v1/payments/{id}/../../../admin",
        "{decoy}/v1/payments/..",
        "{decoy}/v1/payments/%2e%2e",
        "{decoy}/v1/payments/%2e%2e%2fauthorize",
        "{decoy}/v1/payments/",
        "{decoy}/v1/payments",
        "{decoy}",
        "",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ],
)
async def test_p7_links_that_leave_the_apis_path_are_refused(
    gateway: Simulator, session: PayrocSession, decoy: Decoy, href: str
) -> None:
    """Nothing is asked for but payments, and of an unreadable link the outcome is unknown."""

    def relink(data: dict[str, dict[str, str]]) -> object:
        id_ = data["link"]["href"].rpartition("/")[2]
        there = href.format(decoy=decoy.url, id=id_)
        return {**data, "link": {"rel": "payment", "method": "GET", "href": there}}

    gateway.faults.add("status", edit(relink), times=None)
    async with PayrocSession(
        gateway.api_key,
        environment=gateway.environment,
        timeouts=QUICK.__class__(
            request=1.0, hold=0.5, poll_interval=UNIT, unreachable=5 * UNIT, cancel_grace=UNIT
        ),
        retries=EAGER,
    ) as hasty:
        with pytest.raises(OutcomeUnknownError):
            await hasty.run_sale(SERIAL, sale())
    kinds = {seen.kind for seen in gateway.requests}
    assert kinds <= {"authorize", "submit", "status", "cancel"}
    gateway.faults.clear()
    (id_,) = gateway.instructions
    assert (await session.resume_sale(id_).result()).approved
