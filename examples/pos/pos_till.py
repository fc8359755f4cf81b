"""The till: it owns the session, the running sales, and the watching pages.

It is independent of HTTP; ``fastapi_backend.py`` and ``aiohttp_backend.py`` are thin layers over
it. Its rules:

* An order is sold in attempts, numbered from 1. An attempt has one idempotency key, which is on
  disk before the sale starts. A request for an existing attempt returns it and starts nothing: a
  double click, a reload and a second tab are one sale.
* The next attempt is allowed only when the last one has certainly ended, and only for the unpaid
  amount.
* A sale belongs to the till, not to the request that started it. A browser may disconnect without
  effect, and sees everything when it reconnects.
* An unknown outcome stays open, and the till polls until it is known. Meanwhile the order can't be
  sold again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from attrs import define, field
from orders import NOTHING, Orders, Sale, opened_orders

from payroc_async import (
    Amount,
    CancelRequested,
    Completed,
    ConfigurationError,
    DeviceBusyError,
    Event,
    InstructionError,
    JournalError,
    LeaseLost,
    Order,
    Outcome,
    OutcomeUnknownError,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    Recovered,
    Recovery,
    Retrying,
    SessionClosedError,
    StillInProgress,
    Submitted,
)
from payroc_async.journal import EntryState, Journal, journal_at

__all__ = ["Refused", "Till", "new_order_id", "open_till"]

logger = logging.getLogger("till")

CURRENCY = "USD"
TERMINAL = os.environ.get("PAYROC_TERMINAL", "1234001")
MERCHANT = ["HOPPER'S COFFEE", "12 Main Street", "Springfield, IL 62701"]
PAPER = 42
"""Columns of the receipt."""
PATIENCE = 120.0
"""Seconds that a cardholder may take."""
ASK_EVERY = 10.0
"""Seconds between two checks of sales without an outcome."""
HEARTBEAT = 15.0
"""Seconds after which an unchanged state is sent to a page again, so that both sides detect a lost
connection."""

SELL_AGAIN_AFTER = {
    NOTHING,
    *(Outcome.DECLINED.value, Outcome.REFERRED.value, Outcome.PICK_UP.value),
    Outcome.PARTIALLY_APPROVED.value,
}
"""Only after these outcomes may the unpaid amount be charged again."""

NOT_SETTLED = {Outcome.DEFERRED.value, Outcome.UNKNOWN.value}
"""Outcomes for which a payment exists, but only Payroc knows whether it takes money."""

STEPS: dict[type[Event], str] = {
    Submitted: "The device asks for a card",
    StillInProgress: "Still waiting for the cardholder",
    Retrying: "No answer from the gateway, retrying",
    CancelRequested: "Cancelling",
    Completed: "Done at the device, retrieving the payment",
}


class Refused(Exception):
    """The request contradicts the order's state; nothing was started."""


@define(eq=False)
class Live:
    """The state of a running sale, not needed afterwards."""

    order_id: str
    serial_number: str
    instruction_id: str | None = None
    canceling: bool = False
    cancel_sent: bool = False
    steps: deque[tuple[str, str]] = field(factory=lambda: deque(maxlen=20))

    def note(self, text: str) -> None:
        """Add a step, with the time of day."""
        if not self.steps or self.steps[-1][1] != text:
            self.steps.append((datetime.now().strftime("%H:%M:%S"), text))


