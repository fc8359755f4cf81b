"""The commands about the journal: their options, and their help.

Each imports what it needs when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import click

from payroc_async.cli.help_text import CommandGroup
from payroc_async.cli.options import JOURNAL, JSON_LINES, JSON_OBJECT, epilog

__all__ = ["journal", "recover"]

RECOVER_EPILOG = epilog(
    "payroc-async recover --journal sales.db",
    "payroc-async recover --journal sales.db --cancel --json",
    codes={
        0: "nothing that was found is left open: it was approved, declined, canceled, or failed",
        2: "usage: a wrong option, a missing variable; nothing was sent",
        4: "not begun, or stopped: the journal refused, or could not be reached",
        5: "the outcome of something is still unknown, also where the gateway refused or was not "
        "reached",
    },
)


def _epilog(*examples: str, done: str, not_done: str) -> str:
    codes = {0: done, 2: "usage: a wrong option, no journal named", 4: not_done}
    return epilog(*examples, codes=codes)


LIST_EPILOG = _epilog(
    "payroc-async journal list --journal sales.db",
    "payroc-async journal list --all --json",
    done="done, also where nothing was found",
    not_done="the journal is not there, or could not be read",
)
SHOW_EPILOG = _epilog(
    "payroc-async journal show 7f3c5a9e-2d41-4b6f-9a0c-1e8d2b3c4d5e",
    done="found",
    not_done="there is no such entry, or the journal is not there or could not be read",
)
CLOSE_EPILOG = _epilog(
    "payroc-async journal close 7f3c5a9e-2d41-4b6f-9a0c-1e8d2b3c4d5e \\",
    "  --as completed --resource-id M2MJOG6O2Y",
    "payroc-async journal close 7f3c5a9e-2d41-4b6f-9a0c-1e8d2b3c4d5e --as failed",
    done="closed",
    not_done="not closed: there is no such entry, it is not unknown, or a living process drives "
    "it; or the journal is not there or could not be written",
)
PURGE_EPILOG = _epilog(
    "payroc-async journal purge --journal sales.db --older-than 30",
    done="done, also where nothing was found",
    not_done="the journal is not there, or could not be written",
)


@click.command(epilog=RECOVER_EPILOG)
@click.option("--cancel", is_flag=True, help="Cancel what is found, in place of waiting for it.")
@click.option(
    "--resubmit",
    is_flag=True,
    help="Send again also what is older than two minutes and may never have arrived. That may "
    "start a prompt before a customer who has left.",
)
@JSON_LINES
@JOURNAL
def recover(journal: str | None, cancel: bool, resubmit: bool, as_json: bool) -> None:
    """End what processes that died have left unfinished.

    Each sale, refund and signature that the journal has unfinished at the gateway of the PAYROC_
    variables, and that no living process drives, is seen to the end, all at once, and printed as it
    ends. Run it as often, and in as many places, as you like: each is taken by one alone, and none
    is charged twice. Ctrl-C releases what has not ended; it stays in the journal.
    """
    from .recover_command import RecoverOptions, run_recovery

    options = RecoverOptions(journal=journal, cancel=cancel, resubmit=resubmit, as_json=as_json)
    raise SystemExit(run_recovery(options))


@click.group(
    cls=CommandGroup,
    short_help="See, close and purge what the journal holds.",
    epilog=epilog("payroc-async journal list --journal sales.db"),
)
def journal() -> None:
    """See what the journal holds, close what is unknown, delete what is old.

    Needs no API key.
    """


@journal.command("list", epilog=LIST_EPILOG)
@click.option("--all", "everything", is_flag=True, help="Print what has ended, too.")
@JSON_LINES
@JOURNAL
def list_journal(journal: str | None, everything: bool, as_json: bool) -> None:
    """Print what is unfinished, the oldest first.

    States: intent (the gateway may or may not know of it), submitted, canceling; and with --all
    completed, failed, canceled, unknown (polling shows nothing more). A running one is driven by a
    process that lives; `recover` ends the others.
    """
    from .entry_table import list_entries

    raise SystemExit(list_entries(journal, everything=everything, as_json=as_json))


@journal.command("show", epilog=SHOW_EPILOG)
@click.argument("key", metavar="KEY")
@JSON_OBJECT
@JOURNAL
def show_journal(journal: str | None, key: str, as_json: bool) -> None:
    """Print the entry with the idempotency key KEY."""
    from .entry_table import show_entry

    raise SystemExit(show_entry(journal, key, as_json=as_json))


@journal.command("close", epilog=CLOSE_EPILOG)
@click.argument("key", metavar="KEY")
@click.option(
    "--as",
    "outcome",
    type=click.Choice(["completed", "failed", "canceled"]),
    required=True,
    help="What became of it. The last two: nothing came of it, no money moved.",
)
@click.option(
    "--resource-id",
    metavar="ID",
    help="The id of the payment, refund or signature; needed with completed, and with it alone.",
)
@JSON_OBJECT
@JOURNAL
def close_journal(
    journal: str | None, key: str, outcome: str, resource_id: str | None, as_json: bool
) -> None:
    """Close the entry with the idempotency key KEY, whose outcome is unknown.

    For a person who has found out, at the device or with Payroc: nothing is asked of the gateway,
    and what is written here is believed from then on. What may end by itself is refused: only an
    entry in state unknown is closed, and only if no living process drives it.
    """
    from .entry_table import close_entry

    raise SystemExit(close_entry(journal, key, outcome, resource_id, as_json=as_json))


@journal.command("purge", epilog=PURGE_EPILOG)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="Only what ended longer ago.",
)
@JSON_OBJECT
@JOURNAL
def purge_journal(journal: str | None, older_than: float, as_json: bool) -> None:
    """Delete what ended long ago.

    What has no outcome stays, however old.
    """
    from .entry_table import purge_entries

    raise SystemExit(purge_entries(journal, days=older_than, as_json=as_json))
