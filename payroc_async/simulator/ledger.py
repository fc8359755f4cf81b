"""Payments and refunds after the sale: changes, and the close of the batch.

Documents are replaced, never changed in place: earlier reads stay unchanged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from typing import Any

from attrs import define, field

from .behaviours import Result
from .replies import Answer, json_answer, problem
from .simulated_payments import (
    make_refund,
    new_id,
    refunded,
    set_operations,
    shown_breakdown,
    summary_of,
)
from .validation import (
    ADJUSTMENTS,
    CAPTURE,
    REFUND,
    REFUND_ADJUSTMENTS,
    REVERSAL,
    VOID,
    Check,
    fault,
    read_body,
)

__all__ = ["CHANGES", "DECLINES", "OPERATIONS", "Ledger"]

Json = dict[str, Any]


class Refused(Exception):
    """A change that is not possible, with the error answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


def _require(transaction: Json, *operations: str) -> None:
    """Refuses operations that are not among the document's own supported operations."""
    if not set(operations) & set(transaction["supportedOperations"]):
        possible = ", ".join(transaction["supportedOperations"]) or "nothing"
        detail = f"{' or '.join(operations)} is not possible now, but {possible}."
        raise Refused(problem(409, "cannot-be-modified", detail))


def _at_most(amount: int, most: int) -> None:
    if amount > most:
        errors: list[dict[str, str]] = []
        fault(errors, "amount", f"must not be more than the remaining {most}")
        raise Refused(problem(400, "bad-request", "The body is not valid.", errors=errors))


@define(eq=False)
class Ledger:
    """Payments, refunds and the other resources, and their days of settlement.

    Source: contract sections 2, 5 and 6.

    Attributes:
        resources: Each collection's documents by id.
        settled: The day of settlement of each payment in a closed batch.
        declines: The processor's scripted declines of the next changes, by operation.
    """

    resources: dict[str, dict[str, Json]] = field(
        factory=lambda: {
            name: {} for name in ("payments", "refunds", "signatures", "closed-loop-reads")
        }
    )
    settled: dict[str, date] = field(factory=dict)
    declines: dict[str, deque[Result]] = field(factory=dict)

    def change(self, collection: str, id_: str, action: str, body: bytes) -> Answer:
        """Makes one of `CHANGES` if possible now; answers with the payment or refund.

        A change that the processor declines is answered with 200, too, and has no effect.
        """
        known = self.resources[collection].get(id_)
        if known is None:
            where = f"/v1/{collection}/{id_}"
            return problem(404, "not-found", f"There is no {where}.", resource=where)
        operation, check, act = CHANGES[collection, action]
        # Without required fields, a client may omit the body.
        asked = read_body(check, body or b"{}")
        if isinstance(asked, Answer):
            return asked
        changed = deepcopy(known)
        try:
            act(self, changed, asked)
        except Refused as refused:
            return refused.answer
        declined = self._next_decline(operation)
        if declined is not None:
            changed = deepcopy(known)
            if operation != "refund" or _is_open(known):
                return json_answer(200, _declined(changed, declined))
            self._add_refund(changed, asked, declined)
        elif operation == "refund" and not _is_open(known):
            self._add_refund(changed, asked, Result())
        self._keep(collection, id_, changed)
        return json_answer(200, changed)

    def _next_decline(self, operation: str) -> Result | None:
        waiting = self.declines.get(operation)
        return waiting.popleft() if waiting else None

    def expire(self) -> None:
        """Expires every ``pending`` payment."""
        for id_, one in list(self.resources["payments"].items()):
            if one["transactionResult"]["status"] == "pending":
                changed = deepcopy(one)
                changed["transactionResult"]["status"] = "expired"
                self._keep("payments", id_, changed)

    def close_batch(self, day: date, terminal: str | None = None) -> list[Json]:
        """Settles every ``ready`` payment and refund, of one terminal or of all.

        Returns:
            The settled documents, and the payments processed as sales, reported with them.
        """
        settled: list[Json] = []
        for collection in ("refunds", "payments"):
            for id_, one in list(self.resources[collection].items()):
                status = one["transactionResult"]["status"]
                if terminal not in (None, one["processingTerminalId"]) or id_ in self.settled:
                    continue
                if status == "ready":
                    one = deepcopy(one)
                    one["transactionResult"]["status"] = "complete"
                    self._keep(collection, id_, one)
                if status in ("ready", "complete"):
                    self.settled[id_] = day
                    settled.append(one)
        return settled

    def forget(self) -> None:
        """Forgets everything."""
        self.settled.clear()
        self.declines.clear()
        for documents in self.resources.values():
            documents.clear()

    def refund(self, payment: Json, asked: Json) -> None:
        """Refunds a settled payment in full or in part; reverses a payment in the open batch."""
        result = payment["transactionResult"]
        if _is_open(payment):
            _at_most(asked["amount"], result["authorizedAmount"])
            self.reverse(payment, asked)
            return
        _require(payment, "refund")
        _at_most(asked["amount"], result["authorizedAmount"] - refunded(payment))

    def _add_refund(self, payment: Json, asked: Json, said: Result) -> None:
        result = payment["transactionResult"]
        order = {
            "orderId": payment["order"]["orderId"],
            "description": asked["description"],
            "amount": asked["amount"],
            "currency": result["currency"],
        }
        body = {"processingTerminalId": payment["processingTerminalId"], "order": order}
        if "operator" in asked:
            body["operator"] = asked["operator"]
        made = {
            **make_refund(new_id(), body, said),
            "card": deepcopy(payment["card"]),
            "payment": summary_of("paymentId", payment),
        }
        self.resources["refunds"][made["refundId"]] = made
        payment["refunds"].append(summary_of("refundId", made))

    def reverse(self, payment: Json, asked: Json) -> None:
        """Voids a payment in the open batch, or lowers its amount."""
        result = payment["transactionResult"]
        amount = asked.get("amount", result["authorizedAmount"])
        if amount >= result["authorizedAmount"]:
            self.void(payment, asked)
            _at_most(amount, result["authorizedAmount"])
        else:
            _require(payment, "partiallyReverse")
            result["authorizedAmount"] -= amount

    def void(self, transaction: Json, asked: Json) -> None:
        """Voids a payment or a refund in the open batch."""
        _require(transaction, "fullyReverse")
        transaction["transactionResult"]["status"] = "reversal"

    def capture(self, payment: Json, asked: Json) -> None:
        """Captures a pre-authorization in full or in part."""
        _require(payment, "capture")
        result = payment["transactionResult"]
        amount = asked.get("amount", result["authorizedAmount"])
        _at_most(amount, result["authorizedAmount"])
        result.update(status="ready", authorizedAmount=amount)
        if result["type"] == "preAuthorization":
            result["type"] = "preAuthorizationCompletion"
        order = payment["order"]
        if "amount" in asked:
            order["amount"] = asked["amount"]
        if "breakdown" in asked:
            order["breakdown"] = shown_breakdown(asked["breakdown"])

    def adjust(self, payment: Json, asked: Json) -> None:
        """Makes all adjustments in order, or none."""
        for one in asked["adjustments"]:
            _adjust(payment, one)
            set_operations(payment)

    def _keep(self, collection: str, id_: str, changed: Json) -> None:
        """Stores the changed document, and updates a refund's summary in its payment."""
        set_operations(changed)
        self.resources[collection][id_] = changed
        payment = self.resources["payments"].get(changed.get("payment", {}).get("paymentId"))
        if payment is not None:
            payment = deepcopy(payment)
            payment["refunds"] = [
                summary_of("refundId", changed) if one["refundId"] == id_ else one
                for one in payment["refunds"]
            ]
            self._keep("payments", payment["paymentId"], payment)


