"""Output that never blocks the event loop: a reader that does not read must not stop a server."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

import click

from .palette import COLORS

__all__ = ["BackgroundOutput"]

MOST_LINES = 1000
"""How many lines wait at most; what comes on top is counted and left out."""
CLOSE_SECONDS = 1.0
"""How long the end of the command waits for its last lines to be read."""
RETRY_SECONDS = 0.05
"""Between two tries where the reader has made the pipe non-blocking."""


class BackgroundOutput:
    """Writes lines to a stream from a thread of its own.

    It writes to the file itself, and not through Python's buffer: a thread that is stuck there when
    the process ends would break the interpreter's shutdown.

    Args:
        stream: Where to write.
        on_error: Is called in that thread if nothing can be written there any more, unless the
            reader has gone. Nothing is written after that.
    """

    def __init__(self, stream: TextIO, on_error: Callable[[OSError], object] | None = None) -> None:
        self._stream = stream
        self._on_error = on_error
        self._colored = stream.isatty()
        self._lines: deque[str] = deque()
        self._left_out = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        with suppress(OSError, ValueError):  # one that is no file, such as a test's
            self._file = stream.fileno()
            self._thread = threading.Thread(
                target=self._run, name="payroc-async output", daemon=True
            )
            self._thread.start()

    def write(self, text: str, *, fg: str | None = None) -> None:
        """Have it written, returning at once.

        Args:
            text: What to write.
            fg: The name of a color in `palette.COLORS`, where the stream is a terminal.
        """
        color = None if fg is None else COLORS[fg]
        if self._thread is None:
            click.secho(text, file=self._stream, fg=color)
            return
        line = (click.style(text, fg=color) if self._colored else text) + "\n"
        with self._changed:
            if self._closed:
                return
            if len(self._lines) < MOST_LINES:
                self._lines.append(line)
            else:
                self._left_out += 1
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for `CLOSE_SECONDS` at most, and no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    # In the thread ----------

    def _run(self) -> None:
        try:
            while text := self._next():
                self._write(text.encode(self._stream.encoding or "utf-8", "replace"))
        except OSError as error:
            with self._changed:
                self._closed = True
                self._lines.clear()
            if self._on_error is not None and not isinstance(error, BrokenPipeError):
                self._on_error(error)

    def _next(self) -> str:
        """All that waits, as soon as there is something; nothing if no more is to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            text, left_out = "".join(self._lines), self._left_out
            self._lines.clear()
            self._left_out = 0
        more = f"({left_out} lines left out: the output was not read)\n" if left_out else ""
        return text + more

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:
                time.sleep(RETRY_SECONDS)
