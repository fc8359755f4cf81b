"""Terminals, the close of a batch, and settlement: what is asked, and what is read.

The answers are bytes, written from contract sections 10 and 11 and its published samples.
"""

from __future__ import annotations

import json
import uuid
from datetime import date, datetime
from typing import Any

import pytest

from payroc_async import (
    APIError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PayrocError,
    PayrocSession,
    ResponseFormatError,
    SettlementEntryMethod,
    SettlementStatus,
    SettlementType,
    TransportError,
)
from payroc_async.simulator import Simulator
from tests.harness.wire_till import ByteGateway, problem_bytes, till_with

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
DAY = date(2024, 7, 2)
CLOSE = "POST /v1/processing-terminals/1234001/close-batch"
TERMINAL = "GET /v1/processing-terminals/1234001"
CLOSING = b'{"cutOffTime": "13:55", "timezone": "Pacific/Midway"}'

MERCHANT = {
    "merchantId": "4525644354",
    "doingBusinessAs": "Pizza Doe",
    "processingAccountId": 38765,
    "link": {"rel": "processingAccount", "method": "get", "href": "https://api.payroc.com/v1/x"},
}
BATCH = {
    "batchId": 65,
    "date": "2024-07-02",
    "createdDate": "2024-07-02",
    "lastModifiedDate": "2024-07-03",
    "saleAmount": 10000,
    "heldAmount": 0,
    "returnAmount": 1200,
    "transactionCount": 10,
    "currency": "USD",
    "merchant": MERCHANT,
    "links": [
        {
            "rel": "transactions",
            "method": "get",
            "href": "https://api.payroc.com/v1/transactions?batchId=65",
        }
    ],
}
CARD = {
    "cardNumber": "453985******7062",
    "type": "visa",
    "cvvPresenceIndicator": True,
    "avsRequest": True,
    "avsResponse": "",
}
TRANSACTION = {
    "transactionId": 442233,
    "type": "capture",
    "date": "2024-07-02",
    "amount": 4999,
    "entryMethod": "ecommerce",
    "createdDate": "2024-07-02",
    "lastModifiedDate": "2024-07-02",
    "status": "paid",
    "cashbackAmount": 0,
    "interchange": {"basisPoint": 0, "transactionFee": 0},
    "currency": "USD",
    "merchant": MERCHANT,
    "settled": {"settledBy": "3rd party", "achDate": "2024-07-02", "achDepositId": 99},
    "batch": {"batchId": 12, "date": "2024-07-02", "cycle": "am"},
    "card": CARD,
    "authorization": {"authorizationId": 303101, "code": "A1B2C3", "amount": 4999},
}
AUTHORIZATION = {
    "authorizationId": 65,
    "createdDate": "2024-07-02",
    "authorizationResponse": "successful",
    "preauthorizationRequestAmount": 10000,
    "currency": "USD",
    "batch": None,
    "card": CARD,
    "merchant": MERCHANT,
    "transaction": {"transactionId": None, "type": "capture", "entryMethod": None, "amount": 100},
}


def page(*items: Any, path: str = "", **more: Any) -> bytes:
    """A page; with a path, one that leads to the next."""
    links = [{"rel": "next", "method": "get", "href": f"https://api.payroc.com{path}"}]
    return json.dumps(
        {
            "limit": 10,
            "count": len(items),
            "hasMore": bool(path),
            "links": links if path else [],
            "data": items,
            **more,
        }
    ).encode()


# The close of a batch ----------


async def test_a_batch_is_closed() -> None:
    """A POST without a body, under a key, and when the gateway closes the batch."""
    gateway = ByteGateway({CLOSE: [(202, CLOSING)]})
    async with till_with(gateway) as till:
        closing = await till.terminals.close_batch("1234001", idempotency_key=KEY)
    assert (closing.cut_off_time, closing.timezone) == ("13:55", "Pacific/Midway")
    ((asked, headers, body),) = gateway.asked
    assert (asked, body) == (CLOSE, b"")
    assert headers["idempotency-key"] == KEY
    assert "content-type" not in headers


