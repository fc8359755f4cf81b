"""Each rule of evidence and of cancellation broken once; for the journal see variants_journal."""

from __future__ import annotations

from . import facts as f
from .rules import Answer, Config, Existence, Outcome, Phase, Seen, State, Wish, lifecycle
from .variant import Variant, end


class LaterRefusalCounts(Variant):
    """A refused replay ends the sale, although an attempt before may have arrived."""

    rule = "E1"

    def broken(self, state: State, seen: Seen) -> State | None:
        if state.phase is Phase.SUBMIT and seen is Seen.REFUSED:
            return end(state, Outcome.REFUSED)
        return None


class ProxyRefuses(Variant):
    """A proxy's 4xx counts as the gateway's refusal."""

    rule = "E2"
    faults = 1

    def weigh(self, state: State, answer: Answer) -> int:
        if answer.sent and 400 <= answer.status < 500 and answer.status not in (408, 425, 429):
            return Seen.REFUSED
        return super().weigh(state, answer)


class TransientRefuses(Variant):
    """The gateway's own 408, 425 and 429 count as refusals."""

    rule = "E2"
    faults = 1

    def weigh(self, state: State, answer: Answer) -> int:
        if answer.own and answer.status == 429:
            return Seen.REFUSED
        return super().weigh(state, answer)


class KeyInUseRefuses(Variant):
    """A key in use counts as a refusal, although this very sale may use it."""

    rule = "E2"
    faults = 1

    def weigh(self, state: State, answer: Answer) -> int:
        return super().weigh(state, answer._replace(key_in_use=False))


class UnusualStatusEnds(Variant):
    """A status that is on no list ends the submission at once."""

    rule = "E3"
    faults = 1
    shows = "S5"

    def weigh(self, state: State, answer: Answer) -> int:
        if answer.status in (507, 520, 599) and state.phase is Phase.SUBMIT:
            return Seen.NOT_DURABLE  # any that means nothing in this phase
        return super().weigh(state, answer)

    def broken(self, state: State, seen: Seen) -> State | None:
        unusual = state.phase is Phase.SUBMIT and seen is Seen.NOT_DURABLE
        return end(state, Outcome.UNKNOWN) if unusual else None


class ErrorEndsPolling(Variant):
    """A refused status request, or a refused token, ends the sale whose id is known."""

    rule = "E4"
    faults = 1
    shows = "S5"

    def broken(self, state: State, seen: Seen) -> State | None:
        refused = seen in (Seen.REFUSED, Seen.HOPELESS)
        polling = state.phase in (Phase.POLL, Phase.READ)
        return end(state, Outcome.UNKNOWN) if refused and polling else None


class DeletedIsCanceled(Variant):
    """A 2xx to the DELETE counts as the end."""

    rule = "E5"
    faults = 1

    def broken(self, state: State, seen: Seen) -> State | None:
        deleted = state.phase is Phase.CANCEL and seen is Seen.DELETED
        return end(state, Outcome.CANCELED) if deleted else None


class AbsentIsCanceled(Variant):
    """A 404 after the DELETE counts as the end."""

    rule = "E6"

    def broken(self, state: State, seen: Seen) -> State | None:
        absent = state.phase is Phase.PROBE and seen is Seen.REFUSED
        return end(state, Outcome.CANCELED) if absent else None


class UnsentUndoesAttempts(Variant):
    """A replay that did not leave says that nothing left, ever."""

    rule = "E7"

    def broken(self, state: State, seen: Seen) -> State | None:
        unsent = state.phase is Phase.SUBMIT and seen in (Seen.NOT_SENT, Seen.HOPELESS)
        return end(state, Outcome.UNSENT) if unsent else None


class CallersKeyIsNew(Variant):
    """Under a caller's key the same is concluded as under a new one."""

    rule = "E8"
    config = Config(key_is_callers=True)
    faults = 1

    def begin(self, config: Config) -> State:
        return super().begin(config._replace(key_is_callers=False))


