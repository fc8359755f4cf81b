"""The calls about payments, one each, typed. Source: contract section 2."""

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
    """The payments: where an approval or a decline is found, and what can be done about one."""

    async def retrieve(self, payment_id: str) -> models.Payment:
        """The payment. Source: contract section 5.

        Args:
            payment_id: The payment's id, which is not the instruction's.

        Raises:
            ConfigurationError: The id can't be one; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the payment.
            TransportError: No answer came.

        Cancellation:
            The request is dropped.
        """
        return await self._retrieve(PAYMENT, "payment_id", payment_id)

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
        """Every payment that fits, from all pages: ``async for payment in ...``.

        A page is asked for when the one before it has been consumed.

        Source: contract section 7.

        Args:
            processing_terminal_id: Only of this terminal.
            order_id: Only with this order id.
            operator: Only by this operator.
            cardholder_name: Only with this name on the card.
            first6: Only with these first six digits of the card's number.
            last4: Only with these last four.
            tender: Only by this kind of card, such as a ``Tender``.
            tip_mode: Only with this ``TipMode``, or ``noTip``; or with one of several.
            type: Only of this ``TransactionType``, or of one of several.
            status: Only of this ``TransactionStatus``, or of one of several, as
                ``("ready", "pending")``.
            date_from: Only from then on; a time needs a time zone.
            date_to: Only up to then; a time needs a time zone.
            settlement_state: Only in this state of settlement.
            settlement_date: Only settled on this day.
            payment_link_id: Only those that came by this payment link.
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
        """The payment, refunded in whole or in part; its ``refunds`` show the new one.

        For a payment whose batch is closed: while it is open, the gateway reverses the payment
        instead, which then has the status ``reversal`` and no new refund. A new refund has an
        ``outcome`` of its own. ``undo`` chooses between this and ``reverse``, and reads the answer.

        Args:
            payment_id: The payment's id.
            amount: How much, in the payment's currency's smallest unit.
            description: Why it is refunded.
            operator: Who runs the refund.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                refunds once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: It can't be refunded now.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be refunded all the same: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
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
        """The payment, voided in whole or in part while its batch is open.

        A refusal is answered with HTTP 200 too: ``raise_for_decline()`` of the answer raises then.

        Args:
            payment_id: The payment's id.
            amount: How much, in the payment's currency's smallest unit; all of it if left out.
            operator: Who runs the reversal.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                reverses once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: It can't be reversed any more: refund it.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be reversed all the same: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
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
        """The payment undone: reversed while its batch is open, refunded after.

        Which is asked for follows from the payment's ``supported_operations`` alone; which it was,
        from the answer. Retrieve a payment that you have kept for a while: if its batch has closed
        since, the gateway refuses.

        Args:
            payment: The payment, as the gateway gave it.
            description: Why; a refund carries it.
            amount: How much, in the payment's currency's smallest unit; all of it if left out.
            operator: Who does it.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                undoes once.

        Returns:
            Whether it was reversed or refunded, and the payment as it is now. ``how`` is None where
            the answer does not show that it was done: the gateway answers a refusal with HTTP 200
            as well, and ``outcome`` says of which kind it is.

        Raises:
            ConfigurationError: An argument is wrong, or the payment supports neither; nothing was
                sent.
            ConflictError: The payment has changed since it was read: retrieve it again, and undo it
                under a fresh key.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be undone all the same: repeat the call
                under the error's ``idempotency_key``, with the same payment.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
        """
        if not isinstance(payment, models.Payment):
            raise ConfigurationError(
                "payment",
                f"must be a Payment, as payments.retrieve gives one, not {a_type(payment)}",
            )
        check_undoable(payment, UNDOING)
        # Made now, so that a wrong argument is refused whichever it is to be.
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
        """The payment of a pre-authorization, captured.

        A refusal is answered with HTTP 200 too: ``raise_for_decline()`` of the answer raises then.

        Args:
            payment_id: The payment's id.
            amount: How much, in the payment's currency's smallest unit; all of it if left out.
            breakdown: What the amount is made of.
            processing_terminal_id: The terminal that captures it.
            operator: Who runs the capture.
            idempotency_key: A UUID v4; a fresh one by default. The same call under the same key
                captures once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            ConflictError: It can't be captured.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true it may be captured all the same: repeat the call
                under the error's ``idempotency_key``.

        Cancellation:
            The request may take effect. Who may cancel gives a key of their own, and repeats the
            call under it to learn.
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
        """The payment, changed while its batch is open: its amount, status, customer, signature.

        A refusal is answered with HTTP 200 too: ``raise_for_decline()`` of the answer raises then.

        Source: contract section 6.

        Args:
            payment_id: The payment's id.
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
        body = models.AdjustmentRequest(adjustments=adjustments, operator=operator)
        return await self._post_action(
            PAYMENT, "payment_id", payment_id, "adjust", body, idempotency_key
        )