async def test_each_close_has_a_key_of_its_own() -> None:
    """P1: a fresh UUID v4 for each call, and one for all tries of a call."""
    gateway = ByteGateway({CLOSE: [None, (503, b""), (202, CLOSING)]})
    async with till_with(gateway) as till:
        await till.terminals.close_batch("1234001")
        await till.terminals.close_batch("1234001")
    first, *same, last = gateway.keys()
    assert same == [first, first]
    assert last != first
    assert {uuid.UUID(key).version for key in (first, last)} == {4}


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>OK</html>", b'{"status": "ok"}'])
async def test_an_accepted_close_without_a_time_is_no_proof(body: bytes) -> None:
    """What does not say when may be a proxy's: it is asked again under the same key."""
    gateway = ByteGateway({CLOSE: [(202, body)]})
    async with till_with(gateway) as till:
        with pytest.raises(ResponseFormatError) as caught:
            await till.terminals.close_batch("1234001", idempotency_key=KEY)
    assert caught.value.may_have_taken_effect
    assert len(gateway.keys()) > 1
    assert set(gateway.keys()) == {KEY}


@pytest.mark.parametrize("body", [b'{"cutOffTime": "13:55"}', b'{"timezone": "Etc/UTC", "x": 1}'])
async def test_half_of_a_close_is_enough(body: bytes) -> None:
    """Section 15: one of its two fields may be missing."""
    gateway = ByteGateway({CLOSE: [(202, body)]})
    async with till_with(gateway) as till:
        closing = await till.terminals.close_batch("1234001")
    assert None in (closing.cut_off_time, closing.timezone)


@pytest.mark.parametrize(
    ("answers", "error", "effect"),
    [
        ([(409, problem_bytes(409, "resource-already-exists"))], ConflictError, False),
        ([(404, problem_bytes(404, "not-found"))], NotFoundError, False),
        ([None, (409, problem_bytes(409, "resource-already-exists"))], ConflictError, True),
        ([(404, b"<html>Not here</html>")], NotFoundError, True),
        ([None], TransportError, True),
    ],
)
async def test_an_error_says_whether_the_batch_may_be_closed(
    answers: list[Any], error: type[PayrocError], effect: bool
) -> None:
    """Only the gateway's own refusal of the only try says that it is not."""
    gateway = ByteGateway({CLOSE: answers})
    async with till_with(gateway) as till:
        with pytest.raises(error) as caught:
            await till.terminals.close_batch("1234001", idempotency_key=KEY)
    assert caught.value.may_have_taken_effect is effect
    assert caught.value.idempotency_key == KEY


# Terminals ----------


FEATURES = {
    "tips": {
        "enabled": True,
        "tipPrompt": True,
        "tipAdjust": False,
        "suggestedTips": {"enabled": True, "tipPercentages": ["10", "15"]},
    },
    "enhancedProcessing": {
        "enabled": True,
        "transactionDataLevel": "level2",
        "shippingAddressMode": "fullAddress",
    },
    "ebt": {"enabled": True, "ebtType": "foodStamp", "fnsNumber": "3456789"},
    "pinDebitCashback": False,
    "recurringPayments": True,
    "paymentLinks": {"enabled": True, "logoUrl": "Logo", "footerNotes": "Notes"},
    "preAuthorizations": True,
    "offlinePayments": True,
}


async def test_a_terminal() -> None:
    """The published sample is read whole."""
    document = {
        "processingTerminalId": "1234001",
        "status": "active",
        "timezone": "Pacific/Midway",
        "program": "Payroc Cloud",
        "gateway": {"gateway": "payroc", "terminalTemplateId": "Roc Services_DX8000"},
        "batchClosure": {"batchCloseType": "automatic", "batchCloseTime": "23:40"},
        "applicationSettings": {"clerkPrompt": False, "invoiceNumberPrompt": True},
        "features": FEATURES,
        "security": {
            "tokenization": False,
            "avsPrompt": True,
            "avsLevel": "fullAddress",
            "cvvPrompt": True,
        },
        "receiptNotifications": {"emailReceipt": True, "smsReceipt": False},
        "taxes": [{"taxRate": 6, "taxLabel": "Sales Tax"}],
        "devices": [
            {
                "manufacturer": "Ingenico",
                "model": "Axium Dx4000 Tsys",
                "serialNumber": "DX400-1234",
                "communicationType": "bluetooth",
            }
        ],
    }
    gateway = ByteGateway({TERMINAL: [(200, json.dumps(document).encode())]})
    async with till_with(gateway) as till:
        terminal = await till.terminals.retrieve("1234001")
    assert terminal.active
    assert terminal.features.pre_authorizations is True
    assert terminal.features.tips is not None
    assert terminal.features.tips.suggested_tips is not None
    assert terminal.features.tips.suggested_tips.tip_percentages == ("10", "15")
    assert terminal.features.ebt is not None
    assert (terminal.features.ebt.ebt_type, terminal.features.ebt.fns_number) == (
        "foodStamp",
        "3456789",
    )
    assert terminal.batch_closure is not None
    assert terminal.batch_closure.batch_close_time == "23:40"
    assert terminal.security is not None
    assert terminal.security.avs_level == "fullAddress"
    assert [(tax.tax_rate, tax.tax_label) for tax in terminal.taxes] == [(6, "Sales Tax")]
    assert terminal.devices[0].communication_type == "bluetooth"
    assert dict(terminal.raw) == document