def _is_open(transaction: Json) -> bool:
    """Whether the document is in the open batch."""
    return transaction["transactionResult"]["status"] in ("ready", "pending")


def _declined(transaction: Json, said: Result) -> Json:
    """Return the answer to a change that the processor declined."""
    transaction["transactionResult"].update(
        status=said.status, responseCode=said.response_code, responseMessage=said.response_message
    )
    return transaction


def _adjust(payment: Json, adjustment: Json) -> None:
    order, result = payment["order"], payment["transactionResult"]
    if adjustment["type"] == "order":
        _require(payment, "adjustTip", "incrementAuthorization")
        if "tip" in adjustment.get("breakdown", {}):
            before = order.get("breakdown", {"subtotal": order["amount"]})
            order["breakdown"] = {**before, "tip": adjustment["breakdown"]["tip"]}
        order["amount"] = result["authorizedAmount"] = adjustment["amount"]
    elif adjustment["type"] == "status":
        to = adjustment["toStatus"]
        _require(payment, "setAsReady" if to == "ready" else "setAsPending")
        result["status"] = to
    elif adjustment["type"] == "customer":
        # No supported operation names this change: allow it while the batch is open.
        _require(payment, "fullyReverse")
        changed = {name: adjustment[name] for name in adjustment if name != "type"}
        payment["customer"] = {**payment.get("customer", {}), **changed}
    else:
        _require(payment, "addSignature")
        payment["card"]["cardholderSignature"] = adjustment["cardholderSignature"]


CHANGES: dict[tuple[str, str], tuple[str, Check, Callable[[Ledger, Json, Json], None]]] = {
    ("payments", "refund"): ("refund", REFUND, Ledger.refund),
    ("payments", "reverse"): ("reverse", REVERSAL, Ledger.reverse),
    ("payments", "capture"): ("capture", CAPTURE, Ledger.capture),
    ("payments", "adjust"): ("adjust", ADJUSTMENTS, Ledger.adjust),
    ("refunds", "reverse"): ("reverse_refund", VOID, Ledger.void),
    ("refunds", "adjust"): ("adjust_refund", REFUND_ADJUSTMENTS, Ledger.adjust),
}
"""The changes, by collection and last path segment.

Each has the operation's name, its body's check, and the function that makes the change.
"""
OPERATIONS = tuple(operation for operation, _, _ in CHANGES.values())
DECLINES = {"D": "declined", "R": "referral", "C": "pickup", "E": "accepted"}
"""The transaction status for each response code that is not an approval."""
