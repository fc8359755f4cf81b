"""Look-ups of cards, and how terminals are set up. From contract sections 10 and 13."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from payroc_async import (
    APIError,
    BadRequestError,
    BalanceInquiry,
    BinLookup,
    CardBinPayload,
    ConfigurationError,
    CredentialOnFile,
    EbtDetails,
    NotFoundError,
    PayrocSession,
    ResponseFormatError,
    RetryPolicy,
    SecureTokenPayload,
    SingleUseTokenPayload,
    TransportError,
)
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, sale
from tests.harness.wire_till import ByteGateway, till_with

LOOKUP, BALANCE = "POST /v1/cards/bin-lookup", "POST /v1/cards/balance"
HOST = "GET /v1/processing-terminals/1234001/host-configurations"
DEVICE = "GET /v1/processing-terminals/1234001/device-configurations/paxA920Pro"
ACCOUNT = "GET /v1/processing-accounts/38765/processing-terminals"
INFO = {
    "type": "Visa Credit",
    "cardNumber": "453985******7062",
    "country": "US",
    "currency": "USD",
    "debit": False,
    "healthcare": True,
    "surcharging": {"allowed": True, "amount": 87, "percentage": 3, "disclosure": "3 % more"},
    "serviceFee": {"applicable": True, "amount": 50, "basis": "debitAmount"},
    "brandNew": {"a": 1},
}
LEFT = {
    "processingTerminalId": "1234001",
    "operator": "Jane",
    "card": {
        "type": "EBT",
        "entryMethod": "keyed",
        "cardNumber": "600760******7964",
        "expiryDate": "1230",
        "balances": [{"benefitCategory": "foodStamp", "amount": 5000, "currency": "USD"}],
    },
    "responseCode": "A",
    "responseMessage": "APPROVAL",
}
TERMINAL = {"processingTerminalId": "1234001", "status": "active"}


def lookup(**more: Any) -> BinLookup:
    return BinLookup(card=CardBinPayload(bin="453985"), **more)


def inquiry(**more: Any) -> BalanceInquiry:
    card = SingleUseTokenPayload(token="a" * 128, **more)
    return BalanceInquiry(processing_terminal_id="1234001", currency="USD", card=card)


async def test_what_a_card_is() -> None:
    """The question goes out as Payroc describes it, and the whole answer is read."""
    gateway = ByteGateway({LOOKUP: [(200, json.dumps(INFO).encode())]})
    async with till_with(gateway) as till:
        info = await till.cards.look_up(
            lookup(processing_terminal_id="1234001", amount=2900, currency="USD")
        )
    assert gateway.bodies(LOOKUP)[0] == {
        "card": {"type": "cardBin", "bin": "453985"},
        "processingTerminalId": "1234001",
        "amount": 2900,
        "currency": "USD",
    }
    assert gateway.keys() == []
    assert (info.type, info.debit, info.healthcare, info.country) == (
        "Visa Credit",
        False,
        True,
        "US",
    )
    assert info.surcharging is not None
    assert info.surcharging.amount == 87
    assert info.service_fee is not None
    assert info.service_fee.basis == "debitAmount"
    assert info.raw["brandNew"] == {"a": 1}
    assert "7062" not in repr(info)
    assert "453985" not in repr(lookup())


async def test_a_lookup_is_repeated_without_a_key() -> None:
    """Trouble in passing is waited out; an error says that nothing can have come of it."""
    gateway = ByteGateway({LOOKUP: [(503, b"<html>"), (200, b'{"type": "Visa"}')]})
    async with till_with(gateway) as till:
        assert (await till.cards.look_up(lookup())).type == "Visa"
    gateway = ByteGateway({LOOKUP: [(503, b"<html>")]})
    async with till_with(gateway, retries=RetryPolicy(attempts=1)) as till:
        with pytest.raises(APIError) as caught:
            await till.cards.look_up(lookup())
    assert caught.value.idempotency_key is None
    assert not caught.value.may_have_taken_effect


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"error": "no upstream"}', b"", b"<html></html>"])
@pytest.mark.parametrize("endpoint", [LOOKUP, BALANCE, DEVICE, HOST])
async def test_what_is_no_answer(endpoint: str, body: bytes) -> None:
    """A proxy's JSON is no card, no balance and no configuration."""
    gateway = ByteGateway({endpoint: [(200, body)]})
    async with till_with(gateway, retries=RetryPolicy(attempts=1)) as till:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            LOOKUP: lambda: till.cards.look_up(lookup()),
            BALANCE: lambda: till.cards.balance(inquiry()),
            DEVICE: lambda: till.terminals.device_configuration("1234001", "paxA920Pro"),
            HOST: lambda: till.terminals.host_configuration("1234001"),
        }
        with pytest.raises(ResponseFormatError):
            await calls[endpoint]()


