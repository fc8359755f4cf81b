"""Processing terminals: their features, and closing their batch. Source: contract section 10."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar
from urllib.parse import quote
from uuid import UUID

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.kinds import Resource
from payroc_async.wire.protocol import (
    Request,
    check_identifier,
    decipher_resource,
    resource_request,
)

from .resources import Endpoint, given_or_new_key

__all__ = ["Terminals"]

T = TypeVar("T")

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
HOST: Resource[models.HostConfiguration] = Resource(
    noun="host configuration",
    resources="processing-terminals",
    resource_type=models.HostConfiguration,
    resource_id=lambda host: host.processing_terminal_id,
)
DEVICE_CONFIGURATION: Resource[models.DeviceConfiguration] = Resource(
    noun="device configuration",
    resources="processing-terminals",
    resource_type=models.DeviceConfiguration,
    resource_id=lambda configuration: None,
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

    def search(
        self,
        processing_account_id: str | int,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.ProcessingTerminal]:
        """Iterate over the terminals of a merchant's account: ``async for terminal in ...``.

        The next page is requested only after the previous one has been consumed. Source: contract
        section 10.

        Args:
            processing_account_id: The account's id, as in the ``merchant`` of a batch.
            limit: The page size, 1 to 100 (the gateway's default is 10). It does not limit the
                total.
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
        if isinstance(processing_account_id, bool):
            raise ConfigurationError("processing_account_id", "must be a string or an int")
        given = processing_account_id
        account = check_identifier(
            "processing_account_id", str(given) if isinstance(given, int) else given
        )
        resource: Resource[models.ProcessingTerminal] = Resource(
            noun="terminal",
            resources=f"processing-accounts/{quote(account, safe='')}/processing-terminals",
            resource_type=models.ProcessingTerminal,
            resource_id=lambda terminal: terminal.processing_terminal_id,
        )
        return self._search(resource, models.Filters(limit=limit, before=before, after=after))

    async def device_configuration(
        self, processing_terminal_id: str, model: str
    ) -> models.DeviceConfiguration:
        """Retrieve the capabilities of a device model on a terminal. Source: contract section 10.

        Args:
            processing_terminal_id: The terminal's id.
            model: The model, such as ``paxA920Pro``, 1 to 30 characters.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the terminal or model.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        check_identifier("model", model)
        part = f"device-configurations/{quote(model, safe='')}"
        return await self._part(DEVICE_CONFIGURATION, processing_terminal_id, part)

    async def host_configuration(self, processing_terminal_id: str) -> models.HostConfiguration:
        """Retrieve a terminal's configuration at its processor. Source: contract section 10.

        It is meant for operators of their own gateway; sales do not need it.

        Args:
            processing_terminal_id: The terminal's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the terminal.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._part(HOST, processing_terminal_id, "host-configurations")

    async def _part(self, resource: Resource[T], processing_terminal_id: str, part: str) -> T:
        """Return a resource below a terminal's path."""
        check_identifier("processing_terminal_id", processing_terminal_id)
        path = resource_request(resource, processing_terminal_id).path
        request = Request("GET", f"{path}/{part}")
        return await self._channel().call(
            request, lambda answer: decipher_resource(resource, answer, request)
        )

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
