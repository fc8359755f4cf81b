"""OBS: undocumented behavior of the gateway, tried and recorded.

Source: contract section 16. These scenarios neither pass nor fail: the record is the evidence.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from uuid import uuid4

from payroc_async import PayrocError

from .bench import Bench, Skipped
from .evidence import now
from .sale_scenarios import NO_CARD, never_finishes
from .scenario_table import Table

__all__ = ["QUESTIONS"]

QUESTIONS = Table()
UNATTENDED = 600.0
"""Seconds for which an instruction is left alone; the simulator's is left for less."""


@QUESTIONS.add(
    "OBS-01",
    "open question",
    "What a busy device answers to a second instruction",
    "recorded",
    device=True,
)
async def busy_device(bench: Bench) -> None:
    """Submit two sales under two keys."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    first = await bench.submit_raw(bench.body(4999), key=str(uuid4()))
    second = await bench.submit_raw(bench.body(5999, "b"), key=str(uuid4()))
    bench.fact(first=bench.problem(first), second=bench.problem(second))
    bench.fact(secondEnded=await bench.end_raw(second), firstEnded=await bench.end_raw(first))


@QUESTIONS.add(
    "OBS-02",
    "open question",
    "What two concurrent requests with the same key and body get",
    "recorded",
    device=True,
)
async def concurrent_replay(bench: Bench) -> None:
    """Submit the same bytes twice at once."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    await bench.raw("GET", "/devices?limit=1")  # the token and a connection: the two come together
    key = str(uuid4())
    both = await asyncio.gather(*(bench.submit_raw(bench.body(4999), key=key) for _ in range(2)))
    ids = [bench.json(one).get("paymentInstructionId") for one in both]
    bench.fact(answers=[bench.problem(one) for one in both], instructionIds=ids)
    bench.fact(sameInstruction=ids[0] == ids[1], ended=[await bench.end_raw(one) for one in both])


@QUESTIONS.add(
    "OBS-03",
    "open question",
    "Whether an error is the kept answer of its key, and what a corrected body gets",
    "recorded",
    device=True,
)
async def error_replayed(bench: Bench) -> None:
    """Send an invalid body twice under one key, and then a valid one under the same key."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    key, wrong = str(uuid4()), bench.body(4999)
    wrong["order"]["amount"] = "49.99"
    twice = [await bench.submit_raw(wrong, key=key) for _ in range(2)]
    corrected = await bench.submit_raw(bench.body(4999), key=key)
    bench.fact(
        answers=[bench.problem(one) for one in twice],
        sameAnswer=twice[0].body == twice[1].body,
        corrected=bench.problem(corrected),
        ended=await bench.end_raw(corrected),
    )


@QUESTIONS.add(
    "OBS-04", "open question", "What an unknown serial number is answered with", "recorded"
)
async def unknown_device(bench: Bench) -> None:
    """Submit a sale to a device that no one has."""
    answer = await bench.submit_raw(
        bench.body(4999), key=str(uuid4()), serial=f"none-{uuid4().hex[:8]}"
    )
    bench.fact(answer=bench.problem(answer), ended=await bench.end_raw(answer))


@QUESTIONS.add(
    "OBS-05",
    "open question",
    "Whether a 401 uses up the idempotency key",
    "recorded",
    device=True,
)
async def unauthorized_key(bench: Bench) -> None:
    """Submit with a wrong token, and under the same key with a good one."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    key = str(uuid4())
    refused = await bench.submit_raw(bench.body(4999), key=key, token="not-a-valid-token")
    again = await bench.submit_raw(bench.body(4999), key=key)
    bench.fact(first=bench.problem(refused), again=bench.problem(again))
    bench.fact(ended=await bench.end_raw(again))


