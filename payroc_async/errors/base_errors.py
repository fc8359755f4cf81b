"""The base of all errors, and the errors of the session, the network and malformed answers."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ConfigurationError",
    "PayrocError",
    "RequestTimeoutError",
    "ResponseFormatError",
    "SessionClosedError",
    "TransportError",
    "WrongEventLoopError",
]


class PayrocError(Exception):
    """The base of every error that this package raises.

    Attributes:
        idempotency_key: The failed POST's key; None for other requests. A call repeated with the
            same arguments under this key has no second effect.
        may_have_taken_effect: Whether the POST may have taken effect despite the error, in this
            attempt or in an earlier one whose answer was lost. If False, this call had no effect.
    """

    idempotency_key: str | None = None
    may_have_taken_effect: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Copying and pickling must not call __init__: its parameters differ from ``args``.
        return _restore, (type(self), self.args), self.__dict__


def _restore(error_type: type[PayrocError], args: tuple[Any, ...]) -> PayrocError:
    return error_type.__new__(error_type, *args)


class ConfigurationError(PayrocError, ValueError):
    """A value that the caller gave is wrong; nothing was sent.

    Attributes:
        field: The name of the parameter or field, as the caller spells it.
        reason: What is wrong with the value. Never holds a secret.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class SessionClosedError(PayrocError):
    """The session is not open yet, is closed, or its token task has died."""


class WrongEventLoopError(PayrocError):
    """A session was used outside of the event loop or process in which it was opened.

    Nothing was sent. The session keeps working in its own loop.

    Attributes:
        session_loop: The session's loop, as text.
        running_loop: The caller's loop, as text; None if no loop was running.
        loop_closed: Whether the session's loop is closed: the session can then no longer be used.
        parent_pid: The id of the process that opened the session, if it was forked since; None if
            this process opened the session.
    """

    def __init__(
        self,
        *,
        session_loop: str,
        running_loop: str | None,
        loop_closed: bool = False,
        parent_pid: int | None = None,
    ) -> None:
        super().__init__(session_loop, running_loop)
        self.session_loop = session_loop
        self.running_loop = running_loop
        self.loop_closed = loop_closed
        self.parent_pid = parent_pid

    def __str__(self) -> str:
        if self.parent_pid is not None:
            return (
                f"the session was opened in process {self.parent_pid} and used in a process forked "
                "from it: open one session, in one event loop, in each process after the fork"
            )
        if self.loop_closed:
            return (
                f"the session's event loop is closed ({self.session_loop}): open one session in a "
                "loop that runs as long as the process; asyncio.run() closes its loop at the end"
            )
        used = f"from another ({self.running_loop})" if self.running_loop else "where no loop runs"
        return (
            f"the session belongs to one event loop ({self.session_loop}) and was used {used}: "
            "call it in its own loop, from other threads with asyncio.run_coroutine_threadsafe() "
            "or anyio.from_thread.start_blocking_portal()"
        )


class TransportError(PayrocError):
    """No answer: connection refused or reset, DNS, TLS, or a broken or oversized reply.

    Attributes:
        request_sent: False if the request certainly never reached the gateway, for example because
            the connection was refused. True if the request may have taken effect.
        proxy_status: The HTTP status with which a proxy refused a tunnel; None otherwise.
    """

    proxy_status: int | None = None

    def __init__(self, message: str, *, request_sent: bool) -> None:
        super().__init__(message)
        self.request_sent = request_sent


class RequestTimeoutError(TransportError):
    """The answer did not arrive in time."""


class ResponseFormatError(PayrocError):
    """An answer that breaks the contract: not JSON, a missing field, a link to another host."""
