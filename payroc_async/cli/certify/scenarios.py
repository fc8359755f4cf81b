"""All scenarios, in the order of their runs, and the statements to attest."""

from __future__ import annotations

from .auth_scenarios import AUTH
from .error_scenarios import ERRORS
from .feature_scenarios import FEATURE_SCENARIOS
from .open_questions import QUESTIONS
from .preauth_scenarios import PRE_AUTHORIZATIONS
from .sale_scenarios import SALES
from .scenario_table import Scenario
from .settlement_scenarios import SETTLEMENT
from .token_scenarios import TOKENS

__all__ = ["ATTESTATIONS", "SCENARIOS"]

SCENARIOS: dict[str, Scenario] = {
    **AUTH,
    **SALES,
    **ERRORS,
    **PRE_AUTHORIZATIONS,
    **FEATURE_SCENARIOS,
    **TOKENS,
    **SETTLEMENT,
    **QUESTIONS,
}

ATTESTATIONS = {
    "SEC-01": "No card number, CVV or track data is written to any log. An excerpt of the SDK's "
    "own log is below, at SEC-04; add one of your application's.",
    "SEC-02": "API keys are kept on the server alone, and come from a secret store.",
    "SEC-05": "No id, key or host of UAT is in the configuration of production.",
}
"""Statements that only the integrator can make."""
