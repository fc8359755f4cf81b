"""Payments and devices without card data, as JSON members and as table rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import click
from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from payroc_async import Device, Payment
from payroc_async.models.amount import in_words

from .output import plain
from .phrases import moment_in_words
from .results import answer_members

__all__ = ["DEVICES", "PAYMENTS", "Summary", "device_members", "payment_members", "print_table"]

T = TypeVar("T")

PIPED_WIDTH = 250
"""The width of a table without a terminal."""


def payment_members(payment: Payment | None) -> dict[str, Any]:
    """Return a payment for JSON; without a payment, the same members with null values."""
    result = payment.transaction_result if payment else None
    when = payment.order.date_time if payment else None
    return {
        "payment_id": payment.payment_id if payment else None,
        "processing_terminal_id": payment.processing_terminal_id if payment else None,
        "order_id": payment.order.order_id if payment else None,
        "date_time": when.isoformat() if when else None,
        "type": result.type if result else None,
        "status": result.status if result else None,
        "amount": payment.order.amount if payment else None,
        "currency": payment.order.currency if payment else None,
        **answer_members(payment),
        "card_type": payment.card.type if payment else None,
        "supported_operations": list(payment.supported_operations) if payment else [],
        "refunds": [
            {"refund_id": one.refund_id, "amount": one.amount, "status": one.status}
            for one in (payment.refunds if payment else ())
        ],
    }


def device_members(device: Device) -> dict[str, Any]:
    """Return a device for JSON."""
    last = device.last_transaction
    return {
        "serial_number": device.serial_number,
        "device_id": device.device_id,
        "model": device.device_type.model if device.device_type else None,
        "manufacturer": device.device_type.manufacturer if device.device_type else None,
        "ksi": device.ksi,
        "tender": device.tender,
        "active": device.active,
        "created_date": device.created_date,
        "deactivated_date": device.deactivated_date,
        "last_order_id": last.order_id if last else None,
        "last_date_time": last.date_time.isoformat() if last and last.date_time else None,
    }


@frozen(kw_only=True)
class Summary(Generic[T]):
    """The presentation of one kind of resource.

    Args:
        noun: The resource's name.
        members: Returns its JSON members.
        row: Returns its table row: a value for each heading.
    """

    noun: str
    members: Callable[[T], dict[str, Any]]
    row: Callable[[T], dict[str, str | None]]


def _payment_row(payment: Payment) -> dict[str, str | None]:
    result, order = payment.transaction_result, payment.order
    given = order.amount if result.authorized_amount is None else result.authorized_amount
    return {
        "when": moment_in_words(order.date_time),
        "payment": payment.payment_id,
        "order": order.order_id,
        "type": result.type,
        "outcome": payment.outcome.value,
        "status": result.status,
        "amount": in_words(order.amount, order.currency),
        "authorized": in_words(given, result.currency or order.currency),
        "refunds": ", ".join(in_words(one.amount, one.currency) for one in payment.refunds),
        "card": payment.card.type,
    }


def _device_row(device: Device) -> dict[str, str | None]:
    members, last = device_members(device), device.last_transaction
    return {
        "device": device.serial_number,
        "model": members["model"],
        "ksi": device.ksi,
        "tender": device.tender,
        "active": "yes" if device.active else "no",
        "last order": members["last_order_id"],
        "last used": moment_in_words(last.date_time if last else None),
    }


PAYMENTS: Summary[Payment] = Summary(noun="payment", members=payment_members, row=_payment_row)
DEVICES: Summary[Device] = Summary(noun="device", members=device_members, row=_device_row)


def print_table(rows: Sequence[dict[str, str | None]]) -> None:
    """Format rows under their headings; long values wrap, and are not cut off."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in rows[0]:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain(value or "")) for value in row.values()))
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    with console.capture() as captured:
        console.print(made)
    click.echo(captured.get(), nl=False)
