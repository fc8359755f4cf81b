"""The commands for the end of the day: options and help."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from payroc_async.cli.options import JSON_OBJECT, KEY, epilog, fresh_or_given_key

__all__ = ["close_batch", "settlement"]

USAGE = "usage: a wrong option, a missing variable; nothing was sent"

TERMINAL = click.option(
    "--terminal",
    "processing_terminal_id",
    required=True,
    metavar="ID",
    help="The processing terminal.",
)


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    try:
        return None if value is None else date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("must be a day, as 2026-05-01") from None


@click.command(
    short_help="Print the day's sales, and what is unsettled or not captured.",
    epilog=epilog(
        "payroc-async settlement --terminal 1234001",
        "payroc-async settlement --terminal 1234001 --date 2026-05-01 --json",
        codes={
            0: "done, even if nothing was sold",
            2: USAGE,
            4: "refused by the gateway, or it could not be reached",
        },
    ),
)
@TERMINAL
@click.option(
    "--date",
    "day",
    metavar="DAY",
    callback=_day,
    help="The day, as 2026-05-01, in this machine's time zone; today if left out.",
)
@JSON_OBJECT
def settlement(processing_terminal_id: str, day: date | None, as_json: bool) -> None:
    """Print a terminal's sales of a day, and what is still unsettled.

    Lists every pre-authorization that is not captured: closing the batch does not capture it. The
    day's batches are those of all terminals that the API key may list.
    """
    from .settlement_table import run_settlement

    raise SystemExit(run_settlement(processing_terminal_id, day or date.today(), as_json=as_json))


@click.command(
    name="close-batch",
    short_help="Close a terminal's batch, which settles it.",
    epilog=epilog(
        "payroc-async close-batch --terminal 1234001",
        "payroc-async close-batch --terminal 1234001 --json",
        codes={
            0: "accepted: the gateway closes the batch; the settlement shows later",
            2: USAGE,
            4: "not closed: the gateway refused, or could not be reached",
            5: "it may be closed: the output says how to find out",
        },
    ),
)
@TERMINAL
@KEY
@JSON_OBJECT
def close_batch(idempotency_key: str | None, **given: Any) -> None:
    """Ask the gateway to close a terminal's batch: captured payments are settled.

    Lists the pre-authorizations that are not captured. Closing the batch leaves them unchanged: if
    you capture them before, they settle with this batch, otherwise with a later one.
    """
    from .close_batch import CloseOptions, run_close_batch

    key = fresh_or_given_key(idempotency_key)
    raise SystemExit(run_close_batch(CloseOptions(**key, **given)))
