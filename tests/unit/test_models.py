"""The models: open enums, the checks of requests, a payment's outcome, and what a repr shows."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.errors import ConfigurationError, PaymentDeclinedError, PayrocError
from payroc_async.wire.converter import encode, structure, unstructure

SAMPLES = Path(__file__).parents[1] / "samples"
ENUMS = [
    kind
    for name in m.__all__
    if isinstance(kind := getattr(m, name), type)
    and issubclass(kind, m.OpenEnum)
    and kind is not m.OpenEnum
]
WORDS = st.text(max_size=20)
# Written out from contract sections 3 to 6, not taken from the code.
CONTRACT: dict[type[m.OpenEnum], str] = {
    m.InstructionStatus: "inProgress completed failure canceled",
    m.TipType: "percentage fixedAmount",
    m.TipMode: "prompted adjusted",
    m.AlternativeTender: "card cash bankTransfer",
    m.TaxType: "rate amount",
    m.EbtType: (
        "cashPurchase cashPurchaseWithCashback foodStampPurchase foodStampVoucherPurchase "
        "foodStampReturn foodStampVoucherReturn cashBalanceInquiry foodStampBalanceInquiry "
        "cashWithdrawal"
    ),
    m.HealthcareIndicator: "Y N C R",
    m.SecureTokenStatus: (
        "notValidated cvvValidated validationFailed issueNumberValidated cardNumberValidated "
        "bankAccountValidated"
    ),
    m.HealthcareExpenseType: "copay clinic dental prescription transit vision",
    m.ContactType: "email phone mobile fax",
    m.NotificationLanguage: "en fr",
    m.IpAddressType: "ipv4 ipv6",
    m.MitAgreement: "unscheduled recurring installment",
    m.InstructionEntryMethod: "deviceRead manualEntry deviceReadOrManualEntry",
    m.BenefitCategory: "cash foodStamp",
    m.ClosedLoopType: "mifare",
    m.EntryMethod: "icc keyed swiped swipedFallback contactlessIcc contactlessMsr",
    m.CvvResult: "M N P U",
    m.AvsResult: "Y A Z N U R G S F W X",
    m.AdjustmentStatus: "ready pending",
    m.Tender: "creditDebit ebt",
    m.SupportedOperation: "capture refund fullyReverse partiallyReverse incrementAuthorization "
    "adjustTip addSignature setAsReady setAsPending",
    m.StandingInstructionsSequence: "first subsequent",
    m.ProcessingModel: "unscheduled recurring installment",
    m.TransactionType: "sale refund preAuthorization preAuthorizationCompletion",
    m.TransactionStatus: "ready pending declined complete referral pickup reversal admin expired "
    "accepted returned",
    m.ResponseCode: "A D E P R C",
    # Contract sections 10 to 12.
    m.TerminalStatus: "active inactive",
    m.ServiceFeeBasis: "creditPercentage debitPercentage debitAmount",
    m.BatchCloseType: "automatic manual",
    m.EbtFeatureType: "foodStamp cash both",
    m.TransactionDataLevel: "level2 level3",
    m.AddressMode: "fullAddress postalCode",
    m.CommunicationType: "bluetooth cellular ethernet wifi",
    m.SettlementType: "capture return",
    m.SettlementStatus: "fullSuspense heldAudited heldReleasedAudited holdForSettlement30Days "
    "holdForSettlementDuplicate holdLongTerm paid paidByThirdParty partialRelease pull release "
    "new held unknown",
    m.SettlementEntryMethod: "barcodeRead smartChipRead swipedOriginUnknown contactlessChip "
    "ecommerce manuallyEntered manuallyEnteredFallback swiped swipedFallback swipedError "
    "scannedCheckReader credentialOnFile unknown",
    m.SettlementCardType: "visa masterCard discover debit ebt wrightExpress voyager amex "
    "privateLabel storedValue discoverRetained jcbNonSettled dinersClub amexOptBlue fuelman "
    "unknown",
    m.Channel: "pos web moto",
}


def payment_json() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / "payment.json").read_bytes())
    return loaded


def a_payment(response_code: str = "A") -> m.Payment:
    data = payment_json()
    data["transactionResult"]["responseCode"] = response_code
    return structure(data, m.Payment)


# Open enums


@pytest.mark.parametrize("kind", ENUMS)
def test_known_words_are_members(kind: type[m.OpenEnum]) -> None:
    """Each word of the contract, and no other, gives its member, equal to its string."""
    assert [member.value for member in kind] == CONTRACT[kind].split()
    for member in kind:
        assert kind(member.value) is member
        assert member == member.value
        assert member.known


@given(kind=st.sampled_from(ENUMS), word=WORDS)
def test_unknown_words_are_kept(kind: type[m.OpenEnum], word: str) -> None:
    """An unknown word equals its string, hashes like it, and is the same word again as text."""
    member = kind(word)
    assert type(member) is kind
    assert member == word
    assert hash(member) == hash(word)
    assert str(member) == f"{member}" == member.value == word
    assert type(member.value) is str
    assert member == kind(word)
    assert member.known is (word in {listed.value for listed in kind})


@given(kind=st.sampled_from(ENUMS), word=WORDS, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_words_survive_pickle_and_copy(kind: type[m.OpenEnum], word: str, protocol: int) -> None:
    """Pickle and copy give the same word of the same enum."""
    for again in (
        pickle.loads(pickle.dumps(kind(word), protocol)),
        copy.copy(kind(word)),
        copy.deepcopy(kind(word)),
    ):
        assert type(again) is kind
        assert again == word
        assert again.known is kind(word).known


def test_unknown_words_are_not_listed() -> None:
    """A word that the contract does not know never becomes a listed member."""
    before = list(m.TransactionStatus)
    member = m.TransactionStatus("settling")
    assert list(m.TransactionStatus) == before
    assert member is not m.TransactionStatus("settling")
    assert member != m.TransactionStatus.READY


def test_a_member_name_is_not_its_word() -> None:
    """A word spelled like a member's name is unknown."""
    assert not m.InstructionStatus("COMPLETED").known
    assert m.InstructionStatus("COMPLETED") != m.InstructionStatus.COMPLETED


