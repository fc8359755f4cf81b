"""The session's groups of single calls."""

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
    """Operations that take one request and its retries, by group.

    Args:
        channel: Returns the transport while the session is open.
    """

    payment_instructions: Instructions[models.PaymentInstruction]
    """Single calls for payment instructions."""
    refund_instructions: Instructions[models.RefundInstruction]
    """Single calls for refund instructions."""
    signature_instructions: Instructions[models.SignatureInstruction]
    """Single calls for signature instructions."""
    payments: Payments
    """Payments: charge, search, refund, reverse, undo, capture, adjust."""
    refunds: Refunds
    """Refunds: retrieve, search, reverse, adjust."""
    signatures: Signatures
    """Signatures captured on devices."""
    closed_loop_reads: ClosedLoopReads
    """Reads of closed-loop cards on devices."""
    devices: Devices
    """The merchant's devices."""
    terminals: Terminals
    """Processing terminals: retrieve, close the batch."""
    batches: Batches
    """Batches submitted to the processor."""
    transactions: Transactions
    """Transactions in submitted batches."""
    authorizations: Authorizations
    """Authorizations of submitted transactions."""
    secure_tokens: SecureTokens
    """Saved cards."""
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
