"""The lifecycle holds in every order of events with up to two faults; no broken rule is missed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness.programs import ROOT

from . import facts
from .broken import VARIANTS, Variant
from .checker import explore
from .configurations import CONFIGURATIONS
from .rules import Answer, Config, Outcome, Rules, Seen, State
from .table import PAGE, draw, fill
from .world import World

RULES = [f"E{n}" for n in range(1, 10)] + [f"C{n}" for n in range(1, 10)]
RULES += [f"J{n}" for n in range(1, 7)]


def lines(found: dict[str, list[str]]) -> str:
    """Every violation with the way to it, one step a line."""
    return "\n".join("\n    ".join([wrong, *trace]) for wrong, trace in found.items())


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=str)
def test_all_holds_with_two_faults(config: Config) -> None:
    """No order of events and no two faults break a promise. Where faults go on, one is enough."""
    result = explore(Rules(), config, 2 if config.relents else 1)
    assert not result.found, lines(result.found)
    assert result.states > 1000


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.__name__)
def test_a_broken_rule_is_found(variant: type[Variant]) -> None:
    """The checker finds each broken rule, by the violation that it is expected to lead to."""
    broken = explore(variant(), variant.config, variant.faults, stop_at=variant.shows)
    assert any(wrong.startswith(variant.shows) for wrong in broken.found), lines(broken.found)
    if variant.config not in CONFIGURATIONS:  # those are explored above
        intact = explore(Rules(), variant.config, variant.faults)
        assert not intact.found, lines(intact.found)


def test_every_rule_is_broken_once() -> None:
    """No rule of the design lacks a variant."""
    assert set(RULES) - {variant.rule for variant in VARIANTS} == set()


def test_a_trace_reads_step_by_step() -> None:
    """A counterexample is the shortest way, in words, and ends with the state in words."""

    class BelievesAnything(Rules):
        def weigh(self, state: State, answer: Answer) -> int:
            return Seen.REFUSED

    found = explore(BelievesAnything(), Config(only=("garbage",)), 1).found
    trace = found["S1: 'nothing was made' was reported, but there is an instruction"]
    assert trace[:-1] == [
        "ready to submit",
        "POST took effect, answered by garbage",
        "ended: refused",
    ]
    assert trace[-1].startswith("=> lifecycle: ENDED, KEEP, NONE; gateway: inProgress; journal: -;")


def test_an_endless_run_is_found() -> None:
    """A lifecycle that never leaves a state is found although it breaks nothing else."""

    class NeverReads(Rules):
        @staticmethod
        def step(state: State, seen: Seen) -> State:
            after = Rules.step(state, seen)
            return state if after.outcome is Outcome.COMPLETED else after

    found = explore(NeverReads(), Config(caller_acts=False, only=("garbage",)), 0).found
    assert list(found) == ["S5: a caller may wait for ever"]


def test_the_world_makes_payments_and_losses() -> None:
    """The exploration reaches the ends that it is made for: it is not hollow."""
    world = World(Rules(), Config(journaled=True, joins=True), 1)
    seen, todo = set(world.initial()), world.initial()
    while todo:
        for _, after in world.next(todo.pop()):
            if after not in seen:
                seen.add(after)
                todo.append(after)
    reports = {state[facts.REPORT] for state in seen}
    assert reports >= {facts.PAID, facts.NEGATIVE, facts.UNKNOWN, facts.CANCELLED_ERROR}
    assert {state[facts.JOINER_REPORT] for state in seen} >= {facts.PAID, facts.NEGATIVE}
    assert {state[facts.RECOVERY_REPORT] for state in seen} >= {facts.PAID, facts.NEGATIVE}
    assert {state[facts.ENTRY] for state in seen} >= set(range(7))


def test_the_command_prints_a_verdict() -> None:
    """``python -m tests.model`` says what it explored, and that all holds."""
    command = [sys.executable, "-m", "tests.model", "--faults", "1", "--only", "timed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout
    assert done.stdout.rstrip().endswith("all hold")


def test_the_page_is_what_the_code_draws() -> None:
    """docs/lifecycle.md has the tables of this code, and each rule."""
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, draw()) == page, "run python -m tests.model.table"
    missing = [rule for rule in RULES if f"\n| {rule} |" not in page]
    assert not missing
