"""Which failures are transient, and how long to back off before a retry. Pure.

Source: contract section 8. Load balancers and proxies may answer in place of the gateway.
"""

from __future__ import annotations

import random

from .config import RetryPolicy
from .errors import APIError, ResponseFormatError, TransportError

__all__ = ["backoff_delay", "may_have_taken_effect", "worth_retrying"]

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PROXY_REFUSES = frozenset({403, 407})
"""Proxy refusals of the user or the host, which are permanent: a retry is refused, too."""
_NEVER_BEGUN = frozenset({401, 407, 425, 429, 501, 505})


def worth_retrying(error: BaseException) -> bool:
    """Whether the failure is transient: the same request may succeed a little later.

    A malformed answer is transient: a proxy may have truncated or replaced it.
    """
    if isinstance(error, APIError):
        return error.status in _PASSING
    if isinstance(error, TransportError) and error.proxy_status in _PROXY_REFUSES:
        return False
    return isinstance(error, TransportError | ResponseFormatError)


def may_have_taken_effect(error: Exception) -> bool:
    """Whether the failed request may have taken effect at the gateway."""
    if isinstance(error, TransportError):
        return error.request_sent
    if isinstance(error, APIError):
        if error.status in _NEVER_BEGUN:
            return False
        # A proxy may answer with any status, such as 524 for a late answer, after it has forwarded
        # the request (E2). Only the gateway's own refusal proves that there was no effect.
        return error.status in (408, *range(500, 600)) or not error.own
    return isinstance(error, ResponseFormatError)


def backoff_delay(error: BaseException, attempt: int, policy: RetryPolicy) -> float:
    """Return the seconds to wait after failure number ``attempt`` (from 1).

    Exponential backoff with full jitter, or the answer's ``Retry-After``, capped.
    """
    longest = min(policy.maximum, policy.initial * 2.0 ** min(attempt - 1, 64))
    delay = random.uniform(0.0, longest)
    if isinstance(error, APIError) and error.retry_after is not None:
        # The added jitter keeps a thousand devices from retrying at the same moment.
        return min(error.retry_after, policy.retry_after_maximum) + min(delay, policy.initial)
    return delay
