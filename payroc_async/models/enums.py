"""The words of the contract as open enums, and a payment's outcome.

A word that the contract does not know is kept as it came: a gateway that learns a new word must not
break a sale.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Self

from payroc_async.wording import a_type, with_article

__all__ = [
    "AdjustmentStatus",
    "AlternativeTender",
    "AvsResult",
    "BenefitCategory",
    "ClosedLoopType",
    "ContactType",
    "CvvResult",
    "EbtType",
    "EntryMethod",
    "HealthcareExpenseType",
    "HealthcareIndicator",
    "InstructionEntryMethod",
    "InstructionStatus",
    "IpAddressType",
    "MitAgreement",
    "NotificationLanguage",
    "OpenEnum",
    "Outcome",
    "ProcessingModel",
    "ResponseCode",
    "SecureTokenStatus",
    "StandingInstructionsSequence",
    "SupportedOperation",
    "TaxType",
    "Tender",
    "TipMode",
    "TipType",
    "TransactionStatus",
    "TransactionType",
    "holds",
]


class OpenEnum(StrEnum):
    """An enum that takes unknown words too.

    An unknown word becomes a member that is not listed: equal to its string, hashed like it, and
    sent as it came. Two of the same word are equal but not identical, so compare with ``==``.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self:
        if isinstance(value, str) and not isinstance(value, Enum):
            # Not cached: what a gateway sends must not grow a table for the life of the process.
            member = str.__new__(cls, value)
            member._name_ = member._value_ = str(value)
            return member
        raise ValueError(f"must be {with_article(cls.__name__)} or its word, not {a_type(value)}")

    @property
    def known(self) -> bool:
        """Whether the contract lists this word."""
        return type(self).__members__.get(self.name) is self

    def __repr__(self) -> str:
        return super().__repr__() if self.known else f"<{type(self).__name__}: {self.value!r}>"


class InstructionStatus(OpenEnum):
    """How far an instruction is. Source: contract section 3."""

    IN_PROGRESS = "inProgress"
    COMPLETED = "completed"
    FAILURE = "failure"
    CANCELED = "canceled"


class TipType(OpenEnum):
    """Whether a tip is a part of the subtotal or a sum. Source: contract section 4."""

    PERCENTAGE = "percentage"
    FIXED_AMOUNT = "fixedAmount"


class TipMode(OpenEnum):
    """Whether the device asked for the tip, or it was added later. Source: contract section 4."""

    PROMPTED = "prompted"
    ADJUSTED = "adjusted"


class AlternativeTender(OpenEnum):
    """What dual pricing offers instead. Source: contract section 4."""

    CARD = "card"
    CASH = "cash"
    BANK_TRANSFER = "bankTransfer"


class TaxType(OpenEnum):
    """How a tax is given. Source: contract section 4."""

    RATE = "rate"
    AMOUNT = "amount"


class HealthcareExpenseType(OpenEnum):
    """What a healthcare expense is for. Source: contract section 4."""

    COPAY = "copay"
    CLINIC = "clinic"
    DENTAL = "dental"
    PRESCRIPTION = "prescription"
    TRANSIT = "transit"
    VISION = "vision"


class ContactType(OpenEnum):
    """What kind of contact method it is. Source: contract section 4."""

    EMAIL = "email"
    PHONE = "phone"
    MOBILE = "mobile"
    FAX = "fax"


class NotificationLanguage(OpenEnum):
    """The language that the customer is written to in. Source: contract section 4."""

    ENGLISH = "en"
    FRENCH = "fr"


class IpAddressType(OpenEnum):
    """The version of an IP address. Source: contract section 4."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class MitAgreement(OpenEnum):
    """What the customer has agreed that the merchant may start. Source: contract section 4."""

    UNSCHEDULED = "unscheduled"
    RECURRING = "recurring"
    INSTALLMENT = "installment"


class InstructionEntryMethod(OpenEnum):
    """How the device is to take the card. Source: contract section 4."""

    DEVICE_READ = "deviceRead"
    MANUAL_ENTRY = "manualEntry"
    DEVICE_READ_OR_MANUAL_ENTRY = "deviceReadOrManualEntry"


class BenefitCategory(OpenEnum):
    """Which EBT benefit is used. Source: contract section 4."""

    CASH = "cash"
    FOOD_STAMP = "foodStamp"


class ClosedLoopType(OpenEnum):
    """What kind of closed-loop card is read. Source: contract section 4."""

    MIFARE = "mifare"


class EntryMethod(OpenEnum):
    """How the card was taken. Source: contract section 5."""

    ICC = "icc"
    KEYED = "keyed"
    SWIPED = "swiped"
    SWIPED_FALLBACK = "swipedFallback"
    CONTACTLESS_ICC = "contactlessIcc"
    CONTACTLESS_MSR = "contactlessMsr"


class CvvResult(OpenEnum):
    """What the check of the security code gave. Source: contract section 5."""

    M = "M"
    N = "N"
    P = "P"
    U = "U"


class AvsResult(OpenEnum):
    """What the check of the address gave. Source: contract section 5."""

    Y = "Y"
    A = "A"
    Z = "Z"
    N = "N"
    U = "U"
    R = "R"
    G = "G"
    S = "S"
    F = "F"
    W = "W"
    X = "X"


class SupportedOperation(OpenEnum):
    """What can be done with a payment now. Source: contract section 5."""

    CAPTURE = "capture"
    REFUND = "refund"
    FULLY_REVERSE = "fullyReverse"
    PARTIALLY_REVERSE = "partiallyReverse"
    INCREMENT_AUTHORIZATION = "incrementAuthorization"
    ADJUST_TIP = "adjustTip"
    ADD_SIGNATURE = "addSignature"
    SET_AS_READY = "setAsReady"
    SET_AS_PENDING = "setAsPending"


class AdjustmentStatus(OpenEnum):
    """What a payment's status can be set to. Source: contract section 6."""

    READY = "ready"
    PENDING = "pending"


