"""Typed single calls for payments. Source: contract section 2."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from uuid import UUID

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.kinds import PAYMENT
from payroc_async.models.enums import SupportedOperation
from payroc_async.secret import refusing_unseen
from payroc_async.wording import a_type

from .charges import Charges
from .undo import (
    UNDOING,
    amount_to_undo,
    check_undoable,
    is_reversible,
    undone_by_refund,
    undone_by_reversal,
)

__all__ = ["Payments"]


class Payments(Charges):
    """Payments: retrieve, search, refund, reverse, undo, capture and adjust them."""

    async def retrieve(self, payment_id: str) -> models.Payment:
        """Retrieve a payment, approved or declined. Source: contract section 5.

        Args:
            payment_id: The payment's id. It is not the instruction's id.

        Raises:
            ConfigurationError: The id is malformed; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the payment.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(PAYMENT, "payment_id", payment_id)

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
        tip_mode: str | Sequence[str] | None = None,
        type: str | Sequence[str] | None = None,
        status: str | Sequence[str] | None = None,
        date_from: date | datetime | None = None,
        date_to: date | datetime | None = None,
        settlement_state: str | None = None,
        settlement_date: date | None = None,
        payment_link_id: str | None = None,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> AsyncIterator[models.Payment]:
        """Iterate over the payments that match, across all pages: ``async for payment in ...``.

        The next page is requested only after the previous one has been consumed.

        Source: contract section 7.

        Args:
            processing_terminal_id: Only of this terminal.
            order_id: Only with this order id.
            operator: Only by this operator.
            cardholder_name: Only with this name on the card.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            tender: Only by this kind of card, such as a ``Tender``.
            tip_mode: Only with this ``TipMode`` or ``noTip``, or with one of several.
            type: Only of this ``TransactionType``, or of one of several.
            status: Only of this ``TransactionStatus``, or of one of several, as
                ``("ready", "pending")``.
            date_from: Only from this date or time on; a time needs a time zone.
            date_to: Only up to this date or time; a time needs a time zone.
            settlement_state: Only in this state of settlement.
            settlement_date: Only settled on this day.
            payment_link_id: Only payments made through this payment link.
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
        filters = models.PaymentFilters(
            processing_terminal_id=processing_terminal_id,
            order_id=order_id,
            operator=operator,
            cardholder_name=cardholder_name,
            first6=first6,
            last4=last4,
            tender=tender,
            tip_mode=tip_mode,
            type=type,
            status=status,
            date_from=date_from,
            date_to=date_to,
            settlement_state=settlement_state,
            settlement_date=settlement_date,
            payment_link_id=payment_link_id,
            limit=limit,
            before=before,
            after=after,
        )
        return self._search(PAYMENT, filters)

    async def refund(
        self,
        payment_id: str,
        *,
        amount: int,
        description: str,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Payment:
        """Refund a payment in full or in part; the result's ``refunds`` show the new refund.

        Use this once the payment's batch is closed. While the batch is open, the gateway reverses
        the payment instead: its status is then ``reversal``, and there is no new refund. Check the
        new refund's own ``outcome``. ``undo`` chooses between this call and ``reverse``, and
        checks the answer.

        Args:
            payment_id: The payment's id.
            amount: In the smallest unit of the payment's currency.
            description: The reason for the refund.
            operator: Who runs the refund.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                refunds once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The payment can't be refunded in its present state.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the payment may have been refunded: repeat the
                call under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        body = models.ReferencedRefundRequest(
            amount=amount, description=description, operator=operator
        )
        return await self._post_action(
            PAYMENT, "payment_id", payment_id, "refund", body, idempotency_key
        )

    async def reverse(
        self,
        payment_id: str,
        *,
        amount: int | None = None,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Payment:
        """Reverse (void) a payment, in full or in part, while its batch is open.

        The gateway answers a refusal with HTTP 200, too: call ``raise_for_decline()`` on the
        result.

        Args:
            payment_id: The payment's id.
            amount: In the smallest unit of the payment's currency; the full amount by default.
            operator: Who runs the reversal.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                reverses once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The payment can no longer be reversed: refund it.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the reversal may have been made: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        body = models.ReversalRequest(amount=amount, operator=operator)
        return await self._post_action(
            PAYMENT, "payment_id", payment_id, "reverse", body, idempotency_key
        )

    async def undo(
        self,
        payment: models.Payment,
        *,
        description: str,
        amount: int | None = None,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Undone:
        """Undo a payment: reverse it while its batch is open, refund it afterwards.

        The payment's ``supported_operations`` decide which call is made; the answer shows which of
        the two was done. If you have kept the payment for a while, retrieve it again first: if its
        batch has closed since, the gateway refuses.

        Args:
            payment: The payment, as returned by the gateway.
            description: The reason, sent with a refund.
            amount: In the smallest unit of the payment's currency; the full amount by default.
            operator: Who undoes the payment.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                undoes once.

        Returns:
            How the payment was undone, and the payment after the call. ``how`` is None if the
            answer does not prove that the payment was undone: the gateway answers a refusal with
            HTTP 200, too; see ``outcome``.

        Raises:
            ConfigurationError: An argument is wrong, or the payment supports neither operation;
                nothing was sent.
            ConflictError: The payment has changed since it was retrieved: retrieve it again, and
                undo it under a fresh key.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the payment may have been undone: repeat the call
                with the same payment under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        if not isinstance(payment, models.Payment):
            raise ConfigurationError(
                "payment",
                f"must be a Payment, as payments.retrieve gives one, not {a_type(payment)}",
            )
        check_undoable(payment, UNDOING)
        # Build both requests now: a wrong argument is refused whichever call is made.
        refund = models.ReferencedRefundRequest(
            amount=amount_to_undo(payment, amount), description=description, operator=operator
        )
        id_, repeated = payment.payment_id, idempotency_key is not None
        if is_reversible(payment, amount):
            reversed_ = await self.reverse(
                id_, amount=amount, operator=operator, idempotency_key=idempotency_key
            )
            return undone_by_reversal(payment, reversed_, amount, repeated=repeated)
        check_undoable(payment, {SupportedOperation.REFUND})
        refunded = await self._post_action(
            PAYMENT, "payment_id", id_, "refund", refund, idempotency_key
        )
        return undone_by_refund(payment, refunded, refund.amount, repeated=repeated)

    async def capture(
        self,
        payment_id: str,
        *,
        amount: int | None = None,
        breakdown: models.ItemizedBreakdown | None = None,
        processing_terminal_id: str | None = None,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Payment:
        """Capture a pre-authorized payment.

        The gateway answers a refusal with HTTP 200, too: call ``raise_for_decline()`` on the
        result.

        Args:
            payment_id: The payment's id.
            amount: In the smallest unit of the payment's currency; the full amount by default.
            breakdown: The parts of the amount.
            processing_terminal_id: The terminal that captures it.
            operator: Who runs the capture.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                captures once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The payment can't be captured in its present state.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the payment may have been captured: repeat the
                call under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        body = models.CaptureRequest(
            amount=amount,
            breakdown=breakdown,
            processing_terminal_id=processing_terminal_id,
            operator=operator,
        )
        return await self._post_action(
            PAYMENT, "payment_id", payment_id, "capture", body, idempotency_key
        )

    async def adjust(
        self,
        payment_id: str,
        *adjustments: models.Adjustment,
        operator: str | None = None,
        idempotency_key: str | UUID | None = None,
    ) -> models.Payment:
        """Adjust a payment while its batch is open: its amount, status, customer or signature.

        The gateway answers a refusal with HTTP 200, too: call ``raise_for_decline()`` on the
        result.

        Source: contract section 6.

        Args:
            payment_id: The payment's id.
            adjustments: What to change, at least one.
            operator: Who makes the change.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                changes once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: The payment can no longer be adjusted.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the change may have been made: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may still take effect. To find out, repeat the call under the same key: pass
            your own ``idempotency_key`` if the task may be canceled.
        """
        body = models.AdjustmentRequest(adjustments=adjustments, operator=operator)
        return await self._post_action(
            PAYMENT, "payment_id", payment_id, "adjust", body, idempotency_key
        )
