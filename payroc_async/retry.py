"""Which failures are worth another try, and how long to wait before it. Pure.

Source: contract section 8: between the SDK and the gateway stand load balancers and proxies.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .config import RetryPolicy
from .errors import APIError, ResponseFormatError, TransportError

__all__ = ["Backoff", "backoff_delay", "may_have_taken_effect", "worth_retrying"]

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_NEVER_BEGUN = frozenset({501, 505})


def worth_retrying(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later.

    An answer that can't be read is among them: a proxy may have cut or replaced it.
    """
    if isinstance(error, APIError):
        return error.status in _PASSING
    return isinstance(error, TransportError | ResponseFormatError)


def may_have_taken_effect(error: Exception) -> bool:
    """Whether the request that failed so may have done its work at the gateway all the same."""
    if isinstance(error, TransportError):
        return error.request_sent
    if isinstance(error, APIError):
        # Proxies have statuses of their own, such as 524 for an answer that came too late.
        return error.status == 408 or (error.status >= 500 and error.status not in _NEVER_BEGUN)
    return isinstance(error, ResponseFormatError)


def backoff_delay(error: BaseException, attempt: int, policy: RetryPolicy) -> float:
    """Seconds to wait after the failure number ``attempt`` (from 1).

    Exponential with full jitter, or what the answer asked for with ``Retry-After``, capped.
    """
    longest = min(policy.maximum, policy.initial * 2.0 ** min(attempt - 1, 64))
    delay = random.uniform(0.0, longest)
    if isinstance(error, APIError) and error.retry_after is not None:
        # The jitter on top keeps a thousand devices from coming back in the same instant.
        return min(error.retry_after, policy.retry_after_maximum) + min(delay, policy.initial)
    return delay


class Backoff:
    """Answers, failure by failure, how long to wait before the next try, or that there is none.

    Called with each error in turn, in the manner of a ``stamina`` backoff hook.

    Args:
        policy: Bounds and growth of the delays.
        keep_trying: Asked with each error and its number whether to go on; by default up to
            ``policy.attempts`` for what ``worth_retrying`` names.
        on_retry: Told each error, its number and the delay, before the wait.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        keep_trying: Callable[[Exception, int], bool] | None = None,
        on_retry: Callable[[Exception, int, float], None] | None = None,
    ) -> None:
        self._policy = policy
        self._keep_trying = keep_trying or self._within_attempts
        self._on_retry = on_retry
        self._failures = 0

    def _within_attempts(self, error: Exception, failures: int) -> bool:
        return worth_retrying(error) and failures < self._policy.attempts

    def __call__(self, error: BaseException) -> float | bool:
        """Seconds to wait before the next try; False if there is none."""
        # stamina shows its hook a CancelledError too.
        if not isinstance(error, Exception):
            return False
        self._failures += 1
        if not self._keep_trying(error, self._failures):
            return False
        delay = backoff_delay(error, self._failures, self._policy)
        if self._on_retry is not None:
            self._on_retry(error, self._failures, delay)
        return delay
