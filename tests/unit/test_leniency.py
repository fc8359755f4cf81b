"""A detail never loses an outcome: answers over a real socket, byte for byte, and any damage.

What decides is written out here from contract section 15, and not taken from the models.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async import (
    Environment,
    Outcome,
    OutcomeUnknownError,
    PayrocSession,
    ResponseFormatError,
    SignatureInstructionRequest,
)
from payroc_async import models as m
from payroc_async.errors import AuthenticationError, BadRequestError
from payroc_async.kinds import PAYMENT, REFUND, SIGNATURE, Kind
from payroc_async.models.receipt import Copy
from payroc_async.wire.converter import decode, encode, structure, unstructure
from payroc_async.wire.protocol import (
    Answer,
    decipher_instruction,
    decipher_resource,
    resource_request,
)
from tests.conftest import EAGER, QUICK, SERIAL, sale

from .test_codec import SLOW, parent, paths_in, sample

ID = "e743a9165d134678a9100ebba3b29597"
PAYMENT_ID = "M2MJOG6O2Y"


# Over a socket ----------


class Wire:
    """A gateway whose answers are bytes: by method and the path below the base."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {
            "POST /authorize": b'{"access_token": "abc", "expires_in": 3600}',
            f"POST /v1/devices/{SERIAL}/payment-instructions": instruction("inProgress"),
            f"GET /v1/payment-instructions/{ID}": instruction("completed", link=link()),
            f"GET /v1/payments/{PAYMENT_ID}": payment(),
        }
        self.status: dict[str, int] = {}
        self.content_type = "application/json"
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(size[1]) if size else 0)
                asked = b" ".join(head.split(b" ", 2)[:2]).decode()
                self.asked.append(asked)
                body = self.answers.get(asked)
                status = 404 if body is None else self.status.get(asked, 200)
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                    % (status, self.content_type.encode(), len(body or b""), body or b"")
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def instruction(status: str, **more: Any) -> bytes:
    return json.dumps({"status": status, "paymentInstructionId": ID, **more}).encode()


def link(href: str = f"https://api.payroc.com/v1/payments/{PAYMENT_ID}") -> dict[str, str]:
    return {"rel": "payment", "method": "GET", "href": href}


def payment() -> bytes:
    return (Path(__file__).parents[1] / "samples" / "payment.json").read_bytes()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """A gateway that answers with the bytes that a test gives it."""
    wire = Wire()
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        wire.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        yield wire


@pytest.fixture
async def till(wire: Wire) -> AsyncIterator[PayrocSession]:
    """A session with it."""
    base = f"http://127.0.0.1:{wire.port}"  # type: ignore[attr-defined]
    environment = Environment(api_url=f"{base}/v1", identity_url=f"{base}/authorize")
    async with PayrocSession(
        "key", environment=environment, timeouts=QUICK, retries=EAGER
    ) as session:
        yield session


ODD_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda body: body.decode().encode("utf-16-be"),
    "UTF-32": lambda body: body.decode().encode("utf-32"),
    "trailing NULs": lambda body: body + b"\0\0",
    "half an emoji": lambda body: body.replace(b"{", rb'{"note": "cake \ud83d", ', 1),
    "Latin-1": lambda body: body.replace(b"{", b'{"note": "Jos\xe9", ', 1),
    "raw control characters": lambda body: body.replace(b"{", b'{"note": "a\n\x01b\t", ', 1),
    "NaN": lambda body: body.replace(b"{", b'{"fee": NaN, "more": -Infinity, ', 1),
    "numbers out of range": lambda body: body.replace(
        b"{", b'{"x": 1e999, "y": %b, ' % (b"9" * 5000), 1
    ),
}


@pytest.mark.parametrize("odd", ODD_BYTES)
@pytest.mark.parametrize("place", range(4), ids=["token", "submission", "status", "payment"])
async def test_p5_odd_bytes_lose_no_payment(
    wire: Wire, till: PayrocSession, odd: str, place: int
) -> None:
    """P5: a sale is paid whatever system has written one of its answers."""
    asked = list(wire.answers)[place]
    wire.answers[asked] = ODD_BYTES[odd](wire.answers[asked])
    paid = await till.run_sale(SERIAL, sale())
    assert (paid.payment_id, paid.outcome) == (PAYMENT_ID, Outcome.APPROVED)
    assert paid.order.amount == 4999


