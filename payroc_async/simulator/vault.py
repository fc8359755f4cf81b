"""Saved cards: the secure tokens of each terminal. Source: contract section 12."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from attrs import define, field

from .lists import Filter, filter_by

__all__ = ["TOKEN_FILTERS", "Vault"]

Json = dict[str, Any]


def _customer_name(record: Json) -> str:
    customer = record.get("customer", {})
    names = (customer.get("firstName"), customer.get("lastName"))
    given = " ".join(name for name in names if name)
    return str(given or record["source"]["cardholderName"])


def _contact(*kinds: str) -> Filter:
    def make(value: str) -> Any:
        return lambda record: any(
            one["type"] in kinds and one["value"] == value
            for one in record.get("customer", {}).get("contactMethods", [])
        )

    return make


TOKEN_FILTERS: dict[str, Filter] = {
    "secureTokenId": filter_by(lambda one: one["secureTokenId"]),
    "customerName": filter_by(_customer_name),
    "phone": _contact("phone", "mobile"),
    "email": _contact("email"),
    "token": filter_by(lambda one: one["token"]),
    "first6": filter_by(lambda one: one["source"]["cardNumber"][:6]),
    "last4": filter_by(lambda one: one["source"]["cardNumber"][-4:]),
}


@define(eq=False)
class Vault:
    """The saved cards.

    Attributes:
        records: Each secure token's document, by terminal and id.
    """

    records: dict[tuple[str, str], Json] = field(factory=dict)

    def keep(self, transaction: Json, body: Json) -> None:
        """Stores the card if the payment has saved it; otherwise does nothing."""
        shown = transaction.get("card", {}).get("secureToken")
        terminal = transaction.get("processingTerminalId")
        if not shown or terminal is None:
            return
        card = transaction["card"]
        record: Json = {
            "secureTokenId": shown["secureTokenId"],
            "processingTerminalId": terminal,
            "source": {
                "type": "card",
                "cardholderName": card["cardholderName"],
                "cardNumber": card["cardNumber"],
                "expiryDate": card["expiryDate"],
                "cardType": card["type"],
            },
            "token": shown["token"],
            "status": shown["status"],
        }
        if "customer" in body:
            record["customer"] = deepcopy(body["customer"])
        agreement = body["credentialOnFile"].get("mitAgreement")
        if agreement:
            record["mitAgreement"] = agreement
        self.records[terminal, shown["secureTokenId"]] = record

    def of_terminal(self, terminal: str) -> list[Json]:
        """Return the documents of one terminal, in the order in which the cards were saved."""
        return [one for (owner, _), one in self.records.items() if owner == terminal]

    def find(self, terminal: str, token: str) -> Json | None:
        """Return the document of a token that can be charged on this terminal."""
        return next((one for one in self.of_terminal(terminal) if one["token"] == token), None)
