"""A connection over TLS: whom it trusts, and how it ends when it is given up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trustme

from payroc_async import errors as e
from payroc_async.config import Environment
from payroc_async.http.transport import Transport
from payroc_async.wire.protocol import decipher_success
from tests.conftest import UNIT
from tests.harness.wire import GET, OK, ONCE, make

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"


class MiddleBox:
    """A TLS server behind a box that forwards its bytes.

    A deaf box forwards none of the client's: it only waits for the end of its connection, and no
    goodbye reaches the server.
    """

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.answer = OK
        self.heads: list[bytes] = []
        self.deaf = False
        self.gone = asyncio.Event()
        """The client's connection has ended, not only said goodbye."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._box = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        base = f"https://127.0.0.1:{self._box.sockets[0].getsockname()[1]}"
        self.environment = Environment(api_url=base + "/v1", identity_url=base + "/authorize")

    async def stop(self) -> None:
        self._box.close()
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    def _note(self, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._note(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answer)
            await reader.read()
        writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._note(writer)
        address = self._server.sockets[0].getsockname()
        answers, requests = await asyncio.open_connection(*address)
        self._note(requests)
        back = asyncio.create_task(self._copy(answers, writer), name="answers")
        with suppress(OSError):
            while data := await reader.read(65_536):
                if not self.deaf:
                    requests.write(data)
        self.gone.set()
        requests.transport.abort()
        writer.transport.abort()
        await asyncio.wait((back,))

    async def _copy(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await answers.read(65_536):
                writer.write(data)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def box(authority: trustme.CA) -> AsyncIterator[MiddleBox]:
    box = MiddleBox(authority.issue_cert("127.0.0.1"))
    await box.start()
    yield box
    await box.stop()


async def opened(box: MiddleBox, trust: ssl.SSLContext | None) -> Transport:
    transport = make(box.environment, ssl=trust, retries=ONCE)
    await transport.open()
    return transport


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


async def test_p7_whom_nobody_vouches_for_gets_no_token(box: MiddleBox) -> None:
    """By default a server's certificate is checked, before anything is sent."""
    transport = await opened(box, None)
    with pytest.raises(e.TransportError, match="certificate") as caught:
        await transport.call(GET, decipher_success)
    await transport.close()
    assert not caught.value.request_sent
    assert box.heads == []


async def test_a_tls_context_says_whom_to_trust(box: MiddleBox, authority: trustme.CA) -> None:
    """Who trusts an authority of his own reaches its servers with `ssl`."""
    transport = await opened(box, trusting(authority))
    await transport.call(GET, decipher_success)
    await transport.close()
    await box.gone.wait()
    assert len(box.heads) == 1


@pytest.mark.parametrize("answer", [b"", BEGUN], ids=["no answer", "half an answer"])
async def test_p2_over_tls_a_call_that_is_given_up_waits_for_no_goodbye(
    box: MiddleBox, authority: trustme.CA, answer: bytes
) -> None:
    """Its connection ends with it, also where the other side never says goodbye."""
    transport = await opened(box, trusting(authority))
    box.answer = answer
    task = asyncio.create_task(transport.call(GET, decipher_success))
    while not box.heads and not task.done():
        await asyncio.sleep(0)
    await asyncio.sleep(UNIT)  # the half of the answer is there
    assert not task.done()
    box.deaf = True
    task.cancel()
    await asyncio.wait((task,))
    async with asyncio.timeout(1.0):
        await box.gone.wait()
    await transport.close()


async def test_p2_over_tls_what_has_switched_protocols_waits_for_no_goodbye(
    box: MiddleBox, authority: trustme.CA
) -> None:
    """Its end is never seen: the connection ends as soon as the answer is read."""
    transport = await opened(box, trusting(authority))
    box.answer = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    task = asyncio.create_task(transport.call(GET, decipher_success))
    while not box.heads and not task.done():
        await asyncio.sleep(0)
    box.deaf = True
    await asyncio.wait((task,))
    assert isinstance(task.exception(), e.PayrocError)
    async with asyncio.timeout(1.0):
        await box.gone.wait()
    await transport.close()
