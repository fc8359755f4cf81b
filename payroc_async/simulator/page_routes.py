"""The simulator's pages: payment devices to operate by hand, and an overview of the gateway.

``/`` opens a new device, ``/device/{serialNumber}`` a given one, ``/gateway`` the overview. Each
page has a WebSocket for updates and for the operator's actions. Unlike server-sent events, a
WebSocket does not count toward a browser's limit of six connections per host, so more than six tabs
work.

All actions go through the WebSocket. To keep other web sites out, the Host must be an IP address,
``localhost`` or the simulator's configured host, which no rebound DNS name is, and the WebSocket's
Origin must be that of the page.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

import orjson
from aiohttp import WSMsgType, web
from attrs import define, field

from payroc_async.errors import ConfigurationError
from payroc_async.models.amount import digits_after_point

from .device_page import NotNow, act, connect, disconnect
from .exchange import drop
from .fault_menu import add_fault, menu_document
from .faults import Faults
from .observations import Observed, Records
from .origins import is_own_origin, is_user_host
from .simulated_devices import Device
from .simulated_instructions import SimInstruction
from .state import State
from .views import (
    Numbers,
    Scrubber,
    device_view,
    fault_view,
    instruction_view,
    request_view,
)

__all__ = ["Pages"]

Json = dict[str, Any]
Changed = SimInstruction | Device | Observed
Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FIRST_SERIAL = 1850010868
REST = 0.03
"""Seconds between two pushes: a burst of changes is sent together."""
HEARTBEAT = 20.0
"""Seconds between WebSocket pings: a vanished page is detected after one and a half intervals."""
KEPT = 200
"""How many earlier requests and instructions a new page shows."""

HTML, CSS, JS = "text/html", "text/css", "text/javascript"
FILES = {
    "device.html": HTML,
    "gateway.html": HTML,
    "style.css": CSS,
    "device.css": CSS,
    "gateway.css": CSS,
    "link.js": JS,
    "device.js": JS,
    "keys.js": JS,
    "signature.js": JS,
    "gateway.js": JS,
    "wire.js": JS,
    "log.js": JS,
    "curl.js": JS,
}
SAFE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@define(eq=False)
class Feed:
    """The pending updates of one page.

    Args:
        device: The page's device; None for the overview.

    Attributes:
        heard: The page's number of the last action that was handled. The page holds back further
            key presses until its action was handled.
    """

    device: Device | None
    heard: int = 0
    changed: dict[Changed, None] = field(factory=dict)
    notices: deque[str] = field(factory=deque)
    whole: bool = True
    wake: asyncio.Event = field(factory=asyncio.Event)

    def note(self, changed: Changed) -> None:
        """Queues this update if the page shows the object."""
        if self.device is None:
            self.changed[changed] = None
            if len(self.changed) > 2 * KEPT:
                # The page is too slow: drop old updates and keep the latest.
                self.changed.clear()
                self.whole = True
        elif isinstance(changed, Device | SimInstruction):
            if changed.serial_number != self.device.serial_number:
                return
        else:
            return
        self.wake.set()

    def notice(self, text: str) -> None:
        """Queues a message for the operator."""
        self.notices.append(text)
        self.wake.set()


class Pages:
    """Serves the pages, which operate devices and inject faults.

    Args:
        state: The gateway's state.
        records: The recorded requests.
        faults: The injected faults.
        name: The simulator's configured host.
        api_key: Returns the API key, which the pages must not show.
    """

    def __init__(
        self,
        state: State,
        records: Records,
        faults: Faults,
        *,
        name: str,
        api_key: Callable[[], str],
    ) -> None:
        self._state = state
        self._records = records
        self._faults = faults
        self._name = name
        self._api_key = api_key
        self._feeds: dict[Feed, web.BaseRequest] = {}
        self._numbers = Numbers()
        # Numbers start anew in each simulator: a page that cleared its log must not hide the new
        # ones.
        self._run = secrets.token_hex(4)
        self._serial = FIRST_SERIAL
        self._files: dict[str, bytes] = {}

    async def serve(self, request: web.BaseRequest, raw_path: str) -> web.StreamResponse | None:
        """Answers a request for a page or its files; returns None for any other request."""
        found: Answering
        match (request.method, *(unquote(part) for part in raw_path.split("/")[1:])):
            case "GET", "" | "device":
                found = self._new_device
            case "GET", "device", str(serial) if serial:
                found = self._file("device.html")
            case "GET", "device", str(serial), "socket" if serial:
                found = self._socket(serial)
            case "GET", "gateway":
                found = self._file("gateway.html")
            case "GET", "gateway", "socket":
                found = self._socket(None)
            case "GET", "static", str(name) if name in FILES:
                found = self._file(name)
            case _:
                return None
        refused = self._refuse(request)
        return await found(request) if refused is None else refused

    def drop(self) -> None:
        """Resets the connection of every page; open pages reconnect."""
        for request in list(self._feeds.values()):
            drop(request.transport)

    def refresh(self) -> None:
        """Sends every page its data anew after the gateway forgot something."""
        for feed in self._feeds:
            feed.whole = True
            feed.wake.set()

    def _refuse(self, request: web.BaseRequest) -> web.Response | None:
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not is_user_host(host, self._name):
            why = f"Open this page by an IP address, localhost or {self._name}."
        elif "Upgrade" in request.headers and not is_own_origin(origin, host):
            why = "Another web site may not operate these devices."
        else:
            return None
        return web.Response(status=403, text=why + "\n", headers=SAFE)

    async def _new_device(self, request: web.BaseRequest) -> web.StreamResponse:
        # Use a counter, not only a look-up: two tabs may be opened before either has its socket.
        while (serial := str(self._serial)) in self._state.devices:
            self._serial += 1
        self._serial += 1
        return web.Response(status=302, headers={**SAFE, "Location": f"/device/{serial}"})

    def _file(self, name: str) -> Answering:
        async def send(request: web.BaseRequest) -> web.StreamResponse:
            if name not in self._files:
                self._files[name] = await asyncio.to_thread(_read, name)
            response = web.Response(body=self._files[name], headers=SAFE)
            response.content_type, response.charset = FILES[name], "utf-8"
            return response

        return send

    def _socket(self, serial: str | None) -> Answering:
        async def talk(request: web.BaseRequest) -> web.StreamResponse:
            socket = web.WebSocketResponse(heartbeat=HEARTBEAT, compress=False)
            if not socket.can_prepare(request):
                return web.Response(status=426, text="This is a WebSocket.\n", headers=SAFE)
            # The first call reads the field table from disk.
            await asyncio.to_thread(digits_after_point, "USD")
            await socket.prepare(request)
            with self._open(serial, request) as feed:
                async with asyncio.TaskGroup() as tasks:
                    name = f"payroc-async page {serial or 'gateway'}"
                    pushing = tasks.create_task(self._push(feed, socket), name=name)
                    try:
                        async for message in socket:
                            if message.type is WSMsgType.TEXT:
                                self._hear(feed, message.data)
                    finally:
                        pushing.cancel()
            return socket

        return talk

    @contextmanager
    def _open(self, serial: str | None, request: web.BaseRequest) -> Iterator[Feed]:
        device = None if serial is None else self._state.device(serial)
        feed = Feed(device)
        self._feeds[feed] = request
        self._state.note = self._records.note = self._note
        # Faults may come from another thread.
        self._faults.note = partial(asyncio.get_running_loop().call_soon_threadsafe, self.touch)
        if device is not None:
            connect(self._state, device)
        try:
            yield feed
        finally:
            del self._feeds[feed]
            if device is not None:
                disconnect(self._state, device)
            if not self._feeds:
                # Without open pages, the gateway is as fast as without the feature.
                self._state.note = self._records.note = self._faults.note = None

    def _note(self, changed: Changed) -> None:
        for feed in self._feeds:
            feed.note(changed)

    def touch(self) -> None:
        """Refreshes the faults on the overviews."""
        for feed in self._feeds:
            feed.wake.set()

    def _hear(self, feed: Feed, text: str) -> None:
        try:
            asked = orjson.loads(text)
            if not isinstance(asked, dict):
                raise NotNow("The simulator does not understand this message.")
            if type(number := asked.get("number")) is int and feed.device is not None:
                feed.heard = number
                feed.wake.set()
            if feed.device is not None:
                act(self._state, feed.device, asked)
            elif asked.get("do") == "fault":
                add_fault(self._faults, asked)
            elif asked.get("do") == "unfault":
                for fault in list(self._faults.waiting):
                    if self._numbers.of(fault) == asked.get("number"):
                        fault.remove()
            else:
                raise NotNow("The simulator does not understand this message.")
        except (NotNow, ConfigurationError, orjson.JSONDecodeError) as wrong:
            feed.notice(str(wrong))

    async def _push(self, feed: Feed, socket: web.WebSocketResponse) -> None:
        with suppress(ConnectionError):  # the page is closed; its reader notices
            feed.wake.set()
            while True:
                await feed.wake.wait()
                feed.wake.clear()
                begun = time.monotonic()
                view = self._view(feed)
                if feed.notices:
                    view["notices"] = list(feed.notices)
                    feed.notices.clear()
                # orjson refuses lone surrogates, which a broken header is decoded to.
                await socket.send_str(json.dumps(view))
                # However much there is to show, leave most of the time to the gateway.
                await asyncio.sleep(max(REST, 4 * (time.monotonic() - begun)))

    def _view(self, feed: Feed) -> Json:
        if feed.device is not None:
            return {"device": device_view(self._state, feed.device), "heard": feed.heard}
        whole, feed.whole = feed.whole, False
        changed, feed.changed = list(feed.changed), {}
        view: Json = {"whole": whole}
        if whole:
            # The full data includes the changes.
            known = list(self._state.instructions.values())[-KEPT:]
            changed = [*self._state.devices.values(), *known, *self._records.requests[-KEPT:]]
            view["menu"], view["run"] = menu_document(), self._run
        scrub = Scrubber(self._api_key())
        touched = {one.serial_number: None for one in changed if not isinstance(one, Observed)}
        view["devices"] = [
            device_view(self._state, self._state.devices[serial]) for serial in touched
        ]
        view["instructions"] = [
            instruction_view(self._state, one) for one in changed if isinstance(one, SimInstruction)
        ]
        view["requests"] = [
            request_view(self._numbers.of(one), one, scrub)
            for one in changed
            if isinstance(one, Observed)
        ]
        view["faults"] = [fault_view(self._numbers.of(one), one) for one in self._faults.waiting]
        view["violations"] = [scrub.text(one) for one in self._records.violations[-KEPT:]]
        return view


def _read(name: str) -> bytes:
    return files("payroc_async.simulator").joinpath("static", name).read_bytes()
