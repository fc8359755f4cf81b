"""Validation of request bodies against the field table; errors become a problem's ``errors``.

Source: contract sections 2, 4, 6 and 12, and `fields.json`.
"""

from __future__ import annotations

from typing import Any

import orjson

from .field_table import check_of
from .replies import Answer, problem
from .request_checks import Check, Errors, fault, record, text

__all__ = [
    "ADJUSTMENTS",
    "CAPTURE",
    "PAYMENT",
    "PAYMENT_INSTRUCTION",
    "REFUND",
    "REFUND_ADJUSTMENTS",
    "REFUND_INSTRUCTION",
    "REVERSAL",
    "SIGNATURE_INSTRUCTION",
    "TERMINAL_ID",
    "VOID",
    "Check",
    "Errors",
    "check_serial",
    "fault",
    "read_body",
]

TERMINAL_ID = text(least=4, most=50)

PAYMENT_INSTRUCTION = check_of("paymentInstructionRequest")
"""The check for the body of ``POST /devices/{serialNumber}/payment-instructions``."""
REFUND_INSTRUCTION = check_of("refundInstructionRequest")
"""The check for the body of ``POST /devices/{serialNumber}/refund-instructions``."""
SIGNATURE_INSTRUCTION = check_of("signatureInstructionRequest")
"""The check for the body of ``POST /devices/{serialNumber}/signature-instructions``."""
PAYMENT = check_of("paymentRequest")
"""The check for the body of ``POST /payments``."""
REFUND = check_of("referencedRefund")
"""The check for the body of ``POST /payments/{paymentId}/refund``."""
REVERSAL = check_of("paymentReversal")
"""The check for the body of ``POST /payments/{paymentId}/reverse``."""
CAPTURE = check_of("paymentCapture")
"""The check for the body of ``POST /payments/{paymentId}/capture``."""
ADJUSTMENTS = check_of("paymentAdjustment")
"""The check for the body of ``POST /payments/{paymentId}/adjust``."""
REFUND_ADJUSTMENTS = check_of("refundAdjustment")
"""The check for the body of ``POST /refunds/{refundId}/adjust``."""
VOID = record({})
"""The check for ``POST /refunds/{refundId}/reverse``: no body; it voids the full refund."""


def check_serial(value: object, path: str, errors: Errors) -> None:
    """Check a device's serial number: 1 to 64 printable characters."""
    text(least=1, most=64)(value, path, errors)
    if isinstance(value, str) and (value != value.strip() or not value.isprintable()):
        fault(errors, path, "must be a serial number without blanks")


def read_body(check: Check, body: bytes) -> dict[str, Any] | Answer:
    """Return the parsed body, or the 400 answer if it is invalid."""
    try:
        document: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return problem(400, "bad-request", "The body is not JSON.")
    errors: Errors = []
    check(document, "", errors)
    if errors:
        return problem(400, "bad-request", "The body is not valid.", errors=errors)
    return document
