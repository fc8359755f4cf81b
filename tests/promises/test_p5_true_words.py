"""What an answer proves of this sale alone, and what is said of it (P5)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from attrs import evolve

from payroc_async import (
    Canceled,
    ConflictError,
    Event,
    InstructionTimeoutError,
    OutcomeUnknownError,
    PayrocSession,
    RetryPolicy,
)
from payroc_async.journal import Entry, EntryState, SQLiteJournal
from payroc_async.simulator import FaultAction, Simulator, drop_after, edit, hang, problem, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale

WAIT = 20.0
REFUSALS = {403: "forbidden", 409: "cannot-be-canceled"}


def fresh(gateway: Simulator, **options: Any) -> PayrocSession:
    usual = {"environment": gateway.environment, "timeouts": QUICK, "retries": EAGER}
    return PayrocSession(gateway.api_key, **{**usual, **options})


class Locked(SQLiteJournal):
    """A journal that can't be written any more, once an intent stands in it."""

    async def write(self, entry: Entry, state: EntryState, **ids: Any) -> None:
        raise TimeoutError


@pytest.mark.parametrize("own_key", [True, False], ids=["fresh key", "caller's key"])
async def test_what_recovery_may_submit_may_have_taken_effect(
    gateway: Simulator, tmp_path: Path, own_key: bool
) -> None:
    """J4: refused, but the journal still says intent: another process will make the payment."""
    path = tmp_path / "sales.db"
    gateway.faults.add("submit", problem(409, "device-busy"))
    key = None if own_key else str(uuid4())
    async with fresh(gateway, journal=Locked(path)) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale(), idempotency_key=key)
    assert caught.value.may_have_taken_effect
    assert caught.value.request_sent
    assert "an earlier one" not in str(caught.value)
    async with fresh(gateway, journal=SQLiteJournal(path)) as session:
        found = [one async for one in session.recover()]
    assert len(gateway.payments) == len(found) == 1


async def test_what_was_never_sent_but_may_be_recovered_says_both(
    gateway: Simulator, tmp_path: Path
) -> None:
    """J4: no connection, and the intent can't be taken back."""
    environment = evolve(gateway.environment, api_url="http://127.0.0.1:1/v1")
    journal = Locked(tmp_path / "sales.db")
    async with fresh(gateway, environment=environment, journal=journal) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale())
    assert (caught.value.may_have_taken_effect, caught.value.request_sent) == (True, False)


@pytest.mark.parametrize("own_key", [None, str(uuid4())], ids=["fresh key", "caller's key"])
async def test_a_refused_submission_was_sent(gateway: Simulator, own_key: str | None) -> None:
    """A 401, then no token till the timeout: nothing was made, but something was sent."""
    wanted = InstructionTimeoutError if own_key is None else OutcomeUnknownError
    async with fresh(gateway) as session:
        await session.run_sale("2", sale())  # there is a token
        gateway.faults.add("submit", problem(401, "unauthorized"), times=None)
        gateway.faults.add("authorize", hang(), times=None)
        with pytest.raises(wanted) as caught:
            await session.run_sale(SERIAL, sale(), idempotency_key=own_key, timeout=10 * UNIT)
        if isinstance(caught.value, OutcomeUnknownError):
            assert not caught.value.may_have_taken_effect
            assert caught.value.request_sent


async def test_what_was_never_sent_says_so(gateway: Simulator) -> None:
    """No token till the timeout."""
    gateway.faults.add("authorize", hang(), times=None)
    async with fresh(gateway) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.run_sale(SERIAL, sale(), idempotency_key=str(uuid4()), timeout=10 * UNIT)
    assert not caught.value.may_have_taken_effect
    assert not caught.value.request_sent


def refused_with(fragment: str, code: int, **more: Any) -> FaultAction:
    """A refusal of the gateway's own, with members that the simulator would not give."""
    document = {"type": f"https://docs.payroc.com/api/errors#{fragment}", "title": "x", **more}
    body = orjson.dumps({**document, "status": code})
    return status(code, body=body, content_type="application/problem+json")


@pytest.mark.parametrize("named", ["device-busy", "resource-already-exists"])
async def test_an_id_in_a_first_refusal_is_of_another_instruction(
    gateway: Simulator, named: str
) -> None:
    """What keeps the device busy is neither read as this sale, nor canceled with it."""
    gateway.device("2").never_finishes()
    async with fresh(gateway) as session, fresh(gateway) as other:
        running = await other.start_sale("2", sale())
        link = {"paymentInstructionId": running.instruction_id}
        gateway.faults.add("submit", refused_with(named, 409, **link))
        with pytest.raises(ConflictError):
            await session.run_sale(SERIAL, sale(order_id="mine"), timeout=WAIT)
        assert running.instruction_id in {one.id for one in gateway.in_progress}
        assert not gateway.requests_of("cancel")
        await running.cancel()


@pytest.mark.parametrize("code", [408, 425, 429])
async def test_a_submission_that_is_to_wait_is_repeated_until_unreachable(
    gateway: Simulator, code: int
) -> None:
    """A rate limit of Payroc's own passes, however often it is met."""
    gateway.faults.add("submit", problem(code, "wait"), times=3 * EAGER.attempts)
    async with fresh(gateway, timeouts=evolve(QUICK, unreachable=WAIT)) as session:
        assert (await session.run_sale(SERIAL, sale())).approved


