"""Saved cards: secure tokens. Source: contract section 12."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from payroc_async import models
from payroc_async.errors import ConfigurationError, NotFoundError
from payroc_async.kinds import Resource
from payroc_async.secret import refusing_unseen
from payroc_async.wire.protocol import Request, check_identifier, decipher_success, resource_request

from .resources import Endpoint

__all__ = ["SecureTokens"]


def _tokens_of(processing_terminal_id: str) -> Resource[models.RetrievedSecureToken]:
    """Path of one terminal's collection of secure tokens."""
    check_identifier("processing_terminal_id", processing_terminal_id)
    terminal = quote(processing_terminal_id, safe="")
    return Resource(
        noun="secure token",
        resources=f"processing-terminals/{terminal}/secure-tokens",
        resource_type=models.RetrievedSecureToken,
        resource_id=lambda token: token.secure_token_id,
    )


class SecureTokens(Endpoint):
    """Saved cards, for example those saved by a sale with ``credential_on_file.tokenize``."""

    async def retrieve(
        self, processing_terminal_id: str, secure_token_id: str
    ) -> models.RetrievedSecureToken:
        """Retrieve a saved card.

        Args:
            processing_terminal_id: The terminal that the card was saved on.
            secure_token_id: The record's id. It is not the token that is charged.

        Raises:
            ConfigurationError: An id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the record.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        resource = _tokens_of(processing_terminal_id)
        return await self._retrieve(resource, "secure_token_id", secure_token_id)

    async def delete(self, processing_terminal_id: str, secure_token_id: str) -> None:
        """Delete a saved card permanently: its token can no longer be charged.

        Args:
            processing_terminal_id: The terminal that the card was saved on.
            secure_token_id: The record's id. It is not the token that is charged.

        Raises:
            ConfigurationError: An id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the record and no
                earlier attempt of this call can have deleted it.
            TransportError: The gateway did not answer; the record may be deleted.

        Cancellation:
            The request may take effect.
        """
        check_identifier("secure_token_id", secure_token_id)
        found = resource_request(_tokens_of(processing_terminal_id), secure_token_id)
        try:
            await self._channel().call(Request("DELETE", found.path), decipher_success)
        except NotFoundError as error:
            # An earlier attempt, whose answer was lost, has deleted the card. The 404 is the
            # gateway's own, not a proxy's.
            if not (error.may_have_taken_effect and error.own):
                raise

    @refusing_unseen(ConfigurationError)  # the parameters may hold a card number
    def search(
        self,
        processing_terminal_id: str,
        *,
        secure_token_id: str | None = None,
        customer_name: str | None = None,
        phone: str | None = None,
        email: str | None = None,
        token: str | None = None,
        first6: str | None = None,
        last4: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.RetrievedSecureToken]:
        """Iterate over a terminal's saved cards that match: ``async for card in ...``.

        The next page is requested only after the previous one has been consumed.

        Args:
            processing_terminal_id: The terminal that the cards were saved on.
            secure_token_id: Only the record with this id.
            customer_name: Only of the customer with this name.
            phone: Only of the customer with this number.
            email: Only of the customer with this address.
            token: Only the record of this token.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            limit: The page size (the gateway's default is 10). It does not limit the total.
            before: Go back from this cursor, nearest entry first. Not together with ``after``.
            after: Begin after this cursor.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: During iteration, the gateway refused the request for a page.
            TransportError: During iteration, the gateway did not answer.
            ResponseFormatError: During iteration, a page or its link to the next page is malformed.
                The result is incomplete.

        Cancellation:
            The request for the current page is dropped.
        """
        filters = models.SecureTokenFilters(
            secure_token_id=secure_token_id,
            customer_name=customer_name,
            phone=phone,
            email=email,
            token=token,
            first6=first6,
            last4=last4,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(_tokens_of(processing_terminal_id), filters)
