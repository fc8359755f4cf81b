"""The commands and their options."""

from __future__ import annotations

import logging
import random
import uuid

import click
from rich.console import Console

from payroc_async import __version__

__all__ = ["cli"]

EXAMPLES = """\b
Examples:
  payroc-async demo
  payroc-async demo --devices 200 --seed 7
  payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --simulator
  payroc-async simulate --port 8080 --device 1850010868=declines
"""


SALE_EPILOG = """\b
Exit codes:
  0  approved
  2  usage: a wrong option, a missing variable; nothing was sent
  3  answered otherwise: declined, or only a part was paid
  4  no payment: canceled, timed out, failed, or refused by the gateway
  5  the outcome is unknown: what is printed says how to find out

\b
Examples:
  payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --simulator
  payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --json
"""

SIMULATE_EPILOG = """\b
Scripts (a device without one: approves:2):
  approves[:SECONDS]            declines[:SECONDS]
  fails[:SECONDS]               cardholder_cancels[:SECONDS]
  approves_partially:CENTS[:SECONDS]
  never_finishes                completes_on_cancel
  is_offline

\b
Example:
  payroc-async simulate --port 8080 --device 1850010868=declines --device 1850010869=fails:1
"""


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="payroc-async")
def cli() -> None:
    """Run card sales on Payroc devices: one for real, or many on a simulated gateway."""
    # What they log is told here in other words; without a handler, Python prints it.
    for name in ("payroc_async", "stamina"):
        logging.getLogger(name).addHandler(logging.NullHandler())


@cli.command()
@click.option("--devices", type=click.IntRange(1, 500), default=12, show_default=True)
@click.option("--seed", type=int, help="Repeat the mix of an earlier demo.")
@click.option("--pace", type=click.FloatRange(0.05, 10), default=1.0, hidden=True)
def demo(devices: int, seed: int | None, pace: float) -> None:
    """Watch sales run on many devices at once, whatever goes wrong."""
    from .demo import run_demo  # each command imports what it needs: --help is quick

    chosen = random.randrange(10_000) if seed is None else seed
    raise SystemExit(run_demo(Console(), devices=devices, seed=chosen, pace=pace))


@cli.command(epilog=SALE_EPILOG)
@click.argument("serial_number", metavar="SERIAL")
@click.option("--terminal", required=True, metavar="ID", help="The processing terminal's id.")
@click.option("--amount", required=True, metavar="DECIMAL", help="In major units, such as 49.99.")
@click.option("--currency", required=True, metavar="CODE", help="ISO 4217, such as USD.")
@click.option("--order-id", metavar="ID", help="Made up if left out.")
@click.option("--description", metavar="TEXT", help="What is sold.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Cancel the sale if the cardholder takes longer.",
)
@click.option(
    "--idempotency-key",
    metavar="UUID",
    help="The key of an earlier try, to learn what became of it. Made up if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else.")
@click.option("--simulator", is_flag=True, help="On a simulated gateway, where it is approved.")
def sale(
    serial_number: str,
    terminal: str,
    amount: str,
    currency: str,
    order_id: str | None,
    description: str | None,
    timeout: float | None,
    idempotency_key: str | None,
    as_json: bool,
    simulator: bool,
) -> None:
    """Run one sale on the device with the serial number SERIAL.

    The gateway is the one that PAYROC_API_KEY and PAYROC_ENVIRONMENT (uat, production) name, or
    PAYROC_API_URL with PAYROC_IDENTITY_URL. Ctrl-C cancels the sale.
    """
    from .results import SaleOptions
    from .sale import run_sale

    options = SaleOptions(
        serial_number=serial_number,
        terminal=terminal,
        amount=amount,
        currency=currency,
        order_id=order_id if order_id is not None else f"Order-{uuid.uuid4().hex[:12]}",
        description=description,
        timeout=timeout,
        idempotency_key=idempotency_key if idempotency_key is not None else str(uuid.uuid4()),
        key_is_fresh=idempotency_key is None,
        as_json=as_json,
        simulator=simulator,
    )
    raise SystemExit(run_sale(options))


@cli.command(epilog=SIMULATE_EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Any that is free if 0.")
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a status request is held while nothing changes.",
)
@click.option("--api-key", default="simulator-key", show_default=True)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="SERIAL=SCRIPT",
    help="What a device does; may be repeated, also for the same device's next sales.",
)
def simulate(host: str, port: int, hold: float, api_key: str, devices: tuple[str, ...]) -> None:
    """Serve a simulated gateway until Ctrl-C.

    Prints the variables to export on stdout, and a line for each request on stderr.
    """
    from .simulate import SimulateOptions, run_simulator

    options = SimulateOptions(host=host, port=port, hold=hold, api_key=api_key, devices=devices)
    raise SystemExit(run_simulator(options))
