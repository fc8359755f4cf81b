"""Which operation a request asks for, from its method and path."""

from __future__ import annotations

from urllib.parse import unquote

from attrs import frozen

from .kinds import KINDS, InstructionKind

__all__ = ["REQUEST_KINDS", "Route", "find_route"]

REQUEST_KINDS = ("authorize", "submit", "status", "cancel", "payment", "other")


@frozen
class Route:
    """The operation, and what the path says about it.

    Args:
        kind: One of `REQUEST_KINDS`; ``other`` is what the simulator does not know.
        path: The path, decoded.
        instruction: The kind of instruction it is about, if it is.
        serial_number: The device in the path.
        resource_id: The instruction or payment in the path.
    """

    kind: str
    path: str
    instruction: InstructionKind | None = None
    serial_number: str | None = None
    resource_id: str | None = None


def find_route(method: str, raw_path: str) -> Route:
    """The route of a request.

    Source: contract section 2.

    Args:
        method: The HTTP method.
        raw_path: The path as sent, percent-encoded, without the query.
    """
    path = unquote(raw_path)
    # Split first and decode then: an encoded slash belongs to the part it is in.
    match (method, *(unquote(part) for part in raw_path.split("/")[1:])):
        case "POST", "authorize":
            return Route("authorize", path)
        case "POST", "v1", "devices", str(serial), str(collection) if serial and (
            collection in KINDS
        ):
            return Route("submit", path, KINDS[collection], serial_number=serial)
        case "GET" | "DELETE", "v1", str(collection), str(id_) if collection in KINDS and id_:
            kind = "status" if method == "GET" else "cancel"
            return Route(kind, path, KINDS[collection], resource_id=id_)
        case "GET", "v1", "payments", str(id_) if id_:
            return Route("payment", path, resource_id=id_)
        case _:
            return Route("other", path)
