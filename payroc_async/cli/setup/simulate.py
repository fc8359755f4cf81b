"""``payroc-async simulate``: run the simulator as a server."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from datetime import datetime

from attrs import field, frozen

from payroc_async import ConfigurationError
from payroc_async.cli.background_output import BackgroundOutput
from payroc_async.cli.output import say_error
from payroc_async.cli.phrases import duration_in_words
from payroc_async.cli.signals import on_signal
from payroc_async.config import is_loopback
from payroc_async.simulator import Observed, Simulator

from .scripts import add_script

__all__ = ["SimulateOptions", "run_simulator"]

LOOK = 0.05
"""Seconds between two polls of the recorded requests."""
APPROVES_AFTER = 2.0
"""Seconds that the cardholder takes on a device without a script."""
KEPT = 200
"""How many printed requests and violations to keep for the page: the server may run for days."""

OPEN_TO_OTHERS = """\
Not loopback: anyone who reaches {host} can open the pages without a key, see what is sent, drive
devices and inject faults, and all of it, tokens included, crosses the network as plain HTTP. From
elsewhere open the pages by this machine's IP address: other names are refused. A PayrocSession on
another machine refuses plain HTTP: put TLS before it.\
"""


@frozen(kw_only=True)
class SimulateOptions:
    """The command's options; `devices` are texts of the form ``SERIAL=SCRIPT``."""

    host: str
    port: int
    hold: float
    api_key: str = field(repr=False)
    devices: tuple[str, ...]
    as_json: bool


def run_simulator(options: SimulateOptions) -> int:
    """Serve until Ctrl-C or SIGTERM. Variables go to stdout, requests to stderr."""
    gateway = Simulator(
        hold=options.hold,
        api_key=options.api_key,
        host=options.host,
        port=options.port,
        approves_after=APPROVES_AFTER,
    )
    try:
        for text in options.devices:
            add_script(gateway, text)
        asyncio.run(_serve(gateway, options))
    except ConfigurationError as error:
        say_error(error)
        return 2
    except OSError as error:
        say_error(f"--port: cannot listen there: {error}", "OSError")
        return 2
    return 0


async def _serve(gateway: Simulator, options: SimulateOptions) -> None:
    notes = BackgroundOutput(sys.stderr)
    results = BackgroundOutput(
        sys.stdout,
        lambda error: notes.write(f"Error: stdout could not be written: {error.strerror}"),
    )
    try:
        await _serve_until_signal(gateway, options, results, notes)
        notes.write("stopped")
    finally:
        results.close()
        notes.close()


async def _serve_until_signal(
    gateway: Simulator,
    options: SimulateOptions,
    results: BackgroundOutput,
    notes: BackgroundOutput,
) -> None:
    over = asyncio.Event()
    async with gateway:
        _say_variables(gateway, options.as_json, results, notes)
        _say_pages(gateway, options.host, notes)
        with on_signal(over.set):
            watching = asyncio.create_task(_watch(gateway, notes), name="payroc-async requests")
            stopping = asyncio.create_task(over.wait(), name="payroc-async stop")
            # Wait for whichever ends first, so that a failure of the watcher is not silent.
            await asyncio.wait((watching, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (watching, stopping):
            task.cancel()
        await asyncio.wait((watching, stopping))
    if not watching.cancelled():
        watching.result()


def _say_variables(
    gateway: Simulator, as_json: bool, results: BackgroundOutput, notes: BackgroundOutput
) -> None:
    variables = {
        # Not from its Environment, which refuses plain HTTP to hosts other than loopback.
        "PAYROC_API_URL": f"{gateway.url}/v1",
        "PAYROC_IDENTITY_URL": f"{gateway.url}/authorize",
        "PAYROC_API_KEY": gateway.api_key,
    }
    if as_json:
        results.write(json.dumps({"url": gateway.url, "variables": variables}))
        return
    notes.write("A simulated gateway is running; Ctrl-C stops it. To use it:")
    for name, value in variables.items():
        results.write(f"export {name}={shlex.quote(value)}")


def _say_pages(gateway: Simulator, host: str, notes: BackgroundOutput) -> None:
    notes.write("Open in a browser, once for each device to operate by hand:")
    notes.write(f"  {gateway.url}/\nTo see all activity:\n  {gateway.url}/gateway")
    if not is_loopback(host):
        notes.write(OPEN_TO_OTHERS.format(host=host), fg="yellow")


async def _watch(gateway: Simulator, notes: BackgroundOutput) -> None:
    told, known = 0, set[Observed]()

    def look() -> None:
        nonlocal told
        ended = [one for one in gateway.requests if one.ended is not None and one not in known]
        for one in sorted(ended, key=lambda one: one.ended or 0.0):
            notes.write(_line(one))
        known.update(ended)
        for one in [one for one in gateway.requests if one in known][:-KEPT]:
            gateway.requests.remove(one)
            known.discard(one)
        for violation in gateway.violations[told:]:
            notes.write(f"contract violated: {violation}", fg="red")
        del gateway.violations[:-KEPT]
        told = len(gateway.violations)

    try:
        while True:
            look()
            await asyncio.sleep(LOOK)
    except asyncio.CancelledError:
        look()  # requests since the last poll
        raise


def _line(seen: Observed) -> str:
    took = (seen.ended or seen.started) - seen.started
    status = seen.status or "no answer, the client disconnected"
    request = f"{seen.method:<6} {seen.path}"
    return f"{datetime.now():%H:%M:%S}  {request}  {status}  {duration_in_words(took)}"
