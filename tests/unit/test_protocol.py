"""What crosses the wire, by bytes written by hand from the contract; no server stands behind them.

Requests as contract sections 1 and 2 have them, answers as sections 3, 7 and 8 do.
"""

from __future__ import annotations

import json
import math
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async import errors as e
from payroc_async.kinds import PAYMENT
from payroc_async.models import InstructionStatus, Link
from payroc_async.wire.protocol import (
    Answer,
    Request,
    Token,
    cancel_request,
    check_idempotency_key,
    check_identifier,
    decipher_instruction,
    decipher_resource,
    decipher_success,
    decipher_token,
    follow_link,
    new_idempotency_key,
    resource_request,
    status_request,
    submit_request,
)

SAMPLES = Path(__file__).parents[1] / "samples"
ID = "e743a9165d134678a9100ebba3b29597"
KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
PAYMENT_URL = "https://api.payroc.com/v1/payments/M2MJOG6O2Y"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, body)


def problem(status: int, fragment: str, **more: Any) -> bytes:
    kind = f"https://docs.payroc.com/api/errors#{fragment}"
    return json.dumps({"type": kind, "title": "A title", "status": status, **more}).encode()


def instruction(status: str = "inProgress", **more: Any) -> bytes:
    return json.dumps({"status": status, "paymentInstructionId": ID, **more}).encode()


def completed(href: str = PAYMENT_URL, rel: str = "payment", method: str = "GET") -> bytes:
    return instruction("completed", link={"rel": rel, "method": method, "href": href})


# Requests ----------


def test_the_submission_is_a_post_with_its_key_and_its_bytes() -> None:
    """Contract section 2: POST /devices/{serialNumber}/payment-instructions, bytes untouched."""
    body = b'{"any":  "bytes"}'
    request = submit_request(PAYMENT, "1850010868", body, KEY)
    assert request == Request("POST", "/devices/1850010868/payment-instructions", body, KEY)
    assert request.body is body


def test_status_cancel_and_payment_requests_carry_neither_body_nor_key() -> None:
    """Contract sections 1 and 2: GET and DELETE of the instruction, GET of the payment."""
    assert status_request(PAYMENT, ID) == Request("GET", f"/payment-instructions/{ID}")
    assert cancel_request(PAYMENT, ID) == Request("DELETE", f"/payment-instructions/{ID}")
    assert resource_request(PAYMENT, "M2MJOG6O2Y") == Request("GET", "/payments/M2MJOG6O2Y")


@pytest.mark.parametrize(
    ("segment", "quoted"),
    [
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("a%2fb", "a%252fb"),
        ("ü", "%C3%BC"),
        ("a+b&c=d;e", "a%2Bb%26c%3Dd%3Be"),
        ("A-Z_0.9~", "A-Z_0.9~"),
    ],
)
def test_p7_a_segment_can_not_leave_its_place_in_the_path(segment: str, quoted: str) -> None:
    """Whatever an id holds, it stays one segment of the path."""
    submit = submit_request(PAYMENT, segment, b"", KEY)
    assert submit.path == f"/devices/{quoted}/payment-instructions"
    assert status_request(PAYMENT, segment).path == f"/payment-instructions/{quoted}"
    assert cancel_request(PAYMENT, segment).path == f"/payment-instructions/{quoted}"
    assert resource_request(PAYMENT, segment).path == f"/payments/{quoted}"


def test_p7_reprs_of_requests_answers_and_tokens_show_no_contents() -> None:
    """Bodies, headers and tokens are not in a repr, which gets logged."""
    request = submit_request(PAYMENT, "1850010868", b"canary", KEY)
    shown = [request, answer(200, b"canary", x_secret="canary"), Token("canary", 1.0)]
    assert "canary" not in repr(shown)


# Identifiers and keys ----------


@pytest.mark.parametrize(
    "value",
    [
        "1850010868",
        "M2MJOG6O2Y",
        ID,
        "a",
        "a.b",
        "...",
        "a-b_c~d",
        "a:b",
        "a@b",
        "Gerät",
        "a" * 999,
    ],
)
def test_a_good_identifier_is_taken_unchanged(value: str) -> None:
    """What can stand as one segment of a path is returned as it is."""
    assert check_identifier("payment_id", value) is value


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("serial_number", 1, 64), ("processing_terminal_id", 4, 50), ("secure_token_id", 1, 200)],
)
def test_an_id_that_a_merchant_knows_has_a_length(name: str, least: int, most: int) -> None:
    """It is held to it; an id that the gateway makes up is not."""
    for good in ("a" * least, "a" * most):
        assert check_identifier(name, good) == good
    wrong = ["a" * (most + 1)] + ["a" * (least - 1)] * (least > 1)
    for value in wrong:
        with pytest.raises(e.ConfigurationError, match=f"must have {least} to {most} characters"):
            check_identifier(name, value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ".",
        "..",
        "a b",
        " a",
        "a\n",
        "a/b",
        "/",
        "a\\b",
        "a?b",
        "a#b",
        "a%2Fb",
        "%2e%2e",
        "\x00",
        "a\x7f",
        "a\N{NO-BREAK SPACE}b",
        "a\N{ZERO WIDTH SPACE}b",
        "a\N{RIGHT-TO-LEFT OVERRIDE}b",
        "a\ud800",
        None,
        1850010868,
        True,
        b"1850010868",
        ["1850010868"],
    ],
    ids=ascii,
)
def test_a_bad_identifier_is_refused_by_name(value: object) -> None:
    """What would change a path, or is no string, is refused; the error names the parameter."""
    with pytest.raises(e.ConfigurationError) as caught:
        check_identifier("serial_number", value)
    assert caught.value.field == "serial_number"


