"""What the simulator records, and what it finds to break the contract."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest

from payroc_async.simulator import Simulator, drop_before

from .test_simulator import BODY, SERIAL, UNIT, Caller, until

SUBMIT = f"/v1/devices/{SERIAL}/payment-instructions"


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    async with Simulator(hold=60) as simulator:
        yield simulator


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


class TestRecords:
    async def test_a_sale(self, gateway: Simulator, caller: Caller) -> None:
        """A sale is recorded request by request, and breaks nothing."""
        gateway.device(SERIAL).approves(after=UNIT)
        await caller.pay()
        assert [one.kind for one in gateway.requests] == [
            "authorize",
            "submit",
            "status",
            "payment",
        ]
        (made,) = gateway.instructions
        assert [one.instruction_id for one in gateway.requests] == [None, made, made, made]
        assert [one.status for one in gateway.requests] == [200, 202, 200, 200]
        assert gateway.violations == []
        assert gateway.open_requests == []

    async def test_one_request(self, gateway: Simulator, caller: Caller) -> None:
        """A record shows the request as sent, and when it began and ended."""
        before = time.monotonic()
        await caller.submit()
        (seen,) = gateway.requests_of("submit")
        assert (seen.method, seen.path, seen.query) == ("POST", SUBMIT, "")
        assert seen.headers["content-type"] == "application/json"
        assert b"OrderRef6543" in seen.body
        assert seen.ended is not None
        assert before <= seen.started <= seen.ended <= time.monotonic()
        assert seen.fault is None

    async def test_query(self, gateway: Simulator, caller: Caller) -> None:
        """The query is recorded apart from the path."""
        await caller.get("/v1/payments?limit=10")
        seen = gateway.requests[-1]
        assert (seen.kind, seen.path, seen.query) == ("search", "/v1/payments", "limit=10")

    async def test_secrets_are_masked(self, gateway: Simulator, caller: Caller) -> None:
        """No record shows the API key or a token."""
        await caller.submit()
        authorize, submit = gateway.requests
        assert authorize.headers["x-api-key"] == "***"
        assert submit.headers["authorization"] == "***"
        assert caller.token not in repr(gateway.requests)
        assert gateway.api_key not in repr(gateway.requests)

    async def test_open_requests(self, gateway: Simulator, caller: Caller) -> None:
        """A held request is open, even after the records were cleared."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        poll = asyncio.create_task(caller.poll(instruction_id))
        await until(lambda: gateway.open_requests)
        gateway.clear()
        (held,) = gateway.open_requests
        assert (held.kind, held.ended, held.status) == ("status", None, None)
        await caller.cancel(instruction_id)
        await poll
        assert gateway.open_requests == []

    async def test_clear(self, gateway: Simulator, caller: Caller) -> None:
        """Clearing forgets what has ended; devices, tokens and running instructions stay."""
        key = str(uuid.uuid4())
        await caller.submit(key=key)
        device = gateway.device("2").never_finishes()
        running = await caller.start("2")
        gateway.violations.append("anything")
        gateway.clear()
        assert gateway.requests == []
        assert gateway.violations == []
        assert gateway.payments == {}
        assert list(gateway.instructions) == [running]
        assert gateway.device("2") is device
        assert (await caller.submit(serial="2")).status == 409
        assert (await caller.submit(key=key)).status == 202
        assert len(gateway.instructions) == 2


async def raw(caller: Caller, method: str, path: str, **more: Any) -> list[str]:
    """The violations that one request makes."""
    caller.gateway.violations.clear()
    await caller.call(method, path, **more)
    return caller.gateway.violations


