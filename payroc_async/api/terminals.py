"""Processing terminals: their batch closed, and what they can do. Source: contract section 10."""

from __future__ import annotations

from uuid import UUID

from payroc_async import models
from payroc_async.kinds import Resource
from payroc_async.wire.protocol import (
    Request,
    check_identifier,
    decipher_resource,
    resource_request,
)

from .resources import Endpoint, given_or_new_key

__all__ = ["Terminals"]

TERMINAL: Resource[models.ProcessingTerminal] = Resource(
    noun="terminal",
    resources="processing-terminals",
    resource_type=models.ProcessingTerminal,
    resource_id=lambda terminal: terminal.processing_terminal_id,
)
BATCH_CLOSING: Resource[models.BatchClosing] = Resource(
    noun="closing of a batch",
    resources="processing-terminals",
    resource_type=models.BatchClosing,
    resource_id=lambda closing: None,
)


class Terminals(Endpoint):
    """The processing terminals: the merchant's configurations."""

    async def retrieve(self, processing_terminal_id: str) -> models.ProcessingTerminal:
        """The terminal, with its features. Source: contract section 10.

        The gateway knows a terminal here only if it was ordered through Payroc's API: sales may
        well work on one that is not found.

        Args:
            processing_terminal_id: The terminal's id.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the terminal.
            TransportError: No answer came.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(TERMINAL, "processing_terminal_id", processing_terminal_id)

    async def close_batch(
        self, processing_terminal_id: str, *, idempotency_key: str | UUID | None = None
    ) -> models.BatchClosing:
        """When the gateway closes the terminal's batch, after it was asked to close it.

        The gateway settles what was captured since the last close. It captures nothing: a
        pre-authorization that is ``pending`` stays so. The answer does not say what is settled, for
        the batch is closed later: ``payments.search`` with ``settlement_state`` shows that, and
        ``batches.search`` the batch once it was submitted. From then on, a payment is refunded and
        no longer reversed.

        Args:
            processing_terminal_id: The terminal's id.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                closes one batch. What a second call under another key does, no source says.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true the batch may be closed all the same: repeat the
                call under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. A caller that may be canceled gives a key, and repeats the
            call under it to learn.
        """
        check_identifier("processing_terminal_id", processing_terminal_id)
        key = given_or_new_key(idempotency_key)
        path = resource_request(BATCH_CLOSING, processing_terminal_id).path
        request = Request("POST", f"{path}/close-batch", None, key)
        return await self._post(
            request, lambda answer: decipher_resource(BATCH_CLOSING, answer, request)
        )
