"""What is worth retrying, and how long to wait before it. Source: design, P8."""

from __future__ import annotations

import asyncio
import random

import pytest

from payroc_async import errors as e
from payroc_async.config import RetryPolicy
from payroc_async.retry import backoff_delay, may_have_taken_effect, worth_retrying

RETRIED = {408, 425, 429, 500, 502, 503, 504}
# 425 and 429 are refusals: what was refused has done nothing.
POLICY = RetryPolicy(attempts=3, initial=0.5, maximum=4.0, retry_after_maximum=20.0)


def answered(status: int, retry_after: float | None = None) -> e.APIError:
    return e.APIError(status, e.Problem(), retry_after=retry_after)


@pytest.fixture
def longest_jitter(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Makes every jitter the longest; returns the bounds it was asked for."""
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    return bounds


def test_p8_statuses_that_pass_are_retried_and_no_other() -> None:
    """408, 425, 429, 500, 502, 503 and 504 are retried; 400, 401, 403, 404, 409 never."""
    for status in range(400, 600):
        assert worth_retrying(answered(status)) is (status in RETRIED), status


NEVER_BEGUN = (401, 407, 425, 429, 501, 505)


def test_a_status_tells_whether_the_request_may_have_taken_effect() -> None:
    """An answer from before or after the work leaves it open; a refusal of the gateway's does not.

    A proxy may answer anything after it has passed a request on (rule of evidence E2).
    """
    fragment = "https://docs.payroc.com/api/errors#bad-request"
    for status in range(400, 600):
        own = answered(status)
        own.problem = e.Problem(type=fragment, status=status)
        assert own.own
        begun = status not in NEVER_BEGUN
        assert may_have_taken_effect(own) is (status == 408 or (status >= 500 and begun)), status
        assert may_have_taken_effect(answered(status)) is begun, status


def test_p8_a_proxys_403_and_407_are_final() -> None:
    """The proxy does not know the user, or does not let the host pass; nothing was sent."""
    error = e.TransportError("the proxy refused", request_sent=False)
    for status in range(300, 600):
        error.proxy_status = status
        assert worth_retrying(error) is (status not in (403, 407)), status
        assert not may_have_taken_effect(error), status


@pytest.mark.parametrize(
    ("error", "retried", "maybe_done"),
    [
        (e.TransportError("refused", request_sent=False), True, False),
        (e.TransportError("reset", request_sent=True), True, True),
        (e.RequestTimeoutError("no connection", request_sent=False), True, False),
        (e.RequestTimeoutError("no answer", request_sent=True), True, True),
        (e.ResponseFormatError("not JSON"), True, True),
        (e.ConfigurationError("timeout", "wrong"), False, False),
        (e.SessionClosedError("closed"), False, False),
        (e.DeviceBusyError("1850010868"), False, False),
        (e.PayrocError("any"), False, False),
        (ValueError("a bug"), False, False),
        (OSError("not one of ours"), False, False),
    ],
    ids=repr,
)
def test_p8_what_else_is_retried(error: Exception, retried: bool, maybe_done: bool) -> None:
    """No answer and unreadable answers are retried; errors of the caller or of ours are not."""
    assert worth_retrying(error) is retried
    assert may_have_taken_effect(error) is maybe_done


def test_p8_a_cancellation_is_never_retried() -> None:
    """A CancelledError and its like are no failures of a request."""
    assert not worth_retrying(asyncio.CancelledError())
    assert not worth_retrying(KeyboardInterrupt())


def test_p8_the_backoff_doubles_up_to_its_maximum(
    longest_jitter: list[tuple[float, float]],
) -> None:
    """The longest delay is `initial`, doubled with each failure, and never over `maximum`."""
    error = answered(503)
    delays = [backoff_delay(error, attempt, POLICY) for attempt in range(1, 7)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert {low for low, _ in longest_jitter} == {0.0}


@pytest.mark.parametrize("attempt", [1, 2, 3, 10, 1_000, 1_000_000])
def test_p8_the_jitter_is_full(attempt: int) -> None:
    """The delays fill the whole of zero to the longest, however many failures there were."""
    longest = min(4.0, 0.5 * 2 ** min(attempt - 1, 10))
    dice = random.getstate()
    random.seed(20)
    try:
        delays = [backoff_delay(answered(503), attempt, POLICY) for _ in range(500)]
    finally:
        random.setstate(dice)
    assert all(0.0 <= delay <= longest for delay in delays)
    assert min(delays) < 0.05 * longest
    assert max(delays) > 0.95 * longest


@pytest.mark.parametrize(
    ("retry_after", "least"), [(0.0, 0.0), (3.0, 3.0), (20.0, 20.0), (3600.0, 20.0)]
)
def test_p8_retry_after_is_honoured_and_capped(retry_after: float, least: float) -> None:
    """The delay is what the answer asked for, at most the cap, and a little jitter on top."""
    delays = [backoff_delay(answered(429, retry_after), 5, POLICY) for _ in range(200)]
    assert all(least <= delay <= least + POLICY.initial for delay in delays)
    assert len(set(delays)) > 1


def test_p8_retry_after_wins_over_the_backoff(longest_jitter: list[tuple[float, float]]) -> None:
    """A Retry-After that is longer than the policy's `maximum` is still honored."""
    assert backoff_delay(answered(503, 10.0), 9, POLICY) == 10.0 + POLICY.initial


def test_p8_a_delay_may_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest jitter is no delay at all, and still a number."""
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    delay = backoff_delay(answered(503), 1, POLICY)
    assert delay == 0.0
    assert isinstance(delay, float)