@pytest.mark.parametrize("padding", ["  ", "\0\0", "\u200b", "\ufeff", "\xa0", "\r\n"], ids=ascii)
@pytest.mark.parametrize("place", range(1, 4), ids=["submission", "status", "payment"])
async def test_p5_a_padded_id_loses_no_payment(
    wire: Wire, till: PayrocSession, padding: str, place: int
) -> None:
    """P5: fields of a fixed length are filled up, ids too; what they mean is sent and given."""
    asked = list(wire.answers)[place]
    for id_ in (ID, PAYMENT_ID):
        padded = json.dumps(id_ + padding).encode()
        wire.answers[asked] = wire.answers[asked].replace(json.dumps(id_).encode(), padded)
    paid = await till.run_sale(SERIAL, sale())
    assert (paid.payment_id, paid.approved) == (PAYMENT_ID, True)
    assert f"GET /v1/payment-instructions/{ID}" in wire.asked
    assert all(path.isascii() and "%" not in path for path in wire.asked)


@pytest.mark.parametrize("value", ["4999", " 4999", "+4999", "00004999", "4999\0", 4999.0])
async def test_an_amount_in_another_spelling(
    wire: Wire, till: PayrocSession, value: object
) -> None:
    """What means one whole number is that number."""
    document = sample()
    document["order"]["amount"] = value
    wire.answers[f"GET /v1/payments/{PAYMENT_ID}"] = json.dumps(document).encode()
    assert (await till.payments.retrieve(PAYMENT_ID)).order.amount == 4999


async def test_links_that_can_not_be_read_lose_no_entry_of_their_page(
    wire: Wire, till: PayrocSession
) -> None:
    """What was found comes first; that there may be more is said after it."""
    document = {"data": [sample()], "links": {"next": "/v1/payments?after=1"}}
    wire.answers["GET /v1/payments"] = json.dumps(document).encode()
    pages = till.payments.search()
    assert (await anext(pages)).payment_id == PAYMENT_ID
    with pytest.raises(ResponseFormatError):
        await anext(pages)


@pytest.mark.parametrize(
    "echo",
    [
        "a\\/b\\u002bc==",
        "a/b\\u002Bc==",
        "\\u0061/b+c\\u003d=",
        "a/b+c==",
        "\\u0061\\/b\\u002bc==\\\\",
    ],
)
async def test_p7_a_key_that_is_echoed_with_escapes_is_not_shown(wire: Wire, echo: str) -> None:
    """P7: encoders of JSON escape a slash or a plus sign, which a key may hold."""
    wire.answers["POST /authorize"] = f'{{"title": "no", "detail": "key {echo}"}}'.encode()
    wire.status["POST /authorize"] = 401
    base = f"http://127.0.0.1:{wire.port}"  # type: ignore[attr-defined]
    environment = Environment(api_url=f"{base}/v1", identity_url=f"{base}/authorize")
    async with PayrocSession("a/b+c==", environment=environment, retries=EAGER) as session:
        with pytest.raises(AuthenticationError) as caught:
            await session.payments.retrieve(PAYMENT_ID)
    assert str(caught.value).startswith("HTTP 401: key ***")
    assert "a/b+c==" not in repr(caught.value.problem.raw) + str(caught.value)


async def test_p5_a_declared_charset_keeps_the_name(wire: Wire, till: PayrocSession) -> None:
    """P5: with the header's charset even the odd letters are there."""
    asked = f"GET /v1/payments/{PAYMENT_ID}"
    wire.content_type = "application/json; charset=ISO-8859-1"
    document = {**sample(), "operator": "Jos\u00e9"}
    wire.answers[asked] = json.dumps(document, ensure_ascii=False).encode("latin-1")
    assert (await till.run_sale(SERIAL, sale())).operator == "Jos\u00e9"


@pytest.mark.parametrize(
    "href",
    [
        f"https://api.payroc.com/v1/payments/{PAYMENT_ID}/",
        f"  https://api.payroc.com/v1/payments/{PAYMENT_ID}\n",
        "https://api.payroc.com/v1/payments/%4D2MJOG6O2%59",
        f"HTTPS://API.PAYROC.COM/v1/payments/{PAYMENT_ID}",
        f"payments/{PAYMENT_ID}?name=Jos\u00e9 Garc\u00eda",
        f"//elsewhere.invalid:0/v1/payments/{PAYMENT_ID}",
    ],
)
async def test_p7_a_link_in_another_spelling_is_followed_here(
    wire: Wire, till: PayrocSession, href: str
) -> None:
    """P7: its path, on the configured host, with the same bytes as ever."""
    wire.answers[f"GET /v1/payment-instructions/{ID}"] = instruction("completed", link=link(href))
    assert (await till.run_sale(SERIAL, sale())).approved
    assert wire.asked[-1] == f"GET /v1/payments/{PAYMENT_ID}"


