"""Saved cards: a sale that saves one, and charges of it (TOK, REC)."""

from __future__ import annotations

from payroc_async import (
    CredentialOnFile,
    Payment,
    PaymentOrderRequest,
    PaymentRequest,
    SecureTokenPayload,
    StandingInstructionsRequest,
)

from .bench import Bench, Skipped
from .scenario_table import Table

__all__ = ["TOKENS"]

TOKENS = Table()
SERIES = "unscheduled"


@TOKENS.add(
    "TOK-03",
    "if used",
    "Save the card in a sale",
    "the payment has a secure token",
    feature="token",
    device=True,
)
async def tokenize(bench: Bench) -> None:
    """Run a sale that saves its card; the token itself is kept nowhere."""
    payment = await bench.approved_sale(credential_on_file=CredentialOnFile(tokenize=True))
    saved = payment.card.secure_token
    bench.expect(saved is not None, "the payment's card has no secureToken")
    assert saved is not None
    bench.fact(secureTokenId=saved.secure_token_id, tokenStatus=saved.status and str(saved.status))


async def _charge(bench: Bench, standing: StandingInstructionsRequest | None = None) -> Payment:
    """Charge the card of TOK-03."""
    record = bench.evidence.fact("TOK-03", "secureTokenId")
    if not record:
        raise Skipped("it needs the saved card of TOK-03: run that first")
    saved = await bench.session.secure_tokens.retrieve(bench.terminal, record)
    agreed = None if standing is None else CredentialOnFile(mit_agreement=SERIES)
    payment = await bench.session.payments.create(
        PaymentRequest(
            channel="web",
            processing_terminal_id=bench.terminal,
            order=PaymentOrderRequest(
                order_id=bench.tag(),
                amount=1999,
                currency=bench.evidence.currency,
                standing_instructions=standing,
            ),
            payment_method=SecureTokenPayload(token=saved.token or ""),
            credential_on_file=agreed,
        )
    )
    sent = bench.exchanges("POST /v1/payments")[-1]
    bench.fact(
        secureTokenId=record,
        paymentId=payment.payment_id,
        idempotencyKey=sent.request_headers.get("idempotency-key"),
        httpStatus=sent.status,
        responseCode=payment.transaction_result.response_code.value,
    )
    bench.expect(sent.status == 201, f"the charge was answered with {sent.status}, not 201")
    bench.expect(payment.approved, "the charge was not approved")
    return payment


@TOKENS.add("TOK-05", "if used", "Charge a saved card", "201, responseCode A", feature="token")
async def charge(bench: Bench) -> None:
    """Charge it, with the customer."""
    await _charge(bench)


@TOKENS.add(
    "REC-06",
    "if used",
    "A first charge that the merchant starts, and a subsequent one",
    "201, responseCode A, both times",
    feature="token",
)
async def series(bench: Bench) -> None:
    """Charge twice without the customer; the second names the first."""
    first = await _charge(
        bench, StandingInstructionsRequest(sequence="first", processing_model=SERIES)
    )
    bench.fact(firstPaymentId=first.payment_id)
    await _charge(bench, StandingInstructionsRequest.subsequent_to(first, SERIES))
