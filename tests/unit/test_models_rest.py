"""The models around the sale: refunds, signatures, devices, pages, and what is done to payments."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async import models as m
from payroc_async.errors import ConfigurationError, ResponseFormatError
from payroc_async.kinds import DEVICE
from payroc_async.wire import converter
from payroc_async.wire.converter import decode, encode, structure, unstructure
from payroc_async.wire.page_reader import structure_page
from payroc_async.wire.protocol import next_page_request, previous_page_request

from .test_codec import CANARY, SLOW, json_of, parent, paths_in, sample
from .test_models import shown

ANSWERS: dict[str, type[Any]] = {
    "payment": m.Payment,
    "refund": m.Refund,
    "payment_instruction": m.PaymentInstruction,
    "refund_instruction": m.RefundInstruction,
    "signature_instruction": m.SignatureInstruction,
    "signature": m.Signature,
    "device": m.Device,
    "closed_loop_read": m.ClosedLoopRead,
}
# Contract section 15: what identifies it, and what its outcome is read from.
REQUIRED = {
    "payment": "paymentId transactionResult transactionResult.responseCode",
    "refund": "refundId transactionResult transactionResult.responseCode",
    "payment_instruction": "paymentInstructionId",
    "refund_instruction": "refundInstructionId",
    "signature_instruction": "signatureInstructionId",
    "signature": "",
    "device": "",
    "closed_loop_read": "closedLoopReadId data",
}


@pytest.fixture(autouse=True)
def forget_warnings() -> None:
    """Each test is warned anew."""
    converter.warn_once.cache_clear()


def answer(name: str) -> Any:
    return structure(sample(name), ANSWERS[name])


# Answers


@pytest.mark.parametrize("name", ANSWERS)
def test_a_sample_goes_round(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Reading a full sample and writing it again gives all of it; ``raw`` has the unknown."""
    data = {**sample(name), "brandNew": {"a": [1]}}
    model = structure(data, ANSWERS[name])
    assert unstructure(model) == sample(name)
    assert dict(model.raw) == data
    assert structure(model.raw, ANSWERS[name]) == model == answer(name)
    assert converter._read_model(data, ANSWERS[name], name) == model
    assert hash(model) == hash(answer(name))
    assert pickle.loads(pickle.dumps(model)) == copy.deepcopy(model) == model
    assert caplog.records == []


ANY_ANSWER = st.sampled_from(list(ANSWERS.values())).flatmap(
    lambda cls: st.tuples(st.just(cls), json_of(cls))
)


