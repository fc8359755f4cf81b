"""Sales in random order under random faults, each held against what the gateway knows.

``python -m tests.tools.soak --sales 10000`` prints the counts; a short run belongs to the suite.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from uuid import uuid4

from attrs import define, field

from payroc_async import (
    APIError,
    DeviceBusyError,
    Event,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    OutcomeUnknownError,
    Payment,
    PayrocSession,
    ResultReceived,
    RetryPolicy,
    SessionClosedError,
    Submitted,
    Timeouts,
    TransportError,
)
from payroc_async.simulator import (
    FaultAction,
    SimInstruction,
    Simulator,
    delay,
    drop_after,
    drop_before,
    edit,
    empty,
    garbage,
    hang,
    hang_after,
    html,
    problem,
    rate_limited,
    redirect,
    revoke_token,
    status,
    truncated,
    wrong_content_type,
)
from tests.conftest import sale

TIMES = Timeouts(
    connect=5.0,
    request=1.0,
    hold=0.2,
    hold_margin=0.5,
    poll_interval=0.005,
    token=5.0,
    unreachable=3.0,
    cancel_grace=5.0,
)
RETRIES = RetryPolicy(initial=0.01, maximum=0.05, retry_after_maximum=0.05)
HANGS_AFTER = 60.0
"""Seconds after which a sale counts as hung: more than all its bounds together."""


def _without_link(data: dict[str, object]) -> object:
    return {name: value for name, value in data.items() if name != "link"}


def _faults(rng: random.Random) -> tuple[str, FaultAction]:
    """A request of a sale, and what happens to it."""
    on = rng.choice(["authorize", "submit", "submit", "status", "status", "cancel", "payment"])
    faults = [
        drop_before(),
        drop_after(),
        hang(),
        hang_after(),
        delay(rng.uniform(0, 0.3)),
        status(rng.choice([408, 500, 502, 503, 504]), effect=rng.random() < 0.5),
        rate_limited(rng.choice([None, "0", "1"])),
        truncated(),
    ]
    if on != "cancel":  # whose answer's body is no one's business: these would be lies, not faults
        faults += [html(), garbage(), empty(), wrong_content_type(), redirect("http://127.0.0.1:9")]
    if on != "authorize":
        faults += [revoke_token(), problem(401, "not-authorized")]
    if on in ("submit", "payment"):
        faults.append(problem(rng.choice([403, 404]), "not-found"))
    if on == "status":
        faults += [
            edit(_without_link),
            edit(lambda data: {**data, "status": "pondering"}),
            edit(lambda data: {**data, "paymentInstructionId": "another"}),
        ]
    return on, rng.choice(faults)


@define
class Soak:
    """One run: its parts, and what was counted."""

    seed: int
    sales: int
    devices: int
    gateway: Simulator = field(init=False)
    session: PayrocSession = field(init=False)
    counts: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)
    keys: dict[str, list[SimInstruction]] = field(factory=dict)
    logged: set[str] = field(factory=set)
    """The keys of the sales that an ERROR was logged about."""
    closing: list[asyncio.Task[object]] = field(factory=list)
    _indexed: int = 0

    async def run(self) -> None:
        """Run all sales, then look for what is left."""
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: self.logged.add(  # type: ignore[method-assign]
            getattr(record, "idempotency_key", "")
        )
        logger = logging.getLogger("payroc_async")
        logger.addHandler(handler)
        try:
            await self._run()
        finally:
            logger.removeHandler(handler)

    async def _run(self) -> None:
        rng = random.Random(self.seed)
        async with Simulator(hold=TIMES.hold) as self.gateway:
            self.session = await self._open()
            chaos = asyncio.create_task(self._chaos(random.Random(rng.random())))
            shares = [
                self.sales // self.devices + (n < self.sales % self.devices)
                for n in range(self.devices)
            ]
            async with asyncio.TaskGroup() as tills:
                for n, share in enumerate(shares):
                    tills.create_task(self._till(f"device{n}", share, random.Random(rng.random())))
            chaos.cancel()
            self.gateway.faults.clear()
            await asyncio.gather(*self.closing, self.session.aclose())
            for _ in range(100):
                if not self.gateway.open_requests:
                    break
                await asyncio.sleep(0.02)
            self._expect(not self.gateway.in_progress, "instructions left running")
            self._expect(not self.gateway.open_requests, "requests left open")
            self.wrong += self.gateway.violations
            self.counts["instructions"] = len(self.gateway.instructions)
            self.counts["requests"] = len(self.gateway.requests)
            doubled = [key for key, made in self._index() if len(made) > 1]
            self.counts["doubled"] = len(doubled)
            self.wrong += [f"{key}: two instructions" for key in doubled]

    async def _open(self) -> PayrocSession:
        return await PayrocSession(
            self.gateway.api_key,
            environment=self.gateway.environment,
            timeouts=TIMES,
            retries=RETRIES,
        ).open()

    async def _chaos(self, rng: random.Random) -> None:
        """Faults all the time, tokens revoked, the identity service down, the session replaced."""
        while True:
            await asyncio.sleep(rng.uniform(0, 0.02))
            # A share of the requests, so that there is not nothing but faults.
            if self.counts["faults"] > 0.1 * len(self.gateway.requests):
                continue
            on, fault = _faults(rng)
            self.gateway.faults.add(on, fault, times=rng.choice([1, 1, 2, 3]))
            self.counts["faults"] += 1
            if rng.random() < 0.02:
                self.gateway.revoke_tokens()
            if rng.random() < 0.01:
                self.gateway.faults.add("authorize", status(503), times=rng.randint(1, 10))
            if rng.random() < 0.01:
                self.counts["sessions closed"] += 1
                old, self.session = self.session, await self._open()
                self.closing.append(asyncio.create_task(old.aclose()))

    def _expect(self, held: bool, what: str) -> None:
        if not held:
            self.wrong.append(what)

    def _index(self) -> Iterator[tuple[str, list[SimInstruction]]]:
        for made in islice(self.gateway.instructions.values(), self._indexed, None):
            self.keys.setdefault(made.idempotency_key or "", []).append(made)
            self._indexed += 1
        return iter(self.keys.items())

    def _made(self, key: str) -> SimInstruction | None:
        self._index()
        made = self.keys.get(key)
        return made[0] if made else None

    async def _till(self, serial_number: str, share: int, rng: random.Random) -> None:
        for n in range(share):
            device = self.gateway.device(serial_number)
            after = rng.choice([0.0, 0.0, rng.uniform(0, 0.1), rng.uniform(0, 0.5)])
            scripts: list[Callable[[], object]] = [
                partial(device.approves, after),
                partial(device.approves, after),
                partial(device.declines, after),
                partial(device.approves_partially, 1, after),
                partial(device.fails, "no paper", after),
                partial(device.cardholder_cancels, after),
                device.never_finishes,
                device.completes_on_cancel,
                device.is_offline,
            ]
            rng.choice(scripts)()
            await self._sell(serial_number, f"{serial_number}-{n}", rng)

    async def _sell(self, serial_number: str, order_id: str, rng: random.Random) -> None:
        key = str(uuid4())
        events: list[Event] = []
        session = self.session
        patience = rng.choice([None, rng.uniform(0, 0.5)])
        on_cancel = rng.choice(["cancel", "cancel", "detach"])
        task = asyncio.create_task(
            session.run_sale(
                serial_number,
                sale(order_id=order_id),
                idempotency_key=key,
                # A device that never finishes needs somebody who loses patience.
                timeout=rng.uniform(0.1, 0.6) if patience is None else None,
                on_cancel=on_cancel,  # type: ignore[arg-type]
                on_event=events.append,
            )
        )
        done, _ = await asyncio.wait({task}, timeout=patience or HANGS_AFTER)
        while not done:
            if patience is None:
                self.counts["hung"] += 1
                self.wrong.append(f"{order_id}: hung")
                return
            for _ in range(rng.choice([1, 1, 2, 5])):
                task.cancel()
                await asyncio.sleep(0)
            patience = None
            done, _ = await asyncio.wait({task}, timeout=HANGS_AFTER)
        await self._hold_against_the_gateway(task, key, order_id, serial_number, events)

    async def _hold_against_the_gateway(
        self,
        task: asyncio.Task[Payment],
        key: str,
        order_id: str,
        serial_number: str,
        events: list[Event],
    ) -> None:
        if task.cancelled():
            await self._after_cancellation(key, order_id, serial_number, events)
            return
        error = task.exception()
        self.counts[type(error).__name__ if error else "Payment"] += 1
        made = self._made(key)
        if error is None:
            self._right_payment(task.result(), made, order_id)
        elif isinstance(error, OutcomeUnknownError) and not error.may_have_taken_effect:
            # Unknown to the session alone: here it is known that the key is fresh.
            self._expect(made is None, f"{order_id}: {error}, but an instruction exists")
        elif isinstance(error, OutcomeUnknownError):
            await self._find_out(error.instruction_id, key, order_id, serial_number)
        elif isinstance(error, InstructionFailedError):
            self._expect(made is not None and made.status == "failure", f"{order_id}: {error}")
        elif isinstance(error, InstructionCanceledError | InstructionTimeoutError):
            self._expect(made is None or made.status == "canceled", f"{order_id}: {error}")
        elif isinstance(error, APIError | TransportError | SessionClosedError | DeviceBusyError):
            self._expect(made is None, f"{order_id}: {error!r}, but an instruction exists")
        else:
            self.wrong.append(f"{order_id}: {error!r}")

    async def _after_cancellation(
        self, key: str, order_id: str, serial_number: str, events: list[Event]
    ) -> None:
        self.counts["CancelledError"] += 1
        made = self._made(key)
        if made is None:
            return
        submitted = any(isinstance(event, Submitted) for event in events)
        told = any(isinstance(event, ResultReceived) for event in events)
        if made.status == "inProgress" or (made.status == "completed" and not told):
            # Right only if it was left running on purpose, or the grace was over and the log says
            # so: in both cases it can be found out.
            self.counts["reported by the log alone"] += not submitted
            known = submitted or key in self.logged
            self._expect(known, f"{order_id}: left behind without a word")
            await self._find_out(made.id if submitted else None, key, order_id, serial_number)

    async def _find_out(
        self, instruction_id: str | None, key: str, order_id: str, serial_number: str
    ) -> None:
        """What a till does after an unknown outcome: ask until it is known."""
        self.counts["found out later"] += 1
        for _ in range(20):
            if self.closing:
                # A session that still closes may ask for the status of the same instruction.
                await asyncio.wait(self.closing)
            try:
                if instruction_id is None:
                    payment = await self.session.run_sale(
                        serial_number,
                        sale(order_id=order_id),
                        idempotency_key=key,
                        timeout=1.0,
                    )
                else:
                    payment = await self.session.resume_sale(instruction_id, timeout=1.0).result()
            except OutcomeUnknownError as error:
                if not error.may_have_taken_effect and self._made(key) is None:
                    return  # refused, and indeed nothing was ever made
                instruction_id = error.instruction_id
            except (InstructionFailedError, InstructionCanceledError, InstructionTimeoutError):
                made = self._made(key)
                self._expect(
                    made is None or made.status in ("failure", "canceled"),
                    f"{order_id}: reported as ended without a payment, but it is not",
                )
                return
            except (APIError, TransportError, SessionClosedError, DeviceBusyError) as error:
                if isinstance(error, APIError) and self._made(key) is None:
                    return  # refused, and indeed nothing was ever made
                await asyncio.sleep(0.02)
            else:
                self._right_payment(payment, self._made(key), order_id)
                return
        self.counts["lost"] += 1
        self.wrong.append(f"{order_id}: its outcome could not be found out")

    def _right_payment(self, payment: Payment, made: SimInstruction | None, order_id: str) -> None:
        right = (
            made is not None
            and made.status == "completed"
            and made.payment_id == payment.payment_id
            and payment.order.order_id == order_id
        )
        self._expect(right, f"{order_id}: another payment than the gateway's")


async def soak(seed: int, sales: int, devices: int = 20) -> Soak:
    """One run, with its counts and all that went wrong."""
    run = Soak(seed=seed, sales=sales, devices=devices)
    await run.run()
    return run


def main() -> int:
    """The command: prints the counts; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sales", type=int, default=10_000)
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    logging.lastResort = None  # there will be thousands of warnings
    print(f"seed {options.seed}")
    run = asyncio.run(soak(options.seed, options.sales, options.devices))
    for name in ("doubled", "hung", "lost"):
        run.counts.setdefault(name, 0)
    for name, count in sorted(run.counts.items()):
        print(f"{count:>8}  {name}")
    print(f"{len(run.wrong):>8}  wrong")
    for what in run.wrong[:20]:
        print("  ", what)
    return 1 if run.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