def test_p1_new_keys_are_uuid4_and_never_the_same() -> None:
    """Each fresh key is a UUID v4 in its usual form."""
    keys = {new_idempotency_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    assert all(uuid.UUID(key).version == 4 and str(uuid.UUID(key)) == key for key in keys)
    assert all(check_idempotency_key(key) == key for key in keys)


@pytest.mark.parametrize("key", [KEY, KEY.upper(), KEY[:18].upper() + KEY[18:]])
def test_p1_a_callers_key_is_kept_letter_by_letter(key: str) -> None:
    """A key is not normalised: in other letters it would be another key."""
    assert check_idempotency_key(key) is key


def test_p1_a_uuid_object_is_taken_for_a_key() -> None:
    """A UUID stands for its usual form."""
    assert check_idempotency_key(uuid.UUID(KEY)) == KEY


@pytest.mark.parametrize(
    "key",
    [
        "",
        "OrderRef6543",
        KEY.replace("-", ""),
        "{" + KEY + "}",
        "urn:uuid:" + KEY,
        " " + KEY,
        KEY + "\n",
        KEY[:-1],
        KEY + "0",
        "8e03978e-40d5-13e8-bc93-6894a57f9324",  # version 1
        "8e03978e-40d5-73e8-bc93-6894a57f9324",  # version 7
        "8e03978e-40d5-43e8-cc93-6894a57f9324",  # another variant
        "00000000-0000-0000-0000-000000000000",
        uuid.UUID("8e03978e-40d5-13e8-bc93-6894a57f9324"),
        b"8e03978e-40d5-43e8-bc93-6894a57f9324",
        None,
        1,
    ],
    ids=repr,
)
def test_p1_a_key_that_is_no_uuid4_is_refused(key: object) -> None:
    """Anything but a UUID v4 in its usual form is refused before anything is sent."""
    with pytest.raises(e.ConfigurationError) as caught:
        check_idempotency_key(key)
    assert caught.value.field == "idempotency_key"


# Errors ----------

FRAGMENTS: list[tuple[int, str, type[e.APIError]]] = [
    (400, "bad-request", e.BadRequestError),
    (400, "idempotency-key-missing", e.BadRequestError),
    (400, "capabilities-missing", e.BadRequestError),
    (400, "card-type-not-supported", e.BadRequestError),
    (401, "not-authorized", e.AuthenticationError),
    (403, "forbidden", e.ForbiddenError),
    (404, "not-found", e.NotFoundError),
    (406, "not-acceptable", e.APIError),
    (413, "payload-too-large", e.APIError),
    (415, "unsupported-media-type", e.APIError),
    (400, "idempotency-key-in-use", e.IdempotencyKeyInUseError),
    (409, "idempotency-key-in-use", e.IdempotencyKeyInUseError),
    (409, "cannot-be-modified", e.ConflictError),
    (409, "resource-already-exists", e.ConflictError),
    (500, "api-error", e.ServerError),
]


@pytest.mark.parametrize(("status", "fragment", "error_type"), FRAGMENTS)
def test_every_error_of_the_contract_has_its_class(
    status: int, fragment: str, error_type: type[e.APIError]
) -> None:
    """Contract section 8: each status and fragment comes out as exactly its class."""
    with pytest.raises(e.APIError) as caught:
        decipher_success(answer(status, problem(status, fragment)))
    error = caught.value
    assert type(error) is error_type
    assert (error.status, error.problem.status, error.problem.fragment) == (
        status,
        status,
        fragment,
    )


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (402, e.APIError),
        (405, e.APIError),
        (408, e.APIError),
        (425, e.APIError),
        (429, e.RateLimitedError),
        (499, e.APIError),
        (500, e.ServerError),
        (501, e.ServerError),
        (502, e.ServerError),
        (503, e.ServerError),
        (504, e.ServerError),
        (520, e.ServerError),
        (599, e.ServerError),
        (999, e.ServerError),
    ],
)
def test_an_error_of_whatever_stands_between_has_its_class(
    status: int, error_type: type[e.APIError]
) -> None:
    """Contract section 8: a proxy's error without a document is known by its status."""
    with pytest.raises(e.APIError) as caught:
        decipher_success(answer(status))
    assert type(caught.value) is error_type
    assert caught.value.problem == e.Problem()
    assert str(caught.value) == f"HTTP {status}"


