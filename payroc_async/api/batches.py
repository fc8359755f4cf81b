"""Batches as submitted to the processor. Source: contract section 11."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date as calendar_date

from payroc_async import models
from payroc_async.kinds import Resource

from .identifiers import check_number
from .resources import Endpoint

__all__ = ["Batches"]

BATCH: Resource[models.Batch] = Resource(
    noun="batch",
    resources="batches",
    resource_type=models.Batch,
    resource_id=lambda batch: None if batch.batch_id is None else str(batch.batch_id),
)


class Batches(Endpoint):
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
        return await self._retrieve(BATCH, "batch_id", check_number("batch_id", batch_id))

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
