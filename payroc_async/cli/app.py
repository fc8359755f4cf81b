"""The command, with those of its subcommands that are not about real payments."""

from __future__ import annotations

import logging
import random

import click
from rich.console import Console

from payroc_async import __version__

from .device_commands import refund, sale, signature
from .journal_commands import journal, recover
from .payment_commands import capture, devices, payments, void

__all__ = ["cli"]

EXAMPLES = """\b
Examples:
  payroc-async demo
  payroc-async demo --devices 200 --seed 7
  payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --simulator
  payroc-async payments list --order-id OrderRef6543
  payroc-async void E29U8OU8Q4 --description "wrong table"
  payroc-async recover --journal sales.db
  payroc-async simulate --port 8080 --device 1850010868=declines
"""

SIMULATE_EPILOG = """\b
Scripts (a device without one: approves:2):
  approves[:SECONDS]            declines[:SECONDS]
  fails[:SECONDS]               cardholder_cancels[:SECONDS]
  approves_partially:CENTS[:SECONDS]
  approves_with_tip:CENTS[:SECONDS]
  never_finishes                completes_on_cancel
  is_offline

\b
Example:
  payroc-async simulate --port 8080 --device 1850010868=declines --device 1850010869=fails:1
"""


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="payroc-async")
def cli() -> None:
    """Sell, refund, void and search on Payroc devices: for real, or on a simulated gateway."""
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


@cli.command(epilog=SIMULATE_EPILOG)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Whoever reaches this address can see and drive all of it.",
)
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

    Open the address that it prints: each browser tab is a payment device, driven by hand. /gateway
    there shows devices, instructions and requests, and injects faults.
    """
    from .simulate import SimulateOptions, run_simulator

    options = SimulateOptions(host=host, port=port, hold=hold, api_key=api_key, devices=devices)
    raise SystemExit(run_simulator(options))


for command in (sale, refund, signature, payments, devices, void, capture, recover, journal):
    cli.add_command(command)
