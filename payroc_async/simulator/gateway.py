"""The simulator itself: the server, and one handler for each operation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Final

from aiohttp import web

from payroc_async.config import Environment

from .answers import Answer, json_answer, problem
from .devices import Behaviour, Device
from .faults import Exchange, Faults, drop
from .lists import ListSpelling, search_devices, search_payments
from .observations import Observed, Records, breaches, is_json, masked, without_tokens
from .pages import Pages
from .payments import new_id
from .routes import Route, find_route
from .state import IN_PROGRESS, Done, SimInstruction, State
from .tokens import Tokens

__all__ = ["OMIT", "Simulator"]

BACKLOG = 4096
# Listening on every address, it is reached at these.
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Omit:
    """The type of `OMIT`."""

    def __repr__(self) -> str:
        return "OMIT"


OMIT: Final = Omit()
"""As ``expires_in``: the answer to authorize leaves the field out."""


class Simulator:
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

    Attributes:
        hold: As the argument; may be set at any time, as the three that follow.
        token_lifetime: As the argument.
        expires_in: As the argument.
        api_key: As the argument.
        list_spelling: How searches spell a page: ``hasMore``, or ``has_more`` as the prose
            documentation does, with ``limit`` and ``count`` as strings. May be set at any time too.
        faults: The faults to come.
    """

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
    ) -> None:
        self.hold = hold
        self.token_lifetime = token_lifetime
        self.expires_in = expires_in
        self.api_key = api_key
        self.list_spelling: ListSpelling = "hasMore"
        self.faults = Faults()
        self._host = host
        self._port = port
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._state = State(unscripted=Behaviour(ends="completed", after=approves_after))
        self._tokens = Tokens()
        self._records = Records()
        self._pages = Pages(
            self._state, self._records, self.faults, name=host, api_key=lambda: self.api_key
        )

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
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
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
        """The device with this serial number, to be scripted. It is made on first use."""
        return self._state.device(serial_number)

    def close_batch(self, settlement_date: date | None = None) -> None:
        """Settles every payment and refund that is ``ready``; pre-authorizations stay open.

        Until then a payment can be reversed and adjusted, from then on refunded.

        Args:
            settlement_date: The day that ``GET /payments`` finds them settled on; today if None.
        """
        self._state.ledger.close_batch(settlement_date or datetime.now(UTC).date())

    def add_closed_loop_read(
        self, data: Mapping[str, Any], *, processing_terminal_id: str = "1234001"
    ) -> str:
        """Puts there what a device read from a closed-loop card; returns its id."""
        made = new_id()
        self._state.ledger.resources["closed-loop-reads"][made] = {
            "processingTerminalId": processing_terminal_id,
            "closedLoopReadId": made,
            "readDate": datetime.now(UTC).date().isoformat(),
            "data": dict(data),
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

    def requests_of(self, kind: str) -> list[Observed]:
        """The requests of one kind, in order."""
        return [one for one in self.requests if one.kind == kind]

    def clear(self) -> None:
        """Forgets requests, violations, and the instructions that have ended, with their payments,
        refunds and signatures.

        Devices, their scripts, tokens and running instructions stay.
        """
        self._records.clear()
        self._state.forget()
        self._pages.refresh()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path, _, query = request.raw_path.partition("?")
        route = find_route(request.method, raw_path)
        if route.kind == "other":
            page = await self._pages.serve(request, raw_path)
            if page is not None:
                return page
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Observed(route.kind, request.method, route.path, query, masked(headers))
        self._records.begin(seen, request)
        try:
            sent = await self._respond(request, route, seen, headers)
            if isinstance(sent, Answer):
                seen.answer = sent.body
                if route.kind == "authorize":
                    seen.answer = without_tokens(sent.body.decode(errors="replace")).encode()
            response = sent.response() if isinstance(sent, Answer) else sent
            seen.status = response.status
            return response
        finally:
            self._records.finish(seen)

    async def _respond(
        self, request: web.BaseRequest, route: Route, seen: Observed, headers: dict[str, str]
    ) -> Answer | web.StreamResponse:
        try:
            if request.can_read_body:
                seen.body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return problem(413, "payload-too-large")
        finally:
            self.violations.extend(breaches(seen, self.api_key))
        # A missing scheme is a wrong token: "Bearer" has to be there (contract section 1).
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token if scheme == "Bearer" else ""
        about = self._about(route)
        seen.instruction_id = about.id if about else route.resource_id
        serial_number = about.serial_number if about else route.serial_number
        fault = self.faults.take(route.kind, serial_number, seen.instruction_id)
        if route.kind == "status":
            await self._records.watch_overlap(seen, request)

        async def proceed() -> Answer:
            if route.kind == "authorize":
                return self._authorize(headers.get("x-api-key"))
            if not self._tokens.accepts(token, self.token_lifetime):
                return problem(401, "not-authorized", "The token is missing, wrong or expired.")
            return await self._operate(route, seen)

        if fault is None:
            return await proceed()
        seen.fault = fault.action.kind
        exchange = Exchange(request, seen, proceed, lambda: self._tokens.revoke(token))
        return await fault.action.run(exchange)

    def _about(self, route: Route) -> SimInstruction | None:
        if route.resource_id is None:
            return None
        known = self._state.owners if route.instruction is None else self._state.instructions
        return known.get(route.resource_id)

    def _authorize(self, api_key: str | None) -> Answer:
        if api_key != self.api_key:
            return problem(401, "not-authorized", "The API key is missing or wrong.")
        says = self.expires_in
        if says is None:
            lifetime = float(self.token_lifetime)
            says = int(lifetime) if lifetime.is_integer() else lifetime
        document: dict[str, object] = {"access_token": self._tokens.issue()}
        if says is not OMIT:
            document["expires_in"] = says
        return json_answer(200, {**document, "scope": "service_a", "token_type": "Bearer"})

    async def _operate(self, route: Route, seen: Observed) -> Answer:
        ledger = self._state.ledger
        if route.kind in ("submit", "change"):
            return self._post(route, seen)
        if route.kind in ("status", "cancel"):
            found = self._about(route)
            if found is None or found.kind is not route.instruction:
                return _not_found(route)
            if route.kind == "cancel":
                return self._state.cancel(found)
            if found.status == IN_PROGRESS and self.hold > 0:
                await found.wait_for_change(self.hold)
            return json_answer(200, found.document())
        if route.kind == "search" and route.collection == "payments":
            payments = self.payments.values()
            return search_payments(payments, ledger.settled, seen.query, self.list_spelling)
        if route.kind == "search":
            devices = self._state.devices.values()
            return search_devices(devices, seen.query, self.list_spelling)
        document = ledger.resources.get(route.collection, {}).get(route.resource_id or "")
        return _not_found(route) if document is None else json_answer(200, document)

    def _post(self, route: Route, seen: Observed) -> Answer:
        key = seen.headers.get("idempotency-key")
        if not key:
            return problem(400, "idempotency-key-missing", "A POST needs an Idempotency-Key.")
        if not is_json(seen.headers):
            return problem(415, "unsupported-media-type", "A POST has to be application/json.")
        kind, serial_number = route.instruction, route.serial_number or ""

        def act() -> Done:
            if kind is not None:
                return self._state.submit(kind, serial_number, key, seen.body)
            id_ = route.resource_id or ""
            changed = self._state.ledger.change(route.collection, id_, route.action, seen.body)
            return changed, self._about(route)

        done = self._state.once(key, (seen.path, seen.body), act)
        if done is None:
            self.violations.append(
                f"{seen.method} {seen.path} has an Idempotency-Key that was used with a different"
                " request."
            )
            return problem(409, "idempotency-key-in-use")
        if done.instruction is not None:
            seen.instruction_id = done.instruction.id
        return done.answer


async def _few_turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def _not_found(route: Route) -> Answer:
    return problem(404, "not-found", f"There is no {route.path}.", resource=route.path)
