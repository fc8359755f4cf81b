"""Payments and refunds as the gateway shows them, written by hand from contract section 5."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from .behaviours import Result
from .cards import card_document
from .replies import link_to

__all__ = [
    "make_payment",
    "make_refund",
    "new_id",
    "now",
    "set_operations",
    "show_as_sale",
    "shown_breakdown",
    "summary_of",
    "took_money",
]

Json = dict[str, Any]

MESSAGES = {
    "A": "APPROVED",
    "C": "PICK UP CARD",
    "D": "DECLINED",
    "E": "RECEIVED",
    "P": "PARTIAL APPROVAL",
    "R": "CALL ISSUER",
}

SUBMITTED = ("processingTerminalId", "operator", "customer")

# The supported operations of an approved payment, by status. In `ready` and `pending` its batch is
# open; it becomes `complete` when the batch closes, and can then only be refunded.
WHILE_OPEN = ["fullyReverse", "partiallyReverse", "adjustTip", "addSignature"]
PAYMENT_OPERATIONS = {
    "ready": [*WHILE_OPEN, "setAsPending"],
    "pending": ["capture", *WHILE_OPEN, "setAsReady"],
    "complete": ["refund"],
}
PRE_AUTHORIZATION_OPERATIONS = {
    "pending": [
        "capture",
        "fullyReverse",
        "partiallyReverse",
        "incrementAuthorization",
        "addSignature",
    ]
}
REFUND_OPERATIONS = {
    "ready": ["fullyReverse", "setAsPending"],
    "pending": ["fullyReverse", "setAsReady"],
}


def new_id() -> str:
    """Return an id in the format of payment ids."""
    return secrets.token_hex(5).upper()


def now() -> str:
    """Return the current time in the API's format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def took_money(transaction: Json) -> bool:
    """Whether a payment or refund was approved, in full or in part, and is in effect."""
    result = transaction["transactionResult"]
    return result["responseCode"] in ("A", "P") and result["status"] not in ("reversal", "expired")


def set_operations(transaction: Json) -> None:
    """Sets the supported operations of a payment or refund."""
    result = transaction["transactionResult"]
    by_status = {
        "refund": REFUND_OPERATIONS,
        "preAuthorization": PRE_AUTHORIZATION_OPERATIONS,
    }.get(result["type"], PAYMENT_OPERATIONS)
    possible = by_status.get(result["status"], []) if took_money(transaction) else []
    left = abs(result["authorizedAmount"]) - refunded(transaction)
    transaction["supportedOperations"] = [one for one in possible if one != "refund" or left > 0]


def refunded(payment: Json) -> int:
    """Return the refunded amount of a payment."""
    return sum(
        abs(one["amount"])
        for one in payment.get("refunds", [])
        if one["responseCode"] in ("A", "P") and one["status"] != "reversal"
    )


def summary_of(id_field: str, transaction: Json) -> Json:
    """Return a payment's or refund's summary for the other; a refund's amount is negative."""
    result = transaction["transactionResult"]
    amount = result["authorizedAmount"]
    if id_field == "refundId" and amount == 0:  # declined: the requested amount
        amount = -transaction["order"]["amount"]
    return {
        id_field: transaction[id_field],
        "dateTime": transaction["order"]["dateTime"],
        "currency": result["currency"],
        "amount": amount,
        "status": result["status"],
        "responseCode": result["responseCode"],
        "responseMessage": result["responseMessage"],
        "link": link_to("self", id_field.removesuffix("Id") + "s", transaction[id_field]),
    }


def shown_breakdown(breakdown: Json) -> Json:
    """Return a breakdown as read back: taxes are of one kind, with a rate (contract section 5)."""
    shown = {**breakdown}
    if "taxes" in breakdown:
        shown["taxes"] = [_shown_tax(one) for one in breakdown["taxes"]]
    if "items" in breakdown:
        shown["items"] = [shown_breakdown(one) for one in breakdown["items"]]
    return shown


