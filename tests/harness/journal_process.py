"""A process that has a journal open and does with it what it is reported, to be killed and stopped.

It reads a command a line and answers each with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from attrs import define

from payroc_async import JournalError
from payroc_async.journal import Entry, EntryState, Intent, Journal, PostgresJournal, SQLiteJournal

__all__ = ["GATEWAY", "JournalProcess", "intent", "journal_of"]

ROOT = Path(__file__).parents[2]
GATEWAY = "https://gateway.example/v1"


def intent(
    key: str,
    *,
    body: str = "body of {}",
    gateway: str = GATEWAY,
    scope: str = "",
    serial_number: str | None = None,
) -> Intent:
    """What is about to be submitted under a key, each on a device of its own."""
    return Intent(
        idempotency_key=key,
        kind="payment",
        gateway=gateway,
        scope=scope,
        serial_number=f"device of {key}" if serial_number is None else serial_number,
        body=body.format(key).encode(),
    )


def journal_of(place: dict[str, Any]) -> Journal:
    """The journal at a place, not opened: the arguments of its class."""
    return PostgresJournal(**place) if "dsn" in place else SQLiteJournal(**place)


@define(eq=False)
class JournalProcess:
    """Such a process, as the test sees it."""

    _process: asyncio.subprocess.Process
    opened: Any = None
    """``"opened"``, or the error's name and text."""

    @classmethod
    async def start(cls, place: dict[str, Any], *, user: int = 0) -> JournalProcess:
        """Start one, and return when it has opened its journal, or has failed to.

        Args:
            place: The arguments of its journal.
            user: Whom it becomes before that; 0 stays.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.harness.journal_process", json.dumps(place), str(user)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        started = cls(process)
        started.opened = await started._answer()
        return started

    async def tell(self, *command: Any) -> None:
        """Give it a command, without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def ask(self, *command: Any) -> Any:
        """Its answer to a command."""
        await self.tell(*command)
        return await self._answer()

    async def answer(self) -> Any:
        """Its answer to what it was reported."""
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(await self._process.stdout.readline())

    def send_signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP and SIGCONT."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """End it with SIGKILL, if it has not ended. Safe to call twice."""
        if self._process.returncode is None:
            self._process.kill()
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def _obey(journal: Journal, entries: dict[str, Entry], command: str, *args: Any) -> Any:
    match command:
        case "begin":
            for key in args:
                entries[key] = await journal.begin(intent(key), window=3600)
            return entries[args[0]].owner
        case "submit":
            (key,) = args
            await journal.write(entries[key], EntryState.SUBMITTED, instruction_id=f"id of {key}")
        case "claim":
            found = await journal.claim(GATEWAY)
            entries.update((entry.idempotency_key, entry) for entry in found)
            return [entry.idempotency_key for entry in found]
        case "limit":
            # Of the files that it writes: the nearest thing to a full disk. 0 is no limit.
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (args[0] or hard, hard))
        case "fork":
            if (child := os.fork()) == 0:
                os.closerange(0, 3)  # or the test would take it for its parent
                signal.pause()
                os._exit(0)
            return child
    return None


async def _main(place: dict[str, Any]) -> None:
    journal, entries = journal_of(place), dict[str, Entry]()
    try:
        await journal.open()
    except JournalError as error:
        print(json.dumps([type(error).__name__, str(error)]), flush=True)
        return
    print(json.dumps("opened"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = await _obey(journal, entries, *json.loads(line))
        except JournalError as error:
            answer = [type(error).__name__, str(error)]
        print(json.dumps(answer), flush=True)
    await journal.aclose()


if __name__ == "__main__":
    if user := int(sys.argv[2]):
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    asyncio.run(_main(json.loads(sys.argv[1])))
