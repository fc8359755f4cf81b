"""What a broken set of rules is."""

from __future__ import annotations

from .rules import Config, Outcome, Phase, Rules, Seen, State, lifecycle

__all__ = ["Variant", "end"]


def end(state: State, outcome: Outcome) -> State:
    """The state, ended."""
    return state._replace(phase=Phase.ENDED, outcome=outcome)


class Variant(Rules):
    """A set of rules of which one is broken.

    Attributes:
        rule: The name of that rule.
        config: The configuration that shows it.
        faults: With how many faults.
        shows: How the violation begins.
    """

    rule = ""
    config = Config()
    faults = 2
    shows = "S1"

    def broken(self, state: State, seen: Seen) -> State | None:
        """The state after something was seen; None where the lifecycle decides."""
        return None

    def step(self, state: State, seen: Seen) -> State:
        """As the lifecycle, but where the rule is broken."""
        changed = None if state.phase is Phase.ENDED else self.broken(state, seen)
        return lifecycle.step(state, seen) if changed is None else changed
