"""The gateway, and the requests on their way to it and back."""

from __future__ import annotations

from . import facts as f
from .answers import BUSY, HELD_BY_PROXY, NO_ANSWER, REFUSED, REQUESTS, SHOWN, TOO_LATE
from .machine import Machine
from .rules import Durable, Phase, Seen, State, Wish


def _maker(s: f.Facts) -> int:
    return f.BY_RECOVERY if s[f.PROCESS] == f.SECOND else f.BY_THIS_CALL


NO_CHANGE = "still inProgress"
"""The end of each label of a good answer to a status request after which the sale goes on."""


class Requests(Machine):
    """Sends the phase's request, and gives every way in which it may end."""

    def send(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """All that may become of the request that is sent now."""
        self._check_first(s, state)
        if state.phase is Phase.SUBMIT:
            self._post(s, state, out)
        elif state.phase is Phase.CANCEL:
            self._delete(s, state, out)
        elif state.phase is Phase.READ:
            n = s[:]
            self.answer(n, state, Seen.RESOURCE)
            out.append(("read: the payment", bytes(n)))
        else:
            self._get(s, state, out)
        if s[f.FAULTS]:
            self._fail(s, state, out)
            self._stay_silent(s, state, out)

    def _check_first(self, s: f.Facts, state: State) -> None:
        if state.phase is Phase.CANCEL:
            alone = s[f.CALLER] == f.RELEASED  # C6, and then a second caller has joined
            if not s[f.HISTORY] & f.WISHED and state.awaited and not alone:
                self.problems.append("S5b: canceled, although no wish and no `unreachable` came")
            if state.journaled and not s[f.JOURNAL_FAILED] and s[f.ENTRY] < Durable.CANCELING:
                self.problems.append("S7: DELETE before the wish is durable")
        submits = state.phase is Phase.SUBMIT and state.journaled and not s[f.JOURNAL_FAILED]
        if submits and s[f.ENTRY] < Durable.INTENT:
            self.problems.append("S7: POST before the intent is durable")

    def answer(self, n: f.Facts, state: State, seen: int) -> None:
        """An answer has come. After a failure, pause before the next attempt."""
        n[f.ACTIVITY], n[f.REQUEST_TIMER] = f.ACT, 0
        self.feed(n, seen)
        failed = seen >= Seen.HELD and seen != Seen.DELETED
        again = failed or (state.phase is Phase.PROBE and seen == Seen.IN_PROGRESS)
        ended = self.states[n[f.MACHINE]].phase is Phase.ENDED
        if again and not ended and state.phase is not Phase.CANCEL:
            n[f.ACTIVITY], n[f.REQUEST_TIMER] = f.PAUSED, f.SHORT + 1

    # Faults ----------

    def _fail(self, s: f.Facts, state: State, out: f.Steps) -> None:
        name = REQUESTS[state.phase]
        for label, effect, seen in self.menu(state):
            n = s[:]
            self.spend(n)
            if effect and not self.take_effect(n, state.phase):
                continue
            self.answer(n, state, seen)
            out.append((f"{name} {'took effect, ' * effect}answered by {label}", bytes(n)))
        may_be_late = self.config.arrives_late and self.allows("late")
        if state.phase is Phase.SUBMIT and may_be_late and not s[f.COUNT] | s[f.ON_ITS_WAY]:
            n = s[:]
            self.spend(n)
            n[f.ON_ITS_WAY] = _maker(n)
            self.answer(n, state, self.rules.weigh(state, NO_ANSWER))
            out.append(("POST lost, still on its way", bytes(n)))

    def _stay_silent(self, s: f.Facts, state: State, out: f.Steps) -> None:
        if not self.allows("silence"):
            return
        name = REQUESTS[state.phase]
        for effect in (False, True):
            n = s[:]
            self.spend(n)
            if effect and not self.take_effect(n, state.phase):
                continue
            n[f.ACTIVITY], n[f.REQUEST_TIMER] = f.SILENT, self._patience(state) + 1
            out.append((f"{name} {'took effect' if effect else 'lost'}, silence", bytes(n)))

    def _patience(self, state: State) -> int:
        if state.wish is Wish.CANCEL and self.rules.hurries:
            return f.SHORT
        if state.phase is Phase.PROBE:
            return self.rules.probe_patience
        return f.HOLD + 1 if state.phase is Phase.POLL else f.REQUEST

    def take_effect(self, n: f.Facts, phase: Phase) -> bool:
        """What the request does at the gateway; False if it does nothing there."""
        if phase is Phase.SUBMIT:
            if (n[f.COUNT] and not n[f.FORGOTTEN]) or self.config.refuses:
                return False
            self.create(n, _maker(n))
            return True
        if phase is Phase.CANCEL and n[f.INSTRUCTION] == f.RUNNING:
            n[f.INSTRUCTION] = f.CANCELED
            return True
        return False

    # The gateway in order ----------

    def create(self, n: f.Facts, maker: int) -> None:
        """The gateway makes an instruction."""
        n[f.INSTRUCTION], n[f.FORGOTTEN] = f.RUNNING, 0
        n[f.COUNT] = min(n[f.COUNT] + 1, 2)
        n[f.MAKER] |= maker

    def arrive(self, s: f.Facts, state: State) -> list[tuple[str, f.Facts, int]]:
        """A POST arrives: label, what it did, what is seen."""
        if s[f.COUNT] and not s[f.FORGOTTEN]:
            if self.config.busy_first and s[f.INSTRUCTION] == f.RUNNING:
                return [("busy", s, self.rules.weigh(state, BUSY))]
            ways = [("accepted as before", s[:], int(Seen.IN_PROGRESS))]
            if s[f.INSTRUCTION] != f.RUNNING:
                ways.append(("accepted, shown as it is now", s[:], SHOWN[s[f.INSTRUCTION]]))
            return ways
        if self.config.refuses:
            return [("refused", s, self.rules.weigh(state, REFUSED))]
        self.create(s, _maker(s))
        return [("accepted", s, Seen.IN_PROGRESS)]

    def _post(self, s: f.Facts, state: State, out: f.Steps) -> None:
        for label, n, seen in self.arrive(s[:], state):
            self.answer(n, state, seen)
            out.append((f"POST: {label}", bytes(n)))
        if self.config.proxy_repeats and s[f.FAULTS] and not s[f.COUNT]:
            n = s[:]
            self.spend(n)
            self.create(n, _maker(n))
            self.answer(n, state, self.rules.weigh(state, BUSY))
            out.append(("POST took effect, repeated by a proxy: answered busy", bytes(n)))

    def _get(self, s: f.Facts, state: State, out: f.Steps) -> None:
        name = REQUESTS[state.phase]
        n = s[:]
        if s[f.INSTRUCTION] == f.RUNNING:
            long = state.phase is Phase.POLL or self.rules.probe_patience > f.SHORT
            n[f.ACTIVITY], n[f.REQUEST_TIMER] = f.HELD, (f.HOLD if long else f.SHORT) + 1
            out.append((f"{name}: held", bytes(n)))
        elif s[f.INSTRUCTION]:
            seen = SHOWN[s[f.INSTRUCTION]]
            self.answer(n, state, seen)
            out.append((f"{name}: {seen.name.lower()}", bytes(n)))
            if s[f.FAULTS] and self.allows("stale"):
                n = s[:]
                self.spend(n)
                self.answer(n, state, Seen.IN_PROGRESS)
                out.append((f"{name}: a lagging replica says {NO_CHANGE}", bytes(n)))

    def _delete(self, s: f.Facts, state: State, out: f.Steps) -> None:
        n = s[:]
        if self.take_effect(n, Phase.CANCEL):
            self.answer(n, state, Seen.DELETED)
            out.append(("DELETE: done", bytes(n)))
        else:
            self.answer(n, state, self.rules.weigh(state, TOO_LATE))
            out.append(("DELETE: too late", bytes(n)))
        if s[f.FAULTS] and self.allows("2xx"):
            n = s[:]
            self.spend(n)
            self.answer(n, state, Seen.DELETED)
            out.append(("DELETE: 2xx without effect", bytes(n)))

    # What is in flight ----------

    def release_held(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """A held status request is answered, for the status has changed."""
        name = REQUESTS[state.phase]
        n = s[:]
        seen = SHOWN[s[f.INSTRUCTION]]
        self.answer(n, state, seen)
        out.append((f"{name} is answered: {seen.name.lower()}", bytes(n)))
        if s[f.FAULTS]:
            for label, effect, seen_instead in self.menu(state):
                if not effect:
                    n = s[:]
                    self.spend(n)
                    self.answer(n, state, seen_instead)
                    out.append((f"{name} is answered by {label}", bytes(n)))

    def request_due(self, s: f.Facts, state: State, out: f.Steps) -> None:
        """A pause, a hold or the patience with a request is over."""
        n = s[:]
        n[f.REQUEST_TIMER], n[f.ACTIVITY] = 0, f.ACT
        name = REQUESTS.get(state.phase, "")
        if s[f.ACTIVITY] == f.PAUSED:
            out.append(("the pause is over", bytes(n)))
            return
        polled = state.phase is Phase.POLL
        if s[f.ACTIVITY] == f.HELD and (polled or self.rules.probe_patience > f.SHORT):
            if polled and s[f.FAULTS] and self.allows(HELD_BY_PROXY.label):
                cut = s[:]
                self.spend(cut)
                self.answer(cut, state, self.rules.weigh(state, HELD_BY_PROXY))
                out.append(
                    (f"{name} is answered by {HELD_BY_PROXY.label}, {NO_CHANGE}", bytes(cut))
                )
            self.feed(n, Seen.IN_PROGRESS)
            out.append((f"{name}: the hold is over, {NO_CHANGE}", bytes(n)))
            return
        self.feed(n, self.rules.weigh(state, NO_ANSWER))
        out.append((f"{name}: no answer in time", bytes(n)))
