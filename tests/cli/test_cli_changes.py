"""``payroc-async void`` and ``capture``: once, and never a doubt unsaid."""

from __future__ import annotations

import json
import shlex
import signal
import uuid
from typing import Any

import pytest

from payroc_async import PayrocSession
from payroc_async.simulator import Simulator, drop_after, drop_before, edit, hang, problem, status
from tests.conftest import SERIAL, sale

from .test_cli_payments import pay, run
from .test_cli_sale import Command, until

pytestmark = pytest.mark.usefixtures("impatient")

KEY = str(uuid.uuid4())
VOID = ["--description", "wrong table"]


def posted(gateway: Simulator) -> list[str]:
    """What was done to payments: the path's last part."""
    return [one.path.rpartition("/")[2] for one in gateway.requests_of("change")]


class TestVoid:
    def test_while_the_batch_is_open(self, served: Simulator) -> None:
        """A payment of today is reversed, and that is said."""
        id_ = pay(served)
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("REVERSED: 49.99 USD\n")
        assert served.payments[id_]["transactionResult"]["status"] == "reversal"

    def test_after_the_batch_has_closed(self, served: Simulator) -> None:
        """A payment of yesterday is refunded, with the reason, and that is said."""
        id_ = pay(served)
        served.close_batch()
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("REFUNDED: 49.99 USD\n")
        (refund_id,) = served.refunds
        assert refund_id in done.stdout
        assert served.refunds[refund_id]["order"]["description"] == "wrong table"

    @pytest.mark.parametrize("closed", [False, True])
    def test_a_part(self, served: Simulator, closed: bool) -> None:
        """--amount is in major units of the payment's currency."""
        id_ = pay(served)
        if closed:
            served.close_batch()
        done = run(served, "void", id_, *VOID, "--amount", "9.99", "--currency", "USD", "--json")
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert said["how"] == ("refunded" if closed else "reversed")
        assert said["payment_id"] == id_
        assert said["authorized_amount"] == (4999 if closed else 4000)
        assert said["refund_id"] == (next(iter(served.refunds)) if closed else None)
        assert [one["amount"] for one in said["refunds"]] == ([999] if closed else [])

    def test_a_refund_that_is_not_approved_exits_with_3(self, served: Simulator) -> None:
        """That the gateway made a refund does not say that money went back."""
        id_ = pay(served)
        served.close_batch()

        def decline(payment: dict[str, Any]) -> dict[str, Any]:
            return {**payment, "refunds": [{**payment["refunds"][-1], "responseCode": "D"}]}

        served.faults.add("change", edit(decline))
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 3, done.output
        assert done.stdout.startswith("NOT REFUNDED: 49.99 USD\n")

    @pytest.mark.parametrize(
        ("code", "exit_code", "said"),
        [("D", 3, "NOT REVERSED"), ("R", 3, "NOT REVERSED"), ("E", 3, "NOT DECIDED YET")],
    )
    def test_a_declined_reversal(
        self, served: Simulator, code: str, exit_code: int, said: str
    ) -> None:
        """HTTP 200 with a code that is no approval: not done, in words and in JSON."""
        id_ = pay(served)
        served.decline_next("reverse", response_code=code)
        done = run(served, "void", id_, *VOID)
        assert (done.exit_code, done.stdout.startswith(said)) == (exit_code, True), done.output
        served.decline_next("reverse", response_code=code)
        done = run(served, "void", id_, *VOID, "--json")
        members = json.loads(done.stdout)
        assert (done.exit_code, members["how"]) == (exit_code, None)
        assert members["outcome"] not in ("approved", None)

    def test_a_refund_that_became_a_reversal(self, served: Simulator) -> None:
        """The payment was settled when it was read, and its batch is open: that is said."""
        id_ = pay(served)

        def settled(payment: dict[str, Any]) -> dict[str, Any]:
            result = {**payment["transactionResult"], "status": "complete"}
            return {**payment, "transactionResult": result, "supportedOperations": ["refund"]}

        served.faults.add("payment", edit(settled))
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith("REVERSED: 49.99 USD\n")
        assert "its batch was open" in done.stdout
        assert posted(served) == ["refund"]

    def test_an_answer_that_shows_neither(self, served: Simulator) -> None:
        """The code of an approval on a payment that was not reversed: look before you try again."""
        id_ = pay(served)
        before = served.payments[id_]
        served.faults.add("change", edit(lambda _: before))
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("OUTCOME UNKNOWN: 49.99 USD")
        assert f"payroc-async payments show {id_}" in done.stdout

    def test_a_later_refund_is_told_from_an_earlier(self, served: Simulator) -> None:
        """In whatever order the gateway lists a payment's refunds, the new one is named."""
        id_ = pay(served)
        served.close_batch()
        run(served, "void", id_, *VOID, "--amount", "9.99")
        served.faults.add("change", edit(lambda read: {**read, "refunds": read["refunds"][::-1]}))
        done = run(served, "void", id_, *VOID, "--amount", "5.00", "--json")
        assert json.loads(done.stdout)["refund_id"] == list(served.refunds)[-1]

    @pytest.mark.parametrize("key", [[], ["--idempotency-key", KEY]], ids=["fresh", "given"])
    def test_what_cannot_be_undone_exits_with_4(self, served: Simulator, key: list[str]) -> None:
        """A declined payment is left alone, and why is one line."""
        served.device(SERIAL).declines()
        id_ = pay(served)
        done = run(served, "void", id_, *VOID, *key)
        assert done.exit_code == 4
        assert "it supports nothing" in done.stderr
        assert done.stdout == ""
        assert posted(served) == []

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--amount", "9.999"], "--amount"),
            (["--amount", "0"], "--amount"),
            (["--currency", "EUR"], "--currency"),
            (["--idempotency-key", "none"], "--idempotency-key"),
            (["--description", ""], "--description"),
        ],
    )
    def test_usage(self, served: Simulator, options: list[str], named: str) -> None:
        """A wrong option is named, exits with 2, and changes nothing."""
        done = run(served, "void", pay(served), *VOID, *options)
        assert done.exit_code == 2, done.output
        assert named in done.stderr
        assert done.stdout == ""
        assert posted(served) == []

    def test_needs_a_description(self, served: Simulator) -> None:
        """Without a reason nothing is undone, for a refund needs one."""
        done = run(served, "void", "A1")
        assert done.exit_code == 2
        assert "--description" in done.stderr

    @pytest.mark.parametrize("amount", [None, "9.99", "40.00"])  # the last is more than is left
    @pytest.mark.parametrize("closed", [False, True])
    def test_an_unknown_outcome_is_found_out(
        self, served: Simulator, closed: bool, amount: str | None
    ) -> None:
        """The command that is printed says what became of the first, and undoes nothing more."""
        id_ = pay(served)
        if closed:
            served.close_batch()
        lost = served.faults.add("change", drop_after(), times=None)
        done = run(served, "void", id_, *VOID, *(["--amount", amount] if amount else []))
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("OUTCOME UNKNOWN")
        assert done.stdout.count("\n") == 1
        keys = {one.headers["idempotency-key"] for one in served.requests_of("change")}
        (key,) = keys
        assert done.stdout.count(key) == 2
        lost.remove()
        after = served.payments[id_]
        again = run(served, *shlex.split(done.stdout[done.stdout.index("payroc-async") :])[1:])
        assert again.exit_code == 0, again.output
        assert again.stdout.startswith("REFUNDED" if closed else "REVERSED")
        assert served.payments[id_] == after
        assert len(served.refunds) == int(closed)

    @pytest.mark.parametrize("code", [0, 4], ids=["done", "refused"])
    def test_the_batch_closes_before_it_is_found_out(self, served: Simulator, code: int) -> None:
        """What a reversal under the key came to is reported, and no refund is made beside it."""
        id_ = pay(served)
        options = ["--amount", "9.99", "--idempotency-key", KEY]
        if code == 0:
            lost = served.faults.add("change", drop_after(), times=None)
            assert run(served, "void", id_, *VOID, *options).exit_code == 5
            lost.remove()
            served.close_batch()
        else:  # it closes between the look at the payment and its reversal
            still_open = served.payments[id_]
            served.close_batch()
            served.faults.add("payment", edit(lambda _: still_open))
            assert run(served, "void", id_, *VOID, *options).exit_code == 4
        before = served.payments[id_]
        again = run(served, "void", id_, *VOID, *options)
        assert again.exit_code == code, again.output
        assert again.stdout.startswith("REVERSED: 9.99 USD") == (code == 0)
        assert served.payments[id_] == before
        assert served.refunds == {}
        served.violations.clear()  # the key is tried with a refund first

    @pytest.mark.parametrize("amount", ["9.99", "40.00"])
    @pytest.mark.parametrize(
        ("first", "then"),
        [
            (["partiallyReverse"], []),
            (["partiallyReverse"], ["fullyReverse"]),
            (["refund"], ["refund"]),
            (["refund"], []),
        ],
    )
    def test_a_part_of_an_open_batch_is_found_out(
        self, served: Simulator, amount: str, first: list[str], then: list[str]
    ) -> None:
        """Whatever the payment supports by then, the answer under the key shows what was done.

        A reversal in part leaves no status and no refund behind, and a refund in an open batch
        becomes one.
        """
        id_ = pay(served)
        options = ["--amount", amount, "--idempotency-key", KEY]
        served.faults.add("payment", edit(lambda read: {**read, "supportedOperations": first}))
        lost = served.faults.add("change", drop_after(), times=None)
        assert run(served, "void", id_, *VOID, *options).exit_code == 5
        lost.remove()
        after = served.payments[id_]
        served.faults.add("payment", edit(lambda read: {**read, "supportedOperations": then}))
        again = run(served, "void", id_, *VOID, *options)
        assert again.exit_code == 0, again.output
        assert again.stdout.startswith(f"REVERSED: {amount} USD")
        assert served.payments[id_] == after
        assert served.refunds == {}
        served.violations.clear()  # the key is tried with the other call

    def test_an_old_refund_is_not_this_one(self, served: Simulator) -> None:
        """An approval that shows no new refund leaves it open whether there is one."""
        id_ = pay(served)
        served.close_batch()
        options = ["--amount", "9.99"]
        assert run(served, "void", id_, *VOID, *options).exit_code == 0
        old = served.payments[id_]["refunds"]
        served.faults.add("change", edit(lambda read: {**read, "refunds": old}))
        done = run(served, "void", id_, *VOID, *options)
        assert done.exit_code == 5, done.output
        assert done.stdout.startswith("OUTCOME UNKNOWN")

    def test_a_key_that_was_never_used_undoes_nothing_twice(self, served: Simulator) -> None:
        """What another has reversed is not said to be this one's work, nor is what is too much."""
        id_ = pay(served)
        before = served.payments[id_]
        key = str(uuid.uuid4())
        more = run(served, "void", id_, *VOID, "--amount", "60.00", "--idempotency-key", key)
        assert more.exit_code == 4, more.output
        assert served.payments[id_] == before
        assert run(served, "void", id_, *VOID).exit_code == 0
        done = run(served, "void", id_, *VOID, "--idempotency-key", KEY)
        assert done.exit_code == 4
        assert "HTTP 409" in done.stderr

    @pytest.mark.parametrize(
        ("fault", "said"),
        [(drop_before(), "connection lost"), (problem(403, "forbidden"), "HTTP 403")],
        ids=["lost", "403"],
    )
    def test_the_end_of_an_earlier_try_stays_unknown(
        self, served: Simulator, fault: Any, said: str
    ) -> None:
        """That the payment can't be read says nothing about what was sent under the key before."""
        id_ = pay(served)
        served.faults.add("payment", fault, times=None)
        done = run(served, "void", id_, *VOID, "--idempotency-key", KEY)
        assert done.exit_code == 5
        assert KEY in done.stdout
        done = run(served, "void", id_, *VOID)
        assert done.exit_code == 4
        assert done.stderr.startswith(f"Error: {said}")


