"""The simulator's terminals, batches, reports, saved cards and charges, over raw HTTP.

What it has to answer is written from contract sections 10 to 12.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import aiohttp
import pytest

from payroc_async import ConfigurationError
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL

TERMINAL = "/processing-terminals/1234001"
TODAY = datetime.now(UTC).date().isoformat()


class Client:
    """Asks the simulator as any program would."""

    def __init__(self, gateway: Simulator, http: aiohttp.ClientSession) -> None:
        self.gateway, self.http, self.token = gateway, http, ""

    async def authorize(self) -> None:
        url, headers = self.gateway.environment.identity_url, {"x-api-key": self.gateway.api_key}
        async with self.http.post(url, headers=headers) as answer:
            self.token = (await answer.json())["access_token"]

    async def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None
        if method == "POST":
            headers["Idempotency-Key"] = key or str(uuid.uuid4())
        if body is not None:
            headers["Content-Type"], data = "application/json", json.dumps(body)
        async with self.http.request(
            method,
            self.gateway.environment.api_url + path,
            headers=headers,
            data=data,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def sell(self, **more: Any) -> Any:
        """A sale, as read back."""
        order = {"orderId": "A1", "amount": 4999, "currency": "USD", **more.pop("order", {})}
        body = {"processingTerminalId": "1234001", "order": order, **more}
        _, made = await self.ask("POST", f"/devices/{SERIAL}/payment-instructions", body)
        path = f"/payment-instructions/{made['paymentInstructionId']}"
        while (found := (await self.ask("GET", path))[1])["status"] == "inProgress":
            await asyncio.sleep(0.001)
        _, payment = await self.ask("GET", "/payments/" + found["link"]["href"].rpartition("/")[2])
        return payment


@pytest.fixture
async def client(gateway: Simulator) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        client = Client(gateway, http)
        await client.authorize()
        yield client


async def close(client: Client, terminal: str = "1234001") -> Any:
    status, closing = await client.ask("POST", f"/processing-terminals/{terminal}/close-batch")
    assert status == 202, closing
    return closing


# Closing ----------


async def test_what_was_captured_is_settled_and_nothing_else(client: Client) -> None:
    """The ready sale is complete, the pre-authorization stays pending, and nothing is captured."""
    sold = await client.sell()
    held = await client.sell(autoCapture=False)
    closing = await close(client)
    assert set(closing) == {"cutOffTime", "timezone"}
    assert re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", closing["cutOffTime"])
    assert closing["timezone"] == "America/Chicago"
    statuses = [
        (await client.ask("GET", f"/payments/{one['paymentId']}"))[1]["transactionResult"]["status"]
        for one in (sold, held)
    ]
    assert statuses == ["complete", "pending"]


async def test_only_that_terminals_batch(client: Client) -> None:
    """Another terminal's payments stay in their batch."""
    mine = await client.sell()
    other = await client.sell(processingTerminalId="7654321")
    await close(client, "7654321")
    for one, status in ((mine, "ready"), (other, "complete")):
        _, read = await client.ask("GET", f"/payments/{one['paymentId']}")
        assert read["transactionResult"]["status"] == status


async def test_the_same_key_closes_once(client: Client) -> None:
    """A replay has the first answer, and settles nothing that came after it."""
    key = str(uuid.uuid4())
    path = f"{TERMINAL}/close-batch"
    first = await client.ask("POST", path, key=key)
    later = await client.sell()
    assert await client.ask("POST", path, key=key) == first
    _, read = await client.ask("GET", f"/payments/{later['paymentId']}")
    assert read["transactionResult"]["status"] == "ready"


async def test_a_batch_is_closed_later(client: Client, gateway: Simulator) -> None:
    """The close is asynchronous: until its time the payment is in the open batch."""
    gateway.close_batch_after = 0.5
    sold = await client.sell()
    await close(client)
    path = f"/payments/{sold['paymentId']}"
    assert (await client.ask("GET", path))[1]["transactionResult"]["status"] == "ready"
    assert (await client.ask("GET", f"/batches?date={TODAY}"))[1]["data"] == []
    for _ in range(2000):
        await asyncio.sleep(0.01)
        _, read = await client.ask("GET", path)
        if read["transactionResult"]["status"] == "complete":
            break
    else:
        pytest.fail("it was never closed")


@pytest.mark.parametrize(
    ("terminal", "status", "fragment"),
    [("abc", 400, "bad-request"), ("x" * 51, 400, "bad-request"), ("7654321", 404, "not-found")],
)
async def test_a_terminal_that_there_is_not(
    client: Client, terminal: str, status: int, fragment: str
) -> None:
    """An id that can't be one is a 400 that names it; one that never sold is not found."""
    found, document = await client.ask("POST", f"/processing-terminals/{terminal}/close-batch")
    assert (found, document["type"].partition("#")[2]) == (status, fragment)
    if status == 400:
        assert document["errors"][0]["parameter"] == "processingTerminalId"