def test_enum_repr() -> None:
    """The repr of an unknown word shows the word and no member's name."""
    assert repr(m.TransactionStatus("settling")) == "<TransactionStatus: 'settling'>"
    assert repr(m.TransactionStatus.READY) == "<TransactionStatus.READY: 'ready'>"


@pytest.mark.parametrize("value", [None, 5, 1.5, True, b"ready", [], {}, m.TipType.PERCENTAGE])
def test_what_is_no_word_is_refused(value: Any) -> None:
    """What is not a string, or is a word of another enum, is a ValueError."""
    with pytest.raises(ValueError, match="must be a TransactionStatus or its word"):
        m.TransactionStatus(value)


# Requests: each class with the least that makes it

ADDRESS = {"address1": "1 Ave", "city": "C", "state": "S", "country": "US", "postal_code": "1"}
ORDER: dict[str, Any] = {"order_id": "o1", "amount": 4999, "currency": "USD"}
REFUND_ORDER: dict[str, Any] = {**ORDER, "description": "Broken"}
LEAST: dict[type[Any], dict[str, Any]] = {
    m.Address: ADDRESS,
    m.ShippingAddress: {},
    m.ContactMethod: {"type": "email", "value": "a@example.com"},
    m.Customer: {},
    m.Tip: {"type": "percentage"},
    m.Surcharge: {},
    m.ChoiceRate: {"applied": True, "rate": 1.5, "amount": 2},
    m.DualPricing: {"offered": False},
    m.Tax: {"rate": 5, "name": "State tax"},
    m.HealthcareExpense: {"type": "copay", "amount": 1},
    m.Breakdown: {"subtotal": 1},
    m.TaxAmount: {"amount": 1, "name": "Bag tax"},
    m.LineItem: {"unit_price": 1, "quantity": 1},
    m.ItemizedBreakdown: {"subtotal": 1},
    m.BreakdownAdjustment: {},
    m.Order: ORDER,
    m.IpAddress: {"type": "ipv4", "value": "203.0.113.7"},
    m.CredentialOnFile: {},
    m.EbtDetails: {"benefit_category": "cash"},
    m.ClosedLoopOptions: {},
    m.CustomizationOptions: {},
    m.PaymentInstructionRequest: {"processing_terminal_id": "1234001", "order": m.Order(**ORDER)},
    m.RefundOrder: REFUND_ORDER,
    m.RefundInstructionRequest: {
        "processing_terminal_id": "1234001",
        "order": m.RefundOrder(**REFUND_ORDER),
    },
    m.SignatureInstructionRequest: {"processing_terminal_id": "1234001"},
    m.ReferencedRefundRequest: {"amount": 4999, "description": "Broken"},
    m.ReversalRequest: {},
    m.CaptureRequest: {},
    m.OrderAdjustment: {"amount": 4999},
    m.StatusAdjustment: {"to_status": "pending"},
    m.CustomerAdjustment: {},
    m.SignatureAdjustment: {"cardholder_signature": "iVBORw0KGgo="},
    m.AdjustmentRequest: {"adjustments": (m.OrderAdjustment(amount=1),)},
    m.RefundAdjustmentRequest: {"adjustments": (m.StatusAdjustment(to_status="ready"),)},
}
FIELDS = [(cls, field) for cls in LEAST for field in attrs.fields(cls) if field.init]
AMOUNTS = [
    (m.Tip, "amount"),
    (m.Surcharge, "amount"),
    (m.ChoiceRate, "amount"),
    (m.HealthcareExpense, "amount"),
    (m.Breakdown, "subtotal"),
    (m.Breakdown, "cashback_amount"),
    (m.Order, "amount"),
    (m.RefundOrder, "amount"),
    (m.ReferencedRefundRequest, "amount"),
    (m.ReversalRequest, "amount"),
    (m.CaptureRequest, "amount"),
    (m.OrderAdjustment, "amount"),
    (m.TaxAmount, "amount"),
    (m.LineItem, "unit_price"),
    (m.ItemizedBreakdown, "subtotal"),
    (m.ItemizedBreakdown, "duty_amount"),
    (m.ItemizedBreakdown, "freight_amount"),
]
NUMBERS = [
    (m.Tip, "percentage"),
    (m.Surcharge, "percentage"),
    (m.ChoiceRate, "rate"),
    (m.Tax, "rate"),
]
FLAGS = [
    (m.Surcharge, "bypass"),
    (m.ChoiceRate, "applied"),
    (m.Order, "accept_partial_amount"),
    (m.CredentialOnFile, "external_vault"),
    (m.CredentialOnFile, "tokenize"),
    (m.EbtDetails, "withdrawal"),
    (m.PaymentInstructionRequest, "auto_capture"),
    (m.PaymentInstructionRequest, "process_as_sale"),
]
ENUM_FIELDS = [
    (m.ContactMethod, "type", m.ContactType.EMAIL),
    (m.Customer, "notification_language", m.NotificationLanguage.FRENCH),
    (m.Tip, "type", m.TipType.FIXED_AMOUNT),
    (m.Tip, "mode", m.TipMode.ADJUSTED),
    (m.DualPricing, "alternative_tender", m.AlternativeTender.CASH),
    (m.Tax, "type", m.TaxType.RATE),
    (m.HealthcareExpense, "type", m.HealthcareExpenseType.VISION),
    (m.IpAddress, "type", m.IpAddressType.IPV4),
    (m.CredentialOnFile, "mit_agreement", m.MitAgreement.RECURRING),
    (m.EbtDetails, "benefit_category", m.BenefitCategory.FOOD_STAMP),
    (m.ClosedLoopOptions, "type", m.ClosedLoopType.MIFARE),
    (m.CustomizationOptions, "entry_method", m.InstructionEntryMethod.MANUAL_ENTRY),
    (m.StatusAdjustment, "to_status", m.AdjustmentStatus.READY),
]
LISTS: list[tuple[type[Any], str, type[Any]]] = [
    (m.Customer, "contact_methods", m.ContactMethod),
    (m.Breakdown, "taxes", m.Tax),
    (m.Breakdown, "healthcare_expenses", m.HealthcareExpense),
    (m.CustomerAdjustment, "contact_methods", m.ContactMethod),
    (m.ItemizedBreakdown, "taxes", m.TaxAmount),
    (m.ItemizedBreakdown, "items", m.LineItem),
    (m.LineItem, "taxes", m.Tax),
    (m.RefundAdjustmentRequest, "adjustments", m.StatusAdjustment),
    (m.AdjustmentRequest, "adjustments", m.StatusAdjustment),
]


