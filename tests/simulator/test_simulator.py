"""The simulator's gateway: identity, instructions, payments, idempotency, devices, life cycle."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import io
import json
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs import define

from payroc_async.config import Environment
from payroc_async.errors import ConfigurationError
from payroc_async.simulator import OMIT, Simulator, sample_payment

UNIT = 0.02
SERIAL = "1850010868"
BODY: dict[str, Any] = {
    "processingTerminalId": "1234001",
    "operator": "Jane",
    "order": {"orderId": "OrderRef6543", "amount": 4999, "currency": "USD"},
}


@define
class Reply:
    status: int
    headers: Any
    data: bytes
    json: Any


@define
class Caller:
    """A bare HTTP client that follows the contract."""

    gateway: Simulator
    session: aiohttp.ClientSession
    token: str = ""

    async def call(self, method: str, path: str, **more: Any) -> Reply:
        url = self.gateway.url + path
        async with self.session.request(method, url, allow_redirects=False, **more) as answer:
            data = await answer.read()
        try:
            known = json.loads(data)
        except ValueError:
            known = None
        return Reply(answer.status, answer.headers, data, known)

    async def authorize(self, api_key: str | None = None) -> Reply:
        key = self.gateway.api_key if api_key is None else api_key
        reply = await self.call("POST", "/authorize", headers={"x-api-key": key})
        if reply.status == 200:
            self.token = reply.json["access_token"]
        return reply

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def submit(
        self, body: object = BODY, *, serial: str = SERIAL, key: str | None = None
    ) -> Reply:
        headers = {**self.bearer(), "Idempotency-Key": key or str(uuid.uuid4())}
        path = f"/v1/devices/{serial}/payment-instructions"
        return await self.call("POST", path, json=body, headers=headers)

    async def start(self, serial: str = SERIAL) -> str:
        reply = await self.submit(serial=serial)
        assert reply.status == 202, reply.json
        return str(reply.json["paymentInstructionId"])

    async def get(self, path: str) -> Reply:
        return await self.call("GET", path, headers=self.bearer())

    async def poll(self, instruction_id: str) -> Reply:
        return await self.get(f"/v1/payment-instructions/{instruction_id}")

    async def cancel(self, instruction_id: str) -> Reply:
        path = f"/v1/payment-instructions/{instruction_id}"
        return await self.call("DELETE", path, headers=self.bearer())

    async def pay(self) -> dict[str, Any]:
        """Runs a sale to its payment."""
        reply = await self.poll(await self.start())
        path = reply.json["link"]["href"].removeprefix("https://api.payroc.com")
        return dict((await self.get(path)).json)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def assert_problem(reply: Reply, status: int, fragment: str) -> None:
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["type"] == f"https://docs.payroc.com/api/errors#{fragment}"
    assert reply.json["status"] == status
    assert reply.json["title"]
    assert reply.json["detail"]


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    async with Simulator(hold=UNIT) as simulator:
        yield simulator
        assert simulator.violations == []


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


class TestIdentity:
    async def test_authorize(self, caller: Caller) -> None:
        """A right API key gets a token, and the truth about how long it is good."""
        reply = await caller.authorize()
        assert reply.status == 200
        assert set(reply.json) == {"access_token", "expires_in", "scope", "token_type"}
        assert reply.json["expires_in"] == 3600
        assert isinstance(reply.json["expires_in"], int)
        assert reply.json["token_type"] == "Bearer"

    @pytest.mark.parametrize("key", ["", "wrong"])
    async def test_wrong_key(self, caller: Caller, key: str) -> None:
        """A wrong API key gets 401."""
        assert_problem(await caller.authorize(key), 401, "not-authorized")

    async def test_no_key(self, caller: Caller) -> None:
        """No API key gets 401."""
        assert_problem(await caller.call("POST", "/authorize"), 401, "not-authorized")

    async def test_key_may_change(self, gateway: Simulator, caller: Caller) -> None:
        """The accepted API key can be set while the gateway runs."""
        gateway.api_key = "another"
        assert (await caller.authorize("simulator-key")).status == 401
        assert (await caller.authorize("another")).status == 200

    @pytest.mark.parametrize("says", [1, "3600", 0.5, -1, {"a": 1}])
    async def test_expires_in(self, gateway: Simulator, caller: Caller, says: object) -> None:
        """What authorize says about the token's life can be any JSON value."""
        gateway.expires_in = says
        assert (await caller.authorize()).json["expires_in"] == says

    async def test_expires_in_left_out(self, gateway: Simulator, caller: Caller) -> None:
        """What authorize says about the token's life can be nothing."""
        gateway.expires_in = OMIT
        assert "expires_in" not in (await caller.authorize()).json
        assert repr(OMIT) == "OMIT"

    async def test_every_api_request_needs_a_token(self, caller: Caller) -> None:
        """A missing, wrong or unprefixed token gets 401, whatever is asked for."""
        good = caller.token
        for token in ("", "wrong"):
            caller.token = token
            for reply in (
                await caller.submit(),
                await caller.poll("x"),
                await caller.cancel("x"),
                await caller.get("/v1/payments/x"),
                await caller.get("/v1/nothing"),
            ):
                assert_problem(reply, 401, "not-authorized")
        reply = await caller.call("GET", "/v1/payments/x", headers={"Authorization": good})
        assert_problem(reply, 401, "not-authorized")

    async def test_expiry(self, gateway: Simulator, caller: Caller) -> None:
        """A token older than its lifetime is refused, a newer one is not."""
        assert (await caller.poll("x")).status == 404
        gateway.token_lifetime = UNIT
        await asyncio.sleep(UNIT)
        assert (await caller.poll("x")).status == 401
        gateway.token_lifetime = 1.5
        assert (await caller.authorize()).json["expires_in"] == 1.5
        assert (await caller.poll("x")).status == 404

    async def test_revoke(self, gateway: Simulator, caller: Caller) -> None:
        """Revoking refuses every token so far, and none that is issued later."""
        gateway.revoke_tokens()
        assert (await caller.poll("x")).status == 401
        await caller.authorize()
        assert (await caller.poll("x")).status == 404


