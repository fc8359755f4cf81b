"""When tokens are fetched, and with which a retry is sent (P6)."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from payroc_async import errors as e
from payroc_async.config import Environment, RetryPolicy, Timeouts
from payroc_async.http import token as token_module
from payroc_async.http.token import TokenManager
from payroc_async.http.transport import Transport
from payroc_async.wire.protocol import (
    Request,
    Token,
    decipher_success,
)
from tests.conftest import EAGER, QUICK, UNIT

LONG = 10.0
"""Seconds; a wait that no test waits for."""


async def test_p6_a_retry_bears_the_token_of_its_own_time() -> None:
    """A token that was renewed while a retry waited is the one that the retry sends."""
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"503 Unavailable", b"200 OK"):
            sent.append(await reader.readuntil(b"\r\n\r\n"))
            bearer.token = "renewed"
            writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    class Bearer:
        token = "first"

        def at_hand(self) -> str:
            return self.token

        async def get(self) -> str:
            return self.token

        def reject(self, token: str) -> None:
            raise AssertionError(token)

    bearer = Bearer()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")
    transport = Transport(environment, timeouts=QUICK, retries=EAGER)
    transport.token_provider = bearer
    await transport.open()
    try:
        await transport.call(Request("GET", "/any"), decipher_success)
    finally:
        await transport.close()
        server.close()
        await server.wait_closed()
    assert [b"Bearer first" in head for head in sent] == [True, False]
    assert b"Bearer renewed" in sent[1]


async def test_p6_the_pause_after_failed_fetches_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure in a row is given to the backoff with its number, and a success ends the row."""
    numbers: list[int] = []

    def delay(error: BaseException, attempt: int, policy: RetryPolicy) -> float:
        numbers.append(attempt)
        return 0.0

    async def authorize(api_key: str) -> Token:
        if len(numbers) == 3 and not succeeded:
            succeeded.append(True)
            return Token("token", 3600.0)
        raise e.TransportError("down", request_sent=False)

    succeeded: list[bool] = []
    monkeypatch.setattr(token_module, "backoff_delay", delay)
    policy = RetryPolicy(initial=UNIT / 10)
    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
    keeper.start()
    try:
        assert await keeper.get() == "token"
        assert numbers == [1, 2, 3]
        keeper.reject("token")
        async with asyncio.timeout(100 * UNIT):
            while len(numbers) < 5:
                await asyncio.sleep(UNIT / 4)
        assert numbers[:5] == [1, 2, 3, 1, 2]
    finally:
        await keeper.stop()


async def test_p6_a_failure_that_was_overcome_is_not_told_of_a_later_trouble() -> None:
    """When no token comes, the cause is what went wrong since the last one, not before it."""
    answers: list[Exception | Token] = [
        e.TransportError("down", request_sent=False),
        Token("token", 3600.0),
    ]

    async def authorize(api_key: str) -> Token:
        if not answers:
            await asyncio.sleep(LONG)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=10 * UNIT), retries=EAGER)
    keeper.start()
    try:
        assert await keeper.get() == "token"
        keeper.reject("token")
        with pytest.raises(e.RequestTimeoutError) as caught:
            await keeper.get()
        assert caught.value.__cause__ is None
    finally:
        await keeper.stop()


async def test_p6_failed_fetches_keep_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the jitter comes to nothing, half of `initial` lies between two fetches."""
    times: list[float] = []

    async def authorize(api_key: str) -> Token:
        times.append(asyncio.get_running_loop().time())
        raise e.TransportError("down", request_sent=False)

    monkeypatch.setattr(token_module, "backoff_delay", lambda *given: 0.0)
    policy = RetryPolicy(initial=4 * UNIT)
    keeper = TokenManager(authorize, "key", timeouts=Timeouts(token=1.0), retries=policy)
    keeper.start()
    async with asyncio.timeout(200 * UNIT):
        while len(times) < 5:
            await asyncio.sleep(UNIT)
    await keeper.stop()
    shortest = min(later - earlier for earlier, later in pairwise(times))
    assert 2 * UNIT - UNIT / 10 <= shortest < 3 * UNIT
