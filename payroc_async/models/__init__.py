"""The models of requests and answers: frozen attrs classes, spelled as Payroc spells them.

Making a hundred classes takes longer than importing all else of the package: they are loaded when
the first of them is asked for, all at once, and at the latest when a session is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "Address",
    "Adjustment",
    "AdjustmentRequest",
    "AdjustmentStatus",
    "AlternativeTender",
    "Amount",
    "AvsResult",
    "Balance",
    "BenefitCategory",
    "Breakdown",
    "BreakdownAdjustment",
    "CaptureRequest",
    "Card",
    "CardholderVerification",
    "ChoiceRate",
    "ClosedLoopOptions",
    "ClosedLoopRead",
    "ClosedLoopType",
    "ContactMethod",
    "ContactType",
    "ConvenienceFee",
    "CredentialOnFile",
    "CustomField",
    "Customer",
    "CustomerAdjustment",
    "CustomizationOptions",
    "CvvResult",
    "DccOffer",
    "Device",
    "DeviceFilters",
    "DeviceType",
    "DualPricing",
    "EbtDetails",
    "EbtType",
    "EmvData",
    "EmvTag",
    "EntryMethod",
    "Filters",
    "FirstTransactionReference",
    "HealthcareExpense",
    "HealthcareExpenseType",
    "HealthcareIndicator",
    "Instruction",
    "InstructionEntryMethod",
    "InstructionStatus",
    "IpAddress",
    "IpAddressType",
    "ItemTax",
    "ItemizedBreakdown",
    "LastTransaction",
    "LineItem",
    "Link",
    "MitAgreement",
    "NotificationLanguage",
    "OpenEnum",
    "Order",
    "OrderAdjustment",
    "Outcome",
    "Page",
    "Payment",
    "PaymentFilters",
    "PaymentInstruction",
    "PaymentInstructionRequest",
    "PaymentSummary",
    "ProcessingModel",
    "Raw",
    "Receipt",
    "ReceiptConversion",
    "ReceiptSum",
    "ReferencedRefundRequest",
    "Refund",
    "RefundAdjustment",
    "RefundAdjustmentRequest",
    "RefundFilters",
    "RefundInstruction",
    "RefundInstructionRequest",
    "RefundOrder",
    "RefundSummary",
    "ResponseCode",
    "RetrievedAddress",
    "RetrievedBreakdown",
    "RetrievedChoiceRate",
    "RetrievedContactMethod",
    "RetrievedCustomer",
    "RetrievedDualPricing",
    "RetrievedHealthcareExpense",
    "RetrievedLineItem",
    "RetrievedOrder",
    "RetrievedShippingAddress",
    "RetrievedSurcharge",
    "RetrievedTax",
    "RetrievedTip",
    "ReversalRequest",
    "SecureToken",
    "SecureTokenStatus",
    "SecurityChecks",
    "ShippingAddress",
    "Signature",
    "SignatureAdjustment",
    "SignatureInstruction",
    "SignatureInstructionRequest",
    "StandingInstructions",
    "StandingInstructionsSequence",
    "StatusAdjustment",
    "SupportedOperation",
    "Surcharge",
    "Tax",
    "TaxAmount",
    "TaxType",
    "Tender",
    "Tip",
    "TipMode",
    "TipType",
    "Transaction",
    "TransactionResult",
    "TransactionStatus",
    "TransactionType",
    "Undone",
]

if TYPE_CHECKING:  # for checkers and editors; below, the same is done when it is asked for
    from .amount import (
        Amount,
    )
    from .card import (
        Balance,
        Card,
        EmvTag,
        SecureToken,
        SecurityChecks,
    )
    from .changes import (
        Adjustment,
        AdjustmentRequest,
        CaptureRequest,
        CustomerAdjustment,
        OrderAdjustment,
        ReferencedRefundRequest,
        RefundAdjustment,
        RefundAdjustmentRequest,
        ReversalRequest,
        SignatureAdjustment,
        StatusAdjustment,
        Undone,
    )
    from .customers import (
        Address,
        ContactMethod,
        Customer,
        RetrievedAddress,
        RetrievedContactMethod,
        RetrievedCustomer,
        RetrievedShippingAddress,
        ShippingAddress,
    )
    from .devices import (
        ClosedLoopRead,
        Device,
        DeviceType,
        LastTransaction,
    )
    from .emv import (
        CardholderVerification,
        EmvData,
    )
    from .enums import (
        AdjustmentStatus,
        AlternativeTender,
        AvsResult,
        BenefitCategory,
        ClosedLoopType,
        ContactType,
        CvvResult,
        EbtType,
        EntryMethod,
        HealthcareExpenseType,
        HealthcareIndicator,
        InstructionEntryMethod,
        InstructionStatus,
        IpAddressType,
        MitAgreement,
        NotificationLanguage,
        OpenEnum,
        Outcome,
        ProcessingModel,
        ResponseCode,
        SecureTokenStatus,
        StandingInstructionsSequence,
        SupportedOperation,
        TaxType,
        Tender,
        TipMode,
        TipType,
        TransactionStatus,
        TransactionType,
    )
    from .filters import DeviceFilters, Filters, PaymentFilters, RefundFilters
    from .instructions import (
        Instruction,
        PaymentInstruction,
        RefundInstruction,
        SignatureInstruction,
    )
    from .itemized import BreakdownAdjustment, ItemizedBreakdown, ItemTax, LineItem, TaxAmount
    from .orders import (
        Breakdown,
        ChoiceRate,
        ConvenienceFee,
        DccOffer,
        DualPricing,
        FirstTransactionReference,
        HealthcareExpense,
        Order,
        RefundOrder,
        RetrievedBreakdown,
        RetrievedChoiceRate,
        RetrievedDualPricing,
        RetrievedHealthcareExpense,
        RetrievedLineItem,
        RetrievedOrder,
        RetrievedSurcharge,
        RetrievedTax,
        RetrievedTip,
        StandingInstructions,
        Surcharge,
        Tax,
        Tip,
    )
    from .page import (
        Page,
    )
    from .payment import (
        Payment,
        RefundSummary,
    )
    from .receipt import (
        Receipt,
        ReceiptConversion,
        ReceiptSum,
    )
    from .refund import (
        PaymentSummary,
        Refund,
    )
    from .requests import (
        ClosedLoopOptions,
        CredentialOnFile,
        CustomizationOptions,
        EbtDetails,
        IpAddress,
        PaymentInstructionRequest,
        RefundInstructionRequest,
        SignatureInstructionRequest,
    )
    from .shared import (
        Link,
        Raw,
    )
    from .signature import (
        Signature,
    )
    from .transaction import (
        CustomField,
        Transaction,
        TransactionResult,
    )
else:
    PARTS = (  # each module of the imports above
        "amount",
        "card",
        "changes",
        "customers",
        "devices",
        "emv",
        "enums",
        "filters",
        "instructions",
        "itemized",
        "orders",
        "page",
        "payment",
        "receipt",
        "refund",
        "requests",
        "shared",
        "signature",
        "transaction",
    )

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for part in PARTS:
            defined = vars(import_module(f".{part}", __name__))
            globals().update({name: defined[name] for name in __all__ if name in defined})
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
