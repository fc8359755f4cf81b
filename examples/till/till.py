"""A shop's own point of sale: one till with one payment device."""

from __future__ import annotations

from attrs import define

from payroc_async import (
    Amount,
    InstructionError,
    Order,
    OutcomeUnknownError,
    PaymentInstructionRequest,
    PayrocSession,
)

__all__ = ["Till"]


@define
class Till:
    """A till.

    Args:
        session: The shop's session with Payroc.
        device: The serial number of the till's payment device.
        terminal: The shop's processing terminal.
        patience: How long a customer may take to present a card, in seconds.
    """

    session: PayrocSession
    device: str
    terminal: str = "1234001"
    patience: float = 120.0

    async def sell(self, order_id: str, price: str) -> str:
        """Run a sale, and return the text for the cashier.

        Args:
            order_id: The order.
            price: The price in dollars, such as ``"49.99"``.
        """
        amount = Amount.parse(price, "USD")
        sale = PaymentInstructionRequest(
            processing_terminal_id=self.terminal, order=Order(order_id=order_id, amount=amount)
        )
        try:
            payment = await self.session.run_sale(self.device, sale, timeout=self.patience)
        except OutcomeUnknownError:
            return "do not try again, call the manager"  # money may have moved
        except InstructionError as error:
            return f"no money moved: {error}"
        return payment.outcome.value
