"""A gateway that costs next to nothing: authorize, submit, held status, payment.

It stands on a bare asyncio protocol, so that beside a contender it takes as little of a shared
processor as can be; it checks nothing. What it answers, and with which fields, is the contract's.
``python -m benchmarks.gateway`` prints its URL and serves until its standard input ends.

Source: contract sections 1 to 5.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import orjson

from .loops import run

PAYMENT = Path(__file__).parents[1] / "tests" / "samples" / "payment.json"
HEAD = "HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
ANOTHER_HOST = "https://api.payroc.com/v1"  # as in every public sample


def answer(status: int, body: bytes) -> bytes:
    return HEAD.format(status, len(body)).encode() + body


UNAVAILABLE = answer(503, b"")
AUTHORIZED = answer(
    200,
    orjson.dumps(
        {
            "access_token": "bench." + "x" * 900,  # about as long as a signed token is
            "expires_in": 3600,
            "scope": "service_a service_b",
            "token_type": "Bearer",
        }
    ),
)


class Instruction:
    """One sale: what it is of, how often it is still in progress, and who waits for its end."""

    __slots__ = ("changed_at", "looks_left", "order_id", "waiting")

    def __init__(self, order_id: str, looks_left: int) -> None:
        self.order_id = order_id
        self.looks_left = looks_left
        self.changed_at: float | None = None
        self.waiting: Connection | None = None


class Gateway:
    """The state of it all. How sales go is given to it, by ``POST /_shape``.

    The shape's members: ``after`` ([least, most] seconds until a sale completes), or ``together``
    (all complete when that many are waited for; 0: on ``POST /_release``); ``looks`` (status
    requests that are answered without a change first, each held for ``hold`` seconds);
    ``refusals`` (submissions answered with 503 before each that is accepted).
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ids = count(1)
        self.instructions: dict[str, Instruction] = {}
        self.refused: Counter[bytes] = Counter()
        self.watchers: list[tuple[int, Connection]] = []
        self.payment = orjson.loads(PAYMENT.read_bytes())
        self.random = random.Random(0)
        self.set_shape({})

    def set_shape(self, shape: dict[str, Any]) -> None:
        self.after: list[float] | None = shape.get("after")
        self.together: int = shape.get("together", 0)
        self.looks: int = shape.get("looks", 0)
        self.hold: float = shape.get("hold", 0.0)
        self.refusals: int = shape.get("refusals", 0)
        self.waiting = 0
        self.instructions.clear()
        self.refused.clear()

    def handle(self, connection: Connection, method: bytes, path: str, head: bytes) -> bytes | None:
        """The answer; None where it comes later."""
        if path.startswith("/v1/payment-instructions/"):
            return self.status(connection, path.rpartition("/")[2])
        if path.startswith("/v1/payments/"):
            return self.paid(path.rpartition("/")[2])
        if path.endswith("/payment-instructions"):
            return self.submit(head, connection.body)
        if path == "/authorize":
            return AUTHORIZED
        if path == "/_shape":
            self.set_shape(orjson.loads(connection.body))
        elif path == "/_release":
            self.release()
        elif path.startswith("/_held/"):
            self.watchers.append((int(path.rpartition("/")[2]), connection))
            self.tell_watchers()
            return None
        return answer(200, b"{}")

    def submit(self, head: bytes, body: bytes) -> bytes:
        if self.refusals:
            key = head.lower().partition(b"idempotency-key: ")[2][:36]
            if self.refused[key] < self.refusals:
                self.refused[key] += 1
                return UNAVAILABLE
        instruction_id = f"{next(self.ids):032x}"
        order_id = orjson.loads(body)["order"]["orderId"]
        self.instructions[instruction_id] = instruction = Instruction(order_id, self.looks)
        if self.after is not None:
            delay = self.random.uniform(*self.after)
            self.loop.call_later(delay, self.complete, instruction_id, instruction)
        return answer(202, in_progress(instruction_id))

    def status(self, connection: Connection, instruction_id: str) -> bytes | None:
        instruction = self.instructions[instruction_id]
        if instruction.changed_at is not None:
            return completed(instruction_id)
        if instruction.looks_left:
            instruction.looks_left -= 1
            later = partial(connection.reply, answer(200, in_progress(instruction_id)))
            self.loop.call_later(self.hold, later)
            return None
        instruction.waiting = connection
        self.waiting += 1
        if self.waiting == self.together:
            self.release()
        self.tell_watchers()
        return None

    def release(self) -> None:
        for instruction_id, instruction in self.instructions.items():
            if instruction.waiting is not None:
                self.complete(instruction_id, instruction)

    def complete(self, instruction_id: str, instruction: Instruction) -> None:
        instruction.changed_at = time.monotonic()
        if instruction.waiting is not None:
            instruction.waiting.reply(completed(instruction_id))
            instruction.waiting = None
            self.waiting -= 1

    def tell_watchers(self) -> None:
        for watcher in self.watchers[:]:
            if self.waiting >= watcher[0]:
                self.watchers.remove(watcher)
                watcher[1].reply(answer(200, b"{}"))

    def paid(self, payment_id: str) -> bytes:
        instruction = self.instructions.pop(payment_id)
        self.payment["paymentId"] = payment_id
        self.payment["order"]["orderId"] = instruction.order_id
        self.payment["changedAt"] = instruction.changed_at  # for the latency: no model knows it
        return answer(200, orjson.dumps(self.payment))


def in_progress(instruction_id: str) -> bytes:
    return (
        f'{{"status":"inProgress","paymentInstructionId":"{instruction_id}","link":{{"rel":"self",'
        f'"method":"GET","href":"{ANOTHER_HOST}/payment-instructions/{instruction_id}"}}}}'
    ).encode()


def completed(instruction_id: str) -> bytes:
    return answer(
        200,
        (
            f'{{"status":"completed","paymentInstructionId":"{instruction_id}","link":'
            f'{{"rel":"payment","method":"GET","href":"{ANOTHER_HOST}/payments/{instruction_id}"}}}}'
        ).encode(),
    )


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    transport: asyncio.Transport

    def __init__(self, handle: Callable[[Connection, bytes, str, bytes], bytes | None]) -> None:
        self._handle = handle
        self._buffer = b""
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        data = self._buffer = self._buffer + data
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            return
        at = head.lower().find(b"content-length: ")
        if at >= 0 and len(body) < int(head[at + 16 :].partition(b"\r\n")[0]):
            return
        self._buffer, self.body = b"", body
        method, path, _ = head.split(b" ", 2)
        now = self._handle(self, method, path.decode(), head)
        if now is not None:
            self.transport.write(now)

    def reply(self, answer: bytes) -> None:
        """Send the answer, unless the other side has gone."""
        if not self.transport.is_closing():
            self.transport.write(answer)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway()
    server = await loop.create_server(
        lambda: Connection(gateway.handle), "127.0.0.1", 0, backlog=8192
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    run(serve(), fast=True)
