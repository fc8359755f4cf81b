"""What the processor was given to settle: batches, transactions, authorizations.

Source: contract section 11. Every field of an answer may be missing: what is, is None. Ids are
integers, and no field joins a transaction here to a payment. Sums are integers in the currency's
smallest unit. A word that the contract does not list is kept as it came.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .enums import OpenEnum
from .shared import Link, Model, Raw, ReadOnDemand

__all__ = [
    "Authorization",
    "AuthorizationSummary",
    "Batch",
    "BatchSummary",
    "CardSummary",
    "Interchange",
    "MerchantSummary",
    "SettledSummary",
    "SettlementCardType",
    "SettlementEntryMethod",
    "SettlementStatus",
    "SettlementTransaction",
    "SettlementType",
    "TransactionSummary",
]


class SettlementType(OpenEnum):
    """Which way the money goes: from the cardholder, or back. Source: contract section 11."""

    CAPTURE = "capture"
    RETURN = "return"


class SettlementStatus(OpenEnum):
    """Where a transaction is on its way to the merchant's account. Source: contract section 11."""

    FULL_SUSPENSE = "fullSuspense"
    HELD_AUDITED = "heldAudited"
    HELD_RELEASED_AUDITED = "heldReleasedAudited"
    HOLD_FOR_SETTLEMENT_30_DAYS = "holdForSettlement30Days"
    HOLD_FOR_SETTLEMENT_DUPLICATE = "holdForSettlementDuplicate"
    HOLD_LONG_TERM = "holdLongTerm"
    PAID = "paid"
    PAID_BY_THIRD_PARTY = "paidByThirdParty"
    PARTIAL_RELEASE = "partialRelease"
    PULL = "pull"
    RELEASE = "release"
    NEW = "new"
    HELD = "held"
    UNKNOWN = "unknown"


class SettlementEntryMethod(OpenEnum):
    """How the processor says that the card was taken. Source: contract section 11."""

    BARCODE_READ = "barcodeRead"
    SMART_CHIP_READ = "smartChipRead"
    SWIPED_ORIGIN_UNKNOWN = "swipedOriginUnknown"
    CONTACTLESS_CHIP = "contactlessChip"
    ECOMMERCE = "ecommerce"
    MANUALLY_ENTERED = "manuallyEntered"
    MANUALLY_ENTERED_FALLBACK = "manuallyEnteredFallback"
    SWIPED = "swiped"
    SWIPED_FALLBACK = "swipedFallback"
    SWIPED_ERROR = "swipedError"
    SCANNED_CHECK_READER = "scannedCheckReader"
    CREDENTIAL_ON_FILE = "credentialOnFile"
    UNKNOWN = "unknown"


class SettlementCardType(OpenEnum):
    """The card's brand, as the processor says it. Source: contract section 11."""

    VISA = "visa"
    MASTER_CARD = "masterCard"
    DISCOVER = "discover"
    DEBIT = "debit"
    EBT = "ebt"
    WRIGHT_EXPRESS = "wrightExpress"
    VOYAGER = "voyager"
    AMEX = "amex"
    PRIVATE_LABEL = "privateLabel"
    STORED_VALUE = "storedValue"
    DISCOVER_RETAINED = "discoverRetained"
    JCB_NON_SETTLED = "jcbNonSettled"
    DINERS_CLUB = "dinersClub"
    AMEX_OPT_BLUE = "amexOptBlue"
    FUELMAN = "fuelman"
    UNKNOWN = "unknown"


