"""Settlement reports: batches, transactions and authorizations.

Source: contract section 11.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import count, groupby
from typing import Any

from attrs import define, field

from .lists import Filter, Test, filter_by
from .replies import link_to

__all__ = ["MERCHANT", "REPORTS", "Settlement"]

Json = dict[str, Any]

MERCHANT: Json = {
    "merchantId": "4525644354",
    "doingBusinessAs": "Pizza Doe",
    "processingAccountId": 38765,
    "link": link_to("processingAccount", "processing-accounts", "38765"),
}

ENTRY_METHODS = {
    "icc": "smartChipRead",
    "contactlessIcc": "contactlessChip",
    "keyed": "manuallyEntered",
    "swiped": "swiped",
    "swipedFallback": "swipedFallback",
}
BRANDS = {
    "Visa": "visa",
    "Mastercard": "masterCard",
    "American": "amex",
    "Discover": "discover",
}


def _on(value: str) -> Test:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:
        raise ValueError("must be a date (YYYY-MM-DD)")
    return lambda one: bool(one.get("date", one["createdDate"]) == value)


def _in_batch(value: str) -> Test:
    if not value.isascii() or not value.isdigit():
        raise ValueError("must be an integer")
    return lambda one: bool(one["batch"]["batchId"] == int(value))


OF_MERCHANT = filter_by(lambda one: one["merchant"]["merchantId"])
OF_DAY_OR_BATCH: dict[str, Filter] = {
    "date": _on,
    "batchId": _in_batch,
    "merchantId": OF_MERCHANT,
}

REPORTS: dict[str, tuple[str, dict[str, Filter], tuple[str, ...]]] = {
    "batches": ("batchId", {"date": _on, "merchantId": OF_MERCHANT}, ("date",)),
    "transactions": (
        "transactionId",
        {
            **OF_DAY_OR_BATCH,
            "transactionType": filter_by(lambda one: one["type"].capitalize(), "Capture", "Return"),
        },
        ("date", "batchId"),
    ),
    "authorizations": ("authorizationId", OF_DAY_OR_BATCH, ("date", "batchId")),
}
"""Per collection: the id field, the filters, and the filters of which one is required."""


@define(eq=False)
class Settlement:
    """The settlement reports.

    Attributes:
        reports: Each collection's documents by id, in order of creation.
    """

    reports: dict[str, dict[int, Json]] = field(factory=lambda: {name: {} for name in REPORTS})
    _ids: count[int] = field(factory=lambda: count(1001))

    def submit(self, settled: Iterable[Json], day: date) -> None:
        """Reports settled transactions: one batch per terminal and currency."""

        def batch_of(one: Json) -> tuple[str, str]:
            return one["processingTerminalId"], one["transactionResult"]["currency"]

        for (_, currency), found in groupby(sorted(settled, key=batch_of), key=batch_of):
            self._submit_batch(list(found), currency, day)

    def _submit_batch(self, settled: list[Json], currency: str, day: date) -> None:
        batch = next(self._ids)
        made = [self._submit_transaction(one, batch, day) for one in settled]
        sums = {"capture": 0, "return": 0}
        for transaction in made:
            sums[transaction["type"]] += transaction["amount"]
        links = [link_to(rel, rel) for rel in ("transactions", "authorizations")]
        self.reports["batches"][batch] = {
            "batchId": batch,
            **_days(day),
            "saleAmount": sums["capture"],
            "heldAmount": 0,
            "returnAmount": sums["return"],
            "transactionCount": len(made),
            "currency": currency,
            "merchant": MERCHANT,
            "links": [{**one, "href": f"{one['href']}?batchId={batch}"} for one in links],
        }

    def _submit_transaction(self, one: Json, batch: int, day: date) -> Json:
        transaction, authorization = next(self._ids), next(self._ids)
        result, card = one["transactionResult"], one["card"]
        amount = abs(result["authorizedAmount"])
        kind = "capture" if "paymentId" in one else "return"
        shared: Json = {
            "currency": result["currency"],
            "merchant": MERCHANT,
            "batch": {
                "batchId": batch,
                "date": day.isoformat(),
                "cycle": "am",
                "link": link_to("batch", "batches", str(batch)),
            },
            "card": {
                "cardNumber": card["cardNumber"],
                "type": BRANDS.get(card["type"].partition(" ")[0], "unknown"),
                "cvvPresenceIndicator": False,
                "avsRequest": False,
                "avsResponse": "",
            },
        }
        summary = {
            "transactionId": transaction,
            "type": kind,
            "date": day.isoformat(),
            "amount": amount,
            "entryMethod": ENTRY_METHODS.get(card.get("entryMethod"), "unknown"),
        }
        made = self.reports["transactions"][transaction] = {
            **summary,
            **_days(day),
            "status": "new",
            "cashbackAmount": 0,
            "interchange": {"basisPoint": 0, "transactionFee": 0},
            **shared,
            "authorization": {
                "authorizationId": authorization,
                "code": result.get("approvalCode", ""),
                "amount": amount,
                "avsResponseCode": "",
                "link": link_to("authorization", "authorizations", str(authorization)),
            },
        }
        here = link_to("transaction", "transactions", str(transaction))
        self.reports["authorizations"][authorization] = {
            "authorizationId": authorization,
            "createdDate": day.isoformat(),
            "lastModifiedDate": day.isoformat(),
            "authorizationResponse": "successful",
            "preauthorizationRequestAmount": amount,
            **shared,
            "transaction": {**summary, "link": here},
        }
        return made

    def forget(self) -> None:
        """Forgets every report."""
        for documents in self.reports.values():
            documents.clear()


def _days(day: date) -> Json:
    return dict.fromkeys(("date", "createdDate", "lastModifiedDate"), day.isoformat())
