"""Typed single calls for refunds. Source: contract sections 2, 6 and 7."""

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
    """Refunds, whether they refer to a payment or not."""

    async def retrieve(self, refund_id: str) -> models.Refund:
        """Retrieve a refund. Source: contract section 5.

        Args:
            refund_id: The refund's id. It is not the instruction's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the refund.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(REFUND, "refund_id", refund_id)

    @refusing_unseen(ConfigurationError)  # the parameters may hold a card number
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
        """Iterate over the refunds that match, across all pages: ``async for refund in ...``.

        The next page is requested only after the previous one has been consumed.

        Source: contract section 7.

        Args:
            processing_terminal_id: Only of this terminal.
            order_id: Only with this order id. The refund of a payment has the payment's order id.
            operator: Only by this operator.
            cardholder_name: Only with this name on the card.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            tender: Only to this kind of card, such as a ``Tender``.
            status: Only of this ``TransactionStatus``, or of one of several.
            date_from: Only from this date or time on; a time needs a time zone.
            date_to: Only up to this date or time; a time needs a time zone.
            settlement_state: Only in this state of settlement, ``settled`` or ``unsettled``.
            settlement_date: Only settled on this day.
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
        """Reverse (void) a refund while its batch is open.

        The gateway answers a refusal with HTTP 200, too: call ``raise_for_decline()`` on the
        result.

        Args:
            refund_id: The refund's id.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                reverses once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The refund can no longer be reversed.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the reversal may have been made: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
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
        """Adjust a refund while its batch is open: its status or its customer.

        The gateway answers a refusal with HTTP 200, too: call ``raise_for_decline()`` on the
        result.

        Args:
            refund_id: The refund's id.
            adjustments: What to change, at least one.
            operator: Who makes the change.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                changes once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The refund can no longer be adjusted.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the change may have been made: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        body = models.RefundAdjustmentRequest(adjustments=adjustments, operator=operator)
        return await self._post_action(
            REFUND, "refund_id", refund_id, "adjust", body, idempotency_key
        )
