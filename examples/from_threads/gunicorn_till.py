"""The Flask application under gunicorn, from this folder: ``gunicorn -c python:gunicorn_till``.

Application, settings and hooks are in one module. It works with and without ``--preload``.
"""

from __future__ import annotations

from typing import Any

from blocking_till import BlockingTill
from flask_till import TIMEOUT, create_app

__all__ = ["app", "till"]

till = BlockingTill()  # opened by each worker: a thread does not survive the fork
app = create_app(till)

wsgi_app = "gunicorn_till:app"
threads = 20  # each request that waits for a cardholder holds one thread
timeout = int(TIMEOUT) + 60
graceful_timeout = int(TIMEOUT) + 30  # a worker that shuts down lets its cardholders finish
"""Seconds. With less time, gunicorn kills the worker while a sale runs on a device."""


def post_worker_init(worker: Any) -> None:
    """Open the till in the worker.

    In ``post_fork`` a SIGTERM would be lost: there the worker does not handle signals yet.
    """
    till.open()


def worker_exit(server: Any, worker: Any) -> None:
    """Close the till, which cancels running sales.

    ``atexit`` is too late: Python waits for the request threads before it runs ``atexit``.
    """
    till.close()
