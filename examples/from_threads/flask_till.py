"""A Flask application that sells: ``flask --app examples/from_threads/flask_till.py run``.

``gunicorn_till.py`` runs it with gunicorn.
"""

from __future__ import annotations

import atexit
import logging
from typing import Any

from blocking_till import BlockingTill, request_of
from flask import Flask, request

from payroc_async import (
    ConfigurationError,
    DeviceBusyError,
    OutcomeUnknownError,
    PayrocError,
)

__all__ = ["create_app"]

logger = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int]
TIMEOUT = 120.0
"""Seconds that a cardholder may take. The server must wait longer for its worker."""


def create_app(till: BlockingTill | None = None) -> Flask:
    """The application, with a till that lives as long as its process.

    Args:
        till: One that is opened and closed elsewhere, before the first request and after the
            last; by default one is opened now, and closed when the process ends.
    """
    if till is None:
        till = BlockingTill().open()
        atexit.register(till.close)
    app = Flask(__name__)

    # PUT, with a key that the client has made: a second click and a repeated request join the
    # sale that runs, or read its outcome. Without it each would be a sale of its own.
    @app.put("/sales/<idempotency_key>")
    def sell(idempotency_key: str) -> Answer:
        body = request.get_json()
        payment = till.sell(
            body["serial_number"],
            request_of(body["order_id"], body["amount"]),
            idempotency_key=idempotency_key,
            timeout=TIMEOUT,
        )
        return {"paid": payment.approved, "payment_id": payment.payment_id}, 200

    app.register_error_handler(PayrocError, refuse)
    return app


def refuse(error: PayrocError) -> Answer:
    """Say why there is no payment, and never "not paid" while that is not known."""
    if isinstance(error, OutcomeUnknownError):
        logger.error("%s", error)
        return {"paid": None, "detail": "unknown: repeat this request, do not charge anew"}, 502
    statuses = {ConfigurationError: 400, DeviceBusyError: 409}
    return {"paid": False, "detail": str(error)}, statuses.get(type(error), 502)
