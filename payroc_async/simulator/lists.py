"""Searches: filters, cursors and pages.

Source: contract section 7.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

from .replies import Answer, json_answer, link_to, problem
from .simulated_devices import Device, device_document
from .validation import Errors, fault

__all__ = [
    "TRANSACTION_FILTERS",
    "Filter",
    "ListSpelling",
    "Test",
    "filter_by",
    "page_of",
    "search_devices",
    "search_transactions",
]

Json = dict[str, Any]
Test = Callable[[Json], bool]
Filter = Callable[[str], Test]
"""Builds a predicate from a filter's value; raises `ValueError` if the value is invalid."""

ListSpelling = Literal["hasMore", "has_more"]

DEFAULT_LIMIT = 10
LARGEST_LIMIT = 100
PAGING = ("before", "after", "limit")
REPEATABLE = ("tipMode", "type", "status")
STATUSES = (
    *("ready", "pending", "declined", "complete", "referral"),
    *("pickup", "reversal", "admin", "expired", "accepted"),
)


def _is(read: Callable[[Json], object], *words: str) -> Filter:
    """Return a filter on the value of `read`; only these words are valid, if any are given."""

    def make(value: str) -> Test:
        if words and value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return lambda one: read(one) == value

    return make


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date, or a date and time, in ISO 8601") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _when(payment: Json) -> datetime:
    return _moment(payment["order"]["dateTime"])


def _from(value: str) -> Test:
    first = _moment(value)
    return lambda payment: _when(payment) >= first


def _to(value: str) -> Test:
    last = _moment(value)
    if "T" not in value:  # a date means the whole day
        last += timedelta(days=1, microseconds=-1)
    return lambda payment: _when(payment) <= last


def _named(value: str) -> Test:
    return lambda payment: payment["card"]["cardholderName"].casefold() == value.casefold()


def _tip_mode(payment: Json) -> str:
    tip = payment["order"].get("breakdown", {}).get("tip")
    return str(tip.get("mode")) if tip else "noTip"


def _settlement_state(payment: Json) -> str:
    settled = payment["transactionResult"]["status"] == "complete"
    return "settled" if settled else "unsettled"


REFUND_FILTERS: dict[str, Filter] = {
    "processingTerminalId": _is(lambda one: one["processingTerminalId"]),
    "orderId": _is(lambda one: one["order"]["orderId"]),
    "operator": _is(lambda one: one.get("operator")),
    "cardholderName": _named,
    "first6": _is(lambda one: one["card"]["cardNumber"][:6]),
    "last4": _is(lambda one: one["card"]["cardNumber"][-4:]),
    "tender": _is(
        lambda one: "ebt" if "ebtType" in one["transactionResult"] else "creditDebit",
        "creditDebit",
        "ebt",
    ),
    "status": _is(lambda one: one["transactionResult"]["status"], *STATUSES),
    "dateFrom": _from,
    "dateTo": _to,
    "settlementState": _is(_settlement_state, "settled", "unsettled"),
}
PAYMENT_FILTERS: dict[str, Filter] = {
    **REFUND_FILTERS,
    "tipMode": _is(_tip_mode, "prompted", "adjusted", "noTip"),
    "type": _is(
        lambda one: one["transactionResult"]["type"],
        "sale",
        "preAuthorization",
        "preAuthorizationCompletion",
    ),
    # No payment here comes from a payment link.
    "paymentLinkId": _is(lambda one: one.get("paymentLinkId")),
}

TRANSACTION_FILTERS = {
    "payments": ("paymentId", PAYMENT_FILTERS),
    "refunds": ("refundId", REFUND_FILTERS),
}
"""A list's id field and its filters."""

DEVICE_FILTERS: dict[str, Filter] = {
    "serialNumber": _is(lambda one: one["serialNumber"]),
    "ksi": _is(lambda one: one["ksi"]),
    "model": _is(lambda one: one["deviceType"]["model"]),
    "active": _is(
        lambda one: "false" if "deactivatedDate" in one else "true",
        "true",
        "false",
    ),
}