TYPE = "https://docs.payroc.com/api/errors#bad-request"


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ({"type": TYPE, "title": "Bad request", "status": 400, "detail": "x"}, True),
        ({"type": TYPE}, True),
        ({"type": TYPE, "status": None}, True),
        ({"type": TYPE, "status": "400"}, True),
        ({"type": "HTTP://DOCS.PAYROC.COM:443/errors?v=1#x", "status": 400}, True),
        ({"type": "https://payroc.com#bad-request"}, True),
        ({"type": f" {TYPE} "}, True),
        ({"type": TYPE, "status": 409}, False),
        ({"type": TYPE, "status": 400.5}, False),
        ({"type": TYPE, "status": "four hundred"}, False),
        ({"type": TYPE, "status": True}, False),
        ({"type": "https://docs.payroc.com/api/errors#"}, False),
        ({"type": "https://docs.payroc.com/api/errors# "}, False),
        ({"type": "https://docs.payroc.com/api/errors"}, False),
        ({"type": "https://docs.notpayroc.com/api/errors#bad-request"}, False),
        ({"type": "https://docs.payroc.com.example/api/errors#bad-request"}, False),
        ({"type": "https://docs.payroc.com@example.com/errors#bad-request"}, False),
        ({"type": "https://example.com/docs.payroc.com/errors#bad-request"}, False),
        ({"type": "https://example.com#https://docs.payroc.com/errors#x"}, False),
        ({"type": "https://example.com?.payroc.com/errors#x"}, False),
        ({"type": "/api/errors#bad-request"}, False),
        ({"type": "about:blank"}, False),
        ({"type": ["https://docs.payroc.com/api/errors#bad-request"]}, False),
        ({"title": "Bad Request", "status": 400}, False),
        ({"message": "Forbidden"}, False),
        ([{"type": TYPE, "status": 400}], False),
    ],
)
def test_e2_only_the_gateways_own_document_counts_as_its_own(body: object, own: bool) -> None:
    """E2: a document that names one of Payroc's errors, under its own status, and nothing else."""
    with pytest.raises(e.APIError) as caught:
        decipher_success(answer(400, json.dumps(body).encode()))
    assert caught.value.own is own


@pytest.mark.parametrize("body", [b"", b"null", b"<html>docs.payroc.com/errors#x</html>", b"{"])
def test_e2_what_is_no_document_is_not_the_gateways_own(body: bytes) -> None:
    """E2: a proxy's page, or nothing, is nothing of the gateway's."""
    with pytest.raises(e.APIError) as caught:
        decipher_success(answer(400, body))
    assert not caught.value.own


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_the_fragment_of_a_used_key_counts_whatever_the_status(status: int) -> None:
    """Contract section 9: by the fragment; but any 5xx may have taken effect."""
    with pytest.raises(e.APIError) as caught:
        decipher_success(answer(status, problem(status, "idempotency-key-in-use")))
    assert isinstance(caught.value, e.IdempotencyKeyInUseError) == (status < 500)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_any_2xx_is_a_success_whatever_its_body(status: int) -> None:
    """Contract section 9: any 2xx, the body ignored."""
    given = answer(status, b"<html>")
    assert decipher_success(given) is given


@pytest.mark.parametrize("status", [100, 101, 199, 300, 301, 302, 303, 304, 307, 308, 399])
def test_p7_a_redirect_is_an_error(status: int) -> None:
    """Neither a redirect nor an informational status is an answer."""
    said = f"HTTP {status}: " + ("no answer of" if status < 300 else "redirects are not followed")
    with pytest.raises(e.ResponseFormatError, match=said):
        decipher_success(answer(status, b"", location="https://elsewhere.example.com/"))


