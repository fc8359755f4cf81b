"""Recorded requests, and the contract violations among them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

from aiohttp import web
from attrs import define, field

from .routes import ASKS
from .tokens import TOKEN_MARK

__all__ = ["Observed", "Records", "breaches", "without_tokens"]

UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.I)
SECRET_HEADERS = ("authorization", "x-api-key")
TOKEN = re.compile(re.escape(TOKEN_MARK) + r"[\w-]*")

# How often, and how far apart, to check whether an apparent overlap resolves itself: for 20 ms and
# at least 20 turns of the event loop, which may be slow under load.
LOOKS = 20
LOOK_AGAIN = 0.001


@define(eq=False)
class Observed:
    """One request that reached the simulator.

    Attributes:
        kind: ``authorize``, ``submit``, ``status``, ``cancel``, ``payment``, ``refund``,
            ``signature``, ``closed_loop_read``, ``change``, ``search``, ``other``, or another kind
            listed in ``docs/simulator.md``.
        method: The HTTP method.
        path: The path, decoded, without the query.
        query: The query as sent, without the question mark.
        headers: Its headers, names in lower case. The token and the API key are masked.
        body: Its body.
        started: When the request arrived, by `time.monotonic`.
        ended: When its answer was ready or the connection was lost; None while it is open.
        status: The HTTP status of the answer; None if there was no answer.
        instruction_id: The request's instruction, if known.
        fault: The kind of the injected fault, if any.
        answer: The answer's body, with tokens masked; None if there was no answer, or the answer
            was streamed.
    """

    kind: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""
    started: float = field(factory=time.monotonic)
    ended: float | None = None
    status: int | None = None
    instruction_id: str | None = None
    fault: str | None = None
    answer: bytes | None = None


def breaches(seen: Observed, api_key: str) -> Iterator[str]:
    """List the contract violations of this request alone, one sentence each.

    Source: contract section 1.
    """
    where = f"{seen.method} {seen.path}"
    headers = seen.headers
    key = headers.get("idempotency-key")
    if seen.kind == "authorize":
        if "authorization" in headers:
            yield f"{where} carries a token; authorize takes only the API key."
        if seen.body:
            yield f"{where} has a body."
    elif "x-api-key" in headers:
        yield f"{where} carries the x-api-key header, which only authorize takes."
    if seen.kind == "authorize" or seen.method != "POST" or seen.kind in ASKS:
        if key is not None:
            yield f"{where} carries an Idempotency-Key, which belongs to what changes something."
    else:
        if key is None:
            yield f"{where} has no Idempotency-Key."
        elif not UUID4.fullmatch(key):
            yield f"{where} has an Idempotency-Key that is not a UUID v4."
        if seen.body and not is_json(headers):
            yield f"{where} has no Content-Type of application/json."
    yield from _leaks(seen, api_key)


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with their secrets masked."""
    return {name: "***" if name in SECRET_HEADERS else its for name, its in headers.items()}


def without_tokens(text: str) -> str:
    """Return the text with every token replaced by ``***``."""
    return TOKEN.sub("***", text)


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether the Content-Type is ``application/json``, with or without a charset."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _leaks(seen: Observed, api_key: str) -> Iterator[str]:
    # These sentences omit the path, which may hold the secret.
    url = f"{seen.path}?{unquote(seen.query)}"
    for secret, name in ((TOKEN_MARK, "a token"), (api_key, "the API key")):
        if not secret:
            continue
        if secret in url:
            yield f"A {seen.method} request ({seen.kind}) has {name} in its URL."
        if secret.encode() in seen.body:
            yield f"A {seen.method} request ({seen.kind}) has {name} in its body."


def _is_gone(seen: Observed, request: web.BaseRequest) -> bool:
    if seen.ended is not None and seen.status is None:
        return True
    transport = request.transport
    return transport is None or transport.is_closing()


@define(eq=False)
class Records:
    """All requests and violations, and the requests that are still open.

    Attributes:
        note: Called with each request when it arrives and when it ends; None without observers.
    """

    requests: list[Observed] = field(factory=list)
    violations: list[str] = field(factory=list)
    open: dict[Observed, web.BaseRequest] = field(factory=dict)
    note: Callable[[Observed], None] | None = None
    _polls: dict[str, dict[Observed, web.BaseRequest]] = field(factory=dict)

    def begin(self, seen: Observed, request: web.BaseRequest) -> None:
        """Records a request as open."""
        self.requests.append(seen)
        self.open[seen] = request
        if self.note is not None:
            self.note(seen)

    def finish(self, seen: Observed) -> None:
        """Records a request as ended."""
        seen.ended = time.monotonic()
        self.open.pop(seen, None)
        polls = self._polls.get(seen.instruction_id or "")
        if polls is not None and polls.pop(seen, None) is not None and not polls:
            del self._polls[seen.instruction_id or ""]
        if self.note is not None:
            self.note(seen)

    async def watch_overlap(self, seen: Observed, request: web.BaseRequest) -> None:
        """Records a violation if another status request for the same instruction is open.

        Source: the note in "Run a sale", step 2: wait for an answer before the next request.

        A client may close its connection and send the next request on another one. That is no
        overlap, but the server may read the request before the close. So a closing connection does
        not count, and an overlap counts only if it persists for a moment. A request that was
        answered meanwhile did overlap, unless its connection turns out to have been closed.
        """
        polls = self._polls.setdefault(seen.instruction_id or "", {})
        older = list(polls.items())
        polls[seen] = request
        for _ in range(LOOKS):
            older = [(one, its) for one, its in older if not _is_gone(one, its)]
            if not older:
                return
            await asyncio.sleep(LOOK_AGAIN)
        self.violations.append(
            f"{seen.method} {seen.path} was sent while another status request for that"
            " instruction was open."
        )

    def clear(self) -> None:
        """Forgets all requests and violations. Open requests stay open."""
        self.requests.clear()
        self.violations.clear()
