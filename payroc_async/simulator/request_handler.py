"""The request handler, with one method per operation."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from attrs import evolve

from .arguments import OMIT
from .exchange import Exchange
from .faults import Faults
from .gateway_settings import Settings
from .lists import TRANSACTION_FILTERS, search_devices, search_transactions
from .observations import Observed, Records, breaches, is_json, masked, without_tokens
from .openapi import description
from .origins import refused_api_call
from .page_routes import Pages
from .replies import Answer, json_answer, problem
from .routes import ASKS, Route, find_route
from .simulated_instructions import IN_PROGRESS, SimInstruction
from .simulated_settlement import REPORTS
from .state import Done, State
from .tokens import Tokens

__all__ = ["RequestHandler"]

POSTS = ("submit", "change", "charge", "close_batch")


class RequestHandler:
    """Answers each request with a page, a fault, or from the gateway's state.

    Args:
        settings: The simulator's settings, read at each request.
        state: The gateway's state.
        tokens: The valid tokens.
        records: The recorded requests.
        faults: The injected faults.
        pages: The pages of devices and of the overview.
        name: The simulator's configured host.
    """

    def __init__(
        self,
        settings: Settings,
        state: State,
        tokens: Tokens,
        records: Records,
        faults: Faults,
        pages: Pages,
        *,
        name: str,
    ) -> None:
        self._name = name
        self._settings = settings
        self._state = state
        self._tokens = tokens
        self._records = records
        self._faults = faults
        self._pages = pages

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request, and records it unless it is for a page."""
        raw_path, _, query = request.raw_path.partition("?")
        route = find_route(request.method, raw_path)
        if route.kind == "other":
            if (request.method, raw_path) == ("GET", "/openapi.json"):
                return json_answer(200, description()).response()
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
        refused = refused_api_call(request.headers, self._name)
        if refused is not None:
            return problem(403, "forbidden", refused)
        try:
            if request.can_read_body:
                seen.body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return problem(413, "payload-too-large")
        finally:
            self._records.violations.extend(breaches(seen, self._settings.api_key))
        # A token without the scheme "Bearer" is wrong (contract section 1).
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token if scheme == "Bearer" else ""
        about = self._about(route)
        seen.instruction_id = about.id if about else route.resource_id
        serial_number = about.serial_number if about else route.serial_number
        fault = self._faults.take(route.kind, serial_number, seen.instruction_id)
        if route.kind == "status":
            await self._records.watch_overlap(seen, request)

        async def proceed() -> Answer:
            if route.kind == "authorize":
                return self._authorize(headers.get("x-api-key"))
            if not self._tokens.accepts(token, self._settings.token_lifetime):
                return problem(401, "not-authorized", "The token is missing, wrong or expired.")
            return await self._operate(route, seen)

        if fault is None:
            return await proceed()
        seen.fault = fault.action.kind
        exchange = Exchange(
            request, seen, proceed, lambda: self._tokens.revoke(token), self._state.misuses.append
        )
        return await fault.action.run(exchange)

    def _about(self, route: Route) -> SimInstruction | None:
        if route.resource_id is None:
            return None
        known = self._state.owners if route.instruction is None else self._state.instructions
        return known.get(route.resource_id)

    def _authorize(self, api_key: str | None) -> Answer:
        if api_key != self._settings.api_key:
            return problem(401, "not-authorized", "The API key is missing or wrong.")
        says = self._settings.expires_in
        if says is None:
            lifetime = float(self._settings.token_lifetime)
            says = int(lifetime) if lifetime.is_integer() else lifetime
        document: dict[str, object] = {"access_token": self._tokens.issue()}
        if says is not OMIT:
            document["expires_in"] = says
        return json_answer(200, {**document, "scope": "service_a", "token_type": "Bearer"})

    async def _operate(self, route: Route, seen: Observed) -> Answer:
        ledger, office = self._state.ledger, self._state.office
        office.catch_up()
        if route.kind in POSTS:
            return self._post(route, seen)
        if route.kind in ASKS:
            return self._ask(route, seen)
        if route.kind in ("host_configuration", "device_configuration"):
            setup = office.setup_of(route.terminal, route.resource_id)
            return _not_found(route) if setup is None else json_answer(200, setup)
        if route.kind in ("secure_token", "delete_secure_token"):
            return self._secure_token(route)
        if route.kind in ("status", "cancel"):
            found = self._about(route)
            if found is None or found.kind is not route.instruction:
                return _not_found(route)
            if route.kind == "cancel":
                return self._state.cancel(found)
            if found.status == IN_PROGRESS and self._settings.hold > 0:
                await found.wait_for_change(self._settings.hold)
            return json_answer(200, found.document())
        if route.kind == "search" and route.collection in TRANSACTION_FILTERS:
            return search_transactions(
                route.collection,
                ledger.resources[route.collection].values(),
                ledger.settled,
                seen.query,
                self._settings.list_spelling,
            )
        if route.kind == "search" and route.collection == "secure-tokens":
            return office.search_tokens(route.terminal, seen.query, self._settings.list_spelling)
        if route.kind == "search" and route.collection in REPORTS:
            return office.search_reports(route.collection, seen.query, self._settings.list_spelling)
        if route.kind == "search" and route.collection == "processing-terminals":
            account = route.resource_id or ""
            return office.search_terminals(account, seen.query, self._settings.list_spelling)
        if route.kind == "search":
            devices = self._state.devices.values()
            return search_devices(devices, seen.query, self._settings.list_spelling)
        id_ = route.resource_id or ""
        document = ledger.resources.get(route.collection, {}).get(id_)
        document = document or office.document(route.collection, id_)
        return _not_found(route) if document is None else json_answer(200, document)

    def _ask(self, route: Route, seen: Observed) -> Answer:
        if not is_json(seen.headers):
            return problem(415, "unsupported-media-type", "A POST must be application/json.")
        office = self._state.office
        if route.kind == "bin_lookup":
            return office.lookups.look_up(seen.body)
        return office.lookups.balance(seen.body, office.terminals)

    def _secure_token(self, route: Route) -> Answer:
        records = self._state.office.vault.records
        found = records.get((route.terminal, route.resource_id or ""))
        if found is None:
            return _not_found(route)
        if route.kind == "secure_token":
            return json_answer(200, found)
        del records[route.terminal, found["secureTokenId"]]
        return Answer(204)

    def _post(self, route: Route, seen: Observed) -> Answer:
        key = seen.headers.get("idempotency-key")
        if not key:
            return problem(400, "idempotency-key-missing", "A POST needs an Idempotency-Key.")
        if seen.body and not is_json(seen.headers):
            return problem(415, "unsupported-media-type", "A POST must be application/json.")
        kind, serial_number = route.instruction, route.serial_number or ""
        if (
            kind is not None
            and self._settings.strict_devices
            and serial_number not in self._state.devices
        ):
            return _unknown_device(serial_number, self._state.devices)

        def act() -> Done:
            if kind is not None:
                return self._state.submit(kind, serial_number, key, seen.body)
            if route.kind == "close_batch":
                return self._state.office.request_close(route.terminal), None
            if route.kind == "charge":
                return self._state.office.charges.charge(seen.body), None
            id_ = route.resource_id or ""
            changed = self._state.ledger.change(route.collection, id_, route.action, seen.body)
            return changed, self._about(route)

        done = self._state.once(key, (seen.path, seen.body), act)
        if done is None:
            self._records.violations.append(
                f"{seen.method} {seen.path} has an Idempotency-Key that was used with a different"
                " request."
            )
            # Payroc publishes both statuses, each with 409 in the body (contract section 9).
            used = problem(409, "idempotency-key-in-use")
            return evolve(used, status=self._settings.used_key_status)
        if done.instruction is not None:
            seen.instruction_id = done.instruction.id
        return done.answer


def _unknown_device(serial_number: str, known: Iterable[str]) -> Answer:
    registered = ", ".join(known) or "none"
    return problem(
        404,
        "not-found",
        f"There is no device {serial_number}. Registered: {registered}. To register it:"
        f" device({serial_number!r}) of the gateway.",
    )


def _not_found(route: Route) -> Answer:
    return problem(404, "not-found", f"There is no {route.path}.", resource=route.path)
