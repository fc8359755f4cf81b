"""The one task that performs what the lifecycle asks for. It alone talks about its instruction.

Inputs from outside are synchronous steps of the state, which the task reads anew after every await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import cache
from typing import Any, Generic, TypeVar

from payroc_async import models
from payroc_async.cancellation import CancellationGuard
from payroc_async.errors import PayrocError, SessionClosedError
from payroc_async.events import CancelReason, CancelRequested
from payroc_async.journal.writer import EntryWriter
from payroc_async.logs import SUBJECT, get_logger

from .attempt import Attempt
from .entry import InstructionEntry
from .lifecycle import Existence, Outcome, Phase, Seen, State, Wish, clock, step
from .live import LiveInstruction
from .pacing import Pacing
from .report import report

__all__ = ["InstructionRunner"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")
T = TypeVar("T")

REPLAYS_LAST = 10  # times `unreachable`: how long a submission without an id is repeated (C3)
_PAUSE = object()


@cache
def _transition(before: State, seen: Seen, timed: bool) -> tuple[State, bool | None]:
    """The state after something was seen, and what becomes of the time of `unreachable`."""
    after = step(before, seen)
    return after, clock(before, after, seen, timed=timed)


class InstructionRunner(Generic[InstructionT, ResourceT]):
    """Runs one instruction until it has ended, in a task of its own.

    Args:
        live: The instruction.
        entry: Its entry in the journal, if another process has begun it.
    """

    def __init__(
        self, live: LiveInstruction[InstructionT, ResourceT], entry: EntryWriter | None = None
    ) -> None:
        self.live = live
        self.services = live.services
        self.waiting = 0  # callers that wait for the report
        self.waiting_canceled = 0  # those of them that were canceled, and can't be given it
        self.recovered = entry is not None
        self.on_end: Callable[[InstructionRunner[Any, Any]], object]  # set before the start
        self._found = entry
        self._cancel_announced = False
        self._is_finished = self._is_over = False
        self._awaiting: object = None  # what the task waits for and may be interrupted in
        self._counting = False  # whether the time of `unreachable` is running
        self._timer: asyncio.TimerHandle | None = None

    # From outside ----------

    def start(self) -> None:
        """Start the task, in the running loop."""
        self.loop = asyncio.get_running_loop()
        self.reported: asyncio.Future[None] = self.loop.create_future()
        self.pacing = Pacing(self.loop, self.services.timeouts, self.services.retries)
        self._attempt = Attempt(self.live, self.pacing, self.interruptible)
        # One for all: each that asyncio makes by itself is another copy.
        context = self._context = copy_context()
        context.run(SUBJECT.set, self.live.identity)
        identity = self.live.identity
        about = identity.serial_number or identity.instruction_id
        name = f"payroc {identity.kind} instruction, {about}"
        self.task = self.loop.create_task(self._run(), name=name, context=context)
        identity.task = self.task
        self._guard = CancellationGuard(self.task, self._on_loop_shutdown)
        if self.live.options.timeout is not None:
            self._timer = self.loop.call_later(
                self.live.options.timeout, self.cancel, "timeout", context=context
            )
        self._entry = InstructionEntry(self.live, self._found, self._guard, self.feed)
        # Also where the task is canceled before its first step, and never runs.
        self.task.add_done_callback(self._done, context=context)

    def accepted(self) -> asyncio.Future[None]:
        """Done once the gateway has accepted the instruction, or its outcome is reported."""
        if self.live.acceptance is None:
            self.live.acceptance = self.loop.create_future()
            if self.live.state.existence is Existence.KNOWN or self.reported.done():
                self.live.acceptance.set_result(None)
        return self.live.acceptance

    def cancel(self, reason: CancelReason) -> None:
        """Want the instruction canceled. The first reason stays."""
        if self.live.cancel_reason is None and self.live.state.wish < Wish.CANCEL:
            self.live.cancel_reason = reason
        self.hurry()
        self.feed(Seen.CANCEL)

    def cancel_or_detach(self, reason: CancelReason) -> None:
        """Cancel the instruction or leave it running, as ``on_cancel`` says."""
        if self.live.state.detachable:
            self.hurry()
            self.feed(Seen.DETACH)
        else:
            self.cancel(reason)

    def hurry(self) -> None:
        """Begin the grace anew, and send at once what waits for its next attempt (C2)."""
        self.pacing.hurry()
        if self._awaiting is _PAUSE:
            self._guard.interrupt()
        elif self._awaiting is not None and self.live.state.wish is Wish.CANCEL:
            self._shorten()

    def join(self) -> None:
        """A caller waits again for an instruction whose caller was released."""
        if (
            self.reported.done()
            and not self.task.done()
            and self.live.state.phase is not Phase.ENDED
        ):
            self.reported = self.loop.create_future()
            self.live.error = None
            if self._awaiting is _PAUSE:
                self._guard.interrupt()  # look again at once, or at what another runner has found
        self.feed(Seen.JOINED)

    def abort(self) -> None:
        """End now: what is not known is reported as unknown."""
        self.feed(Seen.ABORT)

    def kill(self) -> None:
        """End the task now, whatever it leaves undone."""
        self._guard.kill()

    def _on_loop_shutdown(self) -> None:
        """Somebody ends all tasks of the loop: end as a caller's cancellation would, and soon."""
        self.cancel_or_detach("caller")
        self.feed(Seen.ALONE)
        self.loop.call_later(self.services.timeouts.cancel_grace, self.abort)

    # The state ----------

    def feed(self, seen: Seen) -> None:
        """Take a step, at once, and interrupt what is awaited if it is of no use any more."""
        if self._is_over:
            return  # a handle of a caller's, or a timer, outlives the task
        before = self.live.state
        after, anew = _transition(before, seen, self.live.options.timeout is not None)
        self.live.state = after
        if after.wish is not before.wish:
            self.pacing.hurry()
            if after.wish is Wish.CANCEL:
                self.live.cancel_reason = self.live.cancel_reason or "gave up"
                self._entry.write_wish()
        if self._awaiting is not None and (after.phase, after.wish) != (before.phase, before.wish):
            breakable = self._awaiting is _PAUSE or before.phase in (Phase.PREPARE, Phase.POLL)
            if breakable or after.phase is Phase.ENDED:
                self._guard.interrupt()
            elif after.wish is Wish.CANCEL:
                self._shorten()
        if anew is False:
            self._stop_counting()
        elif anew or not self._counting:
            self._counting = True
            self.services.unreachable.set(self._ring, self.loop)

    def _shorten(self) -> None:
        """C2: wait for the request in flight only a fraction of what remains of the grace."""
        patience = self.pacing.patience(self.live.state.phase, self.live.state.wish)
        if patience is not None:
            self.loop.call_later(patience, self._cut, self._awaiting)

    def _cut(self, awaited: object) -> None:
        if self._awaiting is awaited:
            self._guard.interrupt()

    def _stop_counting(self) -> None:
        if self._counting:
            self._counting = False
            self.services.unreachable.stop(self._ring)

    def _ring(self) -> None:
        if self._counting:
            self._context.run(self.give_up)

    def give_up(self) -> None:
        """`unreachable`: release the caller. The run goes on unless it can be left (C3)."""
        self._stop_counting()
        self.feed(Seen.UNREACHABLE)
        if self.live.state.phase is not Phase.ENDED:
            last = REPLAYS_LAST * self.services.timeouts.unreachable
            self.loop.call_later(last, self.feed, Seen.REPLAYS_OVER)
            if not self.reported.done():
                report(self.live, Outcome.UNKNOWN)
                self._release()

    # The task ----------

    async def _run(self) -> None:
        try:
            while self.live.state.phase is not Phase.ENDED or not await self._is_end_durable():
                await self._advance()
        except Exception as error:
            logger.exception("the instruction's task failed")
            self.live.failure = error
            self.feed(Seen.ABORT)
        self._finish()
        if self._guard.canceled_externally:
            raise asyncio.CancelledError

    async def _is_end_durable(self) -> bool:
        """Write the end (J4). If that fails, it may be another end, or none."""
        if not await self._entry.close(self.live.state):
            self.feed(Seen.NOT_DURABLE)
        return self._is_in(Phase.ENDED)

    def _is_in(self, phase: Phase) -> bool:
        return self.live.state.phase is phase

    async def _advance(self) -> None:
        """Make the state durable, then do what its phase says, once."""
        state = self.live.state
        if state.phase is Phase.PREPARE:
            await self._prepare()
            return
        id_ = self.live.identity.instruction_id
        if id_ is not None:
            other = self.services.runners.setdefault(id_, self)
            if other is not self:
                await self._wait_for(other)
                return
        if self._entry.is_behind(state):
            await self._entry.make_durable(state)
            if self.live.state is not state or self._entry.is_behind(state):
                return
        if state.phase is Phase.CANCEL:
            self._announce_cancellation()
        if state.phase is Phase.SUBMIT and not self._attempt.may_submit:
            self.feed(Seen.REPLAYS_OVER)
            return
        seen, delay = await self._attempt.make(state)
        if seen is not None:
            self.feed(seen)
            if seen is Seen.UNCLEAR and self._attempt.exhausted and not self.live.state.wish:
                self.give_up()
        if delay > 0 and not self._is_in(Phase.ENDED):
            await self.interruptible(asyncio.sleep(delay), _PAUSE)

    async def _wait_for(self, other: InstructionRunner[Any, Any]) -> None:
        """P2: the session polls this instruction already, begun by its id or by its key."""
        self._stop_counting()
        if self.live.state.wish is Wish.CANCEL:
            other.cancel(self.live.cancel_reason or "gave up")
        found = other.task if self.reported.done() else other.reported
        await self.interruptible(asyncio.wait((found,)), _PAUSE)
        if other.reported.done() and not (other.task.done() or self.reported.done()):
            self.give_up()  # as the other has

    async def _prepare(self) -> None:
        """Get a token, without which nothing can leave, and make the intent durable."""
        try:
            provider = self.services.transport.token_provider
            if provider.at_hand() is None:
                await self.interruptible(provider.get())
            if self._is_in(Phase.PREPARE):
                self.feed(await self._entry.begin())
        except (PayrocError, TimeoutError) as error:
            self.live.failure = error
            self.feed(Seen.HOPELESS)

    async def interruptible(
        self, awaitable: Awaitable[T], what: object = None, *, patience: float | None = None
    ) -> T | None:
        """Await what a change of the state, or the end of patience, may interrupt: then None."""
        awaited = self._awaiting = what or object()
        timer = None if patience is None else self.loop.call_later(patience, self._cut, awaited)
        try:
            return await awaitable
        except asyncio.CancelledError:
            # What follows from a cancellation, as a wish does, must not interrupt the next await.
            self._awaiting = None
            if not self._guard.settle():
                raise
            return None
        finally:
            self._awaiting = None
            if timer is not None:
                timer.cancel()
            self._guard.settle()

    # Small things ----------

    def _announce_cancellation(self) -> None:
        if not self._cancel_announced:
            self._cancel_announced = True
            logger.info("canceling at the gateway: %s", self.live.cancel_reason)
            self.live.emit(CancelRequested, reason=self.live.cancel_reason)

    # The end ----------

    def _finish(self) -> None:
        """Report the outcome, and release the device before the caller goes on."""
        if self._timer is not None:
            self._timer.cancel()
        self._stop_counting()
        report(self.live, self.live.state.outcome)
        self.on_end(self)
        id_ = self.live.identity.instruction_id
        if id_ is not None and self.services.runners.get(id_) is self:
            del self.services.runners[id_]
        self._release()
        self._is_finished = True

    def _release(self) -> None:
        if not self.reported.done():
            self.reported.set_result(None)
        if self.live.acceptance is not None and not self.live.acceptance.done():
            self.live.acceptance.set_result(None)

    def _done(self, task: asyncio.Task[None]) -> None:
        """The task has ended, perhaps before its first step, or killed."""
        self._guard.release()
        self.live.identity.task = None
        if not self._is_finished:
            self.live.failure = SessionClosedError("the instruction's task was ended early")
            self.feed(Seen.ABORT)
            if self._entry.may_stand:  # J4: its end may not be on disk
                self.feed(Seen.NOT_DURABLE)
                self.feed(Seen.ABORT)
            self._entry.defer_release()
            self._finish()
        self._entry.ended()
        self._is_over = True
        del self._attempt, self._entry  # or only the garbage collector would free all of this