def test_a_whole_problem_document_is_kept() -> None:
    """Every member of RFC 7807, Payroc's `errors`, and what we do not model are there."""
    body = problem(
        400,
        "bad-request",
        detail="One or more fields",
        instance="/v1/devices/1",
        resource="device",
        errors=[
            {"parameter": "order.amount", "detail": "must be positive", "message": "Wrong"},
            {"message": "Alone"},
        ],
    )
    with pytest.raises(e.BadRequestError) as caught:
        decipher_success(answer(400, body, content_type="application/problem+json"))
    found = caught.value.problem
    assert found.type == "https://docs.payroc.com/api/errors#bad-request"
    assert (found.title, found.status) == ("A title", 400)
    assert (found.detail, found.instance) == ("One or more fields", "/v1/devices/1")
    assert found.errors == (
        e.ProblemDetail("order.amount", "must be positive", "Wrong"),
        e.ProblemDetail(None, None, "Alone"),
    )
    assert found.raw == json.loads(body)
    assert caught.value.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>502 Bad Gateway</body></html>",
        b"{",
        b'{"type": "https://docs.payroc.com/api/errors#bad-re',
        b"null",
        b"[]",
        b'["bad-request"]',
        b'"bad-request"',
        b"400",
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_problem_document_makes_an_empty_one(body: bytes) -> None:
    """HTML, nothing, cut or other JSON: the status alone makes the error."""
    with pytest.raises(e.BadRequestError) as caught:
        decipher_success(answer(400, body))
    assert caught.value.problem == e.Problem()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, e.Problem()),
        ({"detail": "d"}, e.Problem(detail="d")),
        ({"title": 1, "detail": ["d"], "type": None, "instance": {}}, e.Problem()),
        ({"status": "400"}, e.Problem(status=400)),
        ({"status": True}, e.Problem()),
        ({"status": "four"}, e.Problem()),
        ({"errors": None}, e.Problem()),
        ({"errors": {"parameter": "a"}}, e.Problem()),
        ({"errors": ["a", None, 1, []]}, e.Problem()),
        (
            {"errors": [None, {"parameter": 1, "detail": "d"}, {}]},
            e.Problem(errors=(e.ProblemDetail(detail="d"), e.ProblemDetail())),
        ),
    ],
)
def test_a_partial_problem_document_is_read_as_far_as_it_goes(
    document: dict[str, Any], expected: e.Problem
) -> None:
    """A member that is missing or of another type is left out, and the others are kept."""
    with pytest.raises(e.BadRequestError) as caught:
        decipher_success(answer(400, json.dumps(document).encode()))
    found = caught.value.problem
    assert found.raw == document
    for name in ("type", "title", "status", "detail", "instance", "errors"):
        assert getattr(found, name) == getattr(expected, name)


def retry_after(value: str | None, date: str | None = None) -> float | None:
    headers = {}
    if value is not None:
        headers["retry-after"] = value
    if date is not None:
        headers["date"] = date
    with pytest.raises(e.RateLimitedError) as caught:
        decipher_success(Answer(429, headers, b""))
    return caught.value.retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("1, 2", None),
        ("1_0", None),
        ("\u0663", None),
        ("0x10", None),
        ("1e3", None),
        ("1;2", None),
        ("2026-06-02T15:30:00Z", None),
        ("Tue, 99 Jun 2026 15:30:00 GMT", None),
        ("Tue, 02 Jun 2026", None),
        ("\x00", None),
        ("9" * 400, None),
    ],
    ids=ascii,
)
def test_p8_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    """Seconds are read, below zero is zero, and what can't be read is as if it were not there."""
    assert retry_after(value) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Tue, 02 Jun 2026 15:30:20 GMT", 20.0),
        ("Tue, 02 Jun 2026 15:30:00 GMT", 0.0),
        ("Tue, 02 Jun 2026 15:00:00 GMT", 0.0),
        ("Tuesday, 02-Jun-26 15:30:20 GMT", 20.0),
        ("Tue Jun  2 15:30:20 2026", 20.0),
        ("Tue, 02 Jun 2026 17:30:20 +0200", 20.0),
        ("Tue, 02 Jun 2026 15:30:20 -0000", 20.0),
    ],
)
def test_p8_retry_after_as_a_date_is_measured_by_the_answers_own_clock(
    value: str, seconds: float
) -> None:
    """The date counts from the answer's `Date`: two clocks may disagree, one does not."""
    assert retry_after(value, date="Tue, 02 Jun 2026 15:30:00 GMT") == seconds


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_p8_retry_after_as_a_date_without_one_to_compare(date: str | None) -> None:
    """Without a readable `Date` it counts from now."""
    assert retry_after("Fri, 01 Jan 2100 00:00:00 GMT", date=date) == pytest.approx(
        (2100 - 2026) * 365.25 * 86_400, rel=0.1
    )
    assert retry_after("Sat, 01 Jan 2000 00:00:00 GMT", date=date) == 0.0


# Tokens ----------


