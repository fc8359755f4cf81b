"""Receipts: what is on them, what never is, and their layout on 32 and 42 columns."""

from __future__ import annotations

import copy
import json
import pickle
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.errors import ConfigurationError
from payroc_async.wire.converter import structure

from .test_codec import SLOW, json_of, sample

MERCHANT = ["Pizza Palace", "1 Example Ave.", "Chicago IL 60056"]
CHIP = {
    "50": "5649534120435245444954",  # VISA CREDIT
    "4F": "A0000000031010",
    "9F26": "2C93D9F2E2D0A5F4",
    "9F27": "80",
    "95": "8080008000",
    "9B": "E800",
    "8A": "3030",
    "9F36": "001C",
    "9F34": "1E0300",
    # What never may be on paper:
    "5A": "0000001234560002",
    "57": "0000001234560002D30122011000012300000F",
    "5F20": "43415244484F4C444552",
    "5F24": "301231",
}


def payment_json(tags: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """The sample payment, on a chip card, without conversion; changes are to the result."""
    data = sample("payment")
    data["card"].update(entryMethod="icc", balances=[], emvTags=as_tags(CHIP | (tags or {})))
    del data["card"]["cardholderSignature"], data["order"]["dccOffer"]
    data["transactionResult"].update(changes)
    return data


def as_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"hex": tag, "value": value} for tag, value in tags.items()]


def receipt_of(data: dict[str, Any], copy: Any = "customer", **options: Any) -> m.Receipt:
    return structure(data, m.Payment).receipt(merchant=MERCHANT, copy=copy, **options)


def squeezed(receipt: m.Receipt, width: int = 42) -> list[str]:
    """The lines, with runs of spaces as one."""
    return [" ".join(line.split()) for line in receipt.text(width).splitlines()]


def width_of(line: str) -> int:
    """Columns on paper, counted the slow way."""
    wide = sum(unicodedata.east_asian_width(each) in ("W", "F") for each in line)
    marks = sum(unicodedata.category(each) in ("Mn", "Me") for each in line)
    return len(line) + wide - marks


def test_the_merchants_copy_of_an_approved_sale() -> None:
    """The merchant's copy on 42 columns, whole, as it is printed."""
    assert receipt_of(payment_json(), "merchant").text() == (
        "               Pizza Palace\n"
        "              1 Example Ave.\n"
        "             Chicago IL 60056\n"
        "\n"
        "                   SALE\n"
        "              MERCHANT COPY\n"
        "\n"
        "Date               2026-06-02 15:30:00 UTC\n"
        "Terminal                           1234001\n"
        "Operator                              Jane\n"
        "Order                         OrderRef6543\n"
        "Payment                         M2MJOG6O2Y\n"
        "------------------------------------------\n"
        "Card                           Visa Credit\n"
        "Number                 **** **** **** 0002\n"
        "Entry                                 Chip\n"
        "Application                    VISA CREDIT\n"
        "AID                         A0000000031010\n"
        "------------------------------------------\n"
        "Subtotal                         33.47 USD\n"
        "Tip                               5.02 USD\n"
        "Surcharge                         0.50 USD\n"
        "Choice rate 3.5%                  1.17 USD\n"
        "State tax 6.25%                   2.09 USD\n"
        "Convenience fee                   0.25 USD\n"
        "Duty                              0.10 USD\n"
        "Freight                           0.20 USD\n"
        "Cashback                          1.00 USD\n"
        "TOTAL                            49.99 USD\n"
        "------------------------------------------\n"
        "                 APPROVED\n"
        "Approval code                          OK3\n"
        "Response                    A APPROVAL OK3\n"
        "------------------------------------------\n"
        "ARQC                      2C93D9F2E2D0A5F4\n"
        "TVR                             8080008000\n"
        "TSI                                   E800\n"
        "ARC                                     00\n"
        "ATC                                   001C\n"
        "------------------------------------------\n"
        "\n"
        "\n"
        "X_________________________________________\n"
        "                Signature\n"
        "I agree to pay the above total as my\n"
        "agreement with the card issuer says."
    )


