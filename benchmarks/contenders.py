"""The contenders: the SDK, and the alternatives to it.

Each makes the same three requests: submit, poll the status until it changes, retrieve the payment.
The handwritten loops are what a careful engineer writes in an afternoon: persistent connections,
orjson, a retry after a 503. They have no types, no cancellation and no token renewal.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any, Protocol, cast
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import orjson

from .loops import has

__all__ = ["CONTENDERS", "LAYER_NAMES", "Contender", "available", "make"]

API_KEY = "bench-key"
TERMINAL = "1234001"
PAUSE = 0.001
"""Seconds before all contenders retry a refused submission."""


class Contender(Protocol):
    """One way to run a sale."""

    async def open(self, url: str) -> None:
        """Prepare connections and token."""
        ...

    async def sell(self, n: int) -> float:
        """Run a sale on device ``n``; return when the gateway changed its status."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...


def order(n: int) -> dict[str, Any]:
    return {"orderId": f"order{n}", "amount": 4999, "currency": "USD"}


def sale(n: int) -> bytes:
    return orjson.dumps({"processingTerminalId": TERMINAL, "order": order(n)})


def changed_at(payment: Any) -> float:
    """Return the time stamp that the gateway put into the payment; check that it is approved."""
    assert payment["transactionResult"]["responseCode"] == "A"
    moment: float = payment["changedAt"]
    return moment


class Sdk:
    """``payroc_async`` with all its guarantees.

    Args:
        place: The journal's location; empty for none.
    """

    def __init__(self, place: str = "") -> None:
        import payroc_async  # import here: the worker chooses the version

        self._sdk = payroc_async
        self.place = place

    async def open(self, url: str) -> None:
        options: dict[str, Any] = {}
        if self.place:
            journal = importlib.import_module("payroc_async.journal")
            options = {"journal": journal.journal_at(self.place)}
        self.session = self._sdk.PayrocSession(
            API_KEY,
            environment=self._sdk.Environment(api_url=f"{url}/v1", identity_url=f"{url}/authorize"),
            timeouts=self._sdk.Timeouts(poll_interval=PAUSE),
            retries=self._sdk.RetryPolicy(attempts=50, initial=PAUSE, maximum=PAUSE),
            **options,
        )
        await self.session.open()

    def request(self, n: int) -> Any:
        """Return the request for device ``n``."""
        return self._sdk.PaymentInstructionRequest(
            processing_terminal_id=TERMINAL,
            order=self._sdk.Order(order_id=f"order{n}", amount=4999, currency="USD"),
        )

    async def sell(self, n: int) -> float:
        payment = await self.session.run_sale(f"device{n}", self.request(n))
        assert payment.approved
        moment: float = payment.raw["changedAt"]
        return moment

    async def close(self) -> None:
        await self.session.aclose()