async def test_a_key_is_not_sent_past_its_window(gateway: Simulator) -> None:
    """J5: the gateway may have forgotten it, and would make a second instruction."""
    gateway.faults.add("submit", drop_after(), times=None)
    retries = RetryPolicy(initial=UNIT, maximum=UNIT, idempotency_window=10 * UNIT)
    timeouts = evolve(QUICK, unreachable=WAIT)
    async with fresh(gateway, timeouts=timeouts, retries=retries) as session:
        with pytest.raises(OutcomeUnknownError):
            await asyncio.wait_for(session.run_sale(SERIAL, sale()), WAIT)


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({}, "WARNING"),
        ({"on_event": lambda event: None}, "INFO"),
        ({"idempotency_key": str(uuid4())}, "INFO"),
    ],
    ids=["nothing names it", "an event", "the caller's key"],
)
async def test_what_only_the_log_names_is_warned_of(
    gateway: Simulator, options: dict[str, Any], level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: `on_cancel="detach"` without a name in the caller's hand."""
    caplog.set_level("INFO")
    gateway.device(SERIAL).never_finishes()
    async with fresh(gateway) as session:
        selling = asyncio.create_task(
            session.run_sale(SERIAL, sale(), on_cancel="detach", **options)
        )
        while not gateway.requests_of("status"):
            await asyncio.sleep(UNIT)
        selling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await selling
        (left,) = gateway.in_progress
    (said,) = (one for one in caplog.records if "on purpose" in one.getMessage())
    assert said.levelname == level
    assert left.id in said.getMessage()


def other_payment(gateway: Simulator, order_id: str) -> dict[str, Any]:
    """A payment of an order, made by hand, as the gateway shows it."""
    (made,) = gateway.payments.values()
    shown = {**made, "paymentId": "OTHERPAY01", "order": {**made["order"], "orderId": order_id}}
    gateway.payments["OTHERPAY01"] = shown
    return shown


@pytest.mark.parametrize(
    ("order_id", "status_fault", "code", "believed"),
    [
        ("another", status(503), 409, False),
        ("mine", status(503), 403, False),
        ("mine", hang(), 409, False),
        ("mine", status(503), 409, True),
    ],
    ids=["another order", "no conflict", "a status that is held", "this order"],
)
async def test_the_link_of_a_refused_delete_is_weighed(
    gateway: Simulator, order_id: str, status_fault: FaultAction, code: int, believed: bool
) -> None:
    """E5: it proves something where the status can't be had, and it leads to this order."""
    timeouts = evolve(QUICK, cancel_grace=20 * UNIT, unreachable=50 * UNIT)
    async with fresh(gateway, timeouts=timeouts) as session:
        await session.run_sale("2", sale(order_id="before"))
        other_payment(gateway, order_id)
        gateway.device(SERIAL).never_finishes()
        handle = await session.start_sale(SERIAL, sale(order_id="mine"))
        gateway.faults.add("status", status_fault, times=None)
        link = {"rel": "payment", "method": "GET", "href": "/v1/payments/OTHERPAY01"}
        gateway.faults.add("cancel", refused_with(REFUSALS[code], code, link=link), times=None)
        canceling = asyncio.ensure_future(handle.cancel())
        await asyncio.wait((canceling,), timeout=WAIT)
        if believed:
            assert (await handle.result()).payment_id == "OTHERPAY01"
        else:
            assert isinstance(canceling.exception(), OutcomeUnknownError)
        gateway.faults.clear()


async def test_a_link_that_can_not_be_read_hides_no_status(gateway: Simulator) -> None:
    """E5: where the payment behind the link can't be had either, the status is asked again."""
    timeouts = evolve(QUICK, cancel_grace=WAIT, unreachable=WAIT)
    async with fresh(gateway, timeouts=timeouts) as session:
        gateway.device(SERIAL).never_finishes()
        handle = await session.start_sale(SERIAL, sale())
        link = {"rel": "payment", "method": "GET", "href": "/v1/payments/OTHERPAY01"}
        refusal = refused_with("cannot-be-canceled", 409, link=link)
        gateway.faults.add("cancel", refusal, times=None)
        lost = gateway.faults.add("payment", problem(404, "not-found"), times=None)
        gateway.faults.add("status", status(503), times=2)
        canceling = asyncio.ensure_future(handle.cancel())
        while not lost.hits:
            await asyncio.sleep(UNIT)
        (running,) = gateway.in_progress
        gateway._state.change(running, "canceled")
        instruction = await asyncio.wait_for(canceling, WAIT)
    assert instruction.status == "canceled"


async def test_a_payment_of_another_order_is_warned_of(
    gateway: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The link led there, so it is the sale's payment; but somebody should look at it."""
    change = edit(lambda data: {**data, "order": {**data["order"], "orderId": "another"}})
    gateway.faults.add("payment", change)
    events: list[Event] = []
    async with fresh(gateway) as session:
        assert (await session.run_sale(SERIAL, sale(), on_event=events.append)).approved
    warned = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert ["another order" in one.getMessage() for one in warned] == [True]
    assert not [event for event in events if isinstance(event, Canceled)]
