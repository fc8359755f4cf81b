"""The commands about the journal: their options, and their help.

Each imports what it needs when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import click

from .device_commands import JOURNAL_OPTION
from .payment_commands import JSON_LINES, JSON_OBJECT

__all__ = ["journal", "recover"]

RECOVER_EPILOG = """\b
Exit codes:
  0  nothing that was found is left open: it was approved, declined, canceled, or failed
  2  usage: a wrong option, a missing variable; nothing was sent
  4  not begun, or stopped: the journal refused, or could not be reached
  5  the outcome of something is still unknown, also where the gateway refused or was not reached

\b
Examples:
  payroc-async recover --journal sales.db
  payroc-async recover --journal sales.db --cancel --json
"""

ENTRY_EPILOG = """\b
Exit codes:
  0  done, also where nothing was found
  2  usage: a wrong option, no journal named
  4  {not_done}

\b
Example{s}:
{examples}
"""

LIST_EPILOG = ENTRY_EPILOG.format(
    not_done="the journal is not there, or could not be read",
    s="s",
    examples="""  payroc-async journal list --journal sales.db
  payroc-async journal list --all --json""",
)

SHOW_EPILOG = ENTRY_EPILOG.replace("done, also where nothing was found", "found").format(
    not_done="there is no such entry, or the journal is not there or could not be read",
    s="",
    examples="  payroc-async journal show 7f3c5a9e-2d41-4b6f-9a0c-1e8d2b3c4d5e",
)

PURGE_EPILOG = ENTRY_EPILOG.format(
    not_done="the journal is not there, or could not be written",
    s="",
    examples="  payroc-async journal purge --journal sales.db --older-than 30",
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
@JOURNAL_OPTION
def recover(journal: str | None, cancel: bool, resubmit: bool, as_json: bool) -> None:
    """End what processes that died have left unfinished.

    Each sale, refund and signature that the journal has unfinished at the gateway of the PAYROC_
    variables, and that no living process drives, is seen to its end, all at once, and printed as it
    ends. Run it as often, and in as many places, as you like: each is taken by one alone, and none
    is charged twice. Ctrl-C lets go of what has not ended; it stays in the journal.
    """
    from .recover import RecoverOptions, run_recovery

    options = RecoverOptions(journal=journal, cancel=cancel, resubmit=resubmit, as_json=as_json)
    raise SystemExit(run_recovery(options))


@click.group()
def journal() -> None:
    """See what the journal holds, and delete what is old. Needs no API key."""


@journal.command("list", epilog=LIST_EPILOG)
@click.option("--all", "everything", is_flag=True, help="Print what has ended, too.")
@JSON_LINES
@JOURNAL_OPTION
def list_journal(journal: str | None, everything: bool, as_json: bool) -> None:
    """Print what is unfinished, the oldest first.

    States: intent (the gateway may or may not know of it), submitted, canceling; and with --all
    completed, failed, canceled, unknown (asking on tells nothing). A running one is driven by a
    process that lives; `recover` ends the others.
    """
    from .journal import list_entries

    raise SystemExit(list_entries(journal, everything=everything, as_json=as_json))


@journal.command("show", epilog=SHOW_EPILOG)
@click.argument("key", metavar="KEY")
@JSON_OBJECT
@JOURNAL_OPTION
def show_journal(journal: str | None, key: str, as_json: bool) -> None:
    """Print the entry with the idempotency key KEY."""
    from .journal import show_entry

    raise SystemExit(show_entry(journal, key, as_json=as_json))


@journal.command("purge", epilog=PURGE_EPILOG)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="Only what ended longer ago.",
)
@JOURNAL_OPTION
def purge_journal(journal: str | None, older_than: float) -> None:
    """Delete what ended long ago.

    What has no outcome stays, however old.
    """
    from .journal import purge_entries

    raise SystemExit(purge_entries(journal, days=older_than))
