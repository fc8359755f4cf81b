"""One request that a fault applies to, and the ways to treat it."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import field, frozen

from .observations import Observed
from .replies import Answer

__all__ = ["Exchange", "FaultAction", "drop"]

# l_onoff and l_linger: two ints, but two shorts on Windows.
NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


@frozen
class Exchange:
    """One request and the ways to treat it.

    Args:
        request: The request.
        seen: The request's record.
        proceed: Lets the request take effect, once, and returns the answer.
        revoke_token: Revokes the request's token.
        misuse: Records, for the gateway's ``check``, why the fault could not be applied.
    """

    request: web.BaseRequest
    seen: Observed
    proceed: Callable[[], Awaitable[Answer]]
    revoke_token: Callable[[], None]
    misuse: Callable[[str], None]

    async def hang(self) -> Answer:
        """Never answers; ends when the client disconnects."""
        never: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        return await never

    async def reset(self) -> Answer:
        """Resets the connection: the client receives a RST, not an orderly close."""
        drop(self.request.transport)
        # The lost connection cancels this handler.
        return await self.hang()


def drop(transport: asyncio.Transport | None) -> None:
    """Resets a connection."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        # Closing with a linger time of zero sends a RST instead of a FIN.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


@frozen
class FaultAction:
    """The action of a fault on a request; made by the functions of this module.

    These functions refuse invalid arguments with ``ConfigurationError``.
    """

    kind: str
    run: Callable[[Exchange], Awaitable[Answer | web.StreamResponse]] = field(repr=False)
