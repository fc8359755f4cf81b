"""The simulator's faults: each does what it says, to the requests that it is meant for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from payroc_async.errors import ConfigurationError
from payroc_async.simulator import (
    FaultAction,
    Simulator,
    delay,
    drop_after,
    drop_before,
    edit,
    empty,
    garbage,
    hang,
    hang_after,
    html,
    huge,
    problem,
    rate_limited,
    redirect,
    revoke_token,
    status,
    truncated,
    wrong_content_type,
)

from .test_simulator import BODY, SERIAL, UNIT, Caller, assert_problem, until


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    async with Simulator(hold=UNIT) as simulator:
        yield simulator
        assert simulator.violations == []


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    # aiohttp repeats a GET or DELETE on its own when the connection breaks: faults that are to be
    # seen on those are added for ever.
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        gateway.clear()
        yield made


async def assert_reset(call: Awaitable[Any]) -> None:
    """Fails unless the connection is reset by a RST, not closed in order."""
    with pytest.raises(aiohttp.ClientOSError) as caught:
        await call
    assert isinstance(caught.value, ConnectionResetError) or caught.value.errno == 104


class TestConnection:
    async def test_drop_before(self, gateway: Simulator, caller: Caller) -> None:
        """The connection is reset, and the request has no effect."""
        fault = gateway.faults.add("submit", drop_before())
        await assert_reset(caller.submit())
        assert gateway.instructions == {}
        assert fault.hits == 1
        await until(lambda: not gateway.open_requests)
        (seen,) = gateway.requests
        assert (seen.fault, seen.status) == ("drop_before", None)
        assert (await caller.submit()).status == 202

    async def test_drop_before_on_status(self, gateway: Simulator, caller: Caller) -> None:
        """A status request is dropped at once, without the hold."""
        gateway.hold = 60
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        gateway.faults.add("status", drop_before(), times=None)
        await assert_reset(caller.poll(instruction_id))

    async def test_drop_after(self, gateway: Simulator, caller: Caller) -> None:
        """The request takes effect, then the connection is reset."""
        gateway.faults.add("submit", drop_after())
        await assert_reset(caller.submit())
        (made,) = gateway.instructions.values()
        assert made.status == "completed"

    async def test_drop_after_the_hold(self, gateway: Simulator, caller: Caller) -> None:
        """A held status request is dropped after the hold."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        gateway.faults.add("status", drop_after(), times=None)
        begun = time.monotonic()
        await assert_reset(caller.poll(instruction_id))
        assert time.monotonic() - begun >= UNIT * 0.9

    async def test_hang(self, gateway: Simulator, caller: Caller) -> None:
        """No answer comes until the client goes away, and nothing happens."""
        gateway.faults.add("submit", hang())
        call = asyncio.create_task(caller.submit())
        await until(lambda: gateway.open_requests)
        await asyncio.sleep(UNIT)
        assert not call.done()
        call.cancel()
        await until(lambda: not gateway.open_requests)
        assert gateway.instructions == {}

    async def test_hang_for_a_while(self, gateway: Simulator, caller: Caller) -> None:
        """After the given time the connection is reset, and nothing has happened."""
        gateway.faults.add("submit", hang(UNIT))
        begun = time.monotonic()
        await assert_reset(caller.submit())
        assert time.monotonic() - begun >= UNIT * 0.9
        assert gateway.instructions == {}

    async def test_hang_after(self, gateway: Simulator, caller: Caller) -> None:
        """The request takes effect, and no answer comes."""
        gateway.faults.add("submit", hang_after())
        call = asyncio.create_task(caller.submit())
        await until(lambda: gateway.instructions)
        await asyncio.sleep(UNIT)
        assert not call.done()
        call.cancel()
        await until(lambda: not gateway.open_requests)

    async def test_delay(self, gateway: Simulator, caller: Caller) -> None:
        """The request takes effect late, and is answered."""
        gateway.faults.add("submit", delay(UNIT))
        begun = time.monotonic()
        assert (await caller.submit()).status == 202
        assert time.monotonic() - begun >= UNIT * 0.9

    async def test_delayed_and_given_up(self, gateway: Simulator, caller: Caller) -> None:
        """A request whose client goes away during the delay has no effect."""
        gateway.faults.add("submit", delay(60))
        call = asyncio.create_task(caller.submit())
        await until(lambda: gateway.open_requests)
        call.cancel()
        await until(lambda: not gateway.open_requests)
        assert gateway.instructions == {}

    async def test_stop_during_a_fault(self, gateway: Simulator, caller: Caller) -> None:
        """A hanging request does not keep the gateway from stopping."""
        gateway.faults.add("submit", hang())
        call = asyncio.create_task(caller.submit())
        await until(lambda: gateway.open_requests)
        begun = time.monotonic()
        await gateway.stop()
        assert time.monotonic() - begun < 0.5
        await assert_reset(call)


