"""A short run of the fleet; ``nox -s fleet`` is the long one."""

from __future__ import annotations

import pytest

from tests.harness.postgres import PostgresServer

from .run import Plan, run_fleet


@pytest.mark.timeout(240)
async def test_a_fleet_loses_doubles_and_leaves_nothing(postgres: PostgresServer) -> None:
    """Processes killed, stopped, replaced, and the server restarted, while tills sell."""
    plan = Plan(seconds=12, seed=7, devices=30, pace=1.5, pause=4)
    with postgres.schema() as schema:
        report = await run_fleet(plan, postgres, schema)
    assert report.good(), str(report)
    for stroke in ("killed", "replaced", "server restarted", "stopped and continued"):
        assert report.strokes[stroke], str(report)
    assert report.ends["paid"] > plan.devices
    assert report.ends["unknown"] == 0