class TestSubmit:
    async def test_answer(self, gateway: Simulator, caller: Caller) -> None:
        """A submit is answered inProgress with a link to itself, however soon it completes."""
        reply = await caller.submit()
        (made,) = gateway.instructions.values()
        assert reply.status == 202
        assert reply.headers["Content-Type"] == "application/json"
        href = f"https://api.payroc.com/v1/payment-instructions/{made.id}"
        assert reply.json == {
            "status": "inProgress",
            "paymentInstructionId": made.id,
            "link": {"rel": "self", "method": "GET", "href": href},
        }

    async def test_record(self, gateway: Simulator, caller: Caller) -> None:
        """An instruction's record shows what was submitted, under which key, and its end."""
        key = str(uuid.uuid4())
        before = time.monotonic()
        await caller.submit(key=key)
        (made,) = gateway.instructions.values()
        assert made.serial_number == SERIAL
        assert made.idempotency_key == key
        assert made.body == BODY
        assert made.status == "completed"
        assert before <= made.created_at <= made.changed_at <= time.monotonic()
        assert list(gateway.payments) == [made.payment_id]
        assert gateway.in_progress == []

    async def test_busy_device(self, gateway: Simulator, caller: Caller) -> None:
        """A device runs one instruction at a time; another device is free."""
        gateway.device(SERIAL).never_finishes()
        first = await caller.start()
        assert_problem(await caller.submit(), 409, "cannot-be-modified")
        assert (await caller.submit(serial="2")).status == 202
        await caller.cancel(first)
        assert (await caller.submit()).status == 202

    async def test_unknown_fields(self, caller: Caller) -> None:
        """Fields that the contract does not know are tolerated."""
        assert (await caller.submit({**BODY, "novel": {"x": 1}})).status == 202

    async def test_not_json(self, gateway: Simulator, caller: Caller) -> None:
        """A body that is not JSON gets 400, and makes no instruction."""
        headers = {
            **caller.bearer(),
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": "application/json; charset=utf-8",
        }
        path = f"/v1/devices/{SERIAL}/payment-instructions"
        reply = await caller.call("POST", path, data=b"{", headers=headers)
        assert_problem(reply, 400, "bad-request")
        assert gateway.instructions == {}

    async def test_too_large(self, gateway: Simulator, caller: Caller) -> None:
        """A body beyond all bounds gets 413."""
        headers = {
            **caller.bearer(),
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": "application/json",
        }
        path = f"/v1/devices/{SERIAL}/payment-instructions"
        body = io.BytesIO(b" " * 2_000_000)
        reply = await caller.call("POST", path, data=body, headers=headers)
        assert_problem(reply, 413, "payload-too-large")
        assert gateway.instructions == {}

    async def test_unknown_path(self, caller: Caller) -> None:
        """A path that the simulator does not know gets 404."""
        assert_problem(await caller.get("/v1/terminals"), 404, "not-found")
        assert_problem(await caller.get("/v2/payments/x"), 404, "not-found")

    async def test_serial_number_is_decoded(self, gateway: Simulator, caller: Caller) -> None:
        """A serial number may hold an encoded slash."""
        await caller.start(serial="a%2Fb")
        (made,) = gateway.instructions.values()
        assert made.serial_number == "a/b"


