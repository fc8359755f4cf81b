"""Commands that make one call under one key: how they run, and what a failure proves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from attrs import define

from payroc_async import (
    APIError,
    ConfigurationError,
    IdempotencyKeyInUseError,
    PayrocError,
    PayrocSession,
)
from payroc_async.cli.demo.records import reason_in_words
from payroc_async.retry import worth_retrying

from .device_operations import run_with_amounts
from .output import error_members, plain
from .results import NOT_DONE, UNKNOWN, USAGE, in_option_names
from .settings import variables
from .signals import on_signal

__all__ = ["SingleCall", "run_single_call"]


class KeyOptions(Protocol):
    """The key, and whether an earlier command may have used it."""

    @property
    def idempotency_key(self) -> str: ...
    @property
    def key_is_fresh(self) -> bool: ...


@define(eq=False)
class SingleCall:
    """The state of the call while it has no answer.

    Attributes:
        sent: From here on it may have been done.
        interrupted: Ctrl-C came before the end.
    """

    sent: bool = False
    error: PayrocError | None = None
    interrupted: bool = False

    def code_without_answer(self, options: KeyOptions) -> int:
        """The exit code without a conclusive answer: 2: usage, 4: not done, 5: unknown."""
        if isinstance(self.error, ConfigurationError):
            # The payment's state is not an error in the options.
            return NOT_DONE if self.error.field == "payment" else USAGE
        # A refusal of the request also covers an earlier attempt under the same key.
        refused = isinstance(self.error, APIError) and not (
            self.error.may_have_taken_effect
            or worth_retrying(self.error)
            or isinstance(self.error, IdempotencyKeyInUseError)
        )
        tried = self.sent or not options.key_is_fresh
        return UNKNOWN if tried and not (self.sent and refused) else NOT_DONE

    def said(self) -> str:
        """Why there is no answer."""
        if self.error is None:
            return "interrupted" + ("" if self.sent else ", nothing was sent")
        if isinstance(self.error, ConfigurationError | APIError):
            return plain(self.error)
        return plain(f"{reason_in_words(self.error)}: {self.error}")

    def error_members(self) -> dict[str, Any] | None:
        """The error, or the interruption, as JSON."""
        if self.interrupted:
            return {"type": "Interrupted", "message": self.said()}
        return error_members(self.error)


def run_single_call(
    call: SingleCall, name: str, make: Callable[[PayrocSession], Coroutine[Any, Any, None]]
) -> None:
    """Make the call in its own session; ``call`` records a failure or interruption."""
    try:
        # The journal does not record single calls.
        session = PayrocSession.from_env(variables(), journal=None)
        run_with_amounts(lambda: _in_session(call, session, name, make))
    except ConfigurationError as error:
        call.error = in_option_names(error)
    except PayrocError as error:
        call.error = error


async def _in_session(
    call: SingleCall,
    opening: PayrocSession,
    name: str,
    make: Callable[[PayrocSession], Coroutine[Any, Any, None]],
) -> None:
    async with opening as session:
        working = asyncio.create_task(make(session), name=f"payroc-async {name}")
        with on_signal(working.cancel):
            await asyncio.wait((working,))
    if working.cancelled():
        call.interrupted = True
    else:
        working.result()
