"""The tools of every scenario: a session, a bare connection, the device, the evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal
from uuid import uuid4

import orjson
from attrs import define, field

from payroc_async import (
    Environment,
    Order,
    Payment,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
    RetryPolicy,
    Submitted,
    Timeouts,
)
from payroc_async.wire.protocol import Answer, Request

from .evidence import Attempt, Evidence, Exchange
from .guide import Guide, Script
from .wiretap import RecordingTransport, Tampering, Wiretap

__all__ = ["APPROVE", "Bench", "Skipped", "Unmet"]

APPROVE = "present the test card and approve; amount {amount}"


class Unmet(Exception):
    """A scenario's expectation was not met."""


class Skipped(Exception):
    """A scenario that can't be run here, and why."""


@define
class NoOtherToken:
    """The bearer of a bare connection: each request names its token."""

    def at_hand(self) -> str | None:
        """There is none."""
        return None

    async def get(self) -> str:
        """There is none."""
        raise NotImplementedError

    def reject(self, token: str) -> None:
        """There is nothing to reject."""


@define(eq=False, kw_only=True)
class Bench:
    """The tools of every scenario.

    Attributes:
        attempt: The running attempt; the scenario adds facts and notes to it.
        patience: Seconds to wait for the person at the device.
        settled_payment: The id of a settled payment; empty if none was given.
    """

    environment: Environment
    api_key: str
    guide: Guide
    evidence: Evidence
    wiretap: Wiretap
    session: PayrocSession
    timeouts: Timeouts
    attempt: Attempt
    patience: float
    decline_amount: int
    settled_payment: str = ""
    _bare: RecordingTransport | None = field(default=None, init=False)
    _started: set[str] = field(factory=set, init=False)
    _token: str = field(default="", init=False, repr=False)

    # The evidence ----------

    def expect(self, condition: object, otherwise: str) -> None:
        """Check an expectation.

        Raises:
            Unmet: The expectation is not met.
        """
        if not condition:
            raise Unmet(otherwise)

    def fact(self, **facts: Any) -> None:
        """Add facts to the evidence."""
        self.attempt.facts.update(facts)

    def note(self, text: str) -> None:
        """Add a note to the evidence."""
        self.attempt.notes.append(text)

    def exchanges(self, match: str = "") -> list[Exchange]:
        """This attempt's exchanges whose method and path begin so, as ``POST /v1/devices``."""
        return [
            one for one in self.wiretap.exchanges if f"{one.method} {one.path}".startswith(match)
        ]

    def tamper(
        self,
        match: str,
        kind: Literal["lose answer", "answer instead", "spoil token"],
        answer: Answer | None = None,
    ) -> None:
        """Tamper with the next exchange whose method and path match the regular expression."""
        self.wiretap.pending.append(Tampering(match, kind, answer))

    # Requests ----------

    @property
    def serial_number(self) -> str:
        """The device."""
        return self.evidence.serial_number

    @property
    def terminal(self) -> str:
        """The processing terminal."""
        return self.evidence.processing_terminal_id

    def order(self, amount: int, suffix: str = "", **more: Any) -> Order:
        """An order that carries the attempt's tag."""
        return Order(
            order_id=self.tag(suffix), amount=amount, currency=self.evidence.currency, **more
        )

    def tag(self, suffix: str = "") -> str:
        """The attempt's tag; with a suffix for each order after the first."""
        return f"{self.attempt.tag}{suffix}"[:24]

    def request(self, amount: int, suffix: str = "", **more: Any) -> PaymentInstructionRequest:
        """A sale with the attempt's tag; ``breakdown`` belongs to its order."""
        inside = {name: more.pop(name) for name in ("breakdown", "description") if name in more}
        return PaymentInstructionRequest(
            processing_terminal_id=self.terminal,
            order=self.order(amount, suffix, **inside),
            **more,
        )

    def body(self, amount: int, suffix: str = "", **more: Any) -> dict[str, Any]:
        """The JSON of a sale, for the bare connection."""
        order = {
            "orderId": self.tag(suffix),
            "amount": amount,
            "currency": self.evidence.currency,
        }
        return {"processingTerminalId": self.terminal, "order": order, **more}

    async def sale(
        self,
        amount: int = 4999,
        suffix: str = "",
        *,
        text: str = APPROVE,
        script: Script | None = None,
        **more: Any,
    ) -> Payment:
        """Run a sale on the device; keeps its ids, key and outcome as facts."""
        self.at_device(text, amount, script)
        key = str(uuid4())
        known: dict[str, str | None] = {}

        def keep(event: object) -> None:
            if isinstance(event, Submitted):
                known["id"] = event.instruction_id

        payment = await self.session.run_sale(
            self.serial_number,
            self.request(amount, suffix, **more),
            idempotency_key=key,
            timeout=self.patience,
            on_event=keep,
        )
        result = payment.transaction_result
        self.fact(
            **{
                f"idempotencyKey{suffix}": key,
                f"paymentInstructionId{suffix}": known.get("id"),
                f"paymentId{suffix}": payment.payment_id,
                f"orderId{suffix}": self.tag(suffix),
                f"responseCode{suffix}": result.response_code.value,
                f"status{suffix}": result.status and result.status.value,
            }
        )
        return payment

    async def approved_sale(self, amount: int = 4999, suffix: str = "", **more: Any) -> Payment:
        """Run a sale that has to be approved."""
        payment = await self.sale(amount, suffix, **more)
        code = payment.transaction_result.response_code.value
        self.expect(payment.approved, f"the sale was not approved: responseCode {code}")
        return payment

    def at_device(self, text: str, amount: int | None, script: Script | None) -> None:
        """Prepare what happens at the device during the next instruction."""
        shown = "" if amount is None else f"{self.money(amount)}"
        self.guide.at_device(
            text.format(amount=shown), script or (lambda device: device.approves())
        )

    def money(self, amount: int) -> str:
        """An amount for a person."""
        from payroc_async import Amount

        return str(Amount(amount, self.evidence.currency))

    # The bare connection ----------

    async def raw(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        token: str | None = None,
    ) -> Answer:
        """Send one request and return the gateway's answer, without retries or checks.

        Args:
            method: The HTTP method.
            path: The path below the API's base.
            body: The body's JSON.
            key: The idempotency key; none is sent if it is left out.
            token: A token in place of a valid one.
        """
        bare = await self.bare()
        if token is None:
            if not self._token:
                self._token = (await bare.authorize(self.api_key)).value
            token = self._token
        text = None if body is None else orjson.dumps(body)
        held = method == "GET" and "-instructions/" in path
        return await bare.send(Request(method, path, text, key), token, held=held)

    async def bare(self) -> RecordingTransport:
        """The bare connection; it is made on first use."""
        if self._bare is None:
            self._bare = self.wiretap.transport(
                self.environment, timeouts=self.timeouts, retries=RetryPolicy(attempts=1)
            )
            self._bare.token_provider = NoOtherToken()
            await self._bare.open()
        return self._bare

    async def submit_raw(
        self, body: Mapping[str, Any], *, key: str, token: str | None = None, serial: str = ""
    ) -> Answer:
        """Submit a sale over the bare connection, and return the answer.

        A possibly lost submission is retried under its key, so that its instruction can be ended.
        """
        path = f"/devices/{serial or self.serial_number}/payment-instructions"
        for _ in range(2):
            with suppress(PayrocError):
                answer = await self.raw("POST", path, body, key=key, token=token)
                if answer.status < 500:
                    break
            await asyncio.sleep(self.timeouts.poll_interval)
        else:
            answer = await self.raw("POST", path, body, key=key, token=token)
        found = self.json(answer).get("paymentInstructionId")
        if isinstance(found, str):
            self._started.add(found)
        elif 200 <= answer.status < 300:
            raise Unmet("the answer names no instruction: cancel it on the device")
        return answer

    async def end_raw(self, answer: Answer) -> str:
        """Cancel the instruction of a submission's answer, and return its last status."""
        found = self.json(answer).get("paymentInstructionId")
        return await self._end(found) if isinstance(found, str) else "nothing was started"

    async def _end(self, found: str) -> str:
        path = f"/payment-instructions/{found}"
        for _ in range(5):
            await self.raw("DELETE", path)
            status = self.json(await self.raw("GET", path)).get("status")
            if status not in (None, "inProgress"):
                self._started.discard(found)
                return str(status)
            await asyncio.sleep(self.timeouts.poll_interval)
        raise Unmet(
            f"the instruction {found} still runs after its cancellation: look at the device"
        )

    @staticmethod
    def json(answer: Answer) -> dict[str, Any]:
        """An answer's JSON object; empty where it has none."""
        try:
            document = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}

    @classmethod
    def problem(cls, answer: Answer) -> str:
        """The status and the fragment of an answer, such as ``409 cannot-be-canceled``."""
        fragment = str(cls.json(answer).get("type", "")).rpartition("#")[2]
        return f"{answer.status} {fragment}".strip()

    @contextmanager
    def refused(self, *statuses: int) -> Iterator[None]:
        """Expect the gateway to refuse with one of these statuses in this context.

        Raises:
            Unmet: The gateway did not refuse, or with another status.
        """
        wanted = " or ".join(map(str, statuses))
        try:
            yield
        except PayrocError as error:
            status = getattr(error, "status", None)
            self.fact(answer=f"{status or ''} {type(error).__name__}".strip())
            self.expect(status in statuses, f"expected {wanted}, got {error}")
        else:
            raise Unmet(f"the gateway did not refuse: {wanted} was expected")

    async def close(self) -> None:
        """End the instructions of the bare connection, and close it."""
        try:
            for found in sorted(self._started):
                await self._end(found)
        finally:
            if self._bare is not None:
                await self._bare.close()
