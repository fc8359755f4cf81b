"""Whether two processes asked for the status of one instruction at once.

A process that is stopped can't hear that its lock is lost and its sale another's: its request stays
open, and it may send one more when it goes on. Everyone else has no excuse.
"""

from __future__ import annotations

from math import inf

from attrs import define, field

from payroc_async.simulator import Observed

from .processes import Member

__all__ = ["Overlaps"]

HEARS_WITHIN = 2.0
"""Seconds within which a process that goes on is connected again, and knows what was taken."""


@define
class Overlaps:
    """Holds each status request against those of the other processes for the instruction.

    Args:
        members: The processes.

    Attributes:
        excused: How many were of a process that was stopped.
        wrong: The others.
    """

    members: list[Member]
    excused: int = 0
    wrong: list[str] = field(factory=list)
    _asked: dict[str, list[tuple[str, float, float]]] = field(factory=dict)
    """By instruction: which process asked from when until when."""

    def note(self, name: str, seen: Observed) -> None:
        """Take in a status request that has ended."""
        asked = self._asked.setdefault(seen.instruction_id or "", [])
        # The dead ask no more, however late the gateway notices.
        dead = [member.killed[name] for member in self.members if name in member.killed]
        ended = min([inf if seen.ended is None else seen.ended, *dead])
        for other, since, until in asked:
            at = max(since, seen.started)
            if other != name and at < min(until, ended):
                self._judge(name, other, at, f"{seen.instruction_id} by {name} and {other}")
        asked.append((name, seen.started, ended))

    def _judge(self, name: str, other: str, at: float, what: str) -> None:
        if self._was_stopped(name, at) or self._was_stopped(other, at):
            self.excused += 1
        else:
            self.wrong.append(what)

    def _was_stopped(self, name: str, at: float) -> bool:
        return any(
            since <= at <= until + HEARS_WITHIN
            for member in self.members
            for since, until in member.stops.get(name, ())
        )
