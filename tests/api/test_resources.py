"""The single calls beside the instructions: reads, searches page by page, and their arguments."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from payroc_async import (
    BadRequestError,
    ConfigurationError,
    Link,
    NotFoundError,
    PayrocSession,
    ResponseFormatError,
    SessionClosedError,
    TransactionStatus,
)
from payroc_async.kinds import PAYMENT
from payroc_async.simulator import FaultAction, Simulator, problem, status
from payroc_async.wire.protocol import search_request
from tests.conftest import SERIAL, sale

from .test_kinds import refund


async def sales(session: PayrocSession, count: int) -> list[str]:
    """The ids of so many payments, the newest first, as a search gives them."""
    ids = [
        (await session.run_sale(SERIAL, sale(order_id=f"Order{n}"))).payment_id
        for n in range(count)
    ]
    return ids[::-1]


# Reads ----------


async def test_a_refund_is_read_and_reversed(gateway: Simulator, session: PayrocSession) -> None:
    """A refund is found by its id, and voided while its batch is open."""
    made = await session.run_refund(SERIAL, refund())
    assert await session.refunds.retrieve(made.refund_id) == made
    reversed_ = await session.refunds.reverse(made.refund_id)
    assert reversed_.transaction_result.status == TransactionStatus.REVERSAL


async def test_a_closed_loop_read(gateway: Simulator, session: PayrocSession) -> None:
    """What a device read from a closed-loop card is given as it is."""
    id_ = gateway.add_closed_loop_read({"card": "A1"})
    read = await session.closed_loop_reads.retrieve(id_)
    assert read.closed_loop_read_id == id_
    assert read.data == {"card": "A1"}


@pytest.mark.parametrize("group", ["payments", "refunds", "signatures", "closed_loop_reads"])
async def test_what_is_unknown_is_not_found(session: PayrocSession, group: str) -> None:
    """An id that the gateway does not know is a NotFoundError."""
    with pytest.raises(NotFoundError):
        await getattr(session, group).retrieve("unknown")


@pytest.mark.parametrize("group", ["payments", "refunds", "signatures", "closed_loop_reads"])
async def test_an_id_that_changes_the_path_is_refused(
    gateway: Simulator, session: PayrocSession, group: str
) -> None:
    """An id with a slash is refused, named, and nothing is sent."""
    with pytest.raises(ConfigurationError) as caught:
        await getattr(session, group).retrieve("a/b")
    assert caught.value.field.endswith("_id")
    assert gateway.requests_of("other") == []


# Searches ----------


@pytest.mark.parametrize("spelling", ["hasMore", "has_more"])
async def test_a_search_gives_every_page(
    gateway: Simulator, session: PayrocSession, spelling: Any
) -> None:
    """All items of all pages come, each once, in both spellings of contract section 7."""
    gateway.list_spelling = spelling
    ids = await sales(session, 7)
    found = [payment.payment_id async for payment in session.payments.search(limit=3)]
    assert found == ids
    assert len(gateway.requests_of("search")) == 3


async def test_a_page_is_asked_for_when_it_is_wanted(
    gateway: Simulator, session: PayrocSession
) -> None:
    """A caller who stops early has asked for no page beyond."""
    ids = await sales(session, 5)
    search = session.payments.search(limit=2)
    assert gateway.requests_of("search") == []
    assert [(await anext(search)).payment_id for _ in range(2)] == ids[:2]
    assert len(gateway.requests_of("search")) == 1
    assert (await anext(search)).payment_id == ids[2]
    assert len(gateway.requests_of("search")) == 2


async def test_the_links_host_is_never_asked(gateway: Simulator, session: PayrocSession) -> None:
    """The link to the next page names the production host; its path and query alone are used."""
    await sales(session, 2)
    assert [payment async for payment in session.payments.search(limit=1)]
    first, second = gateway.requests_of("search")
    assert first.query == "limit=1"
    assert "after=" in second.query


async def test_filters_narrow_a_search(gateway: Simulator, session: PayrocSession) -> None:
    """Filters reach the gateway, and hold on every page."""
    await sales(session, 3)
    found = [one.order.order_id async for one in session.payments.search(order_id="Order1")]
    assert found == ["Order1"]
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    between = session.payments.search(date_from=now - hour, date_to=now + hour, limit=2)
    assert len([one async for one in between]) == 3
    assert [one async for one in session.payments.search(date_from=now + hour)] == []
    assert [one async for one in session.payments.search(status=TransactionStatus.DECLINED)] == []


async def test_filters_as_they_cross_the_wire(gateway: Simulator, session: PayrocSession) -> None:
    """Every filter has its name of contract section 7, and is percent-encoded."""
    gateway.faults.add("search", problem(400, "bad-request"), times=2)
    payments = session.payments.search(
        processing_terminal_id="1234001",
        order_id="a&b=c d",
        operator="Jane",
        cardholder_name="Zoë",
        first6="453985",
        last4="7062",
        tender="ebt",
        tip_mode="prompted",
        type="sale",
        status="ready",
        date_from=date(2026, 1, 2),
        date_to=datetime(2026, 1, 3, 4, 5, tzinfo=UTC),
        settlement_state="settled",
        settlement_date=date(2026, 1, 4),
        payment_link_id="L1",
        limit=25,
        before="cursor",
    )
    with pytest.raises(BadRequestError):
        await anext(payments)
    devices = session.devices.search(
        serial_number=SERIAL, ksi="K", model="M", active=True, limit=5, after="cursor"
    )
    with pytest.raises(BadRequestError):
        await anext(devices)
    first, second = (set(seen.query.split("&")) for seen in gateway.requests_of("search"))
    assert first == {
        "processingTerminalId=1234001",
        "orderId=a%26b%3Dc+d",
        "operator=Jane",
        "cardholderName=Zo%C3%AB",
        "first6=453985",
        "last4=7062",
        "tender=ebt",
        "tipMode=prompted",
        "type=sale",
        "status=ready",
        "dateFrom=2026-01-02",
        "dateTo=2026-01-03T04%3A05%3A00Z",
        "settlementState=settled",
        "settlementDate=2026-01-04",
        "paymentLinkId=L1",
        "limit=25",
        "before=cursor",
    }
    assert second == {
        f"serialNumber={SERIAL}",
        "ksi=K",
        "model=M",
        "active=true",
        "limit=5",
        "after=cursor",
    }


async def test_a_search_goes_back_from_a_cursor(gateway: Simulator, session: PayrocSession) -> None:
    """`before` gives all that stands before the cursor, from all pages, the nearest first."""
    ids = await sales(session, 6)
    found = [one.payment_id async for one in session.payments.search(before=ids[4], limit=2)]
    assert found == ids[:4][::-1]


async def test_a_circle_of_pages_ends(gateway: Simulator, session: PayrocSession) -> None:
    """Links that lead round and round end in an error, not in a search for ever."""
    for cursor in ("a", "b", "a", "b"):
        gateway.faults.add("search", answers(page(f"{BASE}?after={cursor}")))
    search = session.devices.search()
    with pytest.raises(ResponseFormatError, match="form a loop"):
        [device async for device in search]
    assert len(gateway.requests_of("search")) == 3


def test_p7_what_is_searched_for_is_in_no_repr() -> None:
    """A cardholder's name and digits are shown neither by a request nor by a page's links."""
    request = search_request(PAYMENT, [("cardholderName", "Sarah"), ("last4", "7062")])
    link = Link(rel="next", href="https://api.payroc.com/v1/payments?cardholderName=Sarah")
    assert "Sarah" in request.path
    assert "Sarah" not in repr(request) + repr(link)
    assert "/payments" in repr(request)


async def test_devices_are_found(gateway: Simulator, session: PayrocSession) -> None:
    """The devices come from all pages, narrowed by a serial number or not at all."""
    for number in range(5):
        gateway.device(f"device{number}")
    found = [str(device.serial_number) async for device in session.devices.search(limit=2)]
    assert sorted(found) == [f"device{number}" for number in range(5)]
    (one,) = [device async for device in session.devices.search(serial_number="device3")]
    assert one.serial_number == "device3"


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"before": "a", "after": "b"}, "before"),
        ({"order_id": ""}, "order_id"),
        ({"order_id": 5}, "order_id"),
        ({"first6": "45398"}, "first6"),
        ({"last4": "70-2"}, "last4"),
        ({"date_from": "2026-01-02"}, "date_from"),
        ({"date_to": datetime(2026, 1, 2)}, "date_to"),
        ({"settlement_date": datetime(2026, 1, 2, tzinfo=UTC)}, "settlement_date"),
    ],
)
async def test_a_wrong_filter_is_refused_at_once(
    gateway: Simulator, session: PayrocSession, filters: dict[str, Any], field: str
) -> None:
    """A wrong filter is refused where the search is called, named, and nothing is sent."""
    with pytest.raises(ConfigurationError) as caught:
        session.payments.search(**filters)
    assert caught.value.field == field
    assert gateway.requests_of("search") == []


async def test_a_number_of_digits_is_not_shown(session: PayrocSession) -> None:
    """What was given for a card's digits is not repeated: it may be a whole number."""
    with pytest.raises(ConfigurationError) as caught:
        session.payments.search(last4="00001234567890123")
    assert "1234" not in str(caught.value)


