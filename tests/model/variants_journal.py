"""Each rule of the journal broken once; also leases, joining, searching and the loop's end."""

from __future__ import annotations

from .configurations import STOPPED, STOPPED_WHILE_BUSY
from .rules import Config, Durable, Phase, Seen, State, lifecycle
from .variant import Variant


class IntentIsLate(Variant):
    """The POST leaves before the intent is durable."""

    rule = "J1"
    config = Config(journaled=True)
    faults = 0
    shows = "S7"
    writes_intent_first = False


class WishIsLate(Variant):
    """The DELETE leaves before the wish is durable."""

    rule = "J2"
    config = Config(journaled=True)
    faults = 0
    shows = "S7"
    writes_wish_first = False


class WishWaits(Variant):
    """The wish is written only after the request in flight, which is waited for as long as ever."""

    rule = "J3"
    config = Config(journaled=True, journal_faults=False)
    faults = 1
    shows = "S7b"
    writes_wish_at_once = False
    hurries = False


class ReportsWhatIsNotDurable(Variant):
    """'Nothing was made' is reported although the journal could not write it."""

    rule = "J4"
    config = Config(journaled=True)
    reports_only_durable = False


class ReplaysPastWindow(Variant):
    """Recovery submits again under a key that the gateway may have forgotten."""

    rule = "J5"
    config = Config(journaled=True)
    faults = 1

    @staticmethod
    def take_over(*, known: bool, cancel: bool, stale: bool, expired: bool) -> State | None:
        """As the lifecycle, but whatever the age."""
        return lifecycle.take_over(known=known, cancel=cancel, stale=False, expired=False)


class EndIsGuessed(Variant):
    """The journal's end is written after the DELETE, before the gateway shows it."""

    rule = "J6"
    config = Config(journaled=True)
    faults = 1
    shows = "S6"

    @staticmethod
    def durable(state: State) -> Durable:
        """As the lifecycle, but an end where none is known."""
        if state.phase is Phase.PROBE:
            return Durable.CANCELED
        return lifecycle.durable(state)


class EndsInheritedEntry(Variant):
    """The entry of an earlier call is closed because this call made nothing."""

    rule = "J6"
    config = Config(journaled=True, key_is_callers=True)
    faults = 1
    shows = "S6"

    @staticmethod
    def durable(state: State) -> Durable:
        """As the lifecycle, but for any entry as for this call's own."""
        return lifecycle.durable(state._replace(inherited=False))


class InheritanceSeenTooLate(Variant):
    """A wish ends the retry before it is seen that an earlier call has begun the entry."""

    rule = "J6"
    config = Config(journaled=True, key_is_callers=True)
    faults = 0
    shows = "S6"

    def step(self, state: State, seen: Seen) -> State:
        """As the lifecycle, but an end is an end."""
        late = state.phase is Phase.ENDED and seen in (Seen.INHERITED, Seen.IN_PROGRESS)
        return state if late else lifecycle.step(state, seen)


class IgnoresFence(Variant):
    """A process that was stopped goes on although another has its entry."""

    rule = "lease"
    config = STOPPED
    faults = 0
    shows = "S9"
    stops_without_lease = False


class RefusalOutlivesLease(Variant):
    """A refusal stands although another process holds the entry and submits the sale."""

    rule = "lease"
    config = STOPPED_WHILE_BUSY
    faults = 1

    def step(self, state: State, seen: Seen) -> State:
        """As the lifecycle, but an end is an end."""
        late = state.phase is Phase.ENDED and seen is Seen.LEASE_LOST
        return state if late else lifecycle.step(state, seen)


class JoinerIsForgotten(Variant):
    """A second caller joins, and `unreachable` does not run for it."""

    rule = "joining"
    config = Config(joins=True, relents=False, only=("garbage",))
    faults = 1
    shows = "S5"
    joins_runs = False


class LoopEndsWithoutGrace(Variant):
    """Somebody ends all tasks of the loop, and the run ends at once."""

    rule = "loop's end"
    config = Config(loop_ends=True)
    faults = 0
    shows = "S5"
    grace_at_loop_end = False


class TakesAnyPayment(Variant):
    """The search takes a payment that is another sale's."""

    rule = "search"
    config = Config(journaled=True, other_payment=True, caller_acts=False)
    faults = 0
    shows = "S2"
    excludes_other_payments = False