def make(cls: type[Any], **changes: Any) -> Any:
    return cls(**{**LEAST[cls], **changes})


def refusal(cls: type[Any], field: str, value: Any) -> str:
    """The text of the error that a wrong value gives, which must name the field."""
    with pytest.raises(ConfigurationError) as caught:
        make(cls, **{field: value})
    error = caught.value
    assert isinstance(error, ValueError)
    assert isinstance(error, PayrocError)
    assert error.field == field
    assert str(error).startswith(f"{field}: ")
    assert error.__cause__ is None
    assert error.__context__ is None
    return str(error)


@pytest.mark.parametrize(("cls", "field"), FIELDS, ids=lambda it: getattr(it, "__name__", ""))
def test_every_field_refuses_a_wrong_type(cls: type[Any], field: Any) -> None:
    """No field of a request takes what is nothing like it, and the error names the field."""
    for value in (object(), b"bytes", {"a": object()}, 1j):
        refusal(cls, field.name, value)


@pytest.mark.parametrize(("cls", "field"), FIELDS, ids=lambda it: getattr(it, "__name__", ""))
def test_required_and_optional(cls: type[Any], field: Any) -> None:
    """A required field refuses None and absence; an optional one takes both as not given."""
    least = {name: value for name, value in LEAST[cls].items() if name != field.name}
    if field.default is None:
        assert make(cls, **{field.name: None}) == cls(**least)
        return
    refusal(cls, field.name, None)
    if field.name == "currency":  # an Amount has it already: see test_amount.py
        with pytest.raises(ConfigurationError, match=r"^currency: is needed"):
            cls(**least)
    elif field.default is attrs.NOTHING:
        with pytest.raises(TypeError):
            cls(**least)


