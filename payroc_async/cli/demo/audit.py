"""The demo's audit: compares the gateway's records with the callers' results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import define, field

from payroc_async.cli.phrases import counted
from payroc_async.simulator import Observed, Simulator

from .cardholders import Ending
from .records import Sale

__all__ = ["Report", "audit"]

FAULTS = {
    "drop_before": "connection reset",
    "drop_after": "answer lost",
    "hang": "connection reset",
    "garbage": "garbage",
    "truncated": "answer cut short",
}


@define
class Report:
    """The audit's result.

    Attributes:
        endings: The number of sales per ending.
        failures: The failed requests by kind; the SDK recovered from all of them.
        submissions: How many times a submission was sent, retries included.
        submitted: How many sales were submitted, each under its own key.
        made: How many instructions the gateway created.
        left_running: The instructions still in progress, one sentence each, like the next four.
        lost: Outcomes that never reached their caller.
        doubled: Orders charged or prompted for more than once.
        wrong: Sales that did not end as scripted.
        violations: Violations of the contract.
        added: Seconds that the SDK added to each undisturbed sale, sorted: from the gateway's
            change of status to the awaited result.
    """

    endings: Counter[Ending] = field(factory=Counter)
    failures: Counter[str] = field(factory=Counter)
    submissions: int = 0
    submitted: int = 0
    made: int = 0
    left_running: list[str] = field(factory=list)
    lost: list[str] = field(factory=list)
    doubled: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)
    violations: list[str] = field(factory=list)
    added: list[float] = field(factory=list)

    @property
    def problems(self) -> list[str]:
        """Return all problems; empty if all is well."""
        return [one for kind in self.kinds_of_problems for one in kind]

    @property
    def kinds_of_problems(self) -> list[list[str]]:
        """Return the problems, grouped by kind."""
        return [self.left_running, self.lost, self.doubled, self.wrong, self.violations]

    def added_at(self, share: float) -> float | None:
        """Return this percentile (0.5, 0.99) of the time added, in seconds, by nearest rank."""
        if not self.added:
            return None
        return self.added[max(0, math.ceil(share * len(self.added)) - 1)]


def audit(
    gateway: Simulator, sales: Sequence[Sale], *, planned: int, outage: tuple[float, float]
) -> Report:
    """Compare the callers' results with the gateway's records, once the session is closed.

    Args:
        gateway: The gateway.
        sales: All sales that were begun.
        planned: The minimum number of sales.
        outage: When the tokens were revoked, and when the identity service came back.
    """
    submissions = gateway.requests_of("submit")
    return Report(
        endings=Counter(sale.ending for sale in sales if sale.ending is not None),
        failures=Counter(filter(None, map(_failure, gateway.requests))),
        submissions=len(submissions),
        submitted=len({one.headers.get("idempotency-key") for one in submissions}),
        made=len(gateway.instructions),
        left_running=[
            f"left running: instruction {one.id} on device {one.serial_number}"
            for one in gateway.in_progress
        ],
        lost=list(_lost(gateway, sales, planned)),
        doubled=list(_doubled(gateway)),
        wrong=[f"wrong: {said}" for sale in sales if (said := _wrong(sale))],
        violations=[f"contract violated: {said}" for said in gateway.violations],
        added=sorted(_added(gateway, sales, outage)),
    )


def _failure(seen: Observed) -> str | None:
    """Return what went wrong with a request, in words; None if nothing did."""
    if seen.fault in FAULTS:
        return FAULTS[seen.fault]
    if seen.status == 401:
        return "401 token revoked"
    if seen.status == 503 and seen.kind == "authorize":
        return "503 identity service"
    return str(seen.status) if seen.fault else None


def _lost(gateway: Simulator, sales: Sequence[Sale], planned: int) -> Iterator[str]:
    if len(sales) < planned:
        yield f"lost: never begun: {counted(planned - len(sales), 'sale')}"
    known: set[str] = set()
    for sale in sales:
        if sale.ending is None:
            yield f"lost: sale {sale.visit.order_id} never ended"
        known.update(paid.payment_id for paid in (sale.payment, sale.settled) if paid)
    for payment_id, payment in gateway.payments.items():
        if payment_id not in known:
            yield f"lost: payment {payment_id} of order {payment['order']['orderId']}"


def _doubled(gateway: Simulator) -> Iterator[str]:
    prompted = Counter(one.body["order"]["orderId"] for one in gateway.instructions.values())
    charged = Counter(one["order"]["orderId"] for one in gateway.payments.values())
    for times_by_order, what in ((prompted, "instructions"), (charged, "payments")):
        for order_id, times in times_by_order.items():
            if times > 1:
                yield f"doubled: order {order_id} has {times} {what}"


def _wrong(sale: Sale) -> str | None:
    who = f"order {sale.visit.order_id} ({sale.visit.manner.name})"
    if sale.ending is None:
        return None  # counted as lost, not as wrong
    if sale.ending is not sale.expected:
        why = f", {type(sale.error).__name__}: {sale.error}" if sale.error else ""
        return f"{who} should be {sale.expected.value!r}, is {sale.ending.value!r}{why}"
    if sale.payment is None:
        return None
    if sale.payment.order.order_id != sale.visit.order_id:
        return f"{who} was given the payment of order {sale.payment.order.order_id}"
    authorized = sale.payment.transaction_result.authorized_amount
    if authorized != sale.visit.authorized:
        return f"{who} should have {sale.visit.authorized} authorized, has {authorized}"
    return None


def _added(
    gateway: Simulator, sales: Sequence[Sale], outage: tuple[float, float]
) -> Iterator[float]:
    disturbed = {
        seen.instruction_id
        for seen in gateway.requests
        if seen.fault is not None or seen.status not in (200, 202)
    }
    began, back = outage
    # Sales that needed a token meanwhile had to wait until the first one was issued again.
    issued = [one.ended for one in gateway.requests_of("authorize") if one.status == 200]
    over = min((when for when in issued if when is not None and when >= back), default=back)
    for sale in sales:
        found = gateway.instructions.get(sale.instruction_id or "")
        if found is None or sale.ended is None or found.id in disturbed or found.delete_count:
            continue
        if found.changed_at > over or sale.ended < began:
            yield sale.ended - found.changed_at
