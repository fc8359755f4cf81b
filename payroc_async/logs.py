"""What every log record carries: which instruction it is about, by the same four names. Pure.

The schema, with every line, is in ``docs/observability.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

__all__ = ["FIELDS", "Subject", "find_subject_with", "get_logger"]

FIELDS = ("serial_number", "idempotency_key", "instruction_id", "order_id")
"""On every record of ours; None where a record is not about an instruction, or it is not known."""


class Subject(Protocol):
    """An instruction that records may be about."""

    def log_fields(self) -> dict[str, str | None]:
        """Its names, by ``FIELDS``."""
        ...


def _nobody() -> Subject | None:
    return None


_subject = _nobody


def find_subject_with(find: Callable[[], Subject | None]) -> None:
    """Have it asked, with each record, whose task it is that logs; None where nobody's is."""
    global _subject
    _subject = find


class _Logger(logging.LoggerAdapter[logging.Logger]):
    """Adds the fields, also where the code that logs knows nothing of instructions."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        known = kwargs.get("extra")
        if known is None:  # or else it may be about another one than this task's
            subject = _subject()
            known = {} if subject is None else subject.log_fields()
        kwargs["extra"] = dict.fromkeys(FIELDS) | known
        return msg, kwargs


def get_logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """The logger of a module, for records with the fields."""
    return _Logger(logging.getLogger(name))