async def test_a_closed_session_searches_no_more(gateway: Simulator) -> None:
    """A search on a closed session is refused, and one under way ends with its page."""
    session = PayrocSession(gateway.api_key, environment=gateway.environment)
    async with session:
        await sales(session, 2)
        search = session.payments.search(limit=1)
        await anext(search)
    with pytest.raises(SessionClosedError):
        await anext(search)
    with pytest.raises(SessionClosedError):
        session.payments.search()


ITEM = {"serialNumber": SERIAL}
BASE = "https://api.payroc.com/v1/devices"


def page(href: Any, more: object = True) -> dict[str, Any]:
    links = [] if href is None else [{"rel": "next", "method": "GET", "href": href}]
    return {"limit": 1, "count": 1, "hasMore": more, "links": links, "data": [ITEM]}


def answers(document: dict[str, Any]) -> FaultAction:
    """The gateway's answer is this."""
    body = json.dumps(document).encode()
    return status(200, body=body, content_type="application/json")


@pytest.mark.parametrize(
    "href",
    [
        None,
        BASE,
        f"{BASE}?limit=1",
        "https://api.payroc.com/v1/payments?after=a",
        "https://api.payroc.com/v1/devices/1?after=a",
        "https://api.payroc.com/elsewhere/devices?after=a",
        f"{BASE}//?after=a",
        "devices/?",
        "https://[",
        {"a": 1},
    ],
)
async def test_a_link_that_leads_nowhere_is_told(
    gateway: Simulator, session: PayrocSession, href: Any
) -> None:
    """More without a link to it, or a link elsewhere or to the same page, ends in an error."""
    gateway.faults.add("search", answers(page(href)), times=None)
    search = session.devices.search(limit=1)
    assert (await anext(search)).serial_number == SERIAL
    with pytest.raises(ResponseFormatError):
        await anext(search)


@pytest.mark.parametrize("more", [False, None])
async def test_the_last_page(gateway: Simulator, session: PayrocSession, more: object) -> None:
    """The search ends where the gateway says so, or gives no link; not because a page is empty."""
    followed = page(f"{BASE}?after=a", more=None) | {"data": []}
    last = page(f"{BASE}?after=b" if more is False else None, more=more)
    gateway.faults.add("search", answers(followed))
    gateway.faults.add("search", answers(last))
    found = [device.serial_number async for device in session.devices.search(limit=1)]
    assert found == [SERIAL]
    assert len(gateway.requests_of("search")) == 2
