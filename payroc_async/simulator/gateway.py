"""The simulator: the server, and the methods for tests."""

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
# For a wildcard address, the loopback address to connect to.
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Simulator(Settings, GatewayViews):
    """A local Payroc gateway for development and tests: identity service, API and devices.

    Real HTTP on loopback, in this process and event loop::

        async with Simulator() as gateway:
            gateway.device("1850010868").approves(after=0.3)
            ...  # a session with gateway.environment and gateway.api_key

    A browser that opens `url` shows a payment device to operate by hand; its ``/gateway`` shows all
    activity. There is no authentication for these pages: keep `host` on loopback, or on a network
    that you trust.

    Args:
        hold: How long a status request is held while nothing changes, in seconds.
        token_lifetime: How long a token is valid, in seconds.
        expires_in: A different ``expires_in`` for authorize to answer: any JSON value, or `OMIT`.
        api_key: The API key that authorize accepts.
        host: The address to listen on.
        port: The port to listen on; 0 for any free port.
        approves_after: How long a device without a script takes to approve, in seconds.
        strict_devices: Whether to accept only devices made by `device` or open on a page. A
            submission to another device is answered with 404 and the list of the known ones.

    Attributes:
        hold: As the argument. This and the next seven attributes may be set at any time.
        token_lifetime: As the argument.
        expires_in: As the argument.
        api_key: As the argument.
        strict_devices: As the argument.
        list_spelling: The spelling of a page's fields: ``hasMore``; or ``has_more`` as in the prose
            documentation, with ``limit`` and ``count`` as strings.
        pre_authorizations: ``as_type``: shown with the type ``preAuthorization``. ``as_sale``:
            shown as a ``sale`` with the status ``pending``, as in the published samples and on a
            terminal without pre-authorizations. ``refused``: with 400 and
            ``capabilities-missing``, as also documented.
        used_key_status: The status for an idempotency key used with another request: 409 or 400.

    Raises:
        ConfigurationError: An argument is wrong, or an attribute is set to a wrong value.
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
        """The injected faults."""
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
        """Starts listening, on the same port as before a stop. Does nothing if already listening.

        Instructions that were running when the gateway stopped have continued meanwhile.
        """
        if self._listener is not None:
            return
        # The low-level server: one handler, no routing tables, no middleware. A lost connection
        # cancels its handler, so that a held request ends when its client disconnects.
        server = web.Server(self._handler.handle, handler_cancellation=True, access_log=None)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server, self._host, self._port, backlog=BACKLOG)
        self._server, self._listener = server, listener
        self._port = listener.sockets[0].getsockname()[1]
        self._state.resume()

    async def stop(self) -> None:
        """Stops listening and resets every connection, held requests included.

        The gateway's state is kept for the next `start`. Does nothing if already stopped.
        """
        server, listener = self._server, self._listener
        self._server = self._listener = None
        if server is None or listener is None:
            return
        self._state.pause()
        # asyncio drops an accepted connection if the listener is closed in the next turn of the
        # loop. So stop accepting, let the server handle the accepted connections, then close.
        with suppress(NotImplementedError):  # raised by some loops on Windows
            for sock in listener.sockets:
                asyncio.get_running_loop().remove_reader(sock)
        await _few_turns()
        listener.close()
        for request in list(self._records.open.values()):
            drop(request.transport)
        self._pages.drop()
        server.pre_shutdown()
        await server.shutdown(1.0)
        # Closed transports release their sockets in the loop's next turns.
        await _few_turns()

    @property
    def url(self) -> str:
        """The gateway's URL on this machine, such as ``http://127.0.0.1:8080``.

        Raises:
            RuntimeError: The simulator was not started and has no configured port.
        """
        if not self._port:
            raise RuntimeError("the simulator has no address before it is started")
        host = REACHED_AT.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}"

    @property
    def environment(self) -> Environment:
        """The ``Environment`` for sessions that use this gateway."""
        return Environment(api_url=f"{self.url}/v1", identity_url=f"{self.url}/authorize")

    def device(self, serial_number: str) -> Device:
        """Return the device with this serial number, to be scripted. It is created on first use.

        Raises:
            ConfigurationError: The serial number is invalid.
        """
        return self._state.device(arguments.serial("serial_number", serial_number))

    def close_batch(self, settlement_date: date | None = None) -> None:
        """Settles every ``ready`` payment and refund; pre-authorizations stay open.

        Before settlement a payment can be reversed and adjusted; afterwards it can be refunded.

        Args:
            settlement_date: The day of settlement that ``GET /payments`` shows; today if None.

        Raises:
            ConfigurationError: The value is not a date.
        """
        if settlement_date is None:
            settlement_date = datetime.now(UTC).date()
        day = arguments.calendar_day("settlement_date", settlement_date)
        self._state.office.close(day)

    @property
    def close_batch_after(self) -> float:
        """Seconds between a request to close a batch and the close; 0 by default.

        The close is made at the next request after it is due.
        """
        return self._state.office.close_after

    @close_batch_after.setter
    def close_batch_after(self, seconds: float) -> None:
        self._state.office.close_after = arguments.seconds("close_batch_after", seconds)

    def set_terminal(
        self, processing_terminal_id: str, changes: Mapping[str, Any] | None = None
    ) -> None:
        """Adds a processing terminal, or replaces it.

        Terminal 1234001 is predefined. Sales run on other terminals, too, but requests for those
        are answered with 404: Payroc finds only terminals that were ordered through its API.

        Args:
            processing_terminal_id: The terminal's id, 4 to 50 characters.
            changes: Differences from the default document, spelled as on the wire (contract
                section 10), such as ``{"features": {"preAuthorizations": False}}``.

        Raises:
            ConfigurationError: The id is invalid, or JSON can't hold the changes.
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
        """Scripts the processor's answer to the next charge of a saved card that has no script.

        Without a script the processor approves. A decline is answered with HTTP 201, as by Payroc.

        Args:
            response_code: ``A``, ``P``, ``D``, ``E``, ``R``, ``C``, or an unknown one. With ``P``,
                a charge that does not accept a partial approval is declined.
            status: The transaction's status; None for the one that matches the code.
            response_message: The processor's message; None for one that matches the code.
            authorized_amount: The authorized amount, in the smallest unit; None for the full
                amount, or 0 after a decline.

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
        """Scripts a decline of the next possible change of a payment or refund.

        The answer is still 200, with the response code, and the payment or refund stays unchanged.
        A refund of a settled payment is created as a declined refund.

        Args:
            operation: ``capture``, ``reverse``, ``adjust``, ``refund``, ``reverse_refund`` or
                ``adjust_refund``.
            response_code: ``D``, ``R``, ``C``, or ``E`` for a deferred change.
            response_message: The processor's message.

        Raises:
            ConfigurationError: There is no such operation or code.
        """
        arguments.choice("operation", operation, OPERATIONS)
        status = DECLINES[arguments.choice("response_code", response_code, [*DECLINES])]
        message = arguments.text("response_message", response_message)
        said = Result(response_code, status, message, authorized_amount=0)
        self._state.ledger.declines.setdefault(operation, deque()).append(said)

    @property
    def unused_declines(self) -> list[str]:
        """The operations of `decline_next` calls that no request has used."""
        return [name for name, its in self._state.ledger.declines.items() for _ in its]

    def expire_pre_authorizations(self) -> None:
        """Expires every ``pending`` payment: it can no longer be captured."""
        self._state.ledger.expire()

    def add_closed_loop_read(
        self, data: Mapping[str, Any], *, processing_terminal_id: str = "1234001"
    ) -> str:
        """Stores a device's read of a closed-loop card, and returns its id.

        Raises:
            ConfigurationError: The data is not a mapping that JSON can hold, or the terminal is
                missing.
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
