"""Undoing a payment: which call to make, and what the answer proves. Pure.

Every answer is HTTP 200. Only its body says whether the payment was reversed, refunded or left
unchanged. Source: contract sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Literal

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.models.enums import Outcome, SupportedOperation, TransactionStatus

__all__ = [
    "UNDOING",
    "amount_to_undo",
    "check_undoable",
    "is_reversible",
    "total_amount",
    "undone_by_refund",
    "undone_by_reversal",
]

UNDOING = {
    SupportedOperation.FULLY_REVERSE,
    SupportedOperation.PARTIALLY_REVERSE,
    SupportedOperation.REFUND,
}
_APPROVED = (Outcome.APPROVED, Outcome.PARTIALLY_APPROVED)


def total_amount(payment: models.Payment) -> int | None:
    """Return a payment's full amount, in the smallest unit of its order's currency.

    Returns:
        The authorized amount; None if it is unknown or in another currency.
    """
    result = payment.transaction_result
    if result.authorized_amount is None:
        return payment.order.amount
    same = result.currency is None or payment.order.currency in (None, result.currency)
    return result.authorized_amount if same else None


# Which call ----------


def amount_to_undo(payment: models.Payment, amount: int | None) -> int:
    """Return the amount that a refund would give back.

    Raises:
        ConfigurationError: The amount exceeds the authorized amount, or is required and missing.
    """
    whole = total_amount(payment)
    if amount is not None:
        # Other types are refused by the request's own check.
        if isinstance(amount, int) and whole is not None and amount > whole:
            raise ConfigurationError(
                "amount", f"must not exceed the authorized amount, {whole}; it is {amount}"
            )
        return amount
    if _has_refunds(payment):
        raise ConfigurationError("amount", "is required: the payment was already refunded in part")
    if whole is None:
        why = "the authorized amount is unknown or in another currency"
        raise ConfigurationError("amount", f"is required: {why}")
    return whole


def is_reversible(payment: models.Payment, amount: int | None) -> bool:
    """Whether a payment's ``supported_operations`` include the reversal of this amount."""
    operation = SupportedOperation.PARTIALLY_REVERSE
    if _is_whole(payment, amount):
        operation = SupportedOperation.FULLY_REVERSE
    return operation in payment.supported_operations


def check_undoable(payment: models.Payment, operations: Set[SupportedOperation]) -> None:
    """Refuse a payment that holds no money, or supports none of these operations.

    Raises:
        ConfigurationError: The payment can't be undone.
    """
    status = payment.transaction_result.status
    if status in (TransactionStatus.REVERSAL, TransactionStatus.EXPIRED):
        # Such a payment may list operations all the same (contract section 5).
        raise ConfigurationError(
            "payment", f"can't be undone: its status is {status}, so no money was taken"
        )
    if operations.isdisjoint(payment.supported_operations):
        known = ", ".join(payment.supported_operations) or "nothing"
        raise ConfigurationError("payment", f"can't be undone this way: it supports {known}")


def _has_refunds(payment: models.Payment) -> bool:
    # Check the raw object as well: an unreadable summary is missing from the list.
    return bool(payment.refunds or payment.raw.get("refunds"))


def _is_whole(payment: models.Payment, amount: int | None) -> bool:
    # After a partial refund, the full amount can no longer be reversed.
    return not _has_refunds(payment) and amount in (None, total_amount(payment))


# What its answer proves ----------


def undone_by_reversal(
    before: models.Payment, after: models.Payment, amount: int | None, *, repeated: bool
) -> models.Undone:
    """Return what the answer to a reversal proves.

    Args:
        before: The payment before the call. It may already show an earlier attempt's effect.
        after: The answer.
        amount: How much was to be reversed; None for all.
        repeated: Whether there may have been an earlier try.
    """
    outcome = after.outcome
    status = after.transaction_result.status
    if _is_whole(before, amount):
        # A missing status is no contradiction: the code decides (contract section 15).
        done = status in (None, TransactionStatus.REVERSAL)
    else:  # a part may leave any status that holds money (contract section 6)
        lowered = amount is not None and _lowered(before, after, amount, repeated=repeated)
        done = status == TransactionStatus.REVERSAL or (after.in_effect and lowered)
    done = done and outcome in _APPROVED
    if outcome in _APPROVED and not done:
        outcome = Outcome.UNKNOWN  # an approval's code, but the payment was not reversed
    how: Literal["reversed"] | None = "reversed" if done else None
    return models.Undone(how=how, asked="reverse", outcome=outcome, payment=after)


def undone_by_refund(
    before: models.Payment, after: models.Payment, amount: int, *, repeated: bool
) -> models.Undone:
    """What the answer to a refund says: in an open batch, the gateway reverses instead.

    Args:
        before: The payment before the call. It may already show an earlier attempt's effect.
        after: The answer.
        amount: How much was to be given back.
        repeated: Whether there may have been an earlier try.
    """
    made = _refunds_made(before, after, amount, repeated=repeated)
    refund = made[0] if len(made) == 1 else None  # the contract does not define the order
    outcomes = {one.outcome for one in made} or {after.outcome}
    outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.UNKNOWN
    how: Literal["reversed", "refunded"] | None = None
    fits = all(one.in_effect and one.amount in (None, amount) for one in made)
    if made and after.outcome in _APPROVED and fits:
        how = "refunded"
    elif not made and after.outcome in _APPROVED:
        voided = after.transaction_result.status == TransactionStatus.REVERSAL
        if voided or _lowered(before, after, amount, repeated=repeated):
            how = "reversed"
    if how is None and outcome in _APPROVED:
        outcome = Outcome.UNKNOWN
    return models.Undone(how=how, asked="refund", outcome=outcome, payment=after, refund=refund)


def _refunds_made(
    before: models.Payment, after: models.Payment, amount: int, *, repeated: bool
) -> list[models.RefundSummary]:
    """Return the refunds that are new in an answer; several if another caller refunds, too."""
    known = {one.refund_id for one in before.refunds}
    new = [one for one in after.refunds if one.refund_id not in known]
    # No new refund: this may be the answer to an earlier attempt under the same key, if there was
    # one. Otherwise an old refund would be mistaken for the requested one.
    shown = new or (after.refunds if repeated else ())
    return [one for one in shown if one.amount in (None, amount)] or new


def _lowered(before: models.Payment, after: models.Payment, amount: int, *, repeated: bool) -> bool:
    """Whether the authorized amount in the answer is lower than before by this amount.

    After an earlier try that was done, the payment as it was read is less already; its order still
    has the whole, unless a part alone was authorized from the start.
    """
    was_result, result = before.transaction_result, after.transaction_result
    now = total_amount(after)
    if result.authorized_amount is None:
        return False
    if now is None:  # authorized in the card's own currency, in which the amount is not known
        same = result.currency == was_result.currency
        return same and result.authorized_amount < (was_result.authorized_amount or 0)
    was = [total_amount(before)]
    if repeated and after.outcome is Outcome.APPROVED:
        was.append(after.order.amount)
    return any(one is not None and one - now >= amount for one in was)
