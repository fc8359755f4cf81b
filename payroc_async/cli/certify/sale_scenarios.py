"""CP: sales, refunds and cancellations on the device, which everybody has to show."""

from __future__ import annotations

from uuid import uuid4

from payroc_async import (
    APIError,
    InstructionStatus,
    Outcome,
    Payment,
    RefundInstructionRequest,
    RefundOrder,
    Submitted,
    SupportedOperation,
    TransactionStatus,
)
from payroc_async.cli.phrases import counted
from payroc_async.simulator import Device

from .bench import APPROVE, Bench
from .scenario_table import Table

__all__ = ["NO_CARD", "SALES", "SUBMISSIONS", "listed", "never_finishes"]

SALES = Table()
SUBMISSIONS = "POST /v1/devices/"
NO_CARD = "present NO card; the sale of {amount} is canceled from here"


async def listed(bench: Bench, order_id: str) -> list[Payment]:
    """The payments that the gateway lists for an order now."""
    return [one async for one in bench.session.payments.search(order_id=order_id)]


@SALES.add("CP-14", "required", "Find the device by its serial number", "200, with the device")
async def find_the_device(bench: Bench) -> None:
    """Search the devices."""
    found = [one async for one in bench.session.devices.search(serial_number=bench.serial_number)]
    bench.fact(serialNumber=bench.serial_number, devices=len(found))
    bench.expect(found, f"no device has the serial number {bench.serial_number}")


@SALES.add(
    "CP-01",
    "required",
    "A sale: submit, poll, follow the link, read the payment",
    "202 inProgress, then completed, then responseCode A; the payment's id is another one",
    device=True,
)
async def a_sale(bench: Bench) -> None:
    """Run a sale; record as well whether its payment is listed at once."""
    payment = await bench.approved_sale()
    first = bench.exchanges(SUBMISSIONS)[0]
    bench.expect(first.status == 202, f"the submission was answered with {first.status}, not 202")
    bench.expect(
        first.answer_body.get("status") == "inProgress", "the submission's status is no inProgress"
    )
    instruction = bench.attempt.facts["paymentInstructionId"]
    bench.expect(instruction != payment.payment_id, "payment and instruction have the same id")
    reads = [one.status for one in bench.exchanges(f"GET /v1/payments/{payment.payment_id}")]
    bench.fact(
        paymentReadableAtOnce=reads == [200],
        paymentListedAtOnce=bool(await listed(bench, bench.tag())),
    )


@SALES.add(
    "CP-02",
    "required",
    "A declined sale",
    "the instruction is completed, the payment's responseCode D; the decline is shown",
    device=True,
)
async def a_decline(bench: Bench) -> None:
    """Run a sale whose amount is declined in UAT."""
    payment = await bench.sale(
        bench.decline_amount, text=APPROVE, script=lambda device: device.declines()
    )
    bench.fact(shown=f"{payment.outcome.name}: {payment.transaction_result.response_message}")
    bench.expect(
        payment.outcome is Outcome.DECLINED,
        f"the gateway did not decline {bench.money(bench.decline_amount)}: ask Payroc which amount "
        "is declined, and give it as --decline-amount",
    )


