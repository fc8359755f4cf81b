"""The simulator's pages without a browser: what they serve, to whom, and what they do."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from attrs import define

from payroc_async.errors import ConfigurationError
from payroc_async.simulator import Simulator, drop_before, faults
from payroc_async.simulator.cards import CARDS, ENTRIES
from payroc_async.simulator.fault_menu import MENU, add_fault, menu_document
from payroc_async.simulator.page_routes import FILES, KEPT, Feed
from payroc_async.simulator.signatures import sample_png

from .test_simulator import BODY, SERIAL, UNIT, Caller, assert_problem, until

Json = dict[str, Any]

STATIC = files("payroc_async.simulator").joinpath("static")
TIPPED = {
    **BODY,
    "order": {
        **BODY["order"],
        "breakdown": {"subtotal": 4999, "tip": {"type": "percentage", "mode": "prompted"}},
    },
}


@pytest.fixture
async def gateway() -> AsyncIterator[Simulator]:
    async with Simulator(hold=UNIT) as simulator:
        yield simulator
        assert simulator.violations == []


@pytest.fixture
async def caller(gateway: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        made = Caller(gateway, session)
        await made.authorize()
        yield made


@define
class Page:
    """What a page in a browser is to the simulator: a WebSocket, and the last that it said."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[Json]

    async def hear(self, condition: Callable[[Json], object]) -> Json:
        """The first message that fits, of those to come."""
        async with asyncio.timeout(10):
            while True:
                said: Json = await self.socket.receive_json()
                self.heard.append(said)
                if condition(said):
                    return said

    async def send(self, **what: object) -> None:
        await self.socket.send_json(what)

    async def does(self, caller: Caller, **what: object) -> None:
        """Does something about what runs on the device now."""
        (running,) = caller.gateway.in_progress
        await self.send(instruction=running.id, **what)

    async def notice(self) -> str:
        return str((await self.hear(lambda said: "notices" in said))["notices"][0])


@asynccontextmanager
async def opened(caller: Caller, path: str = f"/device/{SERIAL}") -> AsyncIterator[Page]:
    url = f"{caller.gateway.url}{path}/socket"
    async with caller.session.ws_connect(url, origin=caller.gateway.url) as socket:
        page = Page(socket, [])
        await page.hear(lambda said: True)
        yield page


def runs(said: Json) -> Json | None:
    running: Json | None = said["device"]["running"]
    return running


async def submit(caller: Caller, collection: str, body: Json) -> None:
    headers = {**caller.bearer(), "Idempotency-Key": str(uuid.uuid4())}
    path = f"/v1/devices/{SERIAL}/{collection}"
    assert (await caller.call("POST", path, json=body, headers=headers)).status == 202


async def closed(gateway: Simulator) -> None:
    """Waits until the gateway has noticed that the device's page is gone."""
    hand = gateway.device(SERIAL).hand
    assert hand is not None
    await until(lambda: hand.pages == 0)


