"""The journal's commands: options and help.

Each command imports its implementation when it runs, so that ``--help`` is quick.
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
        0: "nothing is left open: all were approved, declined, canceled, or failed",
        2: "usage: a wrong option, a missing variable; nothing was sent",
        4: "not begun or stopped: the journal refused or could not be reached",
        5: "an outcome is still unknown, also because the gateway refused or was not reached",
    },
)


def _epilog(*examples: str, done: str, not_done: str) -> str:
    codes = {0: done, 2: "usage: a wrong option, no journal named", 4: not_done}
    return epilog(*examples, codes=codes)


LIST_EPILOG = _epilog(
    "payroc-async journal list --journal sales.db",
    "payroc-async journal list --all --json",
    done="done, even if nothing was found",
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
    not_done="not closed: there is no such entry, it is not unknown, or a live process runs "
    "it; or the journal is not there or could not be written",
)
PURGE_EPILOG = _epilog(
    "payroc-async journal purge --journal sales.db --older-than 30",
    done="done, even if nothing was found",
    not_done="the journal is not there, or could not be written",
)


@click.command(epilog=RECOVER_EPILOG)
@click.option(
    "--cancel", is_flag=True, help="Cancel the unfinished instructions instead of waiting for them."
)
@click.option(
    "--resubmit",
    is_flag=True,
    help="Also resubmit what is older than two minutes and may never have arrived. This may "
    "start a prompt when the customer has left.",
)
@JSON_LINES
@JOURNAL
def recover(journal: str | None, cancel: bool, resubmit: bool, as_json: bool) -> None:
    """Recover sales left unfinished by crashed processes.

    Claims every sale, refund and signature that is unfinished in the journal, belongs to the
    gateway of the PAYROC_ variables, and is run by no live process. Runs them concurrently to their
    ends, and prints each when it ends. You can run this any number of times, in any number of
    places: each instruction is claimed once, and no customer is charged twice. Ctrl-C releases
    unfinished instructions; they stay in the journal.
    """
    from .recover_command import RecoverOptions, run_recovery

    options = RecoverOptions(journal=journal, cancel=cancel, resubmit=resubmit, as_json=as_json)
    raise SystemExit(run_recovery(options))


@click.group(
    cls=CommandGroup,
    short_help="List, close and purge the journal's entries.",
    epilog=epilog("payroc-async journal list --journal sales.db"),
)
def journal() -> None:
    """List the journal's entries, close those of unknown outcome, delete old ones.

    Needs no API key.
    """


@journal.command("list", epilog=LIST_EPILOG)
@click.option("--all", "everything", is_flag=True, help="Include entries that have ended.")
@JSON_LINES
@JOURNAL
def list_journal(journal: str | None, everything: bool, as_json: bool) -> None:
    """Print the unfinished entries, oldest first.

    States: intent (the gateway may or may not have received it), submitted, canceling; with --all
    also completed, failed, canceled, unknown (polling can't find the outcome). An entry marked as
    running belongs to a live process; `recover` recovers the others.
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
    help="The outcome. failed and canceled: no money moved.",
)
@click.option(
    "--resource-id",
    metavar="ID",
    help="The id of the payment, refund or signature; required with completed, else not allowed.",
)
@JSON_OBJECT
@JOURNAL
def close_journal(
    journal: str | None, key: str, outcome: str, resource_id: str | None, as_json: bool
) -> None:
    """Close the entry with the idempotency key KEY, whose outcome is unknown.

    Use this after you have found out the outcome, at the device or from Payroc. The gateway is not
    asked: the journal trusts what you enter. Only an entry in state unknown can be closed, and only
    if no live process runs it.
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
    help="Only entries that ended longer ago.",
)
@JSON_OBJECT
@JOURNAL
def purge_journal(journal: str | None, older_than: float, as_json: bool) -> None:
    """Delete entries that ended long ago.

    Entries without an outcome are kept, however old.
    """
    from .entry_table import purge_entries

    raise SystemExit(purge_entries(journal, days=older_than, as_json=as_json))