class TestViolations:
    async def test_no_key(self, caller: Caller) -> None:
        """A POST to the API needs an Idempotency-Key."""
        (said,) = await raw(caller, "POST", SUBMIT, json=BODY, headers=caller.bearer())
        assert said == f"POST {SUBMIT} has no Idempotency-Key."

    @pytest.mark.parametrize(
        "key",
        [
            "1",
            "7c0e3a3e-2f2f-1b58-9d0c-0b6a6a4f8f10",
            "7c0e3a3e-2f2f-4b58-7d0c-0b6a6a4f8f10",
            "7c0e3a3e2f2f4b589d0c0b6a6a4f8f10",
        ],
    )
    async def test_no_uuid4(self, caller: Caller, key: str) -> None:
        """An Idempotency-Key has to be a UUID v4."""
        headers = {**caller.bearer(), "Idempotency-Key": key}
        (said,) = await raw(caller, "POST", SUBMIT, json=BODY, headers=headers)
        assert "not a UUID v4" in said

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/payment-instructions/x"),
            ("DELETE", "/v1/payment-instructions/x"),
            ("GET", "/v1/payments/x"),
            ("POST", "/authorize"),
        ],
    )
    async def test_key_where_none_belongs(self, caller: Caller, method: str, path: str) -> None:
        """An Idempotency-Key which only the API's POSTs take."""
        (said,) = await raw(caller, method, path, headers={"Idempotency-Key": str(uuid.uuid4())})
        assert "belongs to what changes something" in said

    @pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
    async def test_content_type(self, gateway: Simulator, caller: Caller, kind: str) -> None:
        """A POST has to be application/json, and is refused otherwise."""
        headers = {
            **caller.bearer(),
            "Idempotency-Key": str(uuid.uuid4()),
            "Content-Type": kind,
        }
        (said,) = await raw(caller, "POST", SUBMIT, data=b"{}", headers=headers)
        assert "Content-Type" in said
        assert gateway.requests[-1].status == 415

    async def test_same_key_with_other_bytes(self, gateway: Simulator, caller: Caller) -> None:
        """A key belongs to one request."""
        key = str(uuid.uuid4())
        await caller.submit(key=key)
        assert gateway.violations == []
        await caller.submit({**BODY, "operator": "John"}, key=key)
        (said,) = gateway.violations
        assert "was used with a different request" in said

    async def test_token_on_authorize(self, gateway: Simulator, caller: Caller) -> None:
        """Authorize takes the API key alone: no token, no body."""
        headers = {"x-api-key": gateway.api_key, **caller.bearer()}
        (said,) = await raw(caller, "POST", "/authorize", headers=headers)
        assert "carries a token" in said
        (said,) = await raw(
            caller, "POST", "/authorize", data=b"{}", headers={"x-api-key": gateway.api_key}
        )
        assert "has a body" in said

    async def test_api_key_on_the_api(self, gateway: Simulator, caller: Caller) -> None:
        """The API key which only authorize takes."""
        headers = {"x-api-key": gateway.api_key, **caller.bearer()}
        (said,) = await raw(caller, "GET", "/v1/payments/x", headers=headers)
        assert "which only authorize takes" in said

    @pytest.mark.parametrize("api_key", ["simulator-key", "a/b c+d"])
    async def test_secret_in_url(self, gateway: Simulator, caller: Caller, api_key: str) -> None:
        """Neither the API key nor a token may be in a URL, and the sentence does not repeat it."""
        gateway.api_key = api_key
        for secret, name in ((caller.token, "a token"), (api_key, "the API key")):
            for url in ("/v1/payments/{}", "/v1/payments?x={}"):
                quoted = "".join(f"%{byte:02x}" for byte in secret.encode())
                (said,) = await raw(caller, "GET", url.format(quoted), headers=caller.bearer())
                assert f"has {name} in its URL" in said
                assert secret not in said

    async def test_secret_in_body(self, gateway: Simulator, caller: Caller) -> None:
        """Neither the API key nor a token may be in a body."""
        for secret, name in ((caller.token, "a token"), (gateway.api_key, "the API key")):
            gateway.clear()
            await caller.submit({**BODY, "operator": secret})
            (said,) = gateway.violations
            assert f"has {name} in its body" in said

    async def test_empty_api_key(self, gateway: Simulator, caller: Caller) -> None:
        """An empty API key is not found everywhere."""
        gateway.api_key = ""
        assert await raw(caller, "GET", "/v1/payments/x", headers=caller.bearer()) == []

    async def test_a_request_that_faults(self, gateway: Simulator, caller: Caller) -> None:
        """A violation is seen even if a fault strikes the request."""
        gateway.faults.add("submit", drop_before())
        with pytest.raises(aiohttp.ClientConnectionError):
            await raw(caller, "POST", SUBMIT, json=BODY, headers=caller.bearer())
        (said,) = gateway.violations
        assert "no Idempotency-Key" in said

    async def test_each_is_a_sentence(self, gateway: Simulator, caller: Caller) -> None:
        """Several violations of one request are all reported, a sentence each."""
        headers = {"x-api-key": gateway.api_key, **caller.bearer(), "Content-Type": "text/plain"}
        said = await raw(caller, "POST", SUBMIT, data=gateway.api_key.encode(), headers=headers)
        assert len(said) == 4
        assert all(re.fullmatch(r"[A-Z][^\n]+\.", one) for one in said)


