"""The commands that run on a device: options and help."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from payroc_async.cli.options import JOURNAL, JSON_OBJECT, KEY, epilog, fresh_or_given_key

if TYPE_CHECKING:
    from payroc_async.cli.device_operations import Job

__all__ = ["refund", "sale", "signature"]

Command = Callable[..., Any]


def _codes(noun: str, done: str) -> dict[int, str]:
    return {
        0: "approved",
        2: "usage: a wrong option, a missing variable; nothing was sent",
        3: f"other answer: declined, or only a part was {done}",
        4: f"no {noun}: canceled, timed out, failed, or refused by the gateway",
        5: "the outcome is unknown: the output says how to find out",
    }


SALE_EPILOG = epilog(
    "payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --simulator",
    "payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --json",
    codes=_codes("payment", "paid"),
)

REFUND_EPILOG = epilog(
    "payroc-async refund 1850010868 --terminal 1234001 --amount 10.00 --currency USD \\",
    '  --description "cold pizza" --simulator',
    codes=_codes("refund", "refunded"),
)

SIGNATURE_EPILOG = epilog(
    "payroc-async signature 1850010868 --terminal 1234001 --output signature.png --simulator",
    codes={
        **_codes("signature", "signed"),
        0: "signed",
        3: "signed, but the image could not be saved: the same command with the same key tries "
        "again",
    },
)


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_on_a_device = _together(
    click.argument("serial_number", metavar="SERIAL"),
    click.option(
        "--terminal",
        "processing_terminal_id",
        required=True,
        metavar="ID",
        help="The processing terminal's id.",
    ),
)
_an_amount = _together(
    click.option("--amount", required=True, metavar="DECIMAL", help="In major units, as 49.99."),
    click.option("--currency", required=True, metavar="CODE", help="ISO 4217, such as USD."),
    click.option("--order-id", metavar="ID", help="A generated one if left out."),
)
_as_it_runs = _together(
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Cancel if the cardholder takes longer.",
    ),
    KEY,
    JSON_OBJECT,
    JOURNAL,
    click.option(
        "--simulator",
        is_flag=True,
        help="Use a simulated gateway, where it succeeds; PAYROC_JOURNAL is not used.",
    ),
)


@click.command(epilog=SALE_EPILOG)
@_on_a_device
@_an_amount
@click.option("--description", metavar="TEXT", help="The order's description.")
@_as_it_runs
def sale(order_id: str | None, **given: Any) -> None:
    """Run one sale on the device with the serial number SERIAL.

    PAYROC_API_KEY and PAYROC_ENVIRONMENT (uat, production), or PAYROC_API_URL with
    PAYROC_IDENTITY_URL, select the gateway. Ctrl-C cancels the sale.
    """
    from payroc_async.cli.device_operations import SALE

    _run(SALE, order_id=_given_or_made_up(order_id), **given)


def _some_text(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("must not be empty: give the reason for the refund")
    return value


@click.command(epilog=REFUND_EPILOG)
@_on_a_device
@_an_amount
@click.option(
    "--description",
    required=True,
    metavar="TEXT",
    help="The reason for the refund.",
    callback=_some_text,
)
@_as_it_runs
def refund(order_id: str | None, **given: Any) -> None:
    """Refund a card on the device with the serial number SERIAL.

    The refund is not linked to a payment. To refund a payment made through Payroc, use `void`,
    which needs no card. The PAYROC_ variables select the gateway, as for `sale`. Ctrl-C cancels the
    refund.
    """
    from payroc_async.cli.device_operations import REFUND

    _run(REFUND, order_id=_given_or_made_up(order_id), **given)


@click.command(epilog=SIGNATURE_EPILOG)
@_on_a_device
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Save the image here, such as signature.png. An existing file is overwritten.",
)
@_as_it_runs
def signature(**given: Any) -> None:
    """Capture a signature on the device with the serial number SERIAL.

    The PAYROC_ variables select the gateway, as for `sale`. Ctrl-C cancels the signature.
    """
    from payroc_async.cli.device_operations import SIGNATURE

    output = given["output"]
    if output is not None and not output.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {output.parent}", param_hint="--output")
    _run(SIGNATURE, **given)


def _given_or_made_up(order_id: str | None) -> str:
    return order_id if order_id is not None else f"Order-{uuid.uuid4().hex[:12]}"


def _run(job: Job, *, idempotency_key: str | None, **given: Any) -> None:
    from payroc_async.cli.device_operations import JobOptions

    from .device_run import run_on_device

    options = JobOptions(job=job, **fresh_or_given_key(idempotency_key), **given)
    raise SystemExit(run_on_device(options))