class RecoveredIsNew(Variant):
    """What a dead process has left begins as if nothing had been sent."""

    rule = "E9"
    config = Config(journaled=True)

    @staticmethod
    def take_over(*, known: bool, cancel: bool, stale: bool, expired: bool) -> State | None:
        """As the lifecycle, but as if nothing had been sent."""
        state = lifecycle.take_over(known=known, cancel=cancel, stale=stale, expired=expired)
        if state is not None and state.existence is Existence.POSSIBLE:
            return state._replace(existence=Existence.NONE)
        return state


class ProbeIsHeld(Variant):
    """The look after a DELETE waits as long as a poll."""

    rule = "C1"
    faults = 1
    shows = "S3b"
    probe_patience = f.HOLD


class DeletesOnce(Variant):
    """After one DELETE only the status is asked for."""

    rule = "C1"
    faults = 1
    shows = "S3b"

    def broken(self, state: State, seen: Seen) -> State | None:
        shown = Seen.COMPLETED <= seen <= Seen.CANCELED
        return state if state.phase is Phase.PROBE and seen <= Seen.HOPELESS and not shown else None


class Unhurried(Variant):
    """A request in flight is waited for as long as ever, although the sale is to be canceled."""

    rule = "C2"
    faults = 1
    shows = "S3b"
    hurries = False


class UnreachableEndsRun(Variant):
    """`unreachable` ends the run and not only the wait."""

    rule = "C3"
    shows = "S3"

    def broken(self, state: State, seen: Seen) -> State | None:
        return end(state, Outcome.UNKNOWN) if seen is Seen.UNREACHABLE else None


class UnreachableNeverPasses(Variant):
    """`unreachable` never runs, so that a caller may wait for ever."""

    rule = "C3"
    config = Config(relents=False, only=("garbage",))
    faults = 1
    shows = "S5"

    @staticmethod
    def clock(before: State, after: State, seen: Seen, *, timed: bool) -> bool | None:
        """Never."""
        return False


class GraceEndsRun(Variant):
    """The end of the caller's grace ends the run."""

    rule = "C4"
    shows = "S"

    def broken(self, state: State, seen: Seen) -> State | None:
        return end(state, Outcome.UNKNOWN) if seen is Seen.ALONE else None


class WishSinks(Variant):
    """A caller that detaches takes back the cancellation of the timeout."""

    rule = "C5"
    config = Config(detachable=True)
    shows = "S8"

    def broken(self, state: State, seen: Seen) -> State | None:
        sinks = seen is Seen.DETACH and state.wish is Wish.CANCEL
        return state._replace(wish=Wish.DETACH) if sinks else None


class LeftWithoutId(Variant):
    """A sale is left running although no caller and no journal has its id."""

    rule = "C6"
    config = Config(detachable=True)
    shows = "S3"

    def broken(self, state: State, seen: Seen) -> State | None:
        if state.phase is Phase.SUBMIT and seen is Seen.IN_PROGRESS and state.wish is Wish.DETACH:
            return end(state._replace(existence=Existence.KNOWN), Outcome.LEFT)
        return None


class UnresolvedIsDropped(Variant):
    """An unknown outcome that no caller waits for is not kept."""

    rule = "C7"
    shows = "S3"
    keeps_unresolved = False


class OddAnswerCancels(Variant):
    """A refused status request cancels a healthy sale."""

    rule = "C8"
    faults = 1
    shows = "S5b"

    def broken(self, state: State, seen: Seen) -> State | None:
        odd = state.phase is Phase.POLL and seen is Seen.REFUSED
        return state._replace(phase=Phase.CANCEL, wish=Wish.CANCEL) if odd else None


class WishEndsSubmission(Variant):
    """A wish ends a sale whose POST may be out."""

    rule = "C9"
    faults = 1

    def broken(self, state: State, seen: Seen) -> State | None:
        wished = state.phase is Phase.SUBMIT and seen is Seen.CANCEL
        return end(state, Outcome.UNSENT) if wished else None
