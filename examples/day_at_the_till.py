"""A morning at a till: ``python examples/day_at_the_till.py [SERIAL [ORDER]]``.

Sales, with a tip and with two cards, a void, a refund of yesterday's ``ORDER``, a signature, a tab
that is captured at last, what was taken, and the close of the batch. Each receipt is printed as a
till would print it.

Exits with 0 when the morning is over, and with 1 if an outcome is not known.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from attrs import evolve
from connection import TERMINAL, sessions

from payroc_async import (
    Amount,
    Breakdown,
    Order,
    Outcome,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Refund,
    SignatureAdjustment,
    SignatureInstructionRequest,
    Tip,
    TipMode,
    TipType,
    TransactionStatus,
)
from payroc_async.simulator import Simulator

MERCHANT = ["HOPPER'S COFFEE", "12 Main Street", "Springfield, IL 62701"]
OPERATOR = "Jane"
CUSTOMER_PAPER, MERCHANT_PAPER = 32, 42  # columns
NOTHING = Amount(0, "USD")
YESTERDAYS_ORDER = "Yesterday-7"
MONEY = (Outcome.APPROVED, Outcome.PARTIALLY_APPROVED, Outcome.DEFERRED)
"""After these, money has moved or still may."""

# The simulator's part: a real gateway has cardholders, and had a yesterday ----------


async def simulate(gateway: Simulator, serial_number: str) -> None:
    """Yesterday's sale, in a batch that is closed; and what this morning's cardholders will do."""
    device = gateway.device(serial_number)
    device.approves(card="mastercard")
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        yesterday = datetime.now().astimezone() - timedelta(days=1)
        payment = await session.run_sale(serial_number, order(YESTERDAYS_ORDER, dollars("19.95")))
    gateway.payments[payment.payment_id]["order"]["dateTime"] = yesterday.isoformat()
    gateway.close_batch(yesterday.date())
    device.approves(after=0.2, card="visa")  # whose chip asks for a signature ...
    device.approves(after=0.2)  # ... which is given on the device
    device.approves(after=0.2, tip=300, card="amex")
    device.approves_partially(2000, after=0.2, card="mastercard")
    device.approves(after=0.2, card="amex")
    device.approves(after=0.2, card="mastercard")
    device.approves(after=0.2, card="mastercard")


# The till ----------


def dollars(price: str) -> Amount:
    """What stands on a price tag."""
    return Amount.parse(price, "USD")


def order(order_id: str, amount: Amount, *, ask_for_tip: bool = False) -> PaymentInstructionRequest:
    """A sale, of which a part may be authorized."""
    tip = Tip(type=TipType.FIXED_AMOUNT, mode=TipMode.PROMPTED)
    return PaymentInstructionRequest(
        processing_terminal_id=TERMINAL,
        operator=OPERATOR,
        order=Order(
            order_id=order_id,
            amount=amount,
            accept_partial_amount=True,
            breakdown=Breakdown(subtotal=amount.minor_units, tip=tip) if ask_for_tip else None,
        ),
    )


def taken(payment: Payment) -> Amount:
    """What a payment brings into the till; nothing if it was declined or voided."""
    if not payment.receipt().approved:
        return NOTHING
    result = payment.transaction_result
    return Amount(result.authorized_amount or 0, result.currency or "USD")


def print_receipt(of: Payment | Refund, *, merchants: bool = False) -> None:
    """The cardholder's copy, or the merchant's; a till would cut the paper after it."""
    if merchants:
        text = of.receipt(merchant=MERCHANT, copy="merchant").text(MERCHANT_PAPER)
    else:
        text = of.receipt(merchant=MERCHANT).text(CUSTOMER_PAPER)
    print(f"\n{text}\n")


async def present_card(
    session: PayrocSession, serial_number: str, request: PaymentInstructionRequest
) -> Payment | None:
    """One card on the device; None if no payment came of it."""
    try:
        # The seconds are for the cardholder.
        payment = await session.run_sale(serial_number, request, timeout=120)
    except OutcomeUnknownError:
        raise
    except PayrocError as error:  # after every other one, no money has moved
        print(f"No payment: {error}")
        return None
    print_receipt(payment)
    return payment


async def sell(
    session: PayrocSession, serial_number: str, request: PaymentInstructionRequest
) -> list[Payment]:
    """The payments for one order: another card pays what the first one does not cover.

    If that comes to nothing, what was taken is given back, and there are no payments.
    """
    payments: list[Payment] = []
    while True:
        payment = await present_card(session, serial_number, request)
        if payment is not None and payment.outcome in MONEY:
            payments.append(payment)
        if payment is not None and payment.outcome in (Outcome.APPROVED, Outcome.DEFERRED):
            return payments
        left = payment.receipt().remaining if payment is not None else None
        if left is None or left.minor_units is None:
            for part in payments:
                await give_back(session, part, "Not paid in full")
            return []
        order_id = request.order.order_id
        print(f"{left} of {order_id} still to pay: another card")
        request = order(order_id, Amount(left.minor_units, left.currency or "USD"))


async def sign(session: PayrocSession, serial_number: str, payment: Payment) -> None:
    """Have the device take the signature that a payment needs, and keep it with the payment.

    The merchant's copy tells that it did, or else has the line for a pen.
    """
    request = SignatureInstructionRequest(processing_terminal_id=TERMINAL)
    try:
        signature = await session.capture_signature(serial_number, request, timeout=120)
    except PayrocError as error:  # the money is not touched by that
        print(f"Not signed on the device: {error}")
    else:
        print(f"Signed on the device: {signature.content_type}")
        if signature.signature is not None:
            payment = await session.payments.adjust(
                payment.payment_id,
                SignatureAdjustment(cardholder_signature=signature.signature),
                operator=OPERATOR,
            )
    print_receipt(payment, merchants=True)


async def give_back(session: PayrocSession, payment: Payment, why: str) -> None:
    """Undo a payment, whichever way it can be, and give the cardholder the receipt of that."""
    undone = await session.payments.undo(payment, description=why, operator=OPERATOR)
    print(f"Order {payment.order.order_id} is {undone.how}: {why}")
    if undone.refund is None:
        print_receipt(undone.payment)
    else:
        print_receipt(await session.refunds.retrieve(undone.refund.refund_id))


async def open_tab(session: PayrocSession, serial_number: str) -> None:
    """A pre-authorization: its money is held, and taken when somebody captures it."""
    request = evolve(order("Tab-5", dollars("30.00")), auto_capture=False)
    await present_card(session, serial_number, request)


async def close_day(session: PayrocSession) -> None:
    """Capture every tab that is still open, for the batch's close would not; then close it."""
    tabs = [
        payment
        async for payment in session.payments.search(
            processing_terminal_id=TERMINAL,
            status=TransactionStatus.PENDING,
            settlement_state="unsettled",
        )
        if payment.uncaptured
    ]
    for tab in tabs:
        captured = await session.payments.capture(tab.payment_id, operator=OPERATOR)
        done = "captured" if captured.approved else "NOT captured"
        print(f"Order {tab.order.order_id} is {done}: {taken(captured)}")
    closing = await session.terminals.close_batch(TERMINAL)
    print(f"The batch is closed at {closing.cut_off_time} {closing.timezone}")