@SLOW
@given(
    found=ANY_ANSWER,
    unknown=st.dictionaries(st.from_regex("x-[a-z]{1,5}", fullmatch=True), st.text(max_size=5)),
)
def test_any_answer_goes_round(found: tuple[type[Any], Any], unknown: dict[str, str]) -> None:
    """Whatever the contract allows, unknown words and fields included, is kept."""
    cls, data = found
    model = structure({**data, **unknown}, cls)
    assert dict(model.raw) == {**data, **unknown}
    written = unstructure(model)
    for path in paths_in(written):  # the one default that is not nothing
        if path.endswith("method") and "ink" in path:
            holder, key = parent(data, path)
            holder.setdefault(key, "GET")
    # Of another status than failure; or a block with nothing in it; or a status that says nothing.
    for nothing in ("errorMessage", "order", "card", "status"):
        if not written.get(nothing) or not data.get(nothing):
            data.pop(nothing, None)
            written.pop(nothing, None)
    assert written == data
    assert structure(decode(encode(model)), cls) == model


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("payment_instruction_request", m.PaymentInstructionRequest),
        ("refund_instruction_request", m.RefundInstructionRequest),
        ("adjustment_request", m.AdjustmentRequest),
    ],
)
def test_a_request_goes_round(name: str, cls: type[Any]) -> None:
    """A request can be read back from what was sent, each variant as the one that it was."""
    request = structure(sample(name), cls)
    assert unstructure(request) == sample(name)
    assert structure(decode(encode(request)), cls) == request


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in REQUIRED.items() for path in paths.split()]
)
def test_what_an_answer_must_have(name: str, path: str) -> None:
    """Without a required field there is no answer, and the error names the field."""
    data = sample(name)
    holder, key = parent(data, path)
    del holder[key]
    with pytest.raises(ResponseFormatError, match=rf"^{ANSWERS[name].__name__}\.{path}: missing$"):
        structure(data, ANSWERS[name])


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, {"a": CANARY}, [CANARY]])
def test_what_an_answer_need_not_have(
    name: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Any other field may be null or garbled, and the rest is read all the same."""
    for key in sample(name):
        if key not in REQUIRED[name].split():
            model = structure({**sample(name), key: value}, ANSWERS[name])
            assert model.raw[key] == value
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("refund_instruction", "refund_instruction_id"),
        ("signature_instruction", "signature_instruction_id"),
    ],
)
def test_instructions_of_every_kind(name: str, attribute: str) -> None:
    """Every kind of instruction says its own id, and shares the rest with a sale's."""
    instruction = answer(name)
    assert isinstance(instruction, m.Instruction)
    assert instruction.instruction_id == getattr(instruction, attribute)
    assert instruction.link is not None
    failed = instruction.status == "failure"
    assert instruction.error_message == ("Device error" if failed else None)


@pytest.mark.parametrize(
    ("code", "outcome"), [("A", m.Outcome.APPROVED), ("D", m.Outcome.DECLINED)]
)
def test_a_refunds_outcome(code: str, outcome: m.Outcome) -> None:
    """A refund's outcome is read from the response code, as a payment's is."""
    data = sample("refund")
    data["transactionResult"]["responseCode"] = code
    refund = structure(data, m.Refund)
    assert refund.outcome is outcome
    assert refund.approved is (code == "A")
    assert refund.payment is not None
    assert refund.payment.payment_id == "M2MJOG6O2Y"
    assert repr(refund) == (
        f"Refund(refund_id='CD3HN88U9F', outcome={outcome.name}, amount=1000, "
        "authorized_amount=1000, currency='USD', status='ready', order_id='OrderRef6543')"
    )


def test_a_signature_without_an_image(tmp_path: Path) -> None:
    """That there is a signature is not lost with its picture; asking for that is an error."""
    signature = structure({"signatureId": "S1", "signature": None}, m.Signature)
    for ask in (lambda: signature.image, lambda: signature.save(tmp_path / "a.png")):
        with pytest.raises(ValueError, match=r"^the signature came without an image$"):
            ask()
    assert list(tmp_path.iterdir()) == []


def test_p7_no_repr_shows_card_person_or_image() -> None:
    """P7: no repr shows what a refund's card and customer, a signature or a read card hold."""
    refund = shown(answer("refund"))
    for secret in ("Hopper", "400000", "0002", "1230", "custom-value", "Sarah", "Cold pizza"):
        assert secret not in refund
    assert "iVBOR" not in shown(answer("signature"))
    assert "payload" not in shown(answer("closed_loop_read"))
    assert "04a1b2c3" not in shown(answer("closed_loop_read"))
    assert "1850010868" in shown(answer("device"))


def test_a_signatures_image(tmp_path: Path) -> None:
    """The image is the decoded bytes, and ``save`` writes them over what was there."""
    signature = answer("signature")
    assert signature.image == b"\x89PNG\r\n\x1a\nsigned"
    assert signature.created_on == date(2026, 6, 2)
    for path in (tmp_path / "a.png", str(tmp_path / "b.png")):
        Path(path).write_bytes(b"x" * 100)
        assert signature.save(path) == Path(path)
        assert Path(path).read_bytes() == signature.image


@pytest.mark.parametrize(
    "text",
    ["canary", "Y2Fu YXJ5", "Y2FuYXJ5\n", "Y2FuYXJ", "Y2FuYXJ5====", "Y2FuYXJ5=", "Y2Fu-_J5",
     "data:image/png;base64,AA==", "ÄÖcanary", "Y2Fu!!!!", "Y2Fu\n\n\n\n"],
)  # fmt: skip
def test_a_signature_that_is_no_image(text: str, tmp_path: Path) -> None:
    """What is not strictly Base64 is an error when it is decoded; nothing is written or said."""
    signature = structure({**sample("signature"), "signature": text}, m.Signature)
    assert signature.signature == text
    path = tmp_path / "a.png"
    for ask in (lambda: signature.image, lambda: signature.save(path)):
        with pytest.raises(ValueError, match=r"^the signature is not Base64$") as caught:
            ask()
        assert caught.value.__context__ is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("found", "active"),
    [
        ({}, True),
        ({"deactivatedDate": None}, True),
        ({"deactivatedDate": "2026-05-01"}, False),
        ({"deactivatedDate": "2026-05-01T00:00:00Z"}, False),
        ({"deactivatedDate": {"unreadable": 1}}, False),
    ],
)
def test_an_active_device(found: dict[str, Any], active: bool) -> None:
    """A device is active unless it has a date of deactivation, in whatever form that comes."""
    device = structure({"serialNumber": "1850010868", **found}, m.Device)
    assert device.active is active
    assert m.Device(serial_number="1850010868").active


