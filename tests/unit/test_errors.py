"""The errors: their tree as drawn, what they say, and that they can be copied and pickled."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payroc_async import errors as e
from payroc_async.models import Payment, Refund
from payroc_async.wire.converter import structure

SAMPLES = Path(__file__).parents[1] / "samples"

PROBLEM = e.Problem(
    type="https://docs.payroc.com/api/errors#bad-request",
    title="Bad request",
    status=400,
    detail="One or more fields are wrong",
    instance="https://api.payroc.com/v1/devices/1850010868",
    errors=(
        e.ProblemDetail("order.amount", "must be positive", "ignored beside the detail"),
        e.ProblemDetail(message="a message alone"),
    ),
    raw={"detail": "One or more fields are wrong", "unknown": ["kept"]},
)
KNOWN: dict[str, Any] = {
    "serial_number": "1850010868",
    "idempotency_key": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    "instruction_id": "e743a9165d134678a9100ebba3b29597",
    "request": {"stands": "for a request"},
}

# Design section 2, drawn by hand: what the docstring's drawing is compared with.
TREE = {
    "PayrocError": None,
    "ConfigurationError": "PayrocError",
    "SessionClosedError": "PayrocError",
    "WrongEventLoopError": "PayrocError",
    "TransportError": "PayrocError",
    "RequestTimeoutError": "TransportError",
    "ResponseFormatError": "PayrocError",
    "APIError": "PayrocError",
    "BadRequestError": "APIError",
    "AuthenticationError": "APIError",
    "ForbiddenError": "APIError",
    "NotFoundError": "APIError",
    "ConflictError": "APIError",
    "IdempotencyKeyInUseError": "ConflictError",
    "RateLimitedError": "APIError",
    "ServerError": "APIError",
    "DeviceBusyError": "PayrocError",
    "JournalError": "PayrocError",
    "LeaseLost": "JournalError",
    "PaymentDeclinedError": "PayrocError",
    "RefundDeclinedError": "PayrocError",
    "InstructionError": "PayrocError",
    "InstructionFailedError": "InstructionError",
    "InstructionCanceledError": "InstructionError",
    "InstructionTimeoutError": "InstructionError",
    "OutcomeUnknownError": "InstructionError",
}


def payment() -> Payment:
    return structure(json.loads((SAMPLES / "payment.json").read_bytes()), Payment)


def refund() -> Refund:
    return structure(json.loads((SAMPLES / "refund.json").read_bytes()), Refund)


def api_error(error_type: type[e.APIError], status: int = 400) -> e.APIError:
    return error_type(status, PROBLEM, retry_after=1.5, headers={"retry-after": "1.5"})


def every_error() -> Iterator[e.PayrocError]:
    """One of each class, with all its data."""
    yield e.PayrocError("a reason")
    yield e.ConfigurationError("timeout", "must be positive")
    yield e.SessionClosedError("the session is closed")
    yield e.WrongEventLoopError(session_loop="one", running_loop="another")
    yield e.TransportError("refused", request_sent=False)
    yield e.RequestTimeoutError("no answer in time", request_sent=True)
    yield e.ResponseFormatError("not JSON")
    for error_type in (
        e.APIError,
        e.BadRequestError,
        e.AuthenticationError,
        e.ForbiddenError,
        e.NotFoundError,
        e.ConflictError,
        e.IdempotencyKeyInUseError,
        e.RateLimitedError,
        e.ServerError,
    ):
        yield api_error(error_type)
    yield e.DeviceBusyError("1850010868")
    yield e.JournalError("disk full")
    yield e.LeaseLost("a key")
    yield e.PaymentDeclinedError(payment())
    yield e.RefundDeclinedError(refund())
    yield e.InstructionError(**KNOWN)
    yield e.InstructionFailedError("Device error", **KNOWN)
    yield e.InstructionCanceledError(**KNOWN)
    yield e.InstructionTimeoutError(**KNOWN)
    yield e.OutcomeUnknownError(**KNOWN)


def error_classes() -> dict[str, type[e.PayrocError]]:
    found = {name: value for name, value in vars(e).items() if isinstance(value, type)}
    return {name: value for name, value in found.items() if issubclass(value, e.PayrocError)}


def drawn_tree() -> dict[str, str | None]:
    """Each class of the docstring's drawing and the one it hangs from, by the indentation."""
    parents: dict[str, str | None] = {}
    branch: list[tuple[int, str]] = []
    for line in (e.__doc__ or "").splitlines():
        found = re.match(r"([\s│├└─]*)([A-Z]\w*Error|LeaseLost)\b", line)
        if not found or not line.startswith("    "):
            continue
        depth, name = len(found[1]), found[2]
        while branch and branch[-1][0] >= depth:
            branch.pop()
        assert name not in parents, f"{name} is drawn twice"
        parents[name] = branch[-1][1] if branch else None
        branch.append((depth, name))
    return parents


