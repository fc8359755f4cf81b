"""JSON as it comes: the bytes of systems that are not ours, written by hand, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payroc_async.errors import AuthenticationError, BadRequestError, ResponseFormatError
from payroc_async.wire.answers import Answer, decipher_success, decoded, without_secret
from payroc_async.wire.json_text import decode

LATIN_1 = "application/json; charset=ISO-8859-1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf\xef\xbb\xbf {"a": 1}', {"a": 1}),
        (b'{"a": 1}\x00', {"a": 1}),
        (b'\n {"a": 1}\x00\x00\r\n\x00', {"a": 1}),
        (b'\xff\xfe{\x00"\x00\xe9\x00"\x00:\x001\x00}\x00', {"\u00e9": 1}),
        (b'\xfe\xff\x00{\x00"\x00\xe9\x00"\x00:\x001\x00}', {"\u00e9": 1}),
        (b'{\x00"\x00\xe9\x00"\x00:\x001\x00}\x00', {"\u00e9": 1}),
        (b'\x00{\x00"\x00\xe9\x00"\x00:\x001\x00}', {"\u00e9": 1}),
        ("\ufeff[1]".encode("utf-32-le"), [1]),
        ("[1]".encode("utf-32-be"), [1]),
        (b'{"a": "Jos\xe9 \xff"}', {"a": "Jos\ufffd \ufffd"}),
        (b'{"a": "Zo\xc3"}', {"a": "Zo\ufffd"}),
        (b'{"a": "\xed\xa0\xbd"}', {"a": "\ufffd\ufffd\ufffd"}),
        (b'{"a": "\xc0\x80"}', {"a": "\ufffd\ufffd"}),
        (rb'{"a": "cake \ud83d"}', {"a": "cake \ufffd"}),
        (rb'{"\udc00": ["\ude00\ud83d", "\ud83d\ude00"]}',
         {"\ufffd": ["\ufffd\ufffd", "\U0001f600"]}),
        (rb'{"a": "O\'Brien \q \x41 \\ \" \/ C:\users"}',
         {"a": "O\\'Brien \\q \\x41 \\ \" / C:\\users"}),
        (b'\x1e{"a": 1}\x1a\x04\n', {"a": 1}),
        (b'{"a": "\xff", "deep": ' + b"[" * 600 + b"]" * 600 + b"}", None),
        (b'{"a": "x\ny\tz\x00\x1b"}', {"a": "x\ny\tz\x00\x1b"}),
        (b'{"a": NaN, "b": Infinity, "c": -Infinity}', {"a": None, "b": None, "c": None}),
        (b'{"a": 1e400, "b": -1e400, "c": 1.5}', {"a": None, "b": None, "c": 1.5}),
        (b'{"a": 1e400, "b": ' + b"9" * 5000 + b', "c": ' + b"9" * 30 + b"}",
         {"a": None, "b": None, "c": 1e30}),
        (b'{"a": "\x01", "a": 2}', {"a": 2}),
        (b'{"a": "\x01", "deep": ' + b"[" * 300 + b"]" * 300 + b"}", None),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_what_odd_json_says(body: bytes, said: Any) -> None:
    """What can be read without doubt is read; what no encoding explains is shown as such."""
    read = decode(body)
    if said is not None:
        assert read == said
    json.dumps(read, allow_nan=False).encode()  # and it can be written again


@pytest.mark.parametrize(
    ("declared", "body", "said"),
    [
        (LATIN_1, b'["Jos\xe9"]', "Jos\u00e9"),
        ('application/json;CHARSET="windows-1252"', b'["\x80 5"]', "\u20ac 5"),
        ("application/json; charset='latin1'", b'["Jos\xe9"]', "Jos\u00e9"),
        ("application/json; charset=Shift_JIS", b'["\x93\xfa\x96{"]', "\u65e5\u672c"),
        (LATIN_1, "[\"Jos\u00e9\"]".encode(), "Jos\u00e9"),  # valid UTF-8 is no accident
        ("application/json; charset=utf-16", '["Jos\u00e9"]'.encode("utf-16"), "Jos\u00e9"),
        ("application/json; charset=utf-8", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=no-such", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=base64", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=idna", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=undefined", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=unicode_escape", b'["\xe9", "\\u0022"]', "\ufffd"),
        ("application/json; charset=utf-7", b'["\xe9+ACI-"]', "\ufffd+ACI-"),
        ("application/json; charset=utf-16", b'["Jos\xe9"]', "Jos\ufffd"),
        ("application/json; charset=", b'["Jos\xe9"]', "Jos\ufffd"),
        ("", b'["Jos\xe9"]', "Jos\ufffd"),
    ],
)  # fmt: skip
def test_a_declared_charset(declared: str, body: bytes, said: str) -> None:
    """The header's charset explains what UTF-8 does not, if it is one that JSON can be in."""
    assert decode(body, declared)[0] == said  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf \x00", "empty"),
        (b"<html>canary</html>", "character 0 of 19"),
        (b'{"a": "canary', "character 6 of 13"),
        (b'{"canary": 1} 2', "character 13 of 15"),
        (b'{"a": canary}', "character 6 of 13"),
        (b"{'canary': 1}", "character 1 of 13"),
        (b"\xff", "character 0 of 1"),
        (b"[" * 100_000, "character 0 of 100000"),
        (b"\x1f\x8b\x08\x00canary", "character 0 of 9"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_not_json(body: bytes, where: str) -> None:
    """The error says what the answer is and where reading ended, and holds nothing of its text."""
    for kind, shown in (
        ("application/json; charset=utf-8", "application/json"),
        ("text/html", "text/html"),
        ("", "no content type"),
        ("canary\x1b[2J", "no content type"),
    ):
        with pytest.raises(ResponseFormatError) as caught:
            decoded(Answer(200, {"content-type": kind}, body))
        assert str(caught.value).startswith(f"HTTP 200, {shown}: not JSON: ")
        assert where in str(caught.value)
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    "odd",
    [b"\xef\xbb\xbf%b", b"%b\x00", b"%b\n\n"],
)
@pytest.mark.parametrize("text", [rb"bad \ud83d", b"bad \xff", b"bad\nline"])
def test_an_error_with_odd_text_keeps_the_names_of_its_fields(odd: bytes, text: bytes) -> None:
    """What a 400 complains of is not lost for an odd character in what it says."""
    body = odd % (
        b'{"type": "https://docs.payroc.com/api/errors#bad-request", "status": "400", "errors": '
        b'[{"parameter": "order.amount", "detail": "%b"}, {"parameter": 7, "message": "m"}]}' % text
    )
    with pytest.raises(BadRequestError) as caught:
        decipher_success(Answer(400, {}, body))
    assert caught.value.own
    first, second = caught.value.problem.errors
    assert first.parameter == "order.amount"
    assert (first.detail or "").startswith("bad")
    assert (second.parameter, second.message) == (None, "m")
    assert "order.amount: bad" in str(caught.value)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]
)
def test_p7_an_error_that_echoes_the_secret_shows_none_of_it(encoding: str) -> None:
    """P7: what can be read can be printed, so it is blotted out in every encoding."""
    document = {"title": "refused", "detail": "Bearer abc.DEF-123 is wrong", "abc.DEF-123": 1}
    body = json.dumps(document).encode(encoding)
    given = Answer(401, {"WWW-Authenticate": "abc.DEF-123"}, body)
    with pytest.raises(AuthenticationError) as caught:
        decipher_success(without_secret(given, "abc.DEF-123"))
    assert caught.value.problem.detail == "Bearer *** is wrong"
    said = f"{caught.value} {caught.value.problem.raw} {caught.value.headers}"
    assert "abc.DEF" not in said
    fine = Answer(200, {}, body)
    assert without_secret(fine, "abc.DEF-123") is fine


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)  # fmt: skip


@given(
    value=st.dictionaries(st.text(max_size=5), JSON, min_size=1),
    encoding=st.sampled_from(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
)
def test_json_in_any_encoding_says_the_same(value: object, encoding: str) -> None:
    """Whatever a system encodes its JSON in, it says the same."""
    assert decode(json.dumps(value, ensure_ascii=False).encode(encoding)) == value


@given(
    body=st.binary(max_size=40) | st.text(max_size=20).map(str.encode), kind=st.text(max_size=30)
)
def test_any_bytes_are_json_or_an_error_of_ours(body: bytes, kind: str) -> None:
    """Whatever comes, nothing else is raised, and what is read can be written."""
    try:
        read = decode(body, f"application/json; charset={kind}")
    except ResponseFormatError:
        return
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