FROM_0 = {
    (m.Breakdown, "subtotal"),
    (m.Breakdown, "cashback_amount"),
    (m.ItemizedBreakdown, "subtotal"),
    (m.ItemizedBreakdown, "duty_amount"),
    (m.ItemizedBreakdown, "freight_amount"),
    (m.Order, "amount"),
    (m.RefundOrder, "amount"),
    (m.Tax, "rate"),
    (m.TaxAmount, "amount"),
}
"""Where 0 is an amount or a number like others; Payroc refuses it elsewhere."""


@pytest.mark.parametrize(("cls", "field"), AMOUNTS)
def test_amounts(cls: type[Any], field: str) -> None:
    """An amount is a whole number of at least 0 or 1, never a float, a bool or a string."""
    below = "must not be negative, is" if (cls, field) in FROM_0 else "must be more than 0, is"
    if (cls, field) in FROM_0:
        assert getattr(make(cls, **{field: 0}), field) == 0
    else:
        assert refusal(cls, field, 0).startswith(f"{field}: {below} 0: ")
    for value in (1, 4999, 2**63 - 1):
        assert getattr(make(cls, **{field: value}), field) == value
    for wrong in (True, False, 49.99, 50.0, float("nan"), "4999"):
        assert "must be an int" in refusal(cls, field, wrong)
    assert refusal(cls, field, -1).startswith(f"{field}: {below} -1")
    for beyond in (2**63, 10**5000):
        assert refusal(cls, field, beyond) == f"{field}: must not be more than {2**63 - 1}"
    assert refusal(cls, field, -(10**5000)).startswith(f"{field}: {below} an int")


@pytest.mark.parametrize(("cls", "field"), NUMBERS)
def test_percentages(cls: type[Any], field: str) -> None:
    """A percentage is a finite number of at least 0 or more, never a bool or a string."""
    below = "must be a finite number of at least 0"
    if (cls, field) in FROM_0:
        assert getattr(make(cls, **{field: 0}), field) == 0
    else:
        below = "must be more than 0, is"
        assert f"{below} 0: " in refusal(cls, field, 0)
    for value in (0.01, 5, 6.25):
        assert getattr(make(cls, **{field: value}), field) == value
    for wrong in (True, "5"):
        assert "must be a number" in refusal(cls, field, wrong)
    for value in (-0.1, -1, float("-inf")):
        assert below in refusal(cls, field, value)
    for value in (float("nan"), float("inf"), 10**400):
        assert "finite number of at least 0" in refusal(cls, field, value)


