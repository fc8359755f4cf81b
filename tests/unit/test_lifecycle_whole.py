"""What holds for every step of the lifecycle, from every state that can be reached."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from payroc_async.instructions import lifecycle
from payroc_async.instructions.lifecycle import (
    Durable,
    Existence,
    Outcome,
    Phase,
    Seen,
    State,
    clock,
    durable,
    resume,
    step,
)
from tests.model.table import reachable


def transitions() -> Iterable[tuple[State, Seen, State]]:
    """Every step from every state that can be reached."""
    return ((state, seen, step(state, seen)) for state in reachable() for seen in Seen)


def test_every_pair_is_defined_and_stays_within_reach() -> None:
    """Whatever is seen in whatever state, what follows is a state with an entry for the journal."""
    states = reachable()
    assert len(states) > 100
    for before, seen, following in transitions():
        assert following in states
        assert isinstance(durable(following), Durable)
        assert clock(before, following, seen, timed=False) in (True, False, None)
        assert (following.phase is Phase.ENDED) == (following.outcome is not Outcome.NONE)


def test_c5_wishes_and_existence_only_rise() -> None:
    """C5: no step takes back a wish, or what the gateway may know, from any state."""
    for before, seen, following in transitions():
        assert following.wish >= before.wish, (before, seen)
        assert following.existence >= before.existence, (before, seen)
        assert following.inherited >= before.inherited, (before, seen)


def test_constants_stay() -> None:
    """Whether there is a journal, and what ``on_cancel`` says, never changes."""
    for before, _, following in transitions():
        assert following[-2:] == before[-2:]


def test_no_end_is_taken_back_but_a_nameless_one() -> None:
    """An end is final, unless the journal did not take it."""
    for before, seen, following in transitions():
        if before.phase is Phase.ENDED and following.outcome is not before.outcome:
            assert seen in (Seen.NOT_DURABLE, Seen.LEASE_LOST)
            assert (before.outcome, following.outcome) in (
                (Outcome.REFUSED, Outcome.UNKNOWN),
                (Outcome.UNSENT, Outcome.UNKNOWN),
                (Outcome.LEFT, Outcome.NONE),
            )


def test_a_resumed_sale_is_polled() -> None:
    """An instruction whose id is known begins with its status."""
    assert resume(journaled=False, detachable=False) == State(Phase.POLL, existence=Existence.KNOWN)


def test_the_module_is_pure() -> None:
    """It imports nothing but enum and typing: no I/O, no clock."""
    tree = ast.parse(Path(lifecycle.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    assert imported == {"__future__", "enum", "typing"}
