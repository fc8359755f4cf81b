"""The codec: models from JSON and back, what a broken answer gives, and what no error may hold.

Which fields are required and which are not is written out here from the contract, and not taken
from the models.
"""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.errors import ResponseFormatError
from payroc_async.wire import converter
from payroc_async.wire.converter import decode, encode, structure, unstructure

SAMPLES = Path(__file__).parents[1] / "samples"
CANARY = "canary-4111"

# Contract section 15: what the outcome is read from, and no more.
REQUIRED = ["paymentId", "transactionResult", "transactionResult.responseCode"]

# Contract section 15: what is needed inside of what is optional, by what is dropped without it.
REQUIRED_WITHIN = {
    "card.secureToken": "secureTokenId token",
    "card.secureToken.link": "href",
    "refunds": "0.refundId",
    "refunds.0.link": "href",
}
WITHIN = [(drop, path) for drop, paths in REQUIRED_WITHIN.items() for path in paths.split()]


NOTHING = (None, (), m.RetrievedOrder(), m.Card())
"""What stands in the place of a field that can't be read."""


@pytest.fixture(autouse=True)
def forget_warnings() -> None:
    """Each test is warned anew."""
    converter.warn_once.cache_clear()


def sample(name: str = "payment") -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_bytes())
    return loaded


def paths_in(value: Any, path: str = "") -> list[str]:
    """Every field of a JSON value, as dotted paths."""
    if isinstance(value, list):
        return [found for i, each in enumerate(value) for found in paths_in(each, f"{path}.{i}")]
    if not isinstance(value, dict):
        return []
    return [
        found
        for key, each in value.items()
        for found in (f"{path}.{key}".strip("."), *paths_in(each, f"{path}.{key}"))
    ]


OPTIONAL = [
    path
    for path in paths_in(sample())
    if path not in REQUIRED
    and path not in [f"{drop}.{within}" for drop, within in WITHIN]
    and not path.endswith(("link.method", "supportedOperations.0"))
]


def parent(data: Any, path: str) -> tuple[Any, Any]:
    """The object or list that holds the last part of a dotted path, and that part."""
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in steps:
        data = data[step]
    return data, last


def at(model: Any, path: str) -> Any:
    """The field of a model at a dotted path in camelCase."""
    for step in path.split("."):
        if step.isdigit():
            model = model[int(step)]
        else:
            model = getattr(model, re.sub("([A-Z])", r"_\1", step).lower())
    return model


def changed(change: Callable[[Any, Any], None], path: str) -> dict[str, Any]:
    data = sample()
    change(*parent(data, path))
    return data


def leave_out(holder: Any, key: Any) -> None:
    del holder[key]


def set_null(holder: Any, key: Any) -> None:
    holder[key] = None


def garble(holder: Any, key: Any) -> None:
    holder[key] = CANARY if isinstance(holder[key], dict) else {"a": CANARY}


def in_path_form(path: str) -> str:
    """A dotted path as the codec names it."""
    return "Payment." + re.sub(r"\.(\d+)", r"[\1]", path)


