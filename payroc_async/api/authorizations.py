"""Authorizations as the processor gave them. Source: contract section 11."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date as calendar_date

from payroc_async import models
from payroc_async.kinds import Resource

from .identifiers import check_number
from .resources import Endpoint

__all__ = ["Authorizations"]

AUTHORIZATION: Resource[models.Authorization] = Resource(
    noun="authorization",
    resources="authorizations",
    resource_type=models.Authorization,
    resource_id=lambda one: None if one.authorization_id is None else str(one.authorization_id),
)


class Authorizations(Endpoint):
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
        number = check_number("authorization_id", authorization_id)
        return await self._retrieve(AUTHORIZATION, "authorization_id", number)

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
