"""The real runner, supervisor and journal writer, under every mix of trouble, in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache

import pytest

from payroc_async.instructions import lifecycle, runner
from payroc_async.instructions.lifecycle import Existence, Outcome, Phase, Seen, State

from .runs import simulate, simulate_one
from .sale import Plan

PORTIONS, SALES = 20, 1_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A simulation logs as much as a million sales do."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_every_sale_comes_to_its_true_end(portion: int) -> None:
    """20,000 sales: none doubled, orphaned, lost, hung or reported untruly."""
    report = simulate("suite", portion * SALES, SALES)
    assert sum(report.ends.values()) == SALES
    assert not report.wrong, "\n".join(report.wrong)
    assert {"completed", "canceled", "failure"} <= set(report.ends)


def test_a_seed_reproduces_its_sale() -> None:
    """The same seed gives the same schedule."""
    for number in range(20):
        plan = Plan.of(f"again/{number}")
        assert simulate_one(plan) == simulate_one(plan)


def _refused(state: State, seen: Seen) -> State | None:
    lost = state.phase is Phase.SUBMIT and state.existence is Existence.POSSIBLE
    return _end(state, Outcome.REFUSED) if lost and seen is Seen.REFUSED else None


def _deleted(state: State, seen: Seen) -> State | None:
    deleted = state.phase is Phase.CANCEL and seen is Seen.DELETED
    return _end(state, Outcome.CANCELED) if deleted else None


def _refused_poll(state: State, seen: Seen) -> State | None:
    refused = state.phase is Phase.POLL and seen is Seen.REFUSED
    return _end(state, Outcome.CANCELED) if refused else None


def _undurable(state: State, seen: Seen) -> State | None:
    return state if seen is Seen.NOT_DURABLE else None


def _end(state: State, outcome: Outcome) -> State:
    return state._replace(phase=Phase.ENDED, outcome=outcome)


@pytest.mark.parametrize("broken", [_refused, _deleted, _refused_poll], ids=["E1", "E5", "E4"])
def test_a_broken_rule_is_found(monkeypatch: pytest.MonkeyPatch, broken: object) -> None:
    """With a rule broken some sale goes wrong, and its shortest schedule is told."""

    def step(state: State, seen: Seen) -> State:
        changed = broken(state, seen)  # type: ignore[operator]
        return lifecycle.step(state, seen) if changed is None else changed

    monkeypatch.setattr(runner, "step", step)
    monkeypatch.setattr(runner, "_transition", cache(runner._transition.__wrapped__))
    report = simulate("broken", 0, 2_000)
    assert report.wrong
    assert "Plan(seed='broken/" in report.wrong[0]
