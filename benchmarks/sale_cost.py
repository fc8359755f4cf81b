"""What a sale costs in processor time, against the same requests on bare aiohttp.

``python -m benchmarks.sale_cost --devices 100`` prints the medians of alternating rounds and their
ratio. The gateway runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import orjson

from payroc_async import Environment, Order, PaymentInstructionRequest, PayrocSession

GATEWAY = """
import asyncio, sys
from payroc_async.simulator import Simulator

async def main():
    async with Simulator() as gateway:
        print(gateway.url, gateway.api_key, flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            gateway.clear()

asyncio.run(main())
"""


async def sdk_round(session: PayrocSession, devices: int) -> None:
    """One sale on every device at once, by the SDK."""

    async def sell(n: int) -> None:
        payment = await session.run_sale(
            f"device{n}",
            PaymentInstructionRequest(
                processing_terminal_id="1234001",
                order=Order(order_id=f"order{n}", amount=4999, currency="USD"),
            ),
        )
        assert payment.approved

    await asyncio.gather(*(sell(n) for n in range(devices)))


async def bare_round(
    http: aiohttp.ClientSession, environment: Environment, token: str, devices: int
) -> None:
    """The same by hand: no types, no retries, no cancellation."""
    api = environment.api_url
    bearer = {"Authorization": f"Bearer {token}"}

    async def sell(n: int) -> None:
        body = orjson.dumps(
            {
                "processingTerminalId": "1234001",
                "order": {"orderId": f"order{n}", "amount": 4999, "currency": "USD"},
            }
        )
        headers = {
            **bearer,
            "Content-Type": "application/json",
            "Idempotency-Key": str(uuid4()),
        }
        async with http.post(
            f"{api}/devices/device{n}/payment-instructions", data=body, headers=headers
        ) as answer:
            instruction = orjson.loads(await answer.read())
        while instruction["status"] == "inProgress":
            url = f"{api}/payment-instructions/{instruction['paymentInstructionId']}"
            async with http.get(url, headers=bearer) as answer:
                instruction = orjson.loads(await answer.read())
        path = urlsplit(instruction["link"]["href"]).path.removeprefix("/v1")
        async with http.get(api + path, headers=bearer) as answer:
            payment = orjson.loads(await answer.read())
        assert payment["transactionResult"]["responseCode"] == "A"

    await asyncio.gather(*(sell(n) for n in range(devices)))


async def cost(round_: Callable[[], Awaitable[None]], devices: int) -> float:
    """Milliseconds of processor time a sale."""
    began = time.process_time()
    await round_()
    return (time.process_time() - began) / devices * 1000


async def compare(url: str, api_key: str, devices: int, rounds: int) -> None:
    """Alternate the two, and print what each costs."""
    environment = Environment(api_url=f"{url}/v1", identity_url=f"{url}/authorize")
    sdk: list[float] = []
    bare: list[float] = []
    async with (
        PayrocSession(api_key, environment=environment) as session,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        headers = {"x-api-key": api_key}
        async with http.post(environment.identity_url, headers=headers) as answer:
            token = orjson.loads(await answer.read())["access_token"]
        await sdk_round(session, devices)
        await bare_round(http, environment, token, devices)
        for _ in range(rounds):
            sdk.append(await cost(lambda: sdk_round(session, devices), devices))
            bare.append(await cost(lambda: bare_round(http, environment, token, devices), devices))
    for name, figures in (("payroc_async", sdk), ("bare aiohttp", bare)):
        print(
            f"{name}: {statistics.median(figures):.3f} ms of processor time a sale "
            f"({min(figures):.3f} to {max(figures):.3f})"
        )
    ratio = statistics.median(a / b for a, b in zip(sdk, bare, strict=True))
    print(f"ratio: {ratio:.2f}, {devices} devices at once, {rounds} rounds")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with subprocess.Popen(
        [sys.executable, "-c", GATEWAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as gateway:
        assert gateway.stdin is not None
        assert gateway.stdout is not None
        url, api_key = gateway.stdout.readline().split()
        try:
            asyncio.run(compare(url, api_key, options.devices, options.rounds))
        finally:
            gateway.stdin.close()


if __name__ == "__main__":
    main()
