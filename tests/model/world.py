"""The world of one sale, and what must hold in it.

A state is `bytes`, one small number for each fact. Time is exact and discrete: it passes only while
everything waits, and then to the next deadline. Everything else may happen in any order.
"""

from __future__ import annotations

from . import facts as f
from .processes import Processes
from .rules import Durable, Phase, Seen, State, Wish

_MONEY = (f.RUNNING, f.COMPLETED)


class World(Processes):
    """Everything that may happen to one sale, with a number of faults."""

    def initial(self) -> list[bytes]:
        """Where it begins: also in the middle of what an earlier call under the key has left."""
        s = [0] * f.SIZE
        s[f.MACHINE] = self.number(self.rules.begin(self.config))
        s[f.FAULTS] = self.faults
        starts = [s]
        if self.config.key_is_callers:
            entries = [(0, 0)]
            if self.config.journaled:
                entries = [(Durable.INTENT, 0), (Durable.CANCELING, 0)]
                entries += [(Durable.SUBMITTED, 1), (Durable.CANCELING, 1)]
            for entry, has_id in entries:
                starts += self._after_an_earlier_call(s, entry, has_id)
        return [bytes(one) for one in starts]

    def _after_an_earlier_call(self, s: f.Facts, entry: int, has_id: int) -> list[f.Facts]:
        s = s[:]
        s[f.ENTRY], s[f.ENTRY_ID], s[f.INHERITED] = entry, has_id, entry > 0
        starts = [] if has_id or not entry else [s]
        for instruction in (f.RUNNING, f.COMPLETED, f.FAILED, f.CANCELED):
            starts.append(s[:])
            starts[-1][f.INSTRUCTION], starts[-1][f.COUNT] = instruction, 1
        if not has_id:
            starts.append(s[:])
            starts[-1][f.ON_ITS_WAY] = f.BY_EARLIER_CALL
        return starts

    def next(self, state: bytes) -> f.Steps:
        """Every state that may follow, with what happens."""
        self.problems = []
        out: f.Steps = []
        s = list(state)
        machine = self.states[s[f.MACHINE]]
        running = s[f.PROCESS] != f.DEAD and s[f.ACTIVITY] != f.DONE
        self._gateway_acts(s, out)
        if s[f.OLD]:
            self.continue_old(s, out)
        if not running:
            self.recover(s, out)
            return out
        self._caller_acts(s, machine, out)
        self._session_closes(s, machine, out)
        self.kill(s, out)
        if not self.run(s, machine, out):
            out.append(("...", self._tick(s)))
        return out

    def _tick(self, s: f.Facts) -> bytes:
        n = s[:]
        passes = min(n[timer] - 1 for timer in f.TIMERS if n[timer])
        for timer in f.TIMERS:
            if n[timer]:
                n[timer] -= passes
        return bytes(n)

    def _gateway_acts(self, s: f.Facts, out: f.Steps) -> None:
        if s[f.INSTRUCTION] == f.RUNNING:
            for label, instruction in (
                ("the cardholder pays", f.COMPLETED),
                ("the device fails", f.FAILED),
                ("the cardholder cancels", f.CANCELED),
            ):
                n = s[:]
                n[f.INSTRUCTION] = instruction
                out.append((label, bytes(n)))
        if s[f.ON_ITS_WAY]:
            n = s[:]
            n[f.ON_ITS_WAY] = 0
            if not s[f.COUNT] and not self.config.refuses:
                self.create(n, s[f.ON_ITS_WAY])
            out.append(("the lost POST arrives late", bytes(n)))

    # The caller and the session ----------

    def _wish(self, n: f.Facts, state: State) -> None:
        """As ``on_cancel`` says."""
        if not state.detachable:
            n[f.HISTORY] |= f.WISHED
        self.feed(n, Seen.DETACH if state.detachable else Seen.CANCEL)

    def _caller_acts(self, s: f.Facts, state: State, out: f.Steps) -> None:
        if s[f.PROCESS] != f.FIRST or not self.config.caller_acts:
            return
        if s[f.CALLER] == f.WAITS and not s[f.HISTORY] & f.CALLER_CANCELED:
            n = s[:]
            n[f.HISTORY] |= f.CALLER_CANCELED
            n[f.CALLER], n[f.GRACE_TIMER] = f.CANCELED_WAITS, f.GRACE + 1
            self._wish(n, state)
            out.append(("the caller is canceled", bytes(n)))
        waits = s[f.CALLER] == f.WAITS and state.phase is not Phase.ENDED
        if waits and not s[f.HISTORY] & f.TIMED_OUT:
            n = s[:]
            n[f.HISTORY] |= f.TIMED_OUT | f.WISHED
            self.feed(n, Seen.CANCEL)
            out.append(("the timeout passes", bytes(n)))
        if self.config.joins and s[f.JOINER] == f.ABSENT and state.phase is not Phase.ENDED:
            n = s[:]
            n[f.JOINER] = f.JOINED
            if self.rules.joins_runs:
                self.feed(n, Seen.JOINED)
            out.append(("a second caller joins", bytes(n)))

    def _session_closes(self, s: f.Facts, state: State, out: f.Steps) -> None:
        if s[f.CLOSING] or not (self.config.caller_acts or s[f.PROCESS] == f.SECOND):
            return
        n = s[:]
        n[f.CLOSING], n[f.CLOSE_TIMER] = 1, f.GRACE + 1
        if not s[f.FAULTS] and self.config.relents:
            n[f.HISTORY] |= f.RELENTED
        if not self.config.loop_ends:
            self._wish(n, state)
            out.append(("the session closes", bytes(n)))
            return
        # The same for the run, but the callers are canceled at the same time.
        n[f.HISTORY] |= f.CALLER_CANCELED
        if s[f.CALLER] == f.WAITS:
            n[f.CALLER], n[f.GRACE_TIMER] = f.CANCELED_WAITS, f.GRACE + 1
        if n[f.JOINER] == f.JOINED:
            n[f.JOINER] = f.GONE
        self._wish(n, state)
        if not self.rules.grace_at_loop_end:
            self.feed(n, Seen.ABORT)
        out.append(("somebody ends all tasks of the loop", bytes(n)))

    # What must hold in every state ----------

    def violations(self, s: bytes) -> list[str]:
        """The promises that the state breaks."""
        wrong: list[str] = []
        instruction = s[f.INSTRUCTION]
        reports = s[f.REPORT], s[f.JOINER_REPORT], s[f.RECOVERY_REPORT]
        if s[f.COUNT] > 1:
            wrong.append("S1: two instructions of one sale")
        if f.NEGATIVE in reports and instruction in _MONEY:
            wrong.append("S1: 'nothing was made' was reported, but there is an instruction")
        if f.NOT_MINE in reports and s[f.MAKER] & f.BY_THIS_CALL:
            wrong.append("S1: 'not sent by this call' was reported, but it was")
        if f.PAID in reports and instruction != f.COMPLETED:
            wrong.append("S2: a payment was reported that does not exist")
        entry = s[f.ENTRY]
        if entry == Durable.COMPLETED and instruction != f.COMPLETED:
            wrong.append("S6: the journal says completed")
        if entry in (Durable.FAILED, Durable.CANCELED) and instruction in _MONEY:
            wrong.append("S6: the journal says that nothing came of it")
        if self._is_orphaned(s):
            wrong.append("S3: in progress, and no process and no person is responsible")
        if s[f.REPORT] == f.CANCELLED_ERROR and self._forgets_wish(s):
            wrong.append("S7b: the CancelledError has gone on, and the wish is not durable")
        return wrong

    def _is_orphaned(self, s: bytes) -> bool:
        running = s[f.PROCESS] != f.DEAD and s[f.ACTIVITY] != f.DONE
        if running or s[f.OLD] or (s[f.MAKER] | s[f.ON_ITS_WAY]) in (0, f.BY_EARLIER_CALL):
            return False
        if s[f.INSTRUCTION] != f.RUNNING and (s[f.COUNT] or not s[f.ON_ITS_WAY]):
            return False
        reports = s[f.REPORT], s[f.JOINER_REPORT], s[f.RECOVERY_REPORT]
        heir = (self.config.journaled and s[f.ENTRY] in f.OPEN_ENTRIES) or s[f.KEPT]
        known = f.UNKNOWN in reports or f.LEFT in reports
        detached = self.config.detachable and self.states[s[f.MACHINE]].wish < Wish.CANCEL
        return not (heir or known or (detached and s[f.ID_GIVEN]))

    def _forgets_wish(self, s: bytes) -> bool:
        journaled = self.config.journaled and not s[f.JOURNAL_FAILED]
        wished = journaled and not self.config.detachable and not s[f.KEPT]
        begun = s[f.PROCESS] == f.FIRST and s[f.HISTORY] & f.BEGUN
        return bool(wished and begun and s[f.ENTRY] in (Durable.INTENT, Durable.SUBMITTED))

    def show(self, s: bytes) -> str:
        """The state in words."""
        state = self.states[s[f.MACHINE]]
        instruction = ("none", "inProgress", "completed", "failure", "canceled")[s[f.INSTRUCTION]]
        entry = "-"
        if self.config.journaled:
            entry = "unknown" if s[f.ENTRY] == f.ENTRY_UNKNOWN else Durable(s[f.ENTRY]).name.lower()
            entry += " with id" * s[f.ENTRY_ID]
        given = [f.REPORTS[s[fact]] for fact in (f.REPORT, f.JOINER_REPORT, f.RECOVERY_REPORT)]
        reports = ", ".join(report for report in given if report != "-") or "-"
        return (
            f"lifecycle: {state.phase.name}, {state.wish.name}, {state.existence.name}; "
            f"gateway: {instruction}; journal: {entry}; reported: {reports}; "
            f"faults left: {s[f.FAULTS]}"
        )
