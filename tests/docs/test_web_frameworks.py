"""The web frameworks of docs/web-frameworks.md: each opens a session, sells, and closes it."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from payroc_async.simulator import Simulator
from tests.conftest import SERIAL
from tests.harness.programs import ROOT, marked_blocks

BLOCKS = marked_blocks((ROOT / "docs" / "web-frameworks.md").read_text(encoding="utf-8"))
TARGET = f"/sales/{SERIAL}"
QUERY = "order_id=Order1&amount=4999"


@pytest.fixture
def variables(gateway: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYROC_API_KEY", gateway.api_key)
    monkeypatch.setenv("PAYROC_API_URL", gateway.environment.api_url)
    monkeypatch.setenv("PAYROC_IDENTITY_URL", gateway.environment.identity_url)
    monkeypatch.delenv("PAYROC_ENVIRONMENT", raising=False)


def program(name: str) -> dict[str, Any]:
    """The names that a page's program defines."""
    module = sys.modules[f"web_{name}"] = ModuleType(f"web_{name}")  # Litestar looks it up
    for block in ("web: shared", f"web: {name}"):
        exec(compile(BLOCKS[block], block, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[dict[str, Any]]:
    """An ASGI application between its startup and its shutdown, as a server runs it; its state."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    task = asyncio.create_task(app(scope, to_app.get, from_app.put))
    to_app.put_nowait({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}
    yield state
    to_app.put_nowait({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    await task


async def post(app: Any, state: dict[str, Any]) -> tuple[int, bytes]:
    """The status and the body of an answer to the sale's request."""
    sent: list[dict[str, Any]] = []
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": TARGET,
        "raw_path": TARGET.encode(),
        "root_path": "",
        "query_string": QUERY.encode(),
        "headers": [(b"host", b"localhost"), (b"content-length", b"0")],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
        "state": state.copy(),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize("name", ["fastapi", "litestar"])
async def test_an_asgi_framework(name: str, gateway: Simulator) -> None:
    """The session opens with the application, sells, and closes with it."""
    app = program(name)["app"]
    async with started(app) as state:
        status, body = await post(app, state)
    assert (status // 100, body.decode().strip(chr(34))) == (2, "APPROVED")
    assert len(gateway.payments) == 1


@pytest.mark.usefixtures("variables")
async def test_aiohttp(gateway: Simulator) -> None:
    """The same with aiohttp's own server."""
    async with TestClient(TestServer(program("aiohttp")["app"])) as client:
        answer = await client.post(f"{TARGET}?{QUERY}")
        assert await answer.json() == "APPROVED"
    assert len(gateway.payments) == 1


@pytest.mark.usefixtures("variables")
async def test_django(gateway: Simulator) -> None:
    """Django's application beside what answers its lifespan events."""
    conf = importlib.import_module("django.conf")
    urls = importlib.import_module("django.urls")
    if not conf.settings.configured:
        conf.settings.configure(
            ROOT_URLCONF=(), ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[], LOGGING_CONFIG=None
        )
    names = program("django")
    conf.settings.ROOT_URLCONF = (urls.path("sales/<serial_number>", names["post_sale"]),)
    async with started(names["app"]) as state:
        status, body = await post(names["app"], state)
    assert (status, body.decode().strip(chr(34))) == (200, "APPROVED")
    assert len(gateway.payments) == 1
