"""The doctor's checks of a processing terminal: whether it is active, and its features."""

from __future__ import annotations

from payroc_async import NotFoundError, PayrocError, ProcessingTerminal
from payroc_async.api.terminals import Terminals
from payroc_async.http.transport import Transport

from .local_checks import Check

__all__ = ["check_terminal"]

NAME = "terminal"


async def check_terminal(transport: Transport, processing_terminal_id: str) -> Check:
    """Check whether the terminal is active, and list its features. Changes nothing."""
    try:
        terminal = await Terminals(lambda: transport).retrieve(processing_terminal_id)
    except NotFoundError:
        return Check(
            NAME,
            "warning",
            f"{processing_terminal_id} is not found",
            "check the id; if it is right, sales may still work: Payroc finds only "
            "terminals that were ordered through its API",
        )
    except PayrocError as error:
        advice = "the terminal's features are unknown; sales may still work"
        return Check(NAME, "warning", f"{processing_terminal_id}: {error}", advice)
    said = f"{processing_terminal_id} is {terminal.status.value}; {_features(terminal)}"
    if not terminal.active:
        return Check(NAME, "failed", said, "ask Payroc to activate it, or use another one")
    return Check(NAME, "ok", said)


def _features(terminal: ProcessingTerminal) -> str:
    features, closure = terminal.features, terminal.batch_closure
    ebt = features.ebt
    parts = {
        "pre-authorizations": features.pre_authorizations,
        "tips": features.tips.enabled if features.tips else None,
        "EBT": ebt.enabled if ebt else None,
        "cashback": features.pin_debit_cashback,
        "saved cards": terminal.security.tokenization if terminal.security else None,
    }
    words = {True: "yes", False: "no", None: "not known"}
    said = ", ".join(f"{name}: {words[value]}" for name, value in parts.items())
    if closure is None or closure.batch_close_type is None:
        return f"{said}; how its batch is closed is unknown"
    if closure.batch_close_time is None:
        return f"{said}; its batch is closed by hand: payroc-async close-batch"
    return f"{said}; its batch is closed at {closure.batch_close_time} {terminal.timezone or ''}"
