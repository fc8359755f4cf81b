"""Routing: the operation of a request, from its method and path."""

from __future__ import annotations

from urllib.parse import unquote

from attrs import frozen

from .ledger import CHANGES
from .simulated_kinds import KINDS, InstructionKind

__all__ = ["ASKS", "REQUEST_KINDS", "Route", "find_route"]

READS = {
    "payments": "payment",
    "refunds": "refund",
    "signatures": "signature",
    "closed-loop-reads": "closed_loop_read",
    "processing-terminals": "terminal",
    "batches": "batch",
    "transactions": "transaction",
    "authorizations": "authorization",
}
ASKS = ("bin_lookup", "balance")
"""POSTs that change nothing and take no Idempotency-Key (contract section 9)."""
SEARCHES = ("payments", "refunds", "devices", "batches", "transactions", "authorizations")
REQUEST_KINDS = (
    "authorize",
    "submit",
    "status",
    "cancel",
    *READS.values(),
    "secure_token",
    "delete_secure_token",
    "change",
    "charge",
    "close_batch",
    "host_configuration",
    "device_configuration",
    *ASKS,
    "search",
    "other",
)
"""The kinds of request.

``submit``, ``status`` and ``cancel`` are about instructions of every kind. ``payment``, ``refund``,
``signature`` and others that are called as what they read are the GETs of one of them. ``change``
is any POST to a payment or refund (refund, reverse, capture, adjust), ``charge`` the POST that
makes a payment, ``bin_lookup`` and ``balance`` those that ask about a card; ``search`` is a GET of
a list.
"""


@frozen
class Route:
    """The operation of a request, with its path parameters.

    Args:
        kind: One of `REQUEST_KINDS`; ``other`` for unknown operations.
        path: The path, decoded.
        instruction: The kind of instruction, if any.
        serial_number: The device in the path.
        resource_id: The id in the path, of an instruction, a payment, a refund …
        collection: The resource's collection, or the collection that is searched.
        action: The action of a ``change``, such as ``capture``.
        terminal: The terminal of the secure tokens.
    """

    kind: str
    path: str
    instruction: InstructionKind | None = None
    serial_number: str | None = None
    resource_id: str | None = None
    collection: str = ""
    action: str = ""
    terminal: str = ""


def find_route(method: str, raw_path: str) -> Route:
    """Return the route of a request.

    Source: contract section 2.

    Args:
        method: The HTTP method.
        raw_path: The path as sent, percent-encoded, without the query.
    """
    path = unquote(raw_path)
    # Split before decoding: an encoded slash is part of its segment.
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
        case "POST", "v1", "payments":
            return Route("charge", path)
        case "POST", "v1", "processing-terminals", str(id_), "close-batch" if id_:
            return Route("close_batch", path, terminal=id_)
        case "GET", "v1", "processing-terminals", str(id_), "secure-tokens" if id_:
            return Route("search", path, collection="secure-tokens", terminal=id_)
        case "GET" | "DELETE", "v1", "processing-terminals", str(id_), "secure-tokens", str(
            token
        ) if id_ and token:
            kind = "secure_token" if method == "GET" else "delete_secure_token"
            return Route(kind, path, resource_id=token, terminal=id_)
        case "GET", "v1", "processing-terminals", str(id_), "host-configurations" if id_:
            return Route("host_configuration", path, terminal=id_)
        case "GET", "v1", "processing-terminals", str(id_), "device-configurations", str(model) if (
            id_ and model
        ):
            return Route("device_configuration", path, resource_id=model, terminal=id_)
        case "GET", "v1", "processing-accounts", str(id_), "processing-terminals" if id_:
            return Route("search", path, resource_id=id_, collection="processing-terminals")
        case "POST", "v1", "cards", "bin-lookup":
            return Route("bin_lookup", path)
        case "POST", "v1", "cards", "balance":
            return Route("balance", path)
        case "GET", "v1", str(collection) if collection in SEARCHES:
            return Route("search", path, collection=collection)
        case "GET", "v1", str(collection), str(id_) if collection in READS and id_:
            return Route(READS[collection], path, resource_id=id_, collection=collection)
        case "POST", "v1", str(collection), str(id_), str(action) if id_ and (
            (collection, action) in CHANGES
        ):
            return Route("change", path, None, None, id_, collection, action)
        case _:
            return Route("other", path)
