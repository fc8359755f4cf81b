"""Starts, replaces and stops the backends of a fleet: ``python examples/fleet/deploy.py replace``.

A minimal rolling deploy with only the standard library. ``replace`` handles one backend after the
other: it asks the old process to stop, waits for its end, starts the new one on the same port, and
waits until it accepts sales. So at least one backend is always available. A running sale of the old
process stays on its device, and another backend recovers it. systemd, Kubernetes or Nomad do the
same: SIGTERM, time to stop, a readiness probe on ``/health``, one backend at a time.

Settings: ``PORTS`` (8001,8002), ``FOLDER`` for process ids and logs, and those of ``backend.py``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

PORTS = os.environ.get("PORTS", "8001,8002").split(",")
FOLDER = Path(os.environ.get("FOLDER", "."))
BACKEND = Path(__file__).with_name("backend.py")
TIME_TO_STOP = 60.0
"""Seconds. More than four times ``Timeouts.cancel_grace``, which bounds ``aclose()``."""
TIME_TO_START = 60.0


def start(port: str) -> None:
    """Start a backend, and return when it accepts sales.

    Raises:
        RuntimeError: The backend did not start; its log has the reason.
    """
    with (FOLDER / f"{port}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, BACKEND],
            env={**os.environ, "PORT": port},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this script
        )
    (FOLDER / f"{port}.pid").write_text(str(process.pid))
    deadline = time.monotonic() + TIME_TO_START
    while not is_healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the backend on port {port} has not started: see {log.name}")
        time.sleep(0.1)
    print(f"{port}: process {process.pid} takes sales", flush=True)


def is_healthy(port: str) -> bool:
    """Whether a backend answers there."""
    with suppress(OSError):
        url = f"http://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    return False


def stop(port: str) -> None:
    """Stop a backend, and return when it has ended. Does nothing if it is not running.

    Raises:
        RuntimeError: The backend did not end in time.
    """
    file = FOLDER / f"{port}.pid"
    if not file.exists():
        return
    process = int(file.read_text())
    deadline = time.monotonic() + TIME_TO_STOP
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
        while is_running(process):
            if time.monotonic() > deadline:
                raise RuntimeError(f"process {process} has not ended in {TIME_TO_STOP:g} s")
            time.sleep(0.1)
    file.unlink()
    print(f"{port}: process {process} has ended, and its sales continue elsewhere", flush=True)


def is_running(process: int) -> bool:
    """Whether a process is running. A child of this process that has ended is not."""
    with suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """The command."""
    match sys.argv[1:]:
        case ["start"]:
            steps = [start]
        case ["replace"]:
            steps = [stop, start]
        case ["stop"]:
            steps = [stop]
        case _:
            sys.exit("usage: deploy.py start | replace | stop")
    for port in PORTS:
        for step in steps:
            step(port)


if __name__ == "__main__":
    main()