async def test_what_is_left() -> None:
    """The balances of an approved answer, and the question as Payroc describes it."""
    gateway = ByteGateway({BALANCE: [(200, json.dumps(LEFT).encode())]})
    async with till_with(gateway) as till:
        found = await till.cards.balance(inquiry(ebt_details=EbtDetails(benefit_category="cash")))
    assert gateway.bodies(BALANCE)[0] == {
        "processingTerminalId": "1234001",
        "currency": "USD",
        "card": {
            "type": "singleUseToken",
            "token": "a" * 128,
            "ebtDetails": {"benefitCategory": "cash"},
        },
    }
    assert gateway.keys() == []
    assert found.approved
    assert found.card is not None
    assert [(one.benefit_category, one.amount) for one in found.card.balances] == [
        ("foodStamp", 5000)
    ]
    assert "a" * 128 not in repr(inquiry())


@pytest.mark.parametrize("code", ["D", "E", "P", "R", "C", "?", None])
async def test_a_refused_balance(code: str | None) -> None:
    """Only A approves: 200 with another code, or with none, is no balance to be used."""
    answer = {**LEFT, "responseCode": code}
    gateway = ByteGateway({BALANCE: [(200, json.dumps(answer).encode())]})
    async with till_with(gateway) as till:
        assert not (await till.cards.balance(inquiry())).approved


async def test_a_device_configuration() -> None:
    """What a model can do, whatever else is missing."""
    body = b'{"model": "paxA920Pro", "supportsIcc": true, "supportsPinEntry": false}'
    gateway = ByteGateway({DEVICE: [(200, body)]})
    async with till_with(gateway) as till:
        found = await till.terminals.device_configuration("1234001", "paxA920Pro")
        assert (found.model, found.supports_icc, found.supports_pin_entry) == (
            "paxA920Pro",
            True,
            False,
        )
        assert found.supports_keyed is None
        for wrong in ("", "a/b", "m" * 31):
            with pytest.raises(ConfigurationError, match=r"^model: must"):
                await till.terminals.device_configuration("1234001", wrong)


async def test_a_host_configuration() -> None:
    """The processor's ids; another terminal's are refused, and no repr shows the code."""
    answer = {
        "processingTerminalId": "1234001",
        "processingAccountId": "38765",
        "configuration": {
            "processor": "tsys",
            "merchant": {"posMid": "999999999999", "chainNumber": "1", "binNumber": "999995"},
            "terminal": {"terminalId": "7", "terminalNumber": "1515", "authenticationCode": "S3"},
        },
    }
    other = {**answer, "processingTerminalId": "9999999"}
    gateway = ByteGateway(
        {HOST: [(200, json.dumps(one).encode()) for one in (answer, other)]},
    )
    async with till_with(gateway, retries=RetryPolicy(attempts=1)) as till:
        found = await till.terminals.host_configuration("1234001")
        assert found.configuration is not None
        assert found.configuration.merchant is not None
        assert found.configuration.merchant.pos_mid == "999999999999"
        assert "S3" not in repr(found)
        with pytest.raises(ResponseFormatError, match="another host configuration"):
            await till.terminals.host_configuration("1234001")


@pytest.mark.parametrize("account", ["38765", 38765])
async def test_the_terminals_of_an_account(account: str | int) -> None:
    """From all pages; the account may be the number that a batch's merchant has."""
    more = f"{ACCOUNT[4:]}?after=a"
    first = {
        "data": [TERMINAL],
        "hasMore": True,
        "links": [{"rel": "next", "method": "get", "href": f"https://api.payroc.com{more}"}],
    }
    last = {"data": [{**TERMINAL, "processingTerminalId": "1234002"}]}
    gateway = ByteGateway({ACCOUNT: [(200, json.dumps(one).encode()) for one in (first, last)]})
    async with till_with(gateway) as till:
        found = [one async for one in till.terminals.search(account)]
    assert [one.processing_terminal_id for one in found] == ["1234001", "1234002"]


