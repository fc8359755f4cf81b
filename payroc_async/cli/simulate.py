"""``payroc-async simulate``: the simulator as a server of its own."""

from __future__ import annotations

import asyncio
import shlex
from datetime import datetime

import click
from attrs import field, frozen

from payroc_async import ConfigurationError
from payroc_async.simulator import FaultAction, Observed, Simulator
from payroc_async.simulator.answers import Answer
from payroc_async.simulator.faults import Exchange

from .scripts import add_script
from .signals import on_signal

__all__ = ["SimulateOptions", "run_simulator"]

LOOK = 0.05
"""Seconds between two looks at what was requested."""
APPROVES_AFTER = 2.0
"""Seconds that the cardholder takes on a device without a script."""


@frozen(kw_only=True)
class SimulateOptions:
    """What the command line said; `devices` are texts of the form ``SERIAL=SCRIPT``."""

    host: str
    port: int
    hold: float
    api_key: str = field(repr=False)
    devices: tuple[str, ...]


def run_simulator(options: SimulateOptions) -> int:
    """Run it until Ctrl-C or SIGTERM; variables to export on stdout, requests on stderr."""
    gateway = Simulator(
        hold=options.hold, api_key=options.api_key, host=options.host, port=options.port
    )
    try:
        scripted = {add_script(gateway, text) for text in options.devices}
        gateway.faults.add("submit", _script_the_others(gateway, scripted), times=None)
        asyncio.run(_serve(gateway))
    except ConfigurationError as error:
        click.echo(f"Error: {error}", err=True)
        return 2
    except OSError as error:
        click.echo(f"Error: --port: cannot listen there: {error}", err=True)
        return 2
    return 0


def _script_the_others(gateway: Simulator, scripted: set[str]) -> FaultAction:
    """Gives a device its script just before its first sale; harms nothing."""

    async def run(exchange: Exchange) -> Answer:
        serial_number = exchange.seen.path.split("/")[3]  # /v1/devices/{serialNumber}/…
        if serial_number not in scripted:
            scripted.add(serial_number)
            gateway.device(serial_number).approves(after=APPROVES_AFTER)
        return await exchange.proceed()

    return FaultAction("script", run)


async def _serve(gateway: Simulator) -> None:
    over = asyncio.Event()
    async with gateway:
        _print_variables(gateway)
        with on_signal(over.set):
            watching = asyncio.create_task(_watch(gateway), name="payroc-async requests")
            stopping = asyncio.create_task(over.wait(), name="payroc-async stop")
            # Whichever ends first: should the watching fail, it is not to fail in silence.
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (watching, stopping):
            task.cancel()
        await asyncio.wait((watching, stopping))
    if not watching.cancelled():
        watching.result()
    click.echo("stopped", err=True)


def _print_variables(gateway: Simulator) -> None:
    variables = {
        "PAYROC_API_URL": gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
        "PAYROC_API_KEY": gateway.api_key,
    }
    click.echo("A simulated gateway is up; Ctrl-C ends it. To use it:", err=True)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


async def _watch(gateway: Simulator) -> None:
    told = 0
    while True:
        ended = [one for one in gateway.requests if one.ended is not None]
        for one in sorted(ended, key=lambda one: one.ended or 0.0):
            click.echo(_line(one), err=True)
        if ended:
            # Told and forgotten: it may run for days.
            gateway.requests[:] = [one for one in gateway.requests if one not in ended]
        for violation in gateway.violations[told:]:
            click.secho(f"contract violated: {violation}", fg="red", err=True)
        told = len(gateway.violations)
        await asyncio.sleep(LOOK)


def _line(seen: Observed) -> str:
    took = (seen.ended or seen.started) - seen.started
    status = seen.status or "no answer, the client went away"
    return f"{datetime.now():%H:%M:%S}  {seen.method:<6} {seen.path}  {status}  {took:.2f} s"
