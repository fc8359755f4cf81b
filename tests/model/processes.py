"""More than one process: kills, stops, leases, and the recovery of what was left."""

from __future__ import annotations

from . import facts as f
from .answers import NO_ANSWER, REQUESTS, SHOWN
from .rules import Durable, Existence, Phase, Seen, State, Wish
from .runner import Runner

AGES = ("at once", "later", "past the window")


class Processes(Runner):
    """What the end of one process leaves to another."""

    def kill(self, s: f.Facts, out: f.Steps) -> None:
        """The process dies, or it is stopped for long enough to lose its lease."""
        if not self.config.journaled or s[f.HISTORY] & f.KILLED or s[f.PROCESS] != f.FIRST:
            return
        n = s[:]
        n[f.HISTORY] |= f.KILLED
        n[f.PROCESS], n[f.ACTIVITY] = f.DEAD, f.DONE
        for timer in f.TIMERS:
            n[timer] = 0
        if self.config.kills:
            out.append(("the process is killed", bytes(n)))
        if self.config.stops and s[f.HISTORY] & f.BEGUN:
            self._stop(s, n)
            out.append(("the process is stopped", bytes(n)))

    def _stop(self, s: f.Facts, n: f.Facts) -> None:
        """Keep what is to be continued. The answer to what is in flight is lost."""
        state = self.states[s[f.MACHINE]]
        machine = s[f.MACHINE]
        if s[f.ACTIVITY] in (f.HELD, f.SILENT):
            machine = self.after(machine, self.rules.weigh(state, NO_ANSWER))
        n[f.OLD] = machine + 1
        n[f.OLD_WAITS] = s[f.CALLER] == f.WAITS
        n[f.OLD_WRITTEN], n[f.OLD_HAS_ID] = s[f.ENTRY], s[f.ENTRY_ID]

    # Recovery ----------

    def recover(self, s: f.Facts, out: f.Steps) -> None:
        """Another process claims the entry, soon or late, to finish or to cancel the sale."""
        if not self.config.journaled or s[f.PROCESS] == f.SECOND:
            return
        if s[f.ENTRY] not in f.OPEN_ENTRIES:
            return
        for age in AGES[:1] if s[f.ENTRY_ID] else AGES:
            if age == AGES[2] and s[f.OLD]:
                continue  # no fence at the gateway: a limit, see docs/lifecycle.md
            self._search(s, age, out)
            for cancel in (False, True):
                self._take_over(s, age, cancel, out)

    def _take_over(self, s: f.Facts, age: str, cancel: bool, out: f.Steps) -> None:
        wished = cancel or s[f.ENTRY] == Durable.CANCELING
        stale, expired = age != AGES[0], age == AGES[2]
        found = self.rules.take_over(
            known=bool(s[f.ENTRY_ID]), cancel=wished, stale=stale, expired=expired
        )
        if found is None:
            return
        n = self._claimed(s)
        n[f.MACHINE], n[f.ACTIVITY] = self.number(found), f.ACT
        n[f.HISTORY] = (s[f.HISTORY] & f.KILLED) | f.BEGUN | (f.WISHED if wished else 0)
        if expired:
            n[f.FORGOTTEN], n[f.ON_ITS_WAY] = 1, 0
        self.watch(n, found, found, Seen.RECORDED)
        out.append((f"recovered {age}, to {'cancel' if cancel else 'finish'}", bytes(n)))

    def _claimed(self, s: f.Facts) -> f.Facts:
        n = s[:]
        n[f.PROCESS] = f.SECOND
        for fact in (f.CALLER, f.CLOSING, f.KEPT, f.JOURNAL_FAILED, *f.TIMERS):
            n[fact] = 0
        if s[f.JOINER] == f.JOINED:
            n[f.JOINER] = f.GONE
        return n

    def _search(self, s: f.Facts, age: str, out: f.Steps) -> None:
        """What is stale and has no id: look for a payment of its order, before anything is sent."""
        if s[f.ENTRY_ID] or age == AGES[0] or s[f.ENTRY] == Durable.CANCELING:
            return
        mine = int(s[f.INSTRUCTION] == f.COMPLETED)
        others = self.config.other_payment and not self.rules.excludes_other_payments
        if mine + others == 1:
            n = self._claimed(s)
            n[f.ENTRY], n[f.RECOVERY_REPORT], n[f.ACTIVITY] = Durable.COMPLETED, f.PAID, f.DONE
            out.append((f"searched {age}: one payment is found", bytes(n)))
        elif age == AGES[2]:
            n = self._claimed(s)
            n[f.ENTRY], n[f.RECOVERY_REPORT], n[f.ACTIVITY] = f.ENTRY_UNKNOWN, f.UNKNOWN, f.DONE
            out.append(("searched past the window: the outcome is unknown", bytes(n)))

    # A process that was stopped ----------

    def continue_old(self, s: f.Facts, out: f.Steps) -> None:
        """The stopped process goes on, although another has its entry: one step of it."""
        if not s[f.OLD] or s[f.PROCESS] != f.SECOND:
            return
        state = self.states[s[f.OLD] - 1]
        self._old_timeout(s, state, out)
        if state.phase is Phase.PREPARE:
            n = s[:]
            n[f.OLD] = self.after(s[f.OLD] - 1, Seen.RECORDED) + 1
            out.append(("stopped process: ready to submit", bytes(n)))
        elif self._old_has_to_write(s, state):
            self._old_write(s, state, out)
        else:
            self._old_request(s, state, out)

    def _old_timeout(self, s: f.Facts, state: State, out: f.Steps) -> None:
        if state.wish < Wish.CANCEL and state.phase is not Phase.ENDED:
            n = s[:]
            n[f.OLD] = self.after(s[f.OLD] - 1, Seen.CANCEL) + 1
            out.append(("stopped process: its timeout has passed", bytes(n)))

    def _old_has_to_write(self, s: f.Facts, state: State) -> bool:
        if state.phase is Phase.ENDED or self.rules.durable(state) > s[f.OLD_WRITTEN]:
            return True
        return state.existence is Existence.KNOWN and not s[f.OLD_HAS_ID]

    def _old_write(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """The write is fenced off: the entry belongs to another process."""
        n = s[:]
        if not self.rules.stops_without_lease:
            self._old_ignores_fence(n, state)
            out.append(("stopped process: writes, and goes on", bytes(n)))
            return
        after = self.states[self.after(s[f.OLD] - 1, Seen.LEASE_LOST)]
        n[f.OLD] = 0
        if s[f.OLD_WAITS]:
            n[f.REPORT] = self.report_of(after)
        out.append((f"stopped process: lease lost, ended: {after.outcome.name.lower()}", bytes(n)))

    def _old_ignores_fence(self, n: f.Facts, state: State) -> None:
        self.problems.append("S9: a process writes an entry whose lease it has lost")
        n[f.OLD_WRITTEN] = n[f.ENTRY] = max(self.rules.durable(state), n[f.OLD_WRITTEN])
        n[f.OLD_HAS_ID] = 1
        if state.phase is Phase.ENDED:
            n[f.OLD] = 0

    def _old_request(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """One request of it, answered at once."""
        name = f"stopped process: {REQUESTS[state.phase]}"
        for label, n, seen in self._old_answers(s, state):
            n[f.OLD] = self.after(n[f.OLD] - 1, seen) + 1
            if n != s:
                out.append((f"{name}: {label}", bytes(n)))
        if s[f.FAULTS]:
            for label, effect, seen in self.menu(state):
                n = s[:]
                self.spend(n)
                if effect and not self.take_effect(n, state.phase):
                    continue
                n[f.OLD] = self.after(n[f.OLD] - 1, seen) + 1
                out.append((f"{name} {'took effect, ' * effect}answered by {label}", bytes(n)))

    def _old_answers(self, s: f.Facts, state: State) -> list[tuple[str, f.Facts, int]]:
        if state.phase is Phase.SUBMIT:
            return self.arrive(s[:], state)
        n = s[:]
        if state.phase is Phase.CANCEL:
            if s[f.ENTRY] < Durable.CANCELING:
                self.problems.append("S9: a process cancels a sale that another process finishes")
            self.take_effect(n, Phase.CANCEL)
            return [("done", n, Seen.DELETED)]
        if state.phase is Phase.READ:
            return [("the payment", n, Seen.RESOURCE)]
        if s[f.INSTRUCTION]:
            return [("answered", n, SHOWN[s[f.INSTRUCTION]])]
        return []