async def test_a_close_without_a_key(client: Client, gateway: Simulator) -> None:
    """400, as for every POST; and that it was forbidden is kept."""
    headers = {"Authorization": f"Bearer {client.token}"}
    url = f"{gateway.environment.api_url}{TERMINAL}/close-batch"
    async with client.http.post(url, headers=headers) as answer:
        assert answer.status == 400
        assert "idempotency-key-missing" in (await answer.json())["type"]
    assert len(gateway.violations) == 1
    gateway.violations.clear()


# Terminals ----------


async def test_a_terminal_and_another_one(client: Client, gateway: Simulator) -> None:
    """One is there from the start; others are made, or are not found though they sell."""
    status, document = await client.ask("GET", TERMINAL)
    assert status == 200
    assert document["features"]["preAuthorizations"] is True
    assert {"status", "timezone", "batchClosure", "applicationSettings"} <= set(document)
    await client.sell(processingTerminalId="7654321")
    assert (await client.ask("GET", "/processing-terminals/7654321"))[0] == 404
    gateway.set_terminal(
        "7654321", {"status": "inactive", "features": {"preAuthorizations": False}}
    )
    _, document = await client.ask("GET", "/processing-terminals/7654321")
    assert (document["processingTerminalId"], document["status"]) == ("7654321", "inactive")
    assert document["features"]["preAuthorizations"] is False
    assert document["features"]["tips"]["enabled"] is True


def test_a_terminal_that_makes_no_sense_is_refused() -> None:
    """A slip in a test shows where it is made."""
    for changes in ({"timezone": "Mars"}, {"features": object()}, 7):
        with pytest.raises(ConfigurationError):
            Simulator().set_terminal("7654321", changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Simulator().close_batch_after = -1
    for code, amount in (("", None), ("P", "ten")):
        with pytest.raises(ConfigurationError):
            Simulator().next_charge(code, authorized_amount=amount)  # type: ignore[arg-type]


# Reports ----------


async def test_what_the_processor_was_given(client: Client, gateway: Simulator) -> None:
    """A batch with the sums, and its transactions and authorizations, each by its number."""
    await client.sell()
    paid_back = await client.sell(order={"amount": 1000})
    gateway.close_batch(date(2026, 5, 1))
    _, _ = await client.ask(
        "POST",
        f"/payments/{paid_back['paymentId']}/refund",
        {"amount": 300, "description": "Cold"},
    )
    await client.sell(order={"amount": 2000})
    gateway.close_batch(date(2026, 5, 2))
    _, page = await client.ask("GET", "/batches?date=2026-05-02")
    (batch,) = page["data"]
    assert (batch["saleAmount"], batch["returnAmount"], batch["transactionCount"]) == (2000, 300, 2)
    _, again = await client.ask("GET", f"/batches/{batch['batchId']}")
    assert again == batch
    _, found = await client.ask("GET", f"/transactions?batchId={batch['batchId']}")
    assert {(one["type"], one["amount"]) for one in found["data"]} == {
        ("capture", 2000),
        ("return", 300),
    }
    _, returns = await client.ask("GET", "/transactions?date=2026-05-02&transactionType=Return")
    (returned,) = returns["data"]
    assert returned["batch"]["batchId"] == batch["batchId"]
    _, one = await client.ask("GET", f"/transactions/{returned['transactionId']}")
    assert one == returned
    number = returned["authorization"]["authorizationId"]
    _, authorization = await client.ask("GET", f"/authorizations/{number}")
    assert authorization["transaction"]["transactionId"] == returned["transactionId"]
    _, listed = await client.ask("GET", "/authorizations?date=2026-05-01&limit=1")
    assert (listed["count"], listed["hasMore"]) == (1, True)
    _, rest = await client.ask("GET", listed["links"][0]["href"].partition("/v1")[2])
    assert rest["data"][0]["authorizationId"] != listed["data"][0]["authorizationId"]


async def test_a_declined_or_reversed_payment_is_in_no_batch(
    client: Client, gateway: Simulator
) -> None:
    """No money moves for it, so no batch has it."""
    gateway.device(SERIAL).declines().approves()
    await client.sell()
    reversed_ = await client.sell()
    await client.ask("POST", f"/payments/{reversed_['paymentId']}/reverse", {})
    await close(client)
    assert (await client.ask("GET", f"/batches?date={TODAY}"))[1]["data"] == []


async def test_what_was_processed_as_a_sale_is_reported_once(client: Client) -> None:
    """It settles by itself, and is in the next batch alone."""
    await client.sell(processAsSale=True)
    await close(client)
    await close(client)
    _, page = await client.ask("GET", f"/transactions?date={TODAY}")
    assert page["count"] == 1


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("/batches", "date"),
        ("/batches?merchantId=1", "date"),
        ("/batches?date=yesterday", "date"),
        ("/batches?date=20260501", "date"),
        ("/transactions?merchantId=1", "date"),
        ("/transactions?batchId=abc", "batchId"),
        ("/transactions?date=2026-05-01&transactionType=capture", "transactionType"),
        ("/authorizations", "date"),
        ("/authorizations?date=2026-05-01&transactionType=Capture", "transactionType"),
    ],
)
async def test_a_query_that_the_contract_forbids(
    client: Client, query: str, parameter: str
) -> None:
    """400 that names the parameter."""
    status, document = await client.ask("GET", query)
    assert status == 400
    assert document["errors"][0]["parameter"] == parameter


