"""An instruction's life: submit, view its status until it ends, follow the link; or cancel it.

Each instruction is driven by one task, which alone talks to the gateway about it: so that one
status request at a time is a matter of course, and a caller's cancellation never interrupts what
must not be left half done. Callers wait for that task from outside (``handles.py``).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from attrs import evolve

from . import models
from .codec import order_id_in
from .config import RetryPolicy, Timeouts
from .errors import (
    APIError,
    IdempotencyKeyInUseError,
    InstructionCanceledError,
    InstructionError,
    InstructionFailedError,
    InstructionTimeoutError,
    LeaseLost,
    NotFoundError,
    OutcomeUnknownError,
    PayrocError,
    RequestTimeoutError,
    SessionClosedError,
)
from .events import (
    Canceled,
    CancelReason,
    CancelRequested,
    Completed,
    Event,
    Failed,
    Retrying,
    Settled,
    StillInProgress,
    Submitted,
)
from .journal import EntryState
from .kinds import Kind
from .logs import find_subject_with, get_logger
from .models.enums import InstructionStatus
from .protocol import (
    Answer,
    cancel_request,
    decipher_instruction,
    decipher_resource,
    decipher_success,
    follow_link,
    status_request,
    submit_request,
)
from .records import Record, Records
from .retry import Backoff, backoff_delay, may_have_taken_effect, worth_retrying
from .tasks import Steps
from .transport import Transport

__all__ = ["ENDED", "InstructionRun", "OnCancel", "OnEvent"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")
T = TypeVar("T")

OnCancel = Literal["cancel", "detach"]
"""What the cancellation of an awaiting task does to its instruction."""
OnEvent = Callable[[Event], object]
"""Called inline with each event; what it raises is logged."""

ENDED = frozenset(
    (InstructionStatus.COMPLETED, InstructionStatus.FAILURE, InstructionStatus.CANCELED)
)

PROXIES_BELIEVED = 10
"""Times `Timeouts.unreachable` for which a proxy's word alone, 504 for every status request, passes
for a sale that is still in progress."""


class InstructionRun(Generic[InstructionT, ResourceT]):
    """Drives one instruction to its end, in a task of its own.

    Given are either ``body`` and ``idempotency_key``, to submit it, or ``instruction_id``. With the
    ``record`` of another process it goes on where that one has ended: it may have been submitted.
    """

    __slots__ = (
        "_acceptance",
        "_ambiguous",
        "_believe_proxies_until",
        "_body",
        "_cancel_reason",
        "_detaching",
        "_give_up_at",
        "_is_accepted",
        "_key_is_callers",
        "_loop",
        "_may_exist",
        "_on_cancel",
        "_on_event",
        "_record",
        "_records",
        "_retries",
        "_steps",
        "_timeout",
        "_timeouts",
        "_transport",
        "_unknown_status_logged",
        "error",
        "idempotency_key",
        "instruction",
        "instruction_id",
        "kind",
        "on_end",
        "request",
        "resource",
        "serial_number",
        "task",
        "unwatched",
    )

    def __init__(
        self,
        kind: Kind[InstructionT, ResourceT],
        transport: Transport,
        *,
        timeouts: Timeouts,
        retries: RetryPolicy,
        serial_number: str | None = None,
        request: object = None,
        body: bytes = b"",
        idempotency_key: str | None = None,
        key_is_callers: bool = False,
        instruction_id: str | None = None,
        timeout: float | None = None,
        on_cancel: OnCancel = "cancel",
        on_event: OnEvent | None = None,
        records: Records | None = None,
        record: Record | None = None,
    ) -> None:
        self.kind = kind
        self.serial_number = serial_number
        self.request = request
        self.idempotency_key = idempotency_key
        self.instruction_id = instruction_id
        self.instruction: InstructionT | None = None
        """The instruction as the gateway showed it last."""
        self.resource: ResourceT | None = None
        self.error: Exception | None = None
        self._transport = transport
        self._timeouts = timeouts
        self._retries = retries
        self._body = body
        self._key_is_callers = key_is_callers
        self._timeout = timeout
        self._on_cancel = on_cancel
        self._on_event = on_event
        self._records = records
        self._record = record
        """Its line in the journal, from the moment that it has one."""
        self._may_exist = instruction_id is not None or record is not None
        """Whether the gateway may know the instruction: then its outcome must be told."""
        self._ambiguous = self._may_exist
        """Whether a try of the submission was lost that may have arrived."""
        self._give_up_at = math.inf
        self._believe_proxies_until = math.inf
        self._cancel_reason: CancelReason | None = None
        self._detaching = False
        self._steps = Steps(on_stranger=self._stranger)
        self._acceptance: asyncio.Future[None] | None = None
        self._is_accepted = False
        self.on_end: Callable[[InstructionRun[Any, Any]], object]
        """Told when the task has ended, in whatever way; set before the start."""
        self.unwatched = False
        """Set when the caller has gone on without waiting for the end."""
        self._unknown_status_logged = False

    # From outside ----------

    def start(self) -> None:
        """Start the driving task, in the running loop."""
        self._loop = asyncio.get_running_loop()
        about = self.serial_number or self.instruction_id
        context = copy_context()  # one for all: each that asyncio makes by itself is another copy
        self.task = self._loop.create_task(
            self._drive(), name=f"payroc {self.kind.noun} instruction, {about}", context=context
        )
        self._steps.belong_to(self.task)
        _RUNS[self.task] = self
        # Also when the task is cancelled before its first step, in which it never runs.
        self.task.add_done_callback(self._ended, context=context)

    def accepted(self) -> asyncio.Future[None]:
        """Done once the gateway has accepted the instruction, or the task has ended."""
        if self._acceptance is None:
            self._acceptance = self._loop.create_future()
            if self._is_accepted or self.task.done():
                self._acceptance.set_result(None)
        return self._acceptance

    def listen(self, listener: OnEvent) -> None:
        """Have a listener, which never raises, told of each event before the caller's own is."""
        callers = self._on_event

        def tell(event: Event) -> None:
            listener(event)
            if callers is not None:
                callers(event)

        self._on_event = tell

    def request_cancel(self, reason: CancelReason) -> None:
        """Have it cancelled at the gateway, unless it has ended. The first reason stays."""
        if self._cancel_reason is None:
            self._cancel_reason = reason
            self._steps.interrupt()

    def let_go(self, reason: CancelReason) -> None:
        """Nobody waits any more: cancel it or leave it running, as ``on_cancel`` says."""
        if self._on_cancel == "cancel":
            self.request_cancel(reason)
        else:
            self._detaching = True
            self._steps.interrupt()

    def abort(self) -> None:
        """End the task now, whatever it leaves undone."""
        self._steps.abort()

    def _ended(self, task: asyncio.Task[None]) -> None:
        del _RUNS[task]
        self._steps.ended()
        if self.resource is None and self.error is None:
            ended = SessionClosedError("its task was ended before it was seen to its end")
            self.error = self._unknown(ended) if self._may_exist else self._canceled_unsent()
            if self._record is not None:
                (self._record.owe_release if self._may_exist else self._record.owe_unsent)()
        self._accepted()
        self.on_end(self)

    # The life of an instruction ----------

    async def _drive(self) -> None:
        timer = None
        if self._timeout is not None:
            timer = self._loop.call_later(self._timeout, self.request_cancel, "timeout")
        try:
            self.resource = await self._life()
        except InstructionError as error:
            self.error = error
        except Exception as error:
            self.error = self._unknown(error) if self._may_exist else error
        finally:
            if timer is not None:
                timer.cancel()
        if self._record is not None:
            await self._steps.insist(self._record_end)
        self._log_end()
        if self._steps.cancelled_by_stranger:
            raise asyncio.CancelledError

    async def _life(self) -> ResourceT:
        """Submit, view the status until it ends, follow the link: the seed's three steps."""
        if self.instruction_id is None:
            await self._submit()
        elif self._records is not None and self._record is None:
            await self._steps.insist(self._adopt_record)
        try:
            instruction = await self._view_status_until_it_ends()
        except Exception as error:
            instruction = await self._cancel_unseen(error)
        if instruction is None:
            if self._cancel_reason is None:
                raise PayrocError("it was left running on purpose")
            instruction = await self._cancel(self._timeouts.unreachable)
        return await self._conclude(instruction)

    async def _submit(self) -> None:
        """Step 1: submit the instruction to the device, under one key, whatever is lost."""
        # Without a token nothing can leave: until there is one, the sale can simply be dropped.
        with self._steps.interruptible:
            await self._transport.bearer.get()
        if self._unwanted() and not self._may_exist:
            raise self._canceled_unsent()
        assert self.serial_number is not None
        assert self.idempotency_key is not None
        if self._records is not None and self._record is None:
            await self._steps.insist(self._begin_record)
            if self.instruction_id is not None:
                self._submitted()
                return
            if self._unwanted():
                raise self._canceled_unsent()
        if self._ambiguous:
            self._give_up_after(self._timeouts.unreachable)
        request = submit_request(self.kind, self.serial_number, self._body, self.idempotency_key)
        self._may_exist = True
        try:
            self.instruction = await self._persist(
                lambda: self._transport.call(
                    request,
                    self._decipher,
                    backoff=lambda: self._backoff(self._keep_submitting),
                ),
                lambda error: self._ambiguous and self._worthwhile(error),
            )
        except PayrocError as error:
            # Asked here too: an application may have switched stamina off, which then asks nobody.
            refused = not may_have_taken_effect(error) and not self._ambiguous
            self._may_exist = not (refused or _refuses_for_good(error))
            if not self._may_exist and self._unwanted():
                raise self._canceled_unsent() from error
            if not self._may_exist and self._may_be_begun_before(error):
                # An entry that is this call's alone has ended: recovery must not send it later,
                # when the gateway has forgotten whose the key was.
                self._may_exist = self._record is not None and self._record.entry.fence > 1
                unknown = self._unknown(error)
                unknown.may_have_taken_effect = isinstance(error, IdempotencyKeyInUseError)
                raise unknown from error
            raise
        self.instruction_id = self.instruction.instruction_id
        self._submitted()
        if self._record is not None:
            await self._steps.insist(self._record_submission)

    def _may_be_begun_before(self, refusal: PayrocError) -> bool:
        """Whether there may be an instruction of an earlier call, of which this one's refusal says
        nothing: 409 may come of that very instruction, 401 and 403 of a key that was changed.
        """
        if _refuses_for_good(refusal):
            return False
        if isinstance(refusal, IdempotencyKeyInUseError):
            return True
        if self._record is not None:  # it knows; what it keeps unfinished will be recovered
            return self._record.entry.fence > 1
        return self._key_is_callers and isinstance(refusal, APIError)

    def _submitted(self) -> None:
        self._emit(Submitted)
        logger.debug("accepted by the gateway")
        self._accepted()

    def _accepted(self) -> None:
        self._is_accepted = True
        if self._acceptance is not None and not self._acceptance.done():
            self._acceptance.set_result(None)

    def _keep_submitting(self, error: Exception, failures: int) -> bool:
        if may_have_taken_effect(error) and not self._ambiguous:
            # A device may be asking for a card now: this can't be left open after a few tries.
            self._ambiguous = True
            self._give_up_after(self._timeouts.unreachable)
        if self._ambiguous:
            # Where nobody waits to be told, no refusal of a later try may leave it to itself.
            insist = self._unwanted() and not _refuses_for_good(error)
            return self._in_time() and (insist or worth_retrying(error))
        within = failures < self._retries.attempts and not self._unwanted()
        return within and worth_retrying(error)

    async def _view_status_until_it_ends(self) -> InstructionT | None:
        """Step 2: one status request after the other; None if it is to be cancelled or left."""
        self._give_up_at = math.inf
        self._good_answer()
        while self.instruction is None or self.instruction.status not in ENDED:
            if self._unwanted():
                return None
            with self._steps.interruptible:
                await self._view_status()
        return self.instruction

    async def _view_status(self) -> None:
        """One status request, held by the gateway; what fails in passing is tried again."""
        assert self.instruction_id is not None
        asked = self._loop.time()
        try:
            self.instruction = await self._transport.call(
                status_request(self.kind, self.instruction_id),
                self._decipher,
                held=True,
                backoff=self._asking_backoff,
            )
        except PayrocError as error:
            held = self._loop.time() - asked >= self._timeouts.poll_interval
            if isinstance(error, APIError) and _no_change(error) and held:
                # A proxy that loses patience after a while: somebody is there. One that answers so
                # at once shows no such thing, nor does silence.
                self._proxys_answer()
            if not worth_retrying(error) or self._loop.time() >= self._give_up_at:
                raise
            if _no_change(error):
                self._emit(StillInProgress)
        else:
            self._good_answer()
            if self.instruction.status in ENDED:
                return
            self._note_unknown_status(self.instruction.status)
            self._emit(StillInProgress)
        await asyncio.sleep(max(0.0, asked + self._timeouts.poll_interval - self._loop.time()))

    def _decipher(self, answer: Answer) -> InstructionT:
        return decipher_instruction(self.kind, answer, self.instruction_id)

    def _asking_backoff(self) -> Backoff:
        return self._backoff(self._keep_asking)

    def _keep_asking(self, error: Exception, failures: int) -> bool:
        return not _no_change(error) and self._worthwhile(error, failures)

    def _good_answer(self) -> None:
        """Start `unreachable` anew. A `timeout`, or a cancellation, is a bound of its own."""
        now = self._loop.time()
        self._believe_proxies_until = now + PROXIES_BELIEVED * self._timeouts.unreachable
        self._proxys_answer()

    def _proxys_answer(self) -> None:
        """The same, but there may be no gateway behind it: it is not believed for ever."""
        believed = self._loop.time() < self._believe_proxies_until
        if believed and self._timeout is None and self._cancel_reason is None:
            self._give_up_after(self._timeouts.unreachable)

    async def _cancel_unseen(self, failure: Exception) -> InstructionT:
        """Its status can't be had: what nobody watches must not be left running.

        If the cancellation tells how it ended, so much the better.
        """
        if self._on_cancel == "cancel":
            logger.warning("no status to be had, cancelling: %s", failure)
            self.request_cancel("gave up")
            try:
                return await self._cancel(self._timeouts.cancel_grace)
            except PayrocError as error:
                logger.warning("nor by cancelling: %s", error)
        raise failure

    async def _cancel(self, patience: float) -> InstructionT:
        """DELETE, then read what became of it: the answer to a DELETE alone proves nothing."""
        assert self._cancel_reason is not None
        if self._record is not None:
            await self._steps.insist(self._record.canceling)
        logger.info("cancelling it at the gateway: %s", self._cancel_reason)
        self._emit(CancelRequested, reason=self._cancel_reason)
        self._give_up_after(patience)
        deleted, lost = False, 0
        while True:
            # Too late (409), or refused, or lost: the status tells.
            problem = await self._steps.insist(self._delete)
            deleted = deleted or problem is None
            unclear = problem if problem and may_have_taken_effect(problem) else None
            look = self._view_status
            if unclear is not None:
                lost += 1
                look = partial(self._glance, backoff_delay(unclear, lost, self._retries))
            try:
                await self._steps.insist(look)
            except NotFoundError:
                if not deleted or self.instruction is None:
                    raise
                # A gateway that forgets what it has cancelled.
                self.instruction = evolve(self.instruction, status=InstructionStatus.CANCELED)
            if self.instruction is not None and self.instruction.status in ENDED:
                return self.instruction
            if not self._in_time():
                raise PayrocError("still in progress, though its cancellation was asked for") from (
                    problem
                )
            if unclear is not None:
                self._retrying(unclear, lost, 0.0)

    async def _glance(self, wait: float) -> None:
        """The status, asked for while another DELETE is waited for: the last may have arrived.

        If it has not, the gateway would hold the request for a minute, and the device go on asking
        for a card: it is broken off when DELETE is due. The last one, when the time is up, gets the
        grace to be answered in, be the network slow.
        """
        patience = self._timeouts.poll_interval + wait
        if self._loop.time() + patience < self._give_up_at:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._view_status()
                    return
            if self._in_time():
                return
        left = self._give_up_at - self._loop.time()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(left, self._timeouts.cancel_grace)):
                await self._view_status()

    async def _delete(self) -> PayrocError | None:
        """What went wrong; repeated here is only what has surely had no effect."""
        assert self.instruction_id is not None
        # The status is looked at in between, however long DELETE goes on failing.
        until = min(self._give_up_at, self._loop.time() + self._timeouts.cancel_grace)

        def keep_trying(error: Exception, failures: int) -> bool:
            surely = worth_retrying(error) and not may_have_taken_effect(error)
            return surely and self._loop.time() < until

        try:
            await self._transport.call(
                cancel_request(self.kind, self.instruction_id),
                decipher_success,
                backoff=lambda: self._backoff(keep_trying),
            )
        except PayrocError as error:
            return error
        return None

    async def _conclude(self, instruction: InstructionT) -> ResourceT:
        """Step 3: follow a completed instruction's link; the other ends are errors."""
        if instruction.status == InstructionStatus.FAILURE:
            self._emit(Failed, error_message=instruction.error_message)
            raise InstructionFailedError(instruction.error_message, **self._known())
        if instruction.status == InstructionStatus.CANCELED:
            self._emit(Canceled)
            raise self._canceled()
        request = follow_link(self.kind, instruction.link)
        self._emit(Completed, link=instruction.link)
        self._give_up_after(self._timeouts.unreachable)
        resource = await self._persist(
            lambda: self._transport.call(
                request,
                lambda answer: decipher_resource(self.kind, answer, request),
                backoff=lambda: self._backoff(self._worthwhile),
            ),
            self._worthwhile,
        )
        self._emit(Settled, resource=resource)
        return resource

    # Its line in the journal ----------

    async def _begin_record(self) -> None:
        """Nothing is sent before it is on disk."""
        assert self._records is not None
        assert self.serial_number is not None
        assert self.idempotency_key is not None
        self._record = await self._records.begin(
            self.kind.noun, self.serial_number, self._body, self.idempotency_key
        )
        self.instruction_id = self._record.entry.instruction_id
        self._may_exist = self.instruction_id is not None

    async def _adopt_record(self) -> None:
        assert self._records is not None
        assert self.instruction_id is not None
        self._record = await self._records.adopt(self.kind.noun, self.instruction_id)
        if self._record is not None:
            self.serial_number = self._record.entry.serial_number
            self.idempotency_key = self._record.entry.idempotency_key

    async def _record_submission(self) -> None:
        assert self._record is not None
        assert self.instruction_id is not None
        await self._record.submitted(self.instruction_id)

    @property
    def left_running(self) -> bool:
        """Whether it has no end here because it was left to another process, on purpose."""
        return self._detaching and isinstance(self.error, OutcomeUnknownError)

    def _is_under_way(self) -> bool:
        """Whether the gateway has accepted it, and has not been heard to have ended it."""
        ended = self.instruction is not None and self.instruction.status in ENDED
        return self.instruction_id is not None and not ended

    async def _record_end(self) -> None:
        record, error = self._record, self.error
        assert record is not None
        try:
            if self.resource is not None:
                resource_id = self.kind.resource_id(self.resource)
                await record.ended(EntryState.COMPLETED, resource_id)
            elif not self._may_exist:
                refusal = error.__cause__ if isinstance(error, InstructionError) else error
                if refusal is not None and _refuses_for_good(refusal):
                    await record.ended(EntryState.FAILED)
                else:
                    await record.nothing_sent(wanted=not isinstance(error, InstructionError))
            elif isinstance(error, InstructionFailedError):
                await record.ended(EntryState.FAILED)
            elif not isinstance(error, OutcomeUnknownError):
                await record.ended(EntryState.CANCELED)
            elif isinstance(error.__cause__, NotFoundError) and self._is_under_way():
                await record.ended(EntryState.UNKNOWN)  # asking on would tell nothing
            else:
                await record.let_go()
        except LeaseLost as lost:
            logger.warning("how it ended is not for this process to write: %s", lost)

    # Being cancelled ----------

    def _unwanted(self) -> bool:
        return self._cancel_reason is not None or self._detaching

    def _stranger(self) -> None:
        """Somebody ends all tasks of the loop: see it to its end first, in short time."""
        self.unwatched = True
        self._ambiguous = True  # a try of the submission that this breaks off may have arrived
        self.let_go("caller")
        soon = self._loop.time() + self._timeouts.cancel_grace
        self._give_up_at = min(self._give_up_at, soon)

    # Small things ----------

    def _give_up_after(self, seconds: float) -> None:
        if self._steps.cancelled_by_stranger:
            seconds = min(seconds, self._timeouts.cancel_grace)
        self._give_up_at = self._loop.time() + seconds

    def _in_time(self) -> bool:
        return self._loop.time() < self._give_up_at

    def _worthwhile(self, error: Exception, failures: int = 0) -> bool:
        return worth_retrying(error) and self._in_time()

    async def _persist(
        self, step: Callable[[], Awaitable[T]], worthwhile: Callable[[Exception], bool]
    ) -> T:
        """Insist on a step, also where its own retries end early: when no token is to be had."""
        while True:
            try:
                return await self._steps.insist(step)
            except PayrocError as error:
                if not worthwhile(error):
                    raise
            await self._steps.insist(lambda: asyncio.sleep(self._timeouts.poll_interval))

    def _backoff(self, keep_trying: Callable[[Exception, int], bool]) -> Backoff:
        return Backoff(self._retries, keep_trying=keep_trying, on_retry=self._retrying)

    def _retrying(self, error: Exception, attempt: int, delay: float) -> None:
        logger.info("attempt %d failed, the next is in %.2f s: %s", attempt, delay, error)
        self._emit(Retrying, error=error, attempt=attempt, delay=delay)

    def _note_unknown_status(self, status: InstructionStatus) -> None:
        if status != InstructionStatus.IN_PROGRESS and not self._unknown_status_logged:
            self._unknown_status_logged = True
            logger.warning("unknown status %r: asking on", str(status))

    def identity(self) -> dict[str, str | None]:
        """What names the instruction."""
        return {
            "serial_number": self.serial_number,
            "idempotency_key": self.idempotency_key,
            "instruction_id": self.instruction_id,
        }

    @property
    def recovered(self) -> bool:
        """Before its start: whether another process has begun it."""
        return self._record is not None

    @property
    def order_id(self) -> str | None:
        """The caller's id of the order, where its request is known and has one."""
        return order_id_in(self._body)

    def log_fields(self) -> dict[str, str | None]:
        """What every log record about it says of it."""
        return {**self.identity(), "order_id": self.order_id}

    def _known(self) -> dict[str, Any]:
        return {**self.identity(), "request": self.request, "kind": self.kind.noun}

    def _canceled(self) -> InstructionError:
        if self._cancel_reason == "timeout":
            return InstructionTimeoutError(**self._known())
        return InstructionCanceledError(**self._known())

    def _canceled_unsent(self) -> InstructionError:
        """This run has made no instruction: that is told too, lest it pass for unknown."""
        if self._key_is_callers:
            error = self._unknown(
                PayrocError("not sent, but it may have been before, with its key")
            )
            error.request_sent = error.may_have_taken_effect = False
            return error
        self._emit(Canceled)
        return self._canceled()

    def _unknown(self, cause: Exception) -> OutcomeUnknownError:
        error = OutcomeUnknownError(**self._known())
        error.__cause__ = cause
        return error

    def _emit(self, event_type: Callable[..., Event], **details: Any) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event_type(**self.identity(), kind=self.kind.noun, **details))
        except (Exception, asyncio.CancelledError):
            logger.exception("on_event failed", extra=self.log_fields())

    def _log_end(self) -> None:
        if self.resource is not None:
            logger.info("ended in %s %s", self.kind.noun, self.kind.resource_id(self.resource))
            if self.unwatched:
                self.log_unheard()
        elif self.left_running:
            logger.info("left running on purpose: %s", self.error)
        elif isinstance(self.error, OutcomeUnknownError):
            logger.error("%s", self.error)
        else:
            logger.info("ended without a %s: %s", self.kind.noun, self.error)

    def log_unheard(self) -> None:
        """Say that a payment exists which no caller was given."""
        assert self.resource is not None
        logger.warning(
            "%s %s exists although the caller was cancelled (device %s, instruction %s)",
            self.kind.noun,
            self.kind.resource_id(self.resource),
            self.serial_number,
            self.instruction_id,
            extra=self.log_fields(),
        )


_RUNS: dict[asyncio.Task[None] | None, InstructionRun[Any, Any]] = {}
"""By their tasks, as long as these run."""


def _current_run() -> InstructionRun[Any, Any] | None:
    try:
        return _RUNS.get(asyncio.current_task())
    except RuntimeError:  # in a thread
        return None


find_subject_with(_current_run)


def _no_change(error: Exception) -> bool:
    """Whether a status request's failure only says that nothing changed while it waited."""
    if isinstance(error, RequestTimeoutError):
        return error.request_sent
    return isinstance(error, APIError) and error.status in (408, 504)


def _refuses_for_good(error: BaseException) -> bool:
    """Whether an answer to a repeated submission says that no try of it made an instruction.

    The same bytes were wrong the first time too. 401, 403, 404 and 409 speak of the one try alone.
    """
    return isinstance(error, APIError) and error.status in (400, 406, 413, 415)
