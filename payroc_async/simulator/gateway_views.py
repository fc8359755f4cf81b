"""The simulator's data for tests: its resources and the recorded requests."""

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
    """Live, read-only views of a simulator's state."""

    __slots__ = ()  # so that assigning a misspelled attribute raises

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
        """Every payment as the API shows it, by id."""
        return self._state.ledger.resources["payments"]

    @property
    def refunds(self) -> dict[str, dict[str, Any]]:
        """Every refund as the API shows it, by id."""
        return self._state.ledger.resources["refunds"]

    @property
    def signatures(self) -> dict[str, dict[str, Any]]:
        """Every signature as the API shows it, by id."""
        return self._state.ledger.resources["signatures"]

    @property
    def secure_tokens(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Every saved card as the API shows it, by terminal and ``secureTokenId``."""
        return self._state.office.vault.records

    @property
    def lookups(self) -> Lookups:
        """The results of card look-ups; the attributes may be set."""
        return self._state.office.lookups

    @property
    def requests(self) -> list[Observed]:
        """All recorded requests, in order."""
        return self._records.requests

    @property
    def open_requests(self) -> list[Observed]:
        """The requests in flight: not answered, and the connection is not lost."""
        return list(self._records.open)

    @property
    def violations(self) -> list[str]:
        """The contract violations, one sentence each."""
        return self._records.violations

    @property
    def misuses(self) -> list[str]:
        """What the simulator could not do for a script or fault, one sentence each."""
        return self._state.misuses

    def requests_of(self, kind: str) -> list[Observed]:
        """Return the requests of one kind, in order.

        Raises:
            ConfigurationError: There is no such kind of request.
        """
        arguments.choice("kind", kind, REQUEST_KINDS)
        return [one for one in self.requests if one.kind == kind]
