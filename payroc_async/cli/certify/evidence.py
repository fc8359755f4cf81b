"""The evidence of a certification: all attempts at all scenarios, as one JSON file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cattrs
import orjson
from attrs import asdict, define, field, frozen

from payroc_async import ConfigurationError, __version__

__all__ = [
    "SIMULATOR",
    "Attempt",
    "Evidence",
    "Exchange",
    "Status",
    "load_evidence",
    "now",
    "save_evidence",
]

SIMULATOR = "the simulator"
"""The gateway's name where there was none."""
Status = Literal["running", "passed", "failed", "skipped", "waiting", "recorded", "interrupted"]
"""``waiting``: the gateway must do something first, such as close a batch. ``recorded``:
undocumented behavior was tried, and the answer recorded. ``running``: the process crashed."""


def now() -> str:
    """Return the current time in the evidence's format."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@frozen(kw_only=True)
class Exchange:
    """One request and its answer, without secrets.

    Args:
        note: How this command tampered with it, such as discarding its answer; empty if it did not.
        status: The HTTP status; None without an answer.
    """

    method: str
    path: str
    request_headers: dict[str, str]
    request_body: Any
    body_sha256: str
    status: int | None
    answer_headers: dict[str, str]
    answer_body: Any
    started: str
    seconds: float
    note: str = ""
    error: str = ""


@define(kw_only=True)
class Attempt:
    """One attempt at a scenario.

    Attributes:
        tag: What ``order.orderId`` begins with in this attempt's requests.
        reason: Why it failed, was skipped or waits.
        facts: The evidence that the scenario asks for: ids, keys, statuses.
    """

    scenario: str
    number: int
    tag: str
    status: Status = "running"
    reason: str = ""
    facts: dict[str, Any] = field(factory=dict)
    notes: list[str] = field(factory=list)
    exchanges: list[Exchange] = field(factory=list)
    log: list[str] = field(factory=list)
    started: str = field(factory=now)
    ended: str = ""


@define(kw_only=True)
class Evidence:
    """All of a certification: for which gateway and device, and every attempt, oldest first."""

    gateway: str
    serial_number: str
    processing_terminal_id: str
    currency: str
    project: str
    format: int = 1
    made_by: str = f"payroc-async {__version__}"
    attempts: list[Attempt] = field(factory=list)

    def last(self, scenario: str) -> Attempt | None:
        """Return the latest attempt at a scenario."""
        return next((one for one in reversed(self.attempts) if one.scenario == scenario), None)

    def begin(self, scenario: str) -> Attempt:
        """Add a new attempt, with its own number and tag."""
        number = 1 + sum(one.scenario == scenario for one in self.attempts)
        tag = f"{self.project}-{scenario}-{number}"
        attempt = Attempt(scenario=scenario, number=number, tag=tag)
        self.attempts.append(attempt)
        return attempt

    def fact(self, scenario: str, name: str) -> Any:
        """Return a fact from the latest attempt that has it; None if there is none."""
        for one in reversed(self.attempts):
            if one.scenario == scenario and name in one.facts:
                return one.facts[name]
        return None


def load_evidence(path: Path, fresh: Evidence) -> Evidence:
    """Load the evidence of an earlier run; return ``fresh`` if there is none.

    Raises:
        ConfigurationError: The file can't be read, or is about another gateway, device or terminal.
    """
    try:
        kept = cattrs.structure(orjson.loads(path.read_bytes()), Evidence)
    except FileNotFoundError:
        return fresh
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        raise ConfigurationError(
            "--output", f"{path} can't be read ({type(error).__name__}): name another folder"
        ) from None
    for name in ("gateway", "serial_number", "processing_terminal_id", "currency", "project"):
        if getattr(kept, name) != getattr(fresh, name):
            raise ConfigurationError(
                "--output",
                f"{path} is about {name} {getattr(kept, name)!r}, not {getattr(fresh, name)!r}: "
                "name another folder",
            )
    return kept


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Write the evidence atomically."""
    text = orjson.dumps(asdict(evidence), option=orjson.OPT_INDENT_2)
    beside = path.with_suffix(".part")
    beside.write_bytes(text + b"\n")
    os.replace(beside, path)
