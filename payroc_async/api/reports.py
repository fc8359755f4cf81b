"""What the processor was given and what it settled: reports. Source: contract section 11."""

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
    """The batches that were submitted to the processor; the open batch is not among them."""

    async def retrieve(self, batch_id: int) -> models.Batch:
        """The batch.

        Args:
            batch_id: The batch's id, a number.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the batch,
                ForbiddenError if the API key may not see reports.
            TransportError: No answer came.

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
        """Every batch of a day, from all pages: ``async for batch in ...``.

        A page is asked for when the one before it has been consumed.

        Args:
            date: The day on which the batches were submitted to the processor.
            merchant_id: Only of the merchant with this id of the processor's.
            limit: How many a page holds, 10 if left out; not how many there are in all.
            before: The cursor to go back from, the nearest before it first; not beside ``after``.
            after: The cursor to begin after.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: While it is consumed: the gateway refused; ForbiddenError if the API key may
                not see reports.
            TransportError: While it is consumed: no answer came.
            ResponseFormatError: While it is consumed: a page can't be read, or its link to the next
                leads nowhere. There may be more than was found.

        Cancellation:
            The request for a page is dropped.
        """
        filters = models.BatchFilters(
            date=date, merchant_id=merchant_id, limit=limit, before=before, after=after
        )
        return self._search(BATCH, filters)


class Transactions(_Reports):
    """The transactions that were submitted to the processor."""

    async def retrieve(self, transaction_id: int) -> models.SettlementTransaction:
        """The transaction.

        Args:
            transaction_id: The transaction's id, a number; it is no payment's id.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the transaction,
                ForbiddenError if the API key may not see reports.
            TransportError: No answer came.

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
        """Every transaction of a day or a batch, from all pages: ``async for one in ...``.

        A page is asked for when the one before it has been consumed.

        Args:
            date: The day of the transactions; this or ``batch_id`` is needed.
            batch_id: The batch that they are in.
            merchant_id: Only of the merchant with this id of the processor's.
            transaction_type: Only ``"Capture"`` or only ``"Return"``, with capitals here.
            limit: How many a page holds, 10 if left out; not how many there are in all.
            before: The cursor to go back from, the nearest before it first; not beside ``after``.
            after: The cursor to begin after.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: While it is consumed: the gateway refused; ForbiddenError if the API key may
                not see reports.
            TransportError: While it is consumed: no answer came.
            ResponseFormatError: While it is consumed: a page can't be read, or its link to the next
                leads nowhere. There may be more than was found.

        Cancellation:
            The request for a page is dropped.
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
    """The authorizations that belong to what was submitted to the processor."""

    async def retrieve(self, authorization_id: int) -> models.Authorization:
        """The authorization.

        Args:
            authorization_id: The authorization's id, a number.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the authorization,
                ForbiddenError if the API key may not see reports.
            TransportError: No answer came.

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
        """Every authorization of a day or a batch, from all pages: ``async for one in ...``.

        A page is asked for when the one before it has been consumed.

        Args:
            date: The day of the authorizations; this or ``batch_id`` is needed.
            batch_id: The batch that they are in.
            merchant_id: Only of the merchant with this id of the processor's.
            limit: How many a page holds, 10 if left out; not how many there are in all.
            before: The cursor to go back from, the nearest before it first; not beside ``after``.
            after: The cursor to begin after.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: While it is consumed: the gateway refused; ForbiddenError if the API key may
                not see reports.
            TransportError: While it is consumed: no answer came.
            ResponseFormatError: While it is consumed: a page can't be read, or its link to the next
                leads nowhere. There may be more than was found.

        Cancellation:
            The request for a page is dropped.
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