# Saved cards, and charges ----------


async def saved(client: Client, **file: Any) -> Any:
    payment = await client.sell(
        credentialOnFile={"tokenize": True, **file},
        customer={
            "firstName": "Sarah",
            "lastName": "Hopper",
            "contactMethods": [
                {"type": "email", "value": "jane.doe@example.com"},
                {"type": "mobile", "value": "3125550100"},
            ],
        },
    )
    return payment["card"]["secureToken"]


def charge(token: str, **more: Any) -> dict[str, Any]:
    order = {"orderId": "Later-1", "amount": 1500, "currency": "USD", **more.pop("order", {})}
    return {
        "channel": "web",
        "processingTerminalId": "1234001",
        "order": order,
        "paymentMethod": {"type": "secureToken", "token": token},
        **more,
    }


async def test_a_token_as_the_gateway_makes_it(client: Client) -> None:
    """12 to 19 digits, 296753 first, a check digit by Luhn; each card has its own."""
    tokens = {(await saved(client))["token"] for _ in range(5)}
    assert len(tokens) == 5
    for token in tokens:
        assert re.fullmatch("296753[0-9]{6,13}", token)
        digits = [int(one) for one in reversed(token)]
        doubled = [sum(divmod(2 * one, 10)) for one in digits[1::2]]
        assert (sum(digits[::2]) + sum(doubled)) % 10 == 0


async def test_a_saved_card_is_found_and_deleted(client: Client) -> None:
    """By its id, by every filter, and only on its terminal; deleted, it is gone for good."""
    shown = await saved(client, secureTokenId="till-7")
    await saved(client)
    assert shown["secureTokenId"] == "till-7"
    assert shown["link"]["href"].endswith(f"{TERMINAL}/secure-tokens/till-7")
    path = f"{TERMINAL}/secure-tokens/till-7"
    _, record = await client.ask("GET", path)
    assert {"secureTokenId", "processingTerminalId", "source", "token", "status"} <= set(record)
    assert record["source"]["cardNumber"] == "453985******7062"
    for query, count in (
        ("", 2),
        ("?secureTokenId=till-7", 1),
        (f"?token={record['token']}", 1),
        ("?customerName=Sarah%20Hopper", 2),
        ("?email=jane.doe%40example.com", 2),
        ("?phone=3125550100", 2),
        ("?phone=jane.doe%40example.com", 0),
        ("?first6=453985&last4=7062", 2),
        ("?last4=0000", 0),
        ("?limit=1", 1),
    ):
        _, page = await client.ask("GET", f"{TERMINAL}/secure-tokens{query}")
        assert page["count"] == count, query
    _, page = await client.ask("GET", "/processing-terminals/7654321/secure-tokens")
    assert page["data"] == []
    elsewhere = charge(record["token"], processingTerminalId="7654321")
    assert (await client.ask("POST", "/payments", elsewhere))[0] == 400
    other = path.replace("1234001", "7654321")
    assert (await client.ask("GET", other))[0] == 404
    assert (await client.ask("DELETE", other))[0] == 404
    assert await client.ask("DELETE", path) == (204, None)
    assert (await client.ask("DELETE", path))[0] == 404
    assert (await client.ask("GET", path))[0] == 404
    status, document = await client.ask("POST", "/payments", charge(record["token"]))
    assert (status, document["errors"][0]["parameter"]) == (400, "paymentMethod.token")


@pytest.mark.parametrize(
    ("code", "status", "authorized"),
    [
        ("A", "ready", 1500),
        ("D", "declined", 0),
        ("R", "referral", 0),
        ("C", "pickup", 0),
        ("E", "accepted", 1500),
    ],
)
async def test_a_decline_is_201_too(
    client: Client, gateway: Simulator, code: str, status: str, authorized: int
) -> None:
    """The result says what became of the charge, and the payment can be read."""
    token = (await saved(client))["token"]
    gateway.next_charge(code)
    http_status, payment = await client.ask("POST", "/payments", charge(token))
    assert http_status == 201
    result = payment["transactionResult"]
    assert (result["responseCode"], result["status"]) == (code, status)
    assert result["authorizedAmount"] == authorized
    assert await client.ask("GET", f"/payments/{payment['paymentId']}") == (200, payment)
    assert {"type", "entryMethod", "cardNumber", "expiryDate"} <= set(payment["card"])
    assert (await client.ask("POST", "/payments", charge(token)))[1]["transactionResult"][
        "responseCode"
    ] == "A"


