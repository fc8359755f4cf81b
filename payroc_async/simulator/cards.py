"""The cardholders' cards: none is real, and each is read in a different way."""

from __future__ import annotations

import secrets
from typing import Any

from attrs import evolve, frozen

from .replies import link_to

__all__ = ["CARDS", "ENTRIES", "card_document"]

Json = dict[str, Any]

ENTRIES = {
    "tap": "contactlessIcc",
    "insert": "icc",
    "swipe": "swiped",
    "keyed": "keyed",
}
"""The cardholder's actions, and the ``entryMethod`` of each (contract section 5)."""

BEGINNING = "296753"
DIGITS = 12

WITH_CHIP = ("contactlessIcc", "icc")
NOTHING_ASKED = "1F0302"


@frozen(kw_only=True)
class SimCard:
    """A card as shown in a payment.

    Source: contract section 5; the chip's tags are those of EMV 4.3 Book 3, annexes A and C.

    Args:
        type: The brand.
        entry_method: How the device reads the card by default.
        number: Masked: the first six digits and the last four.
        aid: The application identifier, if the card has a chip.
        label: The application's label.
        verification: How the cardholder is verified when the chip is read by contact (tag 9F34).
    """

    type: str
    entry_method: str
    number: str
    aid: str
    label: str
    verification: str

    def emv_tags(self, *, approved: bool) -> list[Json]:
        """Return the chip's data for one transaction; empty if the chip was not read."""
        if self.entry_method not in WITH_CHIP:
            return []
        contactless = self.entry_method == "contactlessIcc"
        tags = {
            "4F": self.aid,
            "84": self.aid,
            "50": self.label.encode().hex().upper(),
            "8A": (b"00" if approved else b"05").hex(),
            "95": "0000000000" if contactless else "0000008000",
            "9B": "0000" if contactless else "E800",
            "9F26": secrets.token_hex(8).upper(),
            "9F27": "80",
            "9F34": NOTHING_ASKED if contactless else self.verification,
            "9F36": "001C",
        }
        return [{"hex": tag, "value": value} for tag, value in tags.items()]


CARDS = {
    "visa": SimCard(
        type="Visa Credit",
        entry_method="icc",
        number="453985******7062",
        aid="A0000000031010",
        label="VISA CREDIT",
        verification="1E0300",  # a signature
    ),
    "mastercard": SimCard(
        type="Mastercard Credit",
        entry_method="contactlessIcc",
        number="555555******4444",
        aid="A0000000041010",
        label="MASTERCARD",
        verification=NOTHING_ASKED,
    ),
    "amex": SimCard(
        type="American Express",
        entry_method="icc",
        number="378282*****0005",
        aid="A00000002501",
        label="AMERICAN EXPRESS",
        verification="420302",  # a PIN, which the issuer checks
    ),
    "discover": SimCard(
        type="Discover",
        entry_method="swiped",
        number="601111******1117",
        aid="A0000001523010",
        label="DISCOVER",
        verification="1E0300",
    ),
}


def new_token() -> str:
    """Return a token in the gateway's format: its prefix, and a Luhn check digit."""
    first = BEGINNING + "".join(str(secrets.randbelow(10)) for _ in range(DIGITS - 7))
    doubled = [int(one) * (2 - at % 2) for at, one in enumerate(reversed(first))]
    return first + str(-sum(one - 9 * (one > 9) for one in doubled) % 10)


def card_document(name: str, entry: str | None, body: Json, *, approved: bool) -> Json:
    """Return the named card of `CARDS` as shown in a payment or refund.

    Args:
        name: The card's name.
        entry: The cardholder's action, from `ENTRIES`; None for the card's default.
        body: The instruction's request body.
        approved: Whether the processor approved.
    """
    card = CARDS[name]
    if entry is not None:
        card = evolve(card, entry_method=ENTRIES[entry])
    shown: Json = {
        "type": card.type,
        "entryMethod": card.entry_method,
        "cardholderName": "Sarah Hazel Hopper",
        "cardNumber": card.number,
        "expiryDate": "1230",
        "securityChecks": {"cvvResult": "M", "avsResult": "Y"},
        "emvTags": card.emv_tags(approved=approved),
    }
    if body.get("credentialOnFile", {}).get("tokenize"):
        shown["secureToken"] = secure_token(body, shown["cardholderName"])
    ebt = body.get("customizationOptions", {}).get("ebtDetails")
    if ebt:
        shown["balances"] = [
            {
                "benefitCategory": ebt["benefitCategory"],
                "amount": 50000,
                "currency": body["order"]["currency"],
            }
        ]
    return shown


def secure_token(body: Json, cardholder: str) -> Json:
    """Return a saved card as shown in its payment.

    Args:
        body: The request body; its ``credentialOnFile`` may name the record.
        cardholder: The name on the card.
    """
    token_id = body["credentialOnFile"].get("secureTokenId") or "MREF_" + secrets.token_hex(8)
    terminal = body["processingTerminalId"]
    return {
        "secureTokenId": token_id,
        "customerName": cardholder,
        "token": new_token(),
        "status": "notValidated",
        "link": link_to("self", "processing-terminals", terminal, "secure-tokens", token_id),
    }
