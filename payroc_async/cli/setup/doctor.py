"""``payroc-async doctor``: check what a sale needs, and say what to do about problems."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import Counter

from attrs import asdict

from payroc_async import __version__
from payroc_async.cli.output import plain, say, say_json
from payroc_async.cli.phrases import counted

from .local_checks import Check, check_journal, check_open_files, check_proxy, check_variables
from .network_checks import Reached, reach

__all__ = ["run_doctor"]

COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


def run_doctor(
    journal: str | None, *, devices: int | None, terminal: str | None, as_json: bool
) -> int:
    """Run and print all checks; return the exit code: 1 if any failed."""
    checks = _examine(journal, devices, terminal)
    found = Counter(check.status for check in checks)
    if as_json:
        ok = not found["failed"]
        members = [asdict(check) for check in checks]
        say_json({"ok": ok, "version": __version__, "checks": members})
    else:
        for check in checks:
            say(f"{check.status:<8} ", fg=COLORS[check.status], nl=False)
            say(f"{check.name:<20} {plain(check.message)}")
            if check.advice:
                say(f"{'':<29} -> {plain(check.advice)}")
        say(f"{found['failed']} failed, {counted(found['warning'], 'warning')}", bold=True)
    return 1 if found["failed"] else 0


def _examine(journal: str | None, devices: int | None, terminal: str | None) -> list[Check]:
    variables, gateway = check_variables()
    checks = [variables, check_proxy(gateway)]
    reached = Reached([])
    if gateway is not None:
        # Built here, because it is read from disk; the same defaults as the SDK's through aiohttp.
        trust = ssl.create_default_context()
        reached = asyncio.run(reach(gateway, trust, count=devices is None, terminal=terminal))
        checks += _trusted_file()
    checks += reached.checks
    most = reached.devices if devices is None else devices
    checks.append(check_open_files(most, counted=devices is None))
    return checks + check_journal(journal)


def _trusted_file() -> list[Check]:
    """Warn if a variable points OpenSSL to a missing file: it then trusts no certificate."""
    named = os.environ.get("SSL_CERT_FILE")
    if not named or os.path.isfile(named):
        return []
    return [
        Check(
            "tls authorities",
            "failed",
            f"SSL_CERT_FILE names {named}, which does not exist: no certificate is trusted",
            "correct or unset it",
        )
    ]
