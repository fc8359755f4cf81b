"""Reports of submitted and settled transactions. Source: contract section 11."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date as calendar_date
from typing import TypeVar

from payroc_async import models
from payroc_async.kinds import Resource
from payroc_async.models.field_checks import record_id

from .resources import Endpoint

__all__ = ["Authorizations", "Batches", "Transactions"]

T = TypeVar("T")

BATCH: Resource[models.Batch] = Resource(
    noun="batch",
    resources="batches",
    resource_type=models.Batch,
    resource_id=lambda batch: None if batch.batch_id is None else str(batch.batch_id),
)
TRANSACTION: Resource[models.SettlementTransaction] = Resource(
    noun="transaction",
    resources="transactions",
    resource_type=models.SettlementTransaction,
    resource_id=lambda one: None if one.transaction_id is None else str(one.transaction_id),
)
AUTHORIZATION: Resource[models.Authorization] = Resource(
    noun="authorization",
    resources="authorizations",
    resource_type=models.Authorization,
    resource_id=lambda one: None if one.authorization_id is None else str(one.authorization_id),
)


class _Reports(Endpoint):
    """Records that are named by numbers."""

    async def _record(self, resource: Resource[T], name: str, number: int) -> T:
        return await self._retrieve(resource, name, str(record_id(name, number)))


class Batches(_Reports):
    """Batches submitted to the processor. The open batch is not included."""

    async def retrieve(self, batch_id: int) -> models.Batch:
        """Retrieve a batch.

        Args:
            batch_id: The batch's id, a number.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the batch,
                ForbiddenError if the API key may not see reports.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._record(BATCH, "batch_id", batch_id)

    def search(
        self,
        *,
        date: calendar_date,
        merchant_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.Batch]:
        """Iterate over the batches of a day, across all pages: ``async for batch in ...``.

        The next page is requested only after the previous one has been consumed.

        Args:
            date: The day on which the batches were submitted to the processor.
            merchant_id: Only of the merchant with this processor's id.
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
        filters = models.BatchFilters(
            date=date, merchant_id=merchant_id, limit=limit, before=before, after=after
        )
        return self._search(BATCH, filters)


class Transactions(_Reports):
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
        return await self._record(TRANSACTION, "transaction_id", transaction_id)

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
            batch_id: The batch that they are in.
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


class Authorizations(_Reports):
    """Authorizations of the transactions submitted to the processor."""

    async def retrieve(self, authorization_id: int) -> models.Authorization:
        """Retrieve an authorization.

        Args:
            authorization_id: The authorization's id, a number.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the authorization,
                ForbiddenError if the API key may not see reports.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._record(AUTHORIZATION, "authorization_id", authorization_id)

    def search(
        self,
        *,
        date: calendar_date | None = None,
        batch_id: int | None = None,
        merchant_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.Authorization]:
        """Iterate over the authorizations of a day or a batch: ``async for authorization in ...``.

        The next page is requested only after the previous one has been consumed.

        Args:
            date: The day of the authorizations; either this or ``batch_id`` is required.
            batch_id: The batch that they are in.
            merchant_id: Only of the merchant with this processor's id.
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
        filters = models.AuthorizationFilters(
            date=date,
            batch_id=batch_id,
            merchant_id=merchant_id,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(AUTHORIZATION, filters)
