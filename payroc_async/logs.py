"""What every log record carries: which instruction it is about, by the same four names. Pure.

The schema, with every line, is in ``docs/observability.md``.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import ref

__all__ = ["ABOUT", "FIELDS", "Subject", "get_logger"]

FIELDS = ("serial_number", "idempotency_key", "instruction_id", "order_id")
"""On every record of ours; None where a record is not about an instruction, or it is not known."""


class Subject(Protocol):
    """An instruction that records may be about."""

    def is_current(self) -> bool:
        """Whether it is its own task that runs, and not one that was started from within."""
        ...

    def log_fields(self) -> dict[str, str | None]:
        """Its names, by ``FIELDS``."""
        ...


ABOUT: ContextVar[ref[Subject] | None] = ContextVar("payroc instruction", default=None)
"""Whose task this is. Weak: the task, its context and the instruction would hold each other."""


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields, also where the code that logs knows nothing of instructions."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        known = kwargs.get("extra")
        if known is None:  # or else it may be about another one than this task's
            about = ABOUT.get()
            subject = about() if about is not None else None
            known = subject.log_fields() if subject is not None and subject.is_current() else {}
        kwargs["extra"] = dict.fromkeys(FIELDS) | known
        return msg, kwargs


def get_logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """The logger of a module, for records with the fields."""
    return _Logger(logging.getLogger(name))
