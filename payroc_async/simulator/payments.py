"""Payments as the gateway would show them, written by hand from contract section 5."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from .answers import link_to
from .devices import Result

__all__ = ["make_payment", "sample_payment"]

Json = dict[str, Any]

MESSAGES = {
    "A": "APPROVED",
    "C": "PICK UP CARD",
    "D": "DECLINED",
    "E": "RECEIVED",
    "P": "PARTIAL APPROVAL",
    "R": "CALL ISSUER",
}

# Nothing can be done to a payment that took no money.
OPERATIONS = [
    "capture",
    "refund",
    "fullyReverse",
    "partiallyReverse",
    "incrementAuthorization",
    "adjustTip",
    "addSignature",
    "setAsPending",
]

SUBMITTED = ("processingTerminalId", "operator", "customer")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _card(body: Json) -> Json:
    card: Json = {
        "type": "Visa Credit",
        "entryMethod": "icc",
        "cardholderName": "Sarah Hazel Hopper",
        "cardNumber": "453985******7062",
        "expiryDate": "1230",
        "securityChecks": {"cvvResult": "M", "avsResult": "Y"},
        "emvTags": [
            {"hex": "4F", "value": "A0000000031010"},
            {"hex": "9F26", "value": "2C93D9F2E2D0A5F4"},
            {"hex": "9F27", "value": "80"},
        ],
    }
    if body.get("credentialOnFile", {}).get("tokenize"):
        card["secureToken"] = _secure_token()
    ebt = body.get("customizationOptions", {}).get("ebtDetails")
    if ebt:
        card["balances"] = [
            {
                "benefitCategory": ebt["benefitCategory"],
                "amount": 50000,
                "currency": body["order"]["currency"],
            }
        ]
    return card


def _secure_token() -> Json:
    token_id = "MREF_" + secrets.token_hex(8)
    return {
        "secureTokenId": token_id,
        "customerName": "Sarah Hazel Hopper",
        "token": "296753123456",
        "status": "notValidated",
        "link": link_to("self", "processing-terminals", "1234001", "secure-tokens", token_id),
    }


def _order(body: Json) -> Json:
    order: Json = {"dateTime": _now(), **body["order"]}
    agreement = body.get("credentialOnFile", {}).get("mitAgreement")
    if agreement:
        order["standingInstructions"] = {"sequence": "first", "processingModel": agreement}
    return order


def _transaction_result(body: Json, result: Result) -> Json:
    code = result.response_code
    capturing = body.get("autoCapture", True)
    status = result.status
    if code in ("A", "P") and status == "ready":
        # A pre-authorization is not queued for capture; what is processed as a sale has settled.
        status = "pending" if not capturing else "ready"
        status = "complete" if body.get("processAsSale") else status
    asked = body["order"]["amount"] if code in ("A", "E", "P") else 0
    given = result.authorized_amount
    answer = {
        "type": "sale" if capturing else "preAuthorization",
        "status": status,
        "authorizedAmount": asked if given is None else given,
        "currency": body["order"]["currency"],
        "responseCode": code,
        "responseMessage": result.response_message or MESSAGES.get(code, code),
        "processorResponseCode": code,
        "cardSchemeReferenceId": secrets.token_hex(6).upper(),
    }
    if code in ("A", "P"):
        answer["approvalCode"] = secrets.token_hex(3).upper()
    ebt = body.get("customizationOptions", {}).get("ebtDetails")
    if ebt:
        withdrawal = ebt["benefitCategory"] == "cash" and ebt.get("withdrawal")
        answer["ebtType"] = "cashWithdrawal" if withdrawal else f"{ebt['benefitCategory']}Purchase"
    return answer


def make_payment(payment_id: str, body: Json, result: Result) -> Json:
    """The payment that an instruction with this body and result leads to."""
    taken = result.response_code in ("A", "P")
    return {
        "paymentId": payment_id,
        **{name: body[name] for name in SUBMITTED if name in body},
        "order": _order(body),
        "card": _card(body),
        "refunds": [],
        "supportedOperations": list(OPERATIONS) if taken else [],
        "transactionResult": _transaction_result(body, result),
        "customFields": [],
    }


SAMPLE_ORDER: Json = {
    "orderId": "OrderRef6543",
    "dateTime": "2026-06-02T15:30:00Z",
    "description": "Large Pepperoni Pizza",
    "amount": 4999,
    "currency": "USD",
    "dccOffer": {
        "accepted": True,
        "offerReference": "DCC123456789",
        "fxAmount": 4599,
        "fxCurrency": "EUR",
        "fxCurrencyCode": "978",
        "fxCurrencyExponent": 2,
        "fxRate": 0.92,
        "markup": 3.5,
        "markupText": "3.5% mark-up",
        "provider": "DCC Provider",
        "source": "European Central Bank",
    },
    "standingInstructions": {
        "sequence": "subsequent",
        "processingModel": "recurring",
        "referenceDataOfFirstTxn": {
            "paymentId": "M2MJOG6O2Y",
            "cardSchemeReferenceId": "483921506631",
        },
    },
    "breakdown": {
        "subtotal": 4347,
        "cashbackAmount": 0,
        "tip": {"type": "percentage", "mode": "prompted", "amount": 435, "percentage": 10},
        "surcharge": {"bypass": False, "amount": 50, "percentage": 1.15},
        "dualPricing": {
            "offered": True,
            "choiceRate": {"applied": False, "rate": 3.5, "amount": 152},
            "alternativeTender": "cash",
        },
        "dutyAmount": 10,
        "freightAmount": 20,
        "convenienceFee": {"amount": 25},
        "healthcareExpenses": [{"type": "copay", "amount": 100}],
        "taxes": [{"name": "Sales Tax", "rate": 5, "amount": 217}],
        "items": [
            {
                "commodityCode": "5812-8111",
                "productCode": "PZ-1",
                "description": "Large Pepperoni Pizza",
                "unitOfMeasure": "each",
                "unitPrice": 4347,
                "quantity": 1,
                "discountRate": 5,
                "taxes": [{"name": "Sales Tax", "rate": 5, "amount": 217}],
            }
        ],
    },
}

SAMPLE_CUSTOMER: Json = {
    "firstName": "Sarah",
    "lastName": "Hopper",
    "dateOfBirth": "1990-07-15",
    "referenceNumber": "Customer-12",
    "billingAddress": {
        "address1": "1 Example Ave.",
        "address2": "Example Address Line 2",
        "address3": "Example Address Line 3",
        "city": "Chicago",
        "state": "Illinois",
        "country": "US",
        "postalCode": "60056",
    },
    "shippingAddress": {
        "recipientName": "Sarah Hopper",
        "address": {
            "address1": "1 Example Ave.",
            "city": "Chicago",
            "state": "Illinois",
            "country": "US",
            "postalCode": "60056",
        },
    },
    "contactMethods": [{"type": "email", "value": "jane.doe@example.com"}],
    "notificationLanguage": "en",
}


def sample_payment() -> Json:
    """A payment in which every part of contract section 5 appears.

    No single real payment has all of it; this one is for what reads payments.
    """
    body: Json = {
        "processingTerminalId": "1234001",
        "operator": "Jane",
        "order": SAMPLE_ORDER,
        "customer": SAMPLE_CUSTOMER,
        "credentialOnFile": {"tokenize": True},
        "customizationOptions": {"ebtDetails": {"benefitCategory": "cash"}},
    }
    payment = make_payment("E29U8OU8Q4", body, Result())
    payment["card"]["cardholderSignature"] = "iVBORw0KGgo="
    payment["customFields"] = [{"name": "yourCustomField", "value": "abc123"}]
    payment["refunds"] = [
        {
            "refundId": "CD3HN88U9F",
            "dateTime": "2026-06-03T12:00:00Z",
            "currency": "USD",
            "amount": 500,
            "status": "returned",
            "responseCode": "A",
            "responseMessage": "APPROVED",
            "link": link_to("self", "refunds", "CD3HN88U9F"),
        }
    ]
    return payment
