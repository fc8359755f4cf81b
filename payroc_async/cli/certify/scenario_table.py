"""A scenario, as data, and the decorator that adds it to a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

from attrs import frozen

from .bench import Bench

__all__ = ["FEATURES", "Scenario", "Table", "Tier"]

Tier = Literal["required", "recommended", "if used", "open question", "attest"]
Run = Callable[[Bench], Awaitable[None]]

FEATURES = {
    "signature": "signatures taken on the device",
    "tip": "tips that the device asks for",
    "surcharge": "surcharging",
    "closed-loop": "closed-loop cards",
    "pre-authorization": "pre-authorizations and their captures",
    "token": "cards that are saved in a sale, and charged later",
    "settlement": "reports on batches and transactions",
    "unattended": "how an instruction ends that no one answers; takes ten minutes",
}
"""What ``--with`` may name."""


@frozen(kw_only=True)
class Scenario:
    """One scenario.

    Source: contract section 14; those named OBS are ours, about what its section 16 leaves open.

    Args:
        title: What the scenario does.
        expected: The expected result.
        feature: Its feature, from `FEATURES`; empty for required scenarios.
        device: Whether a person must be at the device.
    """

    id: str
    tier: Tier
    title: str
    expected: str
    run: Run
    feature: str = ""
    device: bool = False


class Table(dict[str, Scenario]):
    """Scenarios by id, in the order of their runs."""

    def add(
        self,
        id: str,
        tier: Tier,
        title: str,
        expected: str,
        *,
        feature: str = "",
        device: bool = False,
    ) -> Callable[[Run], Run]:
        """Return a decorator that adds a scenario."""

        def enter(run: Run) -> Run:
            assert id not in self, id
            self[id] = Scenario(
                id=id,
                tier=tier,
                title=title,
                expected=expected,
                run=run,
                feature=feature,
                device=device,
            )
            return run

        return enter
