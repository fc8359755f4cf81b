"""Typed one-call endpoints. Source: contract section 2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

from payroc_async import models
from payroc_async.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    ResponseFormatError,
)
from payroc_async.http.transport import Transport
from payroc_async.kinds import CLOSED_LOOP_READ, DEVICE, SIGNATURE, Kind, Resource
from payroc_async.logs import get_logger
from payroc_async.loop_guard import GuardedGenerator
from payroc_async.models.enums import InstructionStatus
from payroc_async.secret import Secret
from payroc_async.wire.converter import encode, encode_query
from payroc_async.wire.protocol import (
    Answer,
    Request,
    action_request,
    cancel_request,
    check_idempotency_key,
    check_identifier,
    decipher_instruction,
    decipher_page,
    decipher_resource,
    decipher_success,
    new_idempotency_key,
    next_page_request,
    previous_page_request,
    resource_request,
    search_request,
    status_request,
    submit_request,
)
from payroc_async.wording import a_type, with_article

__all__ = [
    "ClosedLoopReads",
    "Devices",
    "Endpoint",
    "Instructions",
    "Signatures",
    "check_request",
    "given_or_new_key",
    "pages_of",
]

logger = get_logger(__name__)

InstructionT = TypeVar("InstructionT", bound="models.Instruction")
T = TypeVar("T")

Channel = Callable[[], Transport]
"""Returns the session's transport, or raises SessionClosedError."""


def check_request(kind: Kind[Any, Any], request: object) -> None:
    """Refuse a request of another kind.

    Raises:
        ConfigurationError: The request is of another type.
    """
    wanted = kind.request_type
    if not isinstance(request, wanted):
        raise ConfigurationError(
            "request", f"must be {with_article(wanted.__name__)}, not {a_type(request)}"
        )


def given_or_new_key(idempotency_key: str | UUID | None) -> str:
    """Return the caller's idempotency key, or a fresh one.

    Raises:
        ConfigurationError: The caller's key is not a UUID v4.
    """
    if idempotency_key is None:
        return new_idempotency_key()
    return check_idempotency_key(idempotency_key)