class TestAnswers:
    @pytest.mark.parametrize("effect", [False, True])
    async def test_status(self, gateway: Simulator, caller: Caller, effect: bool) -> None:
        """Any status, body and headers can be the answer, with or without an effect."""
        gateway.faults.add(
            "submit", status(503, body=b"<p>", headers={"X-Proxy": "1"}, effect=effect)
        )
        reply = await caller.submit()
        assert (reply.status, reply.data) == (503, b"<p>")
        assert reply.headers["Content-Type"] == "text/html"
        assert reply.headers["X-Proxy"] == "1"
        assert len(gateway.instructions) == effect

    @pytest.mark.parametrize("effect", [False, True])
    async def test_problem(self, gateway: Simulator, caller: Caller, effect: bool) -> None:
        """Any problem document can be the answer, with or without an effect."""
        errors = [{"parameter": "order.amount", "detail": "No.", "message": "no"}]
        gateway.faults.add(
            "submit",
            problem(
                400,
                "capabilities-missing",
                detail="Not here.",
                errors=errors,
                headers={"X-Proxy": "1"},
                effect=effect,
            ),
        )
        reply = await caller.submit()
        assert_problem(reply, 400, "capabilities-missing")
        assert reply.json["detail"] == "Not here."
        assert reply.json["errors"] == errors
        assert reply.headers["X-Proxy"] == "1"
        assert len(gateway.instructions) == effect

    @pytest.mark.parametrize(
        ("fault", "code", "kind"),
        [
            (html(), 200, "text/html"),
            (html(502), 502, "text/html"),
            (garbage(), 200, "application/json"),
            (empty(), 200, "application/json"),
            (empty(202), 202, "application/json"),
            (rate_limited(), 429, "text/html"),
        ],
    )
    async def test_at_once(
        self, gateway: Simulator, caller: Caller, fault: FaultAction, code: int, kind: str
    ) -> None:
        """What a proxy would answer comes at once, without effect, hold or JSON."""
        gateway.hold = 60
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        gateway.faults.add("status", fault)
        reply = await caller.poll(instruction_id)
        assert (reply.status, reply.json) == (code, None)
        assert reply.headers["Content-Type"] == kind
        assert bool(reply.data) == (fault.kind in ("html", "garbage"))

    @pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2026 07:28:00 GMT"])
    async def test_rate_limited(self, gateway: Simulator, caller: Caller, retry_after: str) -> None:
        """A 429 carries its Retry-After as it was given."""
        gateway.faults.add("any", rate_limited(retry_after))
        assert (await caller.submit()).headers["Retry-After"] == retry_after
        gateway.faults.add("any", rate_limited())
        assert "Retry-After" not in (await caller.submit()).headers

    async def test_redirect(self, gateway: Simulator, caller: Caller) -> None:
        """A redirect leads elsewhere, and nothing happens."""
        gateway.faults.add("submit", redirect("https://example.com/"))
        reply = await caller.submit()
        assert (reply.status, reply.headers["Location"]) == (307, "https://example.com/")
        assert gateway.instructions == {}

    async def test_truncated(self, gateway: Simulator, caller: Caller) -> None:
        """The request takes effect, and its answer ends too soon."""
        gateway.faults.add("submit", truncated())
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.submit()
        assert len(gateway.instructions) == 1
        (seen,) = gateway.requests
        assert seen.status == 202

    async def test_truncated_cancellation(self, gateway: Simulator, caller: Caller) -> None:
        """The answer to a cancellation can be truncated as well."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        gateway.faults.add("cancel", truncated())
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.cancel(instruction_id)
        assert gateway.instructions[instruction_id].status == "canceled"

    async def test_wrong_content_type(self, gateway: Simulator, caller: Caller) -> None:
        """The request takes effect, and the right answer comes as plain text."""
        gateway.faults.add("submit", wrong_content_type())
        reply = await caller.submit()
        assert (reply.status, reply.headers["Content-Type"]) == (202, "text/plain")
        assert next(iter(gateway.instructions)).encode() in reply.data

    async def test_huge(self, gateway: Simulator, caller: Caller) -> None:
        """The answer is as long as was asked for, to the byte, and does not say so before."""
        gateway.faults.add("payment", huge(100_000))
        reply = await caller.get("/v1/payments/x")
        assert (reply.status, len(reply.data)) == (200, 100_000)
        assert "Content-Length" not in reply.headers

    async def test_huge_and_given_up(self, gateway: Simulator, caller: Caller) -> None:
        """A client need not read all of it."""
        gateway.faults.add("payment", huge())
        url = f"{gateway.url}/v1/payments/x"
        async with caller.session.get(url, headers=caller.bearer()) as answer:
            await answer.content.read(10)
            answer.close()
        await until(lambda: not gateway.open_requests)

    async def test_edit(self, gateway: Simulator, caller: Caller) -> None:
        """The JSON of an answer can be rewritten after the request took effect."""

        def without_link(document: dict[str, Any]) -> object:
            del document["link"]
            return {**document, "status": "novel"}

        gateway.faults.add("submit", edit(without_link))
        reply = await caller.submit()
        (instruction_id,) = gateway.instructions
        assert reply.status == 202
        assert reply.json == {"status": "novel", "paymentInstructionId": instruction_id}

    async def test_edit_after_the_hold(self, gateway: Simulator, caller: Caller) -> None:
        """A status request is held before its answer is rewritten."""
        gateway.hold = 60
        gateway.device(SERIAL).approves(after=UNIT)
        instruction_id = await caller.start()
        gateway.faults.add("status", edit(lambda document: [document["status"]]))
        assert (await caller.poll(instruction_id)).json == ["completed"]

    async def test_edit_nothing(self, gateway: Simulator, caller: Caller) -> None:
        """An answer without a body stays as it is."""
        gateway.device(SERIAL).never_finishes()
        instruction_id = await caller.start()
        gateway.faults.add("cancel", edit(lambda document: {}))
        reply = await caller.cancel(instruction_id)
        assert (reply.status, reply.data) == (204, b"")

    async def test_revoke_token(self, gateway: Simulator, caller: Caller) -> None:
        """The token that the request carries is refused from then on; another is not."""
        other = Caller(gateway, caller.session)
        await other.authorize()
        gateway.faults.add("submit", revoke_token())
        assert_problem(await caller.submit(), 401, "not-authorized")
        assert_problem(await caller.submit(), 401, "not-authorized")
        assert (await other.submit()).status == 202


class TestWhichRequests:
    @pytest.mark.parametrize("on", ["authorize", "submit", "status", "cancel", "payment", "other"])
    async def test_kinds(self, gateway: Simulator, caller: Caller, on: str) -> None:
        """A fault strikes the kind of request that it was added for, and no other."""
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "authorize": caller.authorize,
            "submit": caller.submit,
            "status": lambda: caller.poll("x"),
            "cancel": lambda: caller.cancel("x"),
            "payment": lambda: caller.get("/v1/payments/x"),
            "other": lambda: caller.get("/v1/nothing"),
        }
        gateway.faults.add(on, status(599), times=None)
        struck = {kind for kind, call in calls.items() if (await call()).status == 599}
        assert struck == {on}
        assert [one.kind for one in gateway.requests] == list(calls)
        assert [one.fault for one in gateway.requests_of(on)] == ["status"]

    async def test_times_and_skip(self, gateway: Simulator, caller: Caller) -> None:
        """A fault lets some requests through, strikes as often as reported, and is over."""
        fault = gateway.faults.add("any", status(599), times=2, skip=1)
        seen = [(await caller.poll("x")).status for _ in range(5)]
        assert seen == [404, 599, 599, 404, 404]
        assert fault.hits == 2

    async def test_for_ever(self, gateway: Simulator, caller: Caller) -> None:
        """A fault without an end strikes until it is removed, which can be done twice."""
        fault = gateway.faults.add("any", status(599), times=None)
        assert [(await caller.poll("x")).status for _ in range(3)] == [599] * 3
        fault.remove()
        fault.remove()
        assert (await caller.poll("x")).status == 404
        assert fault.hits == 3

    async def test_one_after_another(self, gateway: Simulator, caller: Caller) -> None:
        """The first fault that strikes takes the request; the next waits its turn."""
        gateway.faults.add("status", status(598))
        gateway.faults.add("any", status(599))
        seen = [(await caller.poll("x")).status for _ in range(3)]
        assert seen == [598, 599, 404]

    async def test_clear(self, gateway: Simulator, caller: Caller) -> None:
        """Clearing removes every fault."""
        gateway.faults.add("any", status(599), times=None)
        gateway.faults.clear()
        assert (await caller.poll("x")).status == 404

    async def test_serial_number(self, gateway: Simulator, caller: Caller) -> None:
        """A fault can be meant for one device: its submits, instructions and payments."""
        fault = gateway.faults.add("any", status(599), times=None, serial_number="2")
        assert (await caller.submit(serial="2")).status == 599
        mine = await caller.start()
        payment_id = gateway.instructions[mine].payment_id
        assert (await caller.poll(mine)).status == 200
        assert (await caller.get(f"/v1/payments/{payment_id}")).status == 200
        fault.serial_number = SERIAL
        assert (await caller.submit()).status == 599
        assert (await caller.poll(mine)).status == 599
        assert (await caller.cancel(mine)).status == 599
        assert (await caller.get(f"/v1/payments/{payment_id}")).status == 599

    async def test_instruction_id(self, gateway: Simulator, caller: Caller) -> None:
        """A fault can be meant for one instruction."""
        mine, other = await caller.start(), await caller.start()
        gateway.faults.add("status", status(599), times=None, instruction_id=mine)
        assert (await caller.poll(other)).status == 200
        assert (await caller.poll(mine)).status == 599

    @pytest.mark.parametrize(
        ("on", "more", "named"),
        [("get", {}, "on"), ("any", {"times": 0}, "times"), ("any", {"skip": -1}, "skip")],
    )
    def test_nonsense(self, on: str, more: dict[str, Any], named: str) -> None:
        """A fault that could never strike is refused when it is added."""
        with pytest.raises(ConfigurationError, match=named):
            Simulator().faults.add(on, garbage(), **more)


async def test_reset_without_a_body(gateway: Simulator) -> None:
    """What the client sees at the socket is a reset, not an end of the stream."""
    gateway.faults.add("any", drop_before())
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.split(":")[-1]))
    writer.write(b"GET /v1/payments/x HTTP/1.1\r\nHost: x\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


async def test_retry_of_a_dropped_submit(gateway: Simulator, caller: Caller) -> None:
    """A submit that took effect unseen is found again under its key."""
    key = "7c0e3a3e-2f2f-4b58-9d0c-0b6a6a4f8f10"
    gateway.faults.add("submit", drop_after())
    await assert_reset(caller.submit(BODY, key=key))
    reply = await caller.submit(BODY, key=key)
    assert [reply.json["paymentInstructionId"]] == list(gateway.instructions)
