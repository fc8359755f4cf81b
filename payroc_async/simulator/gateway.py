"""The simulator itself: the server, and what a test asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any

from aiohttp import web

from payroc_async.config import Environment

from . import arguments
from .devices import Behaviour, Device
from .exchange import drop
from .faults import Faults
from .gateway_settings import Settings
from .observations import Observed, Records
from .pages import Pages
from .payments import new_id
from .request_handler import RequestHandler
from .routes import REQUEST_KINDS
from .state import IN_PROGRESS, SimInstruction, State
from .tokens import Tokens

__all__ = ["Simulator"]

BACKLOG = 4096
# Listening on every address, it is reached at these.
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Simulator(Settings):
    """A local Payroc gateway for development and tests: identity service, API and devices.

    Real HTTP on loopback, in this process and event loop::

        async with Simulator() as gateway:
            gateway.device("1850010868").approves(after=0.3)
            ...  # a session with gateway.environment and gateway.api_key

    A browser that opens `url` is a payment device, driven by hand; ``/gateway`` there shows all
    that goes on. Who reaches `host` may do so: leave it on loopback, or know who that is.

    Args:
        hold: How long a status request is held while nothing changes, in seconds.
        token_lifetime: How long a token is good, in seconds.
        expires_in: What authorize says about that, if not the truth: any JSON value, or `OMIT`.
        api_key: The API key that authorize accepts.
        host: The address to listen on.
        port: The port to listen on; 0 for any that is free.
        approves_after: How long a device without a script takes to approve, in seconds.
        strict_devices: Whether only devices are known that `device` has made, or that a page is
            open for. What is submitted to another is answered with 404, which names the known ones.

    Attributes:
        hold: As the argument; may be set at any time, as the five that follow.
        token_lifetime: As the argument.
        expires_in: As the argument.
        api_key: As the argument.
        strict_devices: As the argument.
        list_spelling: How searches spell a page: ``hasMore``, or ``has_more`` as the prose
            documentation does, with ``limit`` and ``count`` as strings.

    Raises:
        ConfigurationError: An argument is wrong, or an attribute is set to what is wrong.
    """

    __slots__ = (
        *("_faults", "_handler", "_host", "_listener", "_pages", "_port", "_records", "_server"),
        *("_state", "_tokens"),
    )

    def __init__(
        self,
        *,
        hold: float = 60.0,
        token_lifetime: float = 3600.0,
        expires_in: object = None,
        api_key: str = "simulator-key",
        host: str = "127.0.0.1",
        port: int = 0,
        approves_after: float = 0.0,
        strict_devices: bool = False,
    ) -> None:
        self.hold = hold
        self.token_lifetime = token_lifetime
        self.expires_in = expires_in
        self.api_key = api_key
        self.strict_devices = strict_devices
        self.list_spelling = "hasMore"
        self._faults = Faults()
        self._host = arguments.text("host", host)
        self._port = arguments.whole("port", port, 0, 65535)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        after = arguments.seconds("approves_after", approves_after)
        self._state = State(unscripted=Behaviour(ends="completed", after=after))
        self._tokens = Tokens()
        self._records = Records()
        self._pages = Pages(
            self._state, self._records, self.faults, name=host, api_key=lambda: self.api_key
        )
        self._handler = RequestHandler(
            *(self, self._state, self._tokens, self._records, self._faults, self._pages),
            name=host,
        )

    @property
    def faults(self) -> Faults:
        """The faults to come."""
        return self._faults

    async def __aenter__(self) -> Simulator:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens, again on the same port if it has before. Does nothing if it listens already.

        Instructions that were running when the gateway stopped have gone on meanwhile.
        """
        if self._listener is not None:
            return
        # The low-level server: one handler, no routing tables, no middleware. A lost connection
        # cancels its handler, so that a held request ends when its client goes away.
        server = web.Server(self._handler.handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, self._host, self._port, backlog=BACKLOG)
        self._server, self._listener = server, listener
        self._port = listener.sockets[0].getsockname()[1]
        self._state.resume()

    async def stop(self) -> None:
        """Stops listening and resets every connection, held requests included.

        What the gateway knows stays: `start` brings it back. Does nothing if it has stopped.
        """
        server, listener = self._server, self._listener
        self._server = self._listener = None
        if server is None or listener is None:
            return
        self._state.pause()
        # asyncio forgets a connection that it has accepted if the listener is closed in the next
        # turn. So accept no more, let the server get what was accepted, and close then.
        with suppress(NotImplementedError):  # as some loops on Windows say
            for sock in listener.sockets:
                asyncio.get_running_loop().remove_reader(sock)
        await _few_turns()
        listener.close()
        for request in list(self._records.open.values()):
            drop(request.transport)
        self._pages.drop()
        server.pre_shutdown()
        await server.shutdown(1.0)
        # Closed transports let go of their sockets in the loop's next turns.
        await _few_turns()

    @property
    def url(self) -> str:
        """Where the gateway is reached from this machine, such as ``http://127.0.0.1:8080``.

        Raises:
            RuntimeError: It has not been started, and was not given a port.
        """
        if not self._port:
            raise RuntimeError("the simulator has no address before it is started")
        host = REACHED_AT.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}"

    @property
    def environment(self) -> Environment:
        """What to configure a session with, to reach this gateway."""
        return Environment(api_url=f"{self.url}/v1", identity_url=f"{self.url}/authorize")

    def device(self, serial_number: str) -> Device:
        """The device with this serial number, to be scripted. It is made on first use.

        Raises:
            ConfigurationError: It is no serial number.
        """
        return self._state.device(arguments.serial("serial_number", serial_number))

    def close_batch(self, settlement_date: date | None = None) -> None:
        """Settles every payment and refund that is ``ready``; pre-authorizations stay open.

        Until then a payment can be reversed and adjusted, from then on refunded.

        Args:
            settlement_date: The day that ``GET /payments`` finds them settled on; today if None.

        Raises:
            ConfigurationError: That is no date.
        """
        if settlement_date is None:
            settlement_date = datetime.now(UTC).date()
        day = arguments.calendar_day("settlement_date", settlement_date)
        self._state.ledger.close_batch(day)

    def add_closed_loop_read(
        self, data: Mapping[str, Any], *, processing_terminal_id: str = "1234001"
    ) -> str:
        """Puts there what a device read from a closed-loop card; returns its id.

        Raises:
            ConfigurationError: The data is no mapping that JSON can hold, or there is no terminal.
        """
        made = new_id()
        terminal = arguments.text("processing_terminal_id", processing_terminal_id)
        self._state.ledger.resources["closed-loop-reads"][made] = {
            "processingTerminalId": terminal,
            "closedLoopReadId": made,
            "readDate": datetime.now(UTC).date().isoformat(),
            "data": arguments.json_mapping("data", data),
        }
        return made

    def revoke_tokens(self) -> None:
        """Refuses every token issued so far."""
        self._tokens.revoke_all()

    @property
    def instructions(self) -> dict[str, SimInstruction]:
        """Every instruction, by its id."""
        return self._state.instructions

    @property
    def in_progress(self) -> list[SimInstruction]:
        """The instructions that are ``inProgress``."""
        return [one for one in self.instructions.values() if one.status == IN_PROGRESS]

    @property
    def payments(self) -> dict[str, dict[str, Any]]:
        """Every payment as it is served, by its id."""
        return self._state.ledger.resources["payments"]

    @property
    def refunds(self) -> dict[str, dict[str, Any]]:
        """Every refund as it is served, by its id."""
        return self._state.ledger.resources["refunds"]

    @property
    def signatures(self) -> dict[str, dict[str, Any]]:
        """Every signature as it is served, by its id."""
        return self._state.ledger.resources["signatures"]

    @property
    def requests(self) -> list[Observed]:
        """Every request that came, in order."""
        return self._records.requests

    @property
    def open_requests(self) -> list[Observed]:
        """The requests that have neither been answered nor lost their connection."""
        return list(self._records.open)

    @property
    def violations(self) -> list[str]:
        """What was seen that the contract forbids, a sentence each."""
        return self._records.violations

    @property
    def misuses(self) -> list[str]:
        """What a script or fault asked for that the simulator could not do, a sentence each."""
        return self._state.misuses

    def requests_of(self, kind: str) -> list[Observed]:
        """The requests of one kind, in order.

        Raises:
            ConfigurationError: There is no such kind of request.
        """
        arguments.choice("kind", kind, REQUEST_KINDS)
        return [one for one in self.requests if one.kind == kind]

    def clear(self) -> None:
        """Forgets requests, violations, misuses, and the instructions that have ended, with their
        payments, refunds and signatures.

        Devices, their scripts, tokens and running instructions stay.
        """
        self._records.clear()
        self._state.forget()
        self._pages.refresh()


async def _few_turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)
