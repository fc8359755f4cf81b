"""The doctor's checks of this machine: variables, proxy, open files, the journal."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import frozen

from payroc_async import ConfigurationError, Environment, JournalError
from payroc_async.cli.journal.entry_table import ask
from payroc_async.cli.journal_location import existing_journal, journal_named, journal_path
from payroc_async.cli.phrases import counted as plural
from payroc_async.cli.settings import ENV_FILE, env_file, from_file
from payroc_async.http.token import check_api_key
from payroc_async.journal import Entry, EntryState
from payroc_async.journal.entries import OPEN
from payroc_async.session_options import environment_of

__all__ = [
    "Check",
    "Gateway",
    "check_journal",
    "check_open_files",
    "check_proxy",
    "check_variables",
]

SPARE_FILES = 64
"""Open files other than sales' connections: standard streams, journal, token, logs."""


@frozen
class Check:
    """The result of one check.

    Args:
        name: A stable name for scripts.
        status: ``failed`` if a sale would fail.
        message: What was found.
        advice: What to do; empty if all is well.
    """

    name: str
    status: Literal["ok", "warning", "failed"]
    message: str
    advice: str = ""


@frozen
class Gateway:
    """The validated configuration from the variables."""

    api_key: str
    environment: Environment

    def __repr__(self) -> str:
        return f"Gateway({self.environment})"


# Variables ----------


def check_variables() -> tuple[Check, Gateway | None]:
    """Check that the variables select a gateway and hold a valid key."""
    name = "variables"
    problems: list[str] = []
    file: Mapping[str, str] = {}
    api_key, environment = "", None
    try:
        file = from_file()
    except ConfigurationError as error:
        problems.append(str(error))
    variables = {**file, **os.environ}
    try:
        environment = environment_of(variables)
    except ConfigurationError as error:
        problems.append(str(error))
    try:
        api_key = check_api_key(variables.get("PAYROC_API_KEY", ""))
    except ConfigurationError as error:
        problems.append(f"PAYROC_API_KEY: {error.reason}")
    if environment is None or problems:
        advice = "export them, or write them to a file named .env here or named by --env-file"
        return Check(name, "failed", "; ".join(problems), advice), None
    where = {
        Environment.UAT: "UAT",
        Environment.PRODUCTION: "production: real cards, real money",
    }.get(environment, environment.api_url)
    message = f"{where}; {_sources(variables, file)}"
    return Check(name, "ok", message), Gateway(api_key, environment)


def _sources(variables: Mapping[str, str], file: Mapping[str, str]) -> str:
    """Return the names and sources of the variables, never their values."""
    known = sorted(one for one in variables if one.startswith("PAYROC_"))
    read = [one for one in known if one in file]
    own = [one for one in known if one not in file]
    parts = [f"{', '.join(own)} of the process"] if own else []
    if read:
        parts.append(f"{', '.join(read)} from {env_file() or ENV_FILE}")
    return "; ".join(parts)


# The proxy ----------


def check_proxy(gateway: Gateway | None) -> Check:
    """Check for a proxy variable, which the SDK ignores."""
    urls = [gateway.environment.api_url, gateway.environment.identity_url] if gateway else []
    proxies = getproxies()
    meant = {
        scheme
        for parts in map(urlsplit, urls)
        for scheme in ("all", parts.scheme)
        if scheme in proxies and not proxy_bypass(parts.hostname or "")
    }
    if not meant:
        return Check("proxy", "ok", "none is set for the gateway: connections are direct")
    # The value may hold a password.
    names = " and ".join(f"{scheme.upper()}_PROXY" for scheme in sorted(meant))
    return Check(
        "proxy",
        "warning",
        f"{names} is set, but sessions and this command ignore it: they connect directly",
        "nothing, if the checks below pass; if a proxy is required, a session needs "
        "`proxy=`, and the command line can't be used",
    )


# Open files ----------


def check_open_files(devices: int | None, counted: bool) -> Check:
    """Check that the limit of open files is high enough for all devices at once."""
    name = "open files"
    try:
        import resource
    except ImportError:
        return Check(name, "ok", "this system does not limit a process's connections")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Check(name, "ok", "no limit")
    if devices is None:
        enough = max(0, soft - SPARE_FILES) // 2
        return Check(
            name, "ok", f"the limit is {soft}, enough for {plural(enough, 'device')} at once"
        )
    # A sale that is being canceled has a second connection.
    least, need = devices + SPARE_FILES, 2 * devices + SPARE_FILES
    of = plural(devices, "device") + (" in use at the gateway" if counted else "")
    needs = "needs" if devices == 1 else "need"
    if soft >= need:
        return Check(name, "ok", f"the limit is {soft}, and {of} {needs} {need}")
    most = "as root" if hard != resource.RLIM_INFINITY and hard < need else "in the shell"
    return Check(
        name,
        "warning" if soft >= least else "failed",
        f"the limit is {soft}, but {of} {needs} {need} if all are busy",
        f"raise it {most}: ulimit -n {need}; for a service LimitNOFILE={need} in its unit",
    )


