"""Look-ups of cards and of terminals' configurations; no money moves.

Source: contract sections 10 and 13.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from .cards import CARDS
from .field_table import check_of
from .replies import Answer, json_answer, problem
from .validation import Check, Errors, fault, read_body
from .vault import Vault

__all__ = ["Lookups", "device_configuration", "host_configuration"]

Json = dict[str, Any]

NO_CARDS = "the simulator takes no card data"
BRANDS = {"3": "amex", "4": "visa", "5": "mastercard", "6": "discover"}
"""The card for each beginning of a number."""

BIN_LOOKUP: Check = check_of("binLookup")
"""The check for the body of ``POST /cards/bin-lookup``."""
BALANCE: Check = check_of("balanceInquiry")
"""The check for the body of ``POST /cards/balance``."""

DEVICE_MODELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "paxA920Pro": ("pax", ("MagStripe", "Icc", "Keyed", "Contactless", "PinEntry")),
    "idtechKioskV": ("idTech", ("Icc", "Contactless")),
    "ingenicoAxiumRx7000": ("ingenico", ("MagStripe", "Icc", "Keyed", "Contactless", "PinEntry")),
}
"""The device models that the simulator knows, with their entry methods."""
INPUTS = ("MagStripe", "Icc", "Keyed", "Contactless", "PinEntry")


def device_configuration(model: str) -> Json | None:
    """Return a device model's capabilities, if known."""
    known = DEVICE_MODELS.get(model)
    if known is None:
        return None
    manufacturer, reads = known
    attended = "PinEntry" in reads
    return {
        "model": model,
        "manufacturer": manufacturer,
        **{f"supports{one}": one in reads for one in INPUTS},
        "supportsOutputPrinting": attended,
        "supportsOutputDisplaying": True,
        "supportsAttended": attended,
        "supportsUnattended": not attended,
        "applications": [
            {"identifier": card.aid, "version": "0096", "card": name, "matchType": "full"}
            for name, card in CARDS.items()
        ],
    }


def host_configuration(terminal: str, account: str) -> Json:
    """Return a terminal's configuration at its processor."""
    return {
        "processingTerminalId": terminal,
        "processingAccountId": account,
        "configuration": {
            "processor": "tsys",
            "merchant": {"posMid": "999999999999", "chainNumber": "000000", "binNumber": "999995"},
            "terminal": {"terminalId": terminal[-8:], "terminalNumber": "1515"},
        },
    }


@define(eq=False)
class Lookups:
    """The known cards.

    Attributes:
        surcharging: What a merchant that surcharges shows of it; None without surcharges.
        balances: What is left on EBT cards, by the benefit, in the smallest unit.
        response_code: What the issuer says to the next questions for a balance.
    """

    vault: Vault
    surcharging: Json | None = None
    balances: dict[str, int] = field(factory=lambda: {"cash": 50000, "foodStamp": 50000})
    response_code: str = "A"

    def look_up(self, body: bytes) -> Answer:
        """Look up a card, by a saved card or the beginning of a number."""
        asked = read_body(BIN_LOOKUP, body)
        if isinstance(asked, Answer):
            return asked
        card = asked["card"]
        match card["type"]:
            case "secureToken":
                number = self._number_of(card["token"], asked.get("processingTerminalId"))
                if number is None:
                    return problem(404, "not-found", "There is no such secure token.")
            case "cardBin":
                number = f"{card['bin'][:6]}******0000"
            case _:
                return _refuse("card.type", NO_CARDS)
        brand = BRANDS.get(number[0])
        if brand is None or not number[:6].isdigit():
            return problem(404, "not-found", "No card begins so.")
        info: Json = {
            "type": CARDS[brand].type,
            "cardNumber": number,
            "country": "US",
            "currency": "USD",
            "debit": False,
            "healthcare": False,
        }
        if self.surcharging is not None:
            info["surcharging"] = self._surcharge(asked.get("amount"))
        return json_answer(200, info)

    def _number_of(self, token: str, terminal: str | None) -> str | None:
        for (owner, _), one in self.vault.records.items():
            if one["token"] == token and terminal in (None, owner):
                return str(one["source"]["cardNumber"])
        return None

    def _surcharge(self, amount: int | None) -> Json:
        shown = dict(self.surcharging or {})
        if amount is not None and shown.get("allowed") and "percentage" in shown:
            shown["amount"] = max(1, round(amount * shown["percentage"] / 100))
        return shown

    def balance(self, body: bytes, terminals: dict[str, Json]) -> Answer:
        """Answer with an EBT card's balance; a refusal is 200, too."""
        asked = read_body(BALANCE, body)
        if isinstance(asked, Answer):
            return asked
        if asked["card"]["type"] != "singleUseToken":
            return _refuse("card.type", NO_CARDS)
        terminal = terminals.get(asked["processingTerminalId"], {})
        if not terminal.get("features", {}).get("ebt", {}).get("enabled"):
            return _refuse("processingTerminalId", "is in no sharing group for EBT")
        wanted = asked["card"].get("ebtDetails", {}).get("benefitCategory")
        approved = self.response_code == "A"
        card: Json = {
            "type": "EBT",
            "entryMethod": "keyed",
            "cardNumber": "600760******7964",
            "expiryDate": "1230",
        }
        if approved:
            card["balances"] = [
                {"benefitCategory": name, "amount": left, "currency": asked["currency"]}
                for name, left in self.balances.items()
                if wanted in (None, name)
            ]
        answer: Json = {
            "processingTerminalId": asked["processingTerminalId"],
            "card": card,
            "responseCode": self.response_code,
            "responseMessage": "APPROVAL" if approved else "DECLINED",
        }
        if "operator" in asked:
            answer["operator"] = asked["operator"]
        return json_answer(200, answer)


def _refuse(name: str, what: str) -> Answer:
    errors: Errors = []
    fault(errors, name, what)
    return problem(400, "bad-request", "The body is not valid.", errors=errors)
