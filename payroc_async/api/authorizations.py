"""The processor's authorizations. Source: contract section 11."""

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
        """Iterate over the authorizations of a day or a batch: ``async for authorization in ...``.

        The next page is requested only after the previous one has been consumed.

        Args:
            date: The day of the authorizations; either this or ``batch_id`` is required.
            batch_id: The batch that the authorizations are in.
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
