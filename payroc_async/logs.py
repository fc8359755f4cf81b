"""What every log record carries: which instruction it is about, by the same four names. Pure.

The schema, with every line, is in ``docs/observability.md``.
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
"""On every record of ours; None where a record is not about an instruction, or it is not known."""


class Subject(Protocol):
    """An instruction that records may be about."""

    def fields_of_record(self) -> dict[str, str | None]:
        """Its names by ``FIELDS``; empty if the code that logs does not run for it."""
        ...


SUBJECT: ContextVar[Subject | None] = ContextVar("payroc instruction", default=None)
"""The instruction whose task is running. Small: what a task opens may keep its context for long."""


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields, also where the code that logs knows nothing of instructions."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        known = kwargs.get("extra")
        if known is None:  # otherwise the record may be about another instruction than this task's
            subject = SUBJECT.get()
            known = {} if subject is None else subject.fields_of_record()
        kwargs["extra"] = dict.fromkeys(FIELDS) | known
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a line. What others have said stays on it: their control characters are escaped."""
        if self.isEnabledFor(level):
            msg, kwargs = self.process(msg, kwargs)  # type: ignore[assignment]
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the caller's line, not this
            try:
                self.logger.log(level, msg, *map(_escaped, args), **kwargs)
            except Exception:
                report()


def report() -> None:
    """Report that a line could not be logged, as `logging` does of its own handlers.

    The handlers and filters are the application's. What one raises must not end a sale under way.
    """
    if logging.raiseExceptions and sys.stderr is not None:
        traceback.print_exc()


def _escaped(value: object) -> object:
    return printable(str(value)) if isinstance(value, str | BaseException) else value


def get_logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """The logger of a module, for records with the fields."""
    return _Logger(logging.getLogger(name))
