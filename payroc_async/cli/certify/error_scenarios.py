"""ERR: refusals, overload, and a network that loses answers; and SEC-04, what the log shows."""

from __future__ import annotations

import logging
from uuid import uuid4

from payroc_async import APIError, TransactionStatus
from payroc_async.cli.phrases import counted
from payroc_async.wire.answers import decipher_success
from payroc_async.wire.protocol import Answer

from .bench import Bench
from .sale_scenarios import SUBMISSIONS, listed
from .scenario_table import Table

__all__ = ["ERRORS"]

ERRORS = Table()


@ERRORS.add(
    "ERR-01",
    "required",
    "An invalid request",
    "400; each entry of errors[] is read; no blind retry",
)
async def invalid_request(bench: Bench) -> None:
    """Send an amount as a text, which the SDK itself would refuse, over the bare connection."""
    body = bench.body(4999)
    body["order"]["amount"] = "49.99"
    answer = await bench.submit_raw(body, key=str(uuid4()))
    try:
        decipher_success(answer)
    except APIError as error:
        entries = [
            {"parameter": one.parameter, "detail": one.detail, "message": one.message}
            for one in error.problem.errors
        ]
        bench.fact(answer=bench.problem(answer), errors=entries)
        bench.expect(error.status == 400, f"expected 400, got {error}")
        bench.expect(entries, "the problem document has no errors[]")
    else:
        bench.fact(finalStatus=await bench.end_raw(answer))
        bench.expect(False, "the gateway accepted an amount that is a text")
    bench.expect(len(bench.exchanges(SUBMISSIONS)) == 1, "the request was repeated")


@ERRORS.add(
    "ERR-02",
    "recommended",
    "A POST without Idempotency-Key",
    "400 idempotency-key-missing",
)
async def without_key(bench: Bench) -> None:
    """Submit a sale without a key, over the bare connection."""
    path = f"/devices/{bench.serial_number}/payment-instructions"
    answer = await bench.raw("POST", path, bench.body(4999))
    bench.fact(answer=bench.problem(answer))
    if answer.status == 202:
        bench.fact(finalStatus=await bench.end_raw(answer))
    bench.expect(
        bench.problem(answer) == "400 idempotency-key-missing",
        f"answered with {bench.problem(answer)}",
    )


@ERRORS.add(
    "ERR-03",
    "required",
    "A key used again with another body",
    "409; the software looks whether the first succeeded, and sends no other sale",
    device=True,
)
async def key_in_use(bench: Bench) -> None:
    """Run a sale, submit another under its key, and look for the first."""
    payment = await bench.approved_sale()
    key = bench.attempt.facts["idempotencyKey"]
    with bench.refused(409, 400):
        await bench.session.payment_instructions.submit(
            bench.serial_number, bench.request(5999), idempotency_key=key
        )
    refusal = bench.exchanges(SUBMISSIONS)[-1]
    bench.fact(refusal=f"{refusal.status} {(refusal.answer_body or {}).get('type')}")
    found = await bench.session.payments.retrieve(payment.payment_id)
    bench.fact(firstSaleFound=found.payment_id, firstSaleApproved=found.approved)
    bench.expect(found.approved, "the first sale is not approved any more")


@ERRORS.add(
    "ERR-04",
    "required",
    "The token has expired when a sale is submitted",
    "one re-authentication, then the same submission again",
    device=True,
)
async def expired_while_selling(bench: Bench) -> None:
    """Submit a sale with a token that the gateway does not take."""
    bench.tamper("POST /v1/devices/.*", "spoil token")
    await bench.approved_sale()
    attempts = bench.exchanges(SUBMISSIONS)
    statuses = [one.status for one in attempts]
    keys = {one.request_headers.get("idempotency-key") for one in attempts}
    fetched = len(bench.exchanges("POST /authorize"))
    bench.fact(statuses=statuses, keys=sorted(map(str, keys)), newTokens=fetched)
    bench.expect(statuses == [401, 202], f"expected 401 and then 202, got {statuses}")
    bench.expect(len(keys) == 1, "the second attempt had another key")
    bench.expect(fetched == 1, f"tokens fetched: {fetched}, not one")


@ERRORS.add("ERR-05", "recommended", "Read a payment that does not exist", "404; no retry")
async def unknown_id(bench: Bench) -> None:
    """Read a payment by a made-up id."""
    with bench.refused(404):
        await bench.session.payments.retrieve("ZZZZZZZZZZ")
    bench.expect(len(bench.exchanges("GET")) == 1, "the request was repeated")


@ERRORS.add(
    "ERR-06",
    "required",
    "503 and 429 in answer to a submission",
    "backoff, same bytes, same key, bounded",
    device=True,
)
async def overload(bench: Bench) -> None:
    """Answer the first attempts with 503 and 429, made up here."""
    bench.tamper("POST /v1/devices/.*", "answer instead", Answer(503, {}, b""))
    busy = Answer(429, {"retry-after": "1"}, b"")
    bench.tamper("POST /v1/devices/.*", "answer instead", busy)
    await bench.approved_sale()
    attempts = bench.exchanges(SUBMISSIONS)
    keys = [one.request_headers.get("idempotency-key") for one in attempts]
    bench.fact(
        attempts=[f"{one.started}  {one.status}" for one in attempts],
        keysOfAttempts=keys,
        bodiesSha256=[one.body_sha256 for one in attempts],
    )
    bench.expect([one.status for one in attempts] == [503, 429, 202], "not 503, 429 and 202")
    same = len(set(keys)) == len({one.body_sha256 for one in attempts}) == 1
    bench.expect(same, "the attempts differ")
    bench.note("The 503 and the 429 were made up here, and never left this machine.")


@ERRORS.add(
    "ERR-07",
    "required",
    "A network timeout while money moves back",
    "the same request under the same key; nothing done twice",
    device=True,
)
async def lost_reversal(bench: Bench) -> None:
    """Reverse a payment, and discard the first answer."""
    payment = await bench.approved_sale()
    path = f"POST /v1/payments/{payment.payment_id}/reverse"
    bench.tamper(path, "lose answer")
    reversed_ = await bench.session.payments.reverse(payment.payment_id)
    attempts = bench.exchanges(path)
    keys = [one.request_headers.get("idempotency-key") for one in attempts]
    bench.fact(keysOfAttempts=keys, statuses=[one.status for one in attempts])
    bench.expect(
        len(attempts) == 2, f"the reversal was sent {counted(len(attempts), 'time')}, not twice"
    )
    bench.expect(len(set(keys)) == 1, "the second attempt had another key")
    status = reversed_.transaction_result.status
    bench.expect(status is TransactionStatus.REVERSAL, f"the status is {status}, not reversal")
    bench.fact(payments=len(await listed(bench, bench.tag())))


@ERRORS.add(
    "SEC-04",
    "required",
    "What the software logs, at its most talkative",
    "no key and no token in it; the excerpt is in the report",
)
async def log_sample(bench: Bench) -> None:
    """Keep the DEBUG log of a few calls, one of them refused."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")

    logger, handler = logging.getLogger("payroc_async"), Keep()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        bench.tamper("GET /v1/devices", "spoil token")
        async for _ in bench.session.devices.search(serial_number=bench.serial_number):
            break
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
    bench.attempt.log.extend(line.replace(bench.api_key, "(API KEY!)") for line in lines)
    bench.expect(lines, "nothing was logged")
    bench.expect(not any(bench.api_key in line for line in lines), "the log has the API key")
    bench.expect(not any("Bearer" in line for line in lines), "the log has a token")
