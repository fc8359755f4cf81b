"""Which requests may come from another web site's page, in a browser on this machine.

A browser sends them to loopback as to any host, also under a name of the site's own that is bound
to this address only after the page has come: DNS rebinding. Two things give them away, and a page's
script can set neither: the Host, and what the browser says about the page that asks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

__all__ = ["is_own_origin", "is_program_host", "is_user_host", "refused_api_call"]

OWN_SITES = ("same-origin", "none")
"""What ``Sec-Fetch-Site`` says of its own pages, and of an address that a person has typed."""


def is_user_host(host: str, name: str) -> bool:
    """Whether a person opens the simulator's pages by this Host: an IP address, ``localhost`` or
    the name that the simulator was given.
    """
    found = _host_name(host)
    return found in ("localhost", name.lower()) or _is_address(found)


def is_program_host(host: str, name: str) -> bool:
    """Whether a program reaches the API by this Host: as a person does, or by a name that no web
    site can have, such as that of a container.
    """
    found = _host_name(host)
    unregistrable = bool(found) and "." not in found
    return is_user_host(host, name) or unregistrable or found.endswith((".localhost", ".internal"))


def is_own_origin(origin: str | None, host: str) -> bool:
    """Whether an Origin is that of a page which this server has given under this Host."""
    return (origin or "").lower() in (f"http://{host}".lower(), f"https://{host}".lower())


def refused_api_call(headers: Mapping[str, str], name: str) -> str | None:
    """Why a call of the API is refused, if another web site may have made it; None if not.

    Args:
        headers: Those of the request, in any case of letters.
        name: The host that the simulator was given.
    """
    host, origin = headers.get("Host", ""), headers.get("Origin")
    site = headers.get("Sec-Fetch-Site", "none")
    if not is_program_host(host, name):
        return (
            f"The simulator does not know the Host {host!r}: reach it by an IP address, localhost"
            f" or {name}, or give it that name as its host. A proxy has to set the Host."
        )
    if site.strip().lower() not in OWN_SITES or not (origin is None or is_own_origin(origin, host)):
        return "A page of another web site may not call the simulator: it answers programs."
    return None


def _host_name(host: str) -> str:
    """The name alone, without port, brackets and the dot that may end it."""
    name, _, port = host.rpartition(":")
    found = name if port.isdigit() else host
    return found.removeprefix("[").removesuffix("]").removesuffix(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