async def show_totals(payments: AsyncIterator[Payment]) -> None:
    """List what a search finds, and what it comes to."""
    total, count = NOTHING, 0
    async for payment in payments:
        receipt = payment.receipt()
        result = "reversed" if receipt.reversed else payment.outcome.value
        card = f"{payment.card.type} {receipt.card_number[-4:]}"
        print(f"{payment.order.order_id:<12} {card:<23} {result:<18} {taken(payment)!s:>10}")
        total, count = total + taken(payment), count + 1
    print(f"{count} payments, {total} taken")


async def morning(session: PayrocSession, serial_number: str, yesterdays_order: str) -> None:
    """What happens between opening the till and lunch."""
    opened = datetime.now().astimezone().replace(microsecond=0)

    for payment in await sell(session, serial_number, order("Morning-1", dollars("49.99"))):
        if payment.receipt().signature_needed:
            await sign(session, serial_number, payment)

    await sell(session, serial_number, order("Morning-2", dollars("20.00"), ask_for_tip=True))
    await sell(session, serial_number, order("Morning-3", dollars("50.00")))

    for payment in await sell(session, serial_number, order("Morning-4", dollars("12.50"))):
        await give_back(session, payment, "Rung up twice")

    async for payment in session.payments.search(order_id=yesterdays_order, date_to=opened):
        await give_back(session, payment, "The beans were stale")

    await open_tab(session, serial_number)
    await close_day(session)
    await show_totals(
        session.payments.search(processing_terminal_id=TERMINAL, date_from=opened, limit=5)
    )


async def main(serial_number: str = "1850010868", yesterdays_order: str = YESTERDAYS_ORDER) -> int:
    """Open the till, and say so if an outcome is not known."""
    async with (
        sessions(lambda gateway: simulate(gateway, serial_number)) as new_session,
        new_session() as session,
    ):
        try:
            await morning(session, serial_number, yesterdays_order)
        except OutcomeUnknownError as error:
            # The one error after which money may have moved: keep what it carries.
            print(f"Do not charge again, resume this one: {error}")
            return 1
        except PayrocError as error:
            if not error.may_have_taken_effect:
                raise
            # A payment may have been undone or signed: only under this key is it not done twice.
            print(f"No usable answer, repeat it under the key {error.idempotency_key}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
