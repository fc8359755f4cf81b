"""``payroc-async settlement``: the day's sales, and what is unsettled or not captured."""

from __future__ import annotations

from datetime import date
from typing import Any

from attrs import define, field

from payroc_async import Batch, ForbiddenError, Payment, PayrocSession
from payroc_async.cli.formatting import PAYMENTS, payment_members, print_table
from payroc_async.cli.output import note, say, say_json
from payroc_async.cli.payments.list_commands import with_session
from payroc_async.cli.results import DONE, show_details
from payroc_async.models.amount import in_words

from .day import Sums, bounds_of, find_uncaptured

__all__ = ["run_settlement"]


@define(eq=False)
class Report:
    """The report of one terminal and one day.

    Attributes:
        sold: The total of the day's payments, settled or not.
        refunded: The total of the day's refunds, settled or not.
        unsettled: Payments of any day that settle with the next batch.
        unsettled_refunds: Refunds of any day that settle with the next batch.
        uncaptured: Open pre-authorizations of any day.
        batches: Batches submitted on the day; None if the key may not list them.
    """

    processing_terminal_id: str
    day: date
    sold: Sums = field(factory=Sums)
    refunded: Sums = field(factory=Sums)
    unsettled: Sums = field(factory=Sums)
    unsettled_refunds: Sums = field(factory=Sums)
    uncaptured: list[Payment] = field(factory=list)
    batches: list[Batch] | None = None


def run_settlement(processing_terminal_id: str, day: date, *, as_json: bool) -> int:
    """Print the report; return the exit code."""

    async def work(session: PayrocSession) -> int:
        report = await _examine(session, Report(processing_terminal_id, day))
        (_say_json if as_json else _say)(report)
        return DONE

    return with_session(work)


async def _examine(session: PayrocSession, report: Report) -> Report:
    terminal, (first, last) = report.processing_terminal_id, bounds_of(report.day)
    async for payment in session.payments.search(
        processing_terminal_id=terminal, date_from=first, date_to=last, limit=100
    ):
        if not payment.uncaptured:
            report.sold.add(payment)
    async for payment in session.payments.search(
        processing_terminal_id=terminal, settlement_state="unsettled", limit=100
    ):
        if not payment.uncaptured:
            report.unsettled.add(payment)
    async for refund in session.refunds.search(
        processing_terminal_id=terminal, date_from=first, date_to=last, limit=100
    ):
        report.refunded.add(refund)
    async for refund in session.refunds.search(
        processing_terminal_id=terminal, settlement_state="unsettled", limit=100
    ):
        report.unsettled_refunds.add(refund)
    report.uncaptured = await find_uncaptured(session, terminal)
    try:
        report.batches = [one async for one in session.batches.search(date=report.day, limit=100)]
    except ForbiddenError as error:
        note(f"batches are not shown, because the API key may not list them: {error}")
    return report


def batch_members(batch: Batch) -> dict[str, Any]:
    """Return a batch for JSON."""
    return {
        "batch_id": batch.batch_id,
        "date": batch.date.isoformat() if batch.date else None,
        "merchant_id": batch.merchant.merchant_id if batch.merchant else None,
        "transaction_count": batch.transaction_count,
        "sale_amount": batch.sale_amount,
        "return_amount": batch.return_amount,
        "held_amount": batch.held_amount,
        "currency": batch.currency,
    }


def _batch_row(batch: Batch) -> dict[str, str | None]:
    sums = {
        "sales": batch.sale_amount,
        "returns": batch.return_amount,
        "held": batch.held_amount,
    }
    return {
        "batch": None if batch.batch_id is None else str(batch.batch_id),
        "merchant": batch.merchant.merchant_id if batch.merchant else None,
        "transactions": str(batch.transaction_count or 0),
        **{name: in_words(amount, batch.currency) for name, amount in sums.items()},
    }


def _say_json(report: Report) -> None:
    batches = report.batches
    say_json(
        {
            "processing_terminal_id": report.processing_terminal_id,
            "date": report.day.isoformat(),
            "sold": report.sold.members(),
            "refunded": report.refunded.members(),
            "unsettled": report.unsettled.members(),
            "unsettled_refunds": report.unsettled_refunds.members(),
            "uncaptured": [payment_members(payment) for payment in report.uncaptured],
            "batches": None if batches is None else [batch_members(one) for one in batches],
        }
    )


def _say(report: Report) -> None:
    say(f"Terminal {report.processing_terminal_id}, {report.day}", bold=True)
    uncaptured = Sums()
    for payment in report.uncaptured:
        uncaptured.add(payment)
    show_details(
        {
            "sold": report.sold.words("payment"),
            "refunded": report.refunded.words("refund"),
            "unsettled": report.unsettled.words("payment"),
            "and of refunds": report.unsettled_refunds.words("refund"),
            "not captured": uncaptured.words("pre-authorization"),
        }.items()
    )
    if report.uncaptured:
        say("\nNot captured: closing the batch does not capture these")
        print_table([PAYMENTS.row(payment) for payment in report.uncaptured])
    if report.batches:
        say("\nBatches submitted on that day")
        print_table([_batch_row(batch) for batch in report.batches])
    elif report.batches is not None:
        note("no batch was submitted on that day, or none is reported yet")
