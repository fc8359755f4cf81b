"""``payroc-async payments`` and ``devices``: list many, show one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import click

from payroc_async import Device, Payment, PayrocSession
from payroc_async.cli.device_operations import run_with_amounts
from payroc_async.cli.formatting import DEVICES, PAYMENTS, Summary, print_table
from payroc_async.cli.output import note, say, say_error, say_json
from payroc_async.cli.results import DONE, NOT_DONE, exit_code_of, show_details
from payroc_async.cli.settings import variables

__all__ = ["list_devices", "list_payments", "show_device", "show_payment", "with_session"]

T = TypeVar("T")


def list_payments(*, limit: int | None, as_json: bool, **filters: Any) -> int:
    """Print the payments that match; return the exit code. ``limit`` None prints all."""
    return with_session(
        lambda session: _list(PAYMENTS, session.payments.search(**filters), limit, as_json)
    )


def list_devices(*, limit: int | None, as_json: bool, **filters: Any) -> int:
    """Print the devices that match; return the exit code. ``limit`` None prints all."""
    return with_session(
        lambda session: _list(DEVICES, session.devices.search(**filters), limit, as_json)
    )


def show_payment(payment_id: str, *, receipt: int | None, as_json: bool) -> int:
    """Print one payment, or its receipt of this width; return the exit code."""

    async def show(session: PayrocSession) -> int:
        payment: Payment = await session.payments.retrieve(payment_id)
        if receipt is None:
            _show(PAYMENTS, payment, as_json)
        else:
            say(payment.receipt().text(receipt))
        return DONE

    return with_session(show)


def show_device(serial_number: str, *, as_json: bool) -> int:
    """Print one device; return the exit code."""

    async def show(session: PayrocSession) -> int:
        device: Device
        async for device in session.devices.search(serial_number=serial_number):
            _show(DEVICES, device, as_json)
            return DONE
        say_error(f"there is no device {serial_number}", "NotFound")
        return NOT_DONE

    return with_session(show)


def with_session(work: Callable[[PayrocSession], Coroutine[Any, Any, int]]) -> int:
    """Run a reading operation in an open session, and return the exit code."""

    async def main(opening: PayrocSession) -> int:
        async with opening as session:
            return await work(session)

    def run() -> int:
        # No sale runs: do not open or create the journal.
        session = PayrocSession.from_env(variables(), journal=None)
        return run_with_amounts(lambda: main(session))

    return exit_code_of(run)


async def _list(
    summary: Summary[T], found: AsyncIterator[T], limit: int | None, as_json: bool
) -> int:
    rows: list[dict[str, str | None]] = []
    more = False
    async for one in found:
        if len(rows) == limit:
            more = True
            break
        rows.append(summary.row(one))
        if as_json:
            click.echo(json.dumps(summary.members(one)))
    if rows and not as_json:
        print_table(rows)
    if not rows:
        note(f"no {summary.noun} matches")
    if more:
        note(f"there are more than {limit}: see --limit and --all")
    return DONE


def _show(summary: Summary[T], one: T, as_json: bool) -> None:
    if as_json:
        say_json(summary.members(one))
    else:
        show_details(summary.row(one).items())
