"""``payroc-async simulate``: the variables it prints lead to a gateway that works."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import aiohttp
import pytest
from click.testing import CliRunner

from payroc_async import InstructionFailedError, Outcome, PayrocSession, Submitted
from payroc_async.cli.app import cli
from payroc_async.cli.background_output import CLOSE_SECONDS, MOST_LINES, BackgroundOutput
from payroc_async.cli.setup.scripts import SCRIPTS, add_script
from payroc_async.simulator import Simulator
from tests.conftest import SERIAL, sale
from tests.harness.programs import without_slow_steps


@asynccontextmanager
async def simulating(
    *options: str,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """A running ``payroc-async simulate``, and the variables that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "payroc_async", "simulate", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        printed = {}
        for _ in range(3):
            export, assignment = shlex.split((await process.stdout.readline()).decode())
            assert export == "export"
            name, _, value = assignment.partition("=")
            printed[name] = value
        yield process, printed
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_a_session_from_its_variables_works() -> None:
    """Scripted and unscripted devices do what they should; each request is a line on stderr."""
    scripts = ["--device", f"{SERIAL}=declines:0", "--device", f"{SERIAL}=fails:0"]
    async with simulating("--api-key", "till's-key", *scripts) as (
        process,
        printed,
    ):
        async with PayrocSession.from_env(printed) as session:
            payment = await session.run_sale(SERIAL, sale())
            assert payment.outcome is Outcome.DECLINED
            with pytest.raises(InstructionFailedError):
                await session.run_sale(SERIAL, sale())
            loop = asyncio.get_running_loop()
            moments = []
            payment = await session.run_sale(
                "1850010999",
                sale(),
                on_event=lambda event: moments.append((type(event), loop.time())),
            )
            assert payment.approved
            assert moments[0][0] is Submitted
            assert moments[-1][1] - moments[0][1] > 1.5
        process.send_signal(signal.SIGTERM)
        out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, err
    assert out == ""
    assert f"  {printed['PAYROC_API_URL'].removesuffix('/v1')}/gateway" in err
    assert "Not loopback" not in err
    assert f"POST   /v1/devices/{SERIAL}/payment-instructions  202" in err
    assert "till's-key" not in err
    assert "contract violated" not in err


async def test_ctrl_c_ends_it_with_0() -> None:
    """Ctrl-C ends the simulator at once, held requests or not."""
    async with simulating() as (process, printed), PayrocSession.from_env(printed) as session:
        handle = await session.start_sale(SERIAL, sale(), on_cancel="detach")
        assert handle.instruction_id
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert without_slow_steps(err.decode()).endswith("stopped\n")


async def test_json() -> None:
    """With --json the variables and the address are one object on stdout, and nothing else is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "payroc_async", "simulate", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = json.loads(await process.stdout.readline())
    async with PayrocSession.from_env(said["variables"]) as session:
        assert [device async for device in session.devices.search()] == []
    assert said["variables"]["PAYROC_API_URL"] == f"{said['url']}/v1"
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out) == (0, b""), err


async def test_it_says_what_listening_everywhere_means() -> None:
    """With a host that is not loopback, it says who can do what, and works on loopback still."""
    async with simulating("--host", "0.0.0.0") as (process, printed):
        assert printed["PAYROC_API_URL"].startswith("http://127.0.0.1:")
        async with PayrocSession.from_env(printed) as session:
            assert await session.start_sale(SERIAL, sale())
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Not loopback: anyone who reaches 0.0.0.0 can open the pages" in err.decode()
    assert "plain HTTP" in err.decode()


async def test_requests_that_were_told_are_kept_for_the_page() -> None:
    """The page shows what came before it was opened, and each request is reported once."""
    async with (
        simulating() as (process, printed),
        PayrocSession.from_env(printed) as session,
        aiohttp.ClientSession() as client,
    ):
        for _ in range(2):
            handle = await session.start_sale(SERIAL, sale())
            await handle.cancel()
        url = printed["PAYROC_API_URL"].removesuffix("/v1")
        async with (
            asyncio.timeout(10),
            client.ws_connect(f"{url}/gateway/socket", origin=url) as page,
        ):
            said = await page.receive_json()
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert [one["kind"] for one in said["requests"]].count("submit") == 2
    assert {one["fault"] for one in said["requests"]} == {None}
    assert err.decode().count("POST   /v1/devices") == 2


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_can_be_written(name: str) -> None:
    """Each script of the help is understood, with all its numbers."""
    usage = SCRIPTS[name][0].replace("CENTS", "1500").replace("SECONDS", "0.5")
    text = f"{SERIAL}={name}" + usage.replace("[", "").replace("]", "")
    gateway = Simulator()
    assert add_script(gateway, text) == SERIAL
    gateway.device(SERIAL).next_behaviour()


@pytest.mark.parametrize(
    "text",
    [
        "1850010868",
        "=approves",
        "1850010868=dances",
        "1850010868=approves:soon",
        "1850010868=approves:-1",
        "1850010868=approves:nan",
        "1850010868=approves:1:2",
        "1850010868=approves_partially",
        "1850010868=approves_partially:1.5",
        "1850010868=never_finishes:1",
    ],
)
def test_a_script_that_is_not_understood_exits_with_2(text: str) -> None:
    """A wrong script is refused before anything is served, and the option named."""
    done = CliRunner().invoke(cli, ["simulate", "--device", text])
    assert done.exit_code == 2
    assert "--device" in done.stderr
    assert text in done.stderr


def test_a_port_that_is_taken_exits_with_2() -> None:
    """A port in use is said, and the option named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = CliRunner().invoke(cli, ["simulate", "--port", str(taken.getsockname()[1])])
    assert done.exit_code == 2
    assert "--port" in done.stderr


