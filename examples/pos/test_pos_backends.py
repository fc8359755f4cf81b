"""Both backends as processes of their own: over HTTP, and through the end of one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from conftest import DEVICE, in_state
from server import BACKENDS, free_port, running

from payroc_async.simulator import Device
from payroc_async.testing import PayrocGateway

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


async def test_a_day(
    backend: str, environ: dict[str, str], payroc_gateway: PayrocGateway, payroc_device: Device
) -> None:
    """A sale by two clicks, what is refused, a cancellation, and one that comes too late."""
    payroc_device.never_finishes().completes_on_cancel()
    async with running(backend, environ, free_port()) as server:
        async with server.http.get(server.url) as answer:
            assert str(answer.url.query["order"]).startswith("T-")
            assert "<title>Till</title>" in await answer.text()
        clicks = await asyncio.gather(*(server.sell("T-1", "49.99", DEVICE) for _ in range(3)))
        assert {code for code, _ in clicks} == {202}
        for name, price, device, code, why in [
            ("T-2", "5", DEVICE, 409, "already runs"),
            ("T-1", "5", DEVICE, 409, "comes to 49.99 USD"),
            ("T-2", "much", DEVICE, 400, "amount"),
            ("T-2", "5", "", 400, "serial_number"),
        ]:
            answered, said = await server.sell(name, price, device)
            assert (answered, why in said["detail"]) == (code, True)
        code, _ = await server.ask("PUT", "/orders/T-2/sales/1", {"price": "5"})
        assert code in (400, 422)
        assert (await server.ask("DELETE", "/orders/T-2/sales/1"))[0] == 409
        assert (await server.ask("DELETE", "/orders/T-1/sales/1"))[0] == 202
        order = await server.shown("T-1", in_state("unpaid"))
        assert order["sales"][0]["outcome"] == "no payment"
        await server.sell("T-3", "7", DEVICE)
        await payroc_gateway.wait_for_instruction(DEVICE)
        await server.ask("DELETE", "/orders/T-3/sales/1")
        order = await server.shown("T-3", in_state("paid"))
        assert "CUSTOMER COPY" in order["sales"][0]["receipt"]
        assert await server.ask("GET", "/orders/T-3") == (200, order)
    assert payroc_gateway.amounts_on(DEVICE) == [4999, 700]


async def test_ctrl_c(
    backend: str,
    environ: dict[str, str],
    payroc_gateway: PayrocGateway,
    payroc_device: Device,
    tmp_path: Path,
) -> None:
    """Ctrl-C ends the backend without a traceback, with a page open and a sale in progress."""
    payroc_device.never_finishes()
    log = tmp_path / "backend.log"
    with log.open("wb") as file:
        async with running(backend, environ, free_port(), log=file) as server:
            await server.sell("T-1", "49.99", DEVICE)
            watching = asyncio.create_task(server.shown("T-1", in_state("paid")))
            await payroc_gateway.wait_for_instruction(DEVICE)
            await server.end(signal.SIGINT)
            with pytest.raises(AssertionError, match="ended"):
                await watching
            assert server.process.returncode == 0
    assert "Traceback" not in log.read_text()
    # As after SIGTERM, the sale goes on: the next process has its outcome.
    payroc_gateway.may_stay_in_progress(DEVICE)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_ended_in_the_midst_of_a_sale(
    backend: str,
    end: signal.Signals,
    environ: dict[str, str],
    payroc_gateway: PayrocGateway,
    payroc_device: Device,
) -> None:
    """The sale goes on, the page's stream is no obstacle, and the next process has the payment."""
    payroc_device.approves(after=2.0)
    port = free_port()
    async with running(backend, environ, port) as server:
        watched = asyncio.create_task(server.shown("T-1", in_state("paid")))
        await server.sell("T-1", "49.99", DEVICE)
        await payroc_gateway.wait_for_instruction(DEVICE)
        await server.end(end)
        with pytest.raises(AssertionError, match="the stream has ended"):
            await watched
    async with running(backend, environ, port) as server:
        order = await server.shown("T-1", in_state("paid"))
    assert order["sales"][0]["outcome"] == "approved"
    assert payroc_gateway.amounts_on(DEVICE) == [4999]
    # Killed before it knew that the submission had arrived, it is repeated, under the same key.
    assert len(set(payroc_gateway.keys_on(DEVICE))) == 1
