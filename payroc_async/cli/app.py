"""The top-level command, with the subcommands `demo` and `simulate`."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path

import click

from payroc_async import __version__
from payroc_async.cli.certify.certify_command import certify
from payroc_async.cli.device.device_commands import refund, sale, signature
from payroc_async.cli.journal.journal_commands import journal, recover
from payroc_async.cli.payments.payment_commands import capture, devices, payments, void
from payroc_async.cli.settlement.day_commands import close_batch, settlement
from payroc_async.cli.setup.setup_commands import completion, doctor

from .group import CommandLine
from .options import JSON_OBJECT, epilog

__all__ = ["cli"]

EPILOG = epilog(
    "payroc-async demo",
    "payroc-async sale 1850010868 --terminal 1234001 --amount 49.99 --currency USD --simulator",
    "payroc-async --env-file uat.env doctor",
    "payroc-async --env-file uat.env payments list --order-id OrderRef6543",
    'payroc-async void E29U8OU8Q4 --description "wrong table" --json',
    "payroc-async recover --journal sales.db",
    codes={
        130: "any command: interrupted by Ctrl-C, if no other code says more",
        141: "a list whose output was closed, as by `| head`",
    },
    more="""\
Variables, of the process, or else of --env-file, or else of .env in this folder:
  PAYROC_API_KEY       the API key
  PAYROC_ENVIRONMENT   uat or production; or else both of
  PAYROC_API_URL       the API's base, ending in /v1, and
  PAYROC_IDENTITY_URL  the whole authorize URL
  PAYROC_JOURNAL       the journal's file, or its postgresql:// URL""",
)

DEMO_EPILOG = epilog(
    "payroc-async demo",
    "payroc-async demo --devices 200 --seed 7",
    "payroc-async demo --json 2>/dev/null",
    codes={
        0: "every sale ended as scripted",
        1: "a sale did not, or an instruction was left running",
        2: "usage: a wrong option",
        130: "interrupted by Ctrl-C; nothing was left running",
    },
)

SIMULATE_EPILOG = epilog(
    "payroc-async simulate --port 8080 --device 1850010868=declines --device 1850010869=fails:1",
    "payroc-async simulate --json",
    codes={0: "ended by Ctrl-C", 2: "usage: a wrong option, a port that is taken"},
    more="""\
Scripts (a device without one: approves:2):
  approves[:SECONDS]            declines[:SECONDS]
  fails[:SECONDS]               cardholder_cancels[:SECONDS]
  approves_partially:CENTS[:SECONDS]
  approves_with_tip:CENTS[:SECONDS]
  never_finishes                completes_on_cancel
  is_offline""",
)


@click.group(
    cls=CommandLine,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read PAYROC_ variables missing in the process from this file, not from .env.",
)
@click.version_option(__version__, prog_name="payroc-async")
@click.pass_context
def cli(context: click.Context, env_file: Path | None) -> None:
    """Sell, refund, void and search on Payroc devices, real or simulated.

    Results go to stdout, all else to stderr. Every command has --json.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    # The commands report logged problems themselves; without a handler, Python would print them.
    logging.getLogger("payroc_async").addHandler(logging.NullHandler())


@cli.command(epilog=DEMO_EPILOG)
@click.option(
    "--devices",
    type=click.IntRange(1, 500),
    default=12,
    show_default=True,
    metavar="N",
    help="How many devices, 1 to 500.",
)
@click.option(
    "--seed",
    type=int,
    metavar="N",
    help="Reproduce the cardholders, amounts and faults of a demo with the same number of devices.",
)
@click.option("--pace", type=click.FloatRange(0.05, 10), default=1.0, hidden=True)
@JSON_OBJECT
def demo(devices: int, seed: int | None, pace: float, as_json: bool) -> None:
    """Watch concurrent sales on many devices, under injected faults.

    Runs on a simulated gateway, and reads no variables. With --json, the display goes to stderr.
    """
    from payroc_async.cli.demo.demo_command import (
        run_demo,  # import here, so that --help is quick
    )

    chosen = random.randrange(10_000) if seed is None else seed
    raise SystemExit(run_demo(devices=devices, seed=chosen, pace=pace, as_json=as_json))


@cli.command(epilog=SIMULATE_EPILOG)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="Listen on this address. Anyone who reaches it can see and control everything.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Listen on this port; on any free port if left out.",
)
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a status request is held while nothing changes.",
)
@click.option(
    "--api-key",
    default="simulator-key",
    show_default=True,
    metavar="KEY",
    help="The API key to accept. PAYROC_API_KEY is not read.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="SERIAL=SCRIPT",
    help="The script of a device. May be repeated, also for the same device's next sales.",
)
@JSON_OBJECT
def simulate(
    host: str, port: int, hold: float, api_key: str, devices: tuple[str, ...], as_json: bool
) -> None:
    """Serve a simulated gateway until Ctrl-C.

    Prints the variables to export to stdout, or with --json one object with them. Prints a line for
    each request to stderr.

    Open the printed address in a browser: each tab is a payment device to operate by hand. Its
    /gateway shows devices, instructions and requests, and injects faults.
    """
    from payroc_async.cli.setup.simulate import SimulateOptions, run_simulator

    options = SimulateOptions(
        host=host, port=port, hold=hold, api_key=api_key, devices=devices, as_json=as_json
    )
    raise SystemExit(run_simulator(options))


for command in (sale, refund, signature, payments, devices, void, capture, recover, journal):
    cli.add_command(command)
for command in (close_batch, settlement, doctor, certify, completion):
    cli.add_command(command)
