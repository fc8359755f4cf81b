"""A real nginx between the SDK and the simulator, over TLS, with a configuration of the test's."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
from pathlib import Path

import trustme
from attrs import define, field, frozen

from payroc_async import Environment

from .step_canceller import until

__all__ = ["NGINX", "Logged", "Nginx"]

# Debian's is where only root looks for programs.
NGINX = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))

HOST = "localhost"
PATIENCE = 20.0
"""Seconds within which nginx starts, stops, reloads and logs, however slow the machine."""

CONFIGURATION = """\
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log notice;
{main}
events {{ worker_connections 256; }}
http {{
    log_format fields '$request_method $uri $status $connection $connection_requests '
                      '"$upstream_status" "$sent_http_content_encoding" {generation}';
    access_log access.log fields;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream gateway {{
        server {upstream};
        {upstream_options}
    }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate server.pem;
        ssl_certificate_key server.pem;
        {server}
        location / {{
            proxy_pass http://gateway;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


def free_port() -> int:
    """A port of loopback's that no one listens on.

    It is below those that the system gives to clients, so that it is still free when nginx is
    restarted on it; and random, for other runs of the tests look for one too.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@frozen
class Logged:
    """One request as nginx has logged it, when it was done with it.

    ``generation`` is the number of the configuration it was served under.
    """

    method: str
    path: str
    status: int
    connection: int
    requests_on_connection: int
    upstream_status: str
    encoding: str
    generation: int


@define(eq=False)
class Nginx:
    """One nginx, in a folder of its own: configuration, pid file and logs.

    Args:
        prefix: That folder.
        upstream: The simulator's ``host:port``.
        certificate: What it proves itself with.
    """

    prefix: Path
    upstream: str
    certificate: trustme.LeafCert
    port: int = field(factory=free_port)
    generation: int = 0
    _process: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> Environment:
        """The gateway and its identity service, both behind this nginx."""
        url = f"https://{HOST}:{self.port}"
        return Environment(api_url=f"{url}/v1", identity_url=f"{url}/authorize")

    def configure(
        self, server: str = "", *, upstream_options: str = "keepalive 8;", main: str = ""
    ) -> None:
        """Write the configuration that the next start or reload reads.

        Args:
            server: Directives for the server.
            upstream_options: Directives for the upstream; by default, connections are kept.
            main: Directives outside of everything.
        """
        self.generation += 1
        pem = self.prefix / "server.pem"
        pem.write_bytes(self.certificate.private_key_and_cert_chain_pem.bytes())
        text = CONFIGURATION.format(
            # As root it would give its workers to a user who can't read this folder.
            user="user root root;" if os.geteuid() == 0 else "",
            main=main,
            generation=self.generation,
            upstream=self.upstream,
            upstream_options=upstream_options,
            port=self.port,
            server=server,
        )
        (self.prefix / "nginx.conf").write_text(text)

    async def start(self) -> None:
        """Start it, and return when it accepts connections."""
        assert NGINX is not None
        assert self._process is None
        self._process = await asyncio.create_subprocess_exec(
            NGINX,
            *("-p", f"{self.prefix}/", "-c", "nginx.conf", "-e", "error.log"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE):
            while not await self._accepts():
                assert self._process.returncode is None, self._errors()
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Stop it at once, and with it every connection. Does nothing if it is stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise

    async def reload(self) -> None:
        """Have it read its configuration, and return when new connections are served under it.

        Requests under way are left to the old worker.
        """
        assert self._process is not None
        told = self._errors().count("gracefully shutting down")
        self._process.send_signal(signal.SIGHUP)
        # The old worker says so when the new one is there.
        await until(lambda: self._errors().count("gracefully shutting down") > told, PATIENCE)

    def log(self) -> list[Logged]:
        """What it has served so far."""
        log = self.prefix / "access.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [_logged(line) for line in lines]

    async def logged(self, count: int) -> list[Logged]:
        """What it has served, once that is at least so many: it logs after it has answered."""
        await until(lambda: len(self.log()) >= count, PATIENCE)
        return self.log()

    def _errors(self) -> str:
        log = self.prefix / "error.log"
        return log.read_text() if log.exists() else ""

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


def _logged(line: str) -> Logged:
    method, path, status, connection, requests, rest = line.split(" ", 5)
    _, upstream_status, _, encoding, generation = rest.split('"')
    return Logged(
        method,
        path,
        int(status),
        int(connection),
        int(requests),
        upstream_status,
        encoding,
        int(generation),
    )