LONG = "x" * 4000
"""In the path of a request, which is printed: the buffers of a pipe and of Python hold few."""


async def ask(client: aiohttp.ClientSession, port: int, times: int) -> None:
    """So many requests, each of which is answered."""
    for number in range(times):
        async with client.get(f"http://127.0.0.1:{port}/v1/payments/{LONG}{number}") as answer:
            assert answer.status == 401


@pytest.mark.timeout(240)  # thousands of requests, in asyncio's debug mode too
async def test_output_that_is_not_read() -> None:
    """It goes on answering when its output is not read, and says later what it has left out."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "payroc_async", "simulate", "--port", str(port)),
        stdout=write,
        stderr=write,
        env={name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"},
    )
    os.close(write)
    try:
        async with aiohttp.ClientSession() as client, asyncio.timeout(200):
            while True:
                try:
                    await ask(client, port, 1)
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
            await ask(client, port, 3 * MOST_LINES)
            with os.fdopen(read, "rb", buffering=0, closefd=False) as reader:
                printed = await asyncio.to_thread(read_until, reader, b"lines left out")
            assert printed.count(b"GET    /v1/payments/") >= MOST_LINES
            await ask(client, port, 100)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        os.close(read)
        if process.returncode is None:
            process.kill()
            await process.wait()


def read_until(reader: io.RawIOBase, last: bytes) -> bytes:
    """What is printed, up to these words."""
    printed = b""
    while last not in printed[-70_000:]:
        more = reader.read(65_536)
        assert more, printed[-500:]  # or the output has ended
        printed += more
    return printed


def test_lines_that_wait_are_bounded() -> None:
    """However much is printed while nothing is read, no more than so many lines are kept."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        output = BackgroundOutput(stream)
        for number in range(3 * MOST_LINES):
            output.write(f"{number} {LONG}")
        assert len(output._lines) <= MOST_LINES
        began = time.monotonic()
        output.close()
        assert time.monotonic() - began < 5 * CLOSE_SECONDS
        output.write("too late")
        with os.fdopen(read, "rb") as reader, ThreadPoolExecutor() as pool:
            printed = pool.submit(reader.read)
            assert output._thread is not None
            output._thread.join()
            stream.close()
            lines = printed.result().splitlines()
    left_out = [int(one.split()[0][1:]) for one in lines if one.endswith(b"was not read)")]
    assert left_out
    assert len(lines) - len(left_out) + sum(left_out) == 3 * MOST_LINES
    assert b"too late" not in lines


def test_a_reader_that_goes() -> None:
    """What is written after it goes nowhere; where there never was one, it is no error either."""
    read, write = os.pipe()
    os.close(read)
    failed: list[OSError] = []
    with os.fdopen(write, "w") as stream:
        output = BackgroundOutput(stream, failed.append)
        output.write("not read")
        assert output._thread is not None
        output._thread.join(5)
        output.write("nor now")
        output.close()
    assert failed == []


def test_a_full_disk_is_reported() -> None:
    """The error is passed on, once; what follows is dropped."""
    failed: list[OSError] = []
    with open("/dev/full", "w") as stream:
        output = BackgroundOutput(stream, failed.append)
        output.write("a line")
        assert output._thread is not None
        output._thread.join(5)
        output.write("another")
        output.close()
    assert [error.errno for error in failed] == [errno.ENOSPC]


def test_a_pipe_that_does_not_block() -> None:
    """Where its reader has made it so, lines come in whole all the same."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with os.fdopen(write, "w") as stream:
        output = BackgroundOutput(stream)
        for number in range(100):
            output.write(f"{number} {LONG}")
        with os.fdopen(read, "rb", buffering=0) as reader:
            printed = read_until(reader, f"99 {LONG}\n".encode())
        output.close()
    assert printed == b"".join(f"{number} {LONG}\n".encode() for number in range(100))