@pytest.mark.parametrize(
    ("href", "query"),
    [
        ("?after=8516", "after=8516"),
        ("payments/?after=8516#top", "after=8516"),
        ("/v1/payments?cardholderName=Jos\u00e9 G&after=1", "cardholderName=Jos%C3%A9%20G&after=1"),
        ("payments?cardholderName=Jos%C3%A9+G&after=1", "cardholderName=Jos%C3%A9+G&after=1"),
        ("payments?after=a|b\"<>^`{}\\", "after=a%7Cb%22%3C%3E%5E%60%7B%7D%5C"),
        ("payments?after=100%&dateFrom=2026-01-02T03:04:05+02:00",
         "after=100%25&dateFrom=2026-01-02T03:04:05+02:00"),
        ("https://API.payroc.com:443/v1/p%61yments?after=%2B%2f", "after=%2B%2f"),
        ("payments?after=\ud83d", "after=?"),
    ],
    ids=ascii,
)  # fmt: skip
async def test_p7_the_link_to_a_page_in_another_spelling(
    wire: Wire, till: PayrocSession, href: str, query: str
) -> None:
    """P7: what should have been encoded is encoded, and what is stays byte for byte."""
    links = [{"rel": "next", "method": "GET", "href": href}]
    first = {"hasMore": True, "links": links, "data": [sample()]}
    last = {"data": [{**sample(), "paymentId": "LAST"}]}
    wire.answers["GET /v1/payments?limit=1"] = json.dumps(first).encode()
    expected = query.replace("after=?", "after=%EF%BF%BD")
    wire.answers[f"GET /v1/payments?{expected}"] = json.dumps(last).encode()
    found = [one.payment_id async for one in till.payments.search(limit=1)]
    assert found == [PAYMENT_ID, "LAST"]


async def test_one_damaged_entry_does_not_break_off_a_search(
    wire: Wire, till: PayrocSession
) -> None:
    """What can be read of each page is found, on both sides of what can not."""
    broken: list[object] = [None, {"card": {}}, {"paymentId": "ODD", "transactionResult": None}]
    document = {"data": [sample(), *broken, {**sample(), "paymentId": "LAST"}]}
    wire.answers["GET /v1/payments"] = json.dumps(document).encode()
    found = [(one.payment_id, one.outcome) async for one in till.payments.search()]
    assert found == [
        (PAYMENT_ID, Outcome.APPROVED),
        ("ODD", Outcome.UNKNOWN),
        ("LAST", Outcome.APPROVED),
    ]


async def test_a_refusal_in_utf_16_is_a_refusal(wire: Wire, till: PayrocSession) -> None:
    """What a 400 says is read in any encoding, and the sale has certainly not begun."""
    asked = f"POST /v1/devices/{SERIAL}/payment-instructions"
    document = {
        "type": "https://docs.payroc.com/api/errors#bad-request",
        "status": 400,
        "errors": [{"parameter": "order.amount", "detail": "\ud83d"}],
    }
    wire.answers[asked] = json.dumps(document).encode("utf-16")
    wire.status[asked] = 400
    with pytest.raises(BadRequestError) as caught:
        await till.run_sale(SERIAL, sale())
    assert caught.value.own
    assert [one.parameter for one in caught.value.problem.errors] == ["order.amount"]


async def test_p7_what_is_no_payment_is_described_and_not_shown(
    wire: Wire, till: PayrocSession
) -> None:
    """P7: status, content type and place are in the error; nothing of the text."""
    wire.content_type = "text/html; charset=utf-8"
    wire.answers[f"GET /v1/payments/{PAYMENT_ID}"] = b"<html>canary</html>"
    with pytest.raises(ResponseFormatError, match=r"^HTTP 200, text/html: not JSON: .* 0 of 19$"):
        await till.payments.retrieve(PAYMENT_ID)


@pytest.mark.parametrize("body", [b"{}", b'{"message": "ok"}', b"null", b'{"signatureId": null}'])
async def test_p5_a_proxys_json_is_no_signature(
    wire: Wire, till: PayrocSession, body: bytes
) -> None:
    """P5: nothing of a signature has to be there, but something must be."""
    view = {"signatureInstructionId": ID, "status": "completed",
            "link": link("https://api.payroc.com/v1/signatures/S1")}  # fmt: skip
    wire.answers[f"POST /v1/devices/{SERIAL}/signature-instructions"] = json.dumps(view).encode()
    wire.answers[f"GET /v1/signature-instructions/{ID}"] = json.dumps(view).encode()
    wire.answers["GET /v1/signatures/S1"] = body
    with pytest.raises(ResponseFormatError):
        await till.signatures.retrieve("S1")
    request = SignatureInstructionRequest(processing_terminal_id="1234001")
    wire.answers["GET /v1/signatures/S1"] = b'{"signatureId": "S1", "createdOn": 5}'
    signature = await till.capture_signature(SERIAL, request)
    assert (signature.signature_id, signature.created_on, signature.signature) == ("S1", None, None)