class TestOverlap:
    async def start(self, gateway: Simulator, caller: Caller) -> str:
        gateway.device(SERIAL).never_finishes()
        return await caller.start()

    def has_seen(self, gateway: Simulator, polls: int) -> bool:
        return len(gateway.requests_of("status")) >= polls

    async def test_overlap(self, gateway: Simulator, caller: Caller) -> None:
        """Two open status requests for one instruction break the contract, once per request."""
        instruction_id = await self.start(gateway, caller)
        polls = [asyncio.create_task(caller.poll(instruction_id)) for _ in range(2)]
        await until(lambda: gateway.violations)
        await caller.cancel(instruction_id)
        await asyncio.gather(*polls)
        (said,) = gateway.violations
        assert "another status request" in said

    async def test_overlap_that_ends_in_an_answer(self, gateway: Simulator, caller: Caller) -> None:
        """An overlap counts though the older request is answered before it is judged."""
        instruction_id = await self.start(gateway, caller)
        polls = [asyncio.create_task(caller.poll(instruction_id)) for _ in range(2)]
        await until(lambda: len(gateway.open_requests) == 2)
        assert gateway.violations == []
        gateway.instructions[instruction_id].change("canceled")
        await asyncio.gather(*polls)
        assert len(gateway.violations) == 1

    async def test_one_after_another(self, gateway: Simulator, caller: Caller) -> None:
        """A request sent after the answer to the last is as it should be."""
        gateway.hold = 0
        instruction_id = await self.start(gateway, caller)
        for _ in range(20):
            await caller.poll(instruction_id)
        assert gateway.violations == []

    async def test_other_instruction(self, gateway: Simulator, caller: Caller) -> None:
        """Status requests for different instructions may overlap."""
        gateway.device("2").never_finishes()
        ids = [await self.start(gateway, caller), await caller.start("2")]
        polls = [asyncio.create_task(caller.poll(one)) for one in ids]
        await until(lambda: len(gateway.open_requests) == 2)
        for one in ids:
            await caller.cancel(one)
        await asyncio.gather(*polls)
        assert gateway.violations == []

    async def test_given_up_first(self, gateway: Simulator, caller: Caller) -> None:
        """A request sent right after the last one's connection was closed does not overlap."""
        instruction_id = await self.start(gateway, caller)
        # Two idle connections, so that the next request needs no new one and so loses no time.
        await asyncio.gather(caller.authorize(), caller.authorize())
        for number in range(1, 21):
            poll = asyncio.create_task(caller.poll(instruction_id))
            await until(partial(self.has_seen, gateway, number))
            poll.cancel()
            with pytest.raises(asyncio.CancelledError):
                await poll
        await caller.cancel(instruction_id)
        assert gateway.violations == []

    @pytest.mark.parametrize("answered", [False, True])
    async def test_given_up_unnoticed(
        self, gateway: Simulator, caller: Caller, answered: bool
    ) -> None:
        """A close that the server has yet to read makes no overlap, even if it answers first."""
        instruction_id = await self.start(gateway, caller)
        port = int(gateway.url.rpartition(":")[2])
        head = (
            f"GET /v1/payment-instructions/{instruction_id} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {caller.token}\r\n\r\n"
        ).encode()
        old, new = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        old[1].write(head)
        await until(lambda: gateway.open_requests)
        (first,) = gateway.open_requests
        new[1].write(head)
        if answered:
            await until(lambda: len(gateway.open_requests) == 2)
            gateway.instructions[instruction_id].change("canceled")
        # In one turn of the loop with what came before: whichever the server reads first.
        old[1].close()
        await until(lambda: len(gateway.requests_of("status")) == 2 and first.ended)
        assert (first.status == 200) is answered
        await asyncio.sleep(2 * UNIT)
        await caller.cancel(instruction_id)
        new[1].close()
        await asyncio.gather(old[1].wait_closed(), new[1].wait_closed())
        assert gateway.violations == []
