"""A gateway whose answers are bytes, written by hand, and a session with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from payroc_async import Environment, PayrocSession, RetryPolicy
from tests.conftest import EAGER, QUICK

__all__ = ["ByteGateway", "problem_bytes", "till_with"]


@define(eq=False)
class ByteGateway:
    """Answers each request with the next bytes in its list, and keeps the last ones.

    ``answers`` has, by method and path without the query, pairs of a status and a body; None in
    place of a pair drops the connection.
    """

    answers: dict[str, list[tuple[int, bytes] | None]] = field(factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = " ".join(lines[0].split(" ")[:2])
                if asked == "POST /authorize":
                    status, found = 200, b'{"access_token": "abc", "expires_in": 3600}'
                else:
                    self.asked.append((asked, headers, body))
                    answers = self.answers[asked.partition("?")[0]]
                    answer = answers.pop(0) if len(answers) > 1 else answers[0]
                    if answer is None:
                        break
                    status, found = answer
                kind = b"problem+json" if status >= 400 and b"docs.payroc" in found else b"json"
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Type: application/%b\r\nContent-Length: %d\r\n\r\n%b"
                    % (status, kind, len(found), found)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def bodies(self, asked: str) -> list[Any]:
        """What was sent to this method and path, decoded."""
        return [json.loads(body) for found, _, body in self.asked if found == asked]

    def keys(self) -> list[str]:
        """The idempotency key of each request that had one."""
        return [one["idempotency-key"] for _, one, _ in self.asked if "idempotency-key" in one]


@asynccontextmanager
async def till_with(
    gateway: ByteGateway, retries: RetryPolicy = EAGER
) -> AsyncIterator[PayrocSession]:
    """An open session with that gateway."""
    async with await asyncio.start_server(gateway.serve, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        environment = Environment(api_url=f"{base}/v1", identity_url=f"{base}/authorize")
        async with PayrocSession(
            "key", environment=environment, timeouts=QUICK, retries=retries
        ) as session:
            yield session


def problem_bytes(status: int, fragment: str, **more: Any) -> bytes:
    """A problem document, as contract section 8 has it."""
    return json.dumps(
        {
            "type": f"https://docs.payroc.com/api/errors#{fragment}",
            "title": fragment,
            "status": status,
            "detail": "As the contract has it.",
            **more,
        }
    ).encode()
