"""Refunds: found, changed, and recovered."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from payroc_async import (
    ConfigurationError,
    CustomerAdjustment,
    OrderAdjustment,
    PayrocSession,
    StatusAdjustment,
)
from payroc_async.journal import EntryState
from payroc_async.models import ContactMethod
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, sale
from tests.journal.test_recovery import REFUND, leave, recovered, session_of

from .test_kinds import refund

PENDING = StatusAdjustment(to_status="pending")


async def test_refunds_are_found(gateway: Simulator, session: PayrocSession) -> None:
    """With and without a payment, from all pages, and by each filter."""
    alone = await session.run_refund(SERIAL, refund())
    payment = await session.run_sale(SERIAL, sale())
    gateway.close_batch()
    changed = await session.payments.refund(payment.payment_id, amount=1, description="x")
    made = changed.refunds[0].refund_id
    found = [one.refund_id async for one in session.refunds.search(limit=1)]
    assert sorted(found) == sorted([alone.refund_id, made])
    settled = session.refunds.search(status=("complete", "accepted"))
    assert [one.refund_id async for one in settled] == [alone.refund_id]
    by_order = session.refunds.search(order_id=payment.order.order_id or "", status=["ready"])
    assert [one.refund_id async for one in by_order] == [made]
    asked = [parse_qsl(one.query) for one in gateway.requests_of("search")]
    assert asked[-2:] == [
        [("status", "complete"), ("status", "accepted")],
        [("orderId", "OrderRef6543"), ("status", "ready")],
    ]
    assert {one.path for one in gateway.requests_of("search")} == {"/v1/refunds"}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"limit": 101}, "limit"),
        ({"status": 1}, "status"),
        ({"status": ["ready", ""]}, "status"),
        ({"status": [None]}, "status"),
        ({"order_id": "x" * 25}, "order_id"),
        ({"operator": ""}, "operator"),
        ({"processing_terminal_id": "123"}, "processing_terminal_id"),
        ({"first6": "12345"}, "first6"),
    ],
)
async def test_wrong_filters(
    gateway: Simulator, session: PayrocSession, wrong: dict[str, object], named: str
) -> None:
    """A filter that the gateway would refuse is named before anything is sent."""
    for search in (session.refunds.search, session.payments.search):
        with pytest.raises(ConfigurationError) as caught:
            search(**wrong)  # type: ignore[arg-type]
        assert caught.value.field == named
    assert gateway.requests_of("search") == []


async def test_a_refund_is_adjusted(gateway: Simulator, session: PayrocSession) -> None:
    """Its status and its customer; nothing else of it."""
    made = await session.run_refund(SERIAL, refund())
    mail = ContactMethod(type="email", value="jane.doe@example.com")
    customer = CustomerAdjustment(contact_methods=[mail])
    changed = await session.refunds.adjust(made.refund_id, PENDING, customer, operator="Jane")
    assert changed.transaction_result.status == "pending"
    (seen,) = gateway.requests_of("change")
    assert json.loads(seen.body) == {
        "adjustments": [
            {"type": "status", "toStatus": "pending"},
            {
                "type": "customer",
                "contactMethods": [{"type": "email", "value": "jane.doe@example.com"}],
            },
        ],
        "operator": "Jane",
    }
    with pytest.raises(ConfigurationError, match="adjustments"):
        await session.refunds.adjust(made.refund_id, OrderAdjustment(amount=1))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="adjustments"):
        await session.refunds.adjust(made.refund_id)


@pytest.mark.parametrize("operation", ["reverse_refund", "adjust_refund"])
async def test_a_declined_change_of_a_refund(
    gateway: Simulator, session: PayrocSession, operation: str
) -> None:
    """It is answered with 200 and D, and the refund is as it was."""
    made = await session.run_refund(SERIAL, refund())
    before = gateway.refunds[made.refund_id]
    gateway.decline_next(operation)
    if operation == "reverse_refund":
        changed = await session.refunds.reverse(made.refund_id)
    else:
        changed = await session.refunds.adjust(made.refund_id, PENDING)
    assert not changed.approved
    assert gateway.refunds[made.refund_id] == before
    assert gateway.unused_declines == []


# Recovered ----------


async def test_an_old_refund_is_found(gateway: Simulator, tmp_path: Path) -> None:
    """One whose process died is searched by its order, as a sale is, and not sent again."""
    path = tmp_path / "journal.db"
    async with session_of(gateway, tmp_path / "none.db") as session:
        made = await session.run_refund(SERIAL, REFUND)
    await leave(gateway, path, request=REFUND, kind="refund", age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session, resubmit=True)
    assert (found.action, found.state) == ("searched", EntryState.COMPLETED)
    assert found.resource == made
    assert len(gateway.requests_of("submit")) == 1
    (search,) = gateway.requests_of("search")
    assert search.path == "/v1/refunds"


@pytest.mark.parametrize("what", ["amount", "currency", "of a payment", "two"])
async def test_which_refund_is_its_own(gateway: Simulator, tmp_path: Path, what: str) -> None:
    """None of another sum, none that refunds a payment; of two, nothing is guessed."""
    path = tmp_path / "journal.db"
    async with session_of(gateway, tmp_path / "none.db") as session:
        if what == "of a payment":
            payment = await session.run_sale(SERIAL, sale())
            gateway.close_batch()
            await session.payments.refund(payment.payment_id, amount=4999, description="cold")
        for _ in range({"two": 2, "of a payment": 0}.get(what, 1)):
            await session.run_refund(SERIAL, REFUND)
    if what in ("amount", "currency"):
        for one in gateway.refunds.values():
            one["order"][what] = {"amount": 4998, "currency": "CAD"}[what]
    await leave(gateway, path, request=REFUND, kind="refund", age=200)
    async with session_of(gateway, path) as session:
        (found,) = await recovered(session)
    assert (found.action, found.state, found.resource) == ("left", EntryState.INTENT, None)
    said = str(found.error)
    assert ("several refunds" if what == "two" else "no refund is found") in said
