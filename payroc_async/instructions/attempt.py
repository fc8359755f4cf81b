"""One attempt of one request: it is sent, its answer is read, and what it proves is weighed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve

from payroc_async.errors import (
    APIError,
    ConflictError,
    IdempotencyKeyInUseError,
    PayrocError,
    RequestTimeoutError,
    ResponseFormatError,
    TransportError,
)
from payroc_async.events import Completed, Retrying, StillInProgress
from payroc_async.logs import get_logger
from payroc_async.models.enums import InstructionStatus
from payroc_async.models.shared import Link
from payroc_async.secret import forget_frames
from payroc_async.wire.converter import structure
from payroc_async.wire.protocol import (
    Answer,
    Request,
    cancel_request,
    decipher_instruction,
    decipher_resource,
    decipher_success,
    find_instruction_id,
    follow_link,
    status_request,
    submit_request,
)

from .lifecycle import Existence, Phase, Seen, State, weigh
from .live import LiveInstruction
from .pacing import Pacing

__all__ = ["Attempt"]

logger = get_logger(__name__)

_SHOWN = {
    InstructionStatus.COMPLETED: Seen.COMPLETED,
    InstructionStatus.FAILURE: Seen.FAILED,
    InstructionStatus.CANCELED: Seen.CANCELED,
}

PROXIES_TRUSTED = 10
"""Times `Timeouts.unreachable` for which a proxy's word alone, 408 or 504 for every status request,
passes for a sale in progress."""


def _order_id_in(raw: Mapping[str, Any]) -> object:
    order = raw.get("order")
    return order.get("orderId") if isinstance(order, dict) else None


class Attempt:
    """Makes the attempts of one instruction, one after the other.

    Args:
        live: The instruction.
        pacing: How long to wait for what.
        interruptible: The runner's, which a change of the state interrupts.
    """

    def __init__(
        self, live: LiveInstruction[Any, Any], pacing: Pacing, interruptible: Callable[..., Any]
    ) -> None:
        self._live = live
        self._pacing = pacing
        self._interruptible = interruptible
        self._now = asyncio.get_running_loop().time
        self._transport = live.services.transport
        self._policy = live.services.retries
        self._failures = 0  # of the present phase's request, one after the other
        self._unsent = 0
        self._refusals: int | None = (
            0  # 4xx answers to the POST; None once it may be lost otherwise
        )
        self._reauthorized = False
        self._sent = False
        self._trusted_from = self._now()  # the last answer that was no proxy's
        self._unknown_status_logged = False
        self._completed = False
        self._submission: Request | None = None
        self._resource: Request | None = None
        self._came_first: Request | None = None  # what the 409 of a late DELETE leads to
        self._came_first_link: Link | None = None
        self._status_failed: bool | None = False  # of the last probe; None: it asked for the link
        self._submitted_at: float | None = None

    @property
    def exhausted(self) -> bool:
        """Whether only middle-boxes have answered the POST, ``RetryPolicy.attempts`` times."""
        return (self._refusals or 0) >= self._policy.attempts

    @property
    def may_submit(self) -> bool:
        """J5: whether the gateway still knows the key that the first attempt was sent under."""
        first = self._submitted_at
        return first is None or self._now() < first + self._policy.idempotency_window

    async def make(self, state: State) -> tuple[Seen | None, float]:
        """What one request has shown, and the seconds to wait before the next.

        Nothing, if the state has changed meanwhile so that the answer is of no use any more.
        """
        live, phase = self._live, state.phase
        asked = self._now()
        request = self._request(phase)
        patience = self._pacing.patience(phase, state.wish)
        self._sent = False
        try:
            answer = await self._interruptible(self._send(request, phase), patience=patience)
            if answer is not None:
                seen = self._read(phase, answer, request)
            elif live.state.phase is not phase:
                live.submission_sent |= self._sent and phase is Phase.SUBMIT  # it may have arrived
                return None, 0.0
            else:
                return self._cut(phase)
        except PayrocError as error:
            return self._failed(phase, error, asked)
        # A probe, or the link asked for again, does not undo the failure of what it is for.
        if phase is not Phase.PROBE and (phase, seen) != (Phase.READ, Seen.COMPLETED):
            self._failures, self._reauthorized = 0, False
            # Nor does an accepted DELETE undo that the last one had no effect (E5).
            if phase is not Phase.CANCEL or type(live.failure) is not PayrocError:
                live.failure = None
        live.services.gateway_heard = True
        now = self._trusted_from = self._now()
        if seen is not Seen.IN_PROGRESS or phase is Phase.SUBMIT:
            return seen, 0.0
        if phase is Phase.POLL:
            live.emit(StillInProgress)
        return seen, self._poll_delay(asked, now)

    def _send(self, request: Request, phase: Phase) -> Awaitable[Answer]:
        token = self._transport.token_provider.at_hand()
        if token is None:
            return self._wait_and_send(request, phase)
        self._sent = True
        held = phase is Phase.POLL
        return self._transport.send(request, token, held=held, resend=self._failures)

    async def _wait_and_send(self, request: Request, phase: Phase) -> Answer:
        token = await self._transport.token_provider.get()
        self._sent = True
        held = phase is Phase.POLL
        return await self._transport.send(request, token, held=held, resend=self._failures)

    def _request(self, phase: Phase) -> Request:
        live = self._live
        kind, identity = live.kind, live.identity
        if phase is Phase.SUBMIT:
            if self._submission is None:
                assert identity.serial_number is not None
                assert identity.idempotency_key is not None
                self._submission = submit_request(
                    kind, identity.serial_number, identity.body, identity.idempotency_key
                )
            if self._submitted_at is None:
                self._submitted_at = self._now()
            return self._submission
        assert identity.instruction_id is not None
        if phase is Phase.CANCEL:
            return cancel_request(kind, identity.instruction_id)
        if phase is Phase.READ and self._resource is not None:
            return self._resource
        if phase is Phase.PROBE and self._status_failed and self._came_first is not None:
            self._status_failed = None  # the status comes next, whatever this shows
            return self._came_first
        self._status_failed = False
        return status_request(kind, identity.instruction_id)

    # What was answered ----------

    def _read(self, phase: Phase, answer: Answer, request: Request) -> Seen:
        live = self._live
        if phase is Phase.CANCEL:
            decipher_success(answer)
            return Seen.DELETED
        if phase is Phase.READ and request is self._resource:
            live.resource = decipher_resource(live.kind, answer, request)
            self._note_order(live.resource)
            return Seen.RESOURCE
        if phase is Phase.PROBE and request is self._came_first:
            return self._read_what_came_first(answer, request)
        try:
            instruction = decipher_instruction(live.kind, answer, live.identity.instruction_id)
        except PayrocError as error:
            found = find_instruction_id(live.kind, answer) if phase is Phase.SUBMIT else None
            if found is None or self._is_anothers(error):
                raise
            live.identify(found)  # E4: an id is kept, in whatever answer it stood
            return Seen.IN_PROGRESS
        live.instruction = instruction
        live.identify(instruction.instruction_id)
        seen = _SHOWN.get(instruction.status, Seen.IN_PROGRESS)
        if seen is Seen.COMPLETED:
            try:
                self._resource = follow_link(live.kind, instruction.link)
            except ResponseFormatError as error:
                if phase is Phase.READ:
                    raise
                live.failure = error  # it has completed all the same: ask for the link again
                return seen
            self._note_completed(instruction.link)
        elif seen is Seen.IN_PROGRESS:
            self._note_status(instruction.status)
        return seen

    def _note_completed(self, link: Link | None) -> None:
        if not self._completed:
            self._completed = True
            self._live.emit(Completed, link=link)

    def _note_status(self, status: InstructionStatus) -> None:
        if status != InstructionStatus.IN_PROGRESS and not self._unknown_status_logged:
            self._unknown_status_logged = True
            logger.warning("unknown status %r; continuing to poll", str(status))

    # What failed ----------

    def _cut(self, phase: Phase) -> tuple[Seen, float]:
        """C2: a request that was not waited for any longer is unclear, unless it never left."""
        self._pacing.cut(phase)
        if not self._sent:
            return Seen.NOT_SENT, 0.0
        self._refusals = None
        self._live.submission_sent = True
        # A probe is held while nothing changes; and the failure of an earlier attempt says more.
        if phase is not Phase.PROBE and self._live.failure is None:
            self._live.failure = RequestTimeoutError(
                "no answer in the time left for the cancellation", request_sent=True
            )
        return Seen.UNCLEAR, 0.0

    def _failed(self, phase: Phase, error: PayrocError, asked: float) -> tuple[Seen, float]:
        live = self._live
        live.failure = forget_frames(error)  # the decoder's hold what the answer says
        self._failures += 1
        seen = self._weigh(phase, error, self._now() - asked)
        if isinstance(error, APIError) and error.own:
            live.services.gateway_heard = True
        if phase is Phase.READ and self._resource is None:
            self._resource = self._came_first
        elif phase is Phase.READ and seen is Seen.REFUSED:
            self._resource = None  # one answer is no evidence: ask for the link again
        if self._is_no_change(phase, error):
            live.emit(StillInProgress)
            return seen, self._poll_delay(asked, self._now())
        nothing_lost = phase is Phase.SUBMIT and live.state.existence < Existence.POSSIBLE
        if nothing_lost and seen in (Seen.REFUSED, Seen.HOPELESS):
            return seen, 0.0
        first_401 = isinstance(error, APIError) and error.status == 401 and not self._reauthorized
        if self._sent and first_401:
            self._reauthorized = True  # P6: the transport has dropped the token
            delay = 0.0
        elif phase is Phase.CANCEL:
            delay = 0.0  # the probe comes first
            if seen is Seen.REFUSED:
                logger.info("DELETE was refused: %s", error)  # too late, perhaps
                self._note_what_came_first(error)
                return seen, delay
        elif phase is Phase.PROBE and self._came_first is not None:
            self._status_failed = self._status_failed is False
            delay = 0.0
        else:
            delay = self._pacing.delay(error, self._failures, live.state.wish)
            if phase is Phase.POLL:
                delay = max(delay, self._poll_delay(asked, self._now()))
        logger.info("attempt %d failed, the next is in %.2f s: %s", self._failures, delay, error)
        live.emit(Retrying, error=error, attempt=self._failures, delay=delay)
        return seen, delay

    def _note_what_came_first(self, error: PayrocError) -> None:
        """The DELETE of an instruction that has completed is refused with a link to its payment."""
        if isinstance(error, ConflictError) and error.problem.link is not None:
            with suppress(ResponseFormatError):  # a link to the instruction itself, say
                self._came_first = follow_link(self._live.kind, error.problem.link)
                self._came_first_link = error.problem.link

    def _read_what_came_first(self, answer: Answer, request: Request) -> Seen:
        """E5: the status can't be had, but the gateway has said what the instruction led to.

        That proves something only if it is of the order that was to be paid.
        """
        live, link = self._live, self._came_first_link
        found = decipher_resource(live.kind, answer, request)
        if self._is_of_another_order(found):
            self._came_first = None
            raise ResponseFormatError(
                f"the 409 of DELETE leads to another order's {live.kind.noun}"
            )
        self._resource = request
        shown = live.instruction
        if shown is None:
            id_ = live.identity.instruction_id
            shown = structure({f"{live.kind.noun}InstructionId": id_}, live.kind.instruction_type)
        live.instruction = evolve(shown, status=InstructionStatus.COMPLETED, link=link)
        self._note_completed(link)
        return Seen.COMPLETED

    def _is_of_another_order(self, found: Any) -> bool:
        asked = self._live.identity.order_id()
        if asked is None or asked == _order_id_in(found.raw):
            return False  # as it mostly is: no order is read for it
        shown = getattr(getattr(found, "order", None), "order_id", None)
        return shown is not None and shown.strip() != asked.strip()

    def _note_order(self, found: Any) -> None:
        if self._is_of_another_order(found):
            noun = self._live.kind.noun
            logger.warning("the %s shows another order than was sent", noun)

    def _is_anothers(self, error: PayrocError) -> bool:
        """Whether an id in a refusal is of what keeps the device busy: this call made nothing."""
        own_refusal = weigh(
            Phase.SUBMIT,
            sent=True,
            status=error.status if isinstance(error, APIError) else 0,
            own=isinstance(error, APIError) and error.own,
            key_in_use=isinstance(error, IdempotencyKeyInUseError),
        )
        existence = self._live.state.existence
        return own_refusal is Seen.REFUSED and existence is Existence.NONE

    def _weigh(self, phase: Phase, error: PayrocError, took: float) -> Seen:
        status = error.status if isinstance(error, APIError) else 0
        own = isinstance(error, APIError) and error.own
        sent = self._sent and (not isinstance(error, TransportError) or error.request_sent)
        if sent and phase is Phase.SUBMIT:
            self._live.submission_sent = True
        trusted_for = PROXIES_TRUSTED * self._live.services.timeouts.unreachable
        held = (
            took >= self._live.services.timeouts.poll_interval
            and self._now() < self._trusted_from + trusted_for
        )
        key_in_use = isinstance(error, IdempotencyKeyInUseError)
        seen = weigh(phase, sent=sent, status=status, own=own, key_in_use=key_in_use, held=held)
        return self._weigh_submission(seen, error, status) if phase is Phase.SUBMIT else seen

    def _weigh_submission(self, seen: Seen, error: PayrocError, status: int) -> Seen:
        """The bounds of a submission that has made nothing, or none that is known of."""
        if seen is Seen.REFUSED and status == 401 and not self._reauthorized:
            return Seen.NOT_SENT  # it proves that this attempt did nothing
        if seen is Seen.NOT_SENT:
            self._unsent += 1
            if not self._sent or self._unsent >= self._policy.attempts:
                return Seen.HOPELESS
        if seen is Seen.UNCLEAR:
            # A box before the gateway: a firewall, a proxy, a wrong base URL.
            waits = isinstance(error, APIError) and error.own and status in (425, 429)
            if not 400 <= status < 500 or status == 408 or waits:
                self._refusals = None
            elif self._refusals is not None:
                self._refusals += 1
                if self.exhausted:
                    self._explain(error)
        return seen

    def _explain(self, error: PayrocError) -> None:
        if not isinstance(error, APIError) or error.own:
            return
        services = self._live.services
        advice = "" if services.gateway_heard else "; check api_url: Payroc has not answered yet"
        failure = ResponseFormatError(
            f"the answer was not Payroc's: HTTP {error.status} from "
            f"{urlsplit(services.api_url).netloc}{advice}"
        )
        failure.__cause__ = error
        self._live.failure = failure

    def _is_no_change(self, phase: Phase, error: PayrocError) -> bool:
        """P2: a status request that timed out, or a proxy cut, says that nothing has changed."""
        if phase is not Phase.POLL:
            return False
        if isinstance(error, APIError):
            return error.status in (408, 504)
        return isinstance(error, RequestTimeoutError) and error.request_sent

    def _poll_delay(self, asked: float, now: float) -> float:
        """P2: a gateway that answers without holding is asked once in ``poll_interval``."""
        return max(0.0, asked + self._live.services.timeouts.poll_interval - now)
