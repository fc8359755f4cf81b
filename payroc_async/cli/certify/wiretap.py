"""The connection to the gateway, which records all exchanges and tampers with some.

A certification tests the software's behavior when an answer is lost, a token has expired or the
gateway is overloaded. These cases can't be produced on demand, so this side of a real exchange
simulates them, and the evidence says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from typing import Any, Literal

from attrs import define, field, frozen

from payroc_async import Environment, RequestTimeoutError
from payroc_async.http import transport as http
from payroc_async.instructions.runner import InstructionRunner
from payroc_async.telemetry import Telemetry
from payroc_async.wire.protocol import Answer

from .evidence import Exchange, now
from .redaction import redact_body, redact_headers, redact_text

__all__ = ["RecordingTransport", "Tampering", "Wiretap"]

Kind = Literal["lose answer", "answer instead", "spoil token"]
NOTES: dict[Kind, str] = {
    "lose answer": "the gateway's answer was discarded here, as if it had been lost on the way",
    "answer instead": "not sent: this answer was made up here",
    "spoil token": "sent with a token that is not valid, in place of one that has expired",
}


@frozen
class Tampering:
    """The tampering with the next exchange whose method and path match.

    Args:
        match: A regular expression for ``METHOD /path``.
        kind: The kind of tampering.
        answer: The simulated answer.
    """

    match: str
    kind: Kind
    answer: Answer | None = None


@define(eq=False)
class Wiretap(Telemetry):
    """Records the exchanges of a session and of a bare transport.

    Attributes:
        exchanges: Every exchange, in order; without secrets.
        pending: The pending tamperings.
        reached: Set once there was an exchange.
    """

    exchanges: list[Exchange] = field(factory=list)
    pending: list[Tampering] = field(factory=list)
    reached: asyncio.Event = field(factory=asyncio.Event)

    def transport(self, environment: Environment, **options: Any) -> RecordingTransport:
        """A transport whose exchanges are recorded here."""
        return RecordingTransport(self, environment, **options)

    def start(self, run: InstructionRunner[Any, Any]) -> None:
        """Start an instruction's task; there is nothing to record about it."""
        run.start()

    def take(self, method: str, path: str) -> Tampering | None:
        """Return and remove the tampering for this exchange."""
        for one in self.pending:
            if re.fullmatch(one.match, f"{method} {path}"):
                self.pending.remove(one)
                return one
        return None

    def keep(self, exchange: Exchange) -> None:
        """Record an exchange."""
        self.exchanges.append(exchange)
        self.reached.set()


class RecordingTransport(http.Transport):
    """A transport that records each exchange, and applies pending tamperings."""

    def __init__(self, wiretap: Wiretap, environment: Environment, **options: Any) -> None:
        super().__init__(environment, **options)
        self._wiretap = wiretap

    async def _exchange(self, exchange: http.Exchange) -> Answer:
        tampering = self._wiretap.take(exchange.method, exchange.url.path)
        if tampering is not None and tampering.kind == "spoil token":
            exchange.headers["Authorization"] = "Bearer not-a-valid-token"
        started, began = now(), time.monotonic()
        answer: Answer | None = None
        failure = ""
        try:
            if tampering is not None and tampering.answer is not None:
                answer = tampering.answer
            else:
                answer = await super()._exchange(exchange)
            if tampering is not None and tampering.kind == "lose answer":
                raise RequestTimeoutError("no answer in time", request_sent=True)
            return answer
        except BaseException as error:
            failure = redact_text(f"{type(error).__name__}: {error}")
            raise
        finally:
            note = NOTES[tampering.kind] if tampering else ""
            seconds = round(time.monotonic() - began, 3)
            self._wiretap.keep(_recorded(exchange, answer, started, seconds, note, failure))


def _recorded(
    sent: http.Exchange,
    answer: Answer | None,
    started: str,
    seconds: float,
    note: str,
    failure: str,
) -> Exchange:
    return Exchange(
        method=sent.method,
        path=redact_text(sent.url.raw_path_qs),
        request_headers=redact_headers(sent.headers),
        request_body=redact_body(sent.body),
        body_sha256=hashlib.sha256(sent.body).hexdigest() if sent.body else "",
        status=answer.status if answer else None,
        answer_headers=redact_headers(answer.headers) if answer else {},
        answer_body=redact_body(answer.body) if answer else None,
        started=started,
        seconds=seconds,
        note=note,
        error=failure,
    )