def test_the_customers_copy() -> None:
    """The customer's copy has no signature line and no response, but says to be kept."""
    lines = squeezed(receipt_of(payment_json()))
    assert "CUSTOMER COPY" in lines
    assert lines[-1] == "PLEASE KEEP THIS RECEIPT"
    assert not any(line.startswith(("X_", "Response")) for line in lines)
    assert "Approval code OK3" in lines


def test_a_partial_approval() -> None:
    """A partial approval says what was authorized, and what is still to pay."""
    receipt = receipt_of(payment_json(responseCode="P", authorizedAmount=2000), "merchant")
    lines = squeezed(receipt)
    for line in (
        "PARTIALLY APPROVED",
        "TOTAL 49.99 USD",
        "AUTHORIZED 20.00 USD",
        "STILL TO PAY 29.99 USD",
        "I agree to pay the above authorized amount",
    ):
        assert line in lines
    assert receipt.authorized is not None
    assert receipt.authorized.minor_units == 2000
    assert receipt.remaining is not None
    assert receipt.remaining.minor_units == 2999


def test_a_partial_approval_of_nobody_knows_what() -> None:
    """A partial approval without its amount never looks as if all was paid."""
    lines = squeezed(receipt_of(payment_json(responseCode="P", authorizedAmount=None)))
    assert "AUTHORIZED A PART, NOT KNOWN" in lines
    other = receipt_of(payment_json(responseCode="P", authorizedAmount=2000, currency="EUR"))
    assert "AUTHORIZED 20.00 EUR" in squeezed(other)
    assert other.remaining is None


@pytest.mark.parametrize(
    ("code", "said", "noted"),
    [
        ("D", "DECLINED", "NOT CHARGED"),
        ("R", "DECLINED", "NOT CHARGED"),
        ("C", "DECLINED", "NOT CHARGED"),
        ("E", "RECEIVED, NOT YET APPROVED", None),
        ("Z", "RESULT UNKNOWN", None),
    ],
)
def test_what_is_not_approved(code: str, said: str, noted: str | None) -> None:
    """Nothing but an approval looks like one: no code, no total, no signature, no PIN verified."""
    data = payment_json(
        {"9F34": "020000"}, responseCode=code, responseMessage="Zap", status="ready"
    )
    data["order"]["dccOffer"] = sample("payment")["order"]["dccOffer"]
    for whose in ("customer", "merchant"):
        receipt = receipt_of(data, whose)
        lines = squeezed(receipt)
        assert said in lines
        assert noted is None or noted in lines
        assert "AMOUNT 49.99 USD" in lines
        for word in ("APPROVED", "PIN VERIFIED", "CURRENCY CONVERSION"):
            assert word not in lines
        assert not any(line.startswith(("TOTAL", "Approval", "X_", "AUTHOR")) for line in lines)
        assert (f"Response {code} Zap" in lines) is (whose == "merchant")
        assert (receipt.approved, receipt.approval_code) == (False, None)


def test_a_voided_payment() -> None:
    """A payment that was approved and then voided does not look as if it were paid."""
    lines = squeezed(receipt_of(payment_json(status="reversal"), "merchant"))
    assert "REVERSED" in lines
    assert any(line.strip().startswith("VOID ") for line in lines)
    assert "NOT CHARGED" in lines
    assert "AMOUNT 49.99 USD" in lines
    assert "APPROVED" not in lines
    assert not any(line.startswith("X_") for line in lines)


def test_more_was_authorized_than_ordered() -> None:
    """Where another sum was authorized than ordered, as with a tip, both are there."""
    lines = squeezed(receipt_of(payment_json(authorizedAmount=5999)))
    assert "TOTAL 49.99 USD" in lines
    assert "AUTHORIZED 59.99 USD" in lines


