"""The till: an order is charged once, whatever browsers, gateways and processes do."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orders
import pos_till
import pytest
from conftest import DEVICE, Tills, in_state, shown
from orders import Orders, Sale
from pos_till import Refused, Till

from payroc_async import ConfigurationError, DeviceBusyError, JournalError, SessionClosedError
from payroc_async.journal import SQLiteJournal
from payroc_async.simulator import Device, edit
from payroc_async.testing import PayrocGateway

ORDER = "T-1"


async def sell(till: Till, attempt: int = 1, price: str = "49.99", device: str = DEVICE) -> None:
    """One click."""
    await till.sell(ORDER, attempt, device, price)


def lost_sale() -> Sale:
    """A sale whose process died when it had kept it."""
    return Sale(order_id=ORDER, attempt=1, serial_number=DEVICE, order_amount=4999, amount=4999)


def last(order: dict[str, Any]) -> dict[str, Any]:
    """The order's last attempt."""
    sale: dict[str, Any] = order["sales"][-1]
    return sale


def kept_keys(folder: Path) -> list[str]:
    """What is on disk; the till that wrote it has closed."""
    with sqlite3.connect(folder / "orders.db") as database:
        keys = [key for (key,) in database.execute("SELECT idempotency_key FROM sales ORDER BY 1")]
    database.close()
    return keys


async def test_sold_once(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device, tmp_path: Path
) -> None:
    """Asked for by five clicks at once, and again when it is paid, an attempt is one sale."""
    payroc_device.approves(after=0.05)
    async with new_till() as till:
        await asyncio.gather(*(sell(till) for _ in range(5)))
        order = await shown(till, ORDER, in_state("paid"))
        await sell(till)
        assert await till.show(ORDER) == order
    assert payroc_gateway.amounts_on(DEVICE) == [4999]
    assert payroc_gateway.keys_on(DEVICE) == kept_keys(tmp_path)
    (sale,) = order["sales"]
    assert (sale["outcome"], sale["authorized"]) == ("approved", "49.99 USD")
    assert "TOTAL" in sale["receipt"]
    assert sale["payment_id"] in sale["receipt"]


