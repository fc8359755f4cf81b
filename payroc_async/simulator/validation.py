"""Request bodies against the contract's field tables: what is wrong, as a problem's ``errors``.

Unknown fields are tolerated. A field that may be left out may not be null.

Source: contract sections 2, 4 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import orjson

from .answers import Answer, problem

__all__ = [
    "ADJUSTMENTS",
    "CAPTURE",
    "PAYMENT_INSTRUCTION",
    "REFUND",
    "REFUND_ADJUSTMENTS",
    "REFUND_INSTRUCTION",
    "REVERSAL",
    "SIGNATURE_INSTRUCTION",
    "VOID",
    "Check",
    "Errors",
    "fault",
    "read_body",
]

Errors = list[dict[str, str]]
Check = Callable[[object, str, Errors], None]


def fault(errors: Errors, path: str, what: str) -> None:
    """Adds what is wrong with the field at `path`."""
    message = f"{path or 'The body'} {what}."
    errors.append({"parameter": path, "detail": message, "message": what})


def text(*, least: int = 0, most: int | None = None) -> Check:
    """A check for a string of `least` to `most` characters."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, str):
            fault(errors, path, "must be a string")
        elif len(value) < least or (most is not None and len(value) > most):
            fault(errors, path, f"must have {least} to {most} characters")

    return check


def one_of(*words: str) -> Check:
    """A check for one of these words."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, str) or value not in words:
            fault(errors, path, f"must be one of {', '.join(words)}")

    return check


def amount(value: object, path: str, errors: Errors) -> None:
    """An amount is a whole number of the currency's smallest unit: no bool, no float, no sign."""
    if isinstance(value, bool) or not isinstance(value, int):
        fault(errors, path, "must be an integer in the currency's smallest unit")
    elif value < 0:
        fault(errors, path, "must not be negative")


def some_amount(value: object, path: str, errors: Errors) -> None:
    """An amount of more than nothing."""
    amount(value, path, errors)
    if type(value) is int and value == 0:
        fault(errors, path, "must be more than 0")