class TestIdempotency:
    async def test_same_request(self, gateway: Simulator, caller: Caller) -> None:
        """The same key and bytes have the original answer, though the sale has long completed."""
        key = str(uuid.uuid4())
        first, second = await caller.submit(key=key), await caller.submit(key=key)
        assert (first.status, first.data) == (second.status, second.data) == (202, first.data)
        assert len(gateway.instructions) == 1
        assert [one.instruction_id for one in gateway.requests_of("submit")] == [
            *gateway.instructions,
            *gateway.instructions,
        ]

    async def test_concurrent_duplicates(self, gateway: Simulator, caller: Caller) -> None:
        """However many duplicates race, they make one instruction."""
        key = str(uuid.uuid4())
        replies = await asyncio.gather(*(caller.submit(key=key) for _ in range(20)))
        assert {(one.status, one.data) for one in replies} == {(202, replies[0].data)}
        assert len(gateway.instructions) == 1

    async def test_other_bytes(self, gateway: Simulator, caller: Caller) -> None:
        """The same key with other bytes gets 409, and breaks the contract."""
        key = str(uuid.uuid4())
        await caller.submit(key=key)
        reply = await caller.submit({**BODY, "operator": "John"}, key=key)
        assert_problem(reply, 409, "idempotency-key-in-use")
        assert len(gateway.instructions) == 1
        (sentence,) = gateway.violations
        assert "different" in sentence
        gateway.clear()

    async def test_other_device(self, gateway: Simulator, caller: Caller) -> None:
        """The same key with the same bytes for another device is a different request."""
        key = str(uuid.uuid4())
        await caller.submit(key=key)
        assert_problem(await caller.submit(serial="2", key=key), 409, "idempotency-key-in-use")
        gateway.clear()

    async def test_refusal_is_remembered(self, gateway: Simulator, caller: Caller) -> None:
        """A 400 is remembered under its key: the corrected body needs a new one."""
        key = str(uuid.uuid4())
        first = await caller.submit({}, key=key)
        again = await caller.submit({}, key=key)
        assert (again.status, again.data) == (400, first.data)
        assert (await caller.submit(key=key)).status == 409
        assert (await caller.submit()).status == 202
        gateway.clear()

    async def test_missing_key(self, gateway: Simulator, caller: Caller) -> None:
        """A submit without a key gets 400, and makes no instruction."""
        path = f"/v1/devices/{SERIAL}/payment-instructions"
        reply = await caller.call("POST", path, json=BODY, headers=caller.bearer())
        assert_problem(reply, 400, "idempotency-key-missing")
        assert gateway.instructions == {}
        gateway.clear()


def changed(path: str, value: object) -> dict[str, Any]:
    """The body with one field set, its parents made as needed."""
    body = copy.deepcopy(BODY)
    *parents, last = path.split(".")
    place = body
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return body