@pytest.mark.parametrize("copy", ["customer", "merchant"])
@pytest.mark.parametrize("code", ["A", "P", "D"])
def test_a_refunds_sums_have_no_sign(copy: Any, code: str) -> None:
    """Contract section 5: a negative authorizedAmount says the direction, which the title does."""
    receipts = []
    for authorized in (1000, -1000, 400, -400):
        data = sample("refund")
        data["order"]["dccOffer"] = sample("payment")["order"]["dccOffer"]
        data["transactionResult"].update(authorizedAmount=authorized, responseCode=code)
        receipts.append(structure(data, m.Refund).receipt(copy=copy).text(42))
    assert receipts[0] == receipts[1]
    assert receipts[2] == receipts[3]
    assert "-10.00" not in receipts[1]
    assert ("AUTHORIZED 4.00 USD" in " ".join(receipts[2].split())) == (code != "D")


def test_a_receipt_of_what_little_is_known() -> None:
    """What the gateway does not say is not on it; the total is what was approved in full."""
    result = {"responseCode": "A", "authorizedAmount": 4999, "currency": "USD"}
    parts = {
        "taxes": [{"amount": 371}, {"name": "City", "rate": "8.25"}, {"name": "VAT", "amount": 5}],
        "tip": {"percentage": 15},
        "dualPricing": {"choiceRate": {"applied": True, "amount": 7}},
        "convenienceFee": {},
    }
    card = {"balances": [{"benefitCategory": "cash"}, {"amount": 5, "currency": "USD"}],
            "emvTags": [{"hex": "9F26"}, {"value": "00"}]}  # fmt: skip
    data = {"paymentId": "X1", "transactionResult": result, "card": card,
            "order": {"breakdown": parts}}  # fmt: skip
    lines = squeezed(structure(data, m.Payment).receipt())
    assert [line for line in lines if line and not line.startswith("---")] == [
        "PAYMENT",
        "CUSTOMER COPY",
        "Payment X1",
        "Number **** **** **** ****",
        "Choice rate 0.07 USD",
        "Tax 3.71 USD",
        "VAT 0.05 USD",
        "TOTAL 49.99 USD",
        "APPROVED",
        "Card balance 0.05 USD",
        "PLEASE KEEP THIS RECEIPT",
    ]


@pytest.mark.parametrize(
    ("result", "total", "authorized"),
    [
        ({"responseCode": "A"}, "TOTAL ?", None),
        ({"responseCode": "D", "authorizedAmount": 4999, "currency": "USD"}, "AMOUNT ? USD", None),
        ({"responseCode": "P", "authorizedAmount": 3000, "currency": "USD"}, "TOTAL ? USD",
         "AUTHORIZED 30.00 USD"),
        ({"responseCode": "A", "authorizedAmount": 30, "currency": "JPY"}, "TOTAL 30 JPY", None),
        ({"responseCode": "A", "authorizedAmount": 30},
         "TOTAL 30 of the smallest unit of an unknown currency", None),
    ],
)  # fmt: skip
def test_the_sums_of_an_order_that_is_not_there(
    result: dict[str, Any], total: str, authorized: str | None
) -> None:
    """A sum that is not known is no other sum: it is shown as not known."""
    data = {"paymentId": "X1", "transactionResult": result}
    text = " ".join(structure(data, m.Payment).receipt().text(60).split())
    assert total in text
    assert ("AUTHORIZED" in text) == (authorized is not None)
    assert (authorized or "") in text
    assert "STILL TO PAY" not in text


@pytest.mark.parametrize("gone", ["fxAmount", "fxCurrency", "fxRate", "markup"])
def test_a_conversion_of_which_a_part_is_not_known(gone: str) -> None:
    """The block that the law requires stands there with all that is known."""
    data = sample("payment")
    whole = squeezed(structure(data, m.Payment).receipt())
    data = sample("payment")
    data["order"]["dccOffer"][gone] = {}
    lines = squeezed(structure(data, m.Payment).receipt())
    assert "CURRENCY CONVERSION" in lines
    lost = {"fxAmount": "TRANSACTION AMOUNT", "fxRate": "Rate USD", "markup": "Mark-up"}
    for line in whole:
        if gone in lost and not line.startswith(lost[gone]):
            assert line in lines
    assert any(line.startswith("Rate") for line in lines) == (gone != "fxRate")


