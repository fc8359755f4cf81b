"""A Flask application that runs sales: ``flask --app examples/from_threads/flask_till.py run``.

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
"""Seconds that a cardholder may take. The server's worker timeout must be longer."""


def create_app(till: BlockingTill | None = None) -> Flask:
    """Create the application, with a till that is open as long as the process runs.

    Args:
        till: A till that is opened and closed elsewhere, before the first request and after the
            last. By default a new one is opened now, and closed when the process ends.
    """
    if till is None:
        till = BlockingTill().open()
        atexit.register(till.close)
    app = Flask(__name__)

    # PUT, with a key created by the client: a second click or a repeated request joins the running
    # sale, or reads its outcome. Without the key, each would be a separate sale.
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
    """Return why there is no payment, and never "not paid" while the outcome is unknown."""
    if isinstance(error, OutcomeUnknownError):
        logger.error("%s", error)
        return {"paid": None, "detail": "unknown: repeat this request, do not charge anew"}, 502
    statuses = {ConfigurationError: 400, DeviceBusyError: 409}
    return {"paid": False, "detail": str(error)}, statuses.get(type(error), 502)