BREAKDOWN = "order.breakdown"
ADDRESS = {"address1": "1", "city": "c", "state": "s", "country": "US", "postalCode": "p"}
ADDRESS_PATH = "customer.shippingAddress.address"
WRONG: list[tuple[str, object, str | None]] = [
    ("processingTerminalId", "123", None),
    ("processingTerminalId", "1" * 51, None),
    ("processingTerminalId", 1234001, None),
    ("operator", None, None),
    ("operator", 7, None),
    ("order", [], None),
    ("order.orderId", 1, None),
    ("order.amount", 49.99, None),
    ("order.amount", 4999.0, None),
    ("order.amount", True, None),
    ("order.amount", "4999", None),
    ("order.amount", -1, None),
    ("order.currency", "usd", None),
    ("order.currency", "USDX", None),
    ("order.currency", 840, None),
    ("order.dateTime", "yesterday", None),
    ("order.dateTime", "2026-06-02", None),
    ("order.dateTime", "2026-13-02T15:30:00Z", None),
    ("order.acceptPartialAmount", "yes", None),
    ("order.description", 1, None),
    (BREAKDOWN, {}, f"{BREAKDOWN}.subtotal"),
    (BREAKDOWN, {"subtotal": 1.5}, f"{BREAKDOWN}.subtotal"),
    (BREAKDOWN, {"subtotal": 1, "cashbackAmount": -1}, f"{BREAKDOWN}.cashbackAmount"),
    (BREAKDOWN, {"subtotal": 1, "tip": {}}, f"{BREAKDOWN}.tip.type"),
    (BREAKDOWN, {"subtotal": 1, "tip": {"type": "half"}}, f"{BREAKDOWN}.tip.type"),
    (
        BREAKDOWN,
        {"subtotal": 1, "tip": {"type": "percentage", "mode": "x"}},
        f"{BREAKDOWN}.tip.mode",
    ),
    (BREAKDOWN, {"subtotal": 1, "surcharge": {"bypass": 1}}, f"{BREAKDOWN}.surcharge.bypass"),
    (
        BREAKDOWN,
        {"subtotal": 1, "surcharge": {"percentage": "3"}},
        f"{BREAKDOWN}.surcharge.percentage",
    ),
    (BREAKDOWN, {"subtotal": 1, "dualPricing": {}}, f"{BREAKDOWN}.dualPricing.offered"),
    (
        BREAKDOWN,
        {"subtotal": 1, "dualPricing": {"offered": True, "choiceRate": {"applied": True}}},
        f"{BREAKDOWN}.dualPricing.choiceRate.rate",
    ),
    (
        BREAKDOWN,
        {"subtotal": 1, "dualPricing": {"offered": True, "alternativeTender": "gold"}},
        f"{BREAKDOWN}.dualPricing.alternativeTender",
    ),
    (BREAKDOWN, {"subtotal": 1, "taxes": {}}, f"{BREAKDOWN}.taxes"),
    (
        BREAKDOWN,
        {"subtotal": 1, "taxes": [{"type": "rate", "rate": True, "name": "VAT"}]},
        f"{BREAKDOWN}.taxes[0].rate",
    ),
    (
        BREAKDOWN,
        {"subtotal": 1, "healthcareExpenses": [{"type": "gym", "amount": 1}]},
        f"{BREAKDOWN}.healthcareExpenses[0].type",
    ),
    ("customer.dateOfBirth", "19900715", None),
    ("customer.dateOfBirth", "1990-13-01", None),
    ("customer.notificationLanguage", "de", None),
    ("customer.billingAddress", {**ADDRESS, "city": 1}, "customer.billingAddress.city"),
    (ADDRESS_PATH, {"address1": "1"}, f"{ADDRESS_PATH}.city"),
    ("customer.contactMethods", [{"type": "fax"}], "customer.contactMethods[0].value"),
    ("customer.contactMethods", [{"type": "x", "value": ""}], "customer.contactMethods[0].type"),
    ("ipAddress", {"type": "ipv5", "value": "1"}, "ipAddress.type"),
    ("ipAddress", {"type": "ipv4"}, "ipAddress.value"),
    ("credentialOnFile.tokenize", 1, None),
    ("credentialOnFile.mitAgreement", "never", None),
    ("customizationOptions.entryMethod", "telepathy", None),
    ("customizationOptions.ebtDetails", {}, "customizationOptions.ebtDetails.benefitCategory"),
    (
        "customizationOptions.closedLoopOptions",
        {"type": "x"},
        "customizationOptions.closedLoopOptions.type",
    ),
    ("autoCapture", "false", None),
    ("processAsSale", 0, None),
]

FULL: dict[str, Any] = {
    "processingTerminalId": "1234",
    "operator": "Jane",
    "order": {
        "orderId": "1",
        "amount": 0,
        "currency": "EUR",
        "dateTime": "2026-06-02T15:30:00Z",
        "description": "Pizza",
        "acceptPartialAmount": True,
        "breakdown": {
            "subtotal": 4000,
            "cashbackAmount": 0,
            "tip": {"type": "percentage", "mode": "prompted", "amount": 1, "percentage": 10},
            "surcharge": {"bypass": False, "amount": 1, "percentage": 1.5},
            "dualPricing": {
                "offered": True,
                "choiceRate": {"applied": True, "rate": 3.5, "amount": 1},
                "alternativeTender": "cash",
            },
            "taxes": [{"type": "rate", "rate": 5, "name": "VAT"}],
            "healthcareExpenses": [{"type": "dental", "amount": 1}],
        },
    },
    "customer": {
        "firstName": "Sarah",
        "lastName": "Hopper",
        "dateOfBirth": "1990-07-15",
        "referenceNumber": "12",
        "billingAddress": {**ADDRESS, "address2": "2", "address3": "3"},
        "shippingAddress": {"recipientName": "Sarah", "address": ADDRESS},
        "contactMethods": [{"type": "email", "value": "a@example.com"}],
        "notificationLanguage": "fr",
    },
    "ipAddress": {"type": "ipv4", "value": "192.0.2.1"},
    "credentialOnFile": {
        "externalVault": False,
        "tokenize": True,
        "secureTokenId": "abc",
        "mitAgreement": "recurring",
    },
    "customizationOptions": {
        "entryMethod": "deviceReadOrManualEntry",
        "ebtDetails": {"benefitCategory": "cash", "withdrawal": True},
        "closedLoopOptions": {"type": "mifare"},
    },
    "autoCapture": False,
    "processAsSale": False,
}


