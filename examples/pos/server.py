"""A backend as a process of its own, for the tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

import aiohttp
from attrs import define

__all__ = ["BACKENDS", "Server", "running"]

BACKENDS = ["fastapi_backend.py", "aiohttp_backend.py"]
PATIENCE = 30.0
"""Seconds for what takes one or two where no one else is at work."""


@define
class Server:
    """A backend that answers at ``url``."""

    url: str
    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession

    async def end(self, number: signal.Signals) -> None:
        """Send it this signal, and wait until it is gone."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            await self.process.wait()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer."""
        async with self.http.request(method, self.url + path, json=body) as answer:
            return answer.status, await answer.json()

    async def sell(self, order: str, price: str, device: str) -> tuple[int, dict[str, Any]]:
        """Ask for the first attempt to sell an order."""
        body = {"serial_number": device, "price": price}
        return await self.ask("PUT", f"/orders/{order}/sales/1", body)

    async def events(self, order: str) -> AsyncIterator[dict[str, Any]]:
        """What an order's stream says, until it ends."""
        async with self.http.get(f"{self.url}/orders/{order}/events") as answer:
            assert answer.content_type == "text/event-stream"
            with suppress(aiohttp.ClientPayloadError):  # it was killed
                async for line in answer.content:
                    if line.startswith(b"data: "):
                        yield json.loads(line[6:])

    async def shown(self, order: str, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """What the stream says as soon as it is as wanted."""
        async with asyncio.timeout(PATIENCE):
            async for shown in self.events(order):
                if wanted(shown):
                    return shown
        raise AssertionError("the stream has ended")


def free_port() -> int:
    """A port that no one listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def running(
    backend: str, environ: dict[str, str], port: int, *, log: IO[bytes] | None = None
) -> AsyncIterator[Server]:
    """The backend, once it answers. It is ended at the end, if it has not ended before.

    Args:
        backend: The name of its file.
        environ: Variables beside those of this process.
        port: The port to listen on.
        log: Where its output goes, if not to that of this process.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", Path(__file__).with_name(backend)),
        env=os.environ | environ | {"PORT": str(port)},
        stdout=log,
        stderr=log,
    )
    async with aiohttp.ClientSession() as http:
        server = Server(f"http://127.0.0.1:{port}", process, http)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    with suppress(aiohttp.ClientConnectionError):
                        await server.ask("GET", "/orders/none")
                        break
                    assert process.returncode is None, "it did not start"
                    await asyncio.sleep(0.02)
            yield server
        finally:
            if process.returncode is None:
                await server.end(signal.SIGTERM)
