"""The simulator's searches: pages, cursors, filters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from urllib.parse import urlencode

import aiohttp
import pytest

from payroc_async.models import (
    Device,
    Payment,
)
from payroc_async.simulator import Simulator
from payroc_async.wire.page_reader import structure_page

from .test_simulator import BODY, SERIAL, Caller, Reply, assert_problem
from .test_simulator_resources import PRODUCTION, follow, pay, post


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


async def search(caller: Caller, collection: str = "payments", **query: object) -> Reply:
    return await caller.get(f"/v1/{collection}?{urlencode(query)}")


async def ids(caller: Caller, **query: object) -> list[str]:
    reply = await caller.get(f"/v1/payments?{urlencode(query)}")
    assert reply.status == 200, reply.json
    return [one["paymentId"] for one in reply.json["data"]]


class TestPages:
    async def test_nothing(self, caller: Caller) -> None:
        """A search that finds nothing is an empty page."""
        reply = await search(caller)
        assert reply.json == {"limit": 10, "count": 0, "hasMore": False, "links": [], "data": []}

    async def test_forth_and_back(self, gateway: Simulator, caller: Caller) -> None:
        """The links lead through all pages, newest first, and back, and keep the filters."""
        made = [await pay(caller) for _ in range(5)][::-1]
        other = await pay(caller, operator="John")
        assert await ids(caller) == [other, *made]
        reply = await search(caller, limit=2, operator="Jane")
        seen, pages = [], [reply.json]
        while True:
            page = structure_page(pages[-1], Payment)
            seen += [one.payment_id for one in page.data]
            assert (page.limit, page.count) == (2, len(page.data))
            assert page.has_more is (page.next_link is not None)
            if page.next_link is None:
                break
            assert page.next_link.href.startswith(f"{PRODUCTION}/v1/payments?")
            pages.append(await follow(caller, {"href": page.next_link.href}))
        assert seen == made
        assert [len(one["data"]) for one in pages] == [2, 2, 1]
        link = structure_page(pages[-1], Payment).previous_link
        assert link is not None
        assert await follow(caller, {"href": link.href}) == pages[1]
        assert structure_page(pages[0], Payment).previous_link is None

    async def test_new_payment_between_pages(self, caller: Caller) -> None:
        """A payment that is made meanwhile moves no other to another page."""
        made = [await pay(caller) for _ in range(3)][::-1]
        page = structure_page((await search(caller, limit=2)).json, Payment)
        await pay(caller)
        assert page.next_link is not None
        second = await follow(caller, {"href": page.next_link.href})
        assert [one["paymentId"] for one in second["data"]] == made[2:]

    async def test_cursor_that_is_no_longer_found(self, gateway: Simulator, caller: Caller) -> None:
        """A cursor holds its place though the filters no longer find it."""
        made = [await pay(caller) for _ in range(3)][::-1]
        assert (await post(caller, f"payments/{made[1]}/reverse", {})).status == 200
        assert await ids(caller, status="ready", after=made[1]) == [made[2]]
        assert await ids(caller, status="ready", before=made[1]) == [made[0]]

    async def test_other_spelling(self, gateway: Simulator, caller: Caller) -> None:
        """The spelling of the prose documentation can be set, and the models read it."""
        await pay(caller)
        await pay(caller)
        gateway.list_spelling = "has_more"
        reply = await search(caller, limit=1)
        assert {*reply.json} == {"limit", "count", "has_more", "links", "data"}
        assert (reply.json["limit"], reply.json["count"]) == ("1", "1")
        page = structure_page(reply.json, Payment)
        assert (page.limit, page.count, page.has_more) == (1, 1, True)
        assert page.next_link is not None

    @pytest.mark.parametrize(
        ("query", "named"),
        [
            ("colour=red", "colour"),
            ("limit=0", "limit"),
            ("limit=ten", "limit"),
            ("limit=", "limit"),
            ("before=x", "before"),
            ("after=x", "after"),
            ("dateFrom=yesterday", "dateFrom"),
            ("settlementState=maybe", "settlementState"),
            ("settlementDate=2026", "settlementDate"),
            ("tender=gold", "tender"),
            ("tipMode=x", "tipMode"),
            ("operator=a&operator=b", "operator"),
            ("limit=101", "limit"),
            ("status=ready&status=returned", "status"),
            ("type=refund", "type"),
            ("serialNumber=1", "serialNumber"),
        ],
    )
    async def test_wrong_query(self, caller: Caller, query: str, named: str) -> None:
        """A query that makes no sense gets 400, which names the filter."""
        reply = await caller.get(f"/v1/payments?{query}")
        assert_problem(reply, 400, "bad-request")
        assert [one["parameter"] for one in reply.json["errors"]] == [named]

    async def test_two_cursors(self, caller: Caller) -> None:
        """Never before and after both."""
        id_ = await pay(caller)
        reply = await search(caller, before=id_, after=id_)
        assert_problem(reply, 400, "bad-request")


class TestPaymentFilters:
    @pytest.mark.parametrize(
        ("name", "value", "other"),
        [
            ("processingTerminalId", "1234001", "1234002"),
            ("orderId", "OrderRef6543", "orderref6543"),
            ("operator", "Jane", "John"),
            ("cardholderName", "sarah hazel hopper", "sarah"),
            ("first6", "453985", "45398"),
            ("last4", "7062", "7063"),
            ("tender", "creditDebit", "ebt"),
            ("tipMode", "noTip", "prompted"),
            ("type", "sale", "preAuthorization"),
            ("status", "ready", "complete"),
            ("settlementState", "unsettled", "settled"),
            ("dateFrom", "2020-01-01", "2090-01-01"),
            ("dateFrom", "2020-01-01T00:00:00Z", "2090-01-01T00:00:00"),
            ("dateTo", "2090-01-01", "2020-01-01"),
        ],
    )
    async def test_filter(self, caller: Caller, name: str, value: str, other: str) -> None:
        """A filter finds what it names, and nothing else."""
        id_ = await pay(caller)
        assert await ids(caller, **{name: value}) == [id_]
        assert await ids(caller, **{name: other}) == []

    async def test_other_values(self, caller: Caller) -> None:
        """The other words of these filters find what they name."""
        tip = {"subtotal": 1, "tip": {"type": "fixedAmount", "mode": "prompted"}}
        id_ = await pay(
            caller,
            order={**BODY["order"], "breakdown": tip},
            autoCapture=False,
            customizationOptions={"ebtDetails": {"benefitCategory": "cash"}},
        )
        query = {"tender": "ebt", "tipMode": "prompted", "type": "preAuthorization"}
        assert await ids(caller, **query) == [id_]
        assert await ids(caller, paymentLinkId="x") == []

    async def test_dates(self, caller: Caller) -> None:
        """Payments are found and sorted by their orders' date and time; a date is all its day."""
        times = ["2026-06-02T23:59:59Z", "2026-06-03T00:00:00Z", "2026-06-01T12:00:00Z"]
        made = [await pay(caller) for _ in times]
        for id_, time in zip(made, times, strict=True):
            caller.gateway.payments[id_]["order"]["dateTime"] = time
        assert await ids(caller) == [made[1], made[0], made[2]]
        assert await ids(caller, dateFrom="2026-06-02", dateTo="2026-06-02") == [made[0]]
        assert await ids(caller, dateTo="2026-06-02T00:00:00Z") == [made[2]]

    async def test_settlement(self, gateway: Simulator, caller: Caller) -> None:
        """A payment is settled on the day that its batch was closed."""
        yesterday = await pay(caller)
        gateway.close_batch(date(2026, 6, 1))
        today = await pay(caller)
        gateway.close_batch()
        open_ = await pay(caller)
        assert await ids(caller, settlementDate="2026-06-01") == [yesterday]
        assert await ids(caller, settlementDate=datetime.now(UTC).date()) == [today]
        assert await ids(caller, settlementState="settled") == [today, yesterday]
        assert await ids(caller, settlementState="unsettled") == [open_]