def test_a_refund() -> None:
    """A refund's receipt says that it is one, of which payment, and asks for no agreement."""
    data = sample("refund")
    data["card"]["emvTags"] = as_tags(CHIP)
    refund = structure(data, m.Refund)
    lines = squeezed(refund.receipt(merchant=MERCHANT, copy="merchant"))
    for line in ("REFUND", "Refund CD3HN88U9F", "Of payment M2MJOG6O2Y", "TOTAL 10.00 USD"):
        assert line in lines
    assert "X" + "_" * 41 in lines
    assert not any("agree to pay" in line or "I was offered" in line for line in lines)
    data["transactionResult"]["responseCode"] = "D"
    del data["payment"]
    lines = squeezed(structure(data, m.Refund).receipt())
    assert "NOT REFUNDED" in lines
    assert not any(line.startswith("Of payment") for line in lines)


def test_a_currency_conversion() -> None:
    """A conversion shows both sums, rate, mark-up, who and the choice, if it was accepted."""
    data = payment_json()
    data["order"]["dccOffer"] = {**sample("payment")["order"]["dccOffer"], "fxRate": 0.791158}
    text = receipt_of(data).text()
    for line in (
        "TOTAL                            49.99 USD\n",
        "Rate USD to CAD                   0.791158\n",
        "Mark-up                               3.5%\n",
        "TRANSACTION AMOUNT               39.55 CAD\n",
        "Converted by DCC provider at the rates of\nECB.\n",
        "I was offered to pay in USD, and chose to\npay in CAD at this rate and mark-up. My\n",
    ):
        assert line in text
    data["transactionResult"].update(responseCode="P", authorizedAmount=1)
    assert "Rate USD" in receipt_of(data).text()
    assert "39.55" not in receipt_of(data).text()  # that was the whole
    for accepted in (False, None):
        data["order"]["dccOffer"]["accepted"] = accepted
        assert "CONVERSION" not in receipt_of(data).text()


@pytest.mark.parametrize(
    ("results", "kind", "said", "signs"),
    [
        ("1E0300", m.CardholderVerification.SIGNATURE, None, True),
        ("5e0300", m.CardholderVerification.SIGNATURE, None, True),
        ("020300", m.CardholderVerification.PIN, "PIN VERIFIED", False),
        ("420302", m.CardholderVerification.PIN, "PIN VERIFIED", False),
        ("010302", m.CardholderVerification.PIN, "PIN VERIFIED", False),
        ("440302", m.CardholderVerification.PIN, "PIN VERIFIED", False),
        ("030302", m.CardholderVerification.PIN_AND_SIGNATURE, "PIN VERIFIED", True),
        ("1F0302", m.CardholderVerification.NOTHING, "NO SIGNATURE REQUIRED", False),
        ("3F0000", m.CardholderVerification.NOTHING, "NO SIGNATURE REQUIRED", False),
        ("010301", m.CardholderVerification.FAILED, "CARDHOLDER NOT VERIFIED", False),
        ("000000", m.CardholderVerification.FAILED, "CARDHOLDER NOT VERIFIED", False),
        ("010300", None, None, False),
        ("2A0300", None, None, False),
        ("1E03", None, None, False),
        ("1E03XX", None, None, False),
        ("", None, None, False),
    ],
)
def test_how_the_cardholder_was_verified(
    results: str, kind: object, said: str | None, signs: bool
) -> None:
    """The chip says whether a PIN was checked, a signature is needed, or nothing."""
    receipt = receipt_of(payment_json({"9F34": results}), "merchant")
    assert receipt.verification is kind
    assert receipt.signature_needed is signs
    lines = squeezed(receipt)
    assert any(line.startswith("X_") for line in lines) is signs
    for words in ("PIN VERIFIED", "NO SIGNATURE REQUIRED", "CARDHOLDER NOT VERIFIED"):
        assert (words in lines) is (words == said)


