"""A gateway, and the network before it, for one sale: answers are bytes from the contract."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from payroc_async.errors import AuthenticationError, Problem, RequestTimeoutError, TransportError
from payroc_async.wire.protocol import Answer, Request

__all__ = ["Gateway", "Process"]

ERRORS = "https://docs.payroc.com/api/errors#"
PAGE = b"<html><h1>default backend</h1></html>"
OWN = ((400, "bad-request"), (401, "not-authorized"), (403, "forbidden"), (404, "not-found"))
BOXES = (400, 401, 403, 404, 408, 410, 413, 425, 429, 451, 500, 501, 502, 503, 504, 507, 520, 599)


def own(status: int, fragment: str) -> Answer:
    """A problem document of the gateway's."""
    body = {"type": ERRORS + fragment, "title": fragment, "status": status, "detail": "x"}
    return Answer(status, {}, json.dumps(body).encode())


class Gateway:
    """One sale's instruction at the gateway.

    Args:
        chance: Everything that is left to chance.
        rate: How often a request meets a fault.
        relents: When the adversary relents, by the loop's clock.
    """

    def __init__(self, chance: random.Random, rate: float, relents: float) -> None:
        self._chance, self._rate, self._relents = chance, rate, relents
        self.status = ""  # no instruction
        self.made = 0
        self.key = ""
        self.held: list[asyncio.Future[None]] = []
        self.polling = self.overlaps = 0
        self.trace: list[str] = []

    # The cardholder and the device ----------

    def end(self, status: str) -> None:
        """The instruction ends, if it is in progress."""
        if self.status == "inProgress":
            self.status = status
            self.trace.append(f"gateway: {status}")
            for held in self.held:
                if not held.done():
                    held.set_result(None)
            self.held.clear()

    def _make(self) -> None:
        self.made += 1
        self.status = "inProgress"
        loop = asyncio.get_running_loop()
        if self._chance.random() < 0.9:
            ends = self._chance.choice(
                ("completed", "completed", "completed", "failure", "canceled")
            )
            loop.call_later(self._chance.uniform(0.1, 40.0), self.end, ends)

    # Requests ----------

    async def exchange(self, request: Request, sender: Process) -> Answer:
        """The answer to one request, or a fault."""
        chance, loop = self._chance, asyncio.get_running_loop()
        await asyncio.sleep(chance.uniform(0.01, 0.2))
        if request.method == "GET":
            await (
                sender.alive()
            )  # the connection of a killed one is closed: no status is held on it
        if loop.time() >= self._relents or chance.random() >= self._rate:
            return await self._take_effect(request)
        fault = chance.randrange(7)
        self.trace.append(f"{request.method} meets fault {fault}")
        if fault == 0:
            raise TransportError("no connection", request_sent=False)
        if fault == 1:  # refused by the gateway itself: only where that is true of the submission
            if request.method != "POST" or not self.made:
                return own(*chance.choice(OWN))
            return own(409, "cannot-be-modified")
        answer: Answer | None = None
        if fault in (2, 3, 4):
            answer = await self._take_effect(request)
        elif fault == 5 and request.method == "POST":
            loop.call_later(chance.uniform(0.5, 20.0), self._arrive_late, request)
        if fault in (2, 5):
            raise TransportError("the connection broke", request_sent=True)
        if fault == 3:
            return Answer(chance.choice(BOXES), {}, PAGE)
        if fault == 4 and answer is not None and request.method == "DELETE":
            return answer
        if fault == 6 and request.method == "DELETE":
            return Answer(204, {}, b"")  # without effect
        await asyncio.sleep(30.0 if request.method != "GET" else 75.0)
        raise RequestTimeoutError("no answer in time", request_sent=True)

    def _arrive_late(self, request: Request) -> None:
        self.trace.append("a lost POST arrives late")
        if not self.made:
            self._accept(request)

    def _accept(self, request: Request) -> None:
        assert request.idempotency_key is not None
        if not self.made or self.key != request.idempotency_key:
            self.key = request.idempotency_key
            self._make()

    async def _take_effect(self, request: Request) -> Answer:
        if request.method == "POST":
            self._accept(request)
            return self._instruction(202, "inProgress")
        if request.method == "DELETE":
            if self.status != "inProgress":
                return own(409, "cannot-be-canceled")
            self.end("canceled")
            return Answer(204, {}, b"")
        if request.path.startswith("/payments/"):
            return Answer(200, {}, json.dumps(PAYMENT).encode())
        return await self._show()

    async def _show(self) -> Answer:
        self.polling += 1
        self.overlaps += self.polling > 1
        try:
            if self.status == "inProgress":
                held = asyncio.get_running_loop().create_future()
                self.held.append(held)
                await asyncio.wait((held,), timeout=60.0)
        finally:
            self.polling -= 1
        return self._instruction(200, self.status)

    def _instruction(self, code: int, status: str) -> Answer:
        link = {"rel": "self", "method": "GET", "href": "https://api.payroc.com/v1/x"}
        if status == "completed":
            link["href"] = "https://api.payroc.com/v1/payments/M2MJOG6O2Y"
        body: dict[str, Any] = {"paymentInstructionId": "I1", "status": status, "link": link}
        return Answer(code, {}, json.dumps(body).encode())


PAYMENT: dict[str, Any] = {
    "paymentId": "M2MJOG6O2Y",
    "processingTerminalId": "1234001",
    "order": {"orderId": "OrderRef6543", "description": "x", "amount": 4999, "currency": "USD"},
    "card": {"type": "Visa", "cardNumber": "453985******7062", "expiryDate": "1230"},
    "transactionResult": {
        "type": "sale",
        "status": "ready",
        "authorizedAmount": 4999,
        "currency": "USD",
        "responseCode": "A",
        "responseMessage": "APPROVAL",
    },
}


class Process:
    """The transport and the tokens of one process. A killed one is frozen for ever."""

    def __init__(self, gateway: Gateway, chance: random.Random, rate: float) -> None:
        self._gateway, self._chance, self._rate = gateway, chance, rate
        self.dead = False
        self.token_provider = self

    def at_hand(self) -> None:
        """None: each token is waited for."""

    async def get(self) -> str:
        """A token, or the identity service's trouble."""
        if self._gateway.made and self._chance.random() < self._rate / 4:
            await self.alive()
            raise AuthenticationError(401, Problem())
        return "token"

    def reject(self, token: str) -> None:
        """The next token is another."""

    async def send(
        self, request: Request, token: str, *, held: bool = False, resend: int = 0
    ) -> Answer:
        """One exchange."""
        answer = await self._gateway.exchange(request, self)
        await self.alive()
        return answer

    async def alive(self) -> None:
        """Never returns to a killed process."""
        if self.dead:
            await asyncio.Event().wait()