class TestFiles:
    async def test_the_address_is_a_new_device_each_time(
        self, gateway: Simulator, caller: Caller
    ) -> None:
        """Each tab that opens the address is another device, and none that is known already."""
        gateway.device("1850010869").declines()
        for path, serial in (("/", "1850010868"), ("/", "1850010870"), ("/device", "1850010871")):
            reply = await caller.call("GET", path)
            assert (reply.status, reply.headers["Location"]) == (302, f"/device/{serial}")
        assert set(gateway.instructions) == set()

    @pytest.mark.parametrize("path", ["/device/1850010868", "/device/a%2Fb", "/gateway"])
    async def test_pages(self, caller: Caller, path: str) -> None:
        """A page is HTML, is not kept by the browser, and may neither be framed nor load abroad."""
        reply = await caller.call("GET", path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert reply.data.startswith(b"<!DOCTYPE html>")
        assert reply.headers["Cache-Control"] == "no-store"
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy

    async def test_every_file_is_served(self, caller: Caller) -> None:
        """What lies in the package is served under its name and type, and nothing else is."""
        assert {one.name for one in STATIC.iterdir()} == set(FILES)
        for name, kind in [*FILES.items(), *FILES.items()]:  # from the disk, and kept
            reply = await caller.call("GET", f"/static/{name}")
            assert reply.headers["Content-Type"] == f"{kind}; charset=utf-8"
            assert reply.data == STATIC.joinpath(name).read_bytes()
        assert (await caller.call("GET", "/static/..%2Fpages.py")).status == 401
        assert (await caller.call("POST", "/gateway")).status == 401
        caller.gateway.clear()

    @pytest.mark.parametrize("name", FILES)
    def test_nothing_comes_from_outside(self, name: str) -> None:
        """No file names another host, nor has an inline script or style."""
        text = STATIC.joinpath(name).read_text(encoding="utf-8")
        assert set(re.findall(r"\w+://[^'\"\s)]*", text)) <= {
            "http://www.w3.org/2000/svg",  # a name, not an address
            "${location.host}${path}`",
        }
        assert not re.search(r"@import|<script>|<style|\son\w+=|\sstyle=", text)
        assert "innerHTML" not in text.replace("without innerHTML", "")

    async def test_pages_are_no_requests_to_the_gateway(
        self, gateway: Simulator, caller: Caller
    ) -> None:
        """Pages are neither recorded nor struck by faults."""
        gateway.clear()
        fault = gateway.faults.add("any", drop_before())
        await caller.call("GET", "/gateway")
        async with opened(caller):
            assert gateway.requests == []
        assert fault.hits == 0


class TestGuard:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1", 200),
            ("127.0.0.1:8080", 200),
            ("localhost:8080", 200),
            ("LOCALHOST", 200),
            ("[::1]:8080", 200),
            ("[::1]", 200),
            ("192.168.1.5:8080", 200),
            ("evil.example", 403),
            ("evil.example:8080", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost.evil.example:80", 403),
            ("", 403),
        ],
    )
    async def test_host(self, caller: Caller, host: str, status: int) -> None:
        """A name that somebody else may have bound to this address gets no page: DNS rebinding."""
        for path in ("/", "/gateway", f"/device/{SERIAL}", "/static/style.css"):
            reply = await caller.call("GET", path, headers={"Host": host})
            assert reply.status == (302 if (status, path) == (200, "/") else status)

    async def test_the_name_that_it_was_given(self) -> None:
        """A simulator that listens at a name is opened by that name."""
        async with Simulator(host="localhost") as gateway, aiohttp.ClientSession() as session:
            caller = Caller(gateway, session)
            assert (await caller.call("GET", "/gateway")).status == 200

    @pytest.mark.parametrize("path", ["/gateway/socket", f"/device/{SERIAL}/socket"])
    @pytest.mark.parametrize(
        "origin",
        [None, "null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:1", "file://"],
    )
    async def test_origin(
        self, gateway: Simulator, caller: Caller, path: str, origin: str | None
    ) -> None:
        """Another web site's page cannot open a WebSocket, and so can drive nothing."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await caller.session.ws_connect(gateway.url + path, origin=origin)
        assert caught.value.status == 403
        assert gateway.device(SERIAL).hand is None

    async def test_rebound_socket(self, gateway: Simulator, caller: Caller) -> None:
        """A rebound name is refused although its Origin is that of its Host."""
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await caller.session.ws_connect(
                f"{gateway.url}/gateway/socket",
                headers={"Host": "evil.example", "Origin": "http://evil.example"},
            )
        assert caught.value.status == 403

    async def test_what_is_no_websocket(self, caller: Caller) -> None:
        """A plain GET of the WebSocket's address gets 426."""
        assert (await caller.call("GET", "/gateway/socket")).status == 426

    async def test_no_secret_is_shown(self, gateway: Simulator, caller: Caller) -> None:
        """Neither the API key nor a token reaches a page, wherever a client may have put it."""
        gateway.api_key = "till's-own-key"
        await caller.authorize()
        secrets = (caller.token, gateway.api_key)
        await caller.get(f"/v1/payments/{caller.token}?x={gateway.api_key}")
        await caller.submit({**BODY, "operator": f"{caller.token} {gateway.api_key}"})
        await caller.call("POST", "/authorize", headers={"x-note": caller.token})
        async with opened(caller, "/gateway") as page:
            said = page.heard[0]
            await caller.pay()
            await page.hear(lambda said: any(one["kind"] == "payment" for one in said["requests"]))
            texts = [json.dumps(one) for one in page.heard]
            assert any('"authorization": "***"' in text for text in texts)
            assert any("access_token" in text for text in texts)
            assert all(secret not in text for secret in secrets for text in texts)
        assert len(said["violations"]) == 4
        granted = [one.answer or b"" for one in gateway.requests_of("authorize")]
        assert not any(secrets[0].encode() in answer for answer in granted)
        gateway.clear()


