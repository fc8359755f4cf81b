"""examples/fleet: real backends behind a real nginx on a real PostgreSQL; one is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from attrs import define

from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, variables
from tests.harness.nginx import NGINX, free_port
from tests.harness.postgres import PostgresServer
from tests.harness.programs import ROOT
from tests.harness.step_canceller import until

EXAMPLE = ROOT / "examples" / "fleet"
PATIENCE = 60.0

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: nginx-light)"),
    pytest.mark.timeout(180),
]


@define
class Fleet:
    """The example as it is deployed, on ports and in a folder of the test's own."""

    url: str
    ports: list[int]
    folder: Path
    variables: dict[str, str]
    http: aiohttp.ClientSession

    async def deploy(self, step: str) -> str:
        """What the deploy script prints."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLE / "deploy.py"), step),
            env={**os.environ, **self.variables},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, self.logs()
        return output.decode()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))

    def process(self, port: int) -> int:
        return int((self.folder / f"{port}.pid").read_text())

    async def seller(self) -> int:
        """The port of the backend that runs a sale."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for port in self.ports:
                    async with self.http.get(f"http://127.0.0.1:{port}/health") as answer:
                        if (await answer.json())["selling"]:
                            return port
                await asyncio.sleep(0.05)

    async def sell(self, serial_number: str) -> dict[str, Any]:
        """The till's part, as the README has it: under one key, until there is an outcome."""
        key = str(uuid4())
        order = {"key": key, "serial_number": serial_number, "order_id": key[:24], "amount": 4999}
        send = True
        while True:
            status, said = await (self.post(order) if send else self.ask(key))
            if status == 200:
                return said
            assert status in (202, 404) or status >= 500, said
            send = status != 202
            await asyncio.sleep(0.2)

    async def post(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        async with self.http.post(f"{self.url}/sales", json=order) as answer:
            return answer.status, await answer.json() if answer.ok else {}

    async def ask(self, key: str) -> tuple[int, dict[str, Any]]:
        async with self.http.get(f"{self.url}/sales/{key}") as answer:
            return answer.status, await answer.json() if answer.ok else {}


@pytest.fixture
async def fleet(
    gateway: Simulator, postgres: PostgresServer, tmp_path: Path
) -> AsyncIterator[Fleet]:
    """Two backends behind nginx, all of them stopped at the end."""
    ports, front = [free_port(), free_port()], free_port()
    with postgres.schema() as schema:
        async with aiohttp.ClientSession() as http:
            settings = {
                **variables(gateway),
                "PAYROC_JOURNAL": f"{postgres.dsn()}?options=-csearch_path%3D{schema}",
                "PORTS": ",".join(map(str, ports)),
                "FOLDER": str(tmp_path),
                "RECOVER_EVERY": "0.5",
            }
            fleet = Fleet(f"http://127.0.0.1:{front}", ports, tmp_path, settings, http)
            nginx = await start_nginx(tmp_path, [8001, 8002, 8080], [*ports, front])
            try:
                await fleet.deploy("start")
                yield fleet
            finally:
                await fleet.deploy("stop")
                nginx.terminate()
                await nginx.wait()


async def start_nginx(
    folder: Path, documented: list[int], ports: list[int]
) -> asyncio.subprocess.Process:
    """Nginx with the example's configuration, but for the ports."""
    assert NGINX is not None
    text = (EXAMPLE / "nginx.conf").read_text(encoding="utf-8")
    for one, other in zip(documented, ports, strict=True):
        assert text.count(f"127.0.0.1:{one}") == 1
        text = text.replace(f"127.0.0.1:{one}", f"127.0.0.1:{other}")
    # As root it would give its workers to a user who can't read this folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"{user}\ndaemon off;\n{text}", encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        *(NGINX, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log")
    )


async def test_a_killed_backend_s_sale_ends_through_the_other_in_the_same_request(
    fleet: Fleet, gateway: Simulator
) -> None:
    """``kill -9`` while the device asks for a card: the till's request has the payment."""
    gateway.device(SERIAL).never_finishes()
    selling = asyncio.create_task(fleet.sell(SERIAL))
    await until(lambda: gateway.requests_of("status"), PATIENCE)
    os.kill(fleet.process(await fleet.seller()), signal.SIGKILL)
    seen = len(gateway.requests_of("status"))
    await until(lambda: len(gateway.requests_of("status")) > seen, PATIENCE)
    gateway._state.change(gateway.in_progress[0], "completed")
    outcome = await asyncio.wait_for(selling, PATIENCE)
    assert outcome["outcome"] == "approved"
    assert list(gateway.payments) == [outcome["payment"]]
    assert len(gateway.instructions) == 1


async def test_a_killed_backend_s_sale_goes_on_though_no_till_asks(
    fleet: Fleet, gateway: Simulator
) -> None:
    """The till has gone too: the other backend's recovery ends the sale, and answers later."""
    gateway.device(SERIAL).never_finishes()
    key = str(uuid4())
    order = {"key": key, "serial_number": SERIAL, "order_id": key[:24], "amount": 4999}
    posting = asyncio.create_task(fleet.post(order))
    await until(lambda: gateway.requests_of("status"), PATIENCE)
    seller = await fleet.seller()
    posting.cancel()
    await asyncio.wait([posting])
    os.kill(fleet.process(seller), signal.SIGKILL)
    seen = len(gateway.requests_of("status"))
    await until(lambda: len(gateway.requests_of("status")) > seen, PATIENCE)
    gateway._state.change(gateway.in_progress[0], "completed")
    async with asyncio.timeout(PATIENCE):
        while (answer := await fleet.ask(key))[0] != 200:
            assert answer[0] == 202
            await asyncio.sleep(0.1)
    assert answer[1] == {"outcome": "approved", "payment": next(iter(gateway.payments))}
    assert len(gateway.instructions) == 1


async def test_a_rolling_deploy_loses_no_sale(fleet: Fleet, gateway: Simulator) -> None:
    """Both backends are replaced while twelve devices sell; each sale is paid for once."""
    before = [fleet.process(port) for port in fleet.ports]
    deployed = asyncio.Event()

    async def till(serial_number: str) -> list[dict[str, Any]]:
        sold = []
        while not deployed.is_set():
            gateway.device(serial_number).approves(after=0.5)
            sold.append(await fleet.sell(serial_number))
        return sold

    tills = [asyncio.create_task(till(f"device{number}")) for number in range(12)]
    await until(lambda: len(gateway.in_progress) > 6, PATIENCE)
    output = await fleet.deploy("replace")
    deployed.set()
    sold = [one for each in await asyncio.gather(*tills) for one in each]
    assert output.count("its sales continue elsewhere") == 2
    assert not set(before) & {fleet.process(port) for port in fleet.ports}
    assert {one["outcome"] for one in sold} == {"approved"}
    assert sorted(one["payment"] for one in sold) == sorted(gateway.payments)
    assert len(gateway.instructions) == len(sold) > 12
    assert gateway.in_progress == []
