"""``payroc-async certify``: what it runs, what it writes, and what it never writes."""

from __future__ import annotations

import json
import logging
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from payroc_async.api.resources import Devices
from payroc_async.cli.app import cli
from payroc_async.cli.certify.redaction import redact_body, redact_headers
from payroc_async.cli.certify.scenarios import SCENARIOS
from payroc_async.simulator import Simulator, drop_after, edit, garbage
from payroc_async.simulator.state import State
from tests.conftest import SERIAL, variables

pytestmark = pytest.mark.usefixtures("alone")
CARD = "4111111111111111"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def served_badly(served: Simulator) -> Simulator:
    """A gateway to which a certification sends, on purpose, what the contract forbids."""
    served.device(SERIAL)
    return served


def certify(gateway: Simulator | None, *words: str, answer: str = "") -> Result:
    """Run the command against a gateway, or on a simulator of its own."""
    where = ["--simulator"] if gateway is None else ["--serial", SERIAL, "--terminal", "1234001"]
    known = {} if gateway is None else variables(gateway)
    done = CliRunner().invoke(cli, ["certify", *where, *words], env=known, input=answer)
    if gateway is not None:
        gateway.violations.clear()
    return done


def evidence() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path("certification/certification.json").read_text())
    return document


def last(scenario: str) -> dict[str, Any]:
    found: dict[str, Any] = [one for one in evidence()["attempts"] if one["scenario"] == scenario][
        -1
    ]
    return found


def test_every_scenario_passes_on_the_simulator() -> None:
    """All scenarios pass or are recorded, and the report shows each with its evidence."""
    done = certify(None, "--with", "all", "--json")
    assert done.exit_code == 0, done.output
    results = json.loads(done.stdout)["results"]
    assert results.keys() == SCENARIOS.keys()
    wanted = {
        one.id: "recorded" if one.tier == "open question" else "passed"
        for one in SCENARIOS.values()
    }
    assert results == wanted
    lost = last("CP-05")["facts"]
    assert len(lost["keysOfAttempts"]) == 2
    assert len(set(lost["keysOfAttempts"])) == len(lost["instructionIds"]) == 1
    assert last("OBS-01")["facts"]["second"].startswith("409")
    text = Path("certification/report.html").read_text()
    assert "Every required scenario has passed" in text
    assert "is no evidence for Payroc" in text
    for one in SCENARIOS.values():
        assert f"<section id='{one.id}'>" in text
        assert one.title in unescape(text)
    assert lost["keysOfAttempts"][0] in text


def test_no_secret_is_written(served_badly: Simulator) -> None:
    """Neither file has the key, a token, a card's number or a cardholder, whatever answers hold."""

    def with_card(payment: dict[str, Any]) -> dict[str, Any]:
        payment["card"] |= {"cardNumber": CARD, "cardholderName": "Sarah Hopper"}
        payment["customer"] = {"firstName": "Sarah"}
        payment["remark"] = f"card {CARD}"
        return payment

    served_badly.faults.add("payment", edit(with_card))
    done = certify(served_badly, "CP-01", "AUTH-01", "AUTH-03", "SEC-04", "--yes")
    assert done.exit_code == 0, done.output
    tokens = [one.removeprefix("Bearer ") for one in _tokens(served_badly)]
    assert tokens
    for path in Path("certification").iterdir():
        text = path.read_text()
        for secret in (served_badly.api_key, CARD, "Sarah", *tokens):
            assert secret not in text, (path, secret)
    (read,) = [one for one in last("CP-01")["exchanges"] if "/v1/payments/" in one["path"]]
    assert read["answer_body"]["card"]["cardNumber"] == "411111***1111"
    assert read["request_headers"]["authorization"] == "Bearer ***"
    (submitted,) = [one for one in last("CP-01")["exchanges"] if one["method"] == "POST"]
    assert submitted["request_body"]["order"]["orderId"] == "cert-CP-01-1"


def _tokens(gateway: Simulator) -> list[str]:
    return list(gateway._tokens._issued)