class Bare:
    """aiohttp, by hand."""

    async def open(self, url: str) -> None:
        self._api = f"{url}/v1"
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=75)
        )
        async with self._http.post(f"{url}/authorize", headers={"x-api-key": API_KEY}) as answer:
            token = orjson.loads(await answer.read())["access_token"]
        self._bearer = {"Authorization": f"Bearer {token}"}

    async def sell(self, n: int) -> float:
        url = f"{self._api}/devices/device{n}/payment-instructions"
        body = sale(n)
        headers = {
            **self._bearer,
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        while True:
            async with self._http.post(url, data=body, headers=headers) as answer:
                if answer.status == 202:
                    instruction = orjson.loads(await answer.read())
                    break
            await asyncio.sleep(PAUSE)
        url = f"{self._api}/payment-instructions/{instruction['paymentInstructionId']}"
        while instruction["status"] == "inProgress":
            async with self._http.get(url, headers=self._bearer) as answer:
                instruction = orjson.loads(await answer.read())
        path = urlsplit(instruction["link"]["href"]).path.removeprefix("/v1")
        async with self._http.get(self._api + path, headers=self._bearer) as answer:
            return changed_at(orjson.loads(await answer.read()))

    async def close(self) -> None:
        await self._http.close()


class Httpx:
    """httpx, by hand: the basis of the generated client."""

    async def open(self, url: str) -> None:
        httpx = importlib.import_module("httpx")
        self._api = f"{url}/v1"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(limits=limits, timeout=75)
        answer = await self._http.post(f"{url}/authorize", headers={"x-api-key": API_KEY})
        self._bearer = {"Authorization": f"Bearer {orjson.loads(answer.content)['access_token']}"}

    async def sell(self, n: int) -> float:
        headers = {
            **self._bearer,
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        url = f"{self._api}/devices/device{n}/payment-instructions"
        body = sale(n)
        answer = await self._http.post(url, content=body, headers=headers)
        while answer.status_code != 202:
            await asyncio.sleep(PAUSE)
            answer = await self._http.post(url, content=body, headers=headers)
        instruction = orjson.loads(answer.content)
        url = f"{self._api}/payment-instructions/{instruction['paymentInstructionId']}"
        while instruction["status"] == "inProgress":
            instruction = orjson.loads((await self._http.get(url, headers=self._bearer)).content)
        path = urlsplit(instruction["link"]["href"]).path.removeprefix("/v1")
        answer = await self._http.get(self._api + path, headers=self._bearer)
        return changed_at(orjson.loads(answer.content))

    async def close(self) -> None:
        await self._http.aclose()


class Wire(asyncio.Protocol):
    """A connection of the baseline: one request at a time, the answer's body by its length."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def exchange(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        data = self._buffer = self._buffer + data
        head, end, body = data.partition(b"\r\n\r\n")
        at = head.find(b"Content-Length: ")
        if end and len(body) >= int(head[at + 16 :].partition(b"\r\n")[0]):
            self._buffer = b""
            self._answer.set_result((int(head[9:12]), body))


class Floor:
    """An asyncio protocol written only for this gateway: the cost of Python itself."""

    async def open(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._idle: list[Wire] = []
        _, body = await self._exchange(f"POST /authorize HTTP/1.1\r\nx-api-key: {API_KEY}\r\n")
        token = orjson.loads(body)["access_token"]
        self._headers = f"HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {token}\r\n"

    async def _exchange(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        if self._idle:
            wire = self._idle.pop()
        else:
            host, _, port = self._host.partition(":")
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(Wire, host, int(port))
        answer = await wire.exchange(head.encode() + b"\r\n" + body)
        self._idle.append(wire)
        return answer

    async def sell(self, n: int) -> float:
        body = sale(n)
        head = (
            f"POST /v1/devices/device{n}/payment-instructions {self._headers}Content-Type: "
            f"application/json\r\nIdempotency-Key: {uuid4()}\r\nContent-Length: {len(body)}\r\n"
        )
        status, answer = await self._exchange(head, body)
        while status != 202:
            await asyncio.sleep(PAUSE)
            status, answer = await self._exchange(head, body)
        instruction = orjson.loads(answer)
        path = f"/v1/payment-instructions/{instruction['paymentInstructionId']}"
        while instruction["status"] == "inProgress":
            _, answer = await self._exchange(f"GET {path} {self._headers}")
            instruction = orjson.loads(answer)
        path = urlsplit(instruction["link"]["href"]).path
        _, answer = await self._exchange(f"GET {path} {self._headers}")
        return changed_at(orjson.loads(answer))

    async def close(self) -> None:
        for wire in self._idle:
            wire.transport.close()


class Generated:
    """Payroc's own generated client: package ``payroc``, on httpx and pydantic."""

    async def open(self, url: str) -> None:
        payroc = importlib.import_module("payroc")
        environment = importlib.import_module("payroc.environment")
        self._order = payroc.PaymentInstructionOrder
        httpx = importlib.import_module("httpx")
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(limits=limits, timeout=75)
        self._client = payroc.AsyncPayroc(
            api_key=API_KEY,
            environment=environment.PayrocEnvironment(api=f"{url}/v1", identity=url),
            httpx_client=self._http,
        )

    async def sell(self, n: int) -> float:
        instructions = self._client.payroc_cloud.payment_instructions
        instruction = await instructions.submit(
            serial_number=f"device{n}",
            idempotency_key=str(uuid4()),
            processing_terminal_id=TERMINAL,
            order=self._order(order_id=f"order{n}", amount=4999, currency="USD"),
        )
        while instruction.status == "inProgress":
            instruction = await instructions.retrieve(instruction.payment_instruction_id)
        payment_id = urlsplit(instruction.link.href).path.rpartition("/")[2]
        payment = await self._client.card_payments.payments.retrieve(payment_id)
        assert payment.transaction_result.response_code == "A"
        moment: float = (payment.model_extra or {}).get("changedAt", 0.0)
        return moment

    async def close(self) -> None:
        await self._http.aclose()


CONTENDERS: dict[str, tuple[type[Contender], str]] = {
    "payroc_async": (Sdk, "payroc_async"),
    "aiohttp": (Bare, "aiohttp"),
    "floor": (Floor, "orjson"),
    "httpx": (Httpx, "httpx"),
    "payroc": (Generated, "payroc"),
}
"""By name, and the package that each needs."""


LAYER_NAMES = ("transport", "models")
"""The SDK in part: see ``layers.py``."""


def available(name: str) -> bool:
    """Whether what this contender needs is installed."""
    return has(CONTENDERS[name][1])


def make(name: str) -> Contender:
    """A contender by its name; the SDK with a journal is ``payroc_async+PLACE``."""
    name, _, place = name.partition("+")
    if name in LAYER_NAMES:
        # Import here: it imports the SDK, and the worker chooses the version.
        layer: Contender = importlib.import_module(".layers", __package__).LAYERS[name]()
        return layer
    return Sdk(place) if place else CONTENDERS[name][0]()
