"""Payments without a device, from a saved card. Source: contract section 12."""

from __future__ import annotations

from collections import deque
from typing import Any

from attrs import define, evolve, field

from .behaviours import Result
from .ledger import Ledger
from .replies import Answer, json_answer, problem
from .simulated_payments import make_payment, new_id
from .validation import PAYMENT, Check, Errors, fault, read_body
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
"""The transaction status for each response code (contract section 5)."""


def _charge(value: object, path: str, errors: Errors) -> None:
    PAYMENT(value, path, errors)
    if errors or not isinstance(value, dict):
        return
    if value["paymentMethod"]["type"] != "secureToken":
        fault(errors, "paymentMethod.type", "must be secureToken: the simulator takes no card data")
        return
    agreed = value.get("credentialOnFile", {}).get("mitAgreement")
    if agreed and "standingInstructions" not in value["order"]:
        fault(errors, "order.standingInstructions", "is required beside mitAgreement")


CHARGE: Check = _charge
"""The check for the body of ``POST /payments``."""


@define(eq=False)
class Charges:
    """Charges of saved cards.

    Attributes:
        scripts: The processor's next answers. Without a script, the processor approves.
    """

    ledger: Ledger
    vault: Vault
    scripts: deque[Result] = field(factory=deque)

    def charge(self, body: bytes) -> Answer:
        """Charges a saved card: answers 201 with the payment, approved or declined."""
        asked = read_body(CHARGE, body)
        if isinstance(asked, Answer):
            return asked
        saved = self.vault.find(asked["processingTerminalId"], asked["paymentMethod"]["token"])
        if saved is None:
            # Not 404 (contract section 12): the error is in the body.
            errors: Errors = []
            fault(errors, "paymentMethod.token", "is not a secure token of this terminal")
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
