"""The simulator's API answers programs, and no page of another web site; requests by hand."""

from __future__ import annotations

import asyncio
import json

import pytest

from payroc_async.simulator import Simulator
from payroc_async.simulator.origins import is_program_host

SERIAL = "1850010868"
CALLS = [
    "POST /authorize",
    f"POST /v1/devices/{SERIAL}/payment-instructions",
    "GET /v1/payment-instructions/e743",
    "DELETE /v1/payment-instructions/e743",
    "GET /v1/payments?dateFrom=2024-07-02",
    "OPTIONS /v1/payments",
    "GET /anything",
]


async def sent(gateway: Simulator, call: str, *lines: str) -> tuple[int, str]:
    """The status of the answer to a call with these header lines, and what it says."""
    host, port = gateway.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    key = f"x-api-key: {gateway.api_key}"
    head = [f"{call} HTTP/1.1", *lines, key, "Content-Length: 0", "Connection: close"]
    writer.write("\r\n".join([*head, "", ""]).encode())
    answer = await reader.read()
    writer.close()
    first, body = answer.split(b"\r\n", 1)[0], answer.partition(b"\r\n\r\n")[2]
    return int(first.split()[1]), json.loads(body)["detail"] if b"detail" in body else ""


def port_of(gateway: Simulator) -> str:
    return gateway.url.rsplit(":", 1)[1]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "lines",
    [
        ("Host: evil.example",),
        ("Host: evil.example:8080",),
        ("Host: 127.0.0.1.evil.example",),
        ("Host: localhost.evil.example",),
        ("Host: evil.example", "Origin: http://evil.example"),
        ("Host: xn--bcher-kva.example", "Sec-Fetch-Site: same-origin"),
        ("Host: 127.0.0.1", "Origin: http://evil.example"),
        ("Host: 127.0.0.1", "Origin: null"),
        ("Host: 127.0.0.1", "Origin: file://"),
        ("Host: 127.0.0.1", "Origin: http://127.0.0.1:3000"),
        ("Host: 127.0.0.1", "Origin: http://localhost"),
        ("Host: 127.0.0.1", "Origin:"),
        ("Host: 127.0.0.1", "Sec-Fetch-Site: cross-site"),
        ("Host: 127.0.0.1", "Sec-Fetch-Site: same-site"),
        ("Host: 127.0.0.1", "SEC-FETCH-SITE: Cross-Site", "Sec-Fetch-Mode: no-cors"),
        ("Host:",),
    ],
)
async def test_another_sites_page_is_refused(
    gateway: Simulator, call: str, lines: tuple[str, ...]
) -> None:
    """Nothing is done for it: no token, no instruction; and no fault is used up."""
    device = gateway.device(SERIAL)
    status, said = await sent(gateway, call, *lines)
    assert (status, bool(said)) == (403, True)
    assert not gateway.instructions
    assert not gateway.violations
    assert device.serial_number == SERIAL
    assert gateway.requests[-1].status == 403


async def test_the_refusal_says_what_to_do(gateway: Simulator) -> None:
    _, said = await sent(gateway, "POST /authorize", "Host: pos.example:8080")
    assert "Host 'pos.example:8080'" in said
    assert "127.0.0.1" in said
    _, said = await sent(
        gateway, "POST /authorize", "Host: 127.0.0.1", "Origin: http://pos.example"
    )
    assert "another web site" in said


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost:{port}", "LOCALHOST.", "[::1]:80", "192.168.1.5:8080", "payroc-sim"],
)
async def test_programs_and_its_own_pages_are_answered(gateway: Simulator, host: str) -> None:
    """Also under the name of a container, and with what a browser says of a page of its own."""
    host = host.format(port=port_of(gateway))
    for more in (
        (),
        (f"Origin: http://{host}",),
        (f"Origin: https://{host}", "Sec-Fetch-Site: same-origin"),
        ("Sec-Fetch-Site: none",),
    ):
        assert (await sent(gateway, "POST /authorize", f"Host: {host}", *more))[0] == 200


async def test_the_name_that_it_was_given() -> None:
    async with Simulator(host="localhost") as gateway:
        assert (await sent(gateway, "POST /authorize", "Host: localhost:1"))[0] == 200
    assert is_program_host("pos.example:8080", "POS.example")


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("host.docker.internal:8080", True),
        ("till.localhost", True),
        ("fd00::7", True),
        ("internal.evil.example", False),
        ("evilinternal.example", False),
        (".", False),
        (":80", False),
        ("127.0.0.1@evil.example", False),
    ],
)
def test_hosts_of_programs(host: str, known: bool) -> None:
    """A name that can't be registered is no web site's."""
    assert is_program_host(host, "127.0.0.1") is known