class TestDeviceSearch:
    async def test_devices(self, gateway: Simulator, caller: Caller) -> None:
        """Every device that the gateway knows is found, with its last order."""
        gateway.device("2").model = "A77"
        await pay(caller)
        page = structure_page((await search(caller, "devices")).json, Device)
        first, second = page.data
        assert (first.serial_number, second.serial_number) == ("2", SERIAL)
        assert first.device_id != second.device_id
        assert first.device_type is not None
        assert first.device_type.model == "A77"
        assert first.last_transaction is None
        assert second.last_transaction is not None
        assert second.last_transaction.order_id == BODY["order"]["orderId"]
        assert second.last_transaction.date_time is not None
        assert second.active
        assert second.links[0].href == f"{PRODUCTION}/v1/devices/{second.device_id}"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("serialNumber", "2"), ("ksi", "99"), ("model", "A77"), ("active", "false")],
    )
    async def test_filter(self, gateway: Simulator, caller: Caller, name: str, value: str) -> None:
        """Each filter finds the device that it names."""
        gateway.device(SERIAL)
        device = gateway.device("2")
        device.ksi, device.model, device.deactivated_date = "99", "A77", "2026-05-01"
        reply = await caller.get(f"/v1/devices?{name}={value}")
        (found,) = structure_page(reply.json, Device).data
        assert (found.serial_number, found.active) == ("2", False)

    async def test_pages(self, gateway: Simulator, caller: Caller) -> None:
        """Devices come in pages too."""
        for serial in "123":
            gateway.device(serial)
        page = structure_page((await search(caller, "devices", limit=2)).json, Device)
        assert page.next_link is not None
        rest = structure_page(await follow(caller, {"href": page.next_link.href}), Device)
        assert [one.serial_number for one in (*page.data, *rest.data)] == ["1", "2", "3"]
        assert_problem(await search(caller, "devices", orderId="1"), 400, "bad-request")

    async def test_inactive(self, gateway: Simulator, caller: Caller) -> None:
        """An inactive device takes nothing."""
        gateway.device(SERIAL).deactivated_date = "2026-05-01"
        assert_problem(await caller.submit(), 409, "cannot-be-modified")
        assert gateway.instructions == {}
