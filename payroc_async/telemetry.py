"""What a session tells of what it runs, where that is wanted: the seam that ``otel.py`` fills."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .config import Environment
from .http.transport import Transport
from .instructions.runner import InstructionRunner

__all__ = ["Telemetry"]


class Telemetry(ABC):
    """Told of each request and of each instruction's life. It may fail, and harms nobody then."""

    @abstractmethod
    def transport(self, environment: Environment, **options: Any) -> Transport:
        """The transport of a session, which tells of each HTTP exchange."""

    @abstractmethod
    def start(self, run: InstructionRunner[Any, Any]) -> None:
        """Start an instruction's task, and hear of it until it is done."""