@pytest.mark.parametrize(("cls", "field"), FLAGS)
def test_flags(cls: type[Any], field: str) -> None:
    """A flag is True or False, not a number or a word that may mean it."""
    for value in (True, False):
        assert getattr(make(cls, **{field: value}), field) is value
    for wrong in (0, 1, "true", ""):
        refusal(cls, field, wrong)


@pytest.mark.parametrize(("cls", "field", "member"), ENUM_FIELDS)
def test_enum_fields(cls: type[Any], field: str, member: m.OpenEnum) -> None:
    """An enum's field takes the member, its word, and an unknown word, but no other enum's."""
    for value in (member, member.value):
        assert getattr(make(cls, **{field: value}), field) is member
    word = "xx" if cls is m.Customer else "brandNew"  # a language's code has two letters
    unknown = getattr(make(cls, **{field: word}), field)
    assert unknown == word
    assert type(unknown) is type(member)
    for wrong in (5, "", m.ResponseCode.D):
        refusal(cls, field, wrong)


@pytest.mark.parametrize(("cls", "field", "item"), LISTS)
def test_lists(cls: type[Any], field: str, item: type[Any]) -> None:
    """A list or a tuple of the right models is kept as a tuple, and nothing else is."""
    one = make(item)
    for value in ([one], (one,)):
        assert getattr(make(cls, **{field: value}), field) == (one,)
    for wrong in ([one, {}], ["secret"], "ab", {one}, iter([one])):
        assert "secret" not in refusal(cls, field, wrong)


def test_a_list_is_copied() -> None:
    """A frozen model does not change with the list that it was made from."""
    given_list = [make(m.Tax)]
    breakdown = m.Breakdown(subtotal=1, taxes=given_list)
    given_list.clear()
    assert len(breakdown.taxes) == 1


@pytest.mark.parametrize(
    ("cls", "field"),
    [
        (m.PaymentInstructionRequest, "order"),
        (m.PaymentInstructionRequest, "customer"),
        (m.PaymentInstructionRequest, "ip_address"),
        (m.PaymentInstructionRequest, "credential_on_file"),
        (m.PaymentInstructionRequest, "customization_options"),
        (m.Order, "breakdown"),
        (m.Breakdown, "tip"),
        (m.Customer, "billing_address"),
        (m.RefundInstructionRequest, "order"),
        (m.CaptureRequest, "breakdown"),
        (m.OrderAdjustment, "breakdown"),
        (m.CustomerAdjustment, "shipping_address"),
    ],
)
def test_a_dict_is_no_model(cls: type[Any], field: str) -> None:
    """A dict in the place of a model is refused, and what was expected is said."""
    said = refusal(cls, field, {"a": "secret"})
    assert "must be a" in said
    assert "not a dict" in said
    assert "secret" not in said


@pytest.mark.parametrize("length", [4, 50])
@pytest.mark.parametrize(
    "cls",
    [
        m.PaymentInstructionRequest,
        m.RefundInstructionRequest,
        m.SignatureInstructionRequest,
        m.CaptureRequest,
    ],
)
def test_processing_terminal_id(cls: type[Any], length: int) -> None:
    """A processing terminal id has 4 to 50 characters."""
    assert make(cls, processing_terminal_id="x" * length)
    for wrong in ("", "xyz", "y" * 51):
        said = refusal(cls, "processing_terminal_id", wrong)
        assert said.endswith(f"must have 4 to 50 characters, has {len(wrong)}")


@pytest.mark.parametrize("value", ["", "US", "USDX", "usd", "Usd", "U5D", "€€€", "ÄÖÜ"])
def test_currency(value: str) -> None:
    """A currency is three upper-case ASCII letters; the error does not repeat what it was."""
    said = refusal(m.Order, "currency", value)
    assert said == refusal(m.RefundOrder, "currency", value)
    assert said == "currency: must be three upper-case letters, as in USD"


def test_order_id_is_not_empty() -> None:
    """An order id has at least one character."""
    assert "1 to 24 characters" in refusal(m.Order, "order_id", "")


def test_text_that_cannot_be_sent_is_refused() -> None:
    """Half a surrogate pair is refused when the request is made, not when it is sent."""
    refusal(m.Order, "description", "a\ud800")
    refusal(m.Tip, "type", "a\udfff")
    assert encode(make(m.Order, description="\N{PILE OF POO}"))


