"""One instruction while it runs: what is known of it, and who hears of it."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from attrs import define, field, frozen

from payroc_async import models
from payroc_async.callbacks import Listener, OnEvent
from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.events import CancelReason, Event, Submitted
from payroc_async.http.transport import Transport
from payroc_async.journal.writer import JournalWriter, NullWriter
from payroc_async.kinds import Kind
from payroc_async.logs import get_logger
from payroc_async.loop_guard import LoopGuard
from payroc_async.shared_timeout import SharedAlarm

from .identity import Identity
from .lifecycle import Existence, State

__all__ = ["LiveInstruction", "OnCancel", "Options", "Services"]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
ResourceT = TypeVar("ResourceT")

OnCancel = Literal["cancel", "detach"]
"""What the cancellation of an awaiting task does to its instruction."""


@define(eq=False)
class Services:
    """What all instructions of a session share."""

    transport: Transport
    writer: JournalWriter | NullWriter
    timeouts: Timeouts
    retries: RetryPolicy
    api_url: str
    loop_guard: LoopGuard = field(factory=LoopGuard)
    unreachable: SharedAlarm = field(init=False)
    gateway_heard: bool = False  # whether Payroc has answered in this session, and no proxy
    runners: dict[str, Any] = field(factory=dict)  # which polls which instruction (P2)

    def __attrs_post_init__(self) -> None:
        self.unreachable = SharedAlarm(self.timeouts.unreachable)


@frozen(eq=False)
class Options:
    """What a caller asks for: the keywords of ``run_sale``."""

    timeout: float | None = None
    on_cancel: OnCancel = "cancel"
    on_event: OnEvent | None = None


class LiveInstruction(Generic[InstructionT, ResourceT]):
    """What is known of an instruction.

    Args:
        kind: Whether it leads to a payment, a refund or a signature.
        identity: Its names, with the bytes to submit.
        state: Where it begins.
        services: What the session lends.
        options: What the caller asked for.
    """

    def __init__(
        self,
        kind: Kind[InstructionT, ResourceT],
        identity: Identity,
        state: State,
        services: Services,
        options: Options,
    ) -> None:
        self.kind = kind
        self.identity = identity
        self.state = state
        self.services = services
        self.options = options
        self.instruction: InstructionT | None = None  # as the gateway showed it last
        self.resource: ResourceT | None = None
        self.error: Exception | None = None  # what the caller is given, if not the resource
        self.failure: Exception | None = None  # the last one, of whatever request
        self.submission_sent = state.existence >= Existence.POSSIBLE  # perhaps, if it was lost
        self.cancel_reason: CancelReason | None = None
        self.acceptance: Future[None] | None = None
        self.in_hand = True  # of a caller who has its handle, or is about to be given its error
        self._is_callers = state.existence is not Existence.NONE  # the key, or the id
        self._listeners = [] if options.on_event is None else [Listener(options.on_event)]

    @property
    def is_named(self) -> bool:
        """Whether a handle, an event, its key or an entry leads a caller to it."""
        named = self.in_hand or self._is_callers or bool(self._listeners)
        return named or self.state.journaled

    def listen(self, on_event: OnEvent) -> None:
        """Deliver each event to another function as well, before the caller's own."""
        self._listeners.insert(0, Listener(on_event))

    def emit(self, event_type: Callable[..., Event], **details: Any) -> None:
        """Deliver an event to each listener. Nothing that a listener raises ends the sale."""
        if not self._listeners:
            return
        event = event_type(**self.identity.names(), kind=self.kind.noun, **details)
        for listener in self._listeners:
            listener.deliver(event, self.identity.log_fields)

    def identify(self, instruction_id: str) -> None:
        """Take note of the gateway's id for the instruction. It is never dropped (E4)."""
        if self.identity.instruction_id is None:
            self.identity.instruction_id = instruction_id
            self.emit(Submitted)
            logger.debug("accepted by the gateway")
            if self.acceptance is not None and not self.acceptance.done():
                self.acceptance.set_result(None)