def test_a_closed_loop_read_keeps_its_payload() -> None:
    """The payload is there as it came, read-only at the top."""
    read = answer("closed_loop_read")
    assert read.data["blocks"][0]["sector"] == 3
    assert dict(read.data) == sample("closed_loop_read")["data"]
    with pytest.raises(TypeError):
        read.data["uid"] = 1


# Pages


@pytest.mark.parametrize("more", ["hasMore", "has_more"])
@pytest.mark.parametrize("number", [int, str])
def test_a_page_in_both_spellings(more: str, number: type) -> None:
    """A page is read with ``hasMore`` or ``has_more``, and with numbers or strings for counts."""
    data = sample("devices_page")
    data[more] = data.pop("hasMore")
    data["limit"], data["count"] = number(data["limit"]), number(data["count"])
    page = structure_page(data, m.Device)
    assert (page.limit, page.count, page.has_more) == (2, 2, True)
    assert [device.serial_number for device in page.data] == ["1850010868", "1850010869"]
    assert page.data[0].tender is m.Tender.EBT
    assert page.next_link == page.links[0]
    assert page.previous_link == page.links[1]
    assert unstructure(page) == sample("devices_page")


@pytest.mark.parametrize("rel", ["next", "Next", "NEXT", " next "])
def test_the_next_link_in_any_case(rel: str) -> None:
    """Which link is the next one does not depend on the case of its ``rel``."""
    links = [{"href": "/v1/devices"}, {"rel": rel, "href": "/v1/devices?after=1"}]
    page = structure_page({"links": links, "data": []}, m.Device)
    assert page.next_link is page.links[1]
    assert page.previous_link is None


@pytest.mark.parametrize("nowhere", [{}, {"href": None}])
def test_a_link_that_leads_nowhere_is_none(nowhere: dict[str, Any]) -> None:
    """That there is no page before does not hide the one after, however it is said."""
    links = [{"rel": "previous", **nowhere}, {"rel": "next", "href": "/v1/devices?after=1"}]
    page = structure_page({"links": links, "data": []}, m.Device)
    assert page.links == (m.Link(rel="next", href="/v1/devices?after=1"),)


def test_a_page_with_the_least() -> None:
    """A page needs its list alone; then it is the last one."""
    page = structure_page({"data": []}, m.Payment)
    assert page == m.Page(data=())
    assert (page.has_more, page.next_link, page.previous_link) == (None, None, None)
    nulls: dict[str, Any] = {
        "limit": None,
        "count": None,
        "hasMore": None,
        "links": None,
        "data": [],
    }
    assert structure_page(nulls, m.Payment) == page


def test_a_page_with_a_garbled_count(caplog: pytest.LogCaptureFixture) -> None:
    """A count that cannot be read is dropped with a warning: the items are what counts."""
    page = structure_page({**sample("devices_page"), "count": CANARY}, m.Device)
    assert page.count is None
    assert len(page.data) == 2
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert CANARY not in record.getMessage()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": CANARY}, r"Page.data: not readable, found str"),
        ({"data": None}, r"Page.data: not readable, found NoneType"),
        ({"data": {"a": CANARY}}, r"Page.data: not readable, found dict"),
    ],
)
def test_a_page_without_a_list_is_none(change: dict[str, Any], said: str) -> None:
    """It may not pass for one that found nothing."""
    with pytest.raises(ResponseFormatError, match=f"^{said}$") as caught:
        structure_page({**sample("devices_page"), **change}, m.Device)
    assert caught.value.__context__ is None
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "links",
    [
        {"next": "/v1/devices?after=1"},
        {"next": {"href": "/v1/devices?after=1"}},
        "/v1/devices?after=1",
        ["/v1/devices?after=1"],
        [["/v1/devices?after=1"]],
        [5],
        True,
        [{"rel": 5, "href": "/v1/devices?after=1"}],
        [{"rel": "next", "href": {"a": CANARY}}],
    ],
)
def test_links_that_can_not_be_read_are_refused_where_they_are_followed(links: object) -> None:
    """What is on the page is there; and where the page is the last, no link is missed."""
    data = {"data": [{"serialNumber": "1"}], "links": links}
    page = structure_page(data, m.Device)
    assert [device.serial_number for device in page.data] == ["1"]
    with pytest.raises(ResponseFormatError) as caught:
        next_page_request(DEVICE, page)
    assert CANARY not in str(caught.value)
    last = structure_page({**data, "hasMore": False}, m.Device)
    assert next_page_request(DEVICE, last) is None