class Tender(OpenEnum):
    """What kind of cards a device takes. Source: contract section 5."""

    CREDIT_DEBIT = "creditDebit"
    EBT = "ebt"


class StandingInstructionsSequence(OpenEnum):
    """Whether it is the first payment of a standing agreement. Source: contract section 5."""

    FIRST = "first"
    SUBSEQUENT = "subsequent"


class ProcessingModel(OpenEnum):
    """What kind of standing agreement it is. Source: contract section 5."""

    UNSCHEDULED = "unscheduled"
    RECURRING = "recurring"
    INSTALLMENT = "installment"


class TransactionType(OpenEnum):
    """What a transaction is. Source: contract section 5."""

    SALE = "sale"
    REFUND = "refund"
    PRE_AUTHORIZATION = "preAuthorization"
    PRE_AUTHORIZATION_COMPLETION = "preAuthorizationCompletion"


class TransactionStatus(OpenEnum):
    """Where a transaction stands in its settlement; says nothing about approval.

    ``READY`` is an approved transaction that waits for the batch to close. ``RETURNED`` is on
    refund summaries alone. Source: contract section 5.
    """

    READY = "ready"
    PENDING = "pending"
    DECLINED = "declined"
    COMPLETE = "complete"
    REFERRAL = "referral"
    PICKUP = "pickup"
    REVERSAL = "reversal"
    ADMIN = "admin"
    EXPIRED = "expired"
    ACCEPTED = "accepted"
    RETURNED = "returned"


class EbtType(OpenEnum):
    """What was done with an EBT card. Source: contract section 5."""

    CASH_PURCHASE = "cashPurchase"
    CASH_PURCHASE_WITH_CASHBACK = "cashPurchaseWithCashback"
    FOOD_STAMP_PURCHASE = "foodStampPurchase"
    FOOD_STAMP_VOUCHER_PURCHASE = "foodStampVoucherPurchase"
    FOOD_STAMP_RETURN = "foodStampReturn"
    FOOD_STAMP_VOUCHER_RETURN = "foodStampVoucherReturn"
    CASH_BALANCE_INQUIRY = "cashBalanceInquiry"
    FOOD_STAMP_BALANCE_INQUIRY = "foodStampBalanceInquiry"
    CASH_WITHDRAWAL = "cashWithdrawal"


class HealthcareIndicator(OpenEnum):
    """Whether a payment ran as one of healthcare expenses. Source: contract section 5.

    ``Y``: it did. ``N``: it holds none. ``C``: the card has no such account. ``R``: the card does
    not support such expenses.
    """

    Y = "Y"
    N = "N"
    C = "C"
    R = "R"


class SecureTokenStatus(OpenEnum):
    """What of saved payment details was validated. Source: contract section 5."""

    NOT_VALIDATED = "notValidated"
    CVV_VALIDATED = "cvvValidated"
    VALIDATION_FAILED = "validationFailed"
    ISSUE_NUMBER_VALIDATED = "issueNumberValidated"
    CARD_NUMBER_VALIDATED = "cardNumberValidated"
    BANK_ACCOUNT_VALIDATED = "bankAccountValidated"


class ResponseCode(OpenEnum):
    """The processor's answer, from which the outcome is read. Source: contract section 5."""

    A = "A"
    D = "D"
    E = "E"
    P = "P"
    R = "R"
    C = "C"

    @property
    def outcome(self) -> Outcome:
        """What the code means; ``Outcome.UNKNOWN`` for a code that the contract does not list."""
        return OUTCOMES.get(self, Outcome.UNKNOWN)


class Outcome(Enum):
    """What became of a payment, read from its response code. Source: contract section 5."""

    APPROVED = "approved"
    """A: approved in full."""
    PARTIALLY_APPROVED = "partially approved"
    """P: a part of the amount is authorized; the rest is still to be paid."""
    DECLINED = "declined"
    """D: declined."""
    DEFERRED = "deferred"
    """E: received, will be processed later."""
    REFERRED = "referred"
    """R: declined, the cardholder should call the issuer."""
    PICK_UP = "pick up"
    """C: declined, keep the card: it is lost or stolen."""
    UNKNOWN = "unknown"
    """A code that the contract does not list."""


OUTCOMES = {
    "A": Outcome.APPROVED,
    "P": Outcome.PARTIALLY_APPROVED,
    "D": Outcome.DECLINED,
    "E": Outcome.DEFERRED,
    "R": Outcome.REFERRED,
    "C": Outcome.PICK_UP,
}


NOT_IN_EFFECT = (
    TransactionStatus.REVERSAL,
    TransactionStatus.EXPIRED,
    TransactionStatus.RETURNED,
    TransactionStatus.DECLINED,
    TransactionStatus.REFERRAL,
    TransactionStatus.PICKUP,
)
"""What moves no money, or no longer. Source: contract section 5."""


def holds(outcome: Outcome, status: TransactionStatus | None) -> bool:
    """Whether a transaction with this outcome and status is in effect."""
    approved = outcome in (Outcome.APPROVED, Outcome.PARTIALLY_APPROVED)
    return approved and status not in NOT_IN_EFFECT
