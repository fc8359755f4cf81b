"""The simulator's other resources: refunds, signatures, closed-loop reads; cards and tips."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from payroc_async.errors import ConfigurationError
from payroc_async.models import (
    ClosedLoopRead,
    EntryMethod,
    Instruction,
    Outcome,
    Payment,
    Refund,
    RefundInstruction,
    Signature,
    SignatureInstruction,
)
from payroc_async.models.emv import CardholderVerification, read_emv_tags
from payroc_async.simulator import Simulator
from payroc_async.wire.converter import structure

from .test_simulator import BODY, SERIAL, UNIT, Caller, Reply, assert_problem

PRODUCTION = "https://api.payroc.com"
REFUND_BODY: dict[str, Any] = {
    "processingTerminalId": "1234001",
    "operator": "Jane",
    "order": {
        "orderId": "OrderRef6543",
        "description": "Cold pizza",
        "amount": 1000,
        "currency": "USD",
    },
}
SIGNATURE_BODY = {"processingTerminalId": "1234001"}
BODIES = {"payment": BODY, "refund": REFUND_BODY, "signature": SIGNATURE_BODY}
LATER_KINDS = ["refund", "signature"]


async def post(caller: Caller, path: str, body: object, key: str | None = None) -> Reply:
    headers = {**caller.bearer(), "Idempotency-Key": key or str(uuid.uuid4())}
    return await caller.call("POST", f"/v1/{path}", json=body, headers=headers)


async def submit(caller: Caller, kind: str, key: str | None = None) -> Reply:
    return await post(caller, f"devices/{SERIAL}/{kind}-instructions", BODIES[kind], key)


async def start(caller: Caller, kind: str) -> str:
    """Submits an instruction; its path."""
    reply = await submit(caller, kind)
    assert reply.status == 202, reply.json
    return f"/v1/{kind}-instructions/{reply.json[f'{kind}InstructionId']}"


async def run(caller: Caller, kind: str) -> dict[str, Any]:
    """Runs an instruction to what it leads to."""
    reply = await caller.get(await start(caller, kind))
    assert reply.json["status"] == "completed"
    return await follow(caller, reply.json["link"])


async def follow(caller: Caller, link: dict[str, str]) -> dict[str, Any]:
    assert link["href"].startswith(PRODUCTION)
    return dict((await caller.get(link["href"].removeprefix(PRODUCTION))).json)


async def pay(caller: Caller, serial: str = SERIAL, **body: Any) -> str:
    """Runs a sale; the payment's id."""
    reply = await caller.submit({**BODY, **body}, serial=serial)
    assert reply.status == 202, reply.json
    return list(caller.gateway.payments)[-1]


def operations(payment: Payment | Refund) -> set[str]:
    return {one.value for one in payment.supported_operations}


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


