"""The interface through which a session reports to telemetry; ``otel.py`` implements it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from payroc_async.http.transport import Transport
from payroc_async.instructions.runner import InstructionRunner

from .config import Environment

__all__ = ["Telemetry"]


class Telemetry(ABC):
    """Observes requests and instructions. Its failures never affect a sale."""

    @abstractmethod
    def transport(self, environment: Environment, **options: Any) -> Transport:
        """Return a session's transport that reports each HTTP exchange."""

    @abstractmethod
    def start(self, run: InstructionRunner[Any, Any]) -> None:
        """Start an instruction's task, and observe it until it is done."""