@pytest.mark.parametrize(
    ("document", "active"),
    [
        ({"status": "active"}, True),
        ({"status": "inactive"}, False),
        ({"status": "asleep"}, False),
        ({"status": "active", "features": None, "taxes": "none"}, True),
        ({"status": "active", "features": {"tips": {"enabled": False}, "new": 1}}, True),
    ],
)
async def test_a_terminal_of_few_fields(document: Any, active: bool) -> None:
    """Section 15: its id and status are enough; the rest is None."""
    body = json.dumps({"processingTerminalId": "1234001", **document}).encode()
    gateway = ByteGateway({TERMINAL: [(200, body)]})
    async with till_with(gateway) as till:
        terminal = await till.terminals.retrieve("1234001")
        assert terminal.active is active
        assert terminal.features.pre_authorizations is None
        assert terminal.taxes == ()


@pytest.mark.parametrize(
    "body",
    [b'{"processingTerminalId": "9999", "status": "active"}', b'{"status": "active"}', b"{}"],
)
async def test_another_terminal_is_none(body: bytes) -> None:
    """An answer about another terminal, or none, is not taken for this one."""
    gateway = ByteGateway({TERMINAL: [(200, body)]})
    async with till_with(gateway) as till:
        with pytest.raises(ResponseFormatError):
            await till.terminals.retrieve("1234001")


# Reports ----------


async def test_batches_of_a_day_from_all_pages() -> None:
    """The day goes as it is written, and the link's query is followed on this host."""
    gateway = ByteGateway(
        {
            "GET /v1/batches": [
                (200, page(BATCH, path="/v1/batches?after=65&limit=1&date=2024-07-02")),
                (200, page({**BATCH, "batchId": 66})),
            ]
        }
    )
    async with till_with(gateway) as till:
        found = [one async for one in till.batches.search(date=DAY, merchant_id="45", limit=1)]
    assert [batch.batch_id for batch in found] == [65, 66]
    assert [asked for asked, _, _ in gateway.asked] == [
        "GET /v1/batches?date=2024-07-02&limit=1&merchantId=45",
        "GET /v1/batches?after=65&limit=1&date=2024-07-02",
    ]
    batch = found[0]
    assert (batch.sale_amount, batch.return_amount, batch.held_amount) == (10000, 1200, 0)
    assert (batch.date, batch.last_modified_date) == (DAY, date(2024, 7, 3))
    assert batch.merchant is not None
    assert (batch.merchant.merchant_id, batch.merchant.processing_account_id) == (
        "4525644354",
        38765,
    )
    assert gateway.keys() == []


async def test_a_batch_a_transaction_an_authorization() -> None:
    """Each by its number; what may be null is None."""
    gateway = ByteGateway(
        {
            "GET /v1/batches/65": [(200, json.dumps(BATCH).encode())],
            "GET /v1/transactions/442233": [(200, json.dumps(TRANSACTION).encode())],
            "GET /v1/authorizations/65": [(200, json.dumps(AUTHORIZATION).encode())],
        }
    )
    async with till_with(gateway) as till:
        batch = await till.batches.retrieve(65)
        transaction = await till.transactions.retrieve(442233)
        authorization = await till.authorizations.retrieve(65)
    assert batch.transaction_count == 10
    assert transaction.type is SettlementType.CAPTURE
    assert transaction.status is SettlementStatus.PAID
    assert transaction.entry_method is SettlementEntryMethod.ECOMMERCE
    assert transaction.settled is not None
    assert transaction.settled.ach_deposit_id == 99
    assert transaction.batch is not None
    assert transaction.batch.batch_id == 12
    assert transaction.authorization is not None
    assert transaction.authorization.code == "A1B2C3"
    assert transaction.card is not None
    assert "7062" not in repr(transaction)
    assert authorization.authorization_response == "successful"
    assert authorization.batch is None
    assert authorization.transaction is not None
    assert authorization.transaction.transaction_id is None


