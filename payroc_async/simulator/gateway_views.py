"""What a test reads of the simulator: what it has, and what came."""

from __future__ import annotations

from typing import Any

from . import arguments
from .observations import Observed, Records
from .routes import REQUEST_KINDS
from .simulated_instructions import IN_PROGRESS, SimInstruction
from .simulated_lookups import Lookups
from .state import State

__all__ = ["GatewayViews"]


class GatewayViews:
    """The views of a simulator; all are live, and there to be read."""

    __slots__ = ()  # so that a misspelled attribute is an error

    _state: State
    _records: Records

    @property
    def instructions(self) -> dict[str, SimInstruction]:
        """Every instruction, by its id."""
        return self._state.instructions

    @property
    def in_progress(self) -> list[SimInstruction]:
        """The instructions that are ``inProgress``."""
        return [one for one in self.instructions.values() if one.status == IN_PROGRESS]

    @property
    def payments(self) -> dict[str, dict[str, Any]]:
        """Every payment as it is served, by its id."""
        return self._state.ledger.resources["payments"]

    @property
    def refunds(self) -> dict[str, dict[str, Any]]:
        """Every refund as it is served, by its id."""
        return self._state.ledger.resources["refunds"]

    @property
    def signatures(self) -> dict[str, dict[str, Any]]:
        """Every signature as it is served, by its id."""
        return self._state.ledger.resources["signatures"]

    @property
    def secure_tokens(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Every saved card as it is served, by its terminal and its ``secureTokenId``."""
        return self._state.office.vault.records

    @property
    def lookups(self) -> Lookups:
        """What look-ups of cards find; its attributes may be set."""
        return self._state.office.lookups

    @property
    def requests(self) -> list[Observed]:
        """Every request that came, in order."""
        return self._records.requests

    @property
    def open_requests(self) -> list[Observed]:
        """The requests that have neither been answered nor lost their connection."""
        return list(self._records.open)

    @property
    def violations(self) -> list[str]:
        """What was seen that the contract forbids, a sentence each."""
        return self._records.violations

    @property
    def misuses(self) -> list[str]:
        """What a script or fault asked for that the simulator could not do, a sentence each."""
        return self._state.misuses

    def requests_of(self, kind: str) -> list[Observed]:
        """The requests of one kind, in order.

        Raises:
            ConfigurationError: There is no such kind of request.
        """
        arguments.choice("kind", kind, REQUEST_KINDS)
        return [one for one in self.requests if one.kind == kind]