@pytest.mark.parametrize(
    ("scenario", "kind", "change", "reason"),
    [
        ("CP-09", "change", {"status": "ready"}, "not reversal"),
        ("CP-01", "payment", {"responseCode": "D"}, "not approved"),
        ("CP-02", "payment", {"responseCode": "A"}, "did not decline 10.01"),
        ("ERR-07", "change", {"status": "ready"}, "not reversal"),
    ],
)
def test_a_gateway_that_does_otherwise_fails(
    served_badly: Simulator, scenario: str, kind: str, change: dict[str, str], reason: str
) -> None:
    """What the gateway answers decides, not that it answers."""

    def changed(payment: dict[str, Any]) -> dict[str, Any]:
        payment["transactionResult"] |= change
        return payment

    served_badly.faults.add(kind, edit(changed), times=None)
    done = certify(served_badly, scenario, "--yes")
    assert done.exit_code == 1, done.output
    assert last(scenario)["status"] == "failed"
    assert reason in last(scenario)["reason"]
    text = Path("certification/report.html").read_text()
    assert "Required and not passed yet:" in text
    assert f"<a href='#{scenario}'>{scenario}</a>" in text


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("CP-05", "two instructions of one key"),
        ("CP-06", "the same key with another amount was answered with"),
    ],
)
def test_a_gateway_that_forgets_keys_fails(
    served_badly: Simulator, monkeypatch: pytest.MonkeyPatch, scenario: str, reason: str
) -> None:
    """One that starts something new under a key that was used is found out."""
    once = State.once
    monkeypatch.setattr(
        State, "once", lambda self, _, request, act: once(self, str(uuid4()), request, act)
    )
    done = certify(served_badly, scenario, "--yes")
    assert done.exit_code == 1, done.output
    assert last(scenario)["status"] == "failed"
    assert reason in last(scenario)["reason"]


def test_a_refund_that_is_declined_fails(served_badly: Simulator) -> None:
    """A new refund is none before it is approved."""
    certify(served_badly, "CP-07", "--yes")
    served_badly.close_batch()

    def declined(payment: dict[str, Any]) -> dict[str, Any]:
        payment["refunds"][-1] |= {"responseCode": "D", "status": "declined"}
        return payment

    served_badly.faults.add("change", edit(declined))
    done = certify(served_badly, "CP-07", "--yes")
    assert done.exit_code == 1, done.output
    assert "the refund was not approved" in last("CP-07")["reason"]


@pytest.mark.parametrize("line", ["sent with Bearer abc", "the key {key}"])
def test_a_log_with_a_secret_fails(
    served_badly: Simulator, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """SEC-04 looks for the secrets, and the excerpt that it keeps has no key."""
    search = Devices.search

    def telling(self: Devices, **filters: Any) -> Any:
        said = line.format(key=served_badly.api_key)
        logging.getLogger("payroc_async.http").debug(said)
        return search(self, **filters)

    monkeypatch.setattr(Devices, "search", telling)
    done = certify(served_badly, "SEC-04", "--yes")
    assert done.exit_code == 1, done.output
    assert "the log has" in last("SEC-04")["reason"]
    assert served_badly.api_key not in Path("certification/certification.json").read_text()


def test_a_payment_for_a_canceled_sale_fails(served_badly: Simulator) -> None:
    """That the instruction is canceled is not enough: no payment may be listed for it."""

    def listing(page: dict[str, Any]) -> dict[str, Any]:
        result = {"responseCode": "A", "status": "ready"}
        return {**page, "data": [{"paymentId": "M2MJOG6O2Y", "transactionResult": result}]}

    certify(served_badly, "CP-03", "--yes")  # the card is first
    assert "the instruction ended as completed" in last("CP-03")["reason"]
    served_badly.device(SERIAL).never_finishes()
    served_badly.faults.add("search", edit(listing), times=None)
    done = certify(served_badly, "CP-03", "--yes")
    assert done.exit_code == 1, done.output
    assert "there is a payment for the canceled sale" in last("CP-03")["reason"]


def test_an_answer_that_no_scenario_expects(served_badly: Simulator) -> None:
    """It fails the one scenario, and the next is run."""
    served_badly.faults.add("submit", edit(lambda _: {"strange": 1}), times=1)
    served_badly.faults.add("authorize", edit(lambda _: [1]), times=1)
    done = certify(served_badly, "CP-06", "CP-14", "--yes")
    assert done.exit_code == 1, done.output
    assert "names no instruction" in last("CP-06")["reason"]
    assert last("CP-14")["status"] == "passed"


def test_a_lost_submission_is_ended(served_badly: Simulator) -> None:
    """What was started over the bare connection is canceled, though its answer was lost."""
    served_badly.device(SERIAL).never_finishes()
    served_badly.faults.add("submit", drop_after())
    certify(served_badly, "CP-06", "--yes")
    (made,) = served_badly.instructions.values()
    assert made.status == "canceled"
    assert last("CP-06")["status"] == "passed", last("CP-06")["reason"]


def test_what_a_failed_scenario_has_started_is_ended(served_badly: Simulator) -> None:
    """A busy device that takes a second sale all the same is free when the scenario has failed."""
    served_badly.device(SERIAL).never_finishes()
    served_badly.faults.add("submit", garbage(), skip=1, times=3)
    certify(served_badly, "OBS-01", "--yes")
    assert last("OBS-01")["status"] == "failed"
    assert {one.status for one in served_badly.instructions.values()} == {"canceled"}


def test_it_goes_on_where_it_ended(served_badly: Simulator) -> None:
    """What has passed is not run again, a skipped one is; each attempt has a tag of its own."""
    assert certify(served_badly, "CP-14", "--yes").exit_code == 0
    first = certify(served_badly, answer="s\n" * 5 + "q\n")
    assert first.exit_code == 130, first.output
    assert "1 have passed already" in first.stderr
    assert last("CP-01")["status"] == "skipped"
    assert last("CP-14")["number"] == 1
    again = certify(served_badly, answer="\nq\n")
    assert again.exit_code == 130
    assert (last("CP-01")["number"], last("CP-01")["status"]) == (2, "passed")
    assert last("CP-01")["facts"]["orderId"] == "cert-CP-01-2"
    assert certify(served_badly, "CP-01", "--yes").exit_code == 0
    assert last("CP-01")["number"] == 3


def test_a_refund_waits_for_the_batch(served_badly: Simulator) -> None:
    """CP-07 waits till the payment is settled, and goes on with the same one."""
    waits = certify(served_badly, "CP-07", "--yes")
    assert waits.exit_code == 3, waits.output
    assert last("CP-07")["status"] == "waiting"
    assert certify(served_badly, "CP-07", "--yes").exit_code == 3
    served_badly.close_batch()
    done = certify(served_badly, "CP-07", "--yes")
    assert done.exit_code == 0, done.output
    assert len(served_badly.payments) == len(served_badly.refunds) == 1
    assert last("CP-07")["facts"]["refundId"] in served_badly.refunds


def test_nothing_is_left_on_the_device(served_badly: Simulator) -> None:
    """What a scenario starts over the bare connection is canceled, also where it fails."""
    served_badly.device(SERIAL).never_finishes()
    certify(served_badly, "CP-03", "CP-06", "OBS-01", "OBS-02", "OBS-05", "--yes")
    assert not served_badly.in_progress
    assert served_badly.instructions


@pytest.mark.parametrize("half", ["PAYROC_API_URL", "PAYROC_IDENTITY_URL"])
def test_production_is_refused(served: Simulator, half: str) -> None:
    """Either address of production's is refused before anything is sent."""
    production = {
        "PAYROC_API_URL": "https://api.payroc.com/v1",
        "PAYROC_IDENTITY_URL": "https://identity.payroc.com/authorize",
    }
    known = {**variables(served), half: production[half]}
    words = ["certify", "--serial", SERIAL, "--terminal", "1234001", "--yes"]
    done = CliRunner().invoke(cli, words, env=known)
    assert done.exit_code == 2
    assert "names production" in done.stderr
    assert not served.requests


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["CP-99", "--simulator"], "CP-99 does not exist"),
        (["--simulator", "--project", "a" * 13], "--project"),
        (["--simulator", "--decline-amount", "x"], "--decline-amount"),
        (["--terminal", "1234001"], "--serial"),
        (["--serial", "1"], "--terminal"),
        (["--serial", "1", "--terminal", "1234001"], "PAYROC_API_KEY"),
    ],
)
def test_wrong_options(words: list[str], reason: str) -> None:
    """They are named, and nothing is run."""
    done = CliRunner().invoke(cli, ["certify", *words])
    assert done.exit_code == 2, done.output
    assert reason in done.stderr


