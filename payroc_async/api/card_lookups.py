"""Look-ups of cards, which move no money. Source: contract section 13."""

from __future__ import annotations

from typing import TypeVar

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.kinds import Resource
from payroc_async.wire.converter import encode
from payroc_async.wire.protocol import Request, decipher_resource
from payroc_async.wording import a_type, with_article

from .resources import Endpoint

__all__ = ["Cards"]

T = TypeVar("T")

CARD_INFO: Resource[models.CardInfo] = Resource(
    noun="card",
    resources="cards/bin-lookup",
    resource_type=models.CardInfo,
    resource_id=lambda info: None,
)
CARD_BALANCE: Resource[models.CardBalance] = Resource(
    noun="balance",
    resources="cards/balance",
    resource_type=models.CardBalance,
    resource_id=lambda balance: None,
)


class Cards(Endpoint):
    """Look-ups of a card without a payment."""

    async def look_up(self, request: models.BinLookup) -> models.CardInfo:
        """Look up a card: its brand, whether it is a debit card, whether it may be surcharged.

        Source: contract section 13.

        Args:
            request: The card: a saved one, or the beginning of a number.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the card.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped. It changes nothing.
        """
        return await self._ask(CARD_INFO, models.BinLookup, request)

    async def balance(self, request: models.BalanceInquiry) -> models.CardBalance:
        """Return an EBT card's balance; use it only if the answer is ``approved``.

        Devices can't ask for a balance, which requires a single-use token. After an EBT sale on a
        device, the payment's card has the balances.

        Source: contract section 13.

        Args:
            request: The card.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            APIError: The gateway refused; BadRequestError of a terminal in no sharing group.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped. It changes nothing.
        """
        return await self._ask(CARD_BALANCE, models.BalanceInquiry, request)

    async def _ask(self, resource: Resource[T], wanted: type, request: object) -> T:
        if not isinstance(request, wanted):
            raise ConfigurationError(
                "request", f"must be {with_article(wanted.__name__)}, not {a_type(request)}"
            )
        # Payroc takes no key here (contract section 9): repeating a look-up is harmless.
        post = Request("POST", f"/{resource.resources}", encode(request))
        return await self._channel().call(
            post, lambda answer: decipher_resource(resource, answer, post)
        )
