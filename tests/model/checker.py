"""Breadth first through every state: the shortest trace to each violation, and no endless run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from attrs import define, field

from . import facts as f
from .requests import NO_CHANGE
from .rules import Config, Phase, Rules
from .world import World

__all__ = ["Result", "explore"]

LIMIT = 30_000_000
"""States of one configuration, beyond which memory is short."""


@define
class Result:
    """What an exploration has found.

    Attributes:
        states: How many states were reached.
        steps: How many steps lead from one to another.
        machine: How many states the lifecycle itself was in.
        seconds: How long it took.
        found: The trace to each kind of violation, one step a line.
    """

    states: int = 0
    steps: int = 0
    machine: int = 0
    seconds: float = 0.0
    found: dict[str, list[str]] = field(factory=dict)


def _is_good(label: str) -> bool:
    """Whether a poll shows that nothing has changed: the cardholder may take for ever."""
    return label.startswith("GET") and label.endswith(NO_CHANGE)


class Exploration:
    """One world, as far as it was explored.

    Args:
        world: What is explored.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.parents: dict[bytes, tuple[bytes, str] | None] = dict.fromkeys(world.initial())
        self.steps: dict[bytes, list[bytes]] = {}  # where the sale must not stay for ever
        self.result = Result()

    def run(self, *, stop_at: str | None) -> None:
        """Reach every state; stop early once a violation begins with ``stop_at``."""
        world, parents, found = self.world, self.parents, self.result.found
        todo = deque(parents)
        while todo:
            state = todo.popleft()
            steps = world.next(state)
            for wrong in world.violations(state) + world.problems:
                if wrong not in found:
                    found[wrong] = self.trace(state)
            if stop_at is not None and any(wrong.startswith(stop_at) for wrong in found):
                break
            self.result.steps += len(steps)
            if self._must_be_left(state):
                self.steps[state] = [after for label, after in steps if not _is_good(label)]
            for label, after in steps:
                if after not in parents:
                    parents[after] = (state, label)
                    todo.append(after)
            if len(parents) > LIMIT:
                raise MemoryError(f"more than {LIMIT} states")
        self.result.states, self.result.machine = len(parents), len(world.states)

    def trace(self, state: bytes) -> list[str]:
        """The shortest way to a state."""
        steps = ["=> " + self.world.show(state)]
        came = self.parents[state]
        while came is not None:
            before, label = came
            steps.append(label)
            came = self.parents[before]
        return steps[::-1]

    def find_endless(self) -> None:
        """Find states that may recur for ever (S5)."""
        for state in self._on_cycles():
            phase = self.world.states[state[f.MACHINE]].phase
            if state[f.CALLER] != f.RELEASED or state[f.JOINER] == f.JOINED:
                self._add("S5: a caller may wait for ever", state)
            elif phase is not Phase.ENDED:
                self._add("S5: a run may go on for ever", state)

    def _add(self, wrong: str, state: bytes) -> None:
        if wrong not in self.result.found:
            self.result.found[wrong] = self.trace(state)

    def _must_be_left(self, state: bytes) -> bool:
        """Whether the sale must leave this state in the end."""
        if state[f.ACTIVITY] == f.DONE or state[f.PROCESS] == f.DEAD:
            return False
        machine, config = self.world.states[state[f.MACHINE]], self.world.config
        alone = state[f.CALLER] == f.RELEASED and state[f.JOINER] != f.JOINED
        if not config.relents:
            # The callers are released all the same. What never left has attempts that are counted.
            return not alone and machine.phase is not Phase.PREPARE
        if state[f.FAULTS]:
            return False
        never_says = config.refuses or config.busy_first
        return not (alone and machine.phase is Phase.SUBMIT and never_says)

    def _on_cycles(self) -> Iterator[bytes]:
        """Kahn's algorithm: what can't be removed is on a cycle, or behind one."""
        indegree = dict.fromkeys(self.steps, 0)
        for state in indegree:
            for after in self.steps[state]:
                if after in indegree:
                    indegree[after] += 1
        ready = [state for state, degree in indegree.items() if not degree]
        while ready:
            for after in self.steps[ready.pop()]:
                if after in indegree:
                    indegree[after] -= 1
                    if not indegree[after]:
                        ready.append(after)
        return (state for state, degree in indegree.items() if degree)


def explore(rules: Rules, config: Config, faults: int, *, stop_at: str | None = None) -> Result:
    """Explore every state of a configuration with up to so many faults.

    Args:
        rules: The lifecycle, or a broken variant.
        config: What the sale is like.
        faults: How many faults may happen.
        stop_at: Stop at the first violation that begins so; None to find all.

    Returns:
        What was found: nothing in ``found`` if all holds.
    """
    began = time.perf_counter()
    exploration = Exploration(World(rules, config, faults))
    exploration.run(stop_at=stop_at)
    if not (stop_at and exploration.result.found):
        exploration.find_endless()
    exploration.result.seconds = time.perf_counter() - began
    return exploration.result
