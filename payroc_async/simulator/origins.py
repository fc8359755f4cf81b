"""Detects requests from another web site's page in a browser on this machine.

A browser lets such a page send requests to loopback, also through the site's own name once it
resolves to this address (DNS rebinding). Two headers reveal them, and a page's script can set
neither: Host, and the browser's headers about the requesting page.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

__all__ = ["is_own_origin", "is_program_host", "is_user_host", "refused_api_call"]

OWN_SITES = ("same-origin", "none")
"""``Sec-Fetch-Site`` of the simulator's own pages, and of an address typed by the user."""


def is_user_host(host: str, name: str) -> bool:
    """Whether the pages may be opened under this Host: an IP address, ``localhost`` or the
    simulator's configured host.
    """
    found = _host_name(host)
    return found in ("localhost", name.lower()) or _is_address(found)


def is_program_host(host: str, name: str) -> bool:
    """Whether programs may call the API under this Host: one that serves pages, or a name that no
    web site can have, such as a container's.
    """
    found = _host_name(host)
    unregistrable = bool(found) and "." not in found
    return is_user_host(host, name) or unregistrable or found.endswith((".localhost", ".internal"))


def is_own_origin(origin: str | None, host: str) -> bool:
    """Whether the Origin is that of a page served here under this Host."""
    return (origin or "").lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def refused_api_call(headers: Mapping[str, str], name: str) -> str | None:
    """Return why an API call is refused as possibly another web site's; None if it is allowed.

    Args:
        headers: The request's headers; names are case-insensitive.
        name: The simulator's configured host.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    site = headers.get("Sec-Fetch-Site", "none")
    if not is_program_host(host, name):
        return (
            f"The simulator does not know the Host {host!r}: reach it by an IP address, localhost"
            f" or {name}, or configure that name as its host. A proxy must set the Host."
        )
    if site.strip().lower() not in OWN_SITES or not (origin is None or is_own_origin(origin, host)):
        return "A page of another web site may not call the simulator: the API is for programs."
    return None


def _host_name(host: str) -> str:
    """Return the host name without port, brackets and trailing dot."""
    name, _, port = host.rpartition(":")
    found = name if port.isdigit() else host
    return found.removeprefix("[").removesuffix("]").removesuffix(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
