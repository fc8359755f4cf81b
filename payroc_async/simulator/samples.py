"""A payment with every field, for tests of code that reads payments."""

from __future__ import annotations

from typing import Any

from .behaviours import Result
from .replies import link_to
from .simulated_payments import make_payment

__all__ = ["sample_payment"]

Json = dict[str, Any]

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
    """Build a payment with every field of contract section 5.

    No real payment has all of them: use it to test code that reads payments.
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
    payment["card"]["secureToken"]["token"] = "296753123456"  # the value in Payroc's samples
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