def test_the_tree_is_drawn_as_designed() -> None:
    """The drawing at the top of the module shows every class where the design has it."""
    assert drawn_tree() == TREE


def test_the_classes_stand_where_the_drawing_has_them() -> None:
    """Each class's base is what it hangs from in the drawing, and no class is left out."""
    bases = {
        name: next((b.__name__ for b in cls.__bases__ if issubclass(b, e.PayrocError)), None)
        for name, cls in error_classes().items()
    }
    assert bases == drawn_tree()


def test_only_a_configuration_error_is_a_value_error() -> None:
    """A wrong argument is also a ValueError; no other error has a second base."""
    assert issubclass(e.ConfigurationError, ValueError)
    others = [cls for name, cls in error_classes().items() if name != "ConfigurationError"]
    builtin = (ValueError, OSError, TimeoutError, RuntimeError, LookupError, TypeError)
    assert [cls for cls in others if issubclass(cls, builtin)] == []


def test_every_class_is_exported_and_described() -> None:
    """`__all__` is sorted and holds all classes, each with a docstring of its own."""
    assert sorted(e.__all__) == e.__all__
    assert set(e.__all__) == {*error_classes(), "Problem", "ProblemDetail"}
    assert [name for name, cls in error_classes().items() if not cls.__dict__.get("__doc__")] == []


def test_the_samples_are_of_every_class() -> None:
    """The errors that the other tests try are one of each class."""
    assert [type(error).__name__ for error in every_error()] == list(TREE)


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_error_keeps_its_data(error: e.PayrocError, protocol: int) -> None:
    """An error that went through pickle is of the same type, with the same data and text."""
    error.add_note("a note")
    same_as(pickle.loads(pickle.dumps(error, protocol)), error)


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copied_error_keeps_its_data(error: e.PayrocError, how: Any) -> None:
    """A copy is another object of the same type, with the same data and text, no traceback."""
    try:
        raise error
    except e.PayrocError as caught:
        copied = how(caught)
    assert copied is not error
    assert copied.__traceback__ is None
    same_as(copied, error)


def same_as(other: e.PayrocError, error: e.PayrocError) -> None:
    assert type(other) is type(error)
    assert other.args == error.args
    assert other.__dict__ == error.__dict__
    assert str(other) == str(error)
    assert repr(other) == repr(error)


def test_a_copy_is_independent() -> None:
    """What is set on a copy does not show on the original."""
    error = e.ConfigurationError("timeout", "must be positive")
    copied = copy.copy(error)
    copied.field = "other"
    assert error.field == "timeout"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (e.ConfigurationError("timeout", "must be positive"), "timeout: must be positive"),
        (e.SessionClosedError("the session is closed"), "the session is closed"),
        (e.TransportError("no connection: refused", request_sent=False), "no connection: refused"),
        (
            api_error(e.BadRequestError),
            "HTTP 400: One or more fields are wrong "
            "(order.amount: must be positive; a message alone)",
        ),
        (e.ServerError(502, e.Problem()), "HTTP 502"),
        (
            e.DeviceBusyError("1850010868"),
            "device 1850010868 is busy: this session already runs an instruction on it; "
            "await its end or cancel it first",
        ),
        (
            e.InstructionFailedError("Device error", **KNOWN),
            "the instruction failed: Device error (device 1850010868, instruction "
            "e743a9165d134678a9100ebba3b29597, idempotency key "
            "8e03978e-40d5-43e8-bc93-6894a57f9324)",
        ),
    ],
)
def test_an_error_says_its_data(error: e.PayrocError, text: str) -> None:
    """The text is built from the data, in one line."""
    assert str(error) == text


def test_an_instruction_error_says_what_is_known_alone() -> None:
    """Without an instruction id or a key the text leaves them out."""
    error = e.InstructionCanceledError(
        serial_number="1850010868", idempotency_key=None, instruction_id=None
    )
    assert str(error) == "the instruction was canceled (device 1850010868)"
    assert error.request is None


def test_an_instruction_that_failed_without_a_reason_says_so() -> None:
    """A missing `errorMessage` is None in the data and words in the text."""
    error = e.InstructionFailedError(None, **KNOWN)
    assert error.error_message is None
    assert str(error).startswith("the instruction failed: no reason given (")


