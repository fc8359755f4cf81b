"""The processing terminals that the simulator knows. Source: contract section 10."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["TERMINAL", "TIMEZONES", "cut_off", "merged", "terminal_document"]

Json = dict[str, Any]

TERMINAL = "1234001"
"""The predefined terminal, as in Payroc's samples."""

DOCUMENT: Json = {
    "processingTerminalId": TERMINAL,
    "status": "active",
    "timezone": "America/Chicago",
    "program": "Payroc Cloud",
    "gateway": {"gateway": "payroc", "terminalTemplateId": "Roc Services_DX8000"},
    "batchClosure": {"batchCloseType": "manual"},
    "applicationSettings": {"clerkPrompt": False, "invoiceNumberPrompt": True},
    "features": {
        "tips": {
            "enabled": True,
            "tipPrompt": True,
            "tipAdjust": True,
            "suggestedTips": {"enabled": True, "tipPercentages": ["10", "15", "20"]},
        },
        "enhancedProcessing": {"enabled": False},
        "ebt": {"enabled": True, "ebtType": "both"},
        "pinDebitCashback": True,
        "recurringPayments": True,
        "paymentLinks": {"enabled": False},
        "preAuthorizations": True,
        "offlinePayments": False,
    },
    "taxes": [{"taxRate": 6, "taxLabel": "Sales Tax"}],
    "security": {"tokenization": True, "avsPrompt": False, "cvvPrompt": False},
    "receiptNotifications": {"emailReceipt": False, "smsReceipt": False},
    "devices": [],
}


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:  # a system without time zones
        return UTC


# Read from disk on import: a later read would block an event loop.
TIMEZONES: dict[str, tzinfo] = {
    name: _zone(name)
    for name in (
        "Pacific/Midway",
        "Pacific/Honolulu",
        "America/Anchorage",
        "America/Los_Angeles",
        "America/Denver",
        "America/Phoenix",
        "America/Chicago",
        "America/Indiana/Indianapolis",
        "America/New_York",
    )
}


def merged(document: Json, changes: Json) -> Json:
    """Return a copy of the document with these changes; nested objects are merged."""
    made = deepcopy(document)
    for name, value in changes.items():
        known = made.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        made[name] = merged(known or {}, value) if both else deepcopy(value)
    return made


def terminal_document(terminal: str, changes: Json) -> Json:
    """Return a terminal's document: the default with these changes."""
    return {**merged(DOCUMENT, changes), "processingTerminalId": terminal}


def cut_off(document: Json, after: float) -> Json:
    """Return the answer to a request to close a batch: the time of the close, in terminal time."""
    name = document["timezone"]
    moment = datetime.now(TIMEZONES[name]) + timedelta(seconds=after)
    return {"cutOffTime": f"{moment:%H:%M}", "timezone": name}