@pytest.mark.parametrize(("accepts", "code", "authorized"), [(True, "P", 500), (False, "D", 0)])
async def test_a_part(
    client: Client, gateway: Simulator, accepts: bool, code: str, authorized: int
) -> None:
    """A card that covers a part is declined where no part is accepted."""
    token = (await saved(client))["token"]
    gateway.next_charge("P", authorized_amount=500)
    order = {"acceptPartialAmount": accepts}
    _, payment = await client.ask("POST", "/payments", charge(token, order=order))
    result = payment["transactionResult"]
    assert (result["responseCode"], result["authorizedAmount"]) == (code, authorized)


async def test_a_charge_is_a_payment_like_any_other(client: Client) -> None:
    """It is found by its order, captured, and settled with the batch."""
    token = (await saved(client))["token"]
    standing = {"sequence": "first", "processingModel": "recurring"}
    asked = charge(
        token,
        autoCapture=False,
        order={"standingInstructions": standing},
        credentialOnFile={"mitAgreement": "recurring"},
        customFields=[{"name": "table", "value": "7"}],
    )
    _, payment = await client.ask("POST", "/payments", asked)
    assert payment["order"]["standingInstructions"] == standing
    assert payment["customFields"] == [{"name": "table", "value": "7"}]
    assert payment["transactionResult"]["status"] == "pending"
    _, page = await client.ask("GET", "/payments?orderId=Later-1")
    assert [one["paymentId"] for one in page["data"]] == [payment["paymentId"]]
    status, _ = await client.ask("POST", f"/payments/{payment['paymentId']}/capture", {})
    assert status == 200
    await close(client)
    _, read = await client.ask("GET", f"/payments/{payment['paymentId']}")
    assert read["transactionResult"]["status"] == "complete"


async def test_one_key_makes_one_charge(client: Client, gateway: Simulator) -> None:
    """The same bytes have the first answer, others a conflict."""
    token = (await saved(client))["token"]
    before, key = len(gateway.payments), str(uuid.uuid4())
    first = await client.ask("POST", "/payments", charge(token), key)
    assert await client.ask("POST", "/payments", charge(token), key) == first
    status, document = await client.ask(
        "POST", "/payments", charge(token, order={"amount": 1}), key
    )
    assert "idempotency-key-in-use" in document["type"]
    assert status in (400, 409)
    assert len(gateway.payments) == before + 1
    gateway.violations.clear()


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"channel": "mail"}, "channel"),
        ({"processingTerminalId": "abc"}, "processingTerminalId"),
        ({"paymentMethod": {"type": "card"}}, "paymentMethod.type"),
        ({"paymentMethod": {"type": "secureToken"}}, "paymentMethod.token"),
        ({"paymentMethod": {"type": "secureToken", "token": "1"}}, "paymentMethod.token"),
        ({"order": {"orderId": "A" * 25}}, "order.orderId"),
        ({"order": {"description": ""}}, "order.description"),
        ({"order": {"standingInstructions": {}}}, "order.standingInstructions.sequence"),
        ({"credentialOnFile": {"mitAgreement": "recurring"}}, "order.standingInstructions"),
        ({"customFields": [{"name": ""}]}, "customFields[0].value"),
        ({"operator": "A" * 51}, "operator"),
    ],
)
async def test_a_body_that_the_contract_forbids(
    client: Client, gateway: Simulator, change: dict[str, Any], parameter: str
) -> None:
    """400 that names the field, and nothing is charged."""
    token = (await saved(client))["token"]
    before = len(gateway.payments)
    status, document = await client.ask("POST", "/payments", charge(token, **change))
    assert status == 400
    assert parameter in [one["parameter"] for one in document["errors"]]
    assert len(gateway.payments) == before


async def test_clear_forgets_them(client: Client, gateway: Simulator) -> None:
    """Saved cards and reports go, terminals stay."""
    token = (await saved(client))["token"]
    gateway.set_terminal("7654321")
    await close(client)
    gateway.clear()
    assert gateway.secure_tokens == {}
    assert (await client.ask("GET", f"/batches?date={TODAY}"))[1]["data"] == []
    assert (await client.ask("GET", "/processing-terminals/7654321"))[0] == 200
    assert (await client.ask("POST", "/payments", charge(token)))[0] == 400
