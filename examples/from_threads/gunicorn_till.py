"""The Flask application under gunicorn, from this folder: ``gunicorn -c python:gunicorn_till``.

Application, settings and hooks in one module. It holds with ``--preload`` and without.
"""

from __future__ import annotations

from typing import Any

from blocking_till import BlockingTill
from flask_till import TIMEOUT, create_app

__all__ = ["app", "till"]

till = BlockingTill()  # opened by each worker: a thread does not survive the fork
app = create_app(till)

wsgi_app = "gunicorn_till:app"
threads = 20  # each request that waits for a cardholder holds one
timeout = int(TIMEOUT) + 60
graceful_timeout = int(TIMEOUT) + 30  # a worker that stops lets its cardholders finish
"""Seconds; shorter, and gunicorn kills the worker while a sale runs on a device."""


def post_worker_init(worker: Any) -> None:
    """Open the till in the worker.

    In ``post_fork`` a SIGTERM would be lost: there the worker does not handle signals yet.
    """
    till.open()


def worker_exit(server: Any, worker: Any) -> None:
    """Close it, which cancels what still runs.

    ``atexit`` would not do: Python waits for the threads of requests before it calls that.
    """
    till.close()
