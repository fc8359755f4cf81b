"""Which failures are worth another try, and how long to wait before it. Pure.

Source: contract section 8: between the SDK and the gateway stand load balancers and proxies.
"""

from __future__ import annotations

import random

from .config import RetryPolicy
from .errors import APIError, ResponseFormatError, TransportError

__all__ = ["backoff_delay", "may_have_taken_effect", "worth_retrying"]

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROXY_REFUSES = frozenset({403, 407})
"""A proxy that knows neither the user nor the host: the next attempt is refused as well."""
_NEVER_BEGUN = frozenset({401, 407, 425, 429, 501, 505})


def worth_retrying(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later.

    An answer that can't be read is among them: a proxy may have cut or replaced it.
    """
    if isinstance(error, APIError):
        return error.status in _PASSING
    if isinstance(error, TransportError) and error.proxy_status in _PROXY_REFUSES:
        return False
    return isinstance(error, TransportError | ResponseFormatError)


def may_have_taken_effect(error: Exception) -> bool:
    """Whether the request that failed so may have done its work at the gateway all the same."""
    if isinstance(error, TransportError):
        return error.request_sent
    if isinstance(error, APIError):
        if error.status in _NEVER_BEGUN:
            return False
        # Proxies have statuses of their own, such as 524 for an answer that came too late, and may
        # answer anything after they have passed a request on (E2): the gateway alone can refuse.
        return error.status in (408, *range(500, 600)) or not error.own
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