@frozen(kw_only=True, eq=False, repr=False)
class MerchantSummary(Model):
    """The merchant that a batch is of. Source: contract section 11.

    Attributes:
        merchant_id: The processor's id for the merchant.
    """

    merchant_id: str | None = None
    doing_business_as: str | None = None
    processing_account_id: int | None = None
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class BatchSummary(Model):
    """The batch that a transaction is in. Source: contract section 11."""

    batch_id: int | None = None
    date: datetime.date | None = None
    cycle: str | None = None
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class CardSummary(Model):
    """The card of a transaction. Source: contract section 11. Its repr shows the brand alone.

    Attributes:
        card_number: Masked.
    """

    card_number: str | None = field(default=None, repr=False)
    type: SettlementCardType | None = None
    cvv_presence_indicator: bool | None = field(default=None, repr=False)
    avs_request: bool | None = field(default=None, repr=False)
    avs_response: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class SettledSummary(Model):
    """Who paid a transaction out, and when. Source: contract section 11."""

    settled_by: str | None = None
    ach_date: datetime.date | None = None
    ach_deposit_id: int | None = None
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Interchange(Model):
    """What the card's brand charges for a transaction. Source: contract section 11."""

    basis_point: int | None = None
    transaction_fee: int | None = None


@frozen(kw_only=True, eq=False, repr=False)
class AuthorizationSummary(Model):
    """The authorization of a transaction. Source: contract section 11.

    Attributes:
        code: Likely a payment's ``approval_code``: no source says so (a guess).
    """

    authorization_id: int | None = None
    code: str | None = None
    amount: int | None = None
    avs_response_code: str | None = field(default=None, repr=False)
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TransactionSummary(Model):
    """The transaction of an authorization. Source: contract section 11."""

    transaction_id: int | None = None
    type: SettlementType | None = None
    date: datetime.date | None = None
    entry_method: SettlementEntryMethod | None = None
    amount: int | None = None
    link: Link | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Batch(ReadOnDemand):
    """A batch as the processor was given it. Source: contract section 11.

    It is seen after it was submitted: what is in the open batch, ``payments.search`` finds with
    ``settlement_state="unsettled"``.

    Attributes:
        date: The day on which it was submitted.
        sale_amount: What its sales come to.
        held_amount: What of it is held back.
        return_amount: What its refunds come to.
        raw: The whole JSON object.
    """

    batch_id: int | None = None
    date: datetime.date | None = None
    created_date: datetime.date | None = None
    last_modified_date: datetime.date | None = None
    sale_amount: int | None = None
    held_amount: int | None = None
    return_amount: int | None = None
    transaction_count: int | None = None
    currency: str | None = None
    merchant: MerchantSummary | None = None
    links: tuple[Link, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


@frozen(kw_only=True, eq=False, repr=False)
class SettlementTransaction(ReadOnDemand):
    """A transaction as the processor was given it. Source: contract section 11.

    Payroc calls it a transaction; ``Transaction`` here is what a payment and a refund have in
    common. No field says which payment it is of: compare card, amount, day and approval code.

    Attributes:
        amount: What it comes to.
        raw: The whole JSON object.
    """

    transaction_id: int | None = None
    type: SettlementType | None = None
    date: datetime.date | None = None
    amount: int | None = None
    entry_method: SettlementEntryMethod | None = None
    created_date: datetime.date | None = None
    last_modified_date: datetime.date | None = None
    status: SettlementStatus | None = None
    cashback_amount: int | None = None
    interchange: Interchange | None = None
    currency: str | None = None
    merchant: MerchantSummary | None = None
    settled: SettledSummary | None = None
    batch: BatchSummary | None = None
    card: CardSummary | None = None
    authorization: AuthorizationSummary | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


@frozen(kw_only=True, eq=False, repr=False)
class Authorization(ReadOnDemand):
    """An authorization as the processor gave it. Source: contract section 11.

    Attributes:
        authorization_response: One of 91 words of the contract, such as ``successful``.
        preauthorization_request_amount: What was asked for.
        raw: The whole JSON object.
    """

    authorization_id: int | None = None
    created_date: datetime.date | None = None
    last_modified_date: datetime.date | None = None
    authorization_response: str | None = None
    preauthorization_request_amount: int | None = None
    currency: str | None = None
    batch: BatchSummary | None = None
    card: CardSummary | None = None
    merchant: MerchantSummary | None = None
    transaction: TransactionSummary | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)
