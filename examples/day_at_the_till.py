"""A morning at a till: ``python examples/day_at_the_till.py [SERIAL [ORDER]]``.

Sales with a tip and with two cards, a void, a refund of yesterday's ``ORDER``, a signature, the
capture of a tab, the day's total, and the close of the batch. Prints each receipt as a till would.

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
"""The outcomes after which money has moved or may still move."""

# The simulator's part: a real gateway has cardholders, and yesterday's sales ----------


async def simulate(gateway: Simulator, serial_number: str) -> None:
    """Make yesterday's sale in a closed batch, and script this morning's cardholders."""
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
    """Return the price as an amount."""
    return Amount.parse(price, "USD")


def order(order_id: str, amount: Amount, *, ask_for_tip: bool = False) -> PaymentInstructionRequest:
    """Return a sale that accepts a partial approval."""
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
    """Return the amount that a payment brings in; 0 if it was declined or voided."""
    if not payment.receipt().approved:
        return NOTHING
    result = payment.transaction_result
    return Amount(result.authorized_amount or 0, result.currency or "USD")


def print_receipt(of: Payment | Refund, *, merchants: bool = False) -> None:
    """Print the cardholder's or the merchant's copy of a receipt."""
    if merchants:
        text = of.receipt(merchant=MERCHANT, copy="merchant").text(MERCHANT_PAPER)
    else:
        text = of.receipt(merchant=MERCHANT).text(CUSTOMER_PAPER)
    print(f"\n{text}\n")


async def present_card(
    session: PayrocSession, serial_number: str, request: PaymentInstructionRequest
) -> Payment | None:
    """Run one card on the device; return its payment, or None if there is none."""
    try:
        # the cardholder's time in seconds
        payment = await session.run_sale(serial_number, request, timeout=120)
    except OutcomeUnknownError:
        raise
    except PayrocError as error:  # after every other error, no money has moved
        print(f"No payment: {error}")
        return None
    print_receipt(payment)
    return payment


async def sell(
    session: PayrocSession, serial_number: str, request: PaymentInstructionRequest
) -> list[Payment]:
    """Sell one order, and return its payments: a second card pays what the first did not cover.

    If the order is not fully paid, undo the payments, and return none.
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
    """Capture the signature that a payment needs on the device, and add it to the payment.

    If that fails, the merchant's copy has a line to sign on.
    """
    request = SignatureInstructionRequest(processing_terminal_id=TERMINAL)
    try:
        signature = await session.capture_signature(serial_number, request, timeout=120)
    except PayrocError as error:  # this does not affect the payment
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
    """Undo a payment, by a reversal or a refund, and print the cardholder's receipt."""
    undone = await session.payments.undo(payment, description=why, operator=OPERATOR)
    print(f"Order {payment.order.order_id} is {undone.how}: {why}")
    if undone.refund is None:
        print_receipt(undone.payment)
    else:
        print_receipt(await session.refunds.retrieve(undone.refund.refund_id))


async def open_tab(session: PayrocSession, serial_number: str) -> None:
    """Run a pre-authorization: the amount is held until the capture."""
    request = evolve(order("Tab-5", dollars("30.00")), auto_capture=False)
    await present_card(session, serial_number, request)


async def close_day(session: PayrocSession) -> None:
    """Capture every open tab, which the close of the batch does not do; then close the batch."""
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
    """Print the payments of a search, and their total."""
    total, count = NOTHING, 0
    async for payment in payments:
        receipt = payment.receipt()
        result = "reversed" if receipt.reversed else payment.outcome.value
        card = f"{payment.card.type} {receipt.card_number[-4:]}"
        print(f"{payment.order.order_id:<12} {card:<23} {result:<18} {taken(payment)!s:>10}")
        total, count = total + taken(payment), count + 1
    print(f"{count} payments, {total} taken")


async def morning(session: PayrocSession, serial_number: str, yesterdays_order: str) -> None:
    """Run the morning's business."""
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
    """Open the till, and report an unknown outcome."""
    async with (
        sessions(lambda gateway: simulate(gateway, serial_number)) as new_session,
        new_session() as session,
    ):
        try:
            await morning(session, serial_number, yesterdays_order)
        except OutcomeUnknownError as error:
            # The only error after which money may have moved: store its key and id.
            print(f"Do not charge again, resume this one: {error}")
            return 1
        except PayrocError as error:
            if not error.may_have_taken_effect:
                raise
            # A payment may have been undone or signed: repeating it under this key does not do it
            # twice.
            print(f"No usable answer, repeat it under the key {error.idempotency_key}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
