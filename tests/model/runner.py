"""The runner: it writes ahead, sends, keeps deadlines and reports."""

from __future__ import annotations

from . import facts as f
from .requests import Requests
from .rules import Durable, Existence, Outcome, Phase, Seen, State

_NOTHING_MADE = (Outcome.REFUSED, Outcome.UNSENT)


class Runner(Requests):
    """What the process does that runs the sale."""

    def run(self, s: f.Facts, state: State, out: f.Steps) -> bool:
        """All that the process may do now; False if it only waits."""
        if s[f.ACTIVITY] == f.ACT:
            if state.phase is Phase.ENDED:
                self._end(s, state, out)
            elif not self._write(s, state, out):
                if state.phase is Phase.PREPARE:
                    self._submit_next(s, out)
                else:
                    self.send(s, state, out)
            return True
        busy = self.rules.writes_wish_at_once and self._write(s, state, out)
        if s[f.ACTIVITY] == f.HELD and s[f.INSTRUCTION] != f.RUNNING:
            busy = True
            self.release_held(s, state, out)
        return self._due(s, state, out) or busy

    # Writing ----------

    def _write(self, s: f.Facts, state: State, out: f.Steps) -> bool:
        """Write ahead, if there is anything to write."""
        if not state.journaled or s[f.JOURNAL_FAILED] or state.phase is Phase.ENDED:
            return False
        if state.phase is Phase.PREPARE:
            return self._begin(s, out)
        known = state.existence is Existence.KNOWN
        need = self.rules.durable(state)
        if not known and not self.rules.writes_intent_first:
            return False
        if need is Durable.CANCELING and not self.rules.writes_wish_first:
            need = Durable.SUBMITTED if known else Durable.INTENT
        if s[f.ENTRY] >= need and (s[f.ENTRY_ID] or not known):
            return False
        n = s[:]
        n[f.ENTRY], n[f.ENTRY_ID] = max(need, s[f.ENTRY]), known
        out.append((f"[{need.name.lower()} is durable]", bytes(n)))
        if s[f.FAULTS] and self.config.journal_faults:
            for written in (False, True):
                failed = n[:] if written else s[:]
                self.spend(failed)
                failed[f.JOURNAL_FAILED] = 1
                out.append((f"the journal fails{', yet it is written' * written}", bytes(failed)))
        return True

    def _begin(self, s: f.Facts, out: f.Steps) -> bool:
        """Make the intent durable, once."""
        if s[f.HISTORY] & f.BEGUN or not self.rules.writes_intent_first:
            return False
        n = s[:]
        n[f.HISTORY] |= f.BEGUN
        n[f.ENTRY] = max(Durable.INTENT, s[f.ENTRY])
        out.append(("[intent is durable]", bytes(n)))
        if s[f.FAULTS] and self.config.journal_faults:
            for written in (False, True):
                failed = s[:]
                self.spend(failed)
                failed[f.ENTRY] = n[f.ENTRY] if written else s[f.ENTRY]
                self.feed(failed, Seen.HOPELESS)
                out.append((f"the journal fails{', yet it is written' * written}", bytes(failed)))
        return True

    def _submit_next(self, s: f.Facts, out: f.Steps) -> None:
        n = s[:]
        n[f.HISTORY] |= f.BEGUN
        if s[f.INHERITED] and s[f.ENTRY_ID]:
            self.feed(n, Seen.IN_PROGRESS)
            out.append(("the journal has the id of an earlier call", bytes(n)))
        else:
            self.feed(n, Seen.INHERITED if s[f.INHERITED] else Seen.RECORDED)
            out.append(("ready to submit", bytes(n)))

    # Deadlines ----------

    def _due(self, s: f.Facts, state: State, out: f.Steps) -> bool:
        """The deadlines that are over, in any order."""
        before = len(out)
        if s[f.REQUEST_TIMER] == 1:
            self.request_due(s, state, out)
        if s[f.UNREACHABLE_TIMER] == 1:
            self._unreachable(s, out)
        if s[f.GRACE_TIMER] == 1:
            n = s[:]
            n[f.GRACE_TIMER], n[f.CALLER], n[f.REPORT] = 0, f.RELEASED, f.CANCELLED_ERROR
            if n[f.JOINER] != f.JOINED:
                self.feed(n, Seen.ALONE)
            out.append(("the grace is over: CancelledError", bytes(n)))
        if s[f.CLOSE_TIMER] == 1:
            self._abort(s, state, out)
        found = len(out) > before
        endless = not self.config.relents and self.rules.replays_end
        if endless and s[f.HISTORY] & f.UNREACHABLE and state.phase is Phase.SUBMIT:
            n = s[:]
            n[f.HISTORY] |= f.EXCUSED
            self.feed(n, Seen.REPLAYS_OVER)
            out.append(("no more replays", bytes(n)))
        return found

    def _unreachable(self, s: f.Facts, out: f.Steps) -> None:
        n = s[:]
        n[f.UNREACHABLE_TIMER] = 0
        n[f.HISTORY] |= f.EXCUSED | f.WISHED | f.UNREACHABLE
        self.feed(n, Seen.UNREACHABLE)
        if self.states[n[f.MACHINE]].phase is not Phase.ENDED:
            self.report(n, f.UNKNOWN)
        out.append(("`unreachable` passes", bytes(n)))

    def _abort(self, s: f.Facts, state: State, out: f.Steps) -> None:
        n = s[:]
        n[f.CLOSE_TIMER] = 0
        n[f.HISTORY] |= f.EXCUSED
        self.feed(n, Seen.ABORT)
        if self.states[n[f.MACHINE]].outcome is Outcome.UNKNOWN and self.rules.keeps_unresolved:
            n[f.KEPT] = 1
        steady = self.config.refuses or self.config.busy_first
        in_order = s[f.HISTORY] & f.RELENTED and not steady and s[f.INSTRUCTION] == f.RUNNING
        if in_order and not state.detachable:
            self.problems.append("S3b: no fault since the close, and the grace was too short")
        out.append(("closing: the grace is over, aborted", bytes(n)))

    # Ending ----------

    def _end(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """The lifecycle has ended: make that durable, then report it."""
        n = s[:]
        if s[f.INHERITED] and s[f.HISTORY] & f.BEGUN and not state.inherited:
            # The entry was read when a wish had ended the sale.
            self.feed(n, Seen.IN_PROGRESS if s[f.ENTRY_ID] else Seen.INHERITED)
            state = self.states[n[f.MACHINE]]
            s = n[:]
        need = self._last_word(s, state)
        if state.journaled and s[f.ENTRY]:
            n[f.ENTRY] = need
            n[f.ENTRY_ID] |= need < Durable.COMPLETED and state.existence is Existence.KNOWN
            if s[f.FAULTS] and self.config.journal_faults:
                self._fail_to_end(s, n, state, out)
        self._report_end(n, state)
        out.append((f"ended: {state.outcome.name.lower()}", bytes(n)))

    def _last_word(self, s: f.Facts, state: State) -> int:
        need = self.rules.durable(state)
        not_begun = not s[f.HISTORY] & f.BEGUN and state.outcome in _NOTHING_MADE
        if not_begun and s[f.INHERITED]:
            return s[f.ENTRY]  # the entry is an earlier call's; this one has written nothing
        return need if need > Durable.CANCELING else max(need, s[f.ENTRY])

    def _fail_to_end(self, s: f.Facts, done: f.Facts, state: State, out: f.Steps) -> None:
        for written in (False, True):
            n = done[:] if written else s[:]
            self.spend(n)
            n[f.JOURNAL_FAILED] = 1
            if self.rules.reports_only_durable:
                n[f.HISTORY] |= f.EXCUSED
                self.feed(n, Seen.NOT_DURABLE)
            after = self.states[n[f.MACHINE]]
            if after.phase is Phase.ENDED:
                self._report_end(n, after)
            out.append((f"the journal fails at the end{', yet it is written' * written}", bytes(n)))

    def _report_end(self, n: f.Facts, state: State) -> None:
        outcome = state.outcome
        unknown = outcome is Outcome.UNKNOWN
        if unknown and not n[f.HISTORY] & f.EXCUSED:
            self.problems.append("S5: unknown, although `unreachable` has not passed")
        if outcome is Outcome.LEFT and n[f.HISTORY] & f.WISHED:
            self.problems.append("S8: left running on purpose, although a cancellation was wanted")
        alone = not (state.journaled or state.detachable)
        if unknown and alone and not n[f.CLOSING] and self.config.relents:
            self.problems.append("S3c: given up while the session is open")
        if unknown and n[f.CALLER] != f.WAITS and self.rules.keeps_unresolved:
            n[f.KEPT] = 1
        self.report(n, self.report_of(state))
        n[f.ACTIVITY] = f.DONE
        n[f.CLOSING] = 2 if n[f.CLOSING] else 0
        for timer in f.TIMERS:
            n[timer] = 0