@pytest.mark.parametrize("account", [True, None, "", "a/b", 1.5])
async def test_what_is_no_account(session: PayrocSession, account: Any) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"^processing_account_id: must"):
        session.terminals.search(account)


async def test_what_is_no_question(session: PayrocSession, gateway: Simulator) -> None:
    """Another object, and an amount without its currency, are refused before anything is sent."""
    with pytest.raises(ConfigurationError, match=r"^request: must be a BinLookup, not a str$"):
        await session.cards.look_up("453985")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^request: must be a BalanceInquiry"):
        await session.cards.balance(lookup())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^currency: is needed beside amount"):
        lookup(amount=1)
    with pytest.raises(ConfigurationError) as caught:
        CardBinPayload(bin="4539858800047062")
    assert "4539" not in str(caught.value)
    assert [one.kind for one in gateway.requests] in ([], ["authorize"])


async def test_the_simulator_answers(session: PayrocSession, gateway: Simulator) -> None:
    """Cards, balances, configurations and terminals, as a shop's own tests need them."""
    gateway.lookups.surcharging = {"allowed": True, "percentage": 3}
    info = await session.cards.look_up(lookup(amount=1000, currency="USD"))
    assert info.type == "Visa Credit"
    assert info.surcharging is not None
    assert info.surcharging.amount == 30
    with pytest.raises(NotFoundError):
        await session.cards.look_up(BinLookup(card=CardBinPayload(bin="999999")))

    left = await session.cards.balance(inquiry(ebt_details=EbtDetails(benefit_category="cash")))
    assert left.approved
    assert left.card is not None
    assert [one.benefit_category for one in left.card.balances] == ["cash"]
    gateway.lookups.response_code = "D"
    assert not (await session.cards.balance(inquiry())).approved
    gateway.set_terminal("1234002", {"features": {"ebt": {"enabled": False}}})
    with pytest.raises(BadRequestError, match="sharing group"):
        await session.cards.balance(
            BalanceInquiry(
                processing_terminal_id="1234002",
                currency="USD",
                card=SingleUseTokenPayload(token="a" * 128),
            )
        )

    kiosk = await session.terminals.device_configuration("1234001", "idtechKioskV")
    assert (kiosk.supports_pin_entry, kiosk.supports_contactless) == (False, True)
    with pytest.raises(NotFoundError):
        await session.terminals.device_configuration("1234001", "unheardOf")
    host = await session.terminals.host_configuration("1234002")
    assert host.configuration is not None
    assert host.configuration.processor == "tsys"
    known = [one.processing_terminal_id async for one in session.terminals.search(38765, limit=1)]
    assert known == ["1234001", "1234002"]
    with pytest.raises(NotFoundError):
        [one async for one in session.terminals.search("0")]


async def test_a_saved_card_is_looked_up(session: PayrocSession, gateway: Simulator) -> None:
    """By its token, on its own terminal alone."""
    gateway.device(SERIAL).approves()
    request = attrs.evolve(sale(), credential_on_file=CredentialOnFile(tokenize=True))
    paid = await session.run_sale(SERIAL, request)
    assert paid.card is not None
    assert paid.card.secure_token is not None
    card = SecureTokenPayload(token=paid.card.secure_token.token)
    assert (await session.cards.look_up(BinLookup(card=card))).card_number == paid.card.card_number
    with pytest.raises(NotFoundError):
        await session.cards.look_up(BinLookup(card=card, processing_terminal_id="1234002"))


async def test_the_connection_is_lost() -> None:
    """A look-up whose answer never came says so, and nothing is in doubt."""
    gateway = ByteGateway({LOOKUP: [None]})
    async with till_with(gateway, retries=RetryPolicy(attempts=2)) as till:
        with pytest.raises(TransportError) as caught:
            await till.cards.look_up(lookup())
    assert not caught.value.may_have_taken_effect