@pytest.mark.parametrize(
    ("entry", "words", "signs"),
    [
        ("icc", "Chip", False),
        ("keyed", "Keyed", True),
        ("swiped", "Swiped", True),
        ("swipedFallback", "Swiped, chip not read", True),
        ("contactlessIcc", "Contactless", False),
        ("contactlessMsr", "Contactless, magnetic stripe", False),
        ("brandNew", "brandNew", False),
        (None, None, False),
    ],
)
def test_entry_methods(entry: str | None, words: str | None, signs: bool) -> None:
    """The entry method is in plain words; without a chip, a stripe or a key pad is signed for."""
    data = payment_json()
    data["card"].update(entryMethod=entry, emvTags=[])
    receipt = receipt_of(data, "merchant")
    assert receipt.entry_method == words
    assert receipt.signature_needed is signs
    assert (f"Entry {words}" in squeezed(receipt)) is (words is not None)
    data["card"]["cardholderSignature"] = "U2lnbmF0dXJl"
    signed = squeezed(receipt_of(data, "merchant"))
    assert ("SIGNED ON THE DEVICE" in signed) is signs
    assert not any(line.startswith("X_") for line in signed)


@pytest.mark.parametrize(
    ("tags", "attribute", "value"),
    [
        ({"50": "VISA CREDIT"}, "application_label", "VISA CREDIT"),
        ({"50": "0000"}, "application_label", None),
        ({"50": "1B40"}, "application_label", None),
        ({"50": "A" * 17}, "application_label", None),
        ({"9F12": "434220C9", "9F11": "01"}, "application", "CB É"),
        ({"9F12": "434220C9"}, "application", "VISA CREDIT"),
        ({"9F12": "434220C9", "9F11": "0C"}, "application", "VISA CREDIT"),
        ({"9F12": "434220C9", "9F11": "FF"}, "application", "VISA CREDIT"),
        ({"9F12": "434220"}, "application", "CB"),
        ({"4f": "a0000000041010"}, "aid", "A0000000031010"),
        ({"4F": "", "84": "a0000000041010"}, "aid", "A0000000041010"),
        ({"4F": "zz", "9F06": "A0000000041010"}, "aid", "A0000000041010"),
        ({"4F": "A0", "84": "A" * 34}, "aid", None),
        ({"9F26": "2c93d9f2e2d0a5f4"}, "cryptogram", "2C93D9F2E2D0A5F4"),
        ({"9F26": "2C93"}, "cryptogram", None),
        ({"9F27": "40"}, "cryptogram_type", "TC"),
        ({"9F27": "00"}, "cryptogram_type", "AAC"),
        ({"9F27": "C0"}, "cryptogram_type", None),
        ({"9F27": "8"}, "cryptogram_type", None),
        ({"8A": "Z3"}, "arc", "Z3"),
        ({"8A": "5A33"}, "arc", "Z3"),
        ({"8A": "0A0A"}, "arc", None),
        ({"95": "00 00"}, "tvr", None),
        ({"9B": "\u0663\u0663\u0663\u0663"}, "tsi", None),
        ({"9F36": "001C-emv-value"}, "atc", None),
    ],
)
def test_emv_tags(tags: dict[str, str], attribute: str, value: str | None) -> None:
    """Each tag is read by its name in either case, and left out if it is malformed."""
    receipt = receipt_of(payment_json(tags))
    assert getattr(receipt.emv, attribute) == value
    assert receipt.text()


def test_tags_in_lower_case() -> None:
    """A whole chip in lower case, tags and values, gives the same receipt."""
    data = payment_json()
    data["card"]["emvTags"] = as_tags({tag.lower(): value.lower() for tag, value in CHIP.items()})
    assert receipt_of(data).text() == receipt_of(payment_json()).text()


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("400000******9990", "9990"),
        ("XXXXXXXXXXXX9990", "9990"),
        ("****9990", "9990"),
        ("0000001234569990", "9990"),
        ("9990", "****"),
        ("", "****"),
        ("400000******", "****"),
        ("400000", "****"),
    ],
)
def test_the_masked_number(number: str, shown: str) -> None:
    """Of the card's number the last four digits are shown, and never the first."""
    data = payment_json()
    data["card"]["cardNumber"] = number
    receipt = receipt_of(data)
    assert receipt.card_number == f"**** **** **** {shown}"
    assert f"Number **** **** **** {shown}" in squeezed(receipt, 32)
    assert "400000" not in receipt.text()


