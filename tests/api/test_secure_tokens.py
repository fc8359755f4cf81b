"""Saved cards: read, searched, deleted. The answers are bytes, written from contract section 12."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payroc_async import (
    ConfigurationError,
    NotFoundError,
    PayrocSession,
    RequestTimeoutError,
    ResponseFormatError,
    RetryPolicy,
    TransportError,
)
from payroc_async.simulator import Simulator
from tests.harness.wire_till import ByteGateway, problem_bytes, till_with

ID = "MREF_abc1de23-f4a5-6789-bcd0-12e345678901fa"
TOKENS = "/v1/processing-terminals/1234001/secure-tokens"
READ, DELETE = f"GET {TOKENS}/{ID}", f"DELETE {TOKENS}/{ID}"
NOT_FOUND = problem_bytes(404, "not-found")
RECORD = {
    "secureTokenId": ID,
    "processingTerminalId": "1234001",
    "mitAgreement": "unscheduled",
    "customer": {"firstName": "Sarah", "lastName": "Hopper"},
    "source": {
        "type": "card",
        "cardholderName": "Sarah Hopper",
        "cardNumber": "453985******7062",
        "expiryDate": "1230",
        "cardType": "Visa",
        "surcharging": {"allowed": True, "percentage": 3, "disclosure": "A fee"},
    },
    "token": "296753123456",
    "status": "notValidated",
    "customFields": [{"name": "table", "value": "7"}],
}


async def test_a_saved_card() -> None:
    """The published sample is read whole, and no repr shows the card or its token."""
    gateway = ByteGateway({READ: [(200, json.dumps(RECORD).encode())]})
    async with till_with(gateway) as till:
        saved = await till.secure_tokens.retrieve("1234001", ID)
    assert (saved.secure_token_id, saved.token) == (ID, "296753123456")
    assert (saved.status, saved.mit_agreement) == ("notValidated", "unscheduled")
    assert saved.source is not None
    assert saved.source.card_number == "453985******7062"
    assert saved.source.surcharging is not None
    assert saved.source.surcharging.percentage == 3
    assert saved.customer is not None
    assert saved.customer.first_name == "Sarah"
    assert saved.custom_fields[0].value == "7"
    for secret in ("296753123456", "7062", "Hopper", "1230"):
        assert secret not in repr(saved)


@pytest.mark.parametrize("source", [None, 7, {"type": "ach", "accountType": "checking"}])
async def test_a_detail_that_cannot_be_read(source: Any) -> None:
    """Its id and its token are enough."""
    body = json.dumps({"secureTokenId": ID, "token": "296753123456", "source": source}).encode()
    gateway = ByteGateway({READ: [(200, body)]})
    async with till_with(gateway) as till:
        saved = await till.secure_tokens.retrieve("1234001", ID)
        assert saved.token == "296753123456"
        assert saved.source is None or saved.source.type == "ach"


@pytest.mark.parametrize(
    "change", [{"secureTokenId": "MREF_other"}, {"token": None}, {"secureTokenId": None}]
)
async def test_another_card_is_none(change: dict[str, Any]) -> None:
    """The terminal in the path is not taken for the record that was asked for."""
    gateway = ByteGateway({READ: [(200, json.dumps({**RECORD, **change}).encode())]})
    async with till_with(gateway) as till:
        with pytest.raises(ResponseFormatError):
            await till.secure_tokens.retrieve("1234001", ID)


@pytest.mark.parametrize("terminal", ["1234001", "Ünit 7".replace(" ", "-")])
async def test_every_page_of_a_terminals_cards(terminal: str) -> None:
    """Filters are spelled as the contract has them; a link below the terminal is followed."""
    path = f"/v1/processing-terminals/{terminal}/secure-tokens"
    path = path.replace("Ü", "%C3%9C")
    following = {"rel": "next", "method": "get", "href": f"https://api.payroc.com{path}?after=a"}
    first = {"hasMore": True, "links": [following], "data": [RECORD]}
    gateway = ByteGateway(
        {
            f"GET {path}": [
                (200, json.dumps(first).encode()),
                (200, json.dumps({"hasMore": False, "data": [RECORD]}).encode()),
            ]
        }
    )
    async with till_with(gateway) as till:
        found = [
            one
            async for one in till.secure_tokens.search(
                terminal,
                secure_token_id=ID,
                customer_name="Sarah Hopper",
                phone="3125550100",
                email="jane.doe@example.com",
                token="296753123456",
                first6="453985",
                last4="7062",
                limit=1,
            )
        ]
    assert len(found) == 2
    first_asked, second_asked = (asked for asked, _, _ in gateway.asked)
    assert set(first_asked.partition("?")[2].split("&")) == {
        f"secureTokenId={ID}",
        "customerName=Sarah+Hopper",
        "phone=3125550100",
        "email=jane.doe%40example.com",
        "token=296753123456",
        "first6=453985",
        "last4=7062",
        "limit=1",
    }
    assert second_asked == f"GET {path}?after=a"


async def test_a_link_to_another_terminals_cards_is_not_followed() -> None:
    """A page of somebody else's cards is none of this search."""
    other = "https://api.payroc.com/v1/processing-terminals/9999999/secure-tokens?after=a"
    links = [{"rel": "next", "method": "get", "href": other}]
    body = json.dumps({"hasMore": True, "links": links, "data": []}).encode()
    gateway = ByteGateway({f"GET {TOKENS}": [(200, body)]})
    async with till_with(gateway) as till:
        with pytest.raises(ResponseFormatError, match="does not lead to one"):
            [one async for one in till.secure_tokens.search("1234001")]


