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
    """The collection of one terminal's secure tokens."""
    check_identifier("processing_terminal_id", processing_terminal_id)
    terminal = quote(processing_terminal_id, safe="")
    return Resource(
        noun="secure token",
        resources=f"processing-terminals/{terminal}/secure-tokens",
        resource_type=models.RetrievedSecureToken,
        resource_id=lambda token: token.secure_token_id,
    )


class SecureTokens(Endpoint):
    """The cards that were saved, by a sale with ``credential_on_file.tokenize`` for example."""

    async def retrieve(
        self, processing_terminal_id: str, secure_token_id: str
    ) -> models.RetrievedSecureToken:
        """The saved card.

        Args:
            processing_terminal_id: The terminal that it was saved on.
            secure_token_id: The record's id, which is not the token that is charged.

        Raises:
            ConfigurationError: An id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the record.
            TransportError: No answer came.

        Cancellation:
            The request is dropped.
        """
        resource = _tokens_of(processing_terminal_id)
        return await self._retrieve(resource, "secure_token_id", secure_token_id)

    async def delete(self, processing_terminal_id: str, secure_token_id: str) -> None:
        """Delete a saved card, for good: its token can be charged no more.

        Args:
            processing_terminal_id: The terminal that it was saved on.
            secure_token_id: The record's id, which is not the token that is charged.

        Raises:
            ConfigurationError: An id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the record, and this
                call can't have deleted it.
            TransportError: No answer came; it may be deleted.

        Cancellation:
            The request may take effect.
        """
        check_identifier("secure_token_id", secure_token_id)
        found = resource_request(_tokens_of(processing_terminal_id), secure_token_id)
        try:
            await self._channel().call(Request("DELETE", found.path), decipher_success)
        except NotFoundError as error:
            # A try before this one, whose answer was lost, has deleted it: the gateway says so
            # itself, and no proxy.
            if not (error.may_have_taken_effect and error.own):
                raise

    @refusing_unseen(ConfigurationError)  # they may hold a card's number
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
        """Every saved card of a terminal that fits, from all pages: ``async for card in ...``.

        A page is asked for when the one before it has been consumed.

        Args:
            processing_terminal_id: The terminal that they were saved on.
            secure_token_id: Only the record with this id.
            customer_name: Only of the customer with this name.
            phone: Only of the customer with this number.
            email: Only of the customer with this address.
            token: Only the record of this token.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            limit: How many a page holds, 10 if left out; not how many there are in all.
            before: The cursor to go back from, the nearest before it first; not beside ``after``.
            after: The cursor to begin after.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            SessionClosedError: The session is not open.
            APIError: While it is consumed: the gateway refused.
            TransportError: While it is consumed: no answer came.
            ResponseFormatError: While it is consumed: a page can't be read, or its link to the next
                leads nowhere. There may be more than was found.

        Cancellation:
            The request for a page is dropped.
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