def number(value: object, path: str, errors: Errors) -> None:
    """A number, whole or not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        fault(errors, path, "must be a number")


def flag(value: object, path: str, errors: Errors) -> None:
    """True or false."""
    if not isinstance(value, bool):
        fault(errors, path, "must be true or false")


def currency(value: object, path: str, errors: Errors) -> None:
    """The shape of an ISO 4217 code."""
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{3}", value):
        fault(errors, path, "must be an ISO 4217 currency code")


def day(value: object, path: str, errors: Errors) -> None:
    """A date, such as 1990-07-15."""
    try:
        # fromisoformat() alone would also take 19900715 and 1990-W28-7.
        good = isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        good = False
    if not good:
        fault(errors, path, "must be a date (YYYY-MM-DD)")


def moment(value: object, path: str, errors: Errors) -> None:
    """A date and time in ISO 8601."""
    try:
        good = isinstance(value, str) and "T" in value and bool(datetime.fromisoformat(value))
    except ValueError:
        good = False
    if not good:
        fault(errors, path, "must be a date and time in ISO 8601")


def list_of(item: Check, *, least: int = 0) -> Check:
    """A check for a list of at least so many items, which all pass `item`."""

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, list):
            fault(errors, path, "must be a list")
            return
        if len(value) < least:
            fault(errors, path, f"must have at least {least}")
        for index, entry in enumerate(value):
            item(entry, f"{path}[{index}]", errors)

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """A check for an object with these fields."""
    fields = {**required, **(optional or {})}

    def check(value: object, path: str, errors: Errors) -> None:
        if not isinstance(value, dict):
            fault(errors, path, "must be an object")
            return
        prefix = f"{path}." if path else ""
        for name in required:
            if name not in value:
                fault(errors, prefix + name, "is required")
        for name, entry in value.items():
            if name in fields:
                fields[name](entry, prefix + name, errors)

    return check


def variant(**kinds: Check) -> Check:
    """A check for an object that passes what its ``type`` names."""
    type_ = one_of(*kinds)

    def check(value: object, path: str, errors: Errors) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        chosen = kinds.get(kind) if isinstance(kind, str) else None
        (chosen or record({"type": type_}))(value, path, errors)

    return check


words = text()

ADDRESS = record(
    {"address1": words, "city": words, "state": words, "country": words, "postalCode": words},
    {"address2": words, "address3": words},
)

CONTACT_METHOD = record({"type": one_of("email", "phone", "mobile", "fax"), "value": words})

SHIPPING_ADDRESS = record({}, {"recipientName": words, "address": ADDRESS})

CUSTOMER = record(
    {},
    {
        "firstName": words,
        "lastName": words,
        "dateOfBirth": day,
        "referenceNumber": words,
        "billingAddress": ADDRESS,
        "shippingAddress": SHIPPING_ADDRESS,
        "contactMethods": list_of(CONTACT_METHOD),
        "notificationLanguage": one_of("en", "fr"),
    },
)

IP_ADDRESS = record({"type": one_of("ipv4", "ipv6"), "value": words})

TIP = record(
    {"type": one_of("percentage", "fixedAmount")},
    {"mode": one_of("prompted", "adjusted"), "amount": amount, "percentage": number},
)

DUAL_PRICING = record(
    {"offered": flag},
    {
        "choiceRate": record({"applied": flag, "rate": number, "amount": amount}),
        "alternativeTender": one_of("card", "cash", "bankTransfer"),
    },
)

HEALTHCARE_EXPENSE = record(
    {
        "type": one_of("copay", "clinic", "dental", "prescription", "transit", "vision"),
        "amount": amount,
    }
)

BREAKDOWN = record(
    {"subtotal": amount},
    {
        "cashbackAmount": amount,
        "tip": TIP,
        "surcharge": record({}, {"bypass": flag, "amount": amount, "percentage": number}),
        "dualPricing": DUAL_PRICING,
        "taxes": list_of(record({"type": one_of("rate"), "rate": number, "name": words})),
        "healthcareExpenses": list_of(HEALTHCARE_EXPENSE),
    },
)

TAX = variant(
    rate=record({"rate": number, "name": words}), amount=record({"amount": amount, "name": words})
)

ITEMIZED_BREAKDOWN = record(
    {"subtotal": amount},
    {
        "cashbackAmount": amount,
        "tip": TIP,
        "surcharge": record({}, {"bypass": flag}),
        "dualPricing": DUAL_PRICING,
        "taxes": list_of(TAX),
        "healthcareExpenses": list_of(HEALTHCARE_EXPENSE),
        "dutyAmount": amount,
        "freightAmount": amount,
        "items": list_of(
            record(
                {"unitPrice": amount, "quantity": number},
                {"description": words, "discountRate": number, "taxes": list_of(TAX)},
            )
        ),
    },
)

SALE_ORDER = record(
    {"orderId": words, "amount": amount, "currency": currency},
    {
        "dateTime": moment,
        "description": words,
        "acceptPartialAmount": flag,
        "breakdown": BREAKDOWN,
    },
)

CREDENTIAL_ON_FILE = record(
    {},
    {
        "externalVault": flag,
        "tokenize": flag,
        "secureTokenId": words,
        "mitAgreement": one_of("unscheduled", "recurring", "installment"),
    },
)

CUSTOMIZATION_OPTIONS = record(
    {},
    {
        "entryMethod": one_of("deviceRead", "manualEntry", "deviceReadOrManualEntry"),
        "ebtDetails": record(
            {"benefitCategory": one_of("cash", "foodStamp")},
            {"withdrawal": flag},
        ),
        "closedLoopOptions": record({"type": one_of("mifare")}),
    },
)

TERMINAL_ID = text(least=4, most=50)

PAYMENT_INSTRUCTION = record(
    {"processingTerminalId": TERMINAL_ID, "order": SALE_ORDER},
    {
        "operator": words,
        "customer": CUSTOMER,
        "ipAddress": IP_ADDRESS,
        "credentialOnFile": CREDENTIAL_ON_FILE,
        "customizationOptions": CUSTOMIZATION_OPTIONS,
        "autoCapture": flag,
        "processAsSale": flag,
    },
)
"""The check for the body of ``POST /devices/{serialNumber}/payment-instructions``."""


REFUND_INSTRUCTION = record(
    {
        "processingTerminalId": TERMINAL_ID,
        "order": record(
            {"orderId": words, "description": words, "amount": amount, "currency": currency},
            {"dateTime": moment},
        ),
    },
    {
        "operator": words,
        "customer": CUSTOMER,
        "ipAddress": IP_ADDRESS,
        "customizationOptions": CUSTOMIZATION_OPTIONS,
    },
)
"""The check for the body of ``POST /devices/{serialNumber}/refund-instructions``."""

SIGNATURE_INSTRUCTION = record({"processingTerminalId": TERMINAL_ID})
"""The check for the body of ``POST /devices/{serialNumber}/signature-instructions``."""

REFUND = record({"amount": some_amount, "description": words}, {"operator": words})
"""The check for the body of ``POST /payments/{paymentId}/refund``."""

REVERSAL = record({}, {"amount": some_amount, "operator": words})
"""The check for the body of ``POST /payments/{paymentId}/reverse``."""

CAPTURE = record(
    {},
    {
        "processingTerminalId": TERMINAL_ID,
        "operator": words,
        "amount": some_amount,
        "breakdown": ITEMIZED_BREAKDOWN,
    },
)
"""The check for the body of ``POST /payments/{paymentId}/capture``."""

ADJUSTMENT = variant(
    order=record({"amount": some_amount}, {"breakdown": record({}, {"tip": TIP})}),
    status=record({"toStatus": one_of("ready", "pending")}),
    customer=record(
        {}, {"shippingAddress": SHIPPING_ADDRESS, "contactMethods": list_of(CONTACT_METHOD)}
    ),
    signature=record({"cardholderSignature": text(least=1)}),
)

REFUND_ADJUSTMENT = variant(
    status=record({"toStatus": one_of("ready", "pending")}),
    customer=record(
        {}, {"shippingAddress": SHIPPING_ADDRESS, "contactMethods": list_of(CONTACT_METHOD)}
    ),
)

REFUND_ADJUSTMENTS = record(
    {"adjustments": list_of(REFUND_ADJUSTMENT, least=1)}, {"operator": words}
)
"""The check for the body of ``POST /refunds/{refundId}/adjust``."""

ADJUSTMENTS = record({"adjustments": list_of(ADJUSTMENT, least=1)}, {"operator": words})
"""The check for the body of ``POST /payments/{paymentId}/adjust``."""


VOID = record({})
"""The check for ``POST /refunds/{refundId}/reverse``, which has no body and voids all of it."""


def read_body(check: Check, body: bytes) -> dict[str, Any] | Answer:
    """What the body says, or the 400 that it gets."""
    try:
        document: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return problem(400, "bad-request", "The body is not JSON.")
    errors: Errors = []
    check(document, "", errors)
    if errors:
        return problem(400, "bad-request", "The body is not valid.", errors=errors)
    return document