# The journal ----------


def check_journal(given: str | None) -> list[Check]:
    """Check that the journal can be opened, count its entries, and check its permissions."""
    name = "journal"
    try:
        place = journal_named(given)
        if place is None:
            return [
                Check(
                    name,
                    "warning",
                    "none is configured: a crashed process's sales could not be recovered",
                    "set PAYROC_JOURNAL, or give --journal",
                )
            ]
        path = journal_path(place)
        if path is not None and not os.path.lexists(path):
            return [_check_folder(path)]
        open_ = ask(existing_journal(place), lambda journal: journal.entries(states=OPEN))
    except ConfigurationError as error:
        return [Check(name, "failed", str(error), "set --journal or PAYROC_JOURNAL to a location")]
    except JournalError as error:
        return [
            Check(
                name,
                "failed",
                str(error),
                "no sale begins without it: check the path, its permissions and the disk space, or "
                "the server; a journal of a newer version needs that version",
            )
        ]
    checks = [_opened(path), _check_entries(open_)]
    if path is not None and os.name == "posix":
        checks.append(_check_permissions(path.resolve()))
    return checks


def _check_folder(path: Path) -> Check:
    folder = path.absolute().parent
    if os.access(folder, os.W_OK | os.X_OK):
        return Check("journal", "ok", f"{path} does not exist yet: the first session creates it")
    return Check(
        "journal",
        "failed",
        f"{path} does not exist and can't be created",
        f"create the folder {folder}, writable for the user that runs sales",
    )


def _opened(path: Path | None) -> Check:
    if path is None:
        from payroc_async.journal.postgres.pg_schema import VERSION as VERSION_THERE

        return Check(
            "journal", "ok", f"in PostgreSQL, version {VERSION_THERE}; the owner lock was acquired"
        )
    from payroc_async.journal.sqlite.locks import is_alive
    from payroc_async.journal.sqlite.sqlite_schema import VERSION

    owners = _owners(path.resolve())
    alive = sum(is_alive(owners, one.name) for one in owners.iterdir())
    return Check(
        "journal",
        "ok",
        f"{path}, version {VERSION}; the owner lock was acquired; others hold {alive}",
    )


def _check_entries(open_: list[Entry]) -> Check:
    running = sum(entry.unfinished and entry.running for entry in open_)
    stray = sum(entry.unfinished and not entry.running for entry in open_)
    unknown = sum(entry.state is EntryState.UNKNOWN for entry in open_)
    advice = []
    if stray:
        advice.append("run `payroc-async recover` for the orphaned entries")
    if unknown:
        advice.append(
            "find out the unknown outcomes (`payroc-async journal list --all`), at the "
            "device or from Payroc, then run `payroc-async journal close`"
        )
    return Check(
        "journal entries",
        "warning" if advice else "ok",
        f"{running} in progress, {stray} orphaned, {unknown} of unknown outcome",
        "; ".join(advice),
    )


def _owners(path: Path) -> Path:
    return path.with_name(f"{path.name}-owners")


def _check_permissions(path: Path) -> Check:
    name = "journal permissions"
    found = {one: one.stat() for one in (path, _owners(path))}
    foreign = [str(one) for one, known in found.items() if known.st_uid != os.geteuid()]
    if foreign:
        return Check(
            name,
            "warning",
            f"{' and '.join(foreign)} belongs to another user",
            "run everything that shares a journal as one user",
        )
    wide = {one: known for one, known in found.items() if stat.S_IMODE(known.st_mode) & 0o077}
    if wide:
        modes = " and ".join(
            f"{one} ({stat.S_IMODE(known.st_mode):04o})" for one, known in wide.items()
        )
        commands = " && ".join(
            f"chmod {'700' if stat.S_ISDIR(known.st_mode) else '600'} {shlex.quote(str(one))}"
            for one, known in wide.items()
        )
        return Check(
            name,
            "warning",
            f"other users have access to {modes}",
            f"unless intended, run: {commands}",
        )
    return Check(name, "ok", "accessible to its user only")
