"""What a caller is given for how an instruction ended, and what is logged of it."""

from __future__ import annotations

from typing import Any

from payroc_async.errors import (
    InstructionCanceledError,
    InstructionError,
    InstructionFailedError,
    InstructionTimeoutError,
    OutcomeUnknownError,
    PayrocError,
)
from payroc_async.events import Canceled, Failed, ResultReceived
from payroc_async.logs import get_logger

from .lifecycle import Existence, Outcome, Phase
from .live import LiveInstruction

__all__ = ["log_unheard", "report"]

logger = get_logger(__name__)


def report(live: LiveInstruction[Any, Any], outcome: Outcome) -> None:
    """Set the live's error, emit the last event, and log the outcome.

    Every word derives from the lifecycle's outcome alone.
    """
    if outcome is not Outcome.COMPLETED:
        live.error = _error(live, outcome)
    if outcome is Outcome.COMPLETED:
        live.emit(ResultReceived, resource=live.resource)
    elif outcome is Outcome.FAILED:
        assert isinstance(live.error, InstructionFailedError)
        live.emit(Failed, error_message=live.error.error_message)
    elif outcome is Outcome.CANCELED or _is_canceled_unsent(live, outcome):
        live.emit(Canceled)
    _log(live, outcome)


def _is_canceled_unsent(live: LiveInstruction[Any, Any], outcome: Outcome) -> bool:
    return (
        outcome is Outcome.UNSENT
        and not isinstance(live.error, OutcomeUnknownError)
        and (isinstance(live.error, InstructionError))
    )


def _error(live: LiveInstruction[Any, Any], outcome: Outcome) -> Exception:
    known = live.identity.for_errors()
    if outcome is Outcome.FAILED:
        message = None if live.instruction is None else live.instruction.error_message
        return InstructionFailedError(message, **known)
    if outcome is Outcome.CANCELED:
        return _canceled(live)
    if outcome is Outcome.REFUSED or outcome is Outcome.UNSENT:
        return _nothing_made(live, outcome)
    if outcome is Outcome.LEFT:
        return _unknown(live, PayrocError("it was left running on purpose"))
    return _unknown(live, live.failure or PayrocError("the gateway showed no end"))


def _nothing_made(live: LiveInstruction[Any, Any], outcome: Outcome) -> Exception:
    """This call has made nothing. Of an earlier call under the caller's key it knows no more (E8).

    What stopped it before it was sent is raised as it is: that speaks of this call alone.
    """
    failure, stopped = live.failure, outcome is Outcome.UNSENT and not live.state.wish
    if stopped and failure is not None:
        return failure
    if live.state.existence is Existence.EARLIER:
        reason = "not sent by this call; an earlier call may have sent it under the same key"
        return _unknown(live, failure or PayrocError(reason))
    if live.state.wish or failure is None:
        canceled = _canceled(live)
        canceled.__cause__ = failure
        return canceled
    return failure


def _canceled(live: LiveInstruction[Any, Any]) -> InstructionError:
    timed_out = live.cancel_reason == "timeout"
    error_type = InstructionTimeoutError if timed_out else InstructionCanceledError
    return error_type(**live.identity.for_errors())


def _unknown(live: LiveInstruction[Any, Any], cause: Exception) -> OutcomeUnknownError:
    error = OutcomeUnknownError(**live.identity.for_errors())
    error.__cause__ = cause
    error.request_sent = live.submission_sent or live.state.existence is Existence.KNOWN
    error.may_have_taken_effect = live.state.existence >= Existence.POSSIBLE
    return error


def _log(live: LiveInstruction[Any, Any], outcome: Outcome) -> None:
    noun = live.kind.noun
    if live.resource is not None:
        logger.info("ended in %s %s", noun, live.kind.resource_id(live.resource))
        if not live.state.awaited:
            log_unheard(live)
    elif outcome is Outcome.LEFT:
        if live.is_named:
            logger.info("left running on purpose: %s", live.error)
        else:
            logger.warning("left running on purpose, its id in this line alone: %s", live.error)
    elif outcome is Outcome.UNKNOWN:
        goes_on = live.state.phase is not Phase.ENDED
        logger.error("%s%s", live.error, "; it goes on in the background" if goes_on else "")
    else:
        logger.info("ended without a %s: %s", noun, live.error)


def log_unheard(live: LiveInstruction[Any, Any]) -> None:
    """Say that a payment exists which no caller was given."""
    identity = live.identity
    logger.warning(
        "%s %s exists although no caller waits for it (device %s, instruction %s)",
        live.kind.noun,
        live.kind.resource_id(live.resource),
        identity.serial_number,
        identity.instruction_id,
        extra=identity.log_fields(),
    )