@pytest.mark.parametrize("whose", ["customer", "merchant"])
def test_p7_what_is_never_on_a_receipt(whose: str) -> None:
    """No expiry date, no first digits, no name, no token; and no repr says more than the brand."""
    data = payment_json()
    receipt = receipt_of(data, whose)
    for text in (receipt.text(32), receipt.text(42), repr(receipt)):
        for never in ("1230", "3012", "400000", "Hopper", "CARDHOLDER\n", "296753123456", "D3012"):
            assert never not in text
    for hidden in ("0002", "2C93D9F2E2D0A5F4", "A0000000031010"):
        assert hidden not in repr(receipt)


def test_ebt_balances() -> None:
    """What is left on an EBT card is on the customer's copy alone."""
    data = payment_json()
    data["card"]["balances"] = sample("payment")["card"]["balances"]
    assert "Food stamp balance 1234.00 USD" in squeezed(receipt_of(data))
    assert "1234.00" not in receipt_of(data, "merchant").text()


def test_the_time_of_the_place() -> None:
    """The caller's time goes before the order's; without one there is no date."""
    data = payment_json()
    local = datetime(2026, 6, 2, 10, 30, 5, 999, tzinfo=timezone(timedelta(hours=-5)))
    for moment, line in (
        (local, "Date 2026-06-02 10:30:05-05:00"),
        (local.replace(tzinfo=None), "Date 2026-06-02 10:30:05"),
        (local.astimezone(UTC), "Date 2026-06-02 15:30:05 UTC"),
        (None, "Date 2026-06-02 15:30:00 UTC"),
    ):
        assert line in squeezed(receipt_of(data, date_time=moment), 32)
    del data["order"]["dateTime"]
    assert "Date" not in receipt_of(data).text()


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("sale", "SALE"),
        ("refund", "REFUND"),
        ("preAuthorization", "PRE-AUTHORIZATION"),
        ("preAuthorizationCompletion", "COMPLETION"),
        ("brandNew", "PAYMENT"),
        (None, "PAYMENT"),
    ],
)
def test_titles(kind: str | None, title: str) -> None:
    """A receipt says what was done."""
    assert title in squeezed(receipt_of(payment_json(type=kind)))


