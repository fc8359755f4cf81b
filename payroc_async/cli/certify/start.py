"""From the options of ``certify`` to its exit code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
from attrs import frozen

from payroc_async import (
    Amount,
    ConfigurationError,
    Environment,
    RetryPolicy,
    Timeouts,
)
from payroc_async.cli.output import note, say, say_error, say_json
from payroc_async.cli.setup.local_checks import check_variables
from payroc_async.simulator import Simulator

from .conductor import Conductor, Interrupted
from .evidence import SIMULATOR, Evidence, load_evidence
from .guide import Guide, Person, Scripted
from .scenario_table import FEATURES, Scenario
from .scenarios import SCENARIOS

__all__ = ["CertifyOptions", "run_certify"]

WAITS = 3
INTERRUPTED = 130
SIMULATED = Timeouts(hold=0.5, poll_interval=0.02)
SIMULATED_RETRIES = RetryPolicy(initial=0.05, maximum=0.2, retry_after_maximum=0.2)
SIMULATED_SERIAL, SIMULATED_TERMINAL = "1850010868", "1234001"
DONE = ("passed", "recorded")


@frozen(kw_only=True)
class CertifyOptions:
    """The options, as the command has them."""

    only: tuple[str, ...]
    serial: str | None
    terminal: str | None
    currency: str
    project: str
    features: tuple[str, ...]
    output: Path
    again: bool
    only_list: bool
    patience: float
    decline_amount: str
    settled_payment: str
    yes: bool
    simulator: bool
    as_json: bool


def run_certify(options: CertifyOptions) -> int:
    """Run the requested scenarios; return the exit code."""
    try:
        chosen = _chosen(options)
        if options.only_list:
            return _list(chosen, options)
        with asyncio.Runner() as runner, _gateway(options, runner) as (environment, key, guide):
            conductor = _conductor(options, environment, key, guide)
            return _run(conductor, runner, chosen, options)
    except ConfigurationError as error:
        say_error(error)
        return 2


def _chosen(options: CertifyOptions) -> list[Scenario]:
    """Return the requested scenarios, in their order.

    Raises:
        ConfigurationError: A requested scenario does not exist.
    """
    named = {one.upper() for one in options.only}
    unknown = sorted(named - set(SCENARIOS))
    if unknown:
        raise ConfigurationError(
            "SCENARIO", f"{unknown[0]} does not exist: --list shows those that do"
        )
    if named:
        return [one for one in SCENARIOS.values() if one.id in named]
    features = set(FEATURES) if "all" in options.features else set(options.features)
    return [one for one in SCENARIOS.values() if not one.feature or one.feature in features]


def _list(chosen: Sequence[Scenario], options: CertifyOptions) -> int:
    shown = list(chosen if options.features or options.only else SCENARIOS.values())
    if options.as_json:
        names = ("id", "tier", "feature", "title", "expected", "device")
        say_json({"scenarios": [{name: getattr(one, name) for name in names} for one in shown]})
        return 0
    for one in shown:
        feature = f" [--with {one.feature}]" if one.feature else ""
        say(f"{one.id:<8} {one.tier:<14} {one.title}{feature}")
    return 0


@contextmanager
def _gateway(
    options: CertifyOptions, runner: asyncio.Runner
) -> Iterator[tuple[Environment, str, Guide]]:
    """Return the gateway, the key and the actor at the device.

    Raises:
        ConfigurationError: The variables name no gateway, or production; the device is missing.
    """
    if options.simulator:
        gateway = Simulator(hold=SIMULATED.hold)
        serial = options.serial or SIMULATED_SERIAL
        gateway.device(serial)
        runner.run(gateway.start())
        try:
            yield gateway.environment, gateway.api_key, Scripted(gateway, serial)
        finally:
            runner.run(gateway.stop())
        return
    for name, value in (("--serial", options.serial), ("--terminal", options.terminal)):
        if not value:
            raise ConfigurationError(name, "is needed: say which device and terminal to use")
    check, found = check_variables()
    if found is None:
        raise ConfigurationError("PAYROC_", f"{check.message}: {check.advice}")
    _refuse_production(found.environment)
    yield found.environment, found.api_key, Person()


def _refuse_production(environment: Environment) -> None:
    """Refuse production: test cards and wrong keys do not belong there.

    Raises:
        ConfigurationError: One of the addresses is in production.
    """
    production = {
        urlsplit(url).hostname
        for url in (Environment.PRODUCTION.api_url, Environment.PRODUCTION.identity_url)
    }
    for url in (environment.api_url, environment.identity_url):
        if urlsplit(url).hostname in production:
            raise ConfigurationError(
                "PAYROC_ENVIRONMENT",
                f"names production ({urlsplit(url).hostname}): certify runs against UAT alone",
            )


def _conductor(
    options: CertifyOptions, environment: Environment, api_key: str, guide: Guide
) -> Conductor:
    fresh = Evidence(
        gateway=SIMULATOR if options.simulator else environment.api_url,
        serial_number=options.serial or SIMULATED_SERIAL,
        processing_terminal_id=options.terminal or SIMULATED_TERMINAL,
        currency=options.currency,
        project=options.project,
    )
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError("--output", f"{options.output}: {error.strerror}") from None
    return Conductor(
        environment=environment,
        api_key=api_key,
        guide=guide,
        evidence=load_evidence(options.output / "certification.json", fresh),
        folder=options.output,
        timeouts=SIMULATED if options.simulator else Timeouts(),
        retries=SIMULATED_RETRIES if options.simulator else RetryPolicy(),
        patience=options.patience,
        decline_amount=_decline_amount(options),
        settled_payment=options.settled_payment,
        prompt=not (options.yes or options.simulator),
    )


def _decline_amount(options: CertifyOptions) -> int:
    try:
        return Amount.parse(options.decline_amount, options.currency).minor_units
    except ConfigurationError as error:
        raise ConfigurationError("--decline-amount", error.reason) from None


def _run(
    conductor: Conductor,
    runner: asyncio.Runner,
    chosen: Sequence[Scenario],
    options: CertifyOptions,
) -> int:
    evidence = conductor.evidence
    todo = [
        one
        for one in chosen
        if options.again
        or options.only
        or (last := evidence.last(one.id)) is None
        or last.status not in DONE
    ]
    if len(todo) < len(chosen):
        note(f"{len(chosen) - len(todo)} have passed already: --again runs them once more")
    code = 0
    try:
        conductor.run(runner, todo)
    except Interrupted:
        code = INTERRUPTED
    counted = Counter(last.status for one in chosen if (last := evidence.last(one.id)))
    if not code:
        code = 1 if counted["failed"] else WAITS if counted["waiting"] else 0
    report = conductor.folder / "report.html"
    if options.as_json:
        results = {one.id: last.status for one in chosen if (last := evidence.last(one.id))}
        say_json({"results": results, "report": str(report), "evidence": str(conductor.file)})
    else:
        say(", ".join(f"{number} {status}" for status, number in counted.items()) or "none run")
        say(
            f"Evidence: {click.format_filename(report)} and {click.format_filename(conductor.file)}"
        )
    return code
