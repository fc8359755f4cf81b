"""Injectable faults between a client and the gateway, each a small function.

A fault applies to one request. It may let the request take effect (`Exchange.proceed`), and may
damage the answer. A status request that takes effect is held first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from attrs import define, evolve, field

from payroc_async.errors import ConfigurationError

from . import arguments
from . import replies as answers
from .exchange import Exchange, FaultAction
from .replies import Answer
from .routes import REQUEST_KINDS

__all__ = [
    "Exchange",
    "Fault",
    "FaultAction",
    "Faults",
    "delay",
    "drop_after",
    "drop_before",
    "edit",
    "empty",
    "garbage",
    "hang",
    "hang_after",
    "html",
    "huge",
    "problem",
    "rate_limited",
    "redirect",
    "revoke_token",
    "status",
    "truncated",
    "wrong_content_type",
]

CHUNK = b"x" * 65_536


def drop_before() -> FaultAction:
    """Resets the connection; the request has no effect."""
    return FaultAction("drop_before", Exchange.reset)


def drop_after() -> FaultAction:
    """Lets the request take effect, then resets the connection instead of answering."""

    async def run(exchange: Exchange) -> Answer:
        await exchange.proceed()
        return await exchange.reset()

    return FaultAction("drop_after", run)


def hang(seconds: float | None = None) -> FaultAction:
    """Has no effect and sends no answer until the client disconnects or `seconds` have passed."""
    seconds = arguments.optional(arguments.seconds)("seconds", seconds)

    async def run(exchange: Exchange) -> Answer:
        if seconds is None:
            return await exchange.hang()
        await asyncio.sleep(seconds)
        return await exchange.reset()

    return FaultAction("hang", run)


def hang_after() -> FaultAction:
    """Lets the request take effect, but never answers."""

    async def run(exchange: Exchange) -> Answer:
        await exchange.proceed()
        return await exchange.hang()

    return FaultAction("hang_after", run)


def delay(seconds: float) -> FaultAction:
    """Waits for `seconds`, then continues normally."""
    seconds = arguments.seconds("seconds", seconds)

    async def run(exchange: Exchange) -> Answer:
        await asyncio.sleep(seconds)
        return await exchange.proceed()

    return FaultAction("delay", run)


def _instead(kind: str, answer: Answer, *, effect: bool = False) -> FaultAction:
    arguments.flag("effect", effect)

    async def run(exchange: Exchange) -> Answer:
        if effect:
            await exchange.proceed()
        return answer

    return FaultAction(kind, run)


def status(
    code: int,
    *,
    body: bytes = b"",
    content_type: str = "text/html",
    headers: Mapping[str, str] | None = None,
    effect: bool = False,
) -> FaultAction:
    """Answers with this status and body, as a proxy would.

    Args:
        code: The HTTP status.
        body: The body.
        content_type: Its type.
        headers: Further headers.
        effect: Whether the request takes effect first.
    """
    arguments.http_status("code", code, arguments.payload("body", body))
    sent = arguments.headers("headers", headers)
    answer = Answer(code, body, arguments.header("content_type", content_type), sent)
    return _instead("status", answer, effect=effect)


def problem(
    code: int,
    fragment: str,
    *,
    detail: str | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
    effect: bool = False,
) -> FaultAction:
    """Answers with a problem document of this status and ``type`` (contract section 8)."""
    arguments.http_status("code", code, b"{}")
    arguments.text("fragment", fragment)
    arguments.optional(arguments.text)("detail", detail)
    if errors is not None:
        if not isinstance(errors, list | tuple):
            arguments.refuse_type("errors", "a list of mappings", errors)
        errors = [arguments.json_mapping("errors", one) for one in errors]
    sent = arguments.headers("headers", headers)
    answer = answers.problem(code, fragment, detail, errors=errors, headers=sent)
    return _instead("problem", answer, effect=effect)


def html(code: int = 200) -> FaultAction:
    """Answers with an HTML page instead of JSON."""
    page = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
    code = arguments.http_status("code", code, page)
    return _instead("html", Answer(code, page, "text/html"))


def garbage() -> FaultAction:
    """Answers 200 with a JSON content type and a body that is not JSON."""
    return _instead("garbage", Answer(200, b'{"status": \x00\xff', "application/json"))


def empty(code: int = 200) -> FaultAction:
    """Answers without a body."""
    code = arguments.http_status("code", code)
    return _instead("empty", Answer(code, b"", "application/json"))


def truncated() -> FaultAction:
    """Lets the request take effect, sends half of the answer, and closes the connection."""

    async def run(exchange: Exchange) -> web.StreamResponse:
        answer = await exchange.proceed()
        # A 204 has no body to truncate; a cancellation may be answered with 200 as well
        # (contract section 9).
        whole = answer.body or b"{}"
        code = answer.status if answer.body else 200
        response = web.StreamResponse(status=code, headers=answer.headers)
        response.content_type = answer.content_type or "application/json"
        response.content_length = len(whole)
        response.force_close()
        await response.prepare(exchange.request)
        await response.write(whole[: len(whole) // 2])
        return response

    return FaultAction("truncated", run)


def wrong_content_type() -> FaultAction:
    """Lets the request take effect; sends the correct body as ``text/plain``."""

    async def run(exchange: Exchange) -> Answer:
        return evolve(await exchange.proceed(), content_type="text/plain")

    return FaultAction("wrong_content_type", run)


def huge(size: int = 50_000_000) -> FaultAction:
    """Answers 200 with `size` bytes, without a Content-Length."""
    size = arguments.whole("size", size, least=1)

    async def run(exchange: Exchange) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(exchange.request)
            for start in range(0, size, len(CHUNK)):
                await response.write(CHUNK[: size - start])
        except ConnectionError:
            # The client may stop reading early.
            response.force_close()
        return response

    return FaultAction("huge", run)


def rate_limited(retry_after: str | None = None) -> FaultAction:
    """Answers 429 with this ``Retry-After``, unchanged: seconds or an HTTP date."""
    retry_after = arguments.optional(arguments.header)("retry_after", retry_after)
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return _instead("rate_limited", Answer(429, b"", "text/html", headers))


def redirect(location: str) -> FaultAction:
    """Answers 307 to `location`; the request has no effect."""
    location = arguments.header("location", arguments.text("location", location))
    return _instead("redirect", Answer(307, b"", "text/html", {"Location": location}))


def edit(function: Callable[[dict[str, Any]], object]) -> FaultAction:
    """Lets the request take effect, and sends the answer's JSON as changed by `function`.

    An answer without a body stays unchanged. If the function raises, or returns None or a value
    that JSON can't hold, the answer is 500 and the gateway's ``check`` reports the error.

    Args:
        function: Receives the answer's JSON, which it may modify, and returns the JSON to send.
    """
    arguments.function("function", function)

    async def run(exchange: Exchange) -> Answer:
        answer = await exchange.proceed()
        if not answer.body:
            return answer
        try:
            made = function(orjson.loads(answer.body))
            if made is None:
                raise TypeError("it returned None: it must return the document")
            return evolve(answer, body=orjson.dumps(made))
        except Exception as error:
            exchange.misuse(f"The function of edit() failed: {type(error).__name__}: {error}.")
            return Answer(500, b"The function of edit() failed.", "text/plain")

    return FaultAction("edit", run)


def revoke_token() -> FaultAction:
    """Revokes the request's token, so that the request is answered with 401."""

    async def run(exchange: Exchange) -> Answer:
        exchange.revoke_token()
        return await exchange.proceed()

    return FaultAction("revoke_token", run)


