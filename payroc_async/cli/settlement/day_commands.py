"""The commands for the end of the day: their options, and their help."""

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
    short_help="What was sold, what is unsettled, what is not captured.",
    epilog=epilog(
        "payroc-async settlement --terminal 1234001",
        "payroc-async settlement --terminal 1234001 --date 2026-05-01 --json",
        codes={
            0: "done, also where nothing was sold",
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
    """Print what a terminal has sold on a day, and what of it is still to be settled.

    The pre-authorizations that are not captured are named one by one: closing the batch does not
    capture them. The day's batches are those of all terminals that the API key may see.
    """
    from .settlement_table import run_settlement

    raise SystemExit(run_settlement(processing_terminal_id, day or date.today(), as_json=as_json))


@click.command(
    name="close-batch",
    short_help="Have a terminal's batch closed, and settled.",
    epilog=epilog(
        "payroc-async close-batch --terminal 1234001",
        "payroc-async close-batch --terminal 1234001 --json",
        codes={
            0: "the gateway closes the batch; what was settled is seen later",
            2: USAGE,
            4: "not closed: the gateway refused, or could not be reached",
            5: "it may be closed: what is printed says how to find out",
        },
    ),
)
@TERMINAL
@KEY
@JSON_OBJECT
def close_batch(idempotency_key: str | None, **given: Any) -> None:
    """Have the gateway close a terminal's batch: what was captured is settled.

    Pre-authorizations that are not captured are named before. Closing the batch leaves them as they
    are: capture them before, and they settle with this batch; or after, with the next.
    """
    from .close_batch import CloseOptions, run_close_batch

    key = fresh_or_given_key(idempotency_key)
    raise SystemExit(run_close_batch(CloseOptions(**key, **given)))
