"""The groups of single calls that a session has."""

from __future__ import annotations

from collections.abc import Callable

from payroc_async import models
from payroc_async.http.transport import Transport
from payroc_async.kinds import PAYMENT, REFUND, SIGNATURE

from .card_lookups import Cards
from .payments import Payments
from .refunds import Refunds
from .reports import Authorizations, Batches, Transactions
from .resources import ClosedLoopReads, Devices, Instructions, Signatures
from .secure_tokens import SecureTokens
from .terminals import Terminals

__all__ = ["SingleCalls"]


class SingleCalls:
    """What is done in one request and its retries, by group.

    Args:
        channel: Gives the transport, as long as the session is open.
    """

    payment_instructions: Instructions[models.PaymentInstruction]
    """The payment instructions, a call at a time."""
    refund_instructions: Instructions[models.RefundInstruction]
    """The refund instructions, a call at a time."""
    signature_instructions: Instructions[models.SignatureInstruction]
    """The signature instructions, a call at a time."""
    payments: Payments
    """The payments: charged, searched, refunded, reversed, undone, captured, adjusted."""
    refunds: Refunds
    """The refunds, a call at a time."""
    signatures: Signatures
    """The signatures, a call at a time."""
    closed_loop_reads: ClosedLoopReads
    """What devices read from closed-loop cards."""
    devices: Devices
    """The merchant's devices."""
    terminals: Terminals
    """The processing terminals: read, and their batches closed."""
    batches: Batches
    """The batches that were submitted to the processor."""
    transactions: Transactions
    """The transactions in those batches."""
    authorizations: Authorizations
    """The authorizations of those transactions."""
    secure_tokens: SecureTokens
    """The saved cards."""
    cards: Cards
    """What can be asked about a card without a payment."""

    def __init__(self, channel: Callable[[], Transport]) -> None:
        self.payment_instructions = Instructions(PAYMENT, channel)
        self.refund_instructions = Instructions(REFUND, channel)
        self.signature_instructions = Instructions(SIGNATURE, channel)
        self.payments = Payments(channel)
        self.refunds = Refunds(channel)
        self.signatures = Signatures(channel)
        self.closed_loop_reads = ClosedLoopReads(channel)
        self.devices = Devices(channel)
        self.terminals = Terminals(channel)
        self.batches = Batches(channel)
        self.transactions = Transactions(channel)
        self.authorizations = Authorizations(channel)
        self.secure_tokens = SecureTokens(channel)
        self.cards = Cards(channel)