class TestValidation:
    @pytest.mark.parametrize(("path", "value", "named"), WRONG)
    async def test_wrong_field(
        self, gateway: Simulator, caller: Caller, path: str, value: object, named: str | None
    ) -> None:
        """A field that breaks the contract gets 400, which names it."""
        reply = await caller.submit(changed(path, value))
        assert_problem(reply, 400, "bad-request")
        assert (named or path) in [one["parameter"] for one in reply.json["errors"]]
        assert all(one["detail"] and one["message"] for one in reply.json["errors"])
        assert gateway.instructions == {}

    @pytest.mark.parametrize(
        "path",
        ["processingTerminalId", "order", "order.orderId", "order.amount", "order.currency"],
    )
    async def test_missing_field(self, caller: Caller, path: str) -> None:
        """A required field that is missing gets 400, which names it and nothing else."""
        body = copy.deepcopy(BODY)
        *parents, last = path.split(".")
        del (body[parents[0]] if parents else body)[last]
        reply = await caller.submit(body)
        assert_problem(reply, 400, "bad-request")
        assert [one["parameter"] for one in reply.json["errors"]] == [path]

    async def test_several(self, caller: Caller) -> None:
        """All that is wrong is reported at once."""
        reply = await caller.submit({"order": {"amount": 1.5}})
        assert {one["parameter"] for one in reply.json["errors"]} == {
            "processingTerminalId",
            "order.orderId",
            "order.currency",
            "order.amount",
        }

    async def test_not_an_object(self, caller: Caller) -> None:
        """A body that is JSON but no object gets 400."""
        assert_problem(await caller.submit([1]), 400, "bad-request")

    async def test_everything(self, gateway: Simulator, caller: Caller) -> None:
        """A body with every field of the contract is accepted, and shown in the payment."""
        assert (await caller.submit(FULL)).status == 202
        (payment,) = gateway.payments.values()
        breakdown = FULL["order"]["breakdown"]
        taxes = [{"name": one["name"], "rate": one["rate"]} for one in breakdown["taxes"]]
        assert payment["order"] == {
            **FULL["order"],
            "breakdown": {**breakdown, "taxes": taxes},  # of one kind, when read back
            "dateTime": payment["order"]["dateTime"],  # read-only: the gateway's own
            "standingInstructions": {"sequence": "first", "processingModel": "recurring"},
        }
        assert payment["customer"] == FULL["customer"]
        assert payment["card"]["secureToken"]["secureTokenId"]
        assert payment["card"]["balances"][0]["benefitCategory"] == "cash"
        assert payment["transactionResult"]["ebtType"] == "cashWithdrawal"


class TestStatus:
    async def test_hold(self, gateway: Simulator, caller: Caller) -> None:
        """While nothing changes, a status request is held, then answered inProgress."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        reply = await caller.poll(instruction_id)
        assert (reply.status, reply.json["status"]) == (200, "inProgress")
        (poll,) = gateway.requests_of("status")
        assert poll.ended is not None
        assert poll.ended - poll.started >= UNIT * 0.9

    async def test_change_ends_the_hold(self, gateway: Simulator, caller: Caller) -> None:
        """A held status request is answered as soon as the status changes."""
        gateway.hold = 60
        gateway.device(SERIAL).approves(after=UNIT)
        instruction_id = await caller.start()
        reply = await caller.poll(instruction_id)
        made = gateway.instructions[instruction_id]
        assert made.changed_at - made.created_at >= UNIT * 0.9
        href = f"https://api.payroc.com/v1/payments/{made.payment_id}"
        assert reply.json == {
            "status": "completed",
            "paymentInstructionId": instruction_id,
            "link": {"rel": "payment", "method": "GET", "href": href},
        }

    async def test_no_hold(self, gateway: Simulator, caller: Caller) -> None:
        """With a hold of zero the answer comes at once."""
        gateway.hold = 0
        gateway.device(SERIAL).never_finishes()
        assert (await caller.poll(await caller.start())).json["status"] == "inProgress"

    async def test_unknown_id(self, caller: Caller) -> None:
        """The status of what does not exist is 404."""
        reply = await caller.poll("nothing")
        assert_problem(reply, 404, "not-found")

    async def test_many_at_once(self, gateway: Simulator, caller: Caller) -> None:
        """More held requests than aiohttp's own limit of 100 change together."""
        # Debug mode takes a traceback for every callback: seconds, with this many.
        asyncio.get_running_loop().set_debug(False)
        gateway.hold = 60
        serials = [str(number) for number in range(120)]
        for serial in serials:
            gateway.device(serial).never_finishes()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            many = Caller(gateway, session, caller.token)
            ids = await asyncio.gather(*(many.start(serial) for serial in serials))
            polls = [asyncio.create_task(many.poll(one)) for one in ids]
            await until(lambda: len(gateway.open_requests) == len(ids))
            assert len(gateway.in_progress) == len(ids)
            await asyncio.gather(*(many.cancel(one) for one in ids))
            replies = await asyncio.gather(*polls)
        assert {one.json["status"] for one in replies} == {"canceled"}


