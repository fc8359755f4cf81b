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
    """What can be asked about a card without a payment."""

    async def look_up(self, request: models.BinLookup) -> models.CardInfo:
        """What a card is: its brand, whether it is a debit card, whether it may be surcharged.

        Source: contract section 13.

        Args:
            request: Which card: a saved one, or the beginning of a number.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            APIError: The gateway refused; NotFoundError if it does not know the card.
            TransportError: The gateway did not answer.

        Cancellation:
            The request is dropped. It changes nothing.
        """
        return await self._ask(CARD_INFO, models.BinLookup, request)

    async def balance(self, request: models.BalanceInquiry) -> models.CardBalance:
        """What is left on an EBT card; use it only where the answer is ``approved``.

        No device can ask for a balance: it takes a single-use token. After an EBT sale on a device
        the balances come with the payment's card.

        Source: contract section 13.

        Args:
            request: Which card.

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
        # Payroc takes no key here (contract section 9): the same question twice is no harm.
        post = Request("POST", f"/{resource.resources}", encode(request))
        return await self._channel().call(
            post, lambda answer: decipher_resource(resource, answer, post)
        )