class TestCapture:
    @pytest.mark.parametrize(("options", "taken"), [([], 4999), (["--amount", "30.00"], 3000)])
    def test_capture(self, served: Simulator, options: list[str], taken: int) -> None:
        """All of a pre-authorization is captured, or what --amount says."""
        id_ = pay(served, auto_capture=False)
        done = run(served, "capture", id_, *options)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"CAPTURED: {taken / 100:.2f} USD\n")
        result = served.payments[id_]["transactionResult"]
        assert (result["type"], result["authorizedAmount"]) == ("preAuthorizationCompletion", taken)

    def test_json(self, served: Simulator) -> None:
        """--json prints one object, without card data."""
        id_ = pay(served, auto_capture=False)
        done = run(served, "capture", id_, "--json", "--idempotency-key", KEY)
        said = json.loads(done.stdout)
        card = served.payments[id_]["card"]
        assert said["how"] == "captured"
        assert said["idempotency_key"] == KEY
        assert said["status"] == "ready"
        assert said["error"] is None
        for secret in (card["cardNumber"], card["cardholderName"]):
            assert secret not in done.output

    @pytest.mark.parametrize(
        ("changed", "exit_code", "said"),
        [
            ({"responseCode": "D", "status": "declined"}, 3, "NOT CAPTURED: 49.99 USD\n"),
            ({"responseCode": "E", "status": "accepted"}, 3, "NOT DECIDED YET"),
            ({"status": "pending"}, 5, "OUTCOME UNKNOWN"),
            ({"status": "expired"}, 5, "OUTCOME UNKNOWN"),
            (
                {"responseCode": "P", "authorizedAmount": 2000},
                *(3, "PARTIALLY CAPTURED: 20.00 USD, 29.99 USD less than requested"),
            ),
        ],
    )
    def test_what_is_no_capture(
        self, served: Simulator, changed: dict[str, Any], exit_code: int, said: str
    ) -> None:
        """HTTP 200 alone ships no goods."""
        id_ = pay(served, auto_capture=False)

        def answered(payment: dict[str, Any]) -> dict[str, Any]:
            return {**payment, "transactionResult": {**payment["transactionResult"], **changed}}

        served.faults.add("change", edit(answered))
        done = run(served, "capture", id_)
        assert done.exit_code == exit_code, done.output
        assert done.stdout.startswith(said)

    def test_refused(self, served: Simulator) -> None:
        """What is no pre-authorization can't be captured: one line, and 4."""
        id_ = pay(served)
        done = run(served, "capture", id_)
        assert done.exit_code == 4
        assert done.stderr.splitlines()[-1].startswith("Error: HTTP 409")
        done = run(served, "capture", id_, "--json")
        said = json.loads(done.stdout)
        assert (said["error"]["type"], said["error"]["status"]) == ("ConflictError", 409)
        assert said["how"] is None

    @pytest.mark.parametrize(
        "fault",
        [drop_after(), status(503), problem(429, "too-many")],
        ids=["lost", "503", "429"],
    )
    def test_an_unknown_outcome_is_found_out(self, served: Simulator, fault: Any) -> None:
        """Whatever kept the answer away, the printed command captures once."""
        id_ = pay(served, auto_capture=False)
        lost = served.faults.add("change", fault, times=None)
        done = run(served, "capture", id_, "--amount", "30.00", "--json")
        assert done.exit_code == 5, done.output
        key = json.loads(done.stdout)["idempotency_key"]
        assert {one.headers["idempotency-key"] for one in served.requests_of("change")} == {key}
        lost.remove()
        again = run(served, "capture", id_, "--amount", "30.00", "--idempotency-key", key)
        assert again.exit_code == 0, again.output
        assert served.payments[id_]["transactionResult"]["authorizedAmount"] == 3000


@pytest.mark.parametrize(("sent", "code"), [("change", 5), ("payment", 4)])
async def test_ctrl_c(gateway: Simulator, session: PayrocSession, sent: str, code: int) -> None:
    """Ctrl-C ends it at once; once it may have been done, it says how to find out."""
    payment = await session.run_sale(SERIAL, sale())
    gateway.faults.add(sent, hang(), times=None)
    running = await Command.start(gateway, command=["void", payment.payment_id, *VOID])
    await until(lambda: any(one.fault for one in gateway.requests_of(sent)))
    running.signal(signal.SIGINT)
    ended, out, err = await running.end()
    assert ended == code, out + err
    assert ("payroc-async void" in out) == (code == 5)
    assert ("interrupted, nothing was sent" in err) == (code == 4)
