"""What a chip said about a transaction, from the tags that the gateway passes on.

Tags and values are those of EMV 4.3 Book 3, annexes A and C, and Book 4, annex A. What is malformed
is left out, for a receipt must not fail for it. Tags that hold card data (the number, the expiry
date, the cardholder's name, track data) are not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from .card import EmvTag
from .shared import Model

__all__ = ["CardholderVerification", "EmvData", "read_emv_tags"]


class CardholderVerification(Enum):
    """How the cardholder was verified: tag 9F34. Source: EMV 4.3 Book 3, annex C3."""

    NOTHING = "nothing"
    """Nothing was asked for."""
    SIGNATURE = "signature"
    PIN = "PIN"
    """Checked by the chip, or sent to the issuer, whose approval then is the check."""
    PIN_AND_SIGNATURE = "PIN and signature"
    FAILED = "failed"


METHODS = {
    0x01: CardholderVerification.PIN,  # by the chip
    0x02: CardholderVerification.PIN,  # by the issuer
    0x03: CardholderVerification.PIN_AND_SIGNATURE,
    0x04: CardholderVerification.PIN,  # by the chip, enciphered
    0x05: CardholderVerification.PIN_AND_SIGNATURE,
    0x1E: CardholderVerification.SIGNATURE,
    0x1F: CardholderVerification.NOTHING,
    0x3F: CardholderVerification.NOTHING,
}
BY_CHIP = (0x01, 0x03, 0x04, 0x05)
FAILED, SUCCESSFUL = 1, 2


@frozen(kw_only=True, eq=False, repr=False)
class EmvData(Model):
    """What the chip said, as a receipt shows it. Source: contract section 5 (``emvTags``).

    Hexadecimal values are in upper case. None is what the chip did not say, or not readably.

    Attributes:
        application_label: Tag 50.
        preferred_name: Tag 9F12, in the character set that tag 9F11 names.
        aid: The application's identifier: tag 4F, 84 or 9F06.
        cryptogram: Tag 9F26.
        cryptogram_type: From tag 9F27: ``TC`` approved, ``ARQC`` sent to the issuer, ``AAC``
            declined.
        tvr: Terminal verification results, tag 95.
        tsi: Transaction status information, tag 9B.
        arc: Authorization response code, tag 8A.
        atc: Application transaction counter, tag 9F36.
        verification: How the cardholder was verified, tag 9F34.
    """

    application_label: str | None = None
    preferred_name: str | None = None
    aid: str | None = None
    cryptogram: str | None = None
    cryptogram_type: str | None = None
    tvr: str | None = None
    tsi: str | None = None
    arc: str | None = None
    atc: str | None = None
    verification: CardholderVerification | None = None

    @property
    def application(self) -> str | None:
        """What the application is called on a receipt: its preferred name, or its label."""
        return self.preferred_name or self.application_label

    def __repr__(self) -> str:
        return "<EmvData>"  # P7: what the chip said is card data


def read_emv_tags(tags: Iterable[EmvTag]) -> EmvData:
    """What the tags say; anything malformed is left out."""
    values: dict[str, str] = {}
    for tag in tags:
        if tag.hex is not None and tag.value is not None:
            values.setdefault(tag.hex.strip().upper(), tag.value.strip())
    return EmvData(
        application_label=_name(values, "50", "ascii"),
        preferred_name=_name(values, "9F12", _character_set(values)),
        # The card's own word for it first; 9F06 is the terminal's, which may be shorter.
        aid=_hex(values, "4F", 5, 16) or _hex(values, "84", 5, 16) or _hex(values, "9F06", 5, 16),
        cryptogram=_hex(values, "9F26", 8),
        cryptogram_type=_cryptogram_type(values),
        tvr=_hex(values, "95", 5),
        tsi=_hex(values, "9B", 2),
        arc=_response_code(values),
        atc=_hex(values, "9F36", 2),
        verification=_verification(values),
    )


def _bytes(values: dict[str, str], tag: str, least: int, most: int = 0) -> bytes | None:
    """The bytes of a tag if they are hexadecimal and as many as they must be."""
    text = values.get(tag, "")
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text) is None:
        return None
    found = bytes.fromhex(text)
    return found if least <= len(found) <= max(least, most) else None


def _hex(values: dict[str, str], tag: str, least: int, most: int = 0) -> str | None:
    found = _bytes(values, tag, least, most)
    return None if found is None else found.hex().upper()


def _name(values: dict[str, str], tag: str, character_set: str) -> str | None:
    """A name of at most 16 characters, from hexadecimal or from plain text."""
    found = _bytes(values, tag, 1, 16)
    try:
        name = values.get(tag, "") if found is None else found.decode(character_set)
    except (LookupError, ValueError):
        return None
    name = name.strip(" \0")
    return name if len(name) <= 16 and name.isprintable() and name else None


def _character_set(values: dict[str, str]) -> str:
    # Without tag 9F11, no one knows what the bytes mean that are not ASCII.
    index = _bytes(values, "9F11", 1)
    return f"iso8859_{index[0]}" if index else "ascii"


def _cryptogram_type(values: dict[str, str]) -> str | None:
    information = _bytes(values, "9F27", 1)
    types = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}
    return types.get(information[0] & 0xC0) if information else None


def _response_code(values: dict[str, str]) -> str | None:
    """Two characters, in hexadecimal or as they are."""
    found = _bytes(values, "8A", 2)
    code = values.get("8A", "") if found is None else found.decode("latin-1")
    return code if len(code) == 2 and code.isascii() and code.isalnum() else None


def _verification(values: dict[str, str]) -> CardholderVerification | None:
    found = _bytes(values, "9F34", 3)
    if found is None:
        return None
    method, result = found[0] & 0x3F, found[2]  # the bit above says what to do if it fails
    if method == 0 or result == FAILED:
        return CardholderVerification.FAILED
    if method in BY_CHIP and result != SUCCESSFUL:
        return None
    return METHODS.get(method)
