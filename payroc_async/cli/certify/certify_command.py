"""``payroc-async certify``: its options, and its help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from payroc_async.cli.options import JSON_OBJECT, epilog

__all__ = ["certify"]

FEATURE_NAMES = (
    *("signature", "tip", "surcharge", "closed-loop", "pre-authorization", "token", "settlement"),
    "unattended",
)

EPILOG = epilog(
    "payroc-async certify --simulator",
    "payroc-async --env-file uat.env certify --serial 1850010868 --terminal 1234001 \\",
    "  --project 4711 --with tip --with signature",
    "payroc-async --env-file uat.env certify CP-05 --serial 1850010868 --terminal 1234001",
    codes={
        0: "what was run has passed, or was skipped for the reason that is printed",
        1: "a scenario failed",
        2: "usage: a wrong option, a missing variable; nothing was sent",
        3: "a scenario waits for the gateway: run the same command again later",
        130: "ended by Ctrl-C or q; the same command goes on from there",
    },
)


@click.command(epilog=EPILOG, short_help="Run Payroc's test scenarios, and write the evidence.")
@click.argument("only", nargs=-1, metavar="[SCENARIO]...")
@click.option("--serial", metavar="SERIAL", help="The device's serial number.")
@click.option("--terminal", metavar="ID", help="The processing terminal's id.")
@click.option("--currency", default="USD", show_default=True, metavar="CODE", help="ISO 4217.")
@click.option(
    "--project",
    default="cert",
    show_default=True,
    metavar="NUMBER",
    help="Payroc's number of your project: every order's id begins with it. At most 12 characters.",
)
@click.option(
    "--with",
    "features",
    multiple=True,
    type=click.Choice([*FEATURE_NAMES, "all"]),
    metavar="FEATURE",
    help=f"Run what belongs to it, too: {', '.join(FEATURE_NAMES)}, all. May be repeated.",
)
@click.option(
    "--output",
    default="certification",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write certification.json and report.html here; continue an earlier run there.",
)
@click.option("--again", is_flag=True, help="Run scenarios again that have passed.")
@click.option("--list", "only_list", is_flag=True, help="List the scenarios, and run none.")
@click.option(
    "--patience",
    default=180.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How long a card may take.",
)
@click.option(
    "--decline-amount",
    default="10.01",
    show_default=True,
    metavar="DECIMAL",
    help="An amount that the gateway declines.",
)
@click.option(
    "--settled-payment",
    default="",
    metavar="PAYMENT_ID",
    help="A payment whose batch has closed, to refund. Otherwise one is made and waited for.",
)
@click.option("--yes", is_flag=True, help="Do not ask before each scenario at the device.")
@click.option("--simulator", is_flag=True, help="On a simulated gateway and device.")
@JSON_OBJECT
def certify(**given: Any) -> None:
    """Run the scenarios that Payroc requires before going live.

    Runs against UAT, selected by the PAYROC_ variables, with test cards and a person at the device;
    or with --simulator. Never runs against production. Scenarios that have passed are not run
    again: the same command continues where an earlier one stopped. SCENARIO runs only the given
    ones, such as CP-05.

    Writes certification.json and report.html: ids and keys of every attempt, requests and answers
    without secrets, and which scenarios passed, failed or were skipped, and why. Also tries
    undocumented behavior of the gateway (OBS), and records the answers.
    """
    from .start import CertifyOptions, run_certify

    if not re.fullmatch(r"[\w.]{1,12}", given["project"], re.ASCII):
        raise click.BadParameter("must be 1 to 12 letters and digits", param_hint="--project")
    raise SystemExit(run_certify(CertifyOptions(**given)))