def _shown_tax(tax: Json) -> Json:
    """Return a tax as read back; unknown for a tax given as an amount (contract section 15)."""
    amount = {"amount": tax["amount"]} if tax.get("amount") else {}
    return {"name": tax["name"], "rate": tax.get("rate", 0), **amount}


def _order(body: Json, result: Result) -> Json:
    order: Json = {**body["order"], "dateTime": now()}
    # An instruction takes 0 to 1,024 characters; its resource shows 1 to 256.
    if not order.get("description"):
        order.pop("description", None)
    else:
        order["description"] = order["description"][:256]
    if "dccOffer" in order:  # whether it was accepted is in requests only
        offer = order["dccOffer"].items()
        order["dccOffer"] = {name: value for name, value in offer if name != "accepted"}
    if "breakdown" in order:
        order["breakdown"] = shown_breakdown(order["breakdown"])
    agreement = body.get("credentialOnFile", {}).get("mitAgreement")
    if agreement:
        order["standingInstructions"] = {"sequence": "first", "processingModel": agreement}
    breakdown = order.get("breakdown", {})
    tip = breakdown.get("tip", {})
    if result.tip is not None and tip.get("mode") == "prompted":
        order["amount"] += result.tip
        given = {"amount": result.tip} if result.tip else {}  # Payroc has no tip of 0
        order["breakdown"] = {**breakdown, "tip": {**tip, **given}}
    return order


def _transaction_result(body: Json, order: Json, result: Result, kind: str) -> Json:
    code = result.response_code
    status = result.status
    if code in ("A", "P") and status == "ready":
        # A pre-authorization is not queued for capture; a payment processed as a sale has settled.
        status = "pending" if kind == "preAuthorization" else "ready"
        status = "complete" if body.get("processAsSale") else status
    asked = order["amount"] if code in ("A", "E", "P") else 0
    given = result.authorized_amount
    answer = {
        "type": kind,
        "status": status,
        "authorizedAmount": asked if given is None else given,
        "currency": order["currency"],
        "responseCode": code,
        "responseMessage": result.response_message or MESSAGES.get(code, code),
        "processorResponseCode": code,
        "cardSchemeReferenceId": secrets.token_hex(6).upper(),
    }
    if code in ("A", "P"):
        answer["approvalCode"] = secrets.token_hex(3).upper()
    if order.get("breakdown", {}).get("healthcareExpenses"):
        answer["healthcareIndicator"] = "Y"
    ebt = body.get("customizationOptions", {}).get("ebtDetails")
    if ebt:
        withdrawal = ebt["benefitCategory"] == "cash" and ebt.get("withdrawal")
        answer["ebtType"] = "cashWithdrawal" if withdrawal else f"{ebt['benefitCategory']}Purchase"
    return answer


def _transaction(body: Json, result: Result, kind: str) -> Json:
    order = _order(body, result)
    made: Json = {
        **{name: body[name] for name in SUBMITTED if name in body},
        "order": order,
        "card": card_document(
            result.card, result.entry, body, approved=result.response_code in ("A", "P")
        ),
        "transactionResult": _transaction_result(body, order, result, kind),
        "customFields": [],
    }
    set_operations(made)
    return made


def show_as_sale(payment: Json) -> None:
    """Shows a pre-authorization with the type ``sale``, as the published samples do.

    Only its status shows that it is a pre-authorization. A terminal without pre-authorizations does
    the same.
    """
    result = payment.get("transactionResult", {})
    if result.get("type") == "preAuthorization":
        result["type"] = "sale"
        set_operations(payment)


def make_payment(payment_id: str, body: Json, result: Result) -> Json:
    """Build the payment of an instruction with this body and result."""
    kind = "sale" if body.get("autoCapture", True) else "preAuthorization"
    return {"paymentId": payment_id, **_transaction(body, result, kind), "refunds": []}


def make_refund(refund_id: str, body: Json, result: Result) -> Json:
    """Build the refund of an instruction with this body and result."""
    made = {"refundId": refund_id, **_transaction(body, result, "refund")}
    # In a refund, too, the order's amount is positive (contract section 5).
    made["transactionResult"]["authorizedAmount"] *= -1
    return made