@pytest.mark.parametrize(
    "links",
    [
        {"rel": "next", "href": "/v1/devices?after=1"},
        [{"rel": ["next"], "href": "/v1/devices?after=1"}],
        [{"rel": "last  NEXT", "href": "/v1/devices?after=1\u200b"}],
        [None, 5, {"rel": "next", "href": " /v1/devices?after=1\0"}],
    ],
)
def test_a_link_in_another_form(links: object) -> None:
    """One link without a list, relations as HTML has them, and what is no link beside one."""
    page = structure_page({"data": [], "links": links}, m.Device)
    request = next_page_request(DEVICE, page)
    assert request is not None
    assert request.path == "/devices?after=1"


@pytest.mark.parametrize("links", [None, [], [None], [{}], [{"rel": "next", "href": None}], {}, ""])
def test_no_link_is_the_last_page(links: object) -> None:
    page = structure_page({"data": [], "links": links}, m.Device)
    assert next_page_request(DEVICE, page) is None


@pytest.mark.parametrize("href", [{"a": CANARY}, [CANARY], True])
def test_a_link_that_can_not_be_read_is_refused_where_it_is_followed(href: object) -> None:
    """A search must not end there as if nothing came after; what is on the page is there."""
    links = [{"rel": "previous", "href": "/v1/devices?before=1"}, {"rel": "next", "href": href}]
    page = structure_page({"data": [{"serialNumber": "1"}], "links": links}, m.Device)
    assert [device.serial_number for device in page.data] == ["1"]
    assert previous_page_request(DEVICE, page) is not None
    with pytest.raises(ResponseFormatError):
        next_page_request(DEVICE, page)


