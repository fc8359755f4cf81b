"""The commands for setup: options and help."""

from __future__ import annotations

import click

from payroc_async.cli.options import JOURNAL, JSON_OBJECT, epilog

__all__ = ["completion", "doctor"]

DOCTOR_EPILOG = epilog(
    "payroc-async doctor",
    "payroc-async --env-file uat.env doctor --devices 300 --json",
    codes={
        0: "no check failed; there may be warnings",
        1: "a check failed: the output says what to do",
        2: "usage: a wrong option",
    },
)

COMPLETION_EPILOG = epilog(
    'eval "$(payroc-async completion bash)"        # in ~/.bashrc',
    'eval "$(payroc-async completion zsh)"         # in ~/.zshrc, below compinit',
    "payroc-async completion fish > ~/.config/fish/completions/payroc-async.fish",
    codes={0: "printed", 2: "usage: a wrong shell"},
)


@click.command(short_help="Check what a sale needs, and say what to do.", epilog=DOCTOR_EPILOG)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many devices this machine serves. If left out, those active at the gateway.",
)
@click.option("--terminal", metavar="ID", help="The processing terminal whose features to check.")
@JSON_OBJECT
@JOURNAL
def doctor(journal: str | None, devices: int | None, terminal: str | None, as_json: bool) -> None:
    """Check what a sale needs, and say what to do about each problem.

    Checks the variables, the proxy, the connection to the gateway, its certificates, the API key,
    the clock, the limit of open files and the journal; with --terminal also the terminal's
    features. Contacts only the configured identity service, API and journal. Nothing is sold, and
    the key is never shown.
    """
    from .doctor import run_doctor

    raise SystemExit(run_doctor(journal, devices=devices, terminal=terminal, as_json=as_json))


@click.command(short_help="Print a script for your shell.", epilog=COMPLETION_EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@JSON_OBJECT
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print a completion script for SHELL: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from payroc_async.cli.output import say, say_json

    root = context.find_root()
    made = get_completion_class(shell)
    assert made is not None
    script = made(root.command, {}, "payroc-async", "_PAYROC_ASYNC_COMPLETE").source()
    if as_json:
        say_json({"shell": shell, "script": script})
    else:
        say(script)