class Till:
    """Sells orders, and shows their progress. ``open_till`` creates one."""

    def __init__(self, session: PayrocSession, journal: Journal, orders: Orders) -> None:
        self._session = session
        self._journal = journal
        self._orders = orders
        self._live: dict[str, Live] = {}
        """The sales that this process runs, by idempotency key."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._selling = asyncio.Lock()
        self._stopping = False

    # What browsers ask for ----------

    async def sell(self, order_id: str, attempt: int, serial_number: str, price: str) -> None:
        """Start this attempt to sell an order, unless it was already started.

        Args:
            order_id: The order.
            attempt: 1, or one more than the last attempt's.
            serial_number: The device that is to ask for the card.
            price: The order's total, such as ``49.99``.

        Raises:
            ConfigurationError: A value is wrong.
            Refused: The order is sold, may be sold, or does not match.
            DeviceBusyError: The device runs another order's sale.
            SessionClosedError: The till is closing.
        """
        amount = Amount.parse(price, CURRENCY).minor_units
        if amount == 0:
            raise ConfigurationError("price", "must be more than nothing")
        if not isinstance(serial_number, str) or not serial_number:
            raise ConfigurationError("serial_number", "must be that of a device")
        async with self._selling:  # two clicks come one after the other
            if self._stopping:
                raise SessionClosedError("the till is closing")
            sales = await self._orders.sales(order_id)
            if any(sale.order_amount != amount for sale in sales):
                raise Refused(f"order {order_id} comes to {_money(sales[0].order_amount)}")
            if 1 <= attempt <= len(sales):
                if sales[attempt - 1].serial_number != serial_number:
                    raise Refused(f"attempt {attempt} is on another device")
                return
            if attempt != len(sales) + 1 or not _may_be_sold(sales):
                raise Refused(f"order {order_id} can't be charged now")
            left = amount - _taken(sales)
            request = _request(order_id, left)
            if any(live.serial_number == serial_number for live in self._live.values()):
                raise DeviceBusyError(serial_number)
            sale = Sale(
                order_id=order_id,
                attempt=attempt,
                serial_number=serial_number,
                order_amount=amount,
                amount=left,
            )
            live = self._alive(sale)  # before the sale is stored, or it would seem to be lost
            try:
                await self._orders.add(sale)
            except BaseException:
                self._forget(sale.idempotency_key, live)
                raise
            self._start(f"sale of {order_id}", self._drive(sale, request, live))

    async def cancel(self, order_id: str, attempt: int) -> None:
        """Cancel a sale that has not ended. Its outcome shows whether that came too late.

        Raises:
            Refused: There is no such sale, or no process runs it now.
        """
        sales = await self._orders.sales(order_id)
        if not 1 <= attempt <= len(sales):
            raise Refused(f"order {order_id} has no attempt {attempt}")
        sale = sales[attempt - 1]
        if sale.outcome is not None:
            return
        live = self._live.get(sale.idempotency_key)
        if live is None:
            raise Refused("its outcome is unknown; it can't be canceled now")
        await self._orders.cancel(sale)
        live.canceling = True
        live.note("Cancelling")
        self._tell(order_id)
        self._cancel_if_wanted(live)

    async def show(self, order_id: str) -> dict[str, Any]:
        """Return an order's state for its page. An order without an attempt is ``new``."""
        sales = await self._orders.sales(order_id)
        may_be_sold = _may_be_sold(sales)
        return {
            "order_id": order_id,
            "state": self._state(sales),
            "price": str(Amount(sales[0].order_amount, CURRENCY)).split()[0] if sales else None,
            "serial_number": sales[-1].serial_number if sales else None,
            "left": _money(sales[0].order_amount - _taken(sales)) if sales else None,
            "next_attempt": len(sales) + 1 if may_be_sold else None,
            "sales": [self._show_sale(sale) for sale in sales],
        }

    async def watch(self, order_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Yield the result of ``show`` now and after each change, until the till closes.

        A slow or reconnecting page gets only the latest state.
        """
        changed = asyncio.Event()
        watchers = self._watchers.setdefault(order_id, set())
        watchers.add(changed)
        try:
            while not self._stopping:
                changed.clear()
                yield await self.show(order_id)
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT):
                        await changed.wait()
        finally:
            watchers.discard(changed)
            if not watchers and self._watchers.get(order_id) is watchers:
                del self._watchers[order_id]

    # A sale ----------

    async def _drive(self, sale: Sale, request: PaymentInstructionRequest, live: Live) -> None:
        """Run one sale from its start to its outcome."""
        key = sale.idempotency_key
        live.note("Sending to the device")
        self._tell(sale.order_id)
        try:
            payment = await self._session.run_sale(
                sale.serial_number,
                request,
                idempotency_key=key,
                timeout=PATIENCE,
                on_cancel="detach",
                on_event=self._on_event,
            )
        except (OutcomeUnknownError, JournalError) as error:
            await self._doubt(key, error)
        except PayrocError as error:  # after every other error, no money has moved
            await self._orders.end(key, NOTHING, note=str(error))
        else:
            await self._keep(key, payment)
        finally:
            self._forget(key, live)

    async def _keep(self, key: str, payment: Payment) -> None:
        """Store a payment, approved or declined."""
        receipt = payment.receipt(merchant=MERCHANT)
        result = payment.transaction_result
        await self._orders.end(
            key,
            payment.outcome.value,
            authorized=(result.authorized_amount or 0) if receipt.approved else 0,
            payment_id=payment.payment_id,
            note=result.response_message,
            receipt=receipt.text(PAPER),
        )

    async def _doubt(self, key: str, error: Exception | None) -> None:
        """Store why the outcome is unknown, unless the sale was detached."""
        if not self._stopping:
            await self._orders.doubt(key, str(error))

    def _on_event(self, event: Event) -> None:
        """Handle the session's events, also those of recovered sales."""
        live = self._live.get(event.idempotency_key or "")
        if live is None:
            return
        live.instruction_id = event.instruction_id
        if type(event) in STEPS:
            live.note(STEPS[type(event)])
        self._tell(live.order_id)
        self._cancel_if_wanted(live)

    def _cancel_if_wanted(self, live: Live) -> None:
        """Record the gateway's id, with which the sale can be canceled."""
        if live.canceling and not live.cancel_sent and live.instruction_id is not None:
            live.cancel_sent = True
            self._start("cancellation", self._cancel(live.instruction_id))

    async def _cancel(self, instruction_id: str) -> None:
        """Cancel the sale at the gateway. The sale's own task reports the result."""
        try:
            await self._session.resume_sale(instruction_id, on_cancel="detach").cancel()
        except PayrocError as error:
            logger.warning("the cancellation is not confirmed: %s", error)

    # What has no outcome ----------

    async def keep_asking(self) -> None:
        """Resolve sales that this process or the last one left running or unknown; runs forever."""
        while True:
            self._start("recovery", self._ask())
            await asyncio.sleep(ASK_EVERY)

    def recovered(self, found: Recovered) -> None:
        """Called by the session with each sale of a process that died, once it has ended it."""
        self._start("recovered sale", self._keep_recovered(found))

    async def _ask(self) -> None:
        """Make one pass: follow what the session recovers, without waiting for it."""
        try:
            await self._follow_all()
        except PayrocError as error:
            if not self._stopping:
                logger.error("looking up open orders failed; will retry: %s", error)
            return
        for sale in await self._orders.open():
            if sale.idempotency_key in self._live:
                continue
            try:
                await self._look_up(sale)
            except PayrocError as error:
                logger.warning("order %s stays open: %s", sale.order_id, error)

    async def _follow_all(self) -> None:
        for entry in await self._session.unfinished():
            sale = await self._orders.sale(entry.idempotency_key)
            if sale is None or entry.instruction_id is None or sale.idempotency_key in self._live:
                continue
            live = self._alive(sale)
            live.instruction_id = entry.instruction_id
            live.note("Recovered, asking for the outcome")
            self._tell(sale.order_id)
            self._start("sale found again", self._follow(sale, entry.instruction_id, live))
            self._cancel_if_wanted(live)

    async def _follow(self, sale: Sale, instruction_id: str, live: Live) -> None:
        """Wait for a sale of the session's recovery, and keep its outcome."""
        key = sale.idempotency_key
        try:
            handle = self._session.resume_sale(
                instruction_id, on_cancel="detach", on_event=self._on_event
            )
            await self._keep(key, await handle.result())
        except (OutcomeUnknownError, JournalError, SessionClosedError) as error:
            if not isinstance(error.__cause__, LeaseLost):  # else its recovery was a moment earlier
                await self._doubt(key, error)
        except InstructionError as error:
            await self._orders.end(key, NOTHING, note=str(error))
        finally:
            self._forget(key, live)

    async def _keep_recovered(self, found: Recovered) -> None:
        key = found.entry.idempotency_key
        if isinstance(found.resource, Payment):
            await self._keep(key, found.resource)
        elif found.state in (EntryState.FAILED, EntryState.CANCELED):
            await self._orders.end(key, NOTHING, note=str(found.error))
        else:
            await self._doubt(key, found.error)
        if (sale := await self._orders.sale(key)) is not None:
            self._tell(sale.order_id)

    async def _look_up(self, sale: Sale) -> None:
        """Store the journal's outcome of an orphaned sale."""
        key = sale.idempotency_key
        entry = await self._journal.get(key)
        if entry is None:
            # Only this till starts its sales, and nothing is sent before its journal entry.
            await self._orders.end(key, NOTHING, note="it was never sent")
        elif entry.resource_id is not None:
            await self._keep(key, await self._session.payments.retrieve(entry.resource_id))
        elif entry.state is EntryState.UNKNOWN:
            await self._orders.doubt(key, "the gateway no longer knows the outcome: ask Payroc")
        elif not entry.unfinished:
            await self._orders.end(key, NOTHING, note=f"the sale is {entry.state.value}")
        self._tell(sale.order_id)

    # Small things ----------

    def hang_up(self) -> None:
        """Refuse new sales, and end the ``watch`` streams, which a server's shutdown waits for."""
        self._stopping = True
        for order_id in self._watchers:
            self._tell(order_id)

    async def aclose(self) -> None:
        """Detach running sales; the next process recovers them from the journal."""
        self.hang_up()
        await self._session.aclose()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"till, {what}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # For example, a full disk. A sale whose outcome was not stored stays open, and is
            # looked up.
            logger.error("%s failed", task.get_name(), exc_info=error)

    def _alive(self, sale: Sale) -> Live:
        live = Live(sale.order_id, sale.serial_number, canceling=sale.canceling)
        self._live[sale.idempotency_key] = live
        return live

    def _forget(self, key: str, live: Live) -> None:
        if self._live.get(key) is live:
            del self._live[key]
        self._tell(live.order_id)

    def _tell(self, order_id: str) -> None:
        for changed in self._watchers.get(order_id, ()):
            changed.set()

    def _state(self, sales: Sequence[Sale]) -> str:
        if not sales:
            return "new"
        last = sales[-1]
        if last.outcome is None:
            # An unknown sale stays unknown until it has an outcome, even during a look-up.
            well = last.idempotency_key in self._live and last.note is None
            return "running" if well else "unknown"
        if _may_be_sold(sales):
            return "unpaid"
        return last.outcome if last.outcome in NOT_SETTLED else "paid"

    def _show_sale(self, sale: Sale) -> dict[str, Any]:
        live = self._live.get(sale.idempotency_key)
        return {
            "attempt": sale.attempt,
            "serial_number": sale.serial_number,
            "amount": _money(sale.amount),
            "canceling": sale.canceling,
            "can_cancel": live is not None and not live.canceling,
            "outcome": sale.outcome,
            "authorized": _money(sale.authorized) if sale.authorized else None,
            "payment_id": sale.payment_id,
            "note": sale.note,
            "receipt": sale.receipt,
            "steps": [{"at": at, "text": text} for at, text in live.steps] if live else [],
        }


def _request(order_id: str, amount: int) -> PaymentInstructionRequest:
    return PaymentInstructionRequest(
        processing_terminal_id=TERMINAL,
        order=Order(order_id=order_id, amount=amount, currency=CURRENCY),
    )


def _taken(sales: Sequence[Sale]) -> int:
    return sum(sale.authorized for sale in sales)


def _may_be_sold(sales: Sequence[Sale]) -> bool:
    """Whether an amount is left to pay and certainly no other attempt is running."""
    known = all(sale.outcome in SELL_AGAIN_AFTER for sale in sales)
    return known and (not sales or _taken(sales) < sales[0].order_amount)


def _money(amount: int) -> str:
    return str(Amount(max(amount, 0), CURRENCY))


def new_order_id() -> str:
    """Return a new order id. In your application, use your orders' ids."""
    return f"T-{uuid4().hex[:12].upper()}"


@asynccontextmanager
async def open_till(environ: Mapping[str, str] = os.environ, **options: Any) -> AsyncIterator[Till]:
    """Open a till, configured by the variables of ``PayrocSession.from_env`` and ``POS_DATA``.

    The ``options`` are for ``from_env``, such as ``timeouts``.

    ``POS_DATA`` is the folder of its two files, which belong together: the orders and, unless
    ``PAYROC_JOURNAL`` is set, the journal.
    """
    folder = Path(environ.get("POS_DATA") or ".")
    journal = journal_at(environ.get("PAYROC_JOURNAL") or str(folder / "payroc.journal"))
    recovery = Recovery(interval=ASK_EVERY, on_recovered=lambda found: till.recovered(found))
    session = PayrocSession.from_env(environ, journal=journal, recovery=recovery, **options)
    async with opened_orders(folder / "orders.db") as orders:
        till = Till(session, journal, orders)
        await session.open()
        asking = asyncio.create_task(till.keep_asking(), name="till, asking")
        try:
            yield till
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            await till.aclose()
