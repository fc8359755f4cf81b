"""The processes of the fleet, and what strikes them at random."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from pathlib import Path

from attrs import define, field

from payroc_async.simulator import Simulator
from tests.harness.nginx import free_port
from tests.harness.postgres import PostgresServer
from tests.harness.programs import ROOT

__all__ = ["Chaos", "Member", "fleet"]

PATIENCE = 60.0
"""Seconds for what a process does in one or two where the machine is quiet."""


@define(eq=False)
class Member:
    """A place in the fleet, in which one process follows another.

    Attributes:
        name: The name of the process that is there now.
        ready: Whether its process takes sales.
        stopped: Whether it is stopped by SIGSTOP.
        failed_starts: How often a process ended before it took sales.
        crashes: What each process that ended by itself has said.
        killed: When each process was killed, by its name, in seconds of ``time.monotonic``.
        stops: From when until when each process was stopped, by its name.
    """

    variables: dict[str, str]
    number: int
    log: Path
    port: int = field(factory=free_port)
    ready: bool = False
    stopped: bool = False
    failed_starts: int = 0
    crashes: list[str] = field(factory=list)
    killed: dict[str, float] = field(factory=dict)
    stops: dict[str, list[tuple[float, float]]] = field(factory=dict)
    _born: int = 0
    _process: asyncio.subprocess.Process | None = None
    _watching: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What it calls itself before the gateway."""
        return f"{self.number}.{self._born}"

    @property
    def url(self) -> str:
        """Where it takes sales, if it lives."""
        return f"http://127.0.0.1:{self.port}/sales"

    async def start(self) -> None:
        """Start a process, and return when it takes sales. As a supervisor does, try again."""
        try:
            await self._start()
        except TimeoutError as error:
            if self._process is not None:
                self._process.send_signal(signal.SIGUSR1)  # it says where it is
                await asyncio.sleep(1)
            raise AssertionError(f"{self.name}: {self.log.read_text()[-8000:]}") from error

    async def _start(self) -> None:
        process = None
        async with asyncio.timeout(PATIENCE):
            while process is None:
                process = await self._started()
        # From here on it may be killed at any time.
        self.ready = True
        self._watching = asyncio.create_task(self._watch(process))

    async def _started(self) -> asyncio.subprocess.Process | None:
        """A process that takes sales; None where it has ended, as while the server restarts."""
        process = self._process = await self._spawn()
        while not await self._listens():
            if process.returncode is not None:
                self.failed_starts += 1
                return None
            await asyncio.sleep(0.05)
        return process

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Note it if a process ends by itself."""
        await process.wait()
        if self._process is process:
            self.ready, self.stopped = False, False
            self.crashes.append(
                f"{self.name}: {process.returncode}\n{self.log.read_text()[-4000:]}"
            )
            await self.start()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._born += 1
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fleet.backend"),
                cwd=ROOT,
                env={
                    **os.environ,
                    **self.variables,
                    "FLEET_NAME": self.name,
                    "FLEET_PORT": str(self.port),
                },
                stdin=asyncio.subprocess.PIPE,  # it ends when this one does
                stdout=log,
                stderr=log,
            )

    async def _listens(self) -> bool:
        """Whether this process answers on the port, and no other program that has it."""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /name HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.endswith(f"\r\n\r\n{self.name}".encode())
        return False

    async def end(self, number: signal.Signals) -> None:
        """Kill the process, or ask it to end, and wait until it has."""
        process, self._process, self.ready = self._process, None, False
        if process is None:
            return
        if number is signal.SIGKILL:
            self.killed[self.name] = time.monotonic()
        with suppress(ProcessLookupError):
            process.send_signal(number)
            if self.stopped:
                self.go_on(process)
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise

    def stop(self) -> None:
        """Have it do nothing until it goes on."""
        if self._process is not None:
            self.stopped = True
            self.stops.setdefault(self.name, []).append((time.monotonic(), inf))
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self, process: asyncio.subprocess.Process | None = None) -> None:
        """Let it go on."""
        process = process or self._process
        if process is not None and self.stopped:
            self.stopped = False
            process.send_signal(signal.SIGCONT)
            since, _ = self.stops[self.name].pop()
            self.stops[self.name].append((since, time.monotonic()))


@asynccontextmanager
async def fleet(
    gateway: Simulator, dsn: str, count: int, interval: float, folder: Path
) -> AsyncIterator[list[Member]]:
    """As many processes, all of them ended at the end."""
    variables = {
        "FLEET_JOURNAL": dsn,
        "FLEET_INTERVAL": str(interval),
        "FLEET_API_KEY": gateway.api_key,
        "FLEET_API_URL": gateway.environment.api_url,
        "FLEET_IDENTITY_URL": gateway.environment.identity_url,
    }
    members = [Member(variables, n, folder / f"process-{n}.log") for n in range(count)]
    try:
        await members[0].start()  # makes the tables
        await asyncio.gather(*(member.start() for member in members[1:]))
        yield members
    finally:
        for member in members:
            if member._watching is not None:
                member._watching.cancel()
        ends = [member.end(signal.SIGKILL) for member in members]
        await asyncio.gather(*ends, return_exceptions=True)


@define
class Chaos:
    """Kills, stops and ends processes, and restarts the server, one thing after the other.

    Args:
        members: The processes.
        server: The journal's server.
        rng: Decides what comes next, and when.
        pause: The longest time between two strokes, in seconds.

    Attributes:
        counts: How often what was done.
    """

    members: list[Member]
    server: PostgresServer
    rng: random.Random
    pause: float
    counts: Counter[str] = field(factory=Counter)
    _restarting: asyncio.Lock = field(factory=asyncio.Lock)

    async def run(self, seconds: float) -> None:
        """Go on for so long. At the end all processes take sales."""
        strokes = [self._kill, self._kill, self._stop, self._deploy, self._restart]
        deadline = time.monotonic() + seconds
        async with asyncio.TaskGroup() as going:
            # The first of each kind is not left to chance: a short run has them all.
            waiting = self.rng.sample(strokes[1:], len(strokes) - 1)
            while time.monotonic() < deadline:
                stroke = waiting.pop() if waiting else self.rng.choice(strokes)
                going.create_task(stroke())
                await asyncio.sleep(self.rng.uniform(self.pause / 4, self.pause))

    async def _one(self) -> Member:
        """A process that takes sales; another one is left beside it."""
        while len(ready := [m for m in self.members if m.ready and not m.stopped]) < 2:
            await asyncio.sleep(0.1)
        return self.rng.choice(ready)

    async def _kill(self) -> None:
        member = await self._one()
        self.counts["killed"] += 1
        await member.end(signal.SIGKILL)
        await asyncio.sleep(self.rng.uniform(0, self.pause))
        await member.start()

    async def _deploy(self) -> None:
        member = await self._one()
        self.counts["replaced"] += 1
        await member.end(signal.SIGTERM)
        await member.start()

    async def _stop(self) -> None:
        member = await self._one()
        self.counts["stopped and continued"] += 1
        member.stop()
        await asyncio.sleep(self.rng.uniform(0.5, 2 * self.pause))
        member.go_on()

    async def _restart(self) -> None:
        async with self._restarting:
            self.counts["server restarted"] += 1
            await asyncio.to_thread(self.server.restart)