def token(**members: Any) -> Token:
    body = {"access_token": "a.token-1", "scope": "x", "token_type": "Bearer", **members}
    return decipher_token(answer(200, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0),
        (1, 1.0),
        (0, 0.0),
        (-1, -1.0),
        (0.5, 0.5),
        ("3600", 3600.0),
        (10**12, 1e12),
        (10**300, 1e300),
        (True, 1.0),
        ("soon", None),
        ("", None),
        (None, None),
        ([], None),
        ({}, None),
        ("inf", None),
        ("nan", None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_p6_any_expires_in_is_read_or_unknown(expires_in: object, lifetime: float | None) -> None:
    """Contract section 1: whatever `expires_in` is, the token is taken."""
    assert token(expires_in=expires_in) == Token("a.token-1", lifetime)


def test_p6_an_absent_expires_in_is_unknown() -> None:
    """A token without `expires_in` is taken, its life unknown."""
    assert token() == Token("a.token-1", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b'"a.token-1"',
        b"{}",
        b'{"expires_in": 3600}',
        b'{"access_token": null}',
        b'{"access_token": 1}',
        b'{"access_token": ""}',
        b'{"access_token": "canary token"}',
        b'{"access_token": "canary\\n"}',
        b'{"access_token": "canary\\r\\nX: y"}',
        b'{"access_token": "canary\\u20ac"}',
        b'{"access_token": "canary\\u0000"}',
    ],
)
def test_p6_an_answer_without_a_token_that_can_be_sent_is_refused(body: bytes) -> None:
    """What is missing, or can't stand in a header, is an answer that breaks the contract."""
    with pytest.raises(e.ResponseFormatError) as caught:
        decipher_token(answer(200, body))
    assert "canary" not in str(caught.value)


def test_p6_a_refused_key_is_an_authentication_error() -> None:
    """The identity service's 401 is reported as such."""
    with pytest.raises(e.AuthenticationError):
        decipher_token(answer(401, problem(401, "not-authorized")))


# Instructions ----------


@pytest.mark.parametrize("status", [200, 202])
def test_an_instruction_in_progress_is_read(status: int) -> None:
    """The sample of the contract: in progress, its link back to itself."""
    href = f"https://api.payroc.com/v1/payment-instructions/{ID}"
    body = instruction(link={"rel": "self", "method": "GET", "href": href})
    found = decipher_instruction(PAYMENT, answer(status, body))
    assert found.status == InstructionStatus.IN_PROGRESS
    assert found.payment_instruction_id == found.instruction_id == ID
    assert found.link == Link(rel="self", method="GET", href=href)


def test_a_completed_instruction_is_read_from_the_sample() -> None:
    """The published sample leads to its payment."""
    body = (SAMPLES / "payment_instruction.json").read_bytes()
    found = decipher_instruction(PAYMENT, answer(200, body), ID)
    assert found.status == InstructionStatus.COMPLETED
    assert follow_link(PAYMENT, found.link) == Request("GET", "/payments/M2MJOG6O2Y")


@pytest.mark.parametrize(
    ("status", "message"),
    [("failure", "Device error"), ("inProgress", None), ("canceled", None), ("unheardOf", None)],
)
def test_an_error_message_belongs_to_a_failure_alone(status: str, message: str | None) -> None:
    """Contract section 3: samples carry it on other statuses too; it is ignored there."""
    found = decipher_instruction(
        PAYMENT, answer(200, instruction(status, errorMessage="Device error")), ID
    )
    assert found.status == status
    assert found.error_message == message


@pytest.mark.parametrize("status", ["inProgress", "failure", "canceled", "unheardOf"])
def test_only_a_completed_instruction_needs_a_link(status: str) -> None:
    """On any other status a missing link, or one that leads elsewhere, means nothing."""
    elsewhere = {"rel": "self", "method": "POST", "href": "https://elsewhere.example.com/"}
    assert decipher_instruction(PAYMENT, answer(200, instruction(status)), ID).link is None
    body = instruction(status, link=elsewhere)
    assert decipher_instruction(PAYMENT, answer(200, body), ID).status == status


def test_an_answer_about_another_instruction_is_refused() -> None:
    """What shows another id than was asked for says nothing about this sale."""
    body = instruction().replace(ID.encode(), b"another")
    with pytest.raises(e.ResponseFormatError, match="another instruction"):
        decipher_instruction(PAYMENT, answer(200, body), ID)
    assert decipher_instruction(PAYMENT, answer(202, body)).instruction_id == "another"


@pytest.mark.parametrize("bad", ["", "..", "a/b", "a b", "%2e%2e", "a?b"])
def test_p7_an_id_that_can_not_stand_in_a_path_is_refused(bad: str) -> None:
    """A submission's answer with such an id breaks the contract; it is no wrong argument."""
    body = json.dumps({"status": "inProgress", "paymentInstructionId": bad}).encode()
    with pytest.raises(e.ResponseFormatError):
        decipher_instruction(PAYMENT, answer(202, body))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"status": "inProgress"}',
        b'{"status": "inProgress", "paymentInstructionId": 1.5}',
        b'{"status": "inProgress", "paymentInstructionId": ""}',
        b'{"status": "inProgress", "paymentInstructionId": null}',
        b'{"status": "inProgress", "refundInstructionId": "x"}',
        instruction()[:-1],
    ],
)
def test_what_is_no_instruction_breaks_the_contract(body: bytes) -> None:
    """A 2xx without a readable instruction is a ResponseFormatError."""
    with pytest.raises(e.ResponseFormatError):
        decipher_instruction(PAYMENT, answer(200, body))


