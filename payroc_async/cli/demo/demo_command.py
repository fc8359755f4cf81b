"""``payroc-async demo``: concurrent sales on many devices, under injected faults."""

from __future__ import annotations

import asyncio
import math
import time

from attrs import define, field
from rich.console import Console

from payroc_async import (
    Event,
    Order,
    Payment,
    PaymentInstructionRequest,
    PayrocSession,
    RetryPolicy,
    Submitted,
    Timeouts,
)
from payroc_async.cli.group import INTERRUPTED
from payroc_async.cli.output import SteadyConsole, say_json
from payroc_async.cli.palette import style_of
from payroc_async.cli.signals import on_signal
from payroc_async.simulator import Simulator, status

from .audit import Report, audit
from .cardholders import Tour, Visit, plan
from .live_table import Board, LiveBoard, PlainBoard
from .records import Line, Sale
from .summary import print_summary, report_members

__all__ = ["run_demo"]

LONGEST = 60.0
"""Seconds after which the demo is stopped at any pace: a hanging sale counts as lost."""


def run_demo(*, devices: int, seed: int, pace: float, as_json: bool) -> int:
    """Run the demo, and return its exit code.

    Args:
        devices: How many devices.
        seed: The seed of the mix of cardholders and faults.
        pace: 1 for about ten seconds in all; less is faster.
        as_json: Write one object to stdout, and the display to stderr.

    Returns:
        0; 1 if the audit found a problem; 130 if interrupted.
    """
    console = SteadyConsole(stderr=as_json)
    report, took, interrupted = asyncio.run(_main(console, devices, seed, pace))
    if as_json:
        say_json(
            {
                "devices": devices,
                "seed": seed,
                "seconds": round(took, 1),
                "interrupted": interrupted,
                **report_members(report),
            }
        )
    elif interrupted:
        left = len(report.left_running)
        console.print(f"Interrupted. Instructions left running: {left}", soft_wrap=True)
    else:
        print_summary(console, report, devices=devices, took=took, seed=seed)
    if interrupted and not report.left_running:
        return INTERRUPTED
    return 1 if report.problems else 0


async def _main(
    console: Console, devices: int, seed: int, pace: float
) -> tuple[Report, float, bool]:
    # Shorter than the gateway's 60 s, so that the display shows several polls.
    hold = 1.5 * pace
    async with Simulator(hold=hold) as gateway:
        session = PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            timeouts=Timeouts(hold=hold, poll_interval=0.5 * pace),
            retries=RetryPolicy(
                initial=0.2 * pace, maximum=0.6 * pace, retry_after_maximum=0.8 * pace
            ),
        )
        show = LiveBoard if console.is_terminal else PlainBoard
        board = show(console, devices, gateway.url)
        demo = Demo(gateway, session, board, plan(devices, seed, pace), pace)
        started = time.monotonic()
        interrupted = await _run_until_interrupted(demo, LONGEST)
        took = time.monotonic() - started
        report = audit(
            gateway,
            demo.sales,
            planned=0 if interrupted else demo.planned,
            outage=demo.outage,
        )
    return report, took, interrupted


async def _run_until_interrupted(demo: Demo, longest: float) -> bool:
    task = asyncio.create_task(demo.run(), name="payroc demo")
    interrupted = False

    def stop() -> None:
        nonlocal interrupted
        interrupted = True
        demo.board.say("interrupted: canceling what is running", style_of("yellow", bold=True))
        task.cancel()

    def again() -> None:
        demo.board.say("still canceling", style_of("yellow"))

    with on_signal(stop, again):
        _, late = await asyncio.wait((task,), timeout=longest)
        if late:
            task.cancel()
            await asyncio.wait(late)
    if not task.cancelled():
        task.result()
    return interrupted


@define(eq=False)
class Demo:
    """All devices, their tills and the outage, in one session."""

    gateway: Simulator
    session: PayrocSession
    board: Board
    tours: list[Tour]
    pace: float
    lines: list[Line] = field(factory=list)
    outage: tuple[float, float] = (math.inf, math.inf)
    """When the identity service went down and came back, by `time.monotonic`."""

    @property
    def planned(self) -> int:
        """The planned number of sales."""
        return sum(len(tour.visits) for tour in self.tours)

    @property
    def sales(self) -> list[Sale]:
        """All sales begun so far."""
        return [sale for line in self.lines for sale in line.sales]

    async def run(self) -> None:
        """Run every sale and close the session, while the board displays them."""
        self.lines = [
            Line(tour.serial_number, len(tour.visits), self.board.tell) for tour in self.tours
        ]
        async with self.board.showing(self.lines), self.session, asyncio.TaskGroup() as group:
            for tour, line in zip(self.tours, self.lines, strict=True):
                group.create_task(
                    self._serve_all(group, tour, line), name=f"till {tour.serial_number}"
                )
            group.create_task(self._identity_outage(), name="identity outage")

    async def _serve_all(self, group: asyncio.TaskGroup, tour: Tour, line: Line) -> None:
        for visit in tour.visits:
            await asyncio.sleep(visit.pause)
            await self._serve(group, visit, line)

    async def _serve(self, group: asyncio.TaskGroup, visit: Visit, line: Line) -> None:
        device = self.gateway.device(line.serial_number)
        visit.manner.script(device, visit.amount, visit.after)
        trouble = visit.trouble
        fault = trouble and self.gateway.faults.add(
            trouble.on, trouble.make(self.pace), serial_number=line.serial_number
        )
        sale = Sale(line.serial_number, visit)
        line.sales.append(sale)
        task = group.create_task(self._ring_up(sale, line), name=f"sale {visit.order_id}")
        await asyncio.wait((task,))
        if fault:
            fault.remove()
        if sale.submitted is None:
            device.next_behaviour()  # the script was not used: the next sale has its own
        self.board.ended(line, sale)

    async def _ring_up(self, sale: Sale, line: Line) -> None:
        """Run one sale, and record its end in every case."""
        visit = sale.visit
        task = asyncio.current_task()
        assert task is not None

        def on_event(event: Event) -> None:
            line.note(event)
            if isinstance(event, Submitted) and visit.manner.patience == "till":
                # A till only cancels the task. The SDK cancels the instruction.
                asyncio.get_running_loop().call_later(visit.after, task.cancel)

        payment: Payment | None = None
        error: Exception | None = None
        try:
            payment = await self.session.run_sale(
                sale.serial_number,
                _request(visit),
                timeout=visit.after if visit.manner.patience == "timeout" else None,
                on_event=on_event,
            )
        except Exception as failure:
            error = failure  # the audit decides which of these errors were expected
        finally:
            sale.end(payment, error)

    async def _identity_outage(self) -> None:
        await asyncio.sleep(3.5 * self.pace)
        began = time.monotonic()
        down = self.gateway.faults.add("authorize", status(503), times=None)
        self.gateway.revoke_tokens()
        self.board.say(
            "identity service down (503), and every token revoked", style_of("red", bold=True)
        )
        await asyncio.sleep(0.6 * self.pace)
        if down.hits == 0:
            # With few devices, no sale may have needed a token yet: wait until one does.
            await asyncio.sleep(0.6 * self.pace)
        down.remove()
        self.outage = (began, time.monotonic())
        self.board.say("identity service back", style_of("green", bold=True))


def _request(visit: Visit) -> PaymentInstructionRequest:
    return PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(
            order_id=visit.order_id,
            amount=visit.amount,
            currency="USD",
            accept_partial_amount=True,
        ),
    )
