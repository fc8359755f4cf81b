"""The rules that are explored: the package's own, with the runner's habits as switches."""

from __future__ import annotations

from typing import NamedTuple

from payroc_async.instructions import lifecycle
from payroc_async.instructions.lifecycle import (
    Durable,
    Existence,
    Outcome,
    Phase,
    Seen,
    State,
    Wish,
)

from .facts import SHORT

__all__ = ["Answer", "Config", "Durable", "Existence", "Outcome", "Phase", "Rules", "Seen"]
__all__ += ["State", "Wish", "lifecycle"]


class Config(NamedTuple):
    """What a sale is like, and what may happen to it."""

    journaled: bool = False
    detachable: bool = False
    key_is_callers: bool = False
    timed: bool = False
    refuses: bool = False  # the gateway refuses this request, always
    busy_first: bool = False  # the gateway looks whether the device is busy before it looks at keys
    caller_acts: bool = True  # the caller is canceled, the timeout passes, the session closes
    joins: bool = False  # a second caller joins, with the same key
    loop_ends: bool = False  # somebody ends all tasks of the loop
    kills: bool = True
    stops: bool = False  # the process is stopped, loses its lease and is continued
    journal_faults: bool = True
    proxies_lie: bool = True  # a proxy answers 4xx although the request took effect
    arrives_late: bool = True  # a lost POST may arrive later
    relents: bool = True  # there is a number of faults; without it they go on for ever
    proxy_repeats: bool = False  # a proxy repeats a POST by itself
    other_payment: bool = False  # the search also finds the payment of another sale
    only: tuple[str, ...] = ()  # the only faults there are; all, if empty

    def __str__(self) -> str:
        defaults = type(self)()._asdict()
        changed = {name: at for name, at in self._asdict().items() if at != defaults[name]}
        words = [
            name if at is True else f"{'no ' if at is False else ''}{name}"
            for name, at in changed.items()
            if name != "only"
        ]
        return ", ".join(words + [f"only {fault}" for fault in self.only]) or "plain"


class Answer(NamedTuple):
    """An answer to a request that failed, as the wire shows it."""

    label: str
    sent: bool = True
    status: int = 0  # 0: no answer, or none that can be read
    own: bool = False
    hopeless: bool = False  # the identity service refuses the API key
    key_in_use: bool = False
    held: bool = False


class Rules:
    """The lifecycle, and the runner's habits. A broken variant changes one of them."""

    probe_patience = SHORT  # C1
    hurries = True  # C2
    keeps_unresolved = True  # C7
    writes_intent_first = True  # J1
    writes_wish_first = True  # J2
    writes_wish_at_once = True  # J3
    reports_only_durable = True  # J4
    replays_end = True  # C3
    stops_without_lease = True
    joins_runs = True
    grace_at_loop_end = True
    excludes_other_payments = True

    step = staticmethod(lifecycle.step)
    durable = staticmethod(lifecycle.durable)
    clock = staticmethod(lifecycle.clock)
    take_over = staticmethod(lifecycle.take_over)

    def begin(self, config: Config) -> State:
        """The state before the submission."""
        return lifecycle.begin(
            journaled=config.journaled,
            detachable=config.detachable,
            key_is_callers=config.key_is_callers,
        )

    def weigh(self, state: State, answer: Answer) -> int:
        """What a failed request proves, with the token's refusal as the runner sees it."""
        if answer.hopeless:
            return Seen.HOPELESS
        return lifecycle.weigh(
            state.phase,
            sent=answer.sent,
            status=answer.status,
            own=answer.own,
            key_in_use=answer.key_in_use,
            held=answer.held,
        )