@SALES.add(
    "CP-03",
    "required",
    "Cancel a sale while it is inProgress",
    "204, then canceled; no payment",
    device=True,
)
async def cancel(bench: Bench) -> None:
    """Start a sale that no one answers, and cancel it."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    handle = await bench.session.start_sale(bench.serial_number, bench.request(4999))
    canceled = await handle.cancel()
    answers = [one.status for one in bench.exchanges("DELETE")]
    bench.fact(
        paymentInstructionId=handle.instruction_id,
        idempotencyKey=handle.idempotency_key,
        deleteAnswers=answers,
        finalStatus=canceled.status.value,
        payments=len(await listed(bench, bench.tag())),
    )
    bench.expect(
        canceled.status is InstructionStatus.CANCELED,
        f"the instruction ended as {canceled.status.value}",
    )
    bench.expect(answers[0] == 204, f"DELETE was answered with {answers[0]}, not 204")
    bench.expect(bench.attempt.facts["payments"] == 0, "there is a payment for the canceled sale")


def never_finishes(device: Device) -> None:
    """The script of a device on which no card is presented."""
    device.never_finishes()


@SALES.add(
    "CP-04",
    "recommended",
    "Cancel a sale that has completed",
    "409; the software reads the status again",
    device=True,
)
async def cancel_too_late(bench: Bench) -> None:
    """Cancel the instruction of CP-01, or that of a new sale."""
    known = bench.evidence.fact("CP-01", "paymentInstructionId")
    if not known:
        await bench.approved_sale()
        known = bench.attempt.facts["paymentInstructionId"]
    bench.fact(paymentInstructionId=known)
    with bench.refused(409):
        await bench.session.payment_instructions.cancel(known)
    refusal = bench.exchanges("DELETE")[0]
    bench.fact(deleteAnswer=refusal.status, problem=(refusal.answer_body or {}).get("type"))
    after = bench.exchanges(f"GET /v1/payment-instructions/{known}")[-1]
    bench.fact(statusAfterwards=(after.answer_body or {}).get("status"))


@SALES.add(
    "CP-05",
    "required",
    "The answer to the submission is lost: same bytes, same key again",
    "one instruction, at most one payment",
    device=True,
)
async def lost_answer(bench: Bench) -> None:
    """Discard the first answer to the submission; the software has to send it again."""
    bench.tamper("POST /v1/devices/.*", "lose answer")
    await bench.approved_sale()
    attempts = bench.exchanges(SUBMISSIONS)
    keys = {one.request_headers.get("idempotency-key") for one in attempts}
    bodies = {one.body_sha256 for one in attempts}
    ids = {(one.answer_body or {}).get("paymentInstructionId") for one in attempts}
    bench.fact(
        keysOfAttempts=[one.request_headers.get("idempotency-key") for one in attempts],
        bodiesSha256=[one.body_sha256 for one in attempts],
        instructionIds=sorted(str(one) for one in ids),
        paymentsListed=len(await listed(bench, bench.tag())),
    )
    bench.expect(
        len(attempts) == 2, f"the submission was sent {counted(len(attempts), 'time')}, not twice"
    )
    bench.expect(len(keys) == len(bodies) == 1, "the second attempt differs from the first")
    bench.expect(len(ids) == 1, "the gateway made two instructions of one key")
    bench.expect(bench.attempt.facts["paymentsListed"] <= 1, "there are two payments")


@SALES.add(
    "CP-06",
    "recommended",
    "The same key with another amount",
    "409; nothing new is started",
    device=True,
)
async def other_amount(bench: Bench) -> None:
    """Submit twice under one key, over the bare connection; then cancel."""
    bench.at_device(NO_CARD, 4999, never_finishes)
    key = str(uuid4())
    first = await bench.submit_raw(bench.body(4999), key=key)
    try:
        bench.expect(first.status == 202, f"the first was refused: {bench.problem(first)}")
        second = await bench.submit_raw(bench.body(5999), key=key)
        bench.fact(idempotencyKey=key, answer=bench.problem(second))
        bench.expect(
            second.status == 409 or "idempotency-key-in-use" in bench.problem(second),
            f"the same key with another amount was answered with {bench.problem(second)}",
        )
    finally:
        bench.fact(finalStatus=await bench.end_raw(first))


@SALES.add(
    "CP-07",
    "required",
    "Refund a settled payment, after a look at its supportedOperations",
    "a refund of its own, approved",
    device=True,
)
async def referenced_refund(bench: Bench) -> None:
    """Refund a payment whose batch has closed: one that was named, or one of an earlier run."""
    payment_id = bench.settled_payment or bench.evidence.fact("CP-07", "paymentId")
    if not payment_id:
        payment_id = (await bench.approved_sale()).payment_id
        bench.guide.settle(
            f"{payment_id} is in the open batch. Run this again after the batch has closed"
        )
    bench.fact(paymentId=payment_id)
    payment = await bench.session.payments.retrieve(payment_id)
    operations = [one.value for one in payment.supported_operations]
    bench.fact(supportedOperations=operations)
    if SupportedOperation.REFUND not in payment.supported_operations:
        bench.guide.settle(f"{payment_id} can't be refunded yet, only: {', '.join(operations)}")
    key = str(uuid4())
    before = {one.refund_id for one in payment.refunds}
    amount = payment.transaction_result.authorized_amount or 4999
    refunded = await bench.session.payments.refund(
        payment_id, amount=amount, description=bench.tag(), idempotency_key=key
    )
    made = [one for one in refunded.refunds if one.refund_id not in before]
    status = refunded.transaction_result.status
    bench.fact(
        idempotencyKey=key,
        refundId=made[0].refund_id if made else None,
        responseCode=made[0].response_code if made else None,
        status=status and status.value,
    )
    if status is TransactionStatus.REVERSAL:
        bench.guide.settle("the payment was reversed, for its batch was open: run this again")
    bench.expect(made, "the answer shows no new refund")
    bench.expect(made[0].response_code == "A", "the refund was not approved")


@SALES.add(
    "CP-08",
    "required",
    "An unreferenced refund on the device, with a description",
    "the instruction is completed, the refund's responseCode A",
    device=True,
)
async def unreferenced_refund(bench: Bench) -> None:
    """Run a refund on the device."""
    bench.at_device("present the test card for a refund of {amount}", 1000, None)
    known: dict[str, str | None] = {}

    def keep(event: object) -> None:
        if isinstance(event, Submitted):
            known["id"] = event.instruction_id

    refund = await bench.session.run_refund(
        bench.serial_number,
        RefundInstructionRequest(
            processing_terminal_id=bench.terminal,
            order=RefundOrder(
                order_id=bench.tag(),
                description="Certification",
                amount=1000,
                currency=bench.evidence.currency,
            ),
        ),
        timeout=bench.patience,
        on_event=keep,
    )
    code = refund.transaction_result.response_code.value
    bench.fact(refundInstructionId=known.get("id"), refundId=refund.refund_id, responseCode=code)
    bench.expect(refund.approved, f"the refund was not approved: responseCode {code}")


@SALES.add(
    "CP-09",
    "required",
    "Reverse a payment in the open batch",
    "200, status reversal",
    device=True,
)
async def reverse(bench: Bench) -> None:
    """Run a sale, and reverse it."""
    payment = await bench.approved_sale()
    key = str(uuid4())
    try:
        reversed_ = await bench.session.payments.reverse(payment.payment_id, idempotency_key=key)
    except APIError as error:
        bench.fact(answer=str(error))
        raise
    status = reversed_.transaction_result.status
    bench.fact(reversalKey=key, statusAfterwards=status and status.value)
    bench.expect(status is TransactionStatus.REVERSAL, f"the status is {status}, not reversal")