# Any damage ----------

DECIDES = {
    "payment": ["paymentId", "transactionResult", "transactionResult.responseCode"],
    "refund": ["refundId", "transactionResult", "transactionResult.responseCode"],
    "signature": ["signatureId"],
    "payment_instruction": ["paymentInstructionId", "status"],
    "refund_instruction": ["refundInstructionId", "status"],
    "signature_instruction": ["signatureInstructionId", "status"],
}
KINDS: dict[str, Kind[Any, Any]] = {"payment": PAYMENT, "refund": REFUND, "signature": SIGNATURE}
GONE = object()
DAMAGE = st.one_of(
    st.just(GONE),
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["NaN", "-", "1e5", "2026-13-99", "yes", "\ud83d", "\0"]),
    st.lists(st.none() | st.integers() | st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none() | st.integers(), max_size=2),
)


@st.composite
def damaged(draw: st.DrawFn, names: list[str]) -> tuple[str, dict[str, Any]]:
    """A sample in which any number of fields are gone, null, or of another type."""
    name = draw(st.sampled_from(names))
    data = sample(name)
    optional = [path for path in paths_in(data) if path not in DECIDES[name]]
    for path in draw(st.lists(st.sampled_from(optional), unique=True, max_size=12)):
        damage = draw(DAMAGE)
        try:
            holder, key = parent(data, path)
            if damage is GONE:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(damage)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            pass  # within what is damaged already
    return name, data


def as_sent(data: object) -> bytes:
    """As a careless system writes it: NaN, and halves of emojis, included."""
    return json.dumps(data).encode()


@SLOW
@given(found=damaged(["payment", "refund", "signature"]))
def test_p5_no_damage_to_details_loses_the_outcome(found: tuple[str, dict[str, Any]]) -> None:
    """P5: whatever is wrong with the rest, the id and the outcome come out, and all can be used."""
    name, data = found
    kind, sound = KINDS[name], sample(name)
    id_ = sound[f"{name}Id"]
    read = decipher_resource(kind, Answer(200, {}, as_sent(data)), resource_request(kind, id_))
    assert kind.resource_id(read) == id_
    assert repr(read)
    assert hash(read) == hash(copy.deepcopy(read))
    assert structure(decode(encode(read)), type(read)) == read
    if isinstance(read, m.Payment | m.Refund):
        assert read.outcome is Outcome.APPROVED
        whose: Copy
        for whose in ("customer", "merchant"):
            read.receipt(copy=whose).text(32)
        repr([read.order, read.card, read.customer, read.custom_fields, read.supported_operations])


@SLOW
@given(found=damaged(["payment_instruction", "refund_instruction", "signature_instruction"]))
def test_e4_no_damage_to_an_instruction_loses_id_or_status(
    found: tuple[str, dict[str, Any]],
) -> None:
    """E4: the id and the status come out, whatever stands beside them."""
    name, data = found
    kind, sound = KINDS[name.partition("_")[0]], sample(name)
    read = decipher_instruction(kind, Answer(202, {}, as_sent(data)))
    assert read.instruction_id == next(sound[path] for path in sound if path.endswith("Id"))
    assert read.status == sound["status"]
    repr(read)


@SLOW
@given(found=damaged(["payment"]), copies=st.integers(0, 2))
def test_what_is_sound_of_a_damaged_payment_is_as_it_was(
    found: tuple[str, dict[str, Any]], copies: int
) -> None:
    """A field that is sound is read as in the sound sample: damage does not spread."""
    _, data = found
    sound, read = structure(sample(), m.Payment), structure(decode(as_sent(data)), m.Payment)
    before, after = unstructure(sound), unstructure(read)
    for path in paths_in(sample()):
        steps = path.split(".")
        try:
            holders = [parent(data, ".".join(steps[: i + 1])) for i in range(len(steps))]
            same = all(key in range(99) or key in holder for holder, key in holders)
            value, whole = holders[-1][0][holders[-1][1]], parent(sample(), path)
        except (KeyError, TypeError, IndexError, AttributeError, ValueError):
            continue
        if same and value == whole[0][whole[1]] and not isinstance(value, dict | list):
            if any(step.isdigit() for step in steps):
                continue  # an item of a list is left out whole where its id is gone
            if "secureToken" in steps or "link" in steps:
                continue  # as these are
            assert at_path(after, path) == at_path(before, path), path