@define(eq=False)
class Fault:
    """An injected fault that waits for matching requests.

    Attributes:
        hits: How many requests it was applied to.
    """

    on: str
    action: FaultAction
    times: int | None
    skip: int
    serial_number: str | None
    instruction_id: str | None
    _faults: Faults = field(repr=False)
    hits: int = 0

    def remove(self) -> None:
        """Removes the fault."""
        if self in self._faults.waiting:
            self._faults.waiting.remove(self)
            self._faults.tell()

    def strikes(self, kind: str, serial_number: str | None, instruction_id: str | None) -> bool:
        """Whether the fault applies to this request; counts the request if so."""
        if (
            self.on not in ("any", kind)
            or self.serial_number not in (None, serial_number)
            or self.instruction_id not in (None, instruction_id)
        ):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        if self.hits == self.times:
            self.remove()
        return True


NO_DEVICE = (
    *("authorize", "closed_loop_read", "search", "other", "charge", "close_batch", "terminal"),
    *("batch", "transaction", "authorization", "secure_token", "delete_secure_token"),
)
"""Kinds of request without a device."""
NO_INSTRUCTION = (*NO_DEVICE, "submit")
"""Kinds of request whose instruction is not known before they take effect."""


def _check_subject(on: str, name: str, value: str | None, without: tuple[str, ...]) -> None:
    if value is None:
        return
    arguments.serial(name, value)
    if on in without:
        raise ConfigurationError(name, f"can't be given: requests of kind {on} have none")


@define(eq=False)
class Faults:
    """The injected faults. Only the first matching fault applies to a request.

    Attributes:
        waiting: The faults that still wait for requests.
        note: Called when a fault is added or removed; None without observers.
    """

    waiting: list[Fault] = field(factory=list)
    note: Callable[[], object] | None = None

    def add(
        self,
        on: str,
        fault: FaultAction,
        *,
        times: int | None = 1,
        skip: int = 0,
        serial_number: str | None = None,
        instruction_id: str | None = None,
    ) -> Fault:
        """Injects a fault into the next request of a kind.

        Args:
            on: ``authorize``, ``submit``, ``status``, ``cancel``, ``payment``, ``refund``,
                ``signature``, ``closed_loop_read`` (the GETs of one), ``change`` (any POST to a
                payment or refund), ``search`` (of payments, refunds or devices), ``other`` or
                ``any``.
            fault: The fault, from a function of this module.
            times: How many requests it applies to; None for all.
            skip: How many such requests to let through first.
            serial_number: Only requests about this device.
            instruction_id: Only requests about this instruction.

        Raises:
            ConfigurationError: There is no such kind of request, a number is out of range,
                ``fault`` is not a fault, or requests of this kind have no device or instruction.
        """
        arguments.choice("on", on, ("any", *REQUEST_KINDS))
        if not isinstance(fault, FaultAction):
            arguments.refuse_type("fault", "a fault, such as drop_after()", fault)
        if times is not None:
            arguments.whole("times", times, least=1)
        arguments.whole("skip", skip)
        _check_subject(on, "serial_number", serial_number, NO_DEVICE)
        _check_subject(on, "instruction_id", instruction_id, NO_INSTRUCTION)
        made = Fault(on, fault, times, skip, serial_number, instruction_id, self)
        self.waiting.append(made)
        self.tell()
        return made

    def clear(self) -> None:
        """Removes every fault."""
        self.waiting.clear()
        self.tell()

    def tell(self) -> None:
        """Notifies the observers that a fault was added or removed."""
        if self.note is not None:
            self.note()

    def take(
        self, kind: str, serial_number: str | None, instruction_id: str | None
    ) -> Fault | None:
        """Return the fault that applies to this request, if any."""
        for fault in self.waiting:
            if fault.strikes(kind, serial_number, instruction_id):
                return fault
        return None
