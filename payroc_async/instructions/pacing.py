"""How long one instruction's requests are waited for, and how long the pauses between them are."""

from __future__ import annotations

import asyncio

from payroc_async.config import RetryPolicy, Timeouts
from payroc_async.retry import backoff_delay

from .lifecycle import Phase, Wish

__all__ = ["Pacing"]


class Pacing:
    """Patience and pauses. Once a cancellation is wanted, both are fractions of the grace (C2).

    Args:
        loop: The session's event loop.
        timeouts: ``cancel_grace`` is the grace, ``poll_interval`` the shortest patience.
        retries: The backoff while nobody waits for a cancellation.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timeouts: Timeouts, retries: RetryPolicy
    ) -> None:
        self._loop = loop
        self._timeouts = timeouts
        self._retries = retries
        self._grace_ends = 0.0
        self._cuts = 0

    def hurry(self) -> None:
        """Begin the grace anew."""
        self._grace_ends = self._loop.time() + self._timeouts.cancel_grace
        self._cuts = 0

    def cut(self, phase: Phase) -> None:
        """Count a request that was cut, so that the next gets a larger fraction.

        A probe that was cut shows no slow network: the gateway holds it while nothing changes.
        """
        if phase is not Phase.PROBE:
            self._cuts += 1

    def _grace_left(self) -> float:
        return self._grace_ends - self._loop.time()

    def patience(self, phase: Phase, wish: Wish) -> float | None:
        """Seconds to wait for a request; None for as long as any other is waited for."""
        left = 0.0 if wish is Wish.KEEP else self._grace_left()
        if left <= 0:
            # C1: a probe is never held for the gateway's hold.
            return self._timeouts.cancel_grace if phase is Phase.PROBE else None
        eighths = 2 * self._cuts + (1 if phase is Phase.PROBE else 2)
        return max(self._timeouts.poll_interval, left * min(eighths, 6) / 8)

    def delay(self, error: BaseException, failures: int, wish: Wish) -> float:
        """Seconds to wait after a failure before the next attempt."""
        delay = backoff_delay(error, failures, self._retries)
        left = self._grace_left()
        if wish is Wish.KEEP or left <= 0:
            return delay
        return min(delay, max(left / 4, self._timeouts.poll_interval))
