"""What all errors have, and those of the session, of the network and of unreadable answers."""

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
    """The base of every error that this package raises on purpose.

    Attributes:
        idempotency_key: The key of the POST that failed, if it was one. Repeated with the same
            arguments under it, a call takes no second effect.
        may_have_taken_effect: Whether that POST may have done its work all the same: this try, or
            one before it whose answer was lost. If not, nothing was done under this key by this
            call.
    """

    idempotency_key: str | None = None
    may_have_taken_effect: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Copied and pickled without calling __init__, whose parameters are not its args.
        return _restore, (type(self), self.args), self.__dict__


def _restore(error_type: type[PayrocError], args: tuple[Any, ...]) -> PayrocError:
    return error_type.__new__(error_type, *args)


class ConfigurationError(PayrocError, ValueError):
    """A value that the caller gave is wrong; nothing was sent.

    Attributes:
        field: The name of the parameter or field, as the caller spells it.
        reason: What is wrong with it. Never holds a secret.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class SessionClosedError(PayrocError):
    """The session is not open: not yet, no longer, or its token task has died."""


class WrongEventLoopError(PayrocError):
    """A session was used outside of the event loop or the process that it was opened in.

    Nothing was sent, and the session goes on undisturbed where it belongs.

    Attributes:
        session_loop: The loop that the session was opened in, as text.
        running_loop: The loop that the call came from, as text; None if no loop was running.
        loop_closed: Whether the session's loop is closed: then this session is of no more use.
        parent_pid: The id of the process that opened the session; None where this one did, and is
            no forked child of it.
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
                "loop that runs as long as the process; asyncio.run() closes its loop at its end"
            )
        used = f"from another ({self.running_loop})" if self.running_loop else "where no loop runs"
        return (
            f"the session belongs to one event loop ({self.session_loop}) and was used {used}: "
            "call it in its own loop, from other threads with asyncio.run_coroutine_threadsafe() "
            "or anyio.from_thread.start_blocking_portal()"
        )


class TransportError(PayrocError):
    """No answer came: refused, reset, DNS, TLS, a broken or oversized reply.

    Attributes:
        request_sent: False if the request certainly never reached the gateway, as when the
            connection was refused. True if it may have taken effect.
        proxy_status: The status with which a proxy refused to make a tunnel; None otherwise.
    """

    proxy_status: int | None = None

    def __init__(self, message: str, *, request_sent: bool) -> None:
        super().__init__(message)
        self.request_sent = request_sent


class RequestTimeoutError(TransportError):
    """No answer came in time."""


class ResponseFormatError(PayrocError):
    """An answer that breaks the contract: not JSON, a field missing, a link to elsewhere."""
