"""Output that never blocks the event loop: a slow reader must not stop the server."""

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
"""The most lines in the queue; further lines are dropped and counted."""
CLOSE_SECONDS = 1.0
"""Seconds that the command waits at its end for its last lines to be read."""
RETRY_SECONDS = 0.05
"""Seconds between two attempts if the reader has made the pipe non-blocking."""


class BackgroundOutput:
    """Writes lines to a stream from its own thread.

    The thread writes to the file descriptor, not through Python's buffer: a thread blocked in the
    buffer at exit would break the interpreter's shutdown.

    Args:
        stream: The stream.
        on_error: Called in the thread if writing fails, except for a closed pipe. Nothing is
            written after that.
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
        """Queue a line to write, and return at once.

        Args:
            text: The line.
            fg: The name of a color in `palette.COLORS`, used if the stream is a terminal.
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
        """Write the queued lines for at most `CLOSE_SECONDS`, and accept no more."""
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
        """Wait for lines and return them all; return nothing after the close."""
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
