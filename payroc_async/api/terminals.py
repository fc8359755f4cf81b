"""Processing terminals: their features, and closing their batch. Source: contract section 10."""

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
    """Processing terminals: a merchant's configurations at the gateway."""

    async def retrieve(self, processing_terminal_id: str) -> models.ProcessingTerminal:
        """Retrieve a terminal with its features. Source: contract section 10.

        The gateway finds only terminals that were ordered through Payroc's API. Sales may work on a
        terminal that is not found here.

        Args:
            processing_terminal_id: The terminal's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the terminal.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(TERMINAL, "processing_terminal_id", processing_terminal_id)

    async def close_batch(
        self, processing_terminal_id: str, *, idempotency_key: str | UUID | None = None
    ) -> models.BatchClosing:
        """Ask the gateway to close the terminal's batch, and return when it will do so.

        The gateway settles the payments captured since the last close. It captures nothing: a
        ``pending`` pre-authorization stays pending. The batch is closed later, so the answer does
        not list what is settled: use ``payments.search`` with ``settlement_state``, and
        ``batches.search`` once the batch was submitted. From then on, a payment can be refunded
        but no longer reversed.

        Args:
            processing_terminal_id: The terminal's id.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                closes one batch. The effect of a second call under another key is not documented.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the batch may have been closed: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        check_identifier("processing_terminal_id", processing_terminal_id)
        key = given_or_new_key(idempotency_key)
        path = resource_request(BATCH_CLOSING, processing_terminal_id).path
        request = Request("POST", f"{path}/close-batch", None, key)
        return await self._post(
            request, lambda answer: decipher_resource(BATCH_CLOSING, answer, request)
        )