def test_an_error_in_place_of_an_instruction_is_the_error() -> None:
    """An error is reported by its class, whatever its body."""
    with pytest.raises(e.NotFoundError):
        decipher_instruction(PAYMENT, answer(404, instruction()), ID)


# Links ----------


@pytest.mark.parametrize(
    "href",
    [
        PAYMENT_URL,
        "https://api.uat.payroc.com/v1/payments/M2MJOG6O2Y",
        "https://elsewhere.example.com/v1/payments/M2MJOG6O2Y",
        "http://elsewhere.example.com:8080/v1/payments/M2MJOG6O2Y",
        "https://user:secret@elsewhere.example.com/v1/payments/M2MJOG6O2Y",
        "https://proxy.example.com/payroc/v1/payments/M2MJOG6O2Y",
        "/v1/payments/M2MJOG6O2Y",
        PAYMENT_URL + "?expand=all",
        PAYMENT_URL + "?expand=\ud83d",
        PAYMENT_URL + "#part",
        PAYMENT_URL + "/",
        PAYMENT_URL + "/?expand=all",
        f" {PAYMENT_URL}\r\n",
        f"\t{PAYMENT_URL} ",
        f"\u00a0{PAYMENT_URL}\u00a0",
        "https://api.payroc.com/v1/payments/%4d2MJOG6O2Y",
        "https://api.payroc.com/v1/p%61yments/M2MJOG6O2Y",
        "https://api.payroc.com/%761/payments/M2MJOG6O2%59",
        "HTTPS://API.PAYROC.COM:443/v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com:99999/v1/payments/M2MJOG6O2Y",
        "//api.payroc.com/v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com//v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/./refunds/../payments/M2MJOG6O2Y/.",
        "https://api.payroc.com/../../v1/payments/M2MJOG6O2Y",
        "../v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/%20M2MJOG6O2Y%20",
        "payments/M2MJOG6O2Y",
        "./payments/M2MJOG6O2Y",
        "api.payroc.com/v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/M2MJOG6O2Y?name=José García|%",
    ],
)
def test_p7_a_link_is_followed_by_its_path_alone(href: str) -> None:
    """Contract section 9: whatever host, query or fragment a link has, only its path counts."""
    found = decipher_instruction(PAYMENT, answer(200, completed(href)), ID)
    for link in (found.link, Link(href=href)):
        assert follow_link(PAYMENT, link) == Request("GET", "/payments/M2MJOG6O2Y")


@pytest.mark.parametrize("rel", ["payment", "self", "", "anything"])
@pytest.mark.parametrize("method", ["GET", "get", "Get", "", " GET "])
def test_rel_and_spelling_do_not_matter(rel: str, method: str) -> None:
    """Contract section 3: `rel` is seen as payment and self, `method` as GET and get."""
    found = decipher_instruction(PAYMENT, answer(200, completed(rel=rel, method=method)), ID)
    assert follow_link(PAYMENT, found.link).path == "/payments/M2MJOG6O2Y"


def test_a_link_without_rel_and_method_is_followed() -> None:
    """A completed sale is not lost for lack of words that mean nothing."""
    body = instruction("completed", link={"href": PAYMENT_URL})
    found = decipher_instruction(PAYMENT, answer(200, body), ID)
    assert follow_link(PAYMENT, found.link).path == "/payments/M2MJOG6O2Y"


@pytest.mark.parametrize(
    "href",
    [
        "",
        "M2MJOG6O2Y",
        " ",
        "../payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/../payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/%20",
        "https://api.payroc.com/v1/payments/M2MJOG6O2Y/..",
        "/payments/M2MJOG6O2Y",
        "mailto:/v1/payments/M2MJOG6O2Y",
        "file:///v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/V1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/M2MJOG6O2Y//",
        "https://api.payroc.com/v1/payments/%FF",
        "https://api.payroc.com/v1/payments/a%252Fb",
        "https://api.payroc.com/v1/payments/a%0Ab",
        "https://api.payroc.com/v1%2Fpayments/M2MJOG6O2Y",
        "https://api.payroc.com/%2e%2e/payments/M2MJOG6O2Y",
        "https://api.payroc.com",
        "https://api.payroc.com/",
        "https://api.payroc.com/v1/payments",
        "https://api.payroc.com/v1/payments/",
        "https://api.payroc.com/v2/payments/M2MJOG6O2Y",
        "https://api.payroc.com/payments/M2MJOG6O2Y",
        "https://api.payroc.com/authorize",
        "https://api.payroc.com/admin/v1",
        "https://api.payroc.com/v1/refunds/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payment-instructions/M2MJOG6O2Y",
        "https://api.payroc.com/v1/xpayments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/M2MJOG6O2Y/refund",
        "https://api.payroc.com/v1/payments//",
        "https://api.payroc.com/v1//payments/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/..",
        "https://api.payroc.com/v1/payments/.",
        "https://api.payroc.com/v1/payments/../refunds/M2MJOG6O2Y",
        "https://api.payroc.com/v1/payments/%2e%2e",
        "https://api.payroc.com/v1/payments/a%2Fb",
        "https://api.payroc.com/v1/payments/a%2fb",
        "https://api.payroc.com/v1/payments/a%5Cb",
        "https://api.payroc.com/v1/payments/a\\b",
        "https://api.payroc.com/v1/payments/a b",
        "https://api.payroc.com/v1/payments/a\x00b",
        "https://api.payroc.com/?/v1/payments/M2MJOG6O2Y",
        "https://api.payroc.com/#/v1/payments/M2MJOG6O2Y",
        "https://[::1/v1/payments/M2MJOG6O2Y",
        "javascript:alert(1)",
    ],
    ids=ascii,
)
def test_p7_a_link_that_leads_elsewhere_is_refused(href: str) -> None:
    """Another collection, another depth, an encoded slash or a dot segment: no request is made."""
    link = Link(href=href)
    with pytest.raises(e.ResponseFormatError):
        follow_link(PAYMENT, link)