def test_what_the_order_is_made_of() -> None:
    """Sums that are nothing are left out, and so is a subtotal that is the whole."""
    data = payment_json()
    data["order"]["breakdown"] = {"subtotal": 4999, "cashbackAmount": 0, "tip": {"type": "x"}}
    assert receipt_of(data).sums == ()
    data["order"]["breakdown"]["subtotal"] = 4000
    assert [each.label for each in receipt_of(data).sums] == ["Subtotal"]
    del data["order"]["breakdown"]
    assert receipt_of(data).sums == ()


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("merchant", {"merchant": "Pizza Palace"}),
        ("merchant", {"merchant": [1]}),
        ("merchant", {"merchant": None}),
        ("copy", {"copy": "Merchant"}),
        ("date_time", {"date_time": "2026-06-02"}),
    ],
)
def test_wrong_arguments(field: str, options: dict[str, Any]) -> None:
    """A wrong argument is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError) as caught:
        structure(payment_json(), m.Payment).receipt(**options)
    assert caught.value.field == field


@pytest.mark.parametrize("width", [23, 0, -1, True, 32.0, "32", None])
def test_wrong_widths(width: Any) -> None:
    """A width is an int of at least 24 columns."""
    with pytest.raises(ConfigurationError, match=r"^width: "):
        receipt_of(payment_json()).text(width)


def test_a_receipt_is_a_value() -> None:
    """A receipt compares and hashes by value, and pickles."""
    receipt = receipt_of(payment_json())
    assert receipt == receipt_of(payment_json())
    assert hash(receipt) == hash(receipt_of(payment_json()))
    assert pickle.loads(pickle.dumps(receipt)) == copy.deepcopy(receipt) == receipt


# Layout


@pytest.mark.parametrize("width", [24, 32, 42, 80])
def test_long_things_wrap(width: int) -> None:
    """What is too long for a line goes on on the next, and nothing of it is lost."""
    data = payment_json()
    data["order"]["orderId"] = "O" * 100
    data["card"]["type"] = "A brand whose name is longer than what the paper is wide for, by far"
    data["order"]["amount"] = 2**63 - 1
    receipt = receipt_of(data)
    text = receipt.text(width)
    assert text.count("O" * width) == 100 // width
    assert "".join(text.split()).count("O" * 100) == 1
    assert "".join(data["card"]["type"].split()) in "".join(text.split())
    assert "92233720368547758.07 USD" in text
    assert all(len(line) <= width and line == line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize(("length", "lines"), [(26, 1), (27, 2), (32, 2)])
def test_label_and_value_never_touch(length: int, lines: int) -> None:
    """A value shares the line with its label only where a space fits between them."""
    data = payment_json()
    data["order"]["orderId"] = "7" * length
    printed = receipt_of(data).text(32).splitlines()
    at = next(i for i, line in enumerate(printed) if line.startswith("Order"))
    expected = [f"Order {'7' * 26}"] if lines == 1 else ["Order", ("7" * length).rjust(32)]
    assert printed[at : at + lines] == expected


def test_nothing_steers_the_printer() -> None:
    """Control characters in what the gateway or the merchant gives do not reach the printer."""
    data = payment_json(responseMessage="\x1bi\x1d\x56\x00 CUT\r\n\u202eevil\u2028")
    data["order"]["orderId"] = "a\tb\x1b@c"
    receipt = structure(data, m.Payment).receipt(merchant=["\x1b@Shop\n\n", ""], copy="merchant")
    text = receipt.text()
    assert all(each == "\n" or each.isprintable() for each in text)
    assert "Order a b @c" in squeezed(receipt)
    assert text.splitlines()[1] == ""


def test_wide_characters_take_two_columns() -> None:
    """A name in Chinese or with combining marks stays within the paper."""
    data = payment_json()
    data["operator"] = "\u738b" * 30
    data["card"]["type"] = "\N{FULLWIDTH LATIN CAPITAL LETTER A}" * 20
    data["order"]["orderId"] = "e\u0301" * 30
    lines = receipt_of(data).text(32).splitlines()
    assert max(map(width_of, lines)) == 32
    assert "\u738b" * 16 in lines
    assert "e\u0301" * 30 in [line.strip() for line in lines]


DIGITS = st.text("0123456789", min_size=4, max_size=4)
TAGS = st.lists(
    st.fixed_dictionaries(
        {
            "hex": st.sampled_from([*CHIP, *(tag.lower() for tag in CHIP), "9F12", "9F11", "zz"]),
            "value": st.text(max_size=20)
            | st.binary(max_size=12).map(bytes.hex)
            | st.sampled_from(list(CHIP.values())),
        }
    ),
    max_size=12,
)
FIRST_SIX, EXPIRY = "\u24b6\u24b7\u24b8\u24b9\u24ba\u24bb", "\u2460\u2461\u2462\u2463"
"""They stand for digits, so that they cannot be there by chance."""


@SLOW
@given(
    data=json_of(m.Payment) | json_of(m.Refund),
    tags=TAGS,
    last=DIGITS,
    merchant=st.lists(st.text(max_size=60), max_size=3),
    whose=st.sampled_from(["customer", "merchant"]),
)
def test_any_receipt(
    data: dict[str, Any], tags: list[dict[str, str]], last: str, merchant: list[str], whose: Any
) -> None:
    """Any payment or refund has a receipt within the paper, without expiry and first digits."""
    hidden = dict.fromkeys(map(ord, FIRST_SIX + EXPIRY), "?")
    data, tags, merchant = json.loads(
        json.dumps([data, tags, merchant], ensure_ascii=False).translate(hidden)
    )
    secret = [
        {"hex": "5A", "value": f"{FIRST_SIX}{last}"},
        {"hex": "57", "value": f"{FIRST_SIX}{last}D{EXPIRY}"},
        {"hex": "5F24", "value": EXPIRY},
    ]
    data.setdefault("card", {}).update(
        cardNumber=f"{FIRST_SIX}******{last}",
        expiryDate=EXPIRY,
        cardholderName=EXPIRY,
        emvTags=[*secret, *tags],
    )
    model: Any = structure(data, m.Payment if "paymentId" in data else m.Refund)
    receipt = model.receipt(merchant=merchant, copy=whose)
    for width in (32, 42):
        text = receipt.text(width)
        assert all(width_of(line) <= width for line in text.split("\n"))
        assert f"**** **** **** {last}" in text
        assert not set(text) & set(FIRST_SIX + EXPIRY)
        total = receipt.total.minor_units
        assert ("?" if total is None else str(abs(total))[-2:]) in text
        assert all(each == "\n" or each.isprintable() for each in text)
    assert not set(repr(receipt)) & set(FIRST_SIX + EXPIRY)


@SLOW
@given(
    amounts=st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4),
    currency=st.sampled_from(["USD", "JPY", "BHD", "CLF"]),
)
def test_no_number_is_cut(amounts: list[int], currency: str) -> None:
    """Every sum is whole on one line, at both widths, with its currency."""
    data = payment_json(responseCode="P", authorizedAmount=amounts[0], currency=currency)
    data["order"].update(amount=amounts[1], currency=currency)
    data["order"]["breakdown"] = {
        "subtotal": amounts[2],
        "taxes": [{"name": "A tax with a very long name", "rate": 6.25, "amount": amounts[3]}],
    }
    receipt = receipt_of(data)
    for width in (32, 42):
        found = re.findall(r"[0-9.]+ [A-Z]{3}$", receipt.text(width), re.MULTILINE)
        sums = [*receipt.sums, receipt.total, receipt.authorized, receipt.remaining]
        assert [each for each in found if each.endswith(currency)] == [
            str(each) for each in sums if each is not None
        ]


def test_a_voided_partial_approval_asks_for_nothing() -> None:
    """What was voided is not authorized, and leaves nothing to pay by another card."""
    data = payment_json(status="reversal")
    data["transactionResult"] |= {"responseCode": "P", "authorizedAmount": 2000}
    lines = squeezed(receipt_of(data))
    assert "REVERSED" in lines
    assert not any(line.startswith(("STILL TO PAY", "AUTHORIZED")) for line in lines)


def test_a_surcharge_that_was_bypassed_is_none() -> None:
    """A surcharge that the merchant bypassed is no part of the sum."""
    data = payment_json()
    data["order"]["breakdown"] = {
        "subtotal": 4999,
        "surcharge": {"bypass": True, "amount": 50},
        "tip": {"type": "fixedAmount", "amount": 0},
    }
    assert not any(line.startswith("Surcharge") for line in squeezed(receipt_of(data)))


@pytest.mark.parametrize(("taxes", "line"), [([], "Tip 15% 6.52 USD"), ([None], None)])
def test_a_tip_of_a_percentage_is_what_is_left_of_the_total(
    taxes: list[int | None], line: str | None
) -> None:
    """A tip without its sum is worked out where nothing else is open, and never guessed."""
    data = payment_json()
    data["order"]["breakdown"] = {
        "subtotal": 4347,
        "tip": {"type": "percentage", "percentage": 15},
        "taxes": [{"name": "Tax", "rate": 1, "amount": amount} for amount in taxes],
    }
    lines = squeezed(receipt_of(data))
    assert [it for it in lines if it.startswith("Tip")] == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("type_", "status", "title", "approved"),
    [
        ("sale", "pending", "PRE-AUTHORIZATION", True),
        ("preAuthorization", "pending", "PRE-AUTHORIZATION", True),
        ("sale", "ready", "SALE", True),
        ("sale", "expired", "EXPIRED SALE", False),
        ("preAuthorization", "expired", "EXPIRED PRE-AUTHORIZATION", False),
        ("sale", "reversal", "VOID SALE", False),
    ],
)
def test_the_title_says_what_money_is_taken(
    type_: str, status: str, title: str, approved: bool
) -> None:
    """What is pending is reserved, whatever its type says; what expired takes nothing."""
    receipt = receipt_of(payment_json(type=type_, status=status))
    assert (receipt.title, receipt.approved) == (title, approved)
