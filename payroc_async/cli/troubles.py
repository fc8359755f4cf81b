"""A journal that can't be written while a command runs: logged by the SDK, told here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["journal_troubles"]


class _Told(logging.Handler):
    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.ERROR)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextmanager
def journal_troubles(say: Callable[[str], object]) -> Iterator[None]:
    """Within it, ``say`` is given each of them, for what goes on is in the journal as it was."""
    logger, told = logging.getLogger("payroc_async.records"), _Told(say)
    logger.addHandler(told)
    try:
        yield
    finally:
        logger.removeHandler(told)
