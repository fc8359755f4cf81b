"""The answers that a failed request may get: from the gateway, from a proxy, or none."""

from __future__ import annotations

from .facts import CANCELED, COMPLETED, FAILED, RUNNING
from .rules import Answer, Phase, Seen

__all__ = ["BUSY", "HELD_BY_PROXY", "NO_ANSWER", "REFUSED", "REQUESTS", "SHOWN", "TOO_LATE"]
__all__ += ["DOUBTFUL", "UNDOUBTED", "WITHOUT_EFFECT"]

REQUESTS = {
    Phase.SUBMIT: "POST",
    Phase.POLL: "GET",
    Phase.CANCEL: "DELETE",
    Phase.PROBE: "probe",
    Phase.READ: "read",
}
SHOWN = {
    RUNNING: Seen.IN_PROGRESS,
    COMPLETED: Seen.COMPLETED,
    FAILED: Seen.FAILED,
    CANCELED: Seen.CANCELED,
}
NO_ANSWER = Answer("no answer in time")
REFUSED = Answer("refused", status=400, own=True)
BUSY = Answer("busy", status=409, own=True)
TOO_LATE = Answer("too late", status=409, own=True)
HELD_BY_PROXY = Answer("a proxy's 504 after a hold", status=504, held=True)

_OWN = [
    Answer(f"own {status}", status=status, own=True)
    for status in (400, 401, 403, 404, 409, 410, 413, 415)
]
_PROXY = [
    Answer(f"a proxy's {status}", status=status)
    for status in (400, 401, 403, 404, 408, 409, 410, 413, 415, 425, 429)
]
_PROXY_5XX = [
    Answer(f"a proxy's {status}", status=status)
    for status in (500, 501, 502, 503, 504, 505, 507, 520, 599)
]

UNDOUBTED = [Answer("garbage"), Answer("reset"), *_PROXY_5XX]
UNDOUBTED += [Answer("own 500", status=500, own=True)]
UNDOUBTED += [Answer("own 429", status=429, own=True)]
UNDOUBTED += [Answer("own key in use", status=409, own=True, key_in_use=True)]
"""Any of them may come with or without the effect, whatever the request."""
DOUBTFUL = _PROXY
"""Any of them may come after the effect, if proxies lie."""
WITHOUT_EFFECT = [
    *_OWN,
    Answer("no connection", sent=False),
    Answer("no token", sent=False),
    Answer("token refused", sent=False, hopeless=True),
]
"""They come without the effect, but for an own refusal of a request that can be repeated."""