class TestInstructions:
    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_life(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """It is accepted in progress, held, and completes with a link to what came of it."""
        gateway.hold = 60
        gateway.device(SERIAL).approves(after=UNIT)
        reply = await submit(caller, kind)
        (made,) = gateway.instructions.values()
        path = f"/v1/{kind}-instructions/{made.id}"
        link = {"rel": "self", "method": "GET", "href": PRODUCTION + path}
        assert reply.status == 202
        assert reply.json == {
            "status": "inProgress",
            f"{kind}InstructionId": made.id,
            "link": link,
        }
        reply = await caller.get(path)
        href = f"{PRODUCTION}/v1/{kind}s/{made.resource_id}"
        assert reply.json == {
            "status": "completed",
            f"{kind}InstructionId": made.id,
            "link": {"rel": kind, "method": "GET", "href": href},
        }
        assert made.payment_id is None
        assert gateway.payments == {}
        assert [one.kind for one in gateway.requests] == ["authorize", "submit", "status"]

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_models(self, caller: Caller, kind: str) -> None:
        """The models read it."""
        path = await start(caller, kind)
        document = (await caller.get(path)).json
        read: Instruction
        if kind == "refund":
            read = structure(document, RefundInstruction)
        else:
            read = structure(document, SignatureInstruction)
        assert read.instruction_id == path.rpartition("/")[2]

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_cancel(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """It can be canceled while it is in progress, once."""
        gateway.device(SERIAL).never_finishes()
        path = await start(caller, kind)
        assert (await caller.call("DELETE", path, headers=caller.bearer())).status == 204
        assert (await caller.get(path)).json["status"] == "canceled"
        reply = await caller.call("DELETE", path, headers=caller.bearer())
        assert_problem(reply, 409, "cannot-be-canceled")
        assert (gateway.refunds, gateway.signatures) == ({}, {})

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_late_cancel(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """A cancellation can lose the race."""
        gateway.device(SERIAL).completes_on_cancel()
        path = await start(caller, kind)
        reply = await caller.call("DELETE", path, headers=caller.bearer())
        assert_problem(reply, 409, "cannot-be-canceled")
        assert (await caller.get(path)).json["status"] == "completed"
        assert len(gateway.refunds) + len(gateway.signatures) == 1

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_ends_badly(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """A device can fail, and a cardholder cancel."""
        gateway.device(SERIAL).fails("Out of paper").cardholder_cancels()
        reply = await caller.get(await start(caller, kind))
        assert (reply.json["status"], reply.json["errorMessage"]) == ("failure", "Out of paper")
        assert (await caller.get(await start(caller, kind))).json["status"] == "canceled"
        assert (gateway.refunds, gateway.signatures) == ({}, {})

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_kinds_are_apart(self, caller: Caller, kind: str) -> None:
        """An instruction of one kind is none of another."""
        path = await start(caller, kind)
        reply = await caller.get(path.replace(kind, "payment", 1))
        assert_problem(reply, 404, "not-found")

    async def test_one_device(self, gateway: Simulator, caller: Caller) -> None:
        """A device that runs one kind is busy for every other."""
        gateway.device(SERIAL).never_finishes()
        await start(caller, "signature")
        for kind in BODIES:
            assert_problem(await submit(caller, kind), 409, "cannot-be-modified")

    @pytest.mark.parametrize("kind", LATER_KINDS)
    async def test_idempotency(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """The same key has the original answer, and none for another kind."""
        key = str(uuid.uuid4())
        first, second = await submit(caller, kind, key), await submit(caller, kind, key)
        assert first.data == second.data
        assert len(gateway.instructions) == 1
        assert_problem(await submit(caller, "payment", key), 409, "idempotency-key-in-use")
        assert len(gateway.violations) == 1
        gateway.violations.clear()

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("processingTerminalId", "123"),
            ("operator", 1),
            ("customer", {"dateOfBirth": "x"}),
            ("ipAddress", {}),
            ("customizationOptions", {"entryMethod": "x"}),
            ("order", {**REFUND_BODY["order"], "amount": 1.5}),
            ("order", {**REFUND_BODY["order"], "currency": "usd"}),
            ("order", {**REFUND_BODY["order"], "dateTime": "now"}),
            ("order", {**REFUND_BODY["order"], "description": None}),
        ],
    )
    async def test_wrong_refund(
        self, gateway: Simulator, caller: Caller, field: str, value: object
    ) -> None:
        """A refund's body is checked, and the 400 names the field."""
        body = {**REFUND_BODY, field: value}
        reply = await post(caller, f"devices/{SERIAL}/refund-instructions", body)
        assert_problem(reply, 400, "bad-request")
        (error,) = [one["parameter"] for one in reply.json["errors"]][:1]
        assert error.startswith(field)
        assert gateway.instructions == {}

    async def test_missing_fields(self, caller: Caller) -> None:
        """What a refund and a signature need is named if it is missing."""
        reply = await post(caller, f"devices/{SERIAL}/refund-instructions", {"order": {}})
        assert {one["parameter"] for one in reply.json["errors"]} == {
            "processingTerminalId",
            "order.orderId",
            "order.description",
            "order.amount",
            "order.currency",
        }
        reply = await post(caller, f"devices/{SERIAL}/signature-instructions", {})
        assert [one["parameter"] for one in reply.json["errors"]] == ["processingTerminalId"]


class TestRefunds:
    async def test_unreferenced(self, gateway: Simulator, caller: Caller) -> None:
        """A refund instruction leads to a refund, which can be voided until the batch closes."""
        document = await run(caller, "refund")
        refund = structure(document, Refund)
        result = refund.transaction_result
        assert gateway.refunds == {refund.refund_id: document}
        assert refund.approved
        assert refund.operator == "Jane"
        assert refund.order.description == "Cold pizza"
        assert (result.type, result.status, result.authorized_amount) == ("refund", "ready", 1000)
        assert refund.payment is None
        assert document["transactionResult"]["authorizedAmount"] == -1000
        assert operations(refund) == {"fullyReverse", "setAsPending"}
        assert [one.kind for one in gateway.requests][2:] == ["status", "refund"]

    async def test_declined(self, gateway: Simulator, caller: Caller) -> None:
        """A refund can be declined."""
        gateway.device(SERIAL).declines(card="discover")
        refund = structure(await run(caller, "refund"), Refund)
        assert refund.outcome is Outcome.DECLINED
        assert refund.card.entry_method is EntryMethod.SWIPED
        assert operations(refund) == set()

    async def test_void(self, caller: Caller) -> None:
        """A refund is voided whole, once, with or without a body."""
        refund_id = (await run(caller, "refund"))["refundId"]
        headers = {
            **caller.bearer(),
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": "application/json",
        }
        path = f"/v1/refunds/{refund_id}/reverse"
        reply = await caller.call("POST", path, headers=headers)
        assert reply.status == 200
        refund = structure(reply.json, Refund)
        assert refund.transaction_result.status == "reversal"
        assert operations(refund) == set()
        reply = await post(caller, f"refunds/{refund_id}/reverse", {})
        assert_problem(reply, 409, "cannot-be-modified")

    async def test_void_after_close(self, gateway: Simulator, caller: Caller) -> None:
        """A refund that has settled cannot be voided."""
        refund_id = (await run(caller, "refund"))["refundId"]
        gateway.close_batch()
        assert gateway.refunds[refund_id]["transactionResult"]["status"] == "complete"
        reply = await post(caller, f"refunds/{refund_id}/reverse", {})
        assert_problem(reply, 409, "cannot-be-modified")


class TestSignatures:
    async def test_image(self, gateway: Simulator, caller: Caller) -> None:
        """A signature is a picture that can be decoded: a PNG with black on white."""
        gateway.device(SERIAL).declines()
        signature = structure(await run(caller, "signature"), Signature)
        image = signature.image
        assert list(gateway.signatures) == [signature.signature_id]
        assert signature.created_on == datetime.now(UTC).date()
        assert signature.content_type == "image/png"
        assert image.startswith(b"\x89PNG\r\n\x1a\n")
        assert len(image) < 2000
        width, height = struct.unpack(">II", image[16:24])
        (size,) = struct.unpack(">I", image[33:37])
        pixels = zlib.decompress(image[41 : 41 + size])
        assert len(pixels) == height * (width + 1)
        assert 50 < sum(not one for one in pixels) - height < len(pixels) / 2
        assert gateway.requests[-1].kind == "signature"


class TestOneByOne:
    @pytest.mark.parametrize(
        "collection", ["payments", "refunds", "signatures", "closed-loop-reads"]
    )
    async def test_unknown(self, caller: Caller, collection: str) -> None:
        """What does not exist is 404."""
        assert_problem(await caller.get(f"/v1/{collection}/nothing"), 404, "not-found")

    async def test_closed_loop_read(self, gateway: Simulator, caller: Caller) -> None:
        """A closed-loop read can be put there."""
        data = {"uid": "04a1b2c3", "blocks": [{"sector": 3}]}
        id_ = gateway.add_closed_loop_read(data, processing_terminal_id="1234002")
        reply = await caller.get(f"/v1/closed-loop-reads/{id_}")
        read = structure(reply.json, ClosedLoopRead)
        assert read.closed_loop_read_id == id_
        assert read.processing_terminal_id == "1234002"
        assert read.read_date == datetime.now(UTC).date()
        assert dict(read.data) == data
        assert gateway.requests[-1].kind == "closed_loop_read"

    async def test_clear(self, gateway: Simulator, caller: Caller) -> None:
        """Clearing forgets all that came of instructions."""
        for kind in BODIES:
            await run(caller, kind)
        gateway.clear()
        assert (gateway.payments, gateway.refunds, gateway.signatures) == ({}, {}, {})


class TestCards:
    @pytest.mark.parametrize(
        ("card", "brand", "entry", "verification"),
        [
            ("visa", "Visa Credit", EntryMethod.ICC, CardholderVerification.SIGNATURE),
            (
                "mastercard",
                "Mastercard Credit",
                EntryMethod.CONTACTLESS_ICC,
                CardholderVerification.NOTHING,
            ),
            ("amex", "American Express", EntryMethod.ICC, CardholderVerification.PIN),
            ("discover", "Discover", EntryMethod.SWIPED, None),
        ],
    )
    async def test_brands(
        self,
        gateway: Simulator,
        caller: Caller,
        card: str,
        brand: str,
        entry: EntryMethod,
        verification: CardholderVerification | None,
    ) -> None:
        """Each card shows on the payment as a receipt needs it."""
        gateway.device(SERIAL).approves(card=card)
        payment = structure(await run(caller, "payment"), Payment)
        emv = read_emv_tags(payment.card.emv_tags)
        assert (payment.card.type, payment.card.entry_method) == (brand, entry)
        assert "*****" in str(payment.card.card_number)
        assert emv.verification is verification
        if verification is None:
            assert payment.card.emv_tags == ()
        else:
            assert emv.application_label == emv.application
            assert emv.arc == "00"
            assert None not in (emv.aid, emv.application, emv.tvr, emv.tsi, emv.cryptogram, emv.atc)
            assert {"4F", "84"} <= {tag.hex for tag in payment.card.emv_tags}
        assert payment.receipt().verification is verification

    async def test_declined_chip(self, gateway: Simulator, caller: Caller) -> None:
        """The chip of a declined card does not tell of an approval."""
        gateway.device(SERIAL).declines()
        payment = structure(await run(caller, "payment"), Payment)
        assert read_emv_tags(payment.card.emv_tags).arc == "05"

    def test_unknown_card(self) -> None:
        """A card that is not there is refused when it is scripted."""
        device = Simulator().device(SERIAL)
        with pytest.raises(ConfigurationError, match="one of visa, mastercard"):
            device.approves(card="gold")

    async def test_partial_approval_and_second_card(
        self, gateway: Simulator, caller: Caller
    ) -> None:
        """Two payments in a row can be made with two cards."""
        gateway.device(SERIAL).approves_partially(1000, card="amex").approves(card="visa")
        cards = [(await run(caller, "payment"))["card"]["type"] for _ in range(2)]
        assert cards == ["American Express", "Visa Credit"]


class TestTips:
    @staticmethod
    def asks(mode: str | None) -> dict[str, Any]:
        tip = {"type": "fixedAmount"} if mode is None else {"type": "fixedAmount", "mode": mode}
        return {**BODY["order"], "breakdown": {"subtotal": 4999, "tip": tip}}

    async def test_prompted(self, gateway: Simulator, caller: Caller) -> None:
        """A cardholder who is asked adds a tip, and pays it."""
        gateway.device(SERIAL).approves(tip=300)
        payment = gateway.payments[await pay(caller, order=self.asks("prompted"))]
        read = structure(payment, Payment)
        assert read.order.breakdown is not None
        assert read.order.breakdown.tip is not None
        assert read.order.breakdown.tip.amount == 300
        assert read.order.amount == read.transaction_result.authorized_amount == 5299
        (made,) = gateway.instructions.values()
        assert made.body["order"] == self.asks("prompted")

    @pytest.mark.parametrize("mode", [None, "adjusted"])
    async def test_not_asked(self, gateway: Simulator, caller: Caller, mode: str | None) -> None:
        """A cardholder who is not asked adds nothing."""
        gateway.device(SERIAL).approves(tip=300)
        payment = gateway.payments[await pay(caller, order=self.asks(mode))]
        assert payment["order"]["breakdown"] == self.asks(mode)["breakdown"]
        assert payment["transactionResult"]["authorizedAmount"] == 4999

    @pytest.mark.parametrize("tip", [-1, 1.5, True, "3"])
    def test_nonsense(self, tip: Any) -> None:
        """A tip that is none is refused when it is scripted."""
        device = Simulator().device(SERIAL)
        with pytest.raises(ConfigurationError, match="tip"):
            device.approves(tip=tip)