async def test_a_card_is_deleted() -> None:
    """A DELETE without a key, answered with 204."""
    gateway = ByteGateway({DELETE: [(204, b"")]})
    async with till_with(gateway) as till:
        await till.secure_tokens.delete("1234001", ID)
    ((asked, headers, body),) = gateway.asked
    assert (asked, body) == (DELETE, b"")
    assert "idempotency-key" not in headers


async def test_gone_after_a_lost_answer_is_deleted() -> None:
    """The first try's answer is lost; that there is no such card then says that it was done."""
    gateway = ByteGateway({DELETE: [None, (404, NOT_FOUND)]})
    async with till_with(gateway) as till:
        await till.secure_tokens.delete("1234001", ID)
    assert len(gateway.asked) == 2


@pytest.mark.parametrize(
    "answers",
    [
        [(404, NOT_FOUND)],  # a card that never was
        [None, (404, b"<html>Not here</html>")],  # a proxy's word says nothing of the card
    ],
)
async def test_what_is_not_known_is_not_deleted(answers: list[Any]) -> None:
    """A wrong id is an error, and a proxy's 404 proves nothing."""
    gateway = ByteGateway({DELETE: answers})
    async with till_with(gateway) as till:
        with pytest.raises(NotFoundError):
            await till.secure_tokens.delete("1234001", ID)


async def test_a_lost_answer_may_have_deleted_it() -> None:
    """The error says so, and names no key, for there is none."""
    gateway = ByteGateway({DELETE: [None]})
    async with till_with(gateway, RetryPolicy(attempts=1)) as till:
        with pytest.raises(TransportError) as caught:
            await till.secure_tokens.delete("1234001", ID)
    assert not isinstance(caught.value, RequestTimeoutError)
    assert caught.value.may_have_taken_effect
    assert caught.value.idempotency_key is None


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"token": "MREF_abc"}, "token"),
        ({"first6": "45398"}, "first6"),
        ({"phone": "1" * 16}, "phone"),
        ({"customer_name": ""}, "customer_name"),
    ],
)
async def test_a_wrong_filter_is_named(
    gateway: Simulator, session: PayrocSession, filters: dict[str, str], field: str
) -> None:
    """It is named before anything is asked, and its text not shown."""
    with pytest.raises(ConfigurationError) as caught:
        session.secure_tokens.search("1234001", **filters)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert all(value not in str(caught.value) for value in filters.values() if value)
    for wrong in ("a/b", ""):
        with pytest.raises(ConfigurationError, match="processing_terminal_id"):
            session.secure_tokens.search(wrong)
        with pytest.raises(ConfigurationError, match="secure_token_id"):
            await session.secure_tokens.delete("1234001", wrong)
    assert gateway.requests_of("search") == gateway.requests_of("delete_secure_token") == []