LENGTHS = [
    (m.Order, "order_id", 1, 24),
    (m.Order, "description", 0, 1024),
    (m.RefundOrder, "order_id", 1, 24),
    (m.RefundOrder, "description", 0, 1024),
    (m.ReferencedRefundRequest, "description", 1, 100),
    (m.PaymentInstructionRequest, "operator", 0, 50),
    (m.PaymentInstructionRequest, "processing_terminal_id", 4, 50),
    (m.RefundInstructionRequest, "operator", 0, 50),
    (m.CaptureRequest, "operator", 0, 50),
    (m.ReversalRequest, "operator", 0, 50),
    (m.AdjustmentRequest, "operator", 0, 50),
    (m.RefundAdjustmentRequest, "operator", 0, 50),
    (m.Customer, "first_name", 0, 60),
    (m.Customer, "last_name", 0, 60),
    (m.Customer, "reference_number", 0, 48),
    (m.ShippingAddress, "recipient_name", 0, 50),
    (m.Address, "address1", 0, 150),
    (m.Address, "address3", 0, 150),
    (m.Address, "city", 0, 50),
    (m.Address, "state", 0, 50),
    (m.Address, "country", 2, 2),
    (m.Address, "postal_code", 0, 10),
    (m.ContactMethod, "value", 0, 50),
    (m.CredentialOnFile, "secure_token_id", 0, 200),
    (m.Tax, "name", 1, 64),
    (m.TaxAmount, "name", 1, 64),
    (m.LineItem, "commodity_code", 0, 45),
    (m.LineItem, "product_code", 0, 45),
    (m.LineItem, "description", 0, 250),
]


@pytest.mark.parametrize(("cls", "field", "least", "most"), LENGTHS)
def test_lengths(cls: type[Any], field: str, least: int, most: int) -> None:
    """Contract sections 4 and 6: each text has its length in its place."""
    for length in (least, most):
        assert getattr(make(cls, **{field: "x" * length}), field) == "x" * length
    refusal(cls, field, "x" * (most + 1))
    if least:
        refusal(cls, field, "x" * (least - 1))


@pytest.mark.parametrize("kind", ["phone", "mobile", "fax"])
def test_a_number_is_shorter_than_an_address(kind: str) -> None:
    """15 characters of a number, 50 of an email address."""
    assert m.ContactMethod(type=kind, value="1" * 15)
    with pytest.raises(ConfigurationError, match="value"):
        m.ContactMethod(type=kind, value="1" * 16)


@pytest.mark.parametrize(
    ("cls", "field", "most"),
    [
        (m.Tip, "percentage", 100),
        (m.Surcharge, "percentage", 100),
        (m.ChoiceRate, "rate", 100),
        (m.Tax, "rate", 99.99999),
    ],
)
def test_largest_percentages(cls: type[Any], field: str, most: float) -> None:
    """No part is more than the whole."""
    assert getattr(make(cls, **{field: most}), field) == most
    refusal(cls, field, most + 0.001)


def test_dual_pricing_that_is_offered_is_whole() -> None:
    """Contract section 4: both of its parts are sent then."""
    rate = m.ChoiceRate(applied=True, rate=1, amount=2)
    with pytest.raises(ConfigurationError, match="choice_rate"):
        m.DualPricing(offered=True, alternative_tender="cash")
    with pytest.raises(ConfigurationError, match="alternative_tender"):
        m.DualPricing(offered=True, choice_rate=rate)
    assert m.DualPricing(offered=True, choice_rate=rate, alternative_tender="cash")


@pytest.mark.parametrize("cls", [m.Order, m.RefundOrder])
def test_what_is_read_only_is_not_sent(cls: type[Any]) -> None:
    """The gateway writes the date and time of an order."""
    with pytest.raises(TypeError):
        make(cls, date_time="2026-06-02T15:30:00Z")