def search_transactions(
    collection: str,
    known: Iterable[Json],
    settled: Mapping[str, date],
    query: str,
    spelling: ListSpelling,
) -> Answer:
    """Return the requested page of payments or refunds, newest first.

    Args:
        collection: ``payments`` or ``refunds``.
        known: All documents, in order of creation.
        settled: Their days of settlement, by id.
        query: The request's query.
        spelling: How the page's fields are spelled.
    """

    def settled_on(value: str) -> Test:
        day = _moment(value).date()
        return lambda one: settled.get(one[id_field]) == day

    id_field, filters = TRANSACTION_FILTERS[collection]
    filters = {**filters, "settlementDate": settled_on}
    # Reverse after the stable sort: within one second, the newest comes first.
    newest_first = sorted(known, key=_when)[::-1]
    return _page(collection, id_field, newest_first, filters, query, spelling)


def search_devices(devices: Iterable[Device], query: str, spelling: ListSpelling) -> Answer:
    """Return the requested page of devices, in order of their registration."""
    known = [device_document(one) for one in devices]
    return _page("devices", "deviceId", known, DEVICE_FILTERS, query, spelling)


def _page(
    collection: str,
    id_field: str,
    items: Sequence[Json],
    filters: Mapping[str, Filter],
    query: str,
    spelling: ListSpelling,
) -> Answer:
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    errors: Errors = []
    for name in given:
        if name not in REPEATABLE and sum(name == other for other, _ in pairs) > 1:
            fault(errors, name, "must be given once")
    tests = _tests(pairs, filters, errors)
    limit = _limit(given, errors)
    cursor = _cursor(given, [str(one[id_field]) for one in items], errors)
    if errors:
        return problem(400, "bad-request", "The query is not valid.", errors=errors)
    found = [at for at, one in enumerate(items) if all(test(one) for test in tests)]
    if "before" in given:
        end = bisect_left(found, cursor)
        start = max(0, end - limit)
    else:
        start = bisect_right(found, cursor)
        end = start + limit
    page = [items[at] for at in found[start:end]]
    more = bool(page) and end < len(found)
    kept = [(name, value) for name, value in pairs if name not in ("before", "after")]
    links = []
    if more:
        links.append(_link("next", collection, [*kept, ("after", page[-1][id_field])]))
    if page and start > 0:
        links.append(_link("previous", collection, [*kept, ("before", page[0][id_field])]))
    return json_answer(200, _document(page, limit, more, links, spelling))


def _tests(
    pairs: Sequence[tuple[str, str]], filters: Mapping[str, Filter], errors: Errors
) -> list[Test]:
    """Return a predicate per filter; a repeated filter matches any of its values."""
    tests: dict[str, list[Test]] = {}
    for name, value in pairs:
        if name in PAGING:
            continue
        if name not in filters:
            fault(errors, name, "is not a filter")
            continue
        try:
            tests.setdefault(name, []).append(filters[name](value))
        except ValueError as wrong:
            fault(errors, name, str(wrong))
    return [_any_of(its) for its in tests.values()]


def _any_of(tests: Sequence[Test]) -> Test:
    return lambda one: any(test(one) for test in tests)


def _limit(given: Mapping[str, str], errors: Errors) -> int:
    text = given.get("limit", str(DEFAULT_LIMIT))
    if re.fullmatch("[1-9][0-9]{0,2}", text) and int(text) <= LARGEST_LIMIT:
        return int(text)
    fault(errors, "limit", f"must be a whole number from 1 to {LARGEST_LIMIT}")
    return DEFAULT_LIMIT


def _cursor(given: Mapping[str, str], ids: Sequence[str], errors: Errors) -> int:
    """Return the cursor's position among all entries, whether or not the filters match it."""
    if "before" in given and "after" in given:
        fault(errors, "before", "must not be combined with after")
    for name in ("before", "after"):
        if name in given:
            if given[name] in ids:
                return ids.index(given[name])
            fault(errors, name, "must be a cursor from a link")
    return -1


def _link(rel: str, collection: str, query: Sequence[tuple[str, str]]) -> Json:
    link = link_to(rel, collection)
    return {**link, "href": f"{link['href']}?{urlencode(query)}"}


def _document(
    page: list[Json], limit: int, more: bool, links: list[Json], spelling: ListSpelling
) -> Json:
    rest = {"links": links, "data": page}
    if spelling == "has_more":
        return {"limit": str(limit), "count": str(len(page)), "has_more": more, **rest}
    return {"limit": limit, "count": len(page), "hasMore": more, **rest}


filter_by, page_of = _is, _page  # for the lists in other modules