class TestCancel:
    async def test_in_progress(self, gateway: Simulator, caller: Caller) -> None:
        """What is in progress can be canceled; a held status request learns of it at once."""
        gateway.hold = 60
        gateway.device(SERIAL).approves(after=60)
        instruction_id = await caller.start()
        poll = asyncio.create_task(caller.poll(instruction_id))
        await until(lambda: gateway.open_requests)
        reply = await caller.cancel(instruction_id)
        assert (reply.status, reply.data) == (204, b"")
        assert (await poll).json["status"] == "canceled"
        await gateway.stop()
        # As if the device's time had come.
        gateway.instructions[instruction_id].created_at -= 60
        await gateway.start()
        assert gateway.instructions[instruction_id].status == "canceled"
        assert gateway.payments == {}

    async def test_too_late(self, gateway: Simulator, caller: Caller) -> None:
        """What has ended cannot be canceled; each attempt is counted."""
        instruction_id = await caller.start()
        for _ in range(2):
            assert_problem(await caller.cancel(instruction_id), 409, "cannot-be-canceled")
        assert gateway.instructions[instruction_id].delete_count == 2
        assert (await caller.poll(instruction_id)).json["status"] == "completed"

    async def test_twice(self, gateway: Simulator, caller: Caller) -> None:
        """What has been canceled cannot be canceled again."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        assert (await caller.cancel(instruction_id)).status == 204
        assert_problem(await caller.cancel(instruction_id), 409, "cannot-be-canceled")

    async def test_unknown_id(self, caller: Caller) -> None:
        """What does not exist cannot be canceled."""
        assert_problem(await caller.cancel("nothing"), 404, "not-found")


class TestPayments:
    async def test_approval(self, caller: Caller) -> None:
        """A payment repeats the order; its result says who approved what."""
        payment = await caller.pay()
        result = payment["transactionResult"]
        assert payment["processingTerminalId"] == "1234001"
        assert payment["operator"] == "Jane"
        assert payment["order"].items() >= BODY["order"].items()
        assert payment["order"]["dateTime"]
        assert payment["card"]["cardNumber"] == "453985******7062"
        assert payment["card"]["emvTags"]
        assert result["type"] == "sale"
        assert (result["responseCode"], result["status"]) == ("A", "ready")
        assert (result["authorizedAmount"], result["currency"]) == (4999, "USD")
        assert result["approvalCode"]
        assert "fullyReverse" in payment["supportedOperations"]

    async def test_pre_authorization(self, gateway: Simulator, caller: Caller) -> None:
        """Without automatic capture it is a pre-authorization."""
        await caller.submit({**BODY, "autoCapture": False})
        (payment,) = gateway.payments.values()
        result = payment["transactionResult"]
        assert (result["type"], result["status"]) == ("preAuthorization", "pending")

    async def test_process_as_sale(self, gateway: Simulator, caller: Caller) -> None:
        """What is processed as a sale has settled at once."""
        await caller.submit({**BODY, "processAsSale": True})
        (payment,) = gateway.payments.values()
        assert payment["transactionResult"]["status"] == "complete"

    async def test_unknown_id(self, caller: Caller) -> None:
        """A payment that does not exist is 404; an instruction's id is no payment's id."""
        assert_problem(await caller.get("/v1/payments/nothing"), 404, "not-found")
        instruction_id = await caller.start()
        reply = await caller.get(f"/v1/payments/{instruction_id}")
        assert_problem(reply, 404, "not-found")

    def test_sample(self) -> None:
        """The sample has every part of a payment that the contract names."""
        payment = sample_payment()
        assert {*payment["order"]} >= {"dccOffer", "standingInstructions", "breakdown"}
        assert {*payment["order"]["breakdown"]} >= {"items", "convenienceFee", "dutyAmount"}
        assert {*payment["card"]} >= {"secureToken", "balances", "emvTags", "cardholderSignature"}
        assert payment["refunds"]
        assert payment["customFields"]
        assert payment["customer"]


class TestDevices:
    @pytest.mark.parametrize(
        ("code", "status", "amount", "message"),
        [
            ("E", "ready", 4999, "RECEIVED"),
            ("R", "referral", 0, "CALL ISSUER"),
            ("C", "pickup", 0, "PICK UP CARD"),
            ("Z", "novel", 0, "Z"),
        ],
    )
    async def test_answers(
        self,
        gateway: Simulator,
        caller: Caller,
        code: str,
        status: str,
        amount: int,
        message: str,
    ) -> None:
        """A device can answer with any code and status."""
        gateway.device(SERIAL).answers(code, status=status)
        result = (await caller.pay())["transactionResult"]
        assert result["responseCode"] == code
        assert result["status"] == status
        assert result["authorizedAmount"] == amount
        assert result["responseMessage"] == message
        assert "approvalCode" not in result

    async def test_declines(self, gateway: Simulator, caller: Caller) -> None:
        """A decline completes the instruction; the payment says that it was declined."""
        gateway.device(SERIAL).declines(response_message="INSUFFICIENT FUNDS")
        payment = await caller.pay()
        result = payment["transactionResult"]
        assert (result["responseCode"], result["status"]) == ("D", "declined")
        assert result["responseMessage"] == "INSUFFICIENT FUNDS"
        assert result["authorizedAmount"] == 0
        assert payment["supportedOperations"] == []

    async def test_approves_partially(self, gateway: Simulator, caller: Caller) -> None:
        """Part of the amount can be authorized."""
        gateway.device(SERIAL).approves_partially(1000)
        payment = await caller.pay()
        assert payment["transactionResult"]["responseCode"] == "P"
        assert payment["transactionResult"]["authorizedAmount"] == 1000
        assert payment["order"]["amount"] == 4999

    async def test_fails(self, gateway: Simulator, caller: Caller) -> None:
        """A failing device ends the instruction with a reason and no payment."""
        gateway.device(SERIAL).fails("Out of paper", after=UNIT / 2)
        reply = await caller.poll(await caller.start())
        assert reply.json["status"] == "failure"
        assert reply.json["errorMessage"] == "Out of paper"
        assert reply.json["link"]["rel"] == "self"
        assert gateway.payments == {}

    async def test_cardholder_cancels(self, gateway: Simulator, caller: Caller) -> None:
        """The cardholder can cancel."""
        gateway.device(SERIAL).cardholder_cancels(after=UNIT / 2)
        reply = await caller.poll(await caller.start())
        assert reply.json["status"] == "canceled"
        assert gateway.payments == {}

    async def test_completes_on_cancel(self, gateway: Simulator, caller: Caller) -> None:
        """A cancellation can lose the race: it gets 409, and there is a payment."""
        gateway.device(SERIAL).completes_on_cancel()
        instruction_id = await caller.start()
        assert (await caller.poll(instruction_id)).json["status"] == "inProgress"
        assert_problem(await caller.cancel(instruction_id), 409, "cannot-be-canceled")
        assert (await caller.poll(instruction_id)).json["status"] == "completed"
        (payment,) = gateway.payments.values()
        assert payment["transactionResult"]["responseCode"] == "A"

    @pytest.mark.parametrize(
        ("status", "fragment"), [(409, "cannot-be-modified"), (400, "bad-request")]
    )
    async def test_is_offline(
        self, gateway: Simulator, caller: Caller, status: int, fragment: str
    ) -> None:
        """An offline device refuses the submit; back online it takes the next."""
        gateway.device(SERIAL).is_offline(status).approves()
        assert_problem(await caller.submit(), status, fragment)
        assert gateway.instructions == {}
        assert (await caller.submit()).status == 202

    async def test_shows_status(self, gateway: Simulator, caller: Caller) -> None:
        """An unknown status is answered at once, cannot be canceled, and goes on as scripted."""
        gateway.hold = 60
        gateway.device(SERIAL).shows_status("printing").shows_status("waiting", 60).approves(
            after=120
        )
        instruction_id = await caller.start()
        assert (await caller.poll(instruction_id)).json["status"] == "printing"
        assert (await caller.cancel(instruction_id)).status == 409
        assert (await caller.submit()).status == 409
        for status in ("waiting", "completed"):
            await gateway.stop()
            gateway.instructions[instruction_id].created_at -= 60
            await gateway.start()
            assert (await caller.poll(instruction_id)).json["status"] == status
        assert len(gateway.payments) == 1

    async def test_shows_status_and_stays(self, gateway: Simulator, caller: Caller) -> None:
        """Without more to the script, an unknown status stays, for later instructions too."""
        gateway.device(SERIAL).shows_status("printing")
        assert (await caller.poll(await caller.start())).json["status"] == "printing"

    async def test_script(self, gateway: Simulator, caller: Caller) -> None:
        """What is queued happens in order, and the last of it stays until there is more."""
        device = gateway.device(SERIAL).declines().fails()
        seen = []
        for _ in range(3):
            seen.append((await caller.poll(await caller.start())).json["status"])
        assert seen == ["completed", "failure", "failure"]
        assert device.approves() is gateway.device(SERIAL)
        assert (await caller.poll(await caller.start())).json["status"] == "completed"

    @pytest.mark.parametrize("after", [-1, float("nan"), float("inf"), "1", True])
    def test_nonsense(self, after: Any) -> None:
        """A time that is none is refused when it is scripted."""
        device = Simulator().device(SERIAL)
        with pytest.raises(ConfigurationError, match="after"):
            device.approves(after)
        with pytest.raises(ConfigurationError, match="after"):
            device.shows_status("x", after)
        with pytest.raises(ConfigurationError, match="status"):
            device.is_offline(500)


class TestLifeCycle:
    async def test_environment(self, gateway: Simulator) -> None:
        """The environment leads to the gateway."""
        assert gateway.environment == Environment(
            api_url=f"{gateway.url}/v1", identity_url=f"{gateway.url}/authorize"
        )

    def test_no_address(self) -> None:
        """Before it is started it has no address, unless it was given a port."""
        with pytest.raises(RuntimeError, match="before it is started"):
            _ = Simulator().url
        assert Simulator(port=8080).url == "http://127.0.0.1:8080"
        assert Simulator(host="::1", port=8080).url == "http://[::1]:8080"

    @pytest.mark.parametrize("turns", range(8))
    async def test_stop_ends_a_connection_that_came_just_before(self, turns: int) -> None:
        """However far a connection is when the gateway stops, it is ended."""
        gateway = Simulator()
        await gateway.start()
        address = urlsplit(gateway.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await gateway.stop()
            client.settimeout(0)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""

    async def test_stop_ends_held_requests(self, gateway: Simulator, caller: Caller) -> None:
        """Stopping resets held requests at once, and can be repeated."""
        gateway.hold = 60
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        poll = asyncio.create_task(caller.poll(instruction_id))
        await until(lambda: gateway.open_requests)
        begun = time.monotonic()
        await gateway.stop()
        await gateway.stop()
        assert time.monotonic() - begun < 0.5
        with pytest.raises(aiohttp.ClientConnectionError):
            await poll
        assert gateway.open_requests == []
        with pytest.raises(aiohttp.ClientConnectorError):
            await caller.poll(instruction_id)

    async def test_start_again(self, gateway: Simulator, caller: Caller) -> None:
        """The gateway comes back on its port with all it knew; devices went on meanwhile."""
        url = gateway.url
        gateway.device(SERIAL).approves(after=60)
        gateway.device("2").approves(after=60)
        soon, late = await caller.start(), await caller.start("2")
        await gateway.stop()
        # As if that long had passed.
        gateway.instructions[soon].created_at -= 60
        assert gateway.instructions[soon].status == "inProgress"
        await gateway.start()
        await gateway.start()
        assert gateway.url == url
        assert gateway.instructions[soon].status == "completed"
        assert gateway.instructions[late].status == "inProgress"
        await gateway.stop()
        gateway.instructions[late].created_at -= 60 - UNIT
        await gateway.start()
        await until(lambda: gateway.instructions[late].status == "completed")
        assert (await caller.poll(soon)).status == 200

    async def test_port_in_use(self, gateway: Simulator) -> None:
        """A port that is taken is an error, and leaves nothing behind."""
        port = int(gateway.url.rpartition(":")[2])
        other = Simulator(port=port)
        with pytest.raises(OSError, match="in use"):
            await other.start()
        await gateway.stop()
        await other.start()
        await other.stop()

    @pytest.mark.filterwarnings("error")
    async def test_nothing_is_left(self) -> None:
        """After the block there is no task, no listening socket and no warning."""
        tasks = asyncio.all_tasks()
        async with Simulator(hold=60) as simulator, aiohttp.ClientSession() as session:
            caller = Caller(simulator, session)
            await caller.authorize()
            simulator.device(SERIAL).approves(after=60)
            poll = asyncio.create_task(caller.poll(await caller.start()))
            await until(lambda: simulator.open_requests)
            await simulator.stop()
            with pytest.raises(aiohttp.ClientConnectionError):
                await poll
        assert asyncio.all_tasks() == tasks
        gc.collect()

    async def test_client_goes_away(self, gateway: Simulator, caller: Caller) -> None:
        """A held request ends without a status when its client goes away."""
        gateway.hold = 60
        gateway.device(SERIAL).never_finishes()
        poll = asyncio.create_task(caller.poll(await caller.start()))
        await until(lambda: gateway.open_requests)
        (held,) = gateway.open_requests
        poll.cancel()
        await until(lambda: not gateway.open_requests)
        assert held.ended is not None
        assert held.status is None
