"""A local Payroc gateway for development and tests: no account, no network, no card."""

from __future__ import annotations

from .arguments import OMIT
from .faults import (
    Fault,
    FaultAction,
    Faults,
    delay,
    drop_after,
    drop_before,
    edit,
    empty,
    garbage,
    hang,
    hang_after,
    html,
    huge,
    problem,
    rate_limited,
    redirect,
    revoke_token,
    status,
    truncated,
    wrong_content_type,
)
from .gateway import Simulator
from .observations import Observed
from .samples import sample_payment
from .simulated_devices import Device
from .simulated_instructions import SimInstruction

__all__ = [
    "OMIT",
    "Device",
    "Fault",
    "FaultAction",
    "Faults",
    "Observed",
    "SimInstruction",
    "Simulator",
    "delay",
    "drop_after",
    "drop_before",
    "edit",
    "empty",
    "garbage",
    "hang",
    "hang_after",
    "html",
    "huge",
    "problem",
    "rate_limited",
    "redirect",
    "revoke_token",
    "sample_payment",
    "status",
    "truncated",
    "wrong_content_type",
]