async def test_nothing_is_sent_that_is_not_kept(
    new_till: Tills, payroc_gateway: PayrocGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the key can't be kept there is no sale, and the device is free for the next."""

    async def full(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with new_till() as till:
        with monkeypatch.context() as patch:
            patch.setattr(Orders, "add", full)
            with pytest.raises(sqlite3.OperationalError):
                await sell(till)
        assert (await till.show(ORDER))["state"] == "new"
        assert payroc_gateway.keys_on(DEVICE) == []
        await sell(till)
        await shown(till, ORDER, in_state("paid"))


async def test_the_key_is_on_disk_first(
    new_till: Tills, payroc_gateway: PayrocGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the key is being kept, nothing has been sent yet."""
    seen: list[list[str]] = []
    add = Orders.add

    async def slow_add(self: Orders, sale: Sale) -> None:
        await asyncio.sleep(0.02)
        seen.append(payroc_gateway.keys_on(DEVICE))
        await add(self, sale)

    monkeypatch.setattr(Orders, "add", slow_add)
    async with new_till() as till:
        await sell(till)
        await shown(till, ORDER, in_state("paid"))
    assert seen == [[]]


async def test_declined_and_charged_anew(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """A decline is shown, and the next attempt is let through under a key of its own."""
    payroc_device.declines().answers("R").approves()

    def claim_all(payment: dict[str, Any]) -> dict[str, Any]:
        payment["transactionResult"]["authorizedAmount"] = 4999  # of a decline, it counts nothing
        return payment

    payroc_gateway.faults.add("payment", edit(claim_all))
    async with new_till() as till:
        await sell(till)
        order = await shown(till, ORDER, in_state("unpaid"))
        assert (last(order)["outcome"], order["next_attempt"]) == ("declined", 2)
        assert (last(order)["authorized"], order["left"]) == (None, "49.99 USD")
        assert "DECLINED" in last(order)["receipt"]
        await sell(till, 1)  # a tab that has not heard of it: shown, not repeated
        with pytest.raises(Refused):
            await sell(till, 3)
        await sell(till, 2)
        order = await shown(till, ORDER, lambda order: order["next_attempt"] == 3)
        assert (last(order)["outcome"], order["left"]) == ("referred", "49.99 USD")
        await sell(till, 3)
        order = await shown(till, ORDER, in_state("paid"))
        for attempt in (0, 4):
            with pytest.raises(Refused):
                await sell(till, attempt)
    assert [sale["outcome"] for sale in order["sales"]] == ["declined", "referred", "approved"]
    assert payroc_gateway.amounts_on(DEVICE) == [4999, 4999, 4999]
    assert len(set(payroc_gateway.keys_on(DEVICE))) == 3


async def test_a_part_and_the_rest(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """After a partial approval the rest can be charged, and no more."""
    payroc_device.approves_partially(2000).approves()
    async with new_till() as till:
        await sell(till)
        order = await shown(till, ORDER, in_state("unpaid"))
        assert (last(order)["authorized"], order["left"]) == ("20.00 USD", "29.99 USD")
        await sell(till, 2)
        await shown(till, ORDER, in_state("paid"))
    assert payroc_gateway.amounts_on(DEVICE) == [4999, 2999]


@pytest.mark.parametrize(("code", "state"), [("E", "deferred"), ("Z", "unknown")])
async def test_not_settled(code: str, state: str, new_till: Tills, payroc_device: Device) -> None:
    """A payment that is processed later, or whose answer no one knows, is not charged again."""
    payroc_device.answers(code)
    async with new_till() as till:
        await sell(till)
        await shown(till, ORDER, in_state(state))
        with pytest.raises(Refused):
            await sell(till, 2)


async def test_another_price_or_device(new_till: Tills, payroc_device: Device) -> None:
    """A second tab that would charge something else is informed so."""
    payroc_device.never_finishes()
    async with new_till() as till:
        await sell(till)
        with pytest.raises(Refused, match=r"comes to 49\.99 USD"):
            await sell(till, price="5")
        with pytest.raises(Refused, match="another device"):
            await sell(till, device="1850010869")
        with pytest.raises(DeviceBusyError):
            await till.sell("T-2", 1, DEVICE, "5")
        assert (await till.show("T-2"))["state"] == "new"
        await till.cancel(ORDER, 1)
        await shown(till, ORDER, in_state("unpaid"))


@pytest.mark.parametrize(("price", "device"), [("0", DEVICE), ("1,50", DEVICE), ("1", "")])
async def test_nonsense(price: str, device: str, new_till: Tills) -> None:
    """What makes no sense is refused before anything is kept."""
    async with new_till() as till:
        with pytest.raises(ConfigurationError):
            await sell(till, 1, price, device)
        assert (await till.show(ORDER))["state"] == "new"


async def test_no_payment(new_till: Tills, payroc_device: Device) -> None:
    """A device that fails is no payment, and the reason is shown."""
    payroc_device.fails("Out of paper")
    async with new_till() as till:
        await sell(till)
        order = await shown(till, ORDER, in_state("unpaid"))
        assert last(order)["outcome"] == "no payment"
        assert "Out of paper" in last(order)["note"]


async def test_cancelled(new_till: Tills, payroc_device: Device) -> None:
    """A sale that is canceled while its submission is under way ends without a payment."""
    payroc_device.never_finishes()
    async with new_till() as till:
        await sell(till)
        await till.cancel(ORDER, 1)
        order = await shown(till, ORDER, in_state("unpaid"))
        assert last(order)["outcome"] == "no payment"
        await till.cancel(ORDER, 1)  # a click that comes late does no harm
        with pytest.raises(Refused):
            await till.cancel(ORDER, 2)


async def test_cancelled_too_late(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """A payment that was faster than the cancellation is shown as paid."""
    payroc_device.completes_on_cancel()
    async with new_till() as till:
        await sell(till)
        await payroc_gateway.wait_for_instruction(DEVICE)
        await till.cancel(ORDER, 1)
        order = await shown(till, ORDER, in_state("paid"))
    assert last(order)["canceling"]
    assert last(order)["outcome"] == "approved"
    assert last(order)["receipt"]


async def test_unknown_and_found_out(
    new_till: Tills,
    payroc_gateway: PayrocGateway,
    payroc_device: Device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While no one knows whether money moved nothing is charged, and the till finds out."""
    monkeypatch.setattr(pos_till, "PATIENCE", 0.2)
    payroc_device.approves(after=0.1)
    async with new_till() as till:
        await sell(till)
        await payroc_gateway.wait_for_instruction(DEVICE)
        await payroc_gateway.stop()
        order = await shown(till, ORDER, in_state("unknown"))
        assert last(order)["note"]
        # The session goes on asking, and the till looks: meanwhile the order stays in doubt.
        await asyncio.sleep(5 * pos_till.ASK_EVERY)
        order = await till.show(ORDER)
        assert order["state"] == "unknown"
        with pytest.raises(Refused):
            await sell(till, 2)
        await payroc_gateway.start()
        await shown(till, ORDER, in_state("paid"))
    assert payroc_gateway.amounts_on(DEVICE) == [4999]


async def test_left_to_the_next_process(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """A till that closes leaves its sale running, and the next one shows how it goes and ends."""
    payroc_device.approves(after=1.0)
    async with new_till() as till:
        await sell(till)
        await shown(till, ORDER, lambda order: len(last(order)["steps"]) > 1)
    assert len(payroc_gateway.in_progress) == 1
    with pytest.raises(SessionClosedError):
        await till.sell("T-2", 1, DEVICE, "5")
    async with new_till() as till:
        order = await shown(till, ORDER, in_state("running"))
        assert "Recovered, asking" in last(order)["steps"][0]["text"]
        with pytest.raises(Refused):
            await sell(till, 2)
        await shown(till, ORDER, in_state("paid"))
    assert payroc_gateway.amounts_on(DEVICE) == [4999]


async def test_cancelled_by_the_next_process(
    new_till: Tills, payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """What a till has found running it can cancel."""
    payroc_device.never_finishes()
    payroc_gateway.hold = 600.0  # by no answer does it learn what it is to cancel
    async with new_till(hold=600.0) as till:
        await sell(till)
        await payroc_gateway.wait_for_instruction(DEVICE)
    async with new_till(hold=600.0) as till:
        await shown(till, ORDER, in_state("running"))
        await till.cancel(ORDER, 1)
        order = await shown(till, ORDER, in_state("unpaid"))
    assert last(order)["outcome"] == "no payment"
    assert payroc_gateway.in_progress == []


# What a process leaves that is killed at the wrong moment ----------


async def test_killed_before_the_submission(
    new_till: Tills, payroc_gateway: PayrocGateway, tmp_path: Path
) -> None:
    """A key that was kept and never used is no payment, and the order can be charged."""
    async with orders.opened_orders(tmp_path / "orders.db") as kept:
        await kept.add(lost_sale())
    async with new_till() as till:
        order = await shown(till, ORDER, in_state("unpaid"))
        assert (last(order)["outcome"], last(order)["note"]) == ("no payment", "it was never sent")
        await sell(till, 2)
        await shown(till, ORDER, in_state("paid"))
    assert payroc_gateway.amounts_on(DEVICE) == [4999]


@pytest.mark.parametrize("fails", [False, True])
async def test_killed_before_the_outcome_was_kept(
    fails: bool, new_till: Tills, payroc_device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outcome that only the journal has is looked up there."""
    if fails:
        payroc_device.fails()
    with monkeypatch.context() as patch:
        patch.setattr(Orders, "end", lambda *_, **__: asyncio.sleep(0))
        async with new_till() as till:
            await sell(till)
            order = await shown(till, ORDER, in_state("unknown"))
    assert last(order)["outcome"] is None
    async with new_till() as till:
        order = await shown(till, ORDER, in_state("unpaid" if fails else "paid"))
    assert last(order)["outcome"] == ("no payment" if fails else "approved")


async def test_a_journal_that_fails(
    new_till: Tills, payroc_gateway: PayrocGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the journal could not take is in doubt until the journal says that it is not there."""

    async def broken(*_: object, **__: object) -> None:
        raise JournalError("disk full")

    async with new_till() as till:
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteJournal, "begin", broken)
            await sell(till)
            order = await shown(till, ORDER, in_state("unknown"))
            assert "disk full" in last(order)["note"]
        order = await shown(till, ORDER, in_state("unpaid"))
        await sell(till, 2)
        await shown(till, ORDER, in_state("paid"))
    assert payroc_gateway.amounts_on(DEVICE) == [4999]


async def test_one_process_alone(
    new_till: Tills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process does not open the files of one that lives, be they old or new."""
    monkeypatch.setattr(orders, "PATIENCE", 0.01)
    async with new_till():
        pass
    async with new_till():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            async with new_till():
                pass
    async with new_till():
        pass


# Pages ----------


async def test_pages_that_come_and_go(new_till: Tills, payroc_device: Device) -> None:
    """A page that goes away takes nothing with it, one that comes back sees all that happened."""
    payroc_device.approves(after=0.3)
    async with new_till() as till:
        async with aclosing(till.watch(ORDER)) as first:
            assert (await anext(first))["state"] == "new"
            await sell(till)
            assert (await anext(first))["state"] == "running"
        before = await shown(till, ORDER, lambda order: len(last(order)["steps"]) > 1)
        async with aclosing(till.watch(ORDER)) as second:
            again = await anext(second)
            assert last(again)["steps"][: len(last(before)["steps"])] == last(before)["steps"]
        await shown(till, ORDER, in_state("paid"))


async def test_a_page_hears_that_the_till_lives(
    new_till: Tills, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing changes, the same is said again; and a till that closes ends it."""
    monkeypatch.setattr(pos_till, "HEARTBEAT", 0.01)
    async with new_till() as till:
        watching = till.watch(ORDER)
        assert await anext(watching) == await anext(watching)
        monkeypatch.setattr(pos_till, "HEARTBEAT", 60.0)
        ending = asyncio.create_task(anext(watching, None))
        await asyncio.sleep(0.02)
        assert not ending.done()
        till.hang_up()
        assert await ending is None