@pytest.mark.parametrize("bad", [None, CANARY, 5, [], {}, {"paymentId": None}, {"paymentId": ""}])
def test_an_item_without_an_id_is_left_out_alone(
    bad: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are there, and the page and a warning say which one is not, and why."""
    data = {"data": [sample(), bad, {**sample(), "paymentId": "OTHER"}]}
    page = structure_page(data, m.Payment)
    assert [payment.payment_id for payment in page.data] == ["M2MJOG6O2Y", "OTHER"]
    (reason,) = page.skipped
    assert reason.startswith("Page.data[1], Payment")
    assert CANARY not in reason
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert reason in record.getMessage()


@pytest.mark.parametrize("cls", [m.Payment, m.Refund])
@pytest.mark.parametrize(
    "result", [None, CANARY, {}, {"responseCode": None}, {"responseCode": 1, "status": "ready"}]
)
def test_an_item_without_an_outcome_is_there(
    cls: type[Any], result: object, caplog: pytest.LogCaptureFixture
) -> None:
    """That a payment exists is not lost because its outcome is not known."""
    name = "payment" if cls is m.Payment else "refund"
    damaged = {**sample(name), "transactionResult": result}
    page = structure_page({"data": [damaged, sample(name)]}, cls)
    found, whole = page.data
    assert whole == answer(name)
    assert (found.outcome, found.approved) == (m.Outcome.UNKNOWN, False)
    assert found.order == whole.order
    assert dict(found.raw) == damaged
    assert page.skipped == ()
    id_ = sample(name)[f"{name}Id"]
    assert f"not all of {id_} could be read: outcome unknown: " in caplog.text
    with pytest.raises(ResponseFormatError, match="transactionResult"):
        structure(damaged, cls)  # alone, it is asked for again


def test_a_device_without_a_serial_number_is_there() -> None:
    """A device has nothing that has to be there."""
    page = structure_page({"data": [{"deviceId": "1"}, {"serialNumber": 5}]}, m.Device)
    assert [device.serial_number for device in page.data] == [None, "5"]


@pytest.mark.parametrize("data", [None, [], CANARY, {}, {"limit": 1}])
def test_what_is_no_page(data: object) -> None:
    """What has no list of items is no page."""
    with pytest.raises(ResponseFormatError, match=r"^Page(\.data: missing|: not an object)$"):
        structure_page(data, m.Device)


# Requests


def test_a_refund_instruction_is_sent_as_the_contract_says() -> None:
    """A request for a refund with every field is the JSON of the sample."""
    request = m.RefundInstructionRequest(
        processing_terminal_id="1234001",
        order=m.RefundOrder(
            order_id="OrderRef6543",
            description="Cold pizza",
            amount=1000,
            currency="USD",
        ),
        operator="Jane",
        customer=m.Customer(
            first_name="Sarahfirst",
            contact_methods=[m.ContactMethod(type="email", value="jane.doe@example.com")],
        ),
        ip_address=m.IpAddress(type="ipv6", value="2001:db8::7"),
        customization_options=m.CustomizationOptions(entry_method="manualEntry"),
    )
    assert json.loads(encode(request)) == sample("refund_instruction_request")
    assert encode(request) == encode(copy.deepcopy(request))
    assert "Sarah" not in shown(request)
    assert "pizza" not in shown(request)


def test_a_signature_instruction_is_its_terminal_alone() -> None:
    """A request for a signature is the terminal's id."""
    request = m.SignatureInstructionRequest(processing_terminal_id="1234001")
    assert encode(request) == b'{"processingTerminalId":"1234001"}'


def test_adjustments_are_sent_as_the_contract_says() -> None:
    """Each kind of adjustment says its type, and has its own fields."""
    request = m.AdjustmentRequest(
        adjustments=[
            m.OrderAdjustment(
                amount=5499,
                breakdown=m.BreakdownAdjustment(
                    tip=m.Tip(type="fixedAmount", mode="adjusted", amount=500)
                ),
            ),
            m.StatusAdjustment(to_status="pending"),
            m.CustomerAdjustment(
                shipping_address=m.ShippingAddress(recipient_name="Recipientname"),
                contact_methods=[m.ContactMethod(type="email", value="jane.doe@example.com")],
            ),
            m.SignatureAdjustment(cardholder_signature="iVBORw0KGgo="),
        ],
        operator="Jane",
    )
    assert json.loads(encode(request)) == sample("adjustment_request")
    for secret in ("iVBOR", "Recipientname", "jane.doe"):
        assert secret not in shown(request)


def test_an_adjustment_that_changes_nothing_is_refused() -> None:
    """There is at least one adjustment, and no other type can be put in its place."""
    with pytest.raises(ConfigurationError, match=r"^adjustments: must have at least 1 item$"):
        m.AdjustmentRequest(adjustments=[])
    with pytest.raises(TypeError):
        m.OrderAdjustment(type="status", amount=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (
            m.ReferencedRefundRequest(amount=1000, description="Cold", operator="Jane"),
            {"amount": 1000, "description": "Cold", "operator": "Jane"},
        ),
        (m.ReversalRequest(), {}),
        (m.ReversalRequest(amount=1, operator="Jane"), {"amount": 1, "operator": "Jane"}),
        (m.CaptureRequest(), {}),
        (
            m.CaptureRequest(
                processing_terminal_id="1234001",
                operator="Jane",
                amount=4999,
                breakdown=m.ItemizedBreakdown(
                    subtotal=4000,
                    taxes=[m.Tax(rate=5, name="VAT"), m.TaxAmount(amount=1, name="Bag")],
                    duty_amount=499,
                    freight_amount=500,
                    items=[
                        m.LineItem(
                            unit_price=4000,
                            quantity=0.5,
                            unit_of_measure="KGM",
                            taxes=[m.TaxAmount(amount=1, name="Bag")],
                        )
                    ],
                ),
            ),
            {
                "processingTerminalId": "1234001",
                "operator": "Jane",
                "amount": 4999,
                "breakdown": {
                    "subtotal": 4000,
                    "taxes": [
                        {"type": "rate", "rate": 5, "name": "VAT"},
                        {"type": "amount", "amount": 1, "name": "Bag"},
                    ],
                    "dutyAmount": 499,
                    "freightAmount": 500,
                    "items": [
                        {
                            "unitPrice": 4000,
                            "quantity": 0.5,
                            "unitOfMeasure": "KGM",
                            "taxes": [{"type": "amount", "amount": 1, "name": "Bag"}],
                        }
                    ],
                },
            },
        ),
    ],
)
def test_what_is_done_to_a_payment(request_: object, sent: dict[str, Any]) -> None:
    """Refund, reversal and capture send what was given, and nothing else."""
    assert unstructure(request_) == sent