async def test_transactions_and_authorizations_of_a_batch() -> None:
    """By a batch or a day; the type goes as it is given; what has no id is not left out."""
    nameless = {**TRANSACTION, "transactionId": None, "entryMethod": "telepathy"}
    gateway = ByteGateway(
        {
            "GET /v1/transactions": [(200, page(TRANSACTION, nameless))],
            "GET /v1/authorizations": [(200, page(AUTHORIZATION))],
        }
    )
    async with till_with(gateway) as till:
        found = [
            one async for one in till.transactions.search(batch_id=12, transaction_type="Capture")
        ]
        more = [one async for one in till.authorizations.search(date=DAY)]
    assert [one.transaction_id for one in found] == [442233, None]
    assert found[1].entry_method == "telepathy"
    assert [one.authorization_id for one in more] == [65]
    assert [asked for asked, _, _ in gateway.asked] == [
        "GET /v1/transactions?batchId=12&transactionType=Capture",
        "GET /v1/authorizations?date=2024-07-02",
    ]


@pytest.mark.parametrize("name", ["batches", "transactions", "authorizations"])
async def test_a_key_that_may_not_see_reports(name: str) -> None:
    """403 is a ForbiddenError, and asked once."""
    gateway = ByteGateway({f"GET /v1/{name}": [(403, problem_bytes(403, "forbidden"))]})
    async with till_with(gateway) as till:
        with pytest.raises(ForbiddenError):
            [one async for one in getattr(till, name).search(date=DAY)]
    assert len(gateway.asked) == 1


async def test_no_batches_are_none() -> None:
    """An empty page is normal in UAT."""
    gateway = ByteGateway({"GET /v1/batches": [(200, page())]})
    async with till_with(gateway) as till:
        assert [one async for one in till.batches.search(date=DAY)] == []


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda s: s.batches.search(date="2024-07-02"), "date"),
        (lambda s: s.batches.search(date=datetime(2024, 7, 2)), "date"),
        (lambda s: s.transactions.search(), "date"),
        (lambda s: s.authorizations.search(merchant_id="1"), "date"),
        (lambda s: s.transactions.search(batch_id="12"), "batch_id"),
        (lambda s: s.transactions.search(batch_id=-1), "batch_id"),
        (lambda s: s.batches.search(date=DAY, limit=0), "limit"),
    ],
)
async def test_a_wrong_filter_is_named(session: PayrocSession, call: Any, field: str) -> None:
    """It is named before anything is asked."""
    with pytest.raises(ConfigurationError) as caught:
        call(session)
    assert caught.value.field == field


@pytest.mark.parametrize("wrong", ["65", True, -1, 6.5, None])
@pytest.mark.parametrize(
    ("group", "field"),
    [
        ("batches", "batch_id"),
        ("transactions", "transaction_id"),
        ("authorizations", "authorization_id"),
    ],
)
async def test_an_id_that_is_no_number_is_refused(
    session: PayrocSession, group: str, field: str, wrong: Any
) -> None:
    """Ids of settlement are integers: a payment's id is not taken for one."""
    with pytest.raises(ConfigurationError) as caught:
        await getattr(session, group).retrieve(wrong)
    assert caught.value.field == field


async def test_a_terminal_id_that_changes_the_path_is_refused(
    gateway: Simulator, session: PayrocSession
) -> None:
    """Neither a read nor a close is sent to another path than it names."""
    for call in (session.terminals.retrieve, session.terminals.close_batch):
        with pytest.raises(ConfigurationError, match="processing_terminal_id"):
            await call("1234001/../x")
    assert gateway.requests_of("other") == gateway.requests_of("close_batch") == []


async def test_what_is_unknown_is_not_found(session: PayrocSession) -> None:
    """An id that the gateway does not know is a NotFoundError."""
    for read in (session.batches, session.transactions, session.authorizations):
        with pytest.raises(NotFoundError):
            await read.retrieve(999_999)
    with pytest.raises(NotFoundError):
        await session.terminals.retrieve("9999999")
    with pytest.raises(APIError):
        await session.terminals.close_batch("9999999")