class Endpoint:
    """Base of every group of calls."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def _retrieve(self, resource: Resource[T], name: str, resource_id: str) -> T:
        check_identifier(name, resource_id)
        request = resource_request(resource, resource_id)
        return await self._channel().call(
            request, lambda answer: decipher_resource(resource, answer, request)
        )

    async def _post_action(
        self,
        resource: Resource[T],
        name: str,
        resource_id: str,
        action: str,
        body: object | None,
        idempotency_key: str | UUID | None,
    ) -> T:
        """POST to a resource under one idempotency key, with or without a body (P1)."""
        check_identifier(name, resource_id)
        key = given_or_new_key(idempotency_key)
        sent = None if body is None else encode(body)
        request = action_request(resource, resource_id, action, sent, key)
        return await self._post(
            request, lambda answer: decipher_resource(resource, answer, request)
        )

    async def _post(self, request: Request, decipher: Callable[[Answer], T]) -> T:
        try:
            return await self._channel().call(request, decipher)
        except asyncio.CancelledError:
            logger.warning(
                "request canceled, but it may take effect: %s %s, idempotency key %s",
                request.method,
                request.path,
                request.idempotency_key,
                extra={"idempotency_key": request.idempotency_key},
            )
            raise

    def _search(self, resource: Resource[T], filters: models.Filters) -> AsyncIterator[T]:
        """Iterate over the items of all pages. A closed session raises at the call, not later."""
        self._channel()
        return GuardedGenerator(self._items(resource, filters))

    async def _items(
        self, resource: Resource[T], filters: models.Filters
    ) -> AsyncGenerator[T, None]:
        async for page in self._pages(resource, filters):
            for item in page.data if filters.before is None else reversed(page.data):
                yield item

    async def _pages(
        self, resource: Resource[T], filters: models.Filters
    ) -> AsyncIterator[models.Page[T]]:
        request: Request | None = search_request(resource, encode_query(filters))
        follow = next_page_request if filters.before is None else previous_page_request
        asked: set[str] = set()
        while request is not None:
            if request.path in asked:
                raise ResponseFormatError("the links between the pages form a loop")
            asked.add(Secret(request.path))  # the query may name a cardholder
            page = await self._channel().call(
                request, lambda answer: decipher_page(resource, answer)
            )
            yield page
            request = follow(resource, page)


def pages_of(
    endpoint: Endpoint, resource: Resource[T], filters: models.Filters
) -> AsyncIterator[models.Page[T]]:
    """Iterate over the pages of a search, each with the number of its unreadable entries."""
    return endpoint._pages(resource, filters)


class Instructions(Endpoint, Generic[InstructionT]):
    """Single calls for the instructions of one kind.

    These calls do not poll an instruction: ``run_sale``, ``start_sale`` and their like do.
    """

    def __init__(self, kind: Kind[InstructionT, Any], channel: Channel) -> None:
        super().__init__(channel)
        self._kind = kind

    async def submit(
        self, serial_number: str, request: object, *, idempotency_key: str | UUID | None = None
    ) -> InstructionT:
        """Submit an instruction to a device, and return it once the gateway has accepted it.

        Args:
            serial_number: The device's serial number.
            request: What the device is to do.
            idempotency_key: A UUID v4; a fresh one by default. The same request under the same key
                makes no second instruction.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the instruction may exist: to find out, submit
                the same request under the error's ``idempotency_key``.

        Cancellation:
            The instruction may exist and run on the device. It is not canceled.
        """
        check_identifier("serial_number", serial_number)
        check_request(self._kind, request)
        key = given_or_new_key(idempotency_key)
        return await self._post(
            submit_request(self._kind, serial_number, encode(request), key),
            lambda answer: decipher_instruction(self._kind, answer),
        )

    async def retrieve(self, instruction_id: str) -> InstructionT:
        """Retrieve an instruction's state. While it is in progress, the gateway holds the answer.

        Args:
            instruction_id: The instruction's id. Send no second request for it meanwhile.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the instruction.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped; the instruction goes on.
        """
        check_identifier("instruction_id", instruction_id)
        return await self._channel().call(
            status_request(self._kind, instruction_id),
            lambda answer: decipher_instruction(self._kind, answer, instruction_id),
            held=True,
        )

    async def cancel(self, instruction_id: str) -> None:
        """Cancel an instruction that is in progress; a second cancellation changes nothing.

        Args:
            instruction_id: The instruction's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            ConflictError: The instruction has ended in another state: retrieve it to see which.
            APIError: The gateway refused; NotFoundError if it does not know the instruction.
            TransportError: The gateway did not answer; the instruction may be canceled.

        Cancellation:
            The request may have taken effect.
        """
        check_identifier("instruction_id", instruction_id)
        try:
            await self._channel().call(cancel_request(self._kind, instruction_id), decipher_success)
        except (ConflictError, NotFoundError):
            # An earlier attempt, whose answer was lost, may have canceled it: the status decides.
            if not await self._is_canceled(instruction_id):
                raise

    async def _is_canceled(self, instruction_id: str) -> bool:
        try:
            instruction = await self.retrieve(instruction_id)
        except NotFoundError:
            return False
        return instruction.status == InstructionStatus.CANCELED


class Signatures(Endpoint):
    """Signatures captured on devices."""

    async def retrieve(self, signature_id: str) -> models.Signature:
        """Retrieve a signature with its image. Source: contract section 5.

        Args:
            signature_id: The signature's id, which is not the instruction's.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the signature.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(SIGNATURE, "signature_id", signature_id)


class ClosedLoopReads(Endpoint):
    """Reads of closed-loop cards on devices."""

    async def retrieve(self, closed_loop_read_id: str) -> models.ClosedLoopRead:
        """Retrieve the data read from a closed-loop card. Source: contract section 2.

        Args:
            closed_loop_read_id: The read's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the read.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(CLOSED_LOOP_READ, "closed_loop_read_id", closed_loop_read_id)


class Devices(Endpoint):
    """The merchant's payment devices."""

    def search(
        self,
        *,
        serial_number: str | None = None,
        ksi: str | None = None,
        model: str | None = None,
        active: bool | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.Device]:
        """Iterate over the devices that match, across all pages: ``async for device in ...``.

        The next page is requested only after the previous one has been consumed.

        Source: contract section 7.

        Args:
            serial_number: Only the device with this serial number.
            ksi: Only with this key serial identifier.
            model: Only of this model.
            active: Only those in use, or only those that are not.
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
        filters = models.DeviceFilters(
            serial_number=serial_number,
            ksi=ksi,
            model=model,
            active=active,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(DEVICE, filters)
