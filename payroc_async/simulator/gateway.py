"""The simulator itself: the server, and what a test asks of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any

from aiohttp import web

from payroc_async.config import Environment

from . import arguments
from .behaviours import Behaviour, Result
from .exchange import drop
from .faults import Faults
from .gateway_settings import Settings
from .gateway_views import GatewayViews
from .ledger import DECLINES, OPERATIONS
from .observations import Records
from .page_routes import Pages
from .request_handler import RequestHandler
from .simulated_charges import STATUSES
from .simulated_devices import Device
from .simulated_payments import new_id
from .simulated_terminals import TIMEZONES, terminal_document
from .state import PreAuthorizations, State
from .tokens import Tokens

__all__ = ["Simulator"]

BACKLOG = 4096
# Listening on every address, it is reached at these.
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Simulator(Settings, GatewayViews):
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
        hold: As the argument; may be set at any time, as the seven that follow.
        token_lifetime: As the argument.
        expires_in: As the argument.
        api_key: As the argument.
        strict_devices: As the argument.
        list_spelling: How searches spell a page: ``hasMore``, or ``has_more`` as the prose
            documentation does, with ``limit`` and ``count`` as strings.
        pre_authorizations: ``as_type``: with the type ``preAuthorization``. ``as_sale``: a ``sale``
            with the status ``pending``, as in the published samples and on a terminal that has
            none. ``refused``: with 400 and ``capabilities-missing``, as also documented.
        used_key_status: 409 or 400, for an idempotency key that was used with another request.

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
        self.pre_authorizations = "as_type"
        self.used_key_status = 409
        self._faults = Faults()
        self._host = arguments.host("host", host)
        self._port = arguments.whole("port", port, 0, 65535)
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        after = arguments.seconds("approves_after", approves_after)
        self._state = State(
            unscripted=Behaviour(ends="completed", after=after),
            pre_authorizations=self._how_pre_authorizations_are_shown,
        )
        self._tokens = Tokens()
        self._records = Records()
        self._pages = Pages(
            self._state, self._records, self.faults, name=host, api_key=lambda: self.api_key
        )
        self._handler = RequestHandler(
            *(self, self._state, self._tokens, self._records, self._faults, self._pages),
            name=host,
        )

    def _how_pre_authorizations_are_shown(self) -> PreAuthorizations:
        return self.pre_authorizations  # pyright: ignore[reportReturnType] - it is a Setting

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
        # Closed transports released their sockets in the loop's next turns.
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
        self._state.office.close(day)

    @property
    def close_batch_after(self) -> float:
        """How long after a request to close a batch it is closed, in seconds; 0 from the start.

        The next request that comes once it is due finds it closed.
        """
        return self._state.office.close_after

    @close_batch_after.setter
    def close_batch_after(self, seconds: float) -> None:
        self._state.office.close_after = arguments.seconds("close_batch_after", seconds)

    def set_terminal(
        self, processing_terminal_id: str, changes: Mapping[str, Any] | None = None
    ) -> None:
        """Makes a processing terminal known, or makes it another one.

        Terminal 1234001 is known from the start. Sales run on others too, but those are not found:
        Payroc knows only terminals that were ordered by its API.

        Args:
            processing_terminal_id: Its id, 4 to 50 characters.
            changes: What is other than usual, spelled as on the wire (contract section 10), such
                as ``{"features": {"preAuthorizations": False}}``.

        Raises:
            ConfigurationError: It is no id, or the changes are none that JSON can hold.
        """
        made = arguments.text("processing_terminal_id", processing_terminal_id)
        changed = arguments.optional(arguments.json_mapping)("changes", changes)
        document = terminal_document(made, changed or {})
        arguments.choice("timezone", document["timezone"], [*TIMEZONES])
        self._state.office.terminals[made] = document

    def next_charge(
        self,
        response_code: str,
        *,
        status: str | None = None,
        response_message: str | None = None,
        authorized_amount: int | None = None,
    ) -> None:
        """Says what the processor answers to the next charge of a saved card that has no script.

        Without one it approves. A decline comes with HTTP 201, as Payroc's does.

        Args:
            response_code: ``A``, ``P``, ``D``, ``E``, ``R``, ``C``, or a word no one knows. With
                ``P``, what does not accept a part is declined.
            status: The transaction's status; the one that goes with the code if None.
            response_message: The processor's message; one that goes with the code if None.
            authorized_amount: What is authorized, in the smallest unit; all, or nothing after a
                decline, if None.

        Raises:
            ConfigurationError: An argument is wrong.
        """
        code = arguments.text("response_code", response_code)
        known = STATUSES.get(code, "ready") if status is None else status
        amount = arguments.optional(arguments.whole)("authorized_amount", authorized_amount)
        result = Result(code, known, response_message, amount)
        self._state.office.charges.scripts.append(result)

    def decline_next(
        self, operation: str, *, response_code: str = "D", response_message: str = "DECLINED"
    ) -> None:
        """Has the processor decline the next change of a payment or refund that is possible.

        The answer is 200 all the same, with the response code in it, and nothing is changed. A
        refund of a settled payment is made, and is itself declined.

        Args:
            operation: ``capture``, ``reverse``, ``adjust``, ``refund``, ``reverse_refund`` or
                ``adjust_refund``.
            response_code: ``D``, ``R``, ``C``, or ``E`` for what is to be processed later.
            response_message: The processor's words.

        Raises:
            ConfigurationError: There is no such operation, or the code is not one of these.
        """
        arguments.choice("operation", operation, OPERATIONS)
        status = DECLINES[arguments.choice("response_code", response_code, [*DECLINES])]
        message = arguments.text("response_message", response_message)
        said = Result(response_code, status, message, authorized_amount=0)
        self._state.ledger.declines.setdefault(operation, deque()).append(said)

    @property
    def unused_declines(self) -> list[str]:
        """The operations that `decline_next` was called for and that nothing has asked for."""
        return [name for name, its in self._state.ledger.declines.items() for _ in its]

    def expire_pre_authorizations(self) -> None:
        """Lets every payment that is ``pending`` expire: it can no longer be captured."""
        self._state.ledger.expire()

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
