"""The gateway's parts without devices: terminals, batches, reports, saved cards and charges.

Source: contract sections 10 to 12.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote

from attrs import define, field

from .ledger import Ledger
from .lists import ListSpelling, page_of
from .replies import Answer, json_answer, problem
from .simulated_charges import Charges
from .simulated_lookups import Lookups, device_configuration, host_configuration
from .simulated_settlement import MERCHANT, REPORTS, Settlement
from .simulated_terminals import TERMINAL, cut_off, terminal_document
from .validation import TERMINAL_ID, Errors, fault
from .vault import TOKEN_FILTERS, Vault

__all__ = ["BackOffice"]

Json = dict[str, Any]

ACCOUNT = str(MERCHANT["processingAccountId"])
"""The merchant's account of all terminals."""


def _default_terminals() -> dict[str, Json]:
    return {TERMINAL: terminal_document(TERMINAL, {})}


@define(eq=False)
class BackOffice:
    """Their state.

    Attributes:
        terminals: Each terminal's document, by id.
        closings: The scheduled closes of batches: the time, by `time.monotonic`, and the terminal.
        close_after: Seconds between a request to close a batch and the close.
    """

    ledger: Ledger
    vault: Vault = field(factory=Vault)
    settlement: Settlement = field(factory=Settlement)
    charges: Charges = field(init=False)
    lookups: Lookups = field(init=False)
    terminals: dict[str, Json] = field(factory=_default_terminals)
    closings: list[tuple[float, str]] = field(factory=list)
    close_after: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.charges = Charges(self.ledger, self.vault)
        self.lookups = Lookups(self.vault)

    # Batches ----------

    def request_close(self, terminal: str) -> Answer:
        """Schedules the close of a terminal's batch, and answers with its time."""
        errors: Errors = []
        TERMINAL_ID(terminal, "processingTerminalId", errors)
        if errors:
            return problem(400, "bad-request", "The path is not valid.", errors=errors)
        document = self.terminals.get(terminal)
        if document is None and not self._has_sold(terminal):
            where = f"/v1/processing-terminals/{terminal}"
            return problem(404, "not-found", f"There is no {where}.", resource=where)
        self.closings.append((time.monotonic() + self.close_after, terminal))
        answer = json_answer(
            202, cut_off(document or terminal_document(terminal, {}), self.close_after)
        )
        self.catch_up()
        return answer

    def _has_sold(self, terminal: str) -> bool:
        # A terminal that was not ordered through the API can still take sales (contract section
        # 10).
        return any(
            one["processingTerminalId"] == terminal
            for collection in ("payments", "refunds")
            for one in self.ledger.resources[collection].values()
        )

    def catch_up(self) -> None:
        """Closes every batch whose close is due."""
        now = time.monotonic()
        due = [terminal for when, terminal in self.closings if when <= now]
        self.closings = [one for one in self.closings if one[0] > now]
        for terminal in due:
            self.close(datetime.now(UTC).date(), terminal)

    def close(self, day: date, terminal: str | None = None) -> None:
        """Settles ``ready`` payments and refunds, and reports them as submitted on that day."""
        self.settlement.submit(self.ledger.close_batch(day, terminal), day)

    # Reads ----------

    def document(self, collection: str, id_: str) -> Json | None:
        """Return a terminal, batch, transaction or authorization by its id, or 404."""
        if collection == "processing-terminals":
            return self.terminals.get(id_)
        number = int(id_) if id_.isascii() and id_.isdigit() else -1
        return self.settlement.reports.get(collection, {}).get(number)

    def search_reports(self, collection: str, query: str, spelling: ListSpelling) -> Answer:
        """Return the requested page of batches, transactions or authorizations."""
        id_field, filters, needed = REPORTS[collection]
        if not {name for name, _ in parse_qsl(query)} & set(needed):
            errors: Errors = []
            fault(errors, needed[0], " or else ".join(("is required", *needed[1:])))
            return problem(400, "bad-request", "The query is not valid.", errors=errors)
        items = list(self.settlement.reports[collection].values())
        return page_of(collection, id_field, items, filters, query, spelling)

    def search_tokens(self, terminal: str, query: str, spelling: ListSpelling) -> Answer:
        """Return the requested page of a terminal's secure tokens."""
        collection = f"processing-terminals/{quote(terminal, safe='')}/secure-tokens"
        items = self.vault.of_terminal(terminal)
        return page_of(collection, "secureTokenId", items, TOKEN_FILTERS, query, spelling)

    def search_terminals(self, account: str, query: str, spelling: ListSpelling) -> Answer:
        """Return the requested page of an account's terminals."""
        collection = f"processing-accounts/{quote(account, safe='')}/processing-terminals"
        items = list(self.terminals.values()) if account == ACCOUNT else []
        if not items:
            where = f"/v1/processing-accounts/{account}"
            return problem(404, "not-found", f"There is no {where}.", resource=where)
        return page_of(collection, "processingTerminalId", items, {}, query, spelling)

    def setup_of(self, terminal: str, model: str | None) -> Json | None:
        """Return a terminal's configuration at its processor or for a device model, or 404."""
        if terminal not in self.terminals:
            return None
        if model is not None:
            return device_configuration(model)
        return host_configuration(terminal, ACCOUNT)

    def forget(self) -> None:
        """Forgets reports, saved cards and scheduled closes; terminals and scripts stay."""
        self.settlement.forget()
        self.vault.records.clear()
        self.closings.clear()
