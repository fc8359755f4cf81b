"""The lifecycle inside the world: it is fed with what was seen, and the runner follows."""

from __future__ import annotations

from . import facts as f
from .answers import DOUBTFUL, UNDOUBTED, WITHOUT_EFFECT
from .rules import Answer, Config, Existence, Outcome, Phase, Rules, Seen, State, Wish

Fault = tuple[str, bool, int]  # label, took effect, what is seen

_REPORTS = {
    Outcome.COMPLETED: f.PAID,
    Outcome.LEFT: f.LEFT,
    Outcome.UNKNOWN: f.UNKNOWN,
}


class Machine:
    """Feeds the lifecycle, which `rules` may have broken.

    Args:
        rules: The lifecycle and the runner's habits.
        config: What the sale is like.
        faults: How many faults may happen.
    """

    def __init__(self, rules: Rules, config: Config, faults: int) -> None:
        self.rules = rules
        self.config = config
        self.faults = faults
        self.states: list[State] = []
        self.problems: list[str] = []  # of the steps that were computed last
        self._numbers: dict[State, int] = {}
        self._steps: dict[tuple[int, int], int] = {}
        self._menus: dict[State, list[Fault]] = {}

    def number(self, state: State) -> int:
        """The number that stands for a state of the lifecycle."""
        number = self._numbers.get(state)
        if number is None:
            number = self._numbers[state] = len(self.states)
            self.states.append(state)
        return number

    def after(self, machine: int, seen: int) -> int:
        """The number of the state after something was seen."""
        key = (machine, seen)
        number = self._steps.get(key)
        if number is None:
            state = self.rules.step(self.states[machine], Seen(seen))
            number = self._steps[key] = self.number(state)
        return number

    def feed(self, n: f.Facts, seen: int) -> None:
        """Give the lifecycle what was seen, and have the runner act on it if need be."""
        before = self.states[n[f.MACHINE]]
        n[f.MACHINE] = self.after(n[f.MACHINE], seen)
        after = self.states[n[f.MACHINE]]
        if after.existence is Existence.KNOWN is not before.existence:
            n[f.ID_GIVEN] |= n[f.CALLER] != f.RELEASED or n[f.JOINER] == f.JOINED
        if after.phase is Phase.ENDED:
            n[f.ACTIVITY], n[f.REQUEST_TIMER], n[f.UNREACHABLE_TIMER] = f.ACT, 0, 0
            return
        if after.phase is not before.phase or after.wish is not before.wish:
            self._interrupt(n, before, after)
        self.watch(n, before, after, seen)

    def _interrupt(self, n: f.Facts, before: State, after: State) -> None:
        in_flight = n[f.ACTIVITY] in (f.HELD, f.SILENT)
        if n[f.ACTIVITY] == f.PAUSED or (in_flight and before.phase is Phase.POLL):
            n[f.ACTIVITY], n[f.REQUEST_TIMER] = f.ACT, 0
        elif in_flight and after.wish is Wish.CANCEL and self.rules.hurries:
            n[f.REQUEST_TIMER] = min(n[f.REQUEST_TIMER], f.SHORT + 1)

    def watch(self, n: f.Facts, before: State, after: State, seen: int) -> None:
        """Start, stop or leave the clock of `unreachable`."""
        anew = self.rules.clock(before, after, Seen(seen), timed=self.config.timed)
        if anew is False:
            n[f.UNREACHABLE_TIMER] = 0
        elif anew or not n[f.UNREACHABLE_TIMER]:
            n[f.UNREACHABLE_TIMER] = f.UNREACHABLE_AFTER + 1

    def spend(self, n: f.Facts) -> None:
        """Count a fault, unless there is no end of them."""
        if self.config.relents:
            n[f.FAULTS] -= 1

    def allows(self, fault: str) -> bool:
        """Whether the configuration has such a fault."""
        return not self.config.only or fault in self.config.only

    def menu(self, state: State) -> list[Fault]:
        """The faults that the phase's request may meet; of equal ones the first."""
        known = self._menus.get(state)
        if known is not None:
            return known
        found: dict[tuple[bool, int], str] = {}
        for answer, effect in self._answers(state.phase):
            if self.allows(answer.label):
                found.setdefault((effect, self.rules.weigh(state, answer)), answer.label)
        menu = [(label, effect, seen) for (effect, seen), label in found.items()]
        self._menus[state] = menu
        return menu

    def _answers(self, phase: Phase) -> list[tuple[Answer, bool]]:
        repeatable = phase is not Phase.SUBMIT
        doubtful = self.config.proxies_lie or repeatable
        answers = [(answer, effect) for answer in UNDOUBTED for effect in (False, True)]
        answers += [(answer, False) for answer in DOUBTFUL + WITHOUT_EFFECT]
        answers += [(answer, True) for answer in DOUBTFUL if doubtful]
        answers += [(answer, True) for answer in WITHOUT_EFFECT if answer.sent and repeatable]
        return answers

    def report_of(self, state: State) -> int:
        """What a caller is given for an end."""
        report = _REPORTS.get(state.outcome, f.NEGATIVE)
        nothing_made = state.outcome in (Outcome.REFUSED, Outcome.UNSENT)
        return f.NOT_MINE if nothing_made and state.existence is Existence.EARLIER else report

    def report(self, n: f.Facts, report: int) -> None:
        """Give all callers that wait a report; those that were canceled get a CancelledError."""
        if n[f.PROCESS] == f.SECOND:
            n[f.RECOVERY_REPORT] = report
        elif n[f.CALLER] == f.WAITS:
            n[f.REPORT] = report
        elif n[f.CALLER] == f.CANCELED_WAITS:
            n[f.REPORT] = f.LEFT if report == f.LEFT else f.CANCELLED_ERROR
        n[f.CALLER], n[f.GRACE_TIMER] = f.RELEASED, 0
        if n[f.JOINER] == f.JOINED:
            n[f.JOINER], n[f.JOINER_REPORT] = f.GONE, report