def at_path(data: Any, path: str) -> Any:
    holder, key = parent(data, path)
    return holder[key]


# Numbers ----------

NUMBERS = {
    "order.dccOffer.fxRate": ("0.9102", 0.9102),
    "order.dccOffer.markup": (" 3.50 ", 3.5),
    "order.dccOffer.fxAmount": ("4550", 4550),
    "order.dccOffer.fxCurrencyExponent": ("2", 2),
    "order.dccOffer.fxCurrencyCode": (978, "978"),
    "order.dccOffer.accepted": ("true", True),
    "order.breakdown.taxes.0.rate": ("8.25", 8.25),
    "order.breakdown.tip.percentage": ("1.5e1", 15.0),
    "order.breakdown.surcharge.percentage": (".5", 0.5),
    "order.breakdown.surcharge.bypass": ("False", False),
    "order.breakdown.dualPricing.offered": (1, True),
    "order.breakdown.dualPricing.choiceRate.applied": (0, False),
    "order.breakdown.items.0.quantity": ("2", 2.0),
    "order.breakdown.subtotal": (3347.0, 3347),
    "order.amount": ("004999", 4999),
    "order.orderId": (6543, "6543"),
    "processingTerminalId": (1234001.0, "1234001"),
    "operator": (7, "7"),
    "card.expiryDate": (1230, "1230"),
    "transactionResult.authorizedAmount": ("-4999", 4999),
    "transactionResult.approvalCode": (475318, "475318"),
    "transactionResult.responseCode": ("A  ", "A"),
    "transactionResult.status": ("ready\0", "ready"),
    "customer.dateOfBirth": (" 1990-07-15t00:00:00z", "1990-07-15"),
}
NO_NUMBERS = {
    "order.dccOffer.fxRate": [
        "0,91",
        "NaN",
        "Infinity",
        "1e999",
        "",
        "0x1",
        "1_0",
        True,
        [1],
        "5%",
    ],
    "order.amount": [
        "49.99",
        49.99,
        "4999.00",
        True,
        "1e3",
        "\u0661",
        "",
        "--5",
        "9" * 5000,
        2.0**64,
        str(2**64),
    ],
    "order.orderId": [6543.5, True, 1e300, {"a": 1}],
    "order.breakdown.surcharge.bypass": ["yes", "N", 2, 0.0, "", []],
    "customer.dateOfBirth": [19900715, "15/07/1990", "", [1990, 7, 15]],
    "order.dateTime": [1764288000, "yesterday", "", True],
}


def model_at(model: Any, path: str) -> Any:
    for step in path.split("."):
        name = re.sub("([A-Z])", r"_\1", step).lower()
        model = model[int(step)] if step.isdigit() else getattr(model, name)
    return model


@pytest.mark.parametrize("path", NUMBERS)
def test_a_value_in_another_spelling(path: str) -> None:
    """A number as text, a text as a number: where the meaning is plain, it is read."""
    data = sample()
    holder, key = parent(data, path)
    holder[key], expected = NUMBERS[path]
    found = model_at(structure(data, m.Payment), path)
    if path == "customer.dateOfBirth":
        found = found.isoformat()
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, str)


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in NO_NUMBERS.items() for value in values]
)
def test_a_value_that_is_none_is_dropped_alone(path: str, value: object) -> None:
    """What has no plain meaning is None, and its block keeps all else."""
    data = sample()
    holder, key = parent(data, path)
    holder[key] = value
    sound, read = structure(sample(), m.Payment), structure(data, m.Payment)
    assert model_at(read, path) is None
    block, _, name = path.rpartition(".")
    before, after = unstructure(model_at(sound, block)), unstructure(model_at(read, block))
    del before[name]
    assert after == before


async def test_p5_an_unreadable_response_code_is_no_outcome(
    wire: Wire, till: PayrocSession
) -> None:
    """P5: a payment whose outcome can't be read is no approval, nor a decline: it is unknown."""
    document = sample()
    document["transactionResult"]["responseCode"] = {"a": "A"}
    wire.answers[f"GET /v1/payments/{PAYMENT_ID}"] = json.dumps(document).encode()
    with pytest.raises(OutcomeUnknownError):
        await till.run_sale(SERIAL, sale())
