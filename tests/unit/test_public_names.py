"""The public names: exactly these, and each documented in the way that the house has."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import payroc_async
from payroc_async import PayrocSession
from payroc_async.api.card_lookups import Cards
from payroc_async.api.charges import Charges
from payroc_async.api.payments import Payments
from payroc_async.api.refunds import Refunds
from payroc_async.api.reports import Authorizations, Batches, Transactions
from payroc_async.api.resources import ClosedLoopReads, Devices, Instructions, Signatures
from payroc_async.api.secure_tokens import SecureTokens
from payroc_async.api.terminals import Terminals
from payroc_async.device_instructions import DeviceInstructions
from payroc_async.testing import PayrocGateway

PACKAGE = Path(__file__).parents[2] / "payroc_async"
# __main__ does its work when it is imported.
MODULES = [path for path in sorted(PACKAGE.glob("*.py")) if path.stem != "__main__"]

# A name that comes or goes is a line in the changelog.
EXPECTED = [
    "APIError",
    "Address",
    "AddressMode",
    "Adjustment",
    "AdjustmentStatus",
    "AlternativeTender",
    "Amount",
    "ApplicationSettings",
    "AuthenticationError",
    "Authorization",
    "AuthorizationSummary",
    "AvsResult",
    "BadRequestError",
    "Balance",
    "Batch",
    "BatchCloseType",
    "BatchClosing",
    "BatchClosure",
    "BatchSummary",
    "BenefitCategory",
    "Breakdown",
    "BreakdownAdjustment",
    "CancelReason",
    "CancelRequested",
    "Canceled",
    "Card",
    "CardSummary",
    "CardholderVerification",
    "Channel",
    "ChoiceRate",
    "ClosedLoopOptions",
    "ClosedLoopRead",
    "ClosedLoopType",
    "CommunicationType",
    "Completed",
    "ConfigurationError",
    "ConflictError",
    "ContactMethod",
    "ContactType",
    "ConvenienceFee",
    "CredentialOnFile",
    "CustomField",
    "CustomFieldRequest",
    "Customer",
    "CustomerAdjustment",
    "CustomizationOptions",
    "CvvResult",
    "DccOffer",
    "Device",
    "DeviceBusyError",
    "DeviceType",
    "DualPricing",
    "EbtDetails",
    "EbtType",
    "EbtFeature",
    "EbtFeatureType",
    "EmvData",
    "EmvTag",
    "EnhancedProcessing",
    "EntryMethod",
    "Environment",
    "Event",
    "Failed",
    "FirstTransactionReference",
    "ForbiddenError",
    "HealthcareExpense",
    "HealthcareExpenseType",
    "HealthcareIndicator",
    "IdempotencyKeyInUseError",
    "Instruction",
    "InstructionCanceledError",
    "InstructionEntryMethod",
    "InstructionError",
    "InstructionFailedError",
    "InstructionHandle",
    "InstructionStatus",
    "InstructionTimeoutError",
    "Interchange",
    "IpAddress",
    "IpAddressType",
    "JournalError",
    "LastTransaction",
    "LeaseLost",
    "ItemTax",
    "ItemizedBreakdown",
    "LineItem",
    "Link",
    "MerchantSummary",
    "MitAgreement",
    "NotFoundError",
    "NotificationLanguage",
    "OnCancel",
    "OnEvent",
    "OnFound",
    "OpenEnum",
    "Order",
    "OrderAdjustment",
    "Outcome",
    "OutcomeUnknownError",
    "Page",
    "Payment",
    "PaymentDeclinedError",
    "PaymentInstruction",
    "PaymentInstructionRequest",
    "PaymentLinksFeature",
    "PaymentOrderRequest",
    "PaymentRequest",
    "PaymentSummary",
    "PayrocError",
    "PayrocSession",
    "Problem",
    "ProblemDetail",
    "ProcessingModel",
    "ProcessingTerminal",
    "RateLimitedError",
    "Receipt",
    "ReceiptConversion",
    "ReceiptNotifications",
    "ReceiptSum",
    "Recovered",
    "Recovery",
    "RecoveryAction",
    "Refund",
    "RefundAdjustment",
    "RefundDeclinedError",
    "RefundHandle",
    "RefundInstruction",
    "RefundInstructionRequest",
    "RefundOrder",
    "RefundSummary",
    "RequestTimeoutError",
    "ResponseCode",
    "ResponseFormatError",
    "RetrievedAddress",
    "RetrievedBreakdown",
    "RetrievedChoiceRate",
    "RetrievedContactMethod",
    "RetrievedCustomer",
    "RetrievedDualPricing",
    "RetrievedHealthcareExpense",
    "RetrievedLineItem",
    "RetrievedOrder",
    "RetrievedSecureToken",
    "RetrievedShippingAddress",
    "RetrievedSurcharge",
    "RetrievedTax",
    "RetrievedTip",
    "RetryPolicy",
    "Retrying",
    "SaleHandle",
    "SecureToken",
    "SecureTokenStatus",
    "SecureTokenPayload",
    "SecureTokenSource",
    "SecurityChecks",
    "ServerError",
    "SessionClosedError",
    "ResultReceived",
    "SettledSummary",
    "SettlementCardType",
    "SettlementEntryMethod",
    "SettlementStatus",
    "SettlementTransaction",
    "SettlementType",
    "ShippingAddress",
    "Signature",
    "SignatureAdjustment",
    "SignatureHandle",
    "SignatureInstruction",
    "SignatureInstructionRequest",
    "StandingInstructions",
    "StandingInstructionsRequest",
    "StandingInstructionsSequence",
    "StatusAdjustment",
    "StillInProgress",
    "Submitted",
    "SuggestedTips",
    "SupportedOperation",
    "Surcharge",
    "Surcharging",
    "Tax",
    "TaxAmount",
    "TaxType",
    "Tender",
    "TerminalDevice",
    "TerminalFeatures",
    "TerminalGateway",
    "TerminalSecurity",
    "TerminalStatus",
    "TerminalTax",
    "Timeouts",
    "Tip",
    "TipFeature",
    "TipMode",
    "TipType",
    "Transaction",
    "TransactionDataLevel",
    "TransactionResult",
    "TransactionStatus",
    "TransactionSummary",
    "TransactionType",
    "TransportError",
    "Undone",
    "WrongEventLoopError",
    "__version__",
    "BalanceInquiry",
    "BinLookup",
    "CardBalance",
    "CardBinPayload",
    "CardInfo",
    "ServiceFee",
    "ServiceFeeBasis",
    "SingleUseTokenPayload",
    "DeviceConfiguration",
    "EmvApplication",
    "EmvCertificate",
    "HostConfiguration",
    "ProcessorConfiguration",
    "ProcessorMerchant",
    "ProcessorTerminal",
    "VisualAsset",
]

# What a session hands out without its class being exported.
REACHABLE: list[type[Any]] = [
    Authorizations,
    Batches,
    Cards,
    Charges,
    ClosedLoopReads,
    DeviceInstructions,
    Devices,
    Instructions,
    PayrocGateway,
    Payments,
    Refunds,
    SecureTokens,
    Signatures,
    Terminals,
    Transactions,
]
ALIASES = {
    "Adjustment",
    "ItemTax",
    "RefundAdjustment",
    "CancelReason",
    "OnCancel",
    "OnEvent",
    "OnFound",
    "RecoveryAction",
    "RefundHandle",
    "SaleHandle",
    "SignatureHandle",
    "__version__",
}


def test_the_public_names_are_these() -> None:
    """`__all__` is sorted, without a double, and exactly the list above."""
    assert payroc_async.__all__ == sorted(set(payroc_async.__all__))
    assert payroc_async.__all__ == sorted(EXPECTED)


def test_every_public_name_can_be_imported() -> None:
    """A star import gives all of them and nothing else."""
    space: dict[str, Any] = {}
    exec("from payroc_async import *", space)
    space.pop("__builtins__")
    assert set(space) == set(EXPECTED)


def test_nothing_else_is_left_lying_about() -> None:
    """Beside the public names the package has its modules, and what the session makes itself."""
    others = set(vars(payroc_async)) - {*EXPECTED, *payroc_async.models.__all__}
    modules = {name for name in others if inspect.ismodule(getattr(payroc_async, name))}
    assert {name for name in others - modules if not name.startswith("__")} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_says_what_it_exports(path: Path) -> None:
    """Each `__all__` is true and holds nothing twice, and each module has a docstring."""
    name = "payroc_async" if path.stem == "__init__" else f"payroc_async.{path.stem}"
    module = importlib.import_module(name)
    assert module.__doc__
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert [name for name in exported if not hasattr(module, name)] == []


def public_classes() -> list[type[Any]]:
    values = [getattr(payroc_async, name) for name in EXPECTED]
    return [value for value in values if inspect.isclass(value)] + REACHABLE


def callables_of(cls: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions, methods and properties that a class itself defines."""
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, classmethod | staticmethod):
            yield f"{cls.__name__}.{name}", member.__func__
        elif isinstance(member, property):
            assert member.fget is not None
            yield f"{cls.__name__}.{name}", member.fget
        elif inspect.isfunction(member):
            yield f"{cls.__name__}.{name}", member


