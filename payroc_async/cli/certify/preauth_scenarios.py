"""Pre-authorizations and what becomes of them, and changes to refunds (CP-15, CNP)."""

from __future__ import annotations

from uuid import uuid4

from payroc_async import (
    OrderAdjustment,
    Payment,
    RefundInstructionRequest,
    RefundOrder,
    TransactionStatus,
)

from .bench import Bench, Skipped
from .scenario_table import Table

__all__ = ["PRE_AUTHORIZATIONS"]

PRE_AUTHORIZATIONS = Table()


async def _authorized(bench: Bench) -> Payment:
    """A pre-authorization that is not captured yet."""
    payment = await bench.approved_sale(auto_capture=False)
    kind = payment.transaction_result.type
    bench.fact(type=kind and kind.value)
    status = payment.transaction_result.status
    bench.expect(
        status is TransactionStatus.PENDING,
        f"its status is {status and status.value}, not pending: has the terminal no "
        "pre-authorizations?",
    )
    return payment


def _captured(bench: Bench, payment: Payment, amount: int) -> None:
    result = payment.transaction_result
    bench.fact(
        statusAfterwards=result.status and result.status.value,
        responseCodeAfterwards=result.response_code.value,
        amountAfterwards=result.authorized_amount,
    )
    bench.expect(payment.approved, f"the capture was refused: {result.response_code.value}")
    bench.expect(result.authorized_amount == amount, f"captured is not {bench.money(amount)}")


@PRE_AUTHORIZATIONS.add(
    "CP-15",
    "if used",
    "A pre-authorization: autoCapture false",
    "approved and pending: not captured",
    feature="pre-authorization",
    device=True,
)
async def pre_authorization(bench: Bench) -> None:
    """Run a pre-authorization."""
    await _authorized(bench)


@PRE_AUTHORIZATIONS.add(
    "CNP-04",
    "if used",
    "Capture a pre-authorization in full",
    "200, A, the whole amount",
    feature="pre-authorization",
    device=True,
)
async def capture(bench: Bench) -> None:
    """Capture all of it."""
    payment = await _authorized(bench)
    _captured(bench, await bench.session.payments.capture(payment.payment_id), 4999)


@PRE_AUTHORIZATIONS.add(
    "CNP-05",
    "if used",
    "Capture a part of a pre-authorization",
    "200, A, that part",
    feature="pre-authorization",
    device=True,
)
async def capture_part(bench: Bench) -> None:
    """Capture 30.00 of it."""
    payment = await _authorized(bench)
    captured = await bench.session.payments.capture(payment.payment_id, amount=3000)
    _captured(bench, captured, 3000)


@PRE_AUTHORIZATIONS.add(
    "CNP-06",
    "if used",
    "Raise a pre-authorization, and capture it",
    "200, A, the raised amount",
    feature="pre-authorization",
    device=True,
)
async def adjust_and_capture(bench: Bench) -> None:
    """Adjust it to 59.99, and capture all."""
    payment = await _authorized(bench)
    raised = await bench.session.payments.adjust(payment.payment_id, OrderAdjustment(amount=5999))
    bench.fact(responseCodeOfAdjustment=raised.transaction_result.response_code.value)
    bench.expect(raised.approved, "the adjustment was refused")
    _captured(bench, await bench.session.payments.capture(payment.payment_id), 5999)


@PRE_AUTHORIZATIONS.add(
    "CNP-07",
    "if used",
    "Void a pre-authorization",
    "200, status reversal",
    feature="pre-authorization",
    device=True,
)
async def void(bench: Bench) -> None:
    """Reverse all of it."""
    payment = await _authorized(bench)
    reversed_ = await bench.session.payments.reverse(payment.payment_id)
    status = reversed_.transaction_result.status
    bench.fact(statusAfterwards=status and status.value)
    bench.expect(status is TransactionStatus.REVERSAL, f"the status is {status}, not reversal")


@PRE_AUTHORIZATIONS.add(
    "CNP-11",
    "recommended",
    "Refund more than was paid",
    "4xx; no refund",
)
async def refund_too_much(bench: Bench) -> None:
    """Refund the payment of CP-07 by one unit more than it was."""
    payment_id = bench.settled_payment or bench.evidence.fact("CP-07", "paymentId")
    if not payment_id:
        raise Skipped("it needs the payment of CP-07: run that first")
    before = await bench.session.payments.retrieve(payment_id)
    amount = (before.transaction_result.authorized_amount or 0) + 1
    body = {"amount": amount, "description": bench.tag()}
    answer = await bench.raw("POST", f"/payments/{payment_id}/refund", body, key=str(uuid4()))
    after = await bench.session.payments.retrieve(payment_id)
    bench.fact(paymentId=payment_id, amount=amount, answer=bench.problem(answer))
    bench.expect(400 <= answer.status < 500, f"answered with {bench.problem(answer)}")
    bench.expect(len(after.refunds) == len(before.refunds), "there is a new refund")


@PRE_AUTHORIZATIONS.add(
    "CNP-13",
    "recommended",
    "Reverse a refund in the open batch",
    "200, status reversal",
    device=True,
)
async def reverse_refund(bench: Bench) -> None:
    """Run a refund on the device, and reverse it."""
    bench.at_device("present the test card for a refund of {amount}", 1000, None)
    order = RefundOrder(
        order_id=bench.tag(),
        description="Certification",
        amount=1000,
        currency=bench.evidence.currency,
    )
    request = RefundInstructionRequest(processing_terminal_id=bench.terminal, order=order)
    refund = await bench.session.run_refund(bench.serial_number, request, timeout=bench.patience)
    reversed_ = await bench.session.refunds.reverse(refund.refund_id)
    status = reversed_.transaction_result.status
    bench.fact(refundId=refund.refund_id, statusAfterwards=status and status.value)
    bench.expect(status is TransactionStatus.REVERSAL, f"the status is {status}, not reversal")