@pytest.mark.parametrize("value", [datetime(1990, 7, 15, tzinfo=UTC), "1990-07-15", 19900715])
def test_date_of_birth(value: Any) -> None:
    """A date of birth is a date: no datetime, no string."""
    assert "1990" not in refusal(m.Customer, "date_of_birth", value)
    customer = m.Customer(date_of_birth=date(1990, 7, 15))
    assert unstructure(customer) == {"dateOfBirth": "1990-07-15"}


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("ipv4", "203.0.113.7", True),
        ("ipv6", "2001:db8::7", True),
        ("ipv4", "2001:db8::7", False),
        ("ipv6", "203.0.113.7", False),
        ("ipv4", "203.0.113.777", False),
        ("ipv6", "localhost", False),
        ("ipv4", "", False),
        ("ipv9", "whatever it is", True),
    ],
)
def test_ip_address(kind: str, value: str, fits: bool) -> None:
    """An IP address fits its type; of a type that we do not know, anything does."""
    if fits:
        assert m.IpAddress(type=kind, value=value).value == value
        return
    with pytest.raises(ConfigurationError) as caught:
        m.IpAddress(type=kind, value=value)
    assert caught.value.field == "value"
    assert caught.value.__context__ is None
    assert not value or value not in str(caught.value)


def test_closed_loop_options_do_not_change() -> None:
    """Closed-loop options are a copy, sent beside their type, and hashable."""
    given_options: dict[str, Any] = {"sectors": [1, 2]}
    options = m.ClosedLoopOptions(options=given_options)
    given_options["sectors"].append(3)
    assert unstructure(options) == {"type": "mifare", "sectors": [1, 2]}
    assert options == m.ClosedLoopOptions(options={"sectors": [1, 2]})
    assert hash(options) == hash(m.ClosedLoopOptions(options={"sectors": [1, 2]}))
    refusal(m.ClosedLoopOptions, "options", {"a": 2**70})
    refusal(m.ClosedLoopOptions, "options", ["a"])


@pytest.mark.parametrize("cls", LEAST)
def test_requests_are_values(cls: type[Any]) -> None:
    """Requests are frozen, take keywords alone, compare and hash by value, and pickle."""
    one = make(cls)
    assert one == make(cls)
    assert hash(one) == hash(make(cls))
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(one, attrs.fields(cls)[0].name, None)
    with pytest.raises(TypeError):
        cls("positional")
    with pytest.raises(TypeError):
        make(cls, no_such_field=1)


# Answers


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("A", m.Outcome.APPROVED),
        ("P", m.Outcome.PARTIALLY_APPROVED),
        ("D", m.Outcome.DECLINED),
        ("E", m.Outcome.DEFERRED),
        ("R", m.Outcome.REFERRED),
        ("C", m.Outcome.PICK_UP),
        ("Z", m.Outcome.UNKNOWN),
        ("a", m.Outcome.UNKNOWN),
        ("", m.Outcome.UNKNOWN),
    ],
)
def test_outcome(code: str, outcome: m.Outcome) -> None:
    """The outcome is read from the response code; only A is approved and raises nothing."""
    payment = a_payment(code)
    assert payment.outcome is outcome
    assert payment.approved is (code == "A")
    if code == "A":
        payment.raise_for_decline()
        return
    with pytest.raises(PaymentDeclinedError) as caught:
        payment.raise_for_decline()
    assert caught.value.payment is payment
    assert outcome.name in str(caught.value)


@pytest.mark.parametrize("status", [*m.TransactionStatus, "brandNew"])
@pytest.mark.parametrize("code", ["A", "D"])
def test_status_says_nothing_of_the_outcome(status: str, code: str) -> None:
    """Whatever the status is, the response code decides: ready with A is an approval."""
    data = payment_json()
    data["transactionResult"].update(status=str(status), responseCode=code)
    assert structure(data, m.Payment).approved is (code == "A")


@pytest.mark.parametrize("status", [*m.InstructionStatus, "brandNew"])
def test_error_message_belongs_to_failure(status: str) -> None:
    """The error message of an instruction is dropped on any status but failure."""
    data = {"status": str(status), "paymentInstructionId": "pi1", "errorMessage": "Why"}
    instruction = structure(data, m.PaymentInstruction)
    assert instruction.status == status
    assert instruction.error_message == ("Why" if status == "failure" else None)
    assert instruction.instruction_id == instruction.payment_instruction_id == "pi1"
    assert instruction.link is None
    assert instruction.raw["errorMessage"] == "Why"


