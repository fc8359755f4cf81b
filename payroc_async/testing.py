"""A simulated gateway for the tests of your point of sale, with checks of their requests.

The pytest plugin ``pytest_payroc_async`` provides fixtures, and pytest loads it automatically. This
module does not need pytest. See ``docs/testing.md``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from datetime import date
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from .config import RetryPolicy, Timeouts
from .errors import ConfigurationError
from .simulator import Device, SimInstruction, Simulator, arguments

__all__ = ["RETRIES", "TIMEOUTS", "PayrocGateway"]

TIMEOUTS: Final = Timeouts(
    connect=2.0,
    request=2.0,
    hold=1.0,
    hold_margin=1.0,
    poll_interval=0.01,
    token=2.0,
    unreachable=3.0,
    cancel_grace=3.0,
)
"""Short timeouts, so that tests of failures end soon; other tests never reach them."""
RETRIES: Final = RetryPolicy(initial=0.01, maximum=0.05, retry_after_maximum=0.1)
"""Short delays between retries, for the same reason."""

LOOK_AGAIN = 0.002

T = TypeVar("T")


class PayrocGateway(Simulator):
    """A `Simulator` in its own thread and event loop, for tests of any kind.

    It serves synchronous and asynchronous tests, and keeps running while the test blocks or stops
    at a breakpoint. It has all attributes of `Simulator`, usable from any thread::

        with PayrocGateway() as gateway:
            gateway.device("1850010868").approves()
            ...  # a session with gateway.environment and gateway.api_key
            gateway.check()

    Args:
        hold: How long a status request is held while nothing changes, in seconds.
        strict_devices: Whether to accept only devices made by `device`, as for `Simulator`.

    Raises:
        ConfigurationError: An argument is wrong. All methods raise it for wrong arguments.
    """

    __slots__ = ("_end", "_left", "_loop", "_may_go_unused", "_may_stay", "_thread")

    def __init__(self, *, hold: float = TIMEOUTS.hold, strict_devices: bool = False) -> None:
        super().__init__(hold=hold, strict_devices=strict_devices)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._may_stay: set[str] = set()
        self._may_go_unused: set[str] = set()
        self._left: dict[str, SimInstruction] = {}

    def __repr__(self) -> str:
        where = self.url if self._loop is not None else "not running"
        count = len(self.requests)
        return f"<{type(self).__name__} {where}, {count} request{'' if count == 1 else 's'}>"

    # The thread ----------

    def __enter__(self) -> Self:
        started: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="payroc gateway", daemon=True
        )
        self._thread.start()
        self._end = started.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        self._thread.join()

    async def _serve(self, started: Future[Callable[[], object]]) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            await super().start()
        except BaseException as error:
            started.set_exception(error)
            return
        self._loop = loop
        started.set_result(lambda: loop.call_soon_threadsafe(ended.set))
        await ended.wait()
        await super().stop()
        self._loop = None

    def _there(self, call: Callable[[], T]) -> T:
        """Call `call` in the gateway's thread; return its result or raise its exception."""
        if self._loop is None or threading.current_thread() is self._thread:
            return call()
        called: Future[T] = Future()

        def act() -> None:
            try:
                called.set_result(call())
            except Exception as error:
                called.set_exception(error)

        # Blocks the test's loop for a moment. Detectors of blocking calls (blockbuster) allow this
        # way of waiting.
        done: SimpleQueue[Future[T]] = SimpleQueue()
        called.add_done_callback(done.put)
        self._loop.call_soon_threadsafe(act)
        return done.get().result()

    async def _awaited(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the gateway is not running: use it in a with statement")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def start(self) -> None:
        """Starts listening again, on the same port, after `stop`.

        Cancellation:
            The gateway may or may not be listening.
        """
        await self._awaited(super().start())

    async def stop(self) -> None:
        """Stops listening and resets every connection. `start` brings the gateway back.

        Cancellation:
            The gateway may or may not be listening.
        """
        await self._awaited(super().stop())

    # What a Simulator does, from any thread ----------

    def device(self, serial_number: str) -> Device:
        """Return the device with this serial number, to be scripted, as `Simulator.device`."""
        return self._there(lambda: super(PayrocGateway, self).device(serial_number))

    def close_batch(self, settlement_date: date | None = None) -> None:
        """Settles every ``ready`` payment and refund, as `Simulator.close_batch`."""
        self._there(lambda: super(PayrocGateway, self).close_batch(settlement_date))

    def decline_next(
        self, operation: str, *, response_code: str = "D", response_message: str = "DECLINED"
    ) -> None:
        """Scripts a decline of the next such change, as `Simulator.decline_next`."""
        self._there(
            lambda: super(PayrocGateway, self).decline_next(
                operation, response_code=response_code, response_message=response_message
            )
        )

    @property
    def unused_declines(self) -> list[str]:
        """The operations of `decline_next` calls that no request has used."""
        return self._there(lambda: super(PayrocGateway, self).unused_declines)

    def expire_pre_authorizations(self) -> None:
        """Expires every ``pending`` payment: it can no longer be captured."""
        self._there(super().expire_pre_authorizations)

    def add_closed_loop_read(
        self, data: Mapping[str, Any], *, processing_terminal_id: str = "1234001"
    ) -> str:
        """Stores a device's read of a closed-loop card, and returns its id."""
        return self._there(
            lambda: super(PayrocGateway, self).add_closed_loop_read(
                data, processing_terminal_id=processing_terminal_id
            )
        )

    def revoke_tokens(self) -> None:
        """Refuses every token issued so far."""
        self._there(super().revoke_tokens)

    def clear(self) -> None:
        """Forgets recorded requests and ended instructions, as `Simulator.clear`."""
        self._there(super().clear)

    @property
    def in_progress(self) -> list[SimInstruction]:
        """The instructions that are ``inProgress``."""
        return self._there(lambda: super(PayrocGateway, self).in_progress)

    # What the gateway has seen ----------

    def instructions_on(self, serial_number: str) -> list[SimInstruction]:
        """Return the accepted submissions to this device, in order: each is one prompt.

        Raises:
            ConfigurationError: With ``strict_devices``, there is no such device.
        """
        self._check_device(serial_number)
        known = self._there(lambda: list(self.instructions.values()))
        return [one for one in known if one.serial_number == serial_number]

    def amounts_on(self, serial_number: str) -> list[int]:
        """Return the amounts of sales and refunds on this device, in order, in the smallest unit.

        Raises:
            ConfigurationError: With ``strict_devices``, there is no such device.
        """
        orders = (one.body.get("order") for one in self.instructions_on(serial_number))
        return [order["amount"] for order in orders if order is not None]

    def keys_on(self, serial_number: str) -> list[str]:
        """Return the idempotency key of each submission to this device, in order.

        A retried submission appears twice, under one key.

        Raises:
            ConfigurationError: With ``strict_devices``, there is no such device.
        """
        self._check_device(serial_number)
        where = f"/devices/{serial_number}/"
        submitted = [one for one in self.requests_of("submit") if where in one.path]
        return [one.headers.get("idempotency-key", "") for one in submitted]

    async def wait_for_instruction(
        self, serial_number: str, *, timeout: float = 5.0
    ) -> SimInstruction:
        """Wait for an instruction in progress on this device, and return it.

        Args:
            serial_number: The device.
            timeout: How long to wait, in seconds.

        Raises:
            AssertionError: No instruction was in progress within that time.
            ConfigurationError: With ``strict_devices``, there is no such device.

        Cancellation:
            The call changes nothing.
        """
        timeout = arguments.seconds("timeout", timeout)
        self._check_device(serial_number)
        device = self.device(serial_number)
        deadline = asyncio.get_running_loop().time() + timeout
        while (found := device.instruction) is None:
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(
                    f"nothing was in progress on device {serial_number} for {timeout} seconds\n"
                    + self.report()
                )
            await asyncio.sleep(LOOK_AGAIN)
        return found

    def may_stay_in_progress(self, serial_number: str) -> None:
        """Lets `check` accept that this device is left with an instruction in progress."""
        self._may_stay.add(self._check_device(serial_number))

    def may_go_unused(self, serial_number: str) -> None:
        """Lets `check` accept unused scripts of this device."""
        self._may_go_unused.add(self._check_device(serial_number))

    def note_left(self) -> None:
        """Records for `check` what is in progress now, before closing a session cancels it."""
        self._left.update({one.id: one for one in self.in_progress})

    def verdict(self) -> str | None:
        """Return the problems that `check` found, with all requests; None if there are none."""
        self.note_left()
        wrong = [
            *self.violations,
            *(f"The test requested something impossible: {one}" for one in self.misuses),
            *(
                f"Instruction {one.id} was left in progress on device {one.serial_number}. If that"
                f" is intended, call may_stay_in_progress({one.serial_number!r})."
                for one in self._left.values()
                if one.serial_number not in self._may_stay
            ),
            *(
                f"The fault {fault.action.kind} on {fault.on} matched no request. If intended, call"
                " remove() on it."
                for fault in list(self.faults.waiting)
                if not fault.hits
            ),
            *(
                f"decline_next() was called for {one}, but no such change was requested."
                for one in self.unused_declines
            ),
            *self._unused(),
            *(
                f"No charge used next_charge({one.response_code!r})."
                for one in list(self._state.office.charges.scripts)
            ),
            *self._excused_strangers(),
        ]
        return "\n".join([*wrong, self.report()]) if wrong else None

    def _unused(self) -> list[str]:
        known = self._there(lambda: {one.serial_number: one.unused() for one in self._devices()})
        return [
            f"No instruction on device {serial_number} used {call}. If none need: "
            f"may_go_unused({serial_number!r})."
            for serial_number, calls in known.items()
            for call in calls
            if serial_number not in self._may_go_unused
        ]

    def _excused_strangers(self) -> list[str]:
        known = {one.serial_number for one in self._there(self._devices)}
        return [
            f"{name}({one!r}) names a device that does not exist."
            for name, excused in (
                ("may_stay_in_progress", self._may_stay),
                ("may_go_unused", self._may_go_unused),
            )
            for one in sorted(excused - known)
        ]

    def _devices(self) -> list[Device]:
        return list(self._state.devices.values())

    def _check_device(self, serial_number: str) -> str:
        arguments.serial("serial_number", serial_number)
        known = [one.serial_number for one in self._there(self._devices)]
        if self.strict_devices and serial_number not in known:
            raise ConfigurationError(
                "serial_number",
                f"there is no device {serial_number}. Registered: {', '.join(known) or 'none'}",
            )
        return serial_number

    def check(self) -> None:
        """Checks that the contract was kept, nothing is in progress, and all scripts were used.

        Raises:
            AssertionError: The contract was violated. Or an instruction is in progress on a device
                that `may_stay_in_progress` does not name. Or the test does not test what it is
                meant to: a fault matched no request, a script or its tip was not used and
                `may_go_unused` does not name the device, or a script or fault was impossible.
        """
        wrong = self.verdict()
        if wrong is not None:
            raise AssertionError(wrong)

    def report(self) -> str:
        """Return all requests with their answers' statuses, one per line, without secrets."""
        lines = ["The gateway saw:"]
        for one in list(self.requests):
            answer = "no answer" if one.status is None else str(one.status)
            struck = f" (fault: {one.fault})" if one.fault else ""
            key = one.headers.get("idempotency-key")
            under = f" under {key}" if key else ""
            lines.append(f"  {one.method} {one.path}{under}: {answer}{struck}")
        return "\n".join(lines if lines[1:] else ["The gateway saw no request."])
