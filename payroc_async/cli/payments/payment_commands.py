"""The commands for payments and devices: options and help.

Each command imports its implementation when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import click

from payroc_async.cli.help_text import CommandGroup
from payroc_async.cli.options import JSON_LINES, JSON_OBJECT, KEY, epilog, fresh_or_given_key

__all__ = ["capture", "devices", "payments", "void"]

USAGE = "usage: a wrong option, a missing variable; nothing was sent"
LIST_CODES = {
    0: "done, even if nothing was found",
    2: USAGE,
    4: "refused by the gateway, or it could not be reached",
}
SHOW_CODES = {
    0: "found",
    2: USAGE,
    4: "not found, refused by the gateway, or it could not be reached",
}
CHANGE_CODES = {
    0: "done",
    2: "usage: a wrong option, a missing variable; nothing was changed",
    3: "declined, not decided yet, or captured only in part",
    4: "not done: the payment does not allow it, the gateway refused or could not be reached",
    5: "it may have been done: the output says how to find out",
}

AMOUNT = click.option(
    "--amount", metavar="DECIMAL", help="In major units, as 49.99; the full amount if left out."
)
CURRENCY = click.option(
    "--currency", metavar="CODE", help="Only if the payment is in this currency, such as USD."
)

SEVERAL = ("tip_mode", "type", "status")
"""Filters that take several values."""

Command = Callable[..., Any]


def _filters(*options: tuple[str, str, str, str]) -> Callable[[Command], Command]:
    """Return an option for each keyword of a search: its name, the keyword, its value, its help."""

    def decorate(command: Command) -> Command:
        for name, keyword, metavar, help_ in reversed(options):
            several = keyword in SEVERAL
            help_ = f"{help_} May be repeated." if several else help_
            option = click.option(name, keyword, metavar=metavar, help=help_, multiple=several)
            command = option(command)
        return command

    return decorate


def _how_many(command: Command) -> Command:
    most = click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=20,
        show_default=True,
        metavar="N",
        help="The most to print.",
    )
    every = click.option("--all", "everything", is_flag=True, help="Print all, without a limit.")
    return most(every(command))


def _day_or_moment(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> date | datetime | None:
    if value is None:
        return None
    for kind in (date, datetime):
        try:
            return kind.fromisoformat(value)
        except ValueError:
            pass
    raise click.BadParameter("must be as 2026-05-01 or 2026-05-01T09:30:00+02:00")


def _moments(command: Command) -> Command:
    for name, keyword, help_ in (
        ("--settled-on", "settlement_date", "Only settled on this day."),
        ("--to", "date_to", "Only up to this day, or this time with its UTC offset."),
        ("--from", "date_from", "Only from this day on, or this time with its UTC offset."),
    ):
        option = click.option(name, keyword, metavar="DATE", help=help_, callback=_day_or_moment)
        command = option(command)
    return command


@click.group(
    cls=CommandGroup, epilog=epilog("payroc-async payments list --from 2026-05-01 --last4 1234")
)
def payments() -> None:
    """Find payments, show one, print its receipt."""


@payments.command(
    "list",
    epilog=epilog(
        "payroc-async payments list --order-id OrderRef6543",
        "payroc-async payments list --from 2026-05-01 --to 2026-05-02 --all --json",
        codes=LIST_CODES,
    ),
)
@_moments
@_filters(
    ("--terminal", "processing_terminal_id", "ID", "Only of this processing terminal."),
    ("--order-id", "order_id", "ID", "Only with this order id."),
    ("--operator", "operator", "NAME", "Only by this operator."),
    ("--cardholder-name", "cardholder_name", "NAME", "Only with this name on the card."),
    ("--first6", "first6", "DIGITS", "Only with these first digits of the card's number."),
    ("--last4", "last4", "DIGITS", "Only with these last digits."),
    ("--tender", "tender", "WORD", "Only by this kind of card, such as ebt."),
    ("--tip-mode", "tip_mode", "WORD", "Only with this kind of tip, such as prompted."),
    ("--type", "type", "WORD", "Only of this type, such as sale or preAuthorization."),
    ("--status", "status", "WORD", "Only of this status, such as ready or complete."),
    ("--settlement-state", "settlement_state", "WORD", "Only in this state of settlement."),
    ("--payment-link", "payment_link_id", "ID", "Only those made through this payment link."),
)
@_how_many
@JSON_LINES
def list_payments(limit: int, everything: bool, **given: Any) -> None:
    """Print the payments that match all options."""
    from . import list_commands as lists

    raise SystemExit(lists.list_payments(limit=None if everything else limit, **given))


@payments.command(
    "show",
    epilog=epilog(
        "payroc-async payments show M2MJOG6O2Y",
        "payroc-async payments show M2MJOG6O2Y --receipt 42",
        codes=SHOW_CODES,
    ),
)
@click.argument("payment_id", metavar="PAYMENT_ID")
@click.option(
    "--receipt",
    type=click.Choice(["32", "42"]),
    help="Print the customer's receipt instead, with this many columns.",
)
@JSON_OBJECT
def show_payment(payment_id: str, receipt: str | None, as_json: bool) -> None:
    """Print one payment."""
    from . import list_commands as lists

    if receipt and as_json:
        raise click.UsageError("--receipt and --json can't be combined")
    width = int(receipt) if receipt else None
    raise SystemExit(lists.show_payment(payment_id, receipt=width, as_json=as_json))


@click.group(cls=CommandGroup, epilog=epilog("payroc-async devices list --active"))
def devices() -> None:
    """Find devices, show one."""


@devices.command(
    "list", epilog=epilog("payroc-async devices list --active --all --json", codes=LIST_CODES)
)
@_filters(
    ("--ksi", "ksi", "ID", "Only with this key serial identifier."),
    ("--model", "model", "NAME", "Only of this model."),
)
@click.option(
    "--active/--inactive", default=None, help="Only active devices, or only inactive ones."
)
@_how_many
@JSON_LINES
def list_devices(limit: int, everything: bool, **given: Any) -> None:
    """Print the devices that match all options."""
    from . import list_commands as lists

    raise SystemExit(lists.list_devices(limit=None if everything else limit, **given))


@devices.command(
    "show", epilog=epilog("payroc-async devices show 1850010868 --json", codes=SHOW_CODES)
)
@click.argument("serial_number", metavar="SERIAL")
@JSON_OBJECT
def show_device(serial_number: str, as_json: bool) -> None:
    """Print the device with the serial number SERIAL."""
    from . import list_commands as lists

    raise SystemExit(lists.show_device(serial_number, as_json=as_json))


@click.command(
    short_help="Undo a payment: reverse it, or refund it.",
    epilog=epilog(
        'payroc-async void M2MJOG6O2Y --description "wrong table"',
        'payroc-async void M2MJOG6O2Y --amount 9.99 --currency USD --description "no dessert"',
        codes=CHANGE_CODES,
    ),
)
@click.argument("payment_id", metavar="PAYMENT_ID")
@AMOUNT
@CURRENCY
@click.option(
    "--description", required=True, metavar="TEXT", help="The reason, sent with a refund."
)
@KEY
@JSON_OBJECT
def void(**given: Any) -> None:
    """Undo the payment PAYMENT_ID: reverse it while its batch is open, refund it afterwards.

    The output says which of the two was done.
    """
    _change("void", **given)


@click.command(
    epilog=epilog(
        "payroc-async capture M2MJOG6O2Y",
        "payroc-async capture M2MJOG6O2Y --amount 30.00 --json",
        codes=CHANGE_CODES,
    )
)
@click.argument("payment_id", metavar="PAYMENT_ID")
@AMOUNT
@CURRENCY
@KEY
@JSON_OBJECT
def capture(**given: Any) -> None:
    """Capture the pre-authorization PAYMENT_ID."""
    _change("capture", **given)


def _change(command: Any, *, idempotency_key: str | None, **given: Any) -> None:
    from .payment_operations import ChangeOptions, run_change

    key = fresh_or_given_key(idempotency_key)
    raise SystemExit(run_change(ChangeOptions(command=command, **key, **given)))
