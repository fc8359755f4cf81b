"""The events: small frozen objects that say which instruction they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest

from payroc_async import events
from payroc_async.events import CancelReason, Event, ResultReceived
from payroc_async.models import Link, Payment
from payroc_async.wire.converter import structure

SAMPLES = Path(__file__).parents[1] / "samples"
IDENTITY: dict[str, Any] = {
    "serial_number": "1850010868",
    "idempotency_key": "8e03978e-40d5-43e8-bc93-6894a57f9324",
    "instruction_id": "e743a9165d134678a9100ebba3b29597",
}
# Design section 2; what each carries besides the identity.
DETAILS: dict[str, dict[str, Any]] = {
    "Submitted": {},
    "StillInProgress": {},
    "Retrying": {"error": ValueError("x"), "attempt": 1, "delay": 0.5},
    "CancelRequested": {"reason": "caller"},
    "Canceled": {},
    "Failed": {"error_message": "Device error"},
    "Completed": {"link": Link(href="https://api.payroc.com/v1/payments/M2MJOG6O2Y")},
    "ResultReceived": {"resource": None},
}


def make(name: str, **other: Any) -> Event:
    event: Event = getattr(events, name)(**IDENTITY, **{**DETAILS[name], **other})
    return event


def test_the_events_are_the_designed_ones() -> None:
    """Every event of the design exists, derives from Event, and no other does."""
    assert {cls.__name__ for cls in Event.__subclasses__()} == set(DETAILS)
    assert sorted(events.__all__) == events.__all__
    assert set(events.__all__) == {"Event", "CancelReason", *DETAILS}


@pytest.mark.parametrize("name", DETAILS)
def test_an_event_names_its_instruction_and_its_details(name: str) -> None:
    """An event carries the device, the key, the id and exactly the details of its kind."""
    event = make(name)
    assert attrs.asdict(event, recurse=False) == {**IDENTITY, "kind": "payment", **DETAILS[name]}
    assert type(event).__doc__


@pytest.mark.parametrize("name", DETAILS)
def test_an_event_is_frozen_and_small(name: str) -> None:
    """No attribute of an event can be set or added."""
    event = make(name)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.serial_number = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        event.other = 1  # type: ignore[attr-defined]
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("name", DETAILS)
def test_an_event_takes_keywords_alone(name: str) -> None:
    """An event can't be built by position, so that a new field breaks no one."""
    with pytest.raises(TypeError):
        getattr(events, name)(*IDENTITY.values(), *DETAILS[name].values())


def test_events_match_by_class_and_keyword() -> None:
    """A match statement can take an event apart, as on_event callables do."""
    match make("CancelRequested", reason="timeout"):
        case events.CancelRequested(instruction_id=found, reason="timeout"):
            assert found == IDENTITY["instruction_id"]
        case other:
            pytest.fail(f"no match for {other}")


def test_the_reasons_for_cancelling_are_listed() -> None:
    """The words of CancelReason are the four documented ones."""
    assert get_args(CancelReason) == ("caller", "timeout", "close", "gave up")


def test_p7_an_event_shows_no_card_data() -> None:
    """The repr of a settled payment's event, which gets logged, shows no card data."""
    payment = structure(json.loads((SAMPLES / "payment.json").read_bytes()), Payment)
    text = repr(ResultReceived(**IDENTITY, resource=payment))
    token = payment.card.secure_token
    assert token is not None
    for secret in (
        payment.card.card_number,
        payment.card.cardholder_name,
        payment.card.expiry_date,
        token.token,
    ):
        assert secret
        assert secret not in text