def test_evidence_of_another_device_is_not_mixed() -> None:
    """A folder belongs to one gateway, device, terminal, currency and project."""
    assert certify(None, "AUTH-01").exit_code == 0
    done = certify(None, "AUTH-01", "--serial", "1850010869")
    assert done.exit_code == 2
    assert "'1850010868', not '1850010869'" in done.stderr
    Path("certification/certification.json").write_text("{}")
    assert "can't be read" in certify(None, "AUTH-01").stderr


def test_the_list() -> None:
    """--list names every scenario, and runs none."""
    done = CliRunner().invoke(cli, ["certify", "--list", "--json"])
    assert [one["id"] for one in json.loads(done.stdout)["scenarios"]] == list(SCENARIOS)
    assert not Path("certification").exists()


def test_redaction() -> None:
    """Secrets go, in whatever depth and spelling they stand; ids and keys stay."""
    body = {
        "paymentId": "123456789012",
        "list": [{"card": {"cardNumber": CARD, "emvTags": [{"hex": "5A", "value": CARD}]}}],
        "paymentMethod": {"type": "secureToken", "token": "296753123456789012"},
        "signature": "iVBOR",
        "text": f"card {CARD}.",
    }
    assert redact_body(json.dumps(body).encode()) == {
        "paymentId": "123456789012",
        "list": [{"card": {"cardNumber": "411111***1111", "emvTags": "***"}}],
        "paymentMethod": {"type": "secureToken", "token": "***"},
        "signature": "(5 characters)",
        "text": "card 411111***1111.",
    }
    key = "11111111-1111-4111-8111-111111111111"
    headers = {"X-API-Key": "k", "Authorization": "Bearer t", "Idempotency-Key": key, "X": "y"}
    assert redact_headers(headers) == {
        "x-api-key": "***",
        "authorization": "Bearer ***",
        "idempotency-key": key,
    }
    assert redact_body(b"<html>") == "(6 bytes that are not JSON)"
