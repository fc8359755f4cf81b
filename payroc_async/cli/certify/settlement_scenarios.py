"""Reports of what was settled (RPT)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .bench import Bench
from .scenario_table import Table

__all__ = ["SETTLEMENT"]

SETTLEMENT = Table()
DAYS = 3
"""How many days are looked at, for a batch: UAT's data is wiped from time to time."""


async def _batch(bench: Bench) -> int | None:
    """A batch of the last days; None, which is normal in UAT, if there is none."""
    for back in range(DAYS):
        day = datetime.now(UTC).date() - timedelta(days=back)
        async for one in bench.session.batches.search(date=day):
            bench.fact(date=day.isoformat(), batchId=one.batch_id)
            return one.batch_id
    bench.note(f"There was no batch in {DAYS} days, which is normal in UAT.")
    return None


@SETTLEMENT.add("RPT-01", "if used", "List the batches of a day", "200", feature="settlement")
async def batches(bench: Bench) -> None:
    """Search the batches."""
    await _batch(bench)
    bench.fact(statuses=[one.status for one in bench.exchanges("GET /v1/batches")])


@SETTLEMENT.add("RPT-02", "if used", "Read one batch", "200", feature="settlement")
async def batch(bench: Bench) -> None:
    """Read a batch that the list has."""
    found = await _batch(bench)
    if found is not None:
        read = await bench.session.batches.retrieve(found)
        bench.fact(transactionCount=read.transaction_count, saleAmount=read.sale_amount)


@SETTLEMENT.add(
    "RPT-03", "if used", "List the transactions of a batch", "200", feature="settlement"
)
async def transactions(bench: Bench) -> None:
    """Search the transactions, by batch or else by date."""
    found = await _batch(bench)
    today = datetime.now(UTC).date()
    search = bench.session.transactions.search
    listed = search(date=today) if found is None else search(batch_id=found)
    bench.fact(transactions=[one.transaction_id async for one in listed])


@SETTLEMENT.add("RPT-04", "if used", "List transactions by type", "200", feature="settlement")
async def by_type(bench: Bench) -> None:
    """Search the captures of today."""
    today = datetime.now(UTC).date()
    listed = bench.session.transactions.search(date=today, transaction_type="Capture")
    types = {str(one.type) async for one in listed}
    bench.fact(types=sorted(types))
    bench.expect(types <= {"capture"}, "there are others than captures")


@SETTLEMENT.add("RPT-11", "if used", "List batches without a date", "400", feature="settlement")
async def without_date(bench: Bench) -> None:
    """Leave out what is required, over the bare connection: the SDK would not send it."""
    answer = await bench.raw("GET", "/batches")
    named = [one.get("parameter") for one in bench.json(answer).get("errors", [])]
    bench.fact(answer=bench.problem(answer), parameters=named)
    bench.expect(answer.status == 400, f"answered with {bench.problem(answer)}")
