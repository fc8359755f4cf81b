"""The fields of every log record, which identify the instruction by the same four names. Pure.

``docs/observability.md`` has the schema and all lines.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol

from .wording import printable

__all__ = ["FIELDS", "SUBJECT", "Subject", "get_logger", "report"]

FIELDS = ("serial_number", "idempotency_key", "instruction_id", "order_id")
"""Fields of every record of the SDK; None if the record has no instruction or it is unknown."""


class Subject(Protocol):
    """An instruction that log records refer to."""

    def fields_of_record(self) -> dict[str, str | None]:
        """Return its values for ``FIELDS``; empty if the logging code does not run for it."""
        ...


SUBJECT: ContextVar[Subject | None] = ContextVar("payroc instruction", default=None)
"""The instruction whose task is running. Keep it small: a task's resources may hold its context."""


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields, also in code that knows nothing of instructions."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        known = kwargs.get("extra")
        if known is None:  # otherwise the record may refer to an instruction other than this task's
            subject = SUBJECT.get()
            known = {} if subject is None else subject.fields_of_record()
        kwargs["extra"] = dict.fromkeys(FIELDS) | known
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log one line. Control characters in foreign text are escaped."""
        if self.isEnabledFor(level):
            msg, kwargs = self.process(msg, kwargs)  # type: ignore[assignment]
            # report the caller's line, not this one
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            try:
                self.logger.log(level, msg, *map(_escaped, args), **kwargs)
            except Exception:
                report()


def report() -> None:
    """Report a logging failure as `logging` does for its own handlers.

    The handlers and filters are the application's. Their exceptions must not end a running sale.
    """
    if logging.raiseExceptions and sys.stderr is not None:
        traceback.print_exc()


def _escaped(value: object) -> object:
    return printable(str(value)) if isinstance(value, str | BaseException) else value


def get_logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return the module's logger, whose records have the fields."""
    return _Logger(logging.getLogger(name))