def every_callable() -> list[Any]:
    found = {name: member for cls in public_classes() for name, member in callables_of(cls)}
    return [pytest.param(member, id=name) for name, member in sorted(found.items())]


def every_coroutine() -> list[Any]:
    """What is awaited, and async iterators too."""
    return [
        parameter
        for parameter in every_callable()
        if inspect.iscoroutinefunction(parameter.values[0])
        or inspect.isasyncgenfunction(parameter.values[0])
    ]


def section(text: str, name: str) -> str | None:
    """The lines of one section of a docstring; None if there is no such section."""
    found = re.search(rf"^{name}:\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else None


def described(text: str) -> set[str]:
    """The names that the Args section describes."""
    return set(re.findall(r"^    (\w+): \S", section(text, "Args") or "", re.MULTILINE))


def parameters_of(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "cls"}


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_public_class_is_documented(cls: type[Any]) -> None:
    """Each class has a docstring of its own, whose first line says something."""
    own = cls.__dict__.get("__doc__")
    assert own
    assert own.splitlines()[0].strip()


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_every_public_alias_is_documented(name: str) -> None:
    """What is no class has a string below it in the source, or is named in its module's."""
    if name == "__version__":
        assert re.fullmatch(r"\d+\.\d+\.\d+\w*", payroc_async.__version__)
        return
    for path in PACKAGE.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for node, below in pairwise(body):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
                assert isinstance(below, ast.Expr)
                assert isinstance(below.value, ast.Constant)
                assert isinstance(below.value.value, str)
                return
    pytest.fail(f"{name} is assigned nowhere")


def test_the_aliases_are_all_that_is_no_class() -> None:
    """A public name is a class or one of the documented aliases."""
    assert {
        name for name in EXPECTED if not inspect.isclass(getattr(payroc_async, name))
    } == ALIASES


@pytest.mark.parametrize("function", every_callable())
def test_every_public_method_is_documented(function: Callable[..., Any]) -> None:
    """Each method and property has a docstring."""
    assert inspect.getdoc(function)


@pytest.mark.parametrize("function", every_callable())
def test_every_documented_argument_exists(function: Callable[..., Any]) -> None:
    """An Args section names what the function takes, nothing more or less."""
    text = inspect.getdoc(function) or ""
    if section(text, "Args") is not None:
        assert described(text) == parameters_of(function)


@pytest.mark.parametrize("function", every_coroutine())
def test_every_public_coroutine_says_what_cancellation_does(function: Callable[..., Any]) -> None:
    """House rule 1: a `Cancellation:` section, and every argument by its name."""
    text = inspect.getdoc(function) or ""
    assert section(text, "Cancellation")
    assert described(text) == parameters_of(function)


def test_the_sessions_arguments_are_all_described() -> None:
    """The session's class docstring has each of its arguments."""
    assert described(inspect.getdoc(PayrocSession) or "") == parameters_of(PayrocSession)


def test_the_readers_of_docstrings_see_what_is_missing() -> None:
    """A section is found with its names, and one that is not there is not."""

    def sample() -> None:
        """A summary.

        Args:
            one: The first,
                on two lines.
            two: The second.

        Cancellation:
            Nothing happens.
        """

    text = inspect.getdoc(sample) or ""
    assert described(text) == {"one", "two"}
    assert section(text, "Cancellation") == "    Nothing happens."
    assert section(text, "Raises") is None
    assert len(every_coroutine()) >= 10
