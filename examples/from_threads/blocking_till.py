"""A till for synchronous code: its session runs in an event loop in a separate thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.from_thread import BlockingPortal

from payroc_async import Order, Payment, PaymentInstructionRequest, PayrocSession

__all__ = ["BlockingTill", "request_of"]

Opened = tuple[BlockingPortal, PayrocSession]


class BlockingTill:
    """Runs sales from any thread of the process that opened it.

    It is like ``anyio.from_thread.start_blocking_portal``, but survives a fork: that function's
    context manager, inherited by a child, hangs when the child ends.

    Args:
        make_session: Builds the session; called when the till is opened.
    """

    def __init__(self, make_session: Callable[[], PayrocSession] = PayrocSession.from_env) -> None:
        self._make_session = make_session
        self._pid: int | None = None
        self._portal: BlockingPortal
        self._session: PayrocSession
        self._thread: Thread

    def open(self) -> Self:
        """Start the thread with the event loop, and open the session there."""
        opened: Future[Opened] = Future()
        # A daemon thread, so that atexit functions run before it is stopped.
        self._thread = Thread(target=self._run, args=(opened,), name="payroc", daemon=True)
        self._thread.start()
        self._portal, self._session = opened.result()
        self._pid = os.getpid()
        return self

    def _run(self, opened: Future[Opened]) -> None:
        try:
            anyio.run(self._live, opened)
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def _live(self, opened: Future[Opened]) -> None:
        session = await self._make_session().open()
        async with BlockingPortal() as portal, aclosing(session):
            opened.set_result((portal, session))
            await portal.sleep_until_stopped()

    def close(self) -> None:
        """Close the session, which cancels running sales, and end the thread.

        Does nothing if the till is not open, as in a forked child.
        """
        if self._pid == os.getpid():
            self._pid = None
            self._portal.call(self._portal.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def sell(
        self, serial_number: str, request: PaymentInstructionRequest, **options: Any
    ) -> Payment:
        """Run a sale, and block this thread until its outcome is known.

        Args:
            serial_number: The device's serial number.
            request: The sale.
            options: The keywords of ``run_sale``.

        Raises:
            PayrocError: As ``run_sale`` does.
            RuntimeError: The till is not open in this process.

        Cancellation:
            An interruption of this thread (Ctrl-C, ``SystemExit``, Celery's soft time limit)
            cancels the sale at the gateway, in the background.
        """
        if self._pid != os.getpid():
            # In a forked child, the loop has no thread: the call would block forever.
            where = "not open" if self._pid is None else f"open in process {self._pid}"
            raise RuntimeError(f"the till is {where}: open one in this process, after the fork")
        sale = self._portal.start_task_soon(
            partial(self._session.run_sale, serial_number, request, **options)
        )
        try:
            return sale.result()
        except BaseException:
            sale.cancel()  # has no effect if the sale itself raised
            raise


def request_of(order_id: str, amount: int, currency: str = "USD") -> PaymentInstructionRequest:
    """Return the request for a sale. ``amount`` is in the currency's smallest unit."""
    return PaymentInstructionRequest(
        processing_terminal_id=os.environ.get("PAYROC_TERMINAL", "1234001"),
        order=Order(order_id=order_id, amount=amount, currency=currency),
    )