@pytest.mark.parametrize("method", ["POST", "post", "DELETE", "PUT", "HEAD", "GET /"])
def test_p7_a_link_with_another_method_is_refused(method: str) -> None:
    """A link is never a reason to change anything."""
    with pytest.raises(e.ResponseFormatError):
        follow_link(PAYMENT, Link(method=method, href=PAYMENT_URL))


@pytest.mark.parametrize("link", [None, "text", [], 1, {}, {"href": None}, {"href": {"a": 1}}])
def test_a_completed_instruction_without_a_link_that_can_be_read_is_completed(link: Any) -> None:
    """That it has completed is not lost with its link: it is asked for again, and then refused."""
    for body in (instruction("completed"), instruction("completed", link=link)):
        found = decipher_instruction(PAYMENT, answer(200, body), ID)
        assert (found.status, found.link) == (InstructionStatus.COMPLETED, None)
        with pytest.raises(e.ResponseFormatError, match="no link"):
            follow_link(PAYMENT, found.link)


@pytest.mark.parametrize(
    "body",
    [b'{"paymentInstructionId": "%s"}', b'{"status": 1, "paymentInstructionId": "%s"}',
     b'{"status": null, "paymentInstructionId": "%s", "link": 5, "errorMessage": []}',
     b'\xef\xbb\xbf{"status": NaN, "paymentInstructionId": "%s", "x": "\xff\n\\ud83d"}\0'],
)  # fmt: skip
def test_e4_an_id_is_never_lost_for_what_stands_beside_it(body: bytes) -> None:
    """E4: an accepted instruction has its id, and a status that is none and ends nothing."""
    found = decipher_instruction(PAYMENT, answer(202, body % ID.encode()))
    assert found.instruction_id == ID
    assert found.status == ""
    assert found.status not in list(InstructionStatus)
    assert found.error_message is None


@pytest.mark.parametrize(
    "href", [f"https://api.payroc.com/v1/payment-instructions/{ID}", f"payment-instructions/{ID}/"]
)
@pytest.mark.parametrize("id_", [None, {}, [ID]])
def test_e4_the_id_in_the_link_to_itself_is_one(href: str, id_: object) -> None:
    """E4: where its own field is damaged, an accepted instruction is still known by its link."""
    document = {"status": "inProgress", "link": {"rel": "self", "method": "GET", "href": href}}
    for data in (document, {**document, "paymentInstructionId": id_}):
        found = decipher_instruction(PAYMENT, answer(202, json.dumps(data).encode()))
        assert found.instruction_id == ID
        assert dict(found.raw) == data


@pytest.mark.parametrize(
    "link",
    [
        None,
        5,
        "x",
        {},
        {"href": None},
        {"href": PAYMENT_URL},
        {"href": f"refund-instructions/{ID}"},
    ],
)
def test_an_instruction_without_any_id_is_none(link: object) -> None:
    """A link that leads elsewhere names no instruction."""
    body = json.dumps({"status": "completed", "link": link}).encode()
    with pytest.raises(e.ResponseFormatError, match="paymentInstructionId: missing"):
        decipher_instruction(PAYMENT, answer(202, body))


def test_an_id_that_is_a_number_is_its_digits() -> None:
    """A gateway that writes its ids as numbers means the same."""
    found = decipher_instruction(
        PAYMENT, answer(202, b'{"status": "inProgress", "paymentInstructionId": 8516}'), "8516"
    )
    assert found.instruction_id == "8516"


# Payments ----------


