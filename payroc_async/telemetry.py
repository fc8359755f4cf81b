"""What a session reports what it runs, where that is wanted: the seam that ``otel.py`` fills."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from payroc_async.http.transport import Transport
from payroc_async.instructions.runner import InstructionRunner

from .config import Environment

__all__ = ["Telemetry"]


class Telemetry(ABC):
    """Sees each request and each instruction's life. If it fails, no sale is harmed."""

    @abstractmethod
    def transport(self, environment: Environment, **options: Any) -> Transport:
        """The transport of a session, which reports each HTTP exchange."""

    @abstractmethod
    def start(self, run: InstructionRunner[Any, Any]) -> None:
        """Start an instruction's task, and hear of it until it is done."""