def refusal(data: object, cls: type[Any] = m.Payment) -> str:
    """The text of a ResponseFormatError that carries nothing along."""
    with pytest.raises(ResponseFormatError) as caught:
        structure(data, cls)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert CANARY not in repr(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", REQUIRED)
def test_a_required_field_is_missing(path: str) -> None:
    """Without a required field there is no payment, and the error names the field."""
    assert refusal(changed(leave_out, path)) == f"{in_path_form(path)}: missing"


@pytest.mark.parametrize("path", REQUIRED)
@pytest.mark.parametrize("change", [set_null, garble])
def test_a_required_field_is_garbled(path: str, change: Callable[[Any, Any], None]) -> None:
    """With a required field garbled or null there is no payment, and no value in the error."""
    assert refusal(changed(change, path)).startswith(f"{in_path_form(path)}: not ")


@pytest.mark.parametrize("change", [leave_out, set_null])
def test_an_optional_field_is_missing(
    change: Callable[[Any, Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An optional field that is absent or null is None, or empty, and nothing is logged."""
    for path in OPTIONAL:
        payment = structure(changed(change, path), m.Payment)
        assert at(payment, path) in NOTHING, path
        assert caplog.records == [], path


def test_nulls_are_read_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that writes null for what it leaves out costs no second reading."""
    monkeypatch.delattr(converter, "_read_model")
    for path in OPTIONAL:
        assert structure(changed(set_null, path), m.Payment)


def test_nulls_beside_a_garbled_field(caplog: pytest.LogCaptureFixture) -> None:
    """A null is no warning in the second reading either."""
    data = changed(garble, "operator")
    data.update(customer=None, refunds=None)
    payment = structure(data, m.Payment)
    assert (payment.operator, payment.customer, payment.refunds) == (None, None, ())
    assert_warned_once(caplog, "operator")


@pytest.mark.parametrize("path", OPTIONAL)
def test_an_optional_field_is_garbled(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """An optional field that cannot be read is None, or empty: the payment is not lost for it."""
    data = changed(garble, path)
    payment = structure(data, m.Payment)
    assert at(payment, path) in NOTHING
    assert_warned_once(caplog, path)
    assert CANARY in str(dict(payment.raw))
    assert payment == structure(changed(set_null, path), m.Payment)  # the rest is as it was


@pytest.mark.parametrize(("drop", "within"), WITHIN)
@pytest.mark.parametrize("change", [leave_out, set_null, garble])
def test_a_required_field_within_an_optional_one(
    drop: str, within: str, change: Callable[[Any, Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An optional object or list that lacks what it requires is dropped, and no more than that."""
    payment = structure(changed(change, f"{drop}.{within}"), m.Payment)
    assert at(payment, drop) in (None, ())
    assert_warned_once(caplog, f"{drop}.{within}")
    assert payment == structure(changed(set_null, drop), m.Payment)


def assert_warned_once(caplog: pytest.LogCaptureFixture, path: str) -> None:
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    shown = in_path_form(path)
    # Details are read by themselves, and named by the model that they are details of.
    detail = shown.replace("Payment.order.", "RetrievedOrder.").replace("Payment.card.", "Card.")
    detail = detail.replace("Payment.transactionResult.", "TransactionResult.")
    assert any(f" {name}: " in record.getMessage() for name in (shown, detail))
    assert CANARY not in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("bad", [CANARY, None, 5, [], {}, {"refundId": None}, {"amount": 1}])
def test_one_bad_item_is_left_out_alone(bad: object, caplog: pytest.LogCaptureFixture) -> None:
    """An item of a list that can't be read leaves the others, with its place in the warning."""
    data = sample()
    data["refunds"].insert(0, bad)
    assert structure(data, m.Payment).refunds == structure(sample(), m.Payment).refunds
    assert "refunds[0]" in caplog.text
    assert_warned_once(caplog, "refunds.0.refundId" if isinstance(bad, dict) else "refunds.0")


def test_words_that_are_none_are_left_out_of_a_list(caplog: pytest.LogCaptureFixture) -> None:
    """What a payment supports is not lost for one entry that is no word."""
    data = {**sample(), "supportedOperations": ["capture", None, {"a": 1}, "refund"]}
    assert structure(data, m.Payment).supported_operations == ("capture", "refund")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_field_is_warned_of_once_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A payment that is read again and again warns once a field; another one warns itself."""
    data = changed(garble, "operator")
    data["card"]["emvTags"] = "none"
    for _ in range(5):
        payment = structure(data, m.Payment)
        assert (payment.operator, payment.card.emv_tags) == (None, ())
    assert [record.getMessage() for record in caplog.records] == [
        "not all of M2MJOG6O2Y could be read: Payment.operator: not readable, found dict",
        "not all of M2MJOG6O2Y could be read: Card.emvTags: not readable, found str",
    ]
    caplog.clear()
    data = changed(garble, "order.breakdown.tip")  # read on demand, and within what is
    for _ in range(5):
        assert structure(data, m.Payment).order.breakdown is not None
    assert caplog.messages == [
        "not all of M2MJOG6O2Y could be read: RetrievedOrder.breakdown.tip: not an object"
    ]
    data["operator"] = {}
    assert structure({**data, "paymentId": "OTHER"}, m.Payment).operator is None
    assert caplog.messages[1].startswith("not all of OTHER could be read: ")


@pytest.mark.parametrize("id_", ["a b", "a\nb", "x" * 65, "\N{SNOWMAN}", 5, ["a"]])
def test_no_odd_id_stands_in_a_log_line(id_: object, caplog: pytest.LogCaptureFixture) -> None:
    """An id that could forge a line of a log is not in one."""
    payment = structure(
        {**sample(), "paymentId": id_ if isinstance(id_, str) else "x y", "operator": {}}, m.Payment
    )
    assert payment.operator is None
    assert caplog.messages[0].startswith("not all of an answer could be read: ")


def test_a_list_is_no_string(caplog: pytest.LogCaptureFixture) -> None:
    """A string where a list of words belongs is not taken apart into letters."""
    payment = structure({**sample(), "supportedOperations": "capture"}, m.Payment)
    assert payment.supported_operations == ()
    assert_warned_once(caplog, "supportedOperations")


@pytest.mark.parametrize("data", [None, 5, CANARY, [], [CANARY], True])
@pytest.mark.parametrize("cls", [m.Payment, m.PaymentInstruction, m.Link])
def test_what_is_no_object(data: object, cls: type[Any]) -> None:
    """An answer that is no JSON object is refused, by the class's name."""
    assert refusal(data, cls) == f"{cls.__name__}: not an object"


def test_an_instruction_has_an_id() -> None:
    """An instruction without an id is none."""
    data = sample("payment_instruction")
    del data["paymentInstructionId"]
    assert refusal(data, m.PaymentInstruction) == "PaymentInstruction.paymentInstructionId: missing"
    data["paymentInstructionId"] = {"a": CANARY}
    assert refusal(data, m.PaymentInstruction).startswith(
        "PaymentInstruction.paymentInstructionId: not "
    )


@pytest.mark.parametrize("status", [None, 1, 1.5, True, {"a": CANARY}, ["completed"], ""])
def test_an_instruction_without_a_status_that_can_be_read_is_one(status: object) -> None:
    """Its id is never lost for its status: that is a word that says nothing."""
    read = structure({**sample("payment_instruction"), "status": status}, m.PaymentInstruction)
    assert read.instruction_id == sample("payment_instruction")["paymentInstructionId"]
    assert (read.status, read.status.known) == ("", False)
    assert not set(m.InstructionStatus) & {read.status}
    data = sample("payment_instruction")
    del data["status"]
    assert structure(data, m.PaymentInstruction).status == ""


def test_a_link_needs_its_href_alone() -> None:
    """A link without ``rel`` or ``method`` is still followed, for its path is what counts."""
    assert structure({"href": "/v1/payments/1"}, m.Link) == m.Link(href="/v1/payments/1")
    link = structure({"href": "/v1/payments/1", "rel": None, "method": None}, m.Link)
    assert (link.rel, link.method) == (None, "GET")
    assert refusal({"rel": "self"}, m.Link) == "Link.href: missing"


@pytest.mark.parametrize(
    ("found", "read"),
    [
        (100, 100),
        (0, 0),
        ("100", 100),
        ("-100", 100),
        (-100, 100),
        (100.0, 100),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_amounts_in_other_forms(found: object, read: int) -> None:
    """A digit string or a whole float is read as the int that it means."""
    data = sample()
    data["order"]["amount"] = found
    payment = structure(data, m.Payment)
    assert payment.order.amount == read
    assert type(payment.order.amount) is int


@pytest.mark.parametrize(
    "found",
    [1.5, "1.5", "", "-", "ten", "1_000", "1 000", "--1", "\u0661", True, False, 2.0**64],
)
def test_what_is_no_amount(found: object) -> None:
    """What is no whole number is no amount."""
    data = sample()
    data["order"]["amount"] = found
    order = structure(data, m.Payment).order
    assert (order.amount, order.currency) == (None, "USD")


def test_answers_are_not_checked_like_requests() -> None:
    """What a request would refuse is read from an answer."""
    data = sample()
    data["processingTerminalId"] = "1"
    data["order"].update(amount=-5, currency="dollars", orderId="", dateTime="2026-06-02T15:30:00")
    data["order"]["breakdown"]["tip"].update(amount=-1, percentage=-1)
    payment = structure(data, m.Payment)
    assert payment.order.amount == 5  # a size: contract section 5
    assert payment.order.date_time == datetime(2026, 6, 2, 15, 30)
    assert payment.order.breakdown is not None
    assert payment.order.breakdown.tip is not None
    assert payment.order.breakdown.tip.percentage == -1


def test_unknown_fields_are_kept_in_raw_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A field that the contract does not know disturbs nothing, one named ``raw`` included."""
    data = {**sample(), "brandNew": 1, "raw": {"paymentId": CANARY}}
    data["card"]["brandNew"] = 1
    payment = structure(data, m.Payment)
    assert payment == structure(sample(), m.Payment)
    assert dict(payment.raw) == data
    assert caplog.records == []
    assert unstructure(payment) == sample()


def test_a_full_payment_goes_round() -> None:
    """Reading the full sample and writing it again gives every field of it."""
    payment = structure(sample(), m.Payment)
    assert unstructure(payment) == sample()
    assert structure(payment.raw, m.Payment) == payment
    assert set(OPTIONAL) | set(REQUIRED) <= set(paths_in(unstructure(payment)))


def test_unknown_words_go_round() -> None:
    """Each enum's word may be one that we do not know, and goes out as it came."""
    data = sample()
    words = [
        path
        for path in paths_in(data)
        if isinstance(at(structure(data, m.Payment), path), m.OpenEnum)
    ]
    assert len(words) > 15
    for path in words:
        holder, key = parent(data, path)
        holder[key] = "brandNew"
    data["supportedOperations"] = ["refund", "brandNew"]
    payment = structure(data, m.Payment)
    assert unstructure(payment) == data
    assert payment.transaction_result.status is not None
    assert not payment.transaction_result.status.known


def a_request(**changes: Any) -> m.PaymentInstructionRequest:
    """The request of the sample, built by hand."""
    address = {"country": "US", "postal_code": "60056"}
    given_fields: dict[str, Any] = {
        "processing_terminal_id": "1234001",
        "order": m.Order(
            order_id="OrderRef6543",
            amount=4999,
            currency="USD",
            description="Large Pepperoni Pizza",
            accept_partial_amount=False,
            breakdown=m.Breakdown(
                subtotal=3347,
                cashback_amount=100,
                tip=m.Tip(type="fixedAmount", mode="prompted", amount=502, percentage=15),
                surcharge=m.Surcharge(bypass=False, amount=50, percentage=1.5),
                dual_pricing=m.DualPricing(
                    offered=True,
                    choice_rate=m.ChoiceRate(applied=True, rate=3.5, amount=117),
                    alternative_tender="cash",
                ),
                taxes=[m.Tax(rate=6.25, name="State tax")],
                healthcare_expenses=[m.HealthcareExpense(type="copay", amount=700)],
            ),
        ),
        "operator": "Jane",
        "customer": m.Customer(
            first_name="Sarahfirst",
            last_name="Hopperlast",
            date_of_birth=date(1990, 7, 15),
            reference_number="CustomerRef12",
            billing_address=m.Address(
                address1="1 Example Ave.",
                address2="Example Address Line 2",
                address3="Example Address Line 3",
                city="Chicagocity",
                state="Illinoisstate",
                **address,
            ),
            shipping_address=m.ShippingAddress(
                recipient_name="Recipientname",
                address=m.Address(
                    address1="2 Example Ave.",
                    city="Shippingcity",
                    state="Shippingstate",
                    country="CA",
                    postal_code="60057",
                ),
            ),
            contact_methods=(
                m.ContactMethod(type="email", value="jane.doe@example.com"),
                m.ContactMethod(type="mobile", value="+15550100"),
            ),
            notification_language="en",
        ),
        "ip_address": m.IpAddress(type="ipv4", value="203.0.113.7"),
        "credential_on_file": m.CredentialOnFile(
            external_vault=False,
            tokenize=True,
            secure_token_id="MREF_abc1de23",
            mit_agreement="unscheduled",
        ),
        "customization_options": m.CustomizationOptions(
            entry_method="deviceReadOrManualEntry",
            ebt_details=m.EbtDetails(benefit_category="cash", withdrawal=False),
            closed_loop_options=m.ClosedLoopOptions(options={"sector": 3}),
        ),
        "auto_capture": True,
        "process_as_sale": False,
    }
    return m.PaymentInstructionRequest(**{**given_fields, **changes})


def test_a_full_request_is_sent_as_the_contract_says() -> None:
    """A request with every field is the JSON of the sample."""
    assert json.loads(encode(a_request())) == sample("payment_instruction_request")


def test_what_is_not_given_is_not_sent() -> None:
    """None and an empty list are left out; False, 0 and what was given are not."""
    request = m.PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=m.Order(
            order_id="1", amount=0, currency="USD", breakdown=m.Breakdown(subtotal=0, taxes=[])
        ),
        auto_capture=False,
    )
    assert encode(request) == (
        b'{"processingTerminalId":"1234001","order":{"orderId":"1","amount":0,"currency":"USD",'
        b'"breakdown":{"subtotal":0}},"autoCapture":false}'
    )


def test_p1_the_same_request_gives_the_same_bytes() -> None:
    """P1: a request gives the same bytes each time, in each process, and so does its equal."""
    assert encode(a_request()) == encode(a_request()) == encode(copy.deepcopy(a_request()))
    script = "from tests.unit.test_codec import *; sys.stdout.buffer.write(encode(a_request()))"
    for seed in ("1", "2"):
        again = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(SAMPLES.parents[1])},
        )
        assert again.stdout == encode(a_request())


def test_import_generates_nothing() -> None:
    """Importing the codec generates no code for any model: that waits for the first answer."""
    script = (
        "import linecache, payroc_async.wire.converter;"
        "assert not [name for name in linecache.cache if 'cattrs generated' in name]"
    )
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        env={"PYTHONPATH": str(SAMPLES.parent.parent)},
    )


def json_of(kind: Any) -> st.SearchStrategy[Any]:
    """JSON as the gateway could send it for a type of a model's field."""
    if get_origin(kind) is UnionType:
        return json_of(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return st.lists(json_of(get_args(kind)[0]), min_size=1, max_size=2)
    if attrs.has(kind):
        fields = {
            re.sub("_([a-z])", lambda letter: letter[1].upper(), field.name): field
            for field in attrs.fields(attrs.resolve_types(kind))
            if field.name != "raw"
        }
        return st.fixed_dictionaries(
            {k: json_at(k, f.type) for k, f in fields.items() if f.default is attrs.NOTHING},
            optional={
                k: json_at(k, f.type) for k, f in fields.items() if f.default is not attrs.NOTHING
            },
        )
    simple: dict[Any, st.SearchStrategy[Any]] = {
        Mapping[str, Any]: st.dictionaries(
            st.text(max_size=8), st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8)
        ),
        str: st.text(max_size=8),
        int: st.integers(0, 2**63 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
        bool: st.booleans(),
        date: st.dates().map(date.isoformat),
        datetime: st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    }
    return simple[kind] if kind in simple else st.text(max_size=8) | st.sampled_from(list(kind))


def json_at(key: str, kind: Any) -> st.SearchStrategy[Any]:
    """The same for a field: blanks around an id mean nothing, and do not come back."""
    bare = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
    return bare if key.endswith(("Id", "serialNumber")) else json_of(kind)


PAYMENTS = json_of(m.Payment)
SLOW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)


@SLOW
@given(data=PAYMENTS)
def test_any_payment_goes_round(data: dict[str, Any]) -> None:
    """Whatever the gateway says within the contract, unknown words included, goes round whole."""
    payment = structure(data, m.Payment)
    written = unstructure(payment)
    for link in paths_in(written):  # the one default that is not nothing
        if link.endswith("link.method"):
            holder, key = parent(data, link)
            holder.setdefault(key, "GET")
    for block in ("order", "card"):  # one with nothing in it is as one that is not there
        if not data.get(block):
            data.pop(block, None)
    assert written == data
    assert structure(decode(encode(payment)), m.Payment) == payment


@SLOW
@given(data=PAYMENTS)
def test_the_slow_way_reads_the_same(data: dict[str, Any]) -> None:
    """What the fast reader can read, the slow one reads the same."""
    assert converter._read_model(data, m.Payment, "Payment") == structure(data, m.Payment)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@SLOW
@given(path=st.sampled_from(paths_in(sample())), junk=JUNK)
def test_junk_anywhere(path: str, junk: object) -> None:
    """Whatever stands in a field's place, there is a payment, or an error that names a field."""
    data = sample()
    holder, key = parent(data, path)
    holder[key] = junk
    try:
        read: object = structure(data, m.Payment).payment_id
    except ResponseFormatError as refused:
        read = str(refused)
    if path == "paymentId" and isinstance(junk, int | float | str) and not isinstance(junk, bool):
        return  # an id in other digits, or an odd float
    if read != data["paymentId"]:
        assert path in REQUIRED
        assert in_path_form(path) in str(read)
        assert CANARY not in str(read)


def test_details_are_read_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payment whose details no one has looked at yet is as any other in all that one can do."""
    read = structure(sample(), m.Payment)
    for path in OPTIONAL:
        assert at(read, path) is not None

    def unread() -> m.Payment:
        return structure(sample(), m.Payment)

    assert unread() == read
    assert repr(unread().order) == repr(read.order)
    assert hash(unread().card) == hash(read.card)
    assert attrs.asdict(unread().order) == attrs.asdict(read.order)
    assert attrs.evolve(unread(), operator="Jim").customer == read.customer
    for copied in (
        copy.copy(unread()),
        copy.deepcopy(unread()),
        pickle.loads(pickle.dumps(unread())),
    ):
        assert copied == read
        assert copied.card == read.card
    assert unread().refunds == read.refunds
    with pytest.raises(AttributeError, match=r"^'Payment' object has no attribute 'refund'$"):
        _ = unread().refund  # type: ignore[attr-defined]
