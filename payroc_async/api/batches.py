"""Batches as the processor was given them. Source: contract section 11."""

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
