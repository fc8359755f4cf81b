"""Payments without a device: a saved card is charged. Source: contract section 12."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, evolve, field

from .answers import Answer, json_answer, problem
from .devices import Result
from .ledger import Ledger
from .payments import make_payment, new_id
from .validation import (
    CREDENTIAL_ON_FILE,
    CUSTOMER,
    IP_ADDRESS,
    ITEMIZED_BREAKDOWN,
    TERMINAL_ID,
    Check,
    Errors,
    amount,
    currency,
    fault,
    flag,
    list_of,
    one_of,
    read_body,
    record,
    text,
)
from .vault import Vault

__all__ = ["CHARGE", "STATUSES", "Charges"]

Json = dict[str, Any]

STATUSES = {
    "A": "ready",
    "P": "ready",
    "D": "declined",
    "E": "accepted",
    "R": "referral",
    "C": "pickup",
}
"""The status that goes with each response code (contract section 5)."""

STANDING_INSTRUCTIONS = record(
    {
        "sequence": one_of("first", "subsequent"),
        "processingModel": one_of("unscheduled", "recurring", "installment"),
    },
    {
        "referenceDataOfFirstTxn": record(
            {},
            {"paymentId": text(least=1), "cardSchemeReferenceId": text(least=1, most=64)},
        )
    },
)

PAYMENT_METHOD = record({"type": one_of("secureToken"), "token": text(least=12, most=19)})
"""Of the four kinds that there are, the one that needs no card data."""

PAYMENT = record(
    {
        "channel": one_of("pos", "web", "moto"),
        "processingTerminalId": TERMINAL_ID,
        "order": record(
            {"orderId": text(least=1, most=24), "amount": amount, "currency": currency},
            {
                "description": text(least=1, most=256),
                "acceptPartialAmount": flag,
                "standingInstructions": STANDING_INSTRUCTIONS,
                "breakdown": ITEMIZED_BREAKDOWN,
            },
        ),
        "paymentMethod": PAYMENT_METHOD,
    },
    {
        "operator": text(most=50),
        "customer": CUSTOMER,
        "ipAddress": IP_ADDRESS,
        "credentialOnFile": CREDENTIAL_ON_FILE,
        "autoCapture": flag,
        "processAsSale": flag,
        "customFields": list_of(
            record({"name": text(least=1, most=56), "value": text(least=1, most=100)})
        ),
    },
)


def _charge(value: object, path: str, errors: Errors) -> None:
    PAYMENT(value, path, errors)
    if errors or not isinstance(value, dict):
        return
    agreed = value.get("credentialOnFile", {}).get("mitAgreement")
    if agreed and "standingInstructions" not in value["order"]:
        fault(errors, "order.standingInstructions", "is required beside mitAgreement")


CHARGE: Check = _charge
"""The check for the body of ``POST /payments``."""


@define(eq=False)
class Charges:
    """What becomes of charges.

    Attributes:
        scripts: The answers of the processor to come; without one it approves.
    """

    ledger: Ledger
    vault: Vault
    scripts: deque[Result] = field(factory=deque)

    def charge(self, body: bytes) -> Answer:
        """Charges a saved card: 201 with the payment, approved or declined."""
        asked = read_body(CHARGE, body)
        if isinstance(asked, Answer):
            return asked
        saved = self.vault.find(asked["processingTerminalId"], asked["paymentMethod"]["token"])
        if saved is None:
            # No 404 here (contract section 12): what is wrong is in the body.
            errors: Errors = []
            fault(errors, "paymentMethod.token", "is no secure token of this terminal")
            return problem(400, "bad-request", "The body is not valid.", errors=errors)
        made = self._make(asked, saved)
        self.ledger.resources["payments"][made["paymentId"]] = made
        return json_answer(201, made)

    def _make(self, asked: Json, saved: Json) -> Json:
        result = self.scripts.popleft() if self.scripts else Result()
        if result.response_code == "P" and not asked["order"].get("acceptPartialAmount"):
            result = evolve(result, response_code="D", status="declined", authorized_amount=0)
        made = make_payment(new_id(), asked, result)
        source = saved["source"]
        made["card"] = {
            "type": source["cardType"],
            "entryMethod": "keyed",
            **{name: source[name] for name in ("cardholderName", "cardNumber", "expiryDate")},
            "secureToken": {
                "secureTokenId": saved["secureTokenId"],
                "customerName": source["cardholderName"],
                "token": saved["token"],
                "status": saved["status"],
            },
        }
        given = asked["order"].get("standingInstructions")
        if given:
            made["order"]["standingInstructions"] = given
        made["customFields"] = asked.get("customFields", [])
        return made