@QUESTIONS.add(
    "OBS-06",
    "open question",
    "How a sale reads that the cardholder cancels on the device",
    "recorded",
    device=True,
)
async def cardholder_cancels(bench: Bench) -> None:
    """Have the red key pressed, and record the words of the answer."""
    bench.at_device(
        "press the red CANCEL key on the device", 4999, lambda device: device.cardholder_cancels()
    )
    try:
        payment = await bench.session.run_sale(
            bench.serial_number, bench.request(4999), timeout=bench.patience
        )
    except PayrocError as error:
        bench.fact(error=type(error).__name__, message=str(error))
    else:
        bench.fact(paymentId=payment.payment_id, outcome=payment.outcome.name)
    last = bench.exchanges("GET /v1/payment-instructions/")
    bench.fact(lastStatus=last[-1].answer_body if last else None)


@QUESTIONS.add(
    "OBS-07",
    "open question",
    "What a payment shows after a reversal of a part, and of all, and once more",
    "recorded",
    device=True,
)
async def partial_reversal(bench: Bench) -> None:
    """Reverse 1.00, then the rest, then what is reversed already."""
    payment = await bench.approved_sale()
    path = f"/payments/{payment.payment_id}/reverse"
    for name, body in (("part", {"amount": 100}), ("rest", {}), ("tooLate", {})):
        answer = await bench.raw("POST", path, body, key=str(uuid4()))
        result = bench.json(answer).get("transactionResult", {})
        bench.fact(
            **{
                name: {
                    "answer": bench.problem(answer),
                    "status": result.get("status"),
                    "responseCode": result.get("responseCode"),
                    "authorizedAmount": result.get("authorizedAmount"),
                    "supportedOperations": bench.json(answer).get("supportedOperations"),
                }
            }
        )


@QUESTIONS.add(
    "OBS-08",
    "open question",
    "How long an ended instruction can be read",
    "recorded; run again days later",
)
async def old_instruction(bench: Bench) -> None:
    """Read the oldest instruction of this certification."""
    for one in bench.evidence.attempts:
        known = one.facts.get("paymentInstructionId")
        if known and one is not bench.attempt:
            answer = await bench.raw("GET", f"/payment-instructions/{known}")
            age = datetime.fromisoformat(now()) - datetime.fromisoformat(one.started)
            bench.fact(
                paymentInstructionId=known,
                hoursOld=round(age.total_seconds() / 3600, 2),
                answer=bench.problem(answer),
            )
            return
    raise Skipped("no instruction of an earlier scenario is known yet")


@QUESTIONS.add(
    "OBS-09",
    "open question",
    "Whether any answer has a header about limits",
    "recorded",
)
async def rate_limits(bench: Bench) -> None:
    """Look through the headers of all answers of this certification."""
    found = sorted(
        {
            f"{name}: {value}"
            for attempt in bench.evidence.attempts
            for one in attempt.exchanges
            if not one.note
            for name, value in one.answer_headers.items()
            if "limit" in name or name == "retry-after"
        }
    )
    bench.fact(answersLookedAt=sum(len(one.exchanges) for one in bench.evidence.attempts))
    bench.fact(headers=found or "none")


@QUESTIONS.add(
    "OBS-10",
    "open question",
    "How a sale ends that no one answers",
    "recorded",
    feature="unattended",
    device=True,
)
async def unattended(bench: Bench) -> None:
    """Leave a sale alone for ten minutes, and cancel it if it has not ended by itself."""
    bench.at_device("present NO card, and touch nothing until this ends", 4999, never_finishes)
    began = time.monotonic()
    answer = await bench.submit_raw(bench.body(4999), key=str(uuid4()))
    found = bench.json(answer).get("paymentInstructionId", "")
    status, limit = "inProgress", 1.0 if bench.guide.simulated else UNATTENDED
    while status == "inProgress" and time.monotonic() - began < limit:
        shown = bench.json(await bench.raw("GET", f"/payment-instructions/{found}"))
        status = str(shown.get("status", status))
        await asyncio.sleep(bench.timeouts.poll_interval)
    bench.fact(seconds=round(time.monotonic() - began), status=status)
    if status == "inProgress":
        bench.fact(endedByItself=False, ended=await bench.end_raw(answer))
    else:
        bench.fact(endedByItself=True)