class TestByHand:
    @pytest.mark.parametrize("card", CARDS)
    @pytest.mark.parametrize(
        ("entry", "way"),
        [
            ("tap", "contactlessIcc"),
            ("insert", "icc"),
            ("swipe", "swiped"),
            ("keyed", "keyed"),
        ],
    )
    async def test_sale(self, caller: Caller, card: str, entry: str, way: str) -> None:
        """A sale waits for the page: for the card, and then for what the issuer says."""
        async with opened(caller) as page:
            instruction = await caller.start()
            said = await page.hear(runs)
            running = runs(said)
            assert running is not None
            assert (running["id"], running["total"], running["digits"]) == (instruction, 4999, 2)
            await page.does(caller, do="present", entry=entry, card=card)
            await page.hear(lambda said: (runs(said) or {}).get("entry") == entry)
            assert (await caller.poll(instruction)).json["status"] == "inProgress"
            await page.does(caller, do="answer", code="A")
            said = await page.hear(lambda said: runs(said) is None)
            assert said["device"]["last"]["code"] == "A"
        (payment,) = caller.gateway.payments.values()
        assert payment["transactionResult"]["authorizedAmount"] == 4999
        assert payment["card"]["entryMethod"] == way
        assert payment["card"]["cardNumber"] == CARDS[card].number
        assert bool(payment["card"]["emvTags"]) == ("icc" in way.lower())

    @pytest.mark.parametrize(
        ("answer", "code", "status", "authorized"),
        [
            ({"code": "A"}, "A", "ready", 5499),
            ({"code": "D"}, "D", "declined", 0),
            ({"code": "P", "amount": 5498}, "P", "ready", 5498),
        ],
    )
    async def test_answers(
        self, caller: Caller, answer: Json, code: str, status: str, authorized: int
    ) -> None:
        """With a tip, a sale is approved, declined, or approved in part."""
        async with opened(caller) as page:
            assert (await caller.submit(TIPPED)).status == 202
            await page.does(caller, do="tip", amount=500)
            await page.does(caller, do="present", entry="tap", card="visa")
            await page.does(caller, do="answer", **answer)
            await page.hear(lambda said: said["device"]["last"])
        (payment,) = caller.gateway.payments.values()
        result = payment["transactionResult"]
        assert (result["responseCode"], result["status"]) == (code, status)
        assert result["authorizedAmount"] == authorized
        assert payment["order"]["breakdown"]["tip"]["amount"] == 500

    async def test_signature(self, caller: Caller) -> None:
        """The picture that was drawn is the signature's, byte for byte."""
        drawn = sample_png() + b"drawn"
        async with opened(caller) as page:
            await submit(caller, "signature-instructions", {"processingTerminalId": "1234001"})
            for wrong in (b"", b"GIF89a", sample_png() + bytes(300_000)):
                await page.does(caller, do="sign", image=base64.b64encode(wrong).decode())
                assert "not a PNG image" in await page.notice()
            for nonsense in ("%", "iVBORw0KGgo==="):
                await page.does(caller, do="sign", image=nonsense)
                assert "not a PNG image" in await page.notice()
            await page.does(caller, do="sign", image=base64.b64encode(drawn).decode())
            await page.hear(lambda said: said["device"]["last"])
        (signature,) = caller.gateway.signatures
        reply = await caller.get(f"/v1/signatures/{signature}")
        assert base64.b64decode(reply.json["signature"]) == drawn

    async def test_refund(self, caller: Caller) -> None:
        """A refund is driven as a sale is, without a tip."""
        order = {**BODY["order"], "description": "Cold"}
        async with opened(caller) as page:
            await submit(caller, "refund-instructions", {**BODY, "order": order})
            await page.does(caller, do="tip", amount=1)
            assert "does not ask for a tip" in await page.notice()
            await page.does(caller, do="present", entry="insert", card="amex")
            await page.does(caller, do="answer", code="A")
            await page.hear(lambda said: said["device"]["last"])
        (refund,) = caller.gateway.refunds.values()
        assert refund["card"]["entryMethod"] == "icc"

    @pytest.mark.parametrize(
        ("method", "ways"),
        [
            (None, ["tap", "insert", "swipe", "keyed"]),
            ("deviceRead", ["tap", "insert", "swipe"]),
            ("manualEntry", ["keyed"]),
            ("deviceReadOrManualEntry", ["tap", "insert", "swipe", "keyed"]),
        ],
    )
    async def test_entry_methods(self, caller: Caller, method: str | None, ways: list[str]) -> None:
        """What the request says may be done with a card can be done, and nothing else."""
        body = BODY if method is None else {**BODY, "customizationOptions": {"entryMethod": method}}
        async with opened(caller) as page:
            await caller.submit(body)
            running = runs(await page.hear(runs))
            assert running is not None
            assert running["entries"] == ways
            for other in set(ENTRIES) - set(ways):
                await page.does(caller, do="present", entry=other, card="visa")
                assert "does not allow this entry" in await page.notice()

    @pytest.mark.parametrize(
        ("before", "what", "why"),
        [
            ([], {"do": "answer", "code": "A"}, "No card"),
            ([], {"do": "present", "entry": "tap", "card": "visa"}, "Choose a tip first"),
            ([], {"do": "tip", "amount": -1}, "at least 0"),
            ([], {"do": "tip", "amount": True}, "at least 0"),
            ([], {"do": "tip", "amount": "5"}, "at least 0"),
            ([], {"do": "sign", "image": "iVBORw0KGgo="}, "does not ask for a signature"),
            ([], {"do": "dance"}, "does not know"),
            (
                ["tip"],
                {"do": "present", "entry": "sniff", "card": "visa"},
                "does not allow this entry",
            ),
            (["tip"], {"do": "present", "entry": ["tap"], "card": {}}, "does not allow this entry"),
            (["tip", "card"], {"do": "present", "entry": "tap", "card": "visa"}, "already"),
            (["tip", "card"], {"do": "tip", "amount": 1}, "does not ask for a tip"),
            (["tip", "card"], {"do": "answer", "code": "Z"}, "not one of the answers"),
            (["tip", "card"], {"do": "answer", "code": "P", "amount": 4999}, "less than"),
            (["tip", "card"], {"do": "answer", "code": "P", "amount": 0}, "at least 1"),
            (["tip", "card"], {"do": "answer", "code": "P"}, "at least 1"),
            (["off"], {"do": "cancel"}, "offline"),
        ],
    )
    async def test_refusals(self, caller: Caller, before: list[str], what: Json, why: str) -> None:
        """What makes no sense now is said to the person, and changes nothing."""
        async with opened(caller) as page:
            await caller.submit(TIPPED)
            if "off" in before:
                await page.send(do="online", on=False)
            if "tip" in before:
                await page.does(caller, do="tip", amount=0)
            if "card" in before:
                await page.does(caller, do="present", entry="tap", card="visa")
            await page.does(caller, **what)
            assert why in await page.notice()
            assert len(caller.gateway.in_progress) == 1

    @pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"do": []}'])
    async def test_nonsense(self, caller: Caller, text: str) -> None:
        """A message that is none is answered, and the page goes on."""
        for path in (f"/device/{SERIAL}", "/gateway"):
            async with opened(caller, path) as page:
                await page.socket.send_str(text)
                assert await page.notice()
                await page.socket.send_bytes(b"\0")
                await page.socket.send_str(text)
                assert await page.notice()

    async def test_cancel_at_the_device(self, caller: Caller) -> None:
        """The red key ends the instruction in canceled, and not by the till."""
        async with opened(caller) as page:
            instruction = await caller.start()
            await page.does(caller, do="cancel")
            said = await page.hear(lambda said: said["device"]["last"])
            assert said["device"]["last"]["byTill"] is False
            assert (await caller.poll(instruction)).json["status"] == "canceled"

    async def test_cancel_from_the_till(self, caller: Caller) -> None:
        """A DELETE shows on the device, and what is done there in that moment comes too late."""
        async with opened(caller) as page:
            instruction = await caller.start()
            assert (await caller.cancel(instruction)).status == 204
            said = await page.hear(lambda said: said["device"]["last"])
            assert said["device"]["last"]["byTill"] is True
            for running in (0, 1):
                late = {"do": "cancel", "instruction": instruction}
                await page.send(**late)
                assert "instruction has ended" in await page.notice()
                assert len(caller.gateway.in_progress) == running
                # What the till sends next must not be struck by it either.
                await caller.submit()

    async def test_an_instruction_with_a_script_keeps_it(
        self, gateway: Simulator, caller: Caller
    ) -> None:
        """What a script began is not the person's, and the page says so."""
        gateway.device(SERIAL).never_finishes()
        await caller.start()
        async with opened(caller) as page:
            running = runs(page.heard[0])
            assert running is not None
            assert running["byHand"] is False
            await page.does(caller, do="cancel")
            assert "script" in await page.notice()