def test_an_unknown_outcome_says_its_cause() -> None:
    """The text of an unknown outcome warns of money, and ends with the cause."""
    error = e.OutcomeUnknownError(**KNOWN)
    said = (
        "the outcome is unknown: money may have moved; to learn it, resume it by its id (device 1"
    )
    assert str(error).startswith(said)
    error.__cause__ = e.TransportError("refused", request_sent=False)
    assert str(error).endswith("): refused")


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: type(error).__name__)
def test_an_instruction_error_carries_all_that_resuming_needs(error: e.PayrocError) -> None:
    """Every instruction error has the device, the key, the id and the request."""
    if isinstance(error, e.InstructionError):
        assert {name: getattr(error, name) for name in KNOWN} == KNOWN


def test_p7_an_instruction_error_does_not_show_its_request() -> None:
    """The request is kept as data, and is neither in the text nor in the repr."""
    error = e.OutcomeUnknownError(**{**KNOWN, "request": "canary"})
    assert error.request == "canary"
    assert "canary" not in str(error) + repr(error)


def test_p7_an_api_error_does_not_show_headers_and_unknown_members() -> None:
    """Headers and the raw document are kept as data, and are not in text or repr."""
    problem = e.Problem(title="Bad", raw={"secret": "canary"})
    error = e.BadRequestError(400, problem, headers={"x-secret": "canary"})
    assert error.headers["x-secret"] == error.problem.raw["secret"] == "canary"
    assert "canary" not in str(error) + repr(error)


def test_p7_a_declined_payments_error_shows_no_card_data() -> None:
    """Of the payment the text says its id, outcome and message; no card data, nor in the repr."""
    error = e.PaymentDeclinedError(payment())
    card = payment().card
    text = str(error) + repr(error)
    assert payment().payment_id in str(error)
    for secret in (card.card_number, card.cardholder_name, card.expiry_date):
        assert secret
        assert secret not in text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (e.Problem(), ""),
        (e.Problem(detail="a detail", title="a title"), "a detail"),
        (e.Problem(title="a title", type="https://x#fragment"), "a title"),
        (e.Problem(type="https://docs.payroc.com/api/errors#not-found"), "not-found"),
        (e.Problem(errors=(e.ProblemDetail("a.b", "wrong"),)), "a.b: wrong"),
        (e.Problem(title="Bad", errors=(e.ProblemDetail("a.b"),)), "Bad (a.b)"),
    ],
)
def test_a_problem_says_the_most_telling_it_has(problem: e.Problem, text: str) -> None:
    """A problem's text is its detail, else its title, else its fragment, with the fields."""
    assert str(problem) == text


@pytest.mark.parametrize(
    ("type_", "fragment"),
    [
        ("https://docs.payroc.com/api/errors#idempotency-key-in-use", "idempotency-key-in-use"),
        (None, ""),
        ("", ""),
        ("about:blank", ""),
    ],
)
def test_a_problems_fragment_is_the_part_after_the_hash(type_: str | None, fragment: str) -> None:
    """The fragment is what follows the `#`, and empty without one."""
    assert e.Problem(type=type_).fragment == fragment


HOSTILE = "one\ntwo\r\x1b[31mred\x00\u202etxet\u2028\ud83d"
ESCAPED = r"one\ntwo\r\x1b[31mred\x00\u202etxet\u2028\ud83d"


def declined(message: str) -> e.PaymentDeclinedError:
    sample = json.loads((SAMPLES / "payment.json").read_bytes())
    sample["transactionResult"] |= {"responseCode": "D", "responseMessage": message}
    return e.PaymentDeclinedError(structure(sample, Payment))


@pytest.mark.parametrize(
    "error",
    [
        e.APIError(400, e.Problem(detail=HOSTILE)),
        e.APIError(400, e.Problem(title=HOSTILE)),
        e.APIError(400, e.Problem(type="#" + HOSTILE)),
        e.APIError(400, e.Problem(errors=(e.ProblemDetail(HOSTILE, HOSTILE, None),))),
        e.InstructionFailedError(
            HOSTILE, serial_number="1", idempotency_key="2", instruction_id="3"
        ),
        declined(HOSTILE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_gateway_says_stays_on_its_line(error: e.PayrocError) -> None:
    """Line breaks, escapes and what turns text around are spelled out in an error's text."""
    assert ESCAPED in str(error)
    assert str(error).isprintable()


def test_what_a_gateway_says_is_unchanged_as_data() -> None:
    """Escapes are for texts alone; other alphabets are no control characters."""
    assert e.Problem(detail=HOSTILE).detail == HOSTILE
    assert str(e.Problem(detail="Über 日本, 5 €")) == "Über 日本, 5 €"
