"""What a failed exchange is to a caller: one of our errors, with a reason that shows no answer."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from payroc_async.errors import PayrocError, RequestTimeoutError, TransportError
from payroc_async.secret import chain_of, forget_frames

__all__ = ["ENDING", "broken", "failure_of", "unreadable"]

ENDING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a task or the program, and is never a failed request. Anything else is."""

_MALFORMED = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, HttpProcessingError)

# What aiohttp and its parser say of an answer that they refuse, up to the colon after which they
# quote it: the first word found there names the reason.
_REFUSALS = (
    ("got more than", "a header or its status line is too long"),
    ("too many headers", "it has too many headers"),
    ("status line", "bad status line"),
    ("not enough data", "it was cut off"),
    ("content-encoding", "unknown or damaged content coding"),
    ("deflate", "damaged content coding"),
    ("content-length", "malformed Content-Length"),
    ("chunk", "malformed chunk"),
    ("transfer-encoding", "malformed Transfer-Encoding"),
    ("header", "malformed header"),
)


def failure_of(
    error: BaseException, *, sent: bool, secret: str, status: int | None = None
) -> PayrocError:
    """The error for whatever was raised within an HTTP exchange.

    Args:
        error: What was raised.
        sent: Whether the request may have left.
        secret: The token or key that the request carried; no cause that shows it is chained.
        status: The answer's status, where it was known before the failure.
    """
    if isinstance(error, PayrocError):
        return forget_frames(error)
    failure = _translated(error, sent, status)
    cause = error.__cause__ if isinstance(error, aiohttp.ClientConnectorError) else error
    if cause is not None and _is_safe(cause, secret):
        failure.__cause__ = forget_frames(cause)
    return failure


def _translated(error: BaseException, sent: bool, status: int | None) -> TransportError:
    if isinstance(error, TimeoutError):
        if not sent or isinstance(error, aiohttp.ConnectionTimeoutError):
            return RequestTimeoutError("no connection in time", request_sent=False)
        return RequestTimeoutError("no answer in time", request_sent=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refusal(error.status)
    if isinstance(error, aiohttp.ClientConnectorError):
        return TransportError(f"no connection: {error}", request_sent=False)
    if isinstance(error, _MALFORMED):
        return unreadable(status, _refusal(error), sent=sent)
    if isinstance(error, aiohttp.ClientError | OSError | asyncio.IncompleteReadError):
        return broken(error, sent=sent)
    # Whatever else: a resolver without a thread, a hook of the application's, a bug.
    name = type(error).__name__
    return TransportError(f"the HTTP request failed with {name}", request_sent=sent)


def _proxy_refusal(status: int) -> TransportError:
    """The error for a proxy that made no tunnel: nothing left through it."""
    error = TransportError(f"the proxy refused with status {status}", request_sent=False)
    error.proxy_status = status
    return error


def unreadable(status: int | None, reason: str, *, sent: bool = True) -> TransportError:
    """The error for an answer that is no proper HTTP; its status may be known."""
    which = "the answer" if status is None else f"the answer with status {status}"
    return TransportError(f"{which} can't be read: {reason}", request_sent=sent)


def broken(error: BaseException, *, sent: bool = True) -> TransportError:
    """The error for a connection that broke, after the request may have left."""
    # Only the operating system's words: aiohttp's may quote the answer.
    reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return TransportError(f"the connection broke: {reason}", request_sent=sent)


def _refusal(error: BaseException) -> str:
    link = error if isinstance(error, HttpProcessingError) else error.__cause__
    said = link.message if isinstance(link, HttpProcessingError) else str(error)
    head = said.partition(":")[0].lower()
    return next((reason for words, reason in _REFUSALS if words in head), "malformed HTTP")


def _is_safe(cause: BaseException, secret: str) -> bool:
    """Whether neither the cause nor anything chained to it shows the secret, or an answer."""
    return all(_shows_nothing(link, secret) for link in chain_of(cause))


def _shows_nothing(link: BaseException, secret: str) -> bool:
    # These hold the request's headers, and quote the line that can't be read.
    quoting = aiohttp.ClientError | HttpProcessingError | asyncio.IncompleteReadError
    if isinstance(link, quoting) and not isinstance(link, OSError):
        return False
    try:
        return secret not in f"{link} {link!r} {vars(link)!r}"
    except Exception:
        return False  # one that can't even be shown
