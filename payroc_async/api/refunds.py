"""The calls about refunds, one each, typed. Source: contract sections 2, 6 and 7."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from uuid import UUID

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.kinds import REFUND
from payroc_async.secret import refusing_unseen

from .resources import Endpoint

__all__ = ["Refunds"]


class Refunds(Endpoint):
    """The refunds, of a payment or without one."""

    async def retrieve(self, refund_id: str) -> models.Refund:
        """The refund. Source: contract section 5.

        Args:
            refund_id: The refund's id, which is not the instruction's.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the refund.
            TransportError: No answer came.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(REFUND, "refund_id", refund_id)

    @refusing_unseen(ConfigurationError)  # they may hold a card's number
    def search(
        self,
        *,
        processing_terminal_id: str | None = None,
        order_id: str | None = None,
        operator: str | None = None,
        cardholder_name: str | None = None,
        first6: str | None = None,
        last4: str | None = None,
        tender: str | None = None,
        status: str | Sequence[str] | None = None,
        date_from: date | datetime | None = None,
        date_to: date | datetime | None = None,
        settlement_state: str | None = None,
        settlement_date: date | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.Refund]:
        """Every refund that fits, from all pages: ``async for refund in ...``.

        A page is asked for when the one before it has been consumed.

        Source: contract section 7.

        Args:
            processing_terminal_id: Only of this terminal.
            order_id: Only with this order id; that of a payment's refund is the payment's own.
            operator: Only by this operator.
            cardholder_name: Only with this name on the card.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            tender: Only to this kind of card, such as a ``Tender``.
            status: Only of this ``TransactionStatus``, or of one of several.
            date_from: Only from then on; a time needs a time zone.
            date_to: Only up to then; a time needs a time zone.
            settlement_state: Only in this state of settlement, ``settled`` or ``unsettled``.
            settlement_date: Only settled on this day.
            limit: How many a page holds, 1 to 100, 10 if left out; not how many there are in all.
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
        filters = models.RefundFilters(
            processing_terminal_id=processing_terminal_id,
            order_id=order_id,
            operator=operator,
            cardholder_name=cardholder_name,
            first6=first6,
            last4=last4,
            tender=tender,
            status=status,
            date_from=date_from,
            date_to=date_to,
            settlement_state=settlement_state,
            settlement_date=settlement_date,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(REFUND, filters)

    async def reverse(
        self, refund_id: str, *, idempotency_key: str | UUID | None = None
    ) -> models.Refund:
        """The refund, voided while its batch is open.

        A refusal is answered with HTTP 200 too: ``raise_for_decline()`` of the answer raises then.

        Args:
            refund_id: The refund's id.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                reverses once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: It can no longer be reversed.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be reversed all the same: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
        """
        return await self._post_action(
            REFUND, "refund_id", refund_id, "reverse", None, idempotency_key
        )

    async def adjust(
        self,
        refund_id: str,
        *adjustments: models.RefundAdjustment,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Refund:
        """The refund, changed while its batch is open: its status, or its customer.

        A refusal is answered with HTTP 200 too: ``raise_for_decline()`` of the answer raises then.

        Args:
            refund_id: The refund's id.
            adjustments: What to change, at least one.
            operator: Who makes the change.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                changes once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: It can't be changed any more.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be changed all the same: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
        """
        body = models.RefundAdjustmentRequest(adjustments=adjustments, operator=operator)
        return await self._post_action(
            REFUND, "refund_id", refund_id, "adjust", body, idempotency_key
        )
