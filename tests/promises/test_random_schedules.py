"""P1, P2, P3, P5 and P7 together: sales in random order under random faults."""

from __future__ import annotations

import logging
import random

import pytest

from payroc_async.simulator.tokens import TOKEN_MARK
from tests.tools.soak import soak


@pytest.mark.timeout(180)  # an outage may have to be waited out
async def test_random_schedules_lose_double_and_leave_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Under any mix of faults each sale makes one instruction at most, its outcome reported."""
    caplog.set_level(logging.DEBUG)
    seed = random.randrange(2**32)
    run = await soak(seed, sales=60, devices=20)
    assert (run.wrong, f"seed {seed}") == ([], f"seed {seed}")
    assert run.counts["faults"] > 5
    assert TOKEN_MARK not in caplog.text
    assert run.gateway.api_key not in caplog.text


async def test_random_schedules_are_watched_closely() -> None:
    """The soak does find it when an instruction is left behind, so its silence means something."""
    run = await soak(1, sales=2, devices=1)
    assert run.wrong == []
    made = next(iter(run.gateway.instructions.values()))
    made.status = "inProgress"
    await run._after_cancellation(made.idempotency_key or "", "order", made.serial_number, [])
    assert "left behind" in run.wrong[0]