def test_a_payment_is_read() -> None:
    """The answer to the followed link is the payment, with its outcome and its raw JSON."""
    body = (SAMPLES / "payment.json").read_bytes()
    request = resource_request(PAYMENT, "M2MJOG6O2Y")
    payment = decipher_resource(PAYMENT, answer(200, body), request)
    assert payment.payment_id == "M2MJOG6O2Y"
    assert payment.raw == json.loads(body)


@pytest.mark.parametrize("asked", ["M2MJOG6O2X", "m2mjog6o2y", "XM2MJOG6O2Y", "2MJOG6O2Y"])
def test_an_answer_about_another_payment_is_refused(asked: str) -> None:
    """The payment of another sale is never returned for this one."""
    body = (SAMPLES / "payment.json").read_bytes()
    with pytest.raises(e.ResponseFormatError, match="another payment"):
        decipher_resource(PAYMENT, answer(200, body), resource_request(PAYMENT, asked))


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"[]", b'{"paymentId": "M2MJOG6O2Y"}', completed(),
     b'{"paymentId": "M2MJOG6O2Y", "transactionResult": {"responseCode": ""}}',
     b'{"paymentId": "M2MJOG6O2Y", "transactionResult": {"responseCode": " \\u0000"}}',
     b'{"paymentId": "M2MJOG6O2Y", "transactionResult": {"responseCode": 0}}',
     b'{"paymentId": "M2MJOG6O2Y", "transactionResult": [{"responseCode": "A"}]}',
     b'{"paymentId": "", "transactionResult": {"responseCode": "A"}}'],
)  # fmt: skip
def test_what_is_no_payment_breaks_the_contract(body: bytes) -> None:
    """A 2xx without a readable payment is a ResponseFormatError."""
    with pytest.raises(e.ResponseFormatError):
        decipher_resource(PAYMENT, answer(200, body), resource_request(PAYMENT, "M2MJOG6O2Y"))


def test_p7_an_unreadable_answer_shows_none_of_its_values() -> None:
    """Neither the error nor anything chained to it holds what the answer said."""
    document = json.loads((SAMPLES / "payment.json").read_bytes())
    document["transactionResult"]["responseCode"] = {"canary": 1}
    request = resource_request(PAYMENT, "M2MJOG6O2Y")
    with pytest.raises(e.ResponseFormatError) as caught:
        decipher_resource(PAYMENT, answer(200, json.dumps(document).encode()), request)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "canary" not in repr(chain)
        chain = chain.__cause__ or chain.__context__


@pytest.mark.parametrize(
    "value",
    [
        "Mon, 01 Jan 2026 00:00:00 +9999999999999",
        "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 2026 00:00:00 -99999",
        "Mon, 99 Foo 2026 99:99:99 GMT",
        "Sat, 00 Jan 0000 00:00:00 +0000",
        "1e999",
        "-1e999",
        "nan",
        "9" * 5000,
        "\x00",
        ", , ,",
        "tomorrow",
    ],
)
@pytest.mark.parametrize("header", ["retry-after", "date"])
def test_p8_an_absurd_header_never_raises(value: str, header: str) -> None:
    """P8: overflowing zones, years and numbers are no wait, and the error is the error."""
    sound = {
        "retry-after": "Sun, 22 Nov 2026 10:00:09 GMT",
        "date": "Sun, 22 Nov 2026 10:00:00 GMT",
    }
    given = Answer(503, {**sound, header: value}, b"")
    with pytest.raises(e.ServerError) as caught:
        decipher_success(given)
    if header == "retry-after":
        assert caught.value.retry_after is None
    else:  # this machine's own clock is compared with
        assert caught.value.retry_after is not None


@given(value=st.text() | st.from_regex(r"\w{3}, \d+ Jan \d+ \d+:\d+:\d+ [+-]\d+", fullmatch=True))
def test_p8_no_header_raises(value: str) -> None:
    """P8: whatever stands in Retry-After or Date, the answer's error comes out."""
    with pytest.raises(e.ServerError) as caught:
        decipher_success(Answer(503, {"retry-after": value, "date": value}, b""))
    assert caught.value.retry_after is None or caught.value.retry_after >= 0


def test_infinite_retry_after_never_reaches_the_caller() -> None:
    """Whatever the header says, the attribute is a number to wait or None."""
    for value in ("inf", "1e308", "-1", "nan", "Mon, 31 Dec 9999 23:59:59 GMT"):
        seconds = retry_after(value)
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


def test_p7_an_answers_id_is_compared_as_one_segment() -> None:
    """A payment whose id only ends in the path that was asked for is another payment."""
    payment = json.loads((Path(__file__).parents[1] / "samples" / "payment.json").read_bytes())
    payment["paymentId"] = "payments/M2MJOG6O2Y"
    with pytest.raises(e.ResponseFormatError, match="another payment"):
        decipher_resource(
            PAYMENT,
            Answer(200, {}, json.dumps(payment).encode()),
            resource_request(PAYMENT, "M2MJOG6O2Y"),
        )
