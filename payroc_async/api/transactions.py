"""Transactions as submitted to the processor. Source: contract section 11."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date as calendar_date

from payroc_async import models
from payroc_async.kinds import Resource

from .identifiers import check_number
from .resources import Endpoint

__all__ = ["Transactions"]

TRANSACTION: Resource[models.SettlementTransaction] = Resource(
    noun="transaction",
    resources="transactions",
    resource_type=models.SettlementTransaction,
    resource_id=lambda one: None if one.transaction_id is None else str(one.transaction_id),
)


class Transactions(Endpoint):
    """Transactions submitted to the processor."""

    async def retrieve(self, transaction_id: int) -> models.SettlementTransaction:
        """Retrieve a transaction.

        Args:
            transaction_id: The transaction's id, a number. It is not a payment's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the transaction,
                ForbiddenError if the API key may not see reports.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        number = check_number("transaction_id", transaction_id)
        return await self._retrieve(TRANSACTION, "transaction_id", number)

    def search(
        self,
        *,
        date: calendar_date | None = None,
        batch_id: int | None = None,
        merchant_id: str | None = None,
        transaction_type: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.SettlementTransaction]:
        """Iterate over the transactions of a day or a batch: ``async for transaction in ...``.

        The next page is requested only after the previous one has been consumed.

        Args:
            date: The day of the transactions; either this or ``batch_id`` is required.
            batch_id: The batch that the transactions are in.
            merchant_id: Only of the merchant with this processor's id.
            transaction_type: Only ``"Capture"`` or only ``"Return"``, capitalized.
            limit: The page size (the gateway's default is 10). It does not limit the total.
            before: Go back from this cursor, nearest entry first. Not together with ``after``.
            after: Begin after this cursor.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: During iteration, the gateway refused the request for a page; ForbiddenError
                if the API key may not read reports.
            TransportError: During iteration, the gateway did not answer.
            ResponseFormatError: During iteration, a page or its link to the next page is malformed.
                The result is incomplete.

        Cancellation:
            The request for the current page is dropped.
        """
        filters = models.TransactionFilters(
            date=date,
            batch_id=batch_id,
            merchant_id=merchant_id,
            transaction_type=transaction_type,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(TRANSACTION, filters)
