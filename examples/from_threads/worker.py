"""Sales from a job queue, by forked worker processes as in Celery.

``python examples/from_threads/worker.py``, with the variables of ``PayrocSession.from_env``.
"""

from __future__ import annotations

import multiprocessing
import uuid
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from blocking_till import BlockingTill, request_of

from payroc_async import OutcomeUnknownError, PayrocError

__all__ = ["Job", "Outcome", "run_jobs", "work"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sale.

    The key is created with the job, not by the worker: a job that runs twice makes one sale.
    """

    serial_number: str
    order_id: str
    amount: int
    idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a job. ``paid`` is None while it is unknown."""

    order_id: str
    paid: bool | None
    detail: str


def perform(till: BlockingTill, job: Job) -> Outcome:
    """Run one job: the body of a Celery task."""
    try:
        payment = till.sell(
            job.serial_number,
            request_of(job.order_id, job.amount),
            idempotency_key=job.idempotency_key,
            timeout=120.0,
        )
    except OutcomeUnknownError as error:
        return Outcome(order_id=job.order_id, paid=None, detail=str(error))
    except PayrocError as error:
        return Outcome(order_id=job.order_id, paid=False, detail=str(error))
    return Outcome(order_id=job.order_id, paid=payment.approved, detail=payment.payment_id)


def work(jobs: Any, outcomes: Any) -> None:
    """Run a worker process: open its till here, after the fork, and close it at the end."""
    with BlockingTill() as till:
        for job in iter(jobs.get, None):
            outcomes.put(perform(till, job))


def run_jobs(jobs: list[Job], workers: int = 2) -> list[Outcome]:
    """Run all jobs in forked workers; return their outcomes in the order of completion."""
    context = multiprocessing.get_context("fork")
    waiting, outcomes = context.Queue(), context.Queue()
    processes = [context.Process(target=work, args=(waiting, outcomes)) for _ in range(workers)]
    for process in processes:
        process.start()
    for job in [*jobs, *([None] * workers)]:
        waiting.put(job)
    found: list[Outcome] = []
    while len(found) < len(jobs):
        try:
            found.append(outcomes.get(timeout=1))
        except Empty:
            if not any(process.is_alive() for process in processes):
                break  # they were killed: with a journal, their sales could be recovered
    for process in processes:
        process.join()
    return found


if __name__ == "__main__":
    numbers = ["1850010868", "1850010869", "1850010870"]
    for outcome in run_jobs(
        [Job(serial_number=one, order_id=f"Order{one}", amount=4999) for one in numbers]
    ):
        print(outcome)
