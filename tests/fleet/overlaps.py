"""Whether two processes asked for the status of one instruction at once.

A process that is stopped can't hear that its lock is lost and its sale another's: its request stays
open, and it may send one more when it goes on. Everyone else has no excuse. A request whose client
has closed its connection has ended, though the gateway may read of that after the next request.
"""

from __future__ import annotations

from math import inf

from attrs import define, field, frozen

from payroc_async.simulator import Observed

from .processes import Member

__all__ = ["Overlaps"]

HEARS_WITHIN = 2.0
"""Seconds within which a process that goes on is connected again, and knows what was taken."""
READ_WITHIN = 0.25
"""Seconds within which a busy gateway has read that a connection is closed."""


@frozen
class _Asked:
    """A status request: of which process, from when until when, and whether it was answered."""

    name: str
    since: float
    until: float
    answered: bool


@define
class Overlaps:
    """Holds each status request against those of the other processes for the instruction.

    Args:
        members: The processes.

    Attributes:
        excused: How many were of a process that was stopped.
        read_late: For how long each seemed to overlap whose connection was closed by then.
        wrong: The others.
    """

    members: list[Member]
    excused: int = 0
    read_late: list[float] = field(factory=list)
    wrong: list[str] = field(factory=list)
    _asked: dict[str, list[_Asked]] = field(factory=dict)
    """By instruction."""

    def note(self, name: str, seen: Observed) -> None:
        """Take in a status request that has ended."""
        asked = self._asked.setdefault(seen.instruction_id or "", [])
        # The dead ask no more, however late the gateway notices.
        dead = [member.killed[name] for member in self.members if name in member.killed]
        ended = min([inf if seen.ended is None else seen.ended, *dead])
        one = _Asked(name, seen.started, ended, seen.status is not None)
        for other in asked:
            if other.name != name:
                self._judge(*sorted([one, other], key=lambda each: each.since))
        asked.append(one)

    def _judge(self, first: _Asked, second: _Asked) -> None:
        lasted = min(first.until, second.until) - second.since
        if lasted <= 0:
            return
        if self._was_stopped(first.name, second.since) or self._was_stopped(
            second.name, second.since
        ):
            self.excused += 1
        elif not first.answered and first.until <= second.until and lasted < READ_WITHIN:
            self.read_late.append(lasted)
        else:
            self.wrong.append(f"for {lasted:.3f} s: {first}, {second}")

    def _was_stopped(self, name: str, at: float) -> bool:
        return any(
            since <= at <= until + HEARS_WITHIN
            for member in self.members
            for since, until in member.stops.get(name, ())
        )
