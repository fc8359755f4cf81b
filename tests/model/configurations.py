"""What is explored, whole."""

from __future__ import annotations

from .rules import Config

__all__ = ["CONFIGURATIONS", "STOPPED", "STOPPED_WHILE_BUSY"]

_BOTH = (False, True)
_FEW = ("garbage", "own 400", "silence", "a proxy's 504 after a hold")
STOPPED = Config(
    journaled=True,
    kills=False,
    stops=True,
    journal_faults=False,
    only=("garbage", "own 400", "own 409", "silence", "no connection"),
)
STOPPED_WHILE_BUSY = STOPPED._replace(busy_first=True, only=("garbage", "own 409"))

CONFIGURATIONS = [
    *(Config(journaled=journaled, detachable=detach) for journaled in _BOTH for detach in _BOTH),
    *(Config(key_is_callers=True, detachable=detach) for detach in _BOTH),
    *(Config(refuses=True, journaled=journaled) for journaled in _BOTH),
    Config(busy_first=True),
    Config(busy_first=True, journaled=True, detachable=True),
    *(Config(relents=False, detachable=detach) for detach in _BOTH),
    Config(relents=False, journaled=True, only=_FEW[:1]),
    Config(relents=False, journaled=True, detachable=True, only=_FEW[:2]),
    Config(timed=True),
    *(Config(joins=True, detachable=detach) for detach in _BOTH),
    Config(joins=True, relents=False),
    *(Config(loop_ends=True, detachable=detach) for detach in _BOTH),
    *(STOPPED._replace(detachable=detach) for detach in _BOTH),
    STOPPED_WHILE_BUSY,
    Config(journaled=True, key_is_callers=True),
    Config(journaled=True, key_is_callers=True, detachable=True, only=_FEW),
    Config(journaled=True, other_payment=True, caller_acts=False),
]