class TestOnlineAndOffline:
    async def test_the_script_waits(self, gateway: Simulator, caller: Caller) -> None:
        """While a page is open the script is kept; a script method after it takes over again."""
        gateway.device(SERIAL).declines()
        async with opened(caller) as page:
            await caller.cancel(await caller.start())
            await page.hear(lambda said: said["device"]["last"])
            gateway.device(SERIAL).approves()
            assert gateway.device(SERIAL).hand is not None
        await closed(gateway)
        assert_problem(await caller.submit(), 409, "cannot-be-modified")
        gateway.device(SERIAL).approves()
        assert gateway.device(SERIAL).hand is None
        for outcome in ("D", "A", "A"):
            assert (await caller.pay())["transactionResult"]["responseCode"] == outcome

    async def test_switched_off(self, caller: Caller) -> None:
        """A device that is switched off refuses what is submitted, until it comes back."""
        async with opened(caller) as page:
            await page.send(do="online", on=False)
            await page.hear(lambda said: not said["device"]["on"])
            reply = await caller.submit()
            assert_problem(reply, 409, "cannot-be-modified")
            assert reply.json["detail"] == "The device is offline."
            await page.send(do="online", on=True)
            await page.hear(lambda said: said["device"]["on"])
            assert (await caller.submit()).status == 202

    async def test_closed_in_the_midst_of_a_sale(self, gateway: Simulator, caller: Caller) -> None:
        """What runs stays in progress, nothing new is taken, and a page goes on where it was."""
        async with opened(caller) as page:
            instruction = await caller.start()
            await page.does(caller, do="present", entry="tap", card="visa")
            await page.hear(lambda said: (runs(said) or {}).get("entry"))
        await closed(gateway)
        assert (await caller.poll(instruction)).json["status"] == "inProgress"
        assert_problem(await caller.submit(), 409, "cannot-be-modified")
        async with opened(caller) as page:
            running = runs(page.heard[0])
            assert running is not None
            assert (running["id"], running["entry"]) == (instruction, "tap")
            await page.does(caller, do="answer", code="A")
            await page.hear(lambda said: said["device"]["last"])
        assert len(gateway.payments) == 1

    async def test_cancelled_while_closed(self, gateway: Simulator, caller: Caller) -> None:
        """What was canceled meanwhile is shown as such by the page that comes."""
        async with opened(caller):
            instruction = await caller.start()
        await closed(gateway)
        assert (await caller.cancel(instruction)).status == 204
        async with opened(caller) as page:
            assert page.heard[0]["device"]["last"]["byTill"] is True
            assert (await caller.submit()).status == 202

    async def test_two_pages_of_one_device(self, gateway: Simulator, caller: Caller) -> None:
        """Both show the same, and the device is there until the last has gone."""
        async with opened(caller) as first:
            async with opened(caller) as second:
                instruction = await caller.start()
                await second.does(caller, do="present", entry="tap", card="visa")
                await first.hear(lambda said: (runs(said) or {}).get("entry"))
            await first.hear(lambda said: said["device"]["pages"] == 1)
            await first.does(caller, do="answer", code="A")
            await first.hear(lambda said: said["device"]["last"])
        assert gateway.instructions[instruction].status == "completed"

    async def test_the_gateway_goes_and_comes_back(
        self, gateway: Simulator, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stopping ends every page's WebSocket at once; the sale waits for the page."""
        shutdown = web.Server.shutdown

        async def counting(server: web.Server, timeout: float | None = None) -> None:
            pages = [request.transport for request in gateway._pages._feeds.values()]
            left.extend(one for one in pages if one is not None and not one.is_closing())
            await shutdown(server, timeout)

        left: list[asyncio.Transport] = []
        monkeypatch.setattr(web.Server, "shutdown", counting)
        async with opened(caller) as page:
            instruction = await caller.start()
            await gateway.stop()
            async with asyncio.timeout(10):
                while not page.socket.closed:
                    await page.socket.receive()
        assert left == []  # no one whom the server would have had to wait for
        await closed(gateway)
        await gateway.start()
        async with opened(caller) as page:
            running = runs(page.heard[0])
            assert running is not None
            assert running["id"] == instruction


class TestOverview:
    async def test_everything_is_shown(self, gateway: Simulator, caller: Caller) -> None:
        """A page that is opened late shows scripted devices, instructions, requests and answers."""
        gateway.device(SERIAL).declines()
        gateway.device("2")
        payment = await caller.pay()
        async with opened(caller, "/gateway") as page:
            said = page.heard[0]
        assert said["whole"] is True
        assert [one["serial"] for one in said["devices"]] == [SERIAL, "2"]
        assert [one["byHand"] for one in said["devices"]] == [False, False]
        (instruction,) = said["instructions"]
        assert (instruction["code"], instruction["resource"]) == ("D", payment["paymentId"])
        assert [one["kind"] for one in said["requests"]] == [
            "authorize",
            "submit",
            "status",
            "payment",
        ]
        assert {one["instruction"] for one in said["requests"][1:]} == {instruction["id"]}
        submit, read = said["requests"][1], said["requests"][3]
        assert json.loads(submit["body"]) == BODY
        assert submit["status"] == 202
        assert json.loads(submit["answer"])["status"] == "inProgress"
        assert json.loads(read["answer"]) == payment

    async def test_changes_are_pushed(self, gateway: Simulator, caller: Caller) -> None:
        """A request is pushed as it comes and as it ends, an instruction as it changes."""
        gateway.hold = 60
        async with opened(caller, "/gateway") as page:
            gateway.device("7")
            await page.hear(lambda said: [one["serial"] for one in said["devices"]] == ["7"])
            gateway.device(SERIAL).never_finishes()
            instruction = await caller.start()
            await page.hear(lambda said: said["instructions"])
            polling = asyncio.create_task(caller.poll(instruction))
            said = await page.hear(
                lambda said: any(one["kind"] == "status" for one in said["requests"])
            )
            (held,) = [one for one in said["requests"] if one["kind"] == "status"]
            assert (held["took"], held["status"], held["answer"]) == (None, None, None)
            await caller.cancel(instruction)
            await polling
            said = await page.hear(
                lambda said: any(
                    one["number"] == held["number"] and one["status"] == 200
                    for one in said["requests"]
                )
            )
            states = [one["status"] for heard in page.heard for one in heard["instructions"]]
            assert states[-1] == "canceled"

    async def test_a_failure_and_a_long_body(self, gateway: Simulator, caller: Caller) -> None:
        """A failure says why; a body that no one would read is cut short, and says so."""
        gateway.device(SERIAL).fails("Paper out")
        await caller.submit({**BODY, "novel": "x" * 30_000})
        async with opened(caller, "/gateway") as page:
            said = page.heard[0]
        assert said["instructions"][0]["error"] == "Paper out"
        (body,) = [one["body"] for one in said["requests"] if one["kind"] == "submit"]
        assert len(body) < 21_000
        assert body.endswith("more characters")

    async def test_a_device_hears_of_itself_alone(self, gateway: Simulator, caller: Caller) -> None:
        """What other devices do is not pushed to a device's page."""
        async with opened(caller) as page:
            await caller.submit(serial="2")
            await caller.start()
            await page.hear(runs)
            assert len(page.heard) == 2
            assert {said["device"]["serial"] for said in page.heard} == {SERIAL}

    async def test_violations_and_forgetting(self, gateway: Simulator, caller: Caller) -> None:
        """What the contract forbids is shown; what is cleared is gone from the page too."""
        async with opened(caller, "/gateway") as page:
            await caller.call("POST", "/v1/devices/1/payment-instructions")
            said = await page.hear(lambda said: said["violations"])
            assert "no Idempotency-Key" in said["violations"][0]
            gateway.clear()
            said = await page.hear(lambda said: said["whole"])
            assert (said["requests"], said["violations"]) == ([], [])

    async def test_forgetting_on_a_device(self, gateway: Simulator, caller: Caller) -> None:
        """A result that is forgotten is not shown either."""
        async with opened(caller) as page:
            await caller.cancel(await caller.start())
            await page.hear(lambda said: said["device"]["last"])
            gateway.clear()
            await page.hear(lambda said: said["device"]["last"] is None)

    async def test_fault(self, gateway: Simulator, caller: Caller) -> None:
        """A fault from the page strikes what it is meant for, and is gone from the page then."""
        async with opened(caller, "/gateway") as page:
            asked = {"on": "submit", "fault": "problem", "value": "409 cannot-be-modified"}
            await page.send(do="fault", **asked, times=1, skip=1, serial=SERIAL)
            said = await page.hear(lambda said: said["faults"])
            (shown,) = said["faults"]
            assert (shown["fault"], shown["on"], shown["serial"]) == ("problem", "submit", SERIAL)
            assert (await caller.submit()).status == 202
            assert_problem(await caller.submit(), 409, "cannot-be-modified")
            said = await page.hear(lambda said: not said["faults"])
            assert any(
                one["fault"] == "problem" for heard in page.heard for one in heard["requests"]
            )

    async def test_a_fault_is_removed(self, gateway: Simulator, caller: Caller) -> None:
        """A fault is removed by the page that shows it, anyone who set it."""
        gateway.faults.add("status", faults.garbage(), times=None)
        async with opened(caller, "/gateway") as page:
            (shown,) = page.heard[0]["faults"]
            await page.send(do="unfault", number=shown["number"] + 1)
            await page.send(do="unfault", number=shown["number"])
            await page.hear(lambda said: not said["faults"])
            gateway.faults.add("submit", faults.garbage())
            await page.hear(lambda said: said["faults"])
            gateway.faults.clear()
            await page.hear(lambda said: not said["faults"])

    async def test_a_page_that_does_not_keep_up(self, gateway: Simulator) -> None:
        """It is not sent everything that it missed, but all that is, once."""
        feed = Feed(None)
        feed.whole = False
        for number in range(2 * KEPT + 1):
            feed.note(gateway.device(str(number)))
        assert feed.whole
        assert not feed.changed

    async def test_nobody_looks_on(self, gateway: Simulator, caller: Caller) -> None:
        """Without a page nothing is noted, before the first and after the last."""
        state, records = gateway._state, gateway._records
        notes = (state.note, records.note, gateway.faults.note)
        assert notes == (None, None, None)
        async with opened(caller), opened(caller, "/gateway"):
            assert None not in (state.note, records.note, gateway.faults.note)
        await until(lambda: (state.note, records.note, gateway.faults.note) == notes)
        await caller.submit(serial="3")

    async def test_what_no_client_should_send(self, gateway: Simulator, caller: Caller) -> None:
        """Bytes that are no text, and fields that no contract knows, break no page."""
        port = urlsplit(gateway.url).port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with opened(caller, "/gateway") as page, opened(caller) as device:
            writer.write(b"GET /v1/%ff HTTP/1.1\r\nHost: x\r\nX-Note: \xff\r\n\r\n")
            await page.hear(
                lambda said: any("x-note" in one["headers"] for one in said["requests"])
            )
            body = {"processingTerminalId": "1234001", "order": "none", "customizationOptions": 1}
            await submit(caller, "signature-instructions", body)
            await page.hear(lambda said: said["instructions"])
            assert runs(await device.hear(runs))
            await device.does(caller, do="sign", image=base64.b64encode(sample_png()).decode())
            await device.hear(lambda said: said["device"]["last"])
        writer.close()
        await writer.wait_closed()


class TestFaultMenu:
    def test_every_fault_is_on_it(self) -> None:
        """All faults but the one that takes a function can be injected, with words for people."""
        every = {name for name in faults.__all__ if name[0].islower()}
        assert set(MENU) == every - {"edit"}
        for one in menu_document()["faults"]:
            assert one["text"].endswith(".")
            assert bool(one["asks"]) == bool(one["example"])

    @pytest.mark.parametrize("name", MENU)
    def test_each_can_be_had(self, name: str) -> None:
        """Each is made from its example, which serves where nothing is given."""
        to = faults.Faults()
        for value in (MENU[name].example, ""):
            add_fault(to, {"on": "any", "fault": name, "value": value, "times": None, "skip": 0})
        assert [one.action.kind for one in to.waiting] == [name, name]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"fault": "edit"},
            {"fault": None},
            {"on": "lunch"},
            {"times": 0},
            {"times": "1"},
            {"skip": -1},
            {"skip": None},
            {"fault": "delay", "value": "soon"},
            {"fault": "delay", "value": "-1"},
            {"fault": "delay", "value": "nan"},
            {"fault": "status", "value": "42"},
            {"fault": "problem", "value": "bad"},
            {"fault": "redirect", "value": "http://x/\r\nX: y"},
            {"fault": "rate_limited", "value": "ä"},
        ],
    )
    def test_nonsense(self, wrong: Json) -> None:
        """What makes no sense is refused, and adds nothing."""
        to = faults.Faults()
        with pytest.raises(ConfigurationError):
            add_fault(to, {"on": "any", "fault": "hang", "times": 1, "skip": 0, **wrong})
        assert to.waiting == []


async def test_a_device_without_a_script_takes_its_time() -> None:
    """`approves_after` is how long it takes to approve; a script has its own times."""
    async with Simulator(approves_after=UNIT) as gateway, aiohttp.ClientSession() as session:
        caller = Caller(gateway, session)
        await caller.authorize()
        gateway.device("2").approves()
        assert (await caller.submit(serial="2")).status == 202
        assert gateway.in_progress == []
        await caller.start()
        (running,) = gateway.in_progress
        await until(lambda: running.status == "completed")
        assert running.changed_at - running.created_at >= UNIT * 0.9


def test_listening_everywhere_is_reached_on_loopback() -> None:
    """The address of a simulator that listens on all of them is one that a browser opens."""
    assert Simulator(host="0.0.0.0", port=8080).url == "http://127.0.0.1:8080"
    assert Simulator(host="::", port=8080).url == "http://[::1]:8080"
    assert Simulator(host="0.0.0.0", port=8080).environment
