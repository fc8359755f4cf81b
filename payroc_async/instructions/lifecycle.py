"""The rules of evidence: what an answer proves about an instruction, and what to do next. Pure.

The runner writes ``durable(state)``, performs the phase's request, and feeds what it has `Seen` to
``step``. Ids, links, errors and deadlines are the runner's, as are C1, C2 (patience), C7 (what is
handed over) and J1 to J4 (when to write). ``docs/lifecycle.md`` has the rules and all transitions.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Durable", "Existence", "Outcome", "Phase", "Seen", "State", "Wish", "begin", "clock",
           "durable", "resume", "step", "take_over", "weigh"]  # fmt: skip


class _Word(IntEnum):
    __hash__ = int.__hash__  # enum's own is a Python function, and states are looked up often


class Phase(_Word):
    """What is done now. Each phase but the first and the last is one request, repeated."""

    PREPARE = 0  # Get a token and make the intent durable. Nothing has left
    SUBMIT = 1  # POST, with the same bytes under the same key each time
    POLL = 2  # GET the status, held by the gateway while nothing changes
    CANCEL = 3  # DELETE
    PROBE = 4  # GET the status with short patience, between two DELETEs (C1)
    READ = 5  # GET the payment, refund or signature
    ENDED = 6


class Wish(_Word):
    """What is wanted. It only rises (C5)."""

    KEEP = 0
    DETACH = 1
    CANCEL = 2


class Existence(_Word):
    """What the gateway may know of the instruction. It only rises."""

    NONE = 0
    EARLIER = 1  # An earlier call under the caller's key may have made it; this call has not (E8)
    POSSIBLE = 2  # An attempt of this call, or of the process before, may have arrived (E1, E9)
    KNOWN = 3  # The gateway has given its id


class Outcome(_Word):
    """How it ended."""

    NONE = 0
    COMPLETED = 1
    FAILED = 2
    CANCELED = 3
    REFUSED = 4  # This call made nothing: the gateway refused its only attempt
    UNSENT = 5  # This call made nothing: no attempt left
    LEFT = 6  # Left running on purpose
    UNKNOWN = 7


class Durable(_Word):
    """What the journal has to say, in the order in which it is written."""

    NOTHING = 0
    INTENT = 1
    SUBMITTED = 2
    CANCELING = 3
    COMPLETED = 4
    FAILED = 5
    CANCELED = 6


class Seen(_Word):
    """Everything that can happen to an instruction."""

    RECORDED = 0  # The intent is durable, or there is no journal: the POST may leave
    INHERITED = 1  # The same, in an entry that an earlier call has made under the same key
    IN_PROGRESS = 2  # The gateway shows it, or the journal has its id. Not ended
    COMPLETED = 3
    FAILED = 4
    CANCELED = 5
    RESOURCE = 6  # The payment, refund or signature was read
    HELD = 7  # A status request was held for a while and then cut: nothing has changed
    DELETED = 8  # 2xx to a DELETE
    REFUSED = 9  # The gateway refused this one request, which did nothing
    UNCLEAR = 10  # Any other answer, or none: the request may have taken effect
    NOT_SENT = 11  # This one request certainly did not leave
    HOPELESS = 12  # The same, and another attempt would not leave either
    DETACH = 13
    CANCEL = 14
    ALONE = 15  # No caller waits any more
    JOINED = 16  # A caller waits again
    UNREACHABLE = 17  # `Timeouts.unreachable` has passed without one good answer
    REPLAYS_OVER = 18  # A submission without an id must not be repeated any more
    ABORT = 19  # The session ends now
    NOT_DURABLE = 20  # The end could not be made durable
    LEASE_LOST = 21  # Another process runs the instruction now


class State(NamedTuple):
    """All that is known of one instruction."""

    phase: Phase = Phase.PREPARE
    wish: Wish = Wish.KEEP
    existence: Existence = Existence.NONE
    outcome: Outcome = Outcome.NONE
    awaited: bool = True  # A caller waits for the outcome
    inherited: bool = False  # The journal's entry was begun by an earlier call
    journaled: bool = False  # Constant: another process can take it over
    detachable: bool = False  # Constant: ``on_cancel="detach"``


def begin(*, journaled: bool, detachable: bool, key_is_callers: bool) -> State:
    """An instruction that is about to be submitted."""
    existence = Existence.EARLIER if key_is_callers else Existence.NONE
    return State(existence=existence, journaled=journaled, detachable=detachable)


def resume(*, journaled: bool, detachable: bool) -> State:
    """An instruction whose id is known."""
    return State(Phase.POLL, Wish.KEEP, Existence.KNOWN, journaled=journaled, detachable=detachable)


def take_over(*, known: bool, cancel: bool, stale: bool, expired: bool) -> State | None:
    """What a dead process has left (E9); None if it must not be submitted again.

    J5: without an id it is sent only while the customer is there, or to be canceled at once.
    """
    wish, phase = (Wish.CANCEL, Phase.CANCEL) if cancel else (Wish.KEEP, Phase.POLL)
    if known:
        return State(phase, wish, Existence.KNOWN, journaled=True, detachable=not cancel)
    if expired or (stale and not cancel):
        return None
    return State(Phase.SUBMIT, wish, Existence.POSSIBLE, journaled=True, detachable=not cancel)


def weigh(phase: Phase, *, sent: bool, status: int = 0, own: bool = False,
          key_in_use: bool = False, held: bool = False) -> Seen:  # fmt: skip
    """What a failed request proves. ``status`` is 0 without an answer.

    ``own``: a problem document of the gateway's; a proxy's refusal may come after the effect (E2).
    """
    if not sent:
        return Seen.NOT_SENT
    if held and phase is Phase.POLL and status in (408, 504):
        return Seen.HELD
    refused = own and 400 <= status < 500 and status not in (408, 425, 429) and not key_in_use
    return Seen.REFUSED if refused else Seen.UNCLEAR


_DURABLE_ENDS = {
    Outcome.COMPLETED: Durable.COMPLETED,
    Outcome.FAILED: Durable.FAILED,
    Outcome.REFUSED: Durable.FAILED,
    Outcome.CANCELED: Durable.CANCELED,
    Outcome.UNSENT: Durable.CANCELED,
}


def durable(state: State) -> Durable:
    """What must be on disk before the phase's request leaves, and before an end is reported.

    J6: an end comes from what the gateway shows, or from the certainty that nothing was made.
    """
    nothing_made = state.outcome in (Outcome.REFUSED, Outcome.UNSENT)
    if state.outcome in _DURABLE_ENDS and not (nothing_made and state.inherited):
        return _DURABLE_ENDS[state.outcome]
    if state.wish is Wish.CANCEL:
        return Durable.CANCELING  # before the DELETE (J2), and also without an id (J3)
    if nothing_made:
        return Durable.NOTHING
    return Durable.SUBMITTED if state.existence is Existence.KNOWN else Durable.INTENT  # J1


def clock(before: State, after: State, seen: Seen, *, timed: bool) -> bool | None:
    """Whether `unreachable` starts anew (True), stops (False), or goes on (None)."""
    nothing_lost = after.phase <= Phase.SUBMIT and after.existence < Existence.POSSIBLE
    released = after.wish is Wish.CANCEL and not after.awaited  # the run goes on without a bound
    bounded = after.phase is Phase.POLL and timed
    if nothing_lost or released or bounded or after.phase is Phase.ENDED:
        return False
    polling = after.phase is Phase.POLL and after.wish is Wish.KEEP
    good = polling and Seen.IN_PROGRESS <= seen <= Seen.HELD
    reads_first = after.phase is Phase.READ is not before.phase
    return good or reads_first or after.wish is not before.wish or None


def step(state: State, seen: Seen) -> State:
    """The state after something was seen."""
    if state.phase is Phase.ENDED:
        return _ended(state, seen)
    match seen:
        case Seen.DETACH | Seen.CANCEL:
            return _wished(state, Wish.CANCEL if seen is Seen.CANCEL else Wish.DETACH)
        case Seen.ALONE | Seen.JOINED:
            return state._replace(awaited=seen is Seen.JOINED)  # C4: the grace ends no run
        case Seen.UNREACHABLE:
            return _unreachable(state)
        case Seen.ABORT if state.phase is Phase.PREPARE:
            return _end(state, Outcome.UNSENT)
        case Seen.REPLAYS_OVER if state.phase is not Phase.SUBMIT:
            return state
        case Seen.ABORT | Seen.REPLAYS_OVER | Seen.LEASE_LOST:
            return _end(state, Outcome.UNKNOWN)
    return _ON_ANSWER[state.phase](state, seen)


def _prepare(state: State, seen: Seen) -> State:
    if seen is Seen.RECORDED:
        return state._replace(phase=Phase.SUBMIT)
    if seen is Seen.INHERITED:
        return state._replace(phase=Phase.SUBMIT, existence=Existence.EARLIER, inherited=True)
    if seen is Seen.IN_PROGRESS:
        return _continue(state._replace(existence=Existence.KNOWN, inherited=True))
    return _end(state, Outcome.UNSENT) if seen is Seen.HOPELESS else state


def _submit(state: State, seen: Seen) -> State:
    if Seen.IN_PROGRESS <= seen <= Seen.CANCELED:
        return _shown(state._replace(existence=Existence.KNOWN), seen)  # E4: an id seen is kept
    if state.existence is Existence.POSSIBLE:
        return state  # E1: only the instruction itself says anything of the lost attempt
    if seen is Seen.NOT_SENT and state.wish is Wish.KEEP:
        return state._replace(phase=Phase.PREPARE)  # E7: as if for the first time
    if seen in (Seen.NOT_SENT, Seen.HOPELESS, Seen.REFUSED):
        return _end(state, Outcome.REFUSED if seen is Seen.REFUSED else Outcome.UNSENT)
    return state._replace(existence=Existence.POSSIBLE)  # E3: whatever the status


def _poll(state: State, seen: Seen) -> State:
    return _shown(state, seen) if Seen.IN_PROGRESS <= seen <= Seen.CANCELED else state  # E4, C8


def _probe(state: State, seen: Seen) -> State:
    if Seen.COMPLETED <= seen <= Seen.CANCELED:
        return _shown(state, seen)
    return state._replace(phase=Phase.CANCEL)  # C1; E6: absence is not a state


def _read(state: State, seen: Seen) -> State:
    return _end(state, Outcome.COMPLETED) if seen is Seen.RESOURCE else state


def _cancel(state: State, seen: Seen) -> State:
    return state._replace(phase=Phase.PROBE)  # E5: no answer to a DELETE proves anything


_ON_ANSWER = (_prepare, _submit, _poll, _cancel, _probe, _read)  # by Phase


def _shown(state: State, seen: Seen) -> State:
    """The gateway has shown the instruction itself."""
    if seen is Seen.IN_PROGRESS:
        return _continue(state)
    if seen is Seen.COMPLETED:
        return state._replace(phase=Phase.READ)
    return _end(state, Outcome.FAILED if seen is Seen.FAILED else Outcome.CANCELED)


def _continue(state: State) -> State:
    """It is in progress and its id is known: do as wished."""
    if state.wish is Wish.KEEP:
        return state._replace(phase=Phase.POLL)
    if state.wish is Wish.DETACH and (state.awaited or state.journaled):
        return _end(state, Outcome.LEFT)
    return state._replace(phase=Phase.CANCEL, wish=Wish.CANCEL)  # C6: it has no other owner


def _wished(state: State, wish: Wish) -> State:
    state = state._replace(wish=max(state.wish, wish))
    if state.phase is Phase.PREPARE:
        return _end(state, Outcome.UNSENT)
    return _continue(state) if state.phase is Phase.POLL else state  # C9: the POST may be out


def _unreachable(state: State) -> State:
    """Release the caller. The run ends only if another process can take it over (C3)."""
    has_heir = state.journaled or (state.awaited and state.existence is Existence.KNOWN)
    if has_heir and state.detachable and state.wish < Wish.CANCEL:
        return _end(state, Outcome.UNKNOWN)
    return _wished(state._replace(awaited=False), Wish.CANCEL)


def _ended(state: State, seen: Seen) -> State:
    nothing_made = state.outcome in (Outcome.REFUSED, Outcome.UNSENT)
    if nothing_made and seen in (Seen.NOT_DURABLE, Seen.LEASE_LOST):
        return _end(state, Outcome.UNKNOWN)  # J4: another process may still submit it
    if nothing_made and seen in (Seen.INHERITED, Seen.IN_PROGRESS, Seen.CANCEL):  # J3, J6
        wish = Wish.CANCEL if seen is Seen.CANCEL else state.wish
        return state._replace(wish=wish, inherited=state.inherited or seen is not Seen.CANCEL)
    if state.outcome is Outcome.LEFT and not state.awaited and seen is Seen.NOT_DURABLE:  # C6
        return state._replace(phase=Phase.CANCEL, wish=Wish.CANCEL, outcome=Outcome.NONE)
    return state


def _end(state: State, outcome: Outcome) -> State:
    least = Existence.POSSIBLE if outcome is Outcome.UNKNOWN else Existence.NONE  # it may be out
    return state._replace(phase=Phase.ENDED, outcome=outcome, existence=max(state.existence, least))