def test_an_instruction_has_no_id_of_its_own() -> None:
    """The base of all instructions leaves the id to each kind."""
    with pytest.raises(NotImplementedError):
        _ = m.Instruction(status=m.InstructionStatus.COMPLETED).instruction_id


def test_raw_is_whole_and_read_only() -> None:
    """``raw`` holds every field, unknown ones too, cannot be changed, and is left out of eq."""
    data = payment_json()
    data["brandNew"] = {"a": 1}
    payment = structure(data, m.Payment)
    assert dict(payment.raw) == data
    assert len(payment.raw) == len(data)
    with pytest.raises(TypeError):
        payment.raw["paymentId"] = "other"  # type: ignore[index]
    assert payment == a_payment()
    assert hash(payment) == hash(a_payment())


def test_a_payment_pickles() -> None:
    """A payment survives pickle and copy, ``raw`` included."""
    payment = a_payment("Z")
    for again in (pickle.loads(pickle.dumps(payment)), copy.deepcopy(payment)):
        assert again == payment
        assert again.raw == payment.raw
        assert again.outcome is m.Outcome.UNKNOWN


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value] if isinstance(value, str) else []


def shown(model: Any) -> str:
    """The reprs of a model and of everything in it: what a careless log line could show."""
    inner = [getattr(model, field.name) for field in attrs.fields(type(model))]
    models = [
        each
        for value in inner
        for each in (value if isinstance(value, tuple) else (value,))
        if attrs.has(type(each))
    ]
    raw = [repr(value) for value in inner if isinstance(value, m.Raw)]
    return " ".join([repr(model), *raw, *(shown(each) for each in models)])


def test_p7_a_payments_repr_shows_no_card_and_no_person() -> None:
    """P7: no repr inside a payment holds what the card or the customer objects hold."""
    data = payment_json()
    secret = leaves(data["customer"]) + leaves(data["card"]) + leaves(data["customFields"][0])
    known = {"en", "email", "Visa Credit", "contactlessIcc", "notValidated", "foodStamp", "USD"}
    known |= {"M", "Y", "yourCustomField", "self", "get"}  # brand and words tell no one's card
    link = data["card"]["secureToken"]["link"]["href"]
    said = shown(structure(data, m.Payment)).replace(link, "")
    assert len(secret) > 30
    assert [leaf for leaf in secret if leaf not in known and leaf in said] == []


def test_p7_a_requests_repr_shows_no_person() -> None:
    """P7: no repr inside a request holds the customer's data, address, token or card keys."""
    request = m.PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=m.Order(**ORDER, description="secret-0"),
        customer=m.Customer(
            first_name="secret-1",
            last_name="secret-2",
            date_of_birth=date(1990, 7, 15),
            reference_number="secret-3",
            billing_address=m.Address(**{**dict.fromkeys(ADDRESS, "secret-"), "country": "US"}),
            shipping_address=m.ShippingAddress(
                recipient_name="secret-4",
                address=m.Address(**ADDRESS, address2="secret-5", address3="secret-6"),
            ),
            contact_methods=[m.ContactMethod(type="email", value="secret-7")],
        ),
        ip_address=m.IpAddress(type="ipv4", value="203.0.113.7"),
        credential_on_file=m.CredentialOnFile(secure_token_id="secret-8"),
        customization_options=m.CustomizationOptions(
            closed_loop_options=m.ClosedLoopOptions(options={"key": "secret-9"})
        ),
    )
    said = shown(request)
    assert "secret" not in said
    assert "1990" not in said
    assert "203.0.113.7" not in said
    assert "o1" in said
    assert "4999" in said


def test_a_payments_repr_is_useful() -> None:
    """A payment's repr says its id, outcome and amounts."""
    assert repr(a_payment("P")) == (
        "Payment(payment_id='M2MJOG6O2Y', outcome=PARTIALLY_APPROVED, amount=4999, "
        "authorized_amount=4999, currency='USD', status='ready', order_id='OrderRef6543')"
    )


def test_what_is_exported() -> None:
    """``__all__`` is sorted, and every public model has a docstring that says where it is from."""
    assert m.__all__ == sorted(m.__all__)
    for name in m.__all__:
        kind = getattr(m, name)
        assert kind.__doc__, name
        if attrs.has(kind):
            assert "contract section" in kind.__doc__, name
